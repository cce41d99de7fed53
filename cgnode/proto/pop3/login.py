"""A POP3 server until log-in: all that a frontend says by itself (RFC 1939 section 4,
RFC 5034, RFC 2595 section 4).

What lives here: whose turn it is, greeting, CAPA, STLS, USER and PASS, AUTH, QUIT, and
XCLIENT from proxies that are trusted.  What must not: anything that needs a maildrop.

``LoginServer`` is the core of a frontend: once the client is logged in it is ``Joined``,
and what the client has sent since is for the backend.  ``server.Server`` goes on itself.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final

from attrs import frozen

from cgnode.proto import sasl
from cgnode.proto.lines import LineFault, LineReader, Newlines
from cgnode.proto.pop3 import events
from cgnode.proto.pop3.vocabulary import (
    ALLOWED,
    AUTH,
    IN_USE,
    SYSTEM_TEMPORARY,
    Fault,
    State,
    err,
    multi_line,
    ok,
)

TLS_HANDSHAKE: Final = 0x16
"""How a TLS client begins; no command does."""

CAPABILITIES: Final = ("TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE")
"""What is there behind log-in, whoever serves the maildrop; said before it too
(RFC 2449 section 5)."""

_IN_CLEAR: Final = frozenset((sasl.PLAIN, sasl.LOGIN))
"""Mechanisms that show the password to whoever listens."""


@frozen
class Limits:
    line: int = sasl.MAX_LINE
    bad_commands: int = 20
    """In a row."""
    failed_logins: int = 10


@frozen
class Settings:
    """What the connections of one listener have in common.

    ``start_tls``: STLS is offered; ``clear_text``: passwords may come without TLS;
    ``implementation`` is told after log-in.
    """

    mechanisms: tuple[str, ...] = (sasl.PLAIN, sasl.LOGIN)
    start_tls: bool = False
    clear_text: bool = False
    greeting: str = "POP3 server ready"
    implementation: str = "cgnode"
    limits: Limits = Limits()


_LINE_FAULTS: Final = {
    LineFault.TOO_LONG: "the line is too long",
    LineFault.STRAY: "there is a CR or LF within the line",
}


class LoginServer:
    """One connection.  ``secure``: it is inside TLS, or as good as that.  ``trusted``: the
    peer is a proxy of ours, and may say who the client is."""

    def __init__(
        self,
        settings: Settings,
        secure: bool = False,
        trusted: bool = False,
        randomness: sasl.Randomness = secrets.token_bytes,
    ) -> None:
        self.state = State.GREETING
        self._settings = settings
        self._secure = secure
        self._trusted = trusted
        self._randomness = randomness
        self._lines = LineReader(settings.limits.line, Newlines.NORMALISE)
        self._ready: deque[events.Event] = deque()
        self._pending: events.Question | None = None
        self._user: str | None = None
        self._exchange: sasl.Exchange | None = None
        self._challenged = False
        self._accepted = False
        self._authcid = ""
        self._heard = False
        self._bad = 0
        self._failed_logins = 0

    # --- input ------------------------------------------------------------------------

    def begin(self) -> bytes:
        """The greeting.  Dovecot's proxies know by its first word that XCLIENT is taken."""
        self.state = State.AUTHORIZATION
        return ok("[XCLIENT] " * self._trusted + self._settings.greeting)

    def receive(self, data: bytes) -> None:
        """Take what the client sent; ``next_event`` says what it means.

        What comes between STLS and the handshake is dropped: whoever put it there, it must
        not be taken for what came inside TLS.
        """
        if self.state is State.CLOSED or isinstance(self._pending, events.StartTLS):
            return
        if data and not self._heard:
            self._heard = True
            if data[0] == TLS_HANDSHAKE:
                # It could make nothing of an answer.
                self._close(b"", "TLS where none is expected")
                return
        self._lines.feed(data)

    @property
    def backlog(self) -> bool:
        """Whether to stop reading: something that has arrived waits for its turn."""
        return self._lines.buffered > 0 and (self._pending is not None or bool(self._ready))

    def next_event(self) -> events.Event | None:
        """What is next; None when that needs more input, or an answer."""
        while not self._ready:
            if self._pending is not None or self.state not in (State.AUTHORIZATION, State.TRANSACTION):
                return None
            line = self._lines.next_line()
            if line is None:
                return None
            self._line(line)
        return self._ready.popleft()

    def unread(self) -> bytes:
        """After ``Joined``: what the client has sent behind its log-in."""
        return self._lines.take_all()

    def _line(self, line: bytes | LineFault) -> None:
        if self._challenged:
            self._challenged = False
            self._respond(line)
            return
        try:
            if isinstance(line, LineFault):
                raise Fault(_LINE_FAULTS[line])
            verb, _, argument = line.partition(b" ")
            name = verb.decode("latin-1").upper()
            if name not in ALLOWED:
                raise Fault("the command is not known here")
            if self.state not in ALLOWED[name]:
                raise Fault(f"{name} can't come now")
            self._run(name, argument)
        except Fault as fault:
            self._broken(fault)

    # --- commands ---------------------------------------------------------------------

    def _run(self, name: str, argument: bytes) -> None:
        match name:
            case "CAPA":
                self._say(multi_line("these are they", self.capabilities))
            case "STLS":
                self._start_tls()
            case "USER":
                self._check_password_may_come()
                self._user = _text(argument)
                self._say(ok("now the password"))
            case "PASS":
                self._password(argument)
            case "AUTH":
                self._authenticate(argument)
            case "XCLIENT":
                self._forwarded(argument)
            case "QUIT":
                self._close(ok("good-bye"), "")
            case _:
                raise AssertionError("a command of another state")

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What CAPA tells now."""
        offered = list(CAPABILITIES)
        if self.state is State.TRANSACTION:
            offered.append(f"IMPLEMENTATION {self._settings.implementation}")
        mechanisms = self._mechanisms()
        if self._takes(sasl.PLAIN):
            offered.append("USER")
        if mechanisms:
            offered.append(" ".join(("SASL", *mechanisms)))
        if self._settings.start_tls and not self._secure and self.state is State.AUTHORIZATION:
            offered.append("STLS")
        return tuple(offered)

    def _mechanisms(self) -> list[str]:
        return [name for name in self._settings.mechanisms if self._takes(name)]

    def _takes(self, mechanism: str) -> bool:
        return self._secure or self._settings.clear_text or mechanism not in _IN_CLEAR

    def _check_password_may_come(self) -> None:
        if not self._takes(sasl.PLAIN):
            raise Fault("passwords need TLS here")

    def _start_tls(self) -> None:
        if self._secure or not self._settings.start_tls:
            raise Fault("TLS can't be started here")
        # What stands behind the command came outside TLS and is forgotten.
        self._lines.clear()
        self._ask(events.StartTLS(ok("begin TLS now")))

    def tls_started(self) -> None:
        """The answer to StartTLS: what is received from here on came inside TLS.  Nothing
        that was known before is."""
        assert isinstance(self._pending, events.StartTLS), "nothing was asked"
        self._pending = None
        self._secure = True
        self._user = None
        self._bad = 0

    def _forwarded(self, argument: bytes) -> None:
        if not self._trusted:
            raise Fault("the command is not known here")
        fields = [field.partition("=") for field in argument.decode("latin-1").split()]
        if not all(equals for _, equals, _ in fields):
            raise Fault("NAME=value is expected")
        self._ready.append(events.Forwarded(tuple((name.upper(), value) for name, _, value in fields)))
        self._say(ok())

    # --- log-in -----------------------------------------------------------------------

    def _password(self, argument: bytes) -> None:
        self._check_password_may_come()
        user, self._user = self._user, None
        if user is None:
            raise Fault("first the name")
        # Blanks are of the password: RFC 1939 section 7 has it to the end of the line.
        if not argument:
            self._say(self._refused("log-in failed", AUTH))
        else:
            self._ask(sasl.Credentials(user, argument))

    def _authenticate(self, argument: bytes) -> None:
        if not argument:
            # What it meant before RFC 5034; clients ask it still.
            self._say(multi_line("these are they", self._mechanisms()))
            return
        words = argument.split(b" ")
        mechanism = words[0].decode("latin-1").upper()
        if mechanism not in self._settings.mechanisms or len(words) > 2:
            raise Fault("the mechanism is not known here")
        if not self._takes(mechanism):
            raise Fault("passwords need TLS here")
        self._exchange = sasl.Exchange(mechanism, self._randomness)
        self._proceed(self._exchange.begin(words[1] if len(words) == 2 else None))

    def _respond(self, line: bytes | LineFault) -> None:
        """The client's answer to a challenge."""
        assert self._exchange is not None, "a challenge is of an exchange"
        if isinstance(line, LineFault):
            self._proceed(sasl.Failed(sasl.Failure.MALFORMED))
        else:
            self._proceed(self._exchange.take(line))

    def _proceed(self, step: sasl.Step) -> None:
        match step:
            case sasl.Challenge():
                self._say(self._challenge(step))
            case sasl.KeysWanted(authcid):
                self._authcid = authcid
                self._ask(step)
            case sasl.Credentials() | sasl.Proven():
                self._ask(step)
            case sasl.Succeeded():
                self._say(self._welcome())
                self._ready.append(self._entered())
            case sasl.Failed(failure):
                self._exchange_failed(failure)

    def _challenge(self, challenge: sasl.Challenge) -> bytes:
        self._pending = None
        self._challenged = True
        return b"+ %b\r\n" % challenge.text

    def _exchange_failed(self, failure: sasl.Failure) -> None:
        self._exchange = None
        if self._accepted:
            self._accepted = False
            self._ready.append(events.LoginDropped())
        if failure is sasl.Failure.WRONG:
            self._ask(events.ProofFailed(self._authcid))
        else:
            self._broken(Fault(failure.value))

    def _refused(self, text: str, code: str) -> bytes:
        self._exchange = None
        self._pending = None
        if code not in (SYSTEM_TEMPORARY, IN_USE):
            self._failed_logins += 1
            if self._failed_logins >= self._settings.limits.failed_logins:
                self._close(b"", "too many failed log-ins")
        return err(text, code)

    def _welcome(self) -> bytes:
        self._exchange = None
        self._accepted = False
        self._pending = None
        return ok("logged in")

    def _entered(self) -> events.Event:
        """Go on behind the log-in."""
        self.state = State.JOINED
        return events.Joined()

    # --- answers ----------------------------------------------------------------------

    def _grant(self) -> bytes:
        assert isinstance(self._pending, sasl.Credentials | sasl.Proven), "nothing was asked"
        step = sasl.Succeeded() if self._exchange is None else self._exchange.accept()
        if isinstance(step, sasl.Challenge):
            self._accepted = True
            return self._challenge(step)
        said = self._welcome()
        self._ready.append(self._entered())
        return said

    def accept(self) -> bytes:
        """The answer to Credentials and Proven: everything is ready for who that is."""
        return self._grant()

    def keys(self, keys: sasl.ScramKeys) -> bytes:
        """The answer to KeysWanted."""
        assert isinstance(self._pending, sasl.KeysWanted), "nothing was asked"
        assert self._exchange is not None
        step = self._exchange.keys(keys)
        assert isinstance(step, sasl.Challenge)
        return self._challenge(step)

    def no(self, text: str, code: str = "") -> bytes:
        """The answer to any question: it can't be had."""
        assert self._pending is not None, "nothing was asked"
        return self._refused(text, code)

    def disconnect(self, text: str, code: str = "") -> events.Closed:
        """End the connection from this side.  POP3 has no unasked word for it but, to a
        question that waits, its refusal."""
        self._ready.clear()
        last_words = err(text, code) if self._pending is not None else b""
        return self._closed(last_words, text)

    # --- output -----------------------------------------------------------------------

    def _say(self, answer: bytes) -> None:
        if answer.startswith(b"+OK"):
            self._bad = 0
        self._ready.append(answer)

    def _ask(self, question: events.Question) -> None:
        self._pending = question
        self._ready.append(question)

    def _broken(self, fault: Fault) -> None:
        self._say(err(str(fault), fault.code))
        self._bad += 1
        if self._bad > self._settings.limits.bad_commands:
            self._close(b"", "too many bad commands")

    def _close(self, last_words: bytes, reason: str) -> None:
        self._ready.append(self._closed(last_words, reason))

    def _closed(self, last_words: bytes, reason: str) -> events.Closed:
        self.state = State.CLOSED
        self._pending = None
        self._lines.clear()
        return events.Closed(last_words, reason)


def _text(argument: bytes) -> str:
    try:
        text = argument.strip().decode()
    except UnicodeDecodeError:
        raise Fault("a name is UTF-8") from None
    if not text:
        raise Fault("a name is expected")
    return text
