"""A proxy's log-in at a server: from its greeting to where the mailbox begins
(RFC 3501 sections 6.2 and 7.1; RFC 2971, RFC 4959).

What lives here: greeting, STARTTLS, CAPABILITY, ID, AUTHENTICATE PLAIN or LOGIN, and what
kind of failure each answer is.  What must not: how long to wait for it.

``Preamble`` is done with ``Ready`` or ``Failed``.  What the server has sent behind its
last answer is ``unread``, for whoever goes on.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeAlias

from attrs import frozen

from cgnode.proto import sasl
from cgnode.proto.imap import encode
from cgnode.proto.imap.reader import Overlong, Reader
from cgnode.proto.preamble import Account, StartTLS, Trouble

MAX_LINE: Final = 65536
MOST_LINES: Final = 200
"""What a server may say in all: capabilities come in one line, and little else does."""

_RESPONSE: Final = re.compile(
    rb"([^ ]+) (OK|NO|BAD|BYE|PREAUTH)(?: |\Z)(?:\[([^\]]*)\] ?)?(.*)\Z", re.I | re.S
)
_MOST_ID_VALUE: Final = 1024


@frozen
class Plan:
    """How to log in at one server.

    ``start_tls``: begin TLS before anything is sent, or fail.  ``login``: by LOGIN, for a
    server that has no AUTH=PLAIN.  ``identity`` goes by ID, to a server that has it:
    where the client came from.
    """

    account: Account
    start_tls: bool = False
    login: bool = False
    identity: tuple[tuple[str, str], ...] = ()


class Step(Enum):
    """What is being waited for; for the log and for time limits."""

    GREETING = "greeting"
    STARTTLS = "starttls"
    HANDSHAKE = "tls handshake"
    CAPABILITY = "capability"
    AUTHENTICATE = "authenticate"
    CAPABILITY_AFTER = "capability after log-in"
    DONE = "done"


@frozen
class Ready:
    """Logged in.  ``capabilities`` are the server's, from now on, as it has them."""

    capabilities: tuple[str, ...]


@frozen
class Failed:
    """``code`` is the server's response code, without brackets, and its arguments;
    ``text`` is for the log."""

    trouble: Trouble
    step: Step
    code: str
    text: str


Event: TypeAlias = bytes | StartTLS | Ready | Failed

# RFC 5530: what may go away by itself, or by somebody else's doing than the user's.
_TEMPORARY: Final = frozenset(("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CORRUPTION", "CONTACTADMIN"))
_NEEDS_OTHERWISE: Final = frozenset(("PRIVACYREQUIRED", "CLIENTBUG"))


class Preamble:
    """One connection to a server.  The shell sends what ``next_event`` gives."""

    def __init__(self, plan: Plan) -> None:
        self.step = Step.GREETING
        self._plan = plan
        self._reader = Reader(MAX_LINE, 0)
        self._events: deque[Event] = deque()
        self._capabilities: tuple[str, ...] | None = None
        self._lines = 0
        self._response = b""
        """The credentials, as long as they have not been sent."""

    # --- input ------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self.step is not Step.HANDSHAKE:
            self._reader.feed(data)

    @property
    def backlog(self) -> bool:
        """Whether to stop reading: what has arrived is for whoever goes on."""
        return self.step is Step.DONE and len(self._reader) > 0

    def next_event(self) -> Event | None:
        while not self._events:
            if self.step in (Step.DONE, Step.HANDSHAKE):
                return None
            try:
                line = self._reader.line(MAX_LINE)
            except Overlong:
                self._fail(Trouble.PROTOCOL, "a line is too long")
                break
            if line is None:
                return None
            self._lines += 1
            if self._lines > MOST_LINES:
                self._fail(Trouble.PROTOCOL, "it says too much")
            else:
                self._line(line)
        return self._events.popleft()

    def unread(self) -> bytes:
        """After ``Ready``: what the server has sent behind its last answer."""
        return self._reader.take_all()

    def connection_lost(self) -> Failed:
        """The server has closed, or the shell has waited long enough."""
        self._events.clear()
        failed = Failed(Trouble.TEMPORARY, self.step, "", f"no answer to {self.step.value}")
        self.step = Step.DONE
        return failed

    def tls_started(self) -> None:
        """The handshake is done and the server is who it should be."""
        assert self.step is Step.HANDSHAKE, "nothing was asked"
        # RFC 3501 section 6.2.1: what it said of itself in clear text is worth nothing.
        self._capabilities = None
        self._ask_capabilities()

    # --- the dialogue -----------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if line.startswith(b"+"):
            self._continued()
            return
        found = _RESPONSE.match(line)
        if found is None:
            self._untagged(line)
            return
        tag, condition, code = found[1], found[2].upper(), (found[3] or b"").decode("latin-1")
        name, _, argument = code.partition(" ")
        if name.upper() == "CAPABILITY":
            self._capabilities = tuple(argument.split())
        text = found[4].decode("latin-1")[:200]
        if condition == b"BYE":
            self._fail(Trouble.TEMPORARY, text, code)
        elif self.step is Step.GREETING:
            self._greeting(tag, condition, code, text)
        elif tag == _TAGS.get(self.step):
            self._answered(condition, code, text)
        elif tag != b"*" and tag != _ID_TAG:
            self._fail(Trouble.PROTOCOL, "an answer to nothing")

    def _untagged(self, line: bytes) -> None:
        head, _, rest = line.partition(b" ")
        word, _, argument = rest.partition(b" ")
        if head != b"*" or self.step is Step.GREETING:
            self._fail(Trouble.PROTOCOL, "not IMAP: " + line[:60].decode("latin-1"))
        elif word.upper() == b"CAPABILITY":
            self._capabilities = tuple(argument.decode("latin-1").split())

    def _greeting(self, tag: bytes, condition: bytes, code: str, text: str) -> None:
        if tag != b"*" or condition not in (b"OK", b"PREAUTH"):
            self._fail(Trouble.PROTOCOL, "not a greeting", code)
        elif condition == b"PREAUTH":
            # Who it is that is logged in nobody knows, and TLS can't begin any more.
            self._fail(Trouble.PROTOCOL, "logged in before it was asked to", code)
        elif self._plan.start_tls:
            self.step = Step.STARTTLS
            self._events.append(_TLS_TAG + b" STARTTLS\r\n")
        elif self._capabilities is None:
            self._ask_capabilities()
        else:
            self._log_in()

    def _ask_capabilities(self) -> None:
        self.step = Step.CAPABILITY
        self._events.append(_CAPABILITY_TAG + b" CAPABILITY\r\n")

    def _answered(self, condition: bytes, code: str, text: str) -> None:
        if condition != b"OK":
            self._fail(self._trouble(condition, code), text, code)
            return
        match self.step:
            case Step.STARTTLS:
                if len(self._reader):
                    # Whoever put it there, it must not be taken for what comes inside TLS.
                    self._fail(Trouble.PROTOCOL, "data behind STARTTLS")
                else:
                    self.step = Step.HANDSHAKE
                    self._events.append(StartTLS())
            case Step.CAPABILITY:
                self._log_in()
            case Step.AUTHENTICATE if code.upper().startswith("CAPABILITY "):
                self._ready()
            case Step.AUTHENTICATE:
                self.step = Step.CAPABILITY_AFTER
                self._events.append(_AFTER_TAG + b" CAPABILITY\r\n")
            case _:
                self._ready()

    def _log_in(self) -> None:
        """ID and the credentials in one go: nothing of the second depends on the first."""
        self.step = Step.AUTHENTICATE
        offered = {name.upper() for name in self._capabilities or ()}
        said = _identity(self._plan.identity) if "ID" in offered else b""
        account = self._plan.account
        if self._plan.login:
            if account.authzid or "LOGINDISABLED" in offered:
                self._fail(Trouble.PROTOCOL, "LOGIN can't be used")
                return
            user, password = encode.string(account.user.encode()), encode.string(account.password)
            if user.startswith(b"{") or password.startswith(b"{"):
                self._fail(Trouble.REFUSED, "a name or password that LOGIN can't carry in quotes")
                return
            self._events.append(said + b"%b LOGIN %b %b\r\n" % (_LOGIN_TAG, user, password))
            return
        if "AUTH=PLAIN" not in offered:
            self._fail(Trouble.PROTOCOL, "AUTH=PLAIN is not offered")
            return
        try:
            message = sasl.plain_message(account.user, account.password, account.authzid)
        except ValueError as error:
            self._fail(Trouble.REFUSED, str(error))
            return
        self._response = binascii.b2a_base64(message, newline=False)
        said += _LOGIN_TAG + b" AUTHENTICATE PLAIN"
        if "SASL-IR" in offered:
            said += b" " + self._response
            self._response = b""
        self._events.append(said + b"\r\n")

    def _continued(self) -> None:
        if not self._response:
            self._fail(Trouble.PROTOCOL, "it asks for more than there is")
            return
        self._events.append(self._response + b"\r\n")
        self._response = b""

    # --- the end ----------------------------------------------------------------------

    def _ready(self) -> None:
        self.step = Step.DONE
        self._events.append(Ready(self._capabilities or ()))

    def _trouble(self, condition: bytes, code: str) -> Trouble:
        name = code.partition(" ")[0].upper()
        if name in _TEMPORARY:
            return Trouble.TEMPORARY
        if condition == b"BAD" or name in _NEEDS_OTHERWISE or self.step is not Step.AUTHENTICATE:
            return Trouble.PROTOCOL
        return Trouble.REFUSED

    def _fail(self, trouble: Trouble, text: str, code: str = "") -> None:
        self._events.append(Failed(trouble, self.step, code, text))
        self.step = Step.DONE


_ID_TAG: Final = b"I"
_TLS_TAG: Final = b"S"
_CAPABILITY_TAG: Final = b"C"
_LOGIN_TAG: Final = b"L"
_AFTER_TAG: Final = b"D"

_TAGS: Final = {
    Step.STARTTLS: _TLS_TAG,
    Step.CAPABILITY: _CAPABILITY_TAG,
    Step.AUTHENTICATE: _LOGIN_TAG,
    Step.CAPABILITY_AFTER: _AFTER_TAG,
}


def _identity(fields: Iterable[tuple[str, str]]) -> bytes:
    """ID, with values as long as they may be (RFC 2971 section 3.3)."""
    pairs = [encode.quoted(_line_of(part)) for field_ in fields for part in field_]
    return b"%b ID %b\r\n" % (_ID_TAG, encode.listed(pairs)) if pairs else b""


def _line_of(value: str) -> bytes:
    return re.sub(rb"[^ -~]", b"?", value.encode("ascii", "replace"))[:_MOST_ID_VALUE]
