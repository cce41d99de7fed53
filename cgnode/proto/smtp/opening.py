"""How a client opens a connection: from the greeting, by STARTTLS, XCLIENT and AUTH, to
where mail can be sent (RFC 5321 section 3.1, RFC 3207, RFC 4954).

What lives here: how to talk to a destination, and what to say after each answer.  What
must not: mail.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias

from attrs import field, frozen

from cgnode.proto import sasl
from cgnode.proto.smtp.commands import format_xclient
from cgnode.proto.smtp.events import XClient
from cgnode.proto.smtp.reply import Reply


class Dialect(Enum):
    """By what it says hello with."""

    SMTP = "EHLO"
    LMTP = "LHLO"


class Tls(Enum):
    NEVER = "no STARTTLS: there is TLS already, or is to be none"
    OFFERED = "where the other side offers it"
    REQUIRED = "or no delivery"


@frozen
class Login:
    """AUTH PLAIN: ``authcid`` has the password, ``authzid`` is whom to act as."""

    authcid: str
    password: bytes = field(repr=False)
    authzid: str = ""


@frozen
class Profile:
    """How to talk to one destination.

    ``clear_login``: the password may be sent without TLS.  ``xclient`` is the real
    client, of which the other side is told what it asks for.
    """

    dialect: Dialect
    hostname: str
    tls: Tls = Tls.NEVER
    login: Login | None = None
    clear_login: bool = False
    xclient: XClient | None = None


class Step(Enum):
    """What a client awaits: the shell has a time limit for each (RFC 5321 section
    4.5.3.2)."""

    GREETING = "the greeting"
    HELLO = "EHLO's or LHLO's answer"
    PLAIN_HELLO = "HELO's answer"
    STARTTLS = "STARTTLS's answer"
    HANDSHAKE = "the TLS handshake"
    XCLIENT = "XCLIENT's answer"
    AUTH = "AUTH's answer"
    READY = "a message to send"
    RSET = "RSET's answer"
    MAIL = "MAIL's answer"
    RCPT = "RCPT's answer"
    DATA = "DATA's answer"
    TEXT = "the message's text, from the shell"
    MESSAGE = "the answer to the message"
    QUIT = "QUIT's answer"
    CLOSED = "nothing"


@frozen
class Say:
    """Send this, and await ``step``."""

    step: Step
    line: bytes = field(repr=False)


@frozen
class Secure:
    """Begin the handshake."""


@frozen
class Opened:
    """Mail can be sent."""


@frozen
class Refused:
    """There is no going on."""

    reason: str


Move: TypeAlias = Say | Secure | Opened | Refused

_OPENING_CODES: Final[Mapping[Step, int]] = {Step.GREETING: 220, Step.XCLIENT: 220, Step.AUTH: 235}
_NO_EHLO: Final = frozenset({500, 501, 502, 504, 550})


class Opening:
    """``extensions`` are the keywords that the other side said, each with what stands
    behind it; they change under way."""

    def __init__(self, profile: Profile, secure: bool) -> None:
        self.extensions: Mapping[str, str] = {}
        self.secure = secure
        self._profile = profile
        self._tls = profile.tls
        self._xclient: list[str] | None = None

    def answered(self, step: Step, reply: Reply) -> Move:
        """What comes after ``reply``, which was awaited in ``step``."""
        match step:
            case Step.HELLO | Step.PLAIN_HELLO:
                return self._greeted(step, reply)
            case Step.STARTTLS:
                if reply.code == 220:
                    return Secure()
                if self._tls is Tls.REQUIRED:
                    return Refused("STARTTLS refused")
                self._tls = Tls.NEVER
                return self._go_on()
            case _:
                if reply.code != _OPENING_CODES[step]:
                    return Refused(f"refused in {step.name}")
                if step is Step.AUTH:
                    return Opened()
                return self._say_xclient() or self.hello()

    def hello(self) -> Say:
        """What is said first, and first again when TLS has begun."""
        return Say(Step.HELLO, f"{self._profile.dialect.value} {self._profile.hostname}\r\n".encode("ascii"))

    def secured(self) -> Say:
        """The handshake is done: what was said before it is forgotten."""
        self.secure = True
        self.extensions = {}
        return self.hello()

    def _greeted(self, step: Step, reply: Reply) -> Move:
        if reply.code == 250:
            self.extensions = _extensions(reply) if step is Step.HELLO else {}
            return self._go_on()
        plain = self._profile.dialect is Dialect.SMTP and step is Step.HELLO and reply.code in _NO_EHLO
        if not plain:
            return Refused("hello refused")
        return Say(Step.PLAIN_HELLO, f"HELO {self._profile.hostname}\r\n".encode("ascii"))

    def _go_on(self) -> Move:
        """What is still missing, in this order; XCLIENT sends back to the beginning."""
        if self._tls is not Tls.NEVER and not self.secure:
            if "STARTTLS" in self.extensions:
                return Say(Step.STARTTLS, b"STARTTLS\r\n")
            if self._tls is Tls.REQUIRED:
                return Refused("STARTTLS is not offered")
        if self._xclient is None and self._profile.xclient is not None and "XCLIENT" in self.extensions:
            self._xclient = format_xclient(self._profile.xclient, self.extensions["XCLIENT"].upper().split())
        return self._say_xclient() or self._log_in()

    def _say_xclient(self) -> Say | None:
        if not self._xclient:
            return None
        return Say(Step.XCLIENT, self._xclient.pop(0).encode("ascii") + b"\r\n")

    def _log_in(self) -> Move:
        login = self._profile.login
        if login is None:
            return Opened()
        if not (self.secure or self._profile.clear_login):
            return Refused("no TLS, and so no login")
        if sasl.PLAIN not in self.extensions.get("AUTH", "").upper().split():
            return Refused("AUTH PLAIN is not offered")
        message = sasl.plain_message(login.authcid, login.password, login.authzid)
        return Say(Step.AUTH, b"AUTH PLAIN " + base64.b64encode(message) + b"\r\n")


def _extensions(reply: Reply) -> dict[str, str]:
    """The lines of EHLO's answer but the first, which is the other side's name."""
    lines = (line.partition(" ") for line in reply.text.split("\n")[1:])
    return {keyword.upper(): rest.strip() for keyword, _, rest in lines if keyword}
