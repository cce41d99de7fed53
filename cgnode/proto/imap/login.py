"""A server until log-in: all that a frontend says by itself (RFC 3501 section 6.2).

What lives here: greeting, CAPABILITY, ID, NOOP, LOGOUT, STARTTLS, LOGIN and AUTHENTICATE,
and what is advertised when.  What must not: anything that needs a mailbox.

``LoginServer`` is the core of a frontend: once the client is logged in it is ``Joined``,
and what the client has sent since is for the backend.  ``server.Server`` goes on itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from cgnode.proto import sasl
from cgnode.proto.imap import codes, events, responses
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.dialogue import Dialogue, Limits, Reading
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.states import State

BEFORE_LOGIN: Final = ("IMAP4rev1", "LITERAL+", "SASL-IR", "ID")
"""What is there before log-in, whoever serves the mailbox afterwards."""

_IN_CLEAR: Final = frozenset((sasl.PLAIN, sasl.LOGIN))
"""Mechanisms that show the password to whoever listens."""


@frozen
class Settings:
    """What the connections of one listener have in common.

    ``capabilities`` are those after log-in; ``start_tls``: it is offered; ``clear_text``:
    passwords may come without TLS; ``identity`` answers ID.
    """

    capabilities: tuple[str, ...] = ()
    mechanisms: tuple[str, ...] = (sasl.PLAIN, sasl.LOGIN)
    start_tls: bool = False
    clear_text: bool = False
    greeting: str = "IMAP server ready"
    identity: tuple[tuple[str, str], ...] = (("name", "cgnode"),)
    limits: Limits = Limits()


class LoginServer(Dialogue):
    """One connection.  ``secure``: it is inside TLS, or as good as that."""

    def __init__(
        self,
        settings: Settings,
        secure: bool = False,
        randomness: sasl.Randomness = secrets.token_bytes,
    ) -> None:
        super().__init__(settings.limits)
        self._settings = settings
        self._secure = secure
        self._randomness = randomness
        self._exchange: sasl.Exchange | None = None
        self._granted: tuple[str, ...] = settings.capabilities
        self._accepted = False
        self._authcid = ""
        self._failed_logins = 0

    def begin(self) -> bytes:
        """The greeting."""
        self.state = State.NOT_AUTHENTICATED
        code = codes.capability(self.capabilities)
        return responses.state("*", b"OK", self._settings.greeting, code)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What is advertised now."""
        if self.state in (State.AUTHENTICATED, State.SELECTED):
            return self._granted
        offered = list(BEFORE_LOGIN)
        if self._settings.start_tls and not self._secure:
            offered.append("STARTTLS")
        offered += (f"AUTH={name}" for name in self._settings.mechanisms if self._takes(name))
        if not self._takes(sasl.PLAIN):
            offered.append("LOGINDISABLED")
        return tuple(offered)

    def _takes(self, mechanism: str) -> bool:
        return self._secure or self._settings.clear_text or mechanism not in _IN_CLEAR

    # --- commands ---------------------------------------------------------------------

    def _admit(self, name: str) -> None:
        if name == "LOGIN" and not self._takes(sasl.PLAIN):
            # Said before its password is asked for.
            raise Fault("passwords need TLS here", codes.PRIVACY_REQUIRED, bad=False)

    def _run(self, command: c.Command) -> None:
        match command:
            case c.Capability():
                self._ready.append(responses.capability(self.capabilities))
                self._finish("these are they")
            case c.Noop():
                self._finish("nothing done")
            case c.Id(fields):
                known = tuple((key.lower(), value) for key, value in fields or () if value is not None)
                self._ready.append(events.Identified(known))
                self._ready.append(responses.identity(self._settings.identity))
                self._finish("pleased to meet you")
            case c.Logout():
                text = responses.state("*", b"BYE", "good-bye") + self._done(b"OK", "logged out")
                self._close(text, "")
            case c.StartTLS():
                self._start_tls()
            case c.Login(user, password):
                self._login(user, password)
            case c.Authenticate(mechanism, initial):
                self._authenticate(mechanism, initial)
            case _:
                raise AssertionError("a command of another state")

    # --- TLS --------------------------------------------------------------------------

    def _start_tls(self) -> None:
        if self._secure or not self._settings.start_tls:
            raise Fault("TLS can't be started here")
        # What stands behind the command came outside TLS and is forgotten.
        self._reader.take_all()
        self._ask(events.StartTLS(self._done(b"OK", "begin TLS now")))

    def tls_started(self) -> None:
        """The answer to StartTLS: what is received from here on came inside TLS.  Nothing
        that was known before is (RFC 3501 section 6.2.1)."""
        assert isinstance(self._pending, events.StartTLS), "nothing was asked"
        self._pending = None
        self._secure = True
        self._bad = 0
        self._heard = True

    # --- log-in -----------------------------------------------------------------------

    def _login(self, user: bytes, password: bytes) -> None:
        try:
            name = user.decode()
        except UnicodeDecodeError:
            name = ""
        if name and password and "\0" not in name and b"\0" not in password:
            self._ask(sasl.Credentials(name, password))
        else:
            self._ready.append(self._refused("log-in failed", codes.AUTHENTICATION_FAILED))

    def _authenticate(self, mechanism: str, initial: bytes | None) -> None:
        if mechanism not in self._settings.mechanisms:
            raise Fault("the mechanism is not known here", bad=False)
        if not self._takes(mechanism):
            raise Fault("passwords need TLS here", codes.PRIVACY_REQUIRED, bad=False)
        self._exchange = sasl.Exchange(mechanism, self._randomness)
        self._proceed(self._exchange.begin(initial))

    def _line(self, line: bytes | None) -> None:
        """The client's answer to a challenge."""
        self._reading = Reading.COMMANDS
        assert self._exchange is not None, "a challenge is of an exchange"
        self._proceed(sasl.Failed(sasl.Failure.MALFORMED) if line is None else self._exchange.take(line))

    def _proceed(self, step: sasl.Step) -> None:
        match step:
            case sasl.Challenge():
                self._ready.append(self._challenge(step))
            case sasl.KeysWanted(authcid):
                self._authcid = authcid
                self._ask(step)
            case sasl.Credentials() | sasl.Proven():
                self._ask(step)
            case sasl.Succeeded():
                welcome = self._welcome()
                self._ready += welcome, self._entered()
            case sasl.Failed(failure):
                self._exchange_failed(failure)

    def _challenge(self, challenge: sasl.Challenge) -> bytes:
        self._pending = None
        self._reading = Reading.SASL
        return responses.continuation(challenge.text)

    def _exchange_failed(self, failure: sasl.Failure) -> None:
        self._exchange = None
        if self._accepted:
            self._accepted = False
            self._ready.append(events.LoginDropped())
        match failure:
            case sasl.Failure.WRONG:
                self._ask(events.ProofFailed(self._authcid))
            case sasl.Failure.UNSUPPORTED:
                self._broken(Fault("the client wants what is not offered", codes.CANNOT, bad=False))
            case sasl.Failure.CANCELLED | sasl.Failure.MALFORMED:
                # RFC 3501 section 6.2.2 has BAD for both.
                self._broken(Fault(failure.value))

    def _refused(self, text: str, code: bytes) -> bytes:
        self._exchange = None
        said = self._done(b"NO", text, code)
        if code != codes.UNAVAILABLE:
            self._failed_logins += 1
            if self._failed_logins >= self._limits.failed_logins:
                self._bye("too many failed log-ins", b"")
        return said

    def _welcome(self) -> bytes:
        self._exchange = None
        self._accepted = False
        return self._done(b"OK", "logged in", codes.capability(self._granted))

    def _entered(self) -> events.Event:
        """Go on behind the log-in."""
        self.state = State.JOINED
        return events.Joined()

    def unread(self) -> bytes:
        """After ``Joined``: what the client has sent behind its log-in."""
        return self._reader.take_all()

    # --- answers ----------------------------------------------------------------------

    def accept(self, capabilities: Iterable[str] | None = None) -> bytes:
        """The answer to Credentials and Proven: everything is ready for who that is.
        ``capabilities`` are what the client may use from now on, if not the settings'."""
        assert isinstance(self._pending, sasl.Credentials | sasl.Proven), "nothing was asked"
        if capabilities is not None:
            self._granted = tuple(capabilities)
        step = sasl.Succeeded() if self._exchange is None else self._exchange.accept()
        if isinstance(step, sasl.Challenge):
            self._accepted = True
            return self._challenge(step)
        welcome = self._welcome()
        self._ready.append(self._entered())
        return welcome

    def keys(self, keys: sasl.ScramKeys) -> bytes:
        """The answer to KeysWanted."""
        assert isinstance(self._pending, sasl.KeysWanted), "nothing was asked"
        assert self._exchange is not None
        step = self._exchange.keys(keys)
        assert isinstance(step, sasl.Challenge)
        return self._challenge(step)

    def no(self, text: str, code: bytes = b"") -> bytes:
        """The answer to any question: it can't be had."""
        if self.state is State.NOT_AUTHENTICATED:
            assert self._pending is not None, "nothing was asked"
            return self._refused(text, code)
        return super().no(text, code)
