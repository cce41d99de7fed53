"""A proxy's log-in at a POP3 server: from its greeting to where the maildrop begins
(RFC 1939, RFC 2595, RFC 5034).

What lives here: greeting, STLS, XCLIENT, AUTH PLAIN or USER and PASS, and what kind of
failure each answer is.  What must not: how long to wait for it.

``Preamble`` is done with ``Ready`` or ``Failed``.  What the server has sent behind its
last answer is ``unread``, for whoever goes on.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from enum import Enum
from typing import Final, TypeAlias

from attrs import frozen

from cgnode.proto import sasl
from cgnode.proto.lines import LineFault, LineReader, Newlines
from cgnode.proto.pop3.vocabulary import AUTH, IN_USE, LOGIN_DELAY, SYSTEM_TEMPORARY
from cgnode.proto.preamble import Account, StartTLS, Trouble

MAX_LINE: Final = 8192
_MOST_XCLIENT: Final = 1000
"""Dovecot takes 1024 octets."""

_ANSWER: Final = re.compile(rb"(\+OK|-ERR)(?: +\[([A-Za-z/-]+)\])?(.*)\Z", re.IGNORECASE | re.DOTALL)
_VALUE: Final = re.compile(r"[!-~]+")
_UNSPEAKABLE: Final = re.compile(rb"[\0\r\n]")
_SHORT: Final = 255 - len(b"AUTH PLAIN \r\n")


@frozen
class Plan:
    """How to log in at one server.

    ``start_tls``: begin TLS before anything is sent, or fail.  ``user_pass``: by USER and
    PASS, for a server that has no AUTH.  ``forwarded`` goes by XCLIENT, to a server whose
    greeting begins with it: ADDR, PORT, SESSION, TTL.
    """

    account: Account
    start_tls: bool = False
    user_pass: bool = False
    forwarded: tuple[tuple[str, str], ...] = ()


class Step(Enum):
    """What is being waited for; for the log and for time limits."""

    GREETING = "greeting"
    STLS = "stls"
    HANDSHAKE = "tls handshake"
    XCLIENT = "xclient"
    AUTH = "auth"
    USER = "user"
    PASS = "pass"
    DONE = "done"


@frozen
class Ready:
    """Logged in."""


@frozen
class Failed:
    """``code`` is the server's response code; ``text`` is for the log."""

    trouble: Trouble
    step: Step
    code: str
    text: str


Event: TypeAlias = bytes | StartTLS | Ready | Failed


class Preamble:
    """One connection to a server.  The shell sends what ``next_event`` gives."""

    def __init__(self, plan: Plan) -> None:
        self.step = Step.GREETING
        self._plan = plan
        self._lines = LineReader(MAX_LINE, Newlines.NORMALISE)
        self._events: deque[Event] = deque()
        self._takes_xclient = False
        self._behind_xclient = Step.AUTH
        self._response = b""
        """The credentials, as long as they have not been sent."""

    # --- input ------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self.step is not Step.HANDSHAKE:
            self._lines.feed(data)

    @property
    def backlog(self) -> bool:
        """Whether to stop reading: what has arrived is for whoever goes on."""
        return self.step is Step.DONE and self._lines.buffered > 0

    def next_event(self) -> Event | None:
        while not self._events:
            if self.step in (Step.DONE, Step.HANDSHAKE):
                return None
            line = self._lines.next_line()
            if line is None:
                return None
            if isinstance(line, LineFault):
                self._fail(Trouble.PROTOCOL, line.value)
            else:
                self._line(line)
        return self._events.popleft()

    def unread(self) -> bytes:
        """After ``Ready``: what the server has sent behind its last answer."""
        return self._lines.take_all()

    def connection_lost(self) -> Failed:
        """The server has closed, or the shell has waited long enough."""
        self._events.clear()
        failed = Failed(Trouble.TEMPORARY, self.step, "", f"no answer to {self.step.value}")
        self.step = Step.DONE
        return failed

    def tls_started(self) -> None:
        """The handshake is done and the server is who it should be."""
        assert self.step is Step.HANDSHAKE, "nothing was asked"
        self._forward()

    # --- the dialogue -----------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if line.startswith(b"+ ") or line == b"+":
            self._continued()
            return
        answer = _ANSWER.match(line)
        if answer is None:
            self._fail(Trouble.PROTOCOL, "not POP3: " + line[:60].decode("latin-1"))
            return
        code = (answer[2] or b"").decode("ascii").upper()
        text = answer[3].strip().decode("latin-1")[:200]
        if answer[1].upper() == b"+OK":
            self._answered(code)
        else:
            self._fail(self._trouble(code), text, code)

    def _answered(self, code: str) -> None:
        match self.step:
            case Step.GREETING:
                # What stands in clear text is not worth much, but then XCLIENT gives
                # nothing to who takes it.
                self._takes_xclient = code == "XCLIENT"
                if self._plan.start_tls:
                    self.step = Step.STLS
                    self._events.append(b"STLS\r\n")
                else:
                    self._forward()
            case Step.STLS if self._lines.buffered:
                # Whoever put it there, it must not be taken for what comes inside TLS.
                self._fail(Trouble.PROTOCOL, "data behind STLS")
            case Step.STLS:
                self.step = Step.HANDSHAKE
                self._events.append(StartTLS())
            case Step.XCLIENT:
                self.step = self._behind_xclient
            case Step.USER:
                self.step = Step.PASS
                self._events.append(b"PASS %b\r\n" % self._plan.account.password)
            case _:
                self.step = Step.DONE
                self._events.append(Ready())

    def _forward(self) -> None:
        """XCLIENT and the log-in's first line in one go, as Dovecot's proxies have it."""
        fields = [f"{name}={value}" for name, value in self._plan.forwarded if _VALUE.fullmatch(value)]
        said = " ".join(("XCLIENT", *fields)).encode("ascii", "replace")
        first = self._first_line()
        if first is None:
            return
        if self._takes_xclient and fields and len(said) <= _MOST_XCLIENT:
            self._behind_xclient, self.step = self.step, Step.XCLIENT
            first = said + b"\r\n" + first
        self._events.append(first)

    def _first_line(self) -> bytes | None:
        """How the log-in begins; None when it can't."""
        account = self._plan.account
        if not self._plan.user_pass:
            return self._auth_plain(account)
        user = account.user.encode()
        if account.authzid:
            self._fail(Trouble.PROTOCOL, "USER can't be used for somebody else")
        elif not user or not account.password or _UNSPEAKABLE.search(user + account.password):
            self._fail(Trouble.REFUSED, "a name or password that a line can't carry")
        else:
            self.step = Step.USER
            return b"USER %b\r\n" % user
        return None

    def _auth_plain(self, account: Account) -> bytes | None:
        try:
            message = sasl.plain_message(account.user, account.password, account.authzid)
        except ValueError as error:
            self._fail(Trouble.REFUSED, str(error))
            return None
        self.step = Step.AUTH
        response = binascii.b2a_base64(message, newline=False)
        if len(response) <= _SHORT:
            return b"AUTH PLAIN %b\r\n" % response
        # RFC 5034 section 4: a command has 255 octets.
        self._response = response
        return b"AUTH PLAIN\r\n"

    def _continued(self) -> None:
        if not self._response:
            self._fail(Trouble.PROTOCOL, "it asks for more than there is")
            return
        self._events.append(self._response + b"\r\n")
        self._response = b""

    # --- the end ----------------------------------------------------------------------

    def _trouble(self, code: str) -> Trouble:
        if code in (SYSTEM_TEMPORARY, LOGIN_DELAY):
            return Trouble.TEMPORARY
        if code == IN_USE:
            return Trouble.IN_USE
        if self.step is Step.GREETING:
            return Trouble.TEMPORARY
        if code != AUTH and self.step not in (Step.AUTH, Step.USER, Step.PASS):
            return Trouble.PROTOCOL
        return Trouble.REFUSED

    def _fail(self, trouble: Trouble, text: str, code: str = "") -> None:
        self._events.append(Failed(trouble, self.step, code, text))
        self.step = Step.DONE
