"""One LDAP connection's protocol state, sans I/O: bytes in, events out; outcomes in,
bytes out (RFC 4511 sections 3.1, 4 and 5).

What lives here: whose turn it is.  Message ids in use, a bind that everything waits for
(section 4.2.1), abandoning (4.11) and cancelling (RFC 3909), StartTLS (4.14), criticality
of controls (4.1.11), the Notice of Disconnection (4.4.1), the bound on pending operations,
the identity; and the one place where an exception becomes an LDAP result (``result_of``).
What must not: sockets, clocks, the directory.

The shell around it calls ``receive`` with what arrived and ``next_event`` until that is
None.  A ``Message`` it carries out: what it answers before it asks for the next event
goes through ``answer``; what takes longer is announced by ``begin`` and answered by
``finish`` or ``fail``.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from enum import Enum
from typing import Final, TypeAlias, assert_never

from attrs import evolve, frozen

from ldapserver.directory import BindOutcome, Limits
from ldapserver.extended import CANCEL, START_TLS, decode_cancel
from ldapserver.identity import ANONYMOUS, Identity, Peer
from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    BindRequest,
    CompareRequest,
    Control,
    DeleteRequest,
    ExtendedRequest,
    Message,
    ModifyDNRequest,
    ModifyRequest,
    Request,
    Result,
    SearchRequest,
    UnbindRequest,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import tags
from ldapserver.wire.decode import MalformedRequest, decode_message
from ldapserver.wire.encode import encode_result_tail, envelope, notice_of_disconnection, response_tag
from ldapserver.wire.framing import Framer, ProtocolViolation
from storage.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly

TLS_HANDSHAKE: Final = 0x16
"""How a TLS client begins; no LDAPMessage does."""

TLS_ON_PLAIN: Final = "TLS where none is expected"

UNLIMITED: Final = sys.maxsize

INTERNAL_ERROR: Final = Result(ResultCode.OTHER, message="internal error")


class State(Enum):
    OPEN = "requests are served"
    BINDING = "a bind is being decided and everything behind it waits"
    CLOSED = "nothing is heard and nothing is said"


class Operation:
    """An operation under way; compared by identity, since a client may use the id of an
    abandoned one again."""

    __slots__ = ("abandoned", "id", "request")

    def __init__(self, message_id: int, request: Request) -> None:
        self.id = message_id
        self.request = request
        self.abandoned = False


@frozen(eq=False)
class Abandoned:
    """Stop this operation; whatever it still says is dropped."""

    operation: Operation


@frozen(eq=False)
class Cancelled:
    """Stop this operation if that can be done; either way ``message`` is to be answered."""

    message: Message
    operation: Operation


@frozen
class StartTLS:
    """Send ``answer``, then begin the handshake."""

    answer: bytes


@frozen
class Closed:
    """The end: send ``last_words`` and close.  ``reason`` is for the log; "" when the
    client said good-bye."""

    last_words: bytes
    reason: str


Event: TypeAlias = Message | bytes | Abandoned | Cancelled | StartTLS | Closed
"""``bytes`` is an answer that is ready to be sent; b"" where there is none to send."""


class Session:
    """The state of one connection.

    ``controls`` are the control types that each operation knows; ``start_tls`` whether
    that operation is offered; ``report`` hears of exceptions that no client is told.
    """

    def __init__(
        self,
        peer: Peer,
        limits: Limits,
        controls: Mapping[type[Request], frozenset[str]],
        start_tls: bool = False,
        report: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.peer = peer
        self.identity: Identity = ANONYMOUS
        self.state = State.OPEN
        self._limits = limits
        self._controls = controls
        self._start_tls = start_tls
        self._report = report
        self._framer = Framer(limits.max_message_anonymous or UNLIMITED)
        self._frames: deque[bytes] = deque()
        self._held: Message | None = None
        self._fault = ""
        self._outstanding: dict[int, Operation] = {}
        self._running = 0
        self._most = limits.pending_per_connection or UNLIMITED

    # --- input ------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what the client sent; ``next_event`` says what it means."""
        if self.state is State.CLOSED or self._fault:
            return
        between = not self._framer.buffered
        try:
            self._frames.extend(self._framer.feed(data))
        except ProtocolViolation as violation:
            self._frames.extend(violation.complete)
            self._fault = str(violation)
            if between and data[0] == TLS_HANDSHAKE:
                self._fault = TLS_ON_PLAIN

    @property
    def backlog(self) -> bool:
        """Whether something waits that has arrived: then no more should be read."""
        return bool(self._frames) or self._held is not None or bool(self._fault)

    @property
    def bind_waits(self) -> bool:
        """Whether a bind has arrived that waits for what is outstanding."""
        return self._held is not None

    @property
    def outstanding(self) -> int:
        """Operations that were begun and are not finished, abandoned ones included."""
        return self._running

    def next_event(self) -> Event | None:
        """What is next to be done; None when that needs more input, or an outstanding
        operation's end."""
        if self.state is not State.OPEN or self._running >= self._most:
            return None
        message = self._held
        if message is None:
            if not self._frames:
                return self._violation(self._fault) if self._fault else None
            try:
                message = decode_message(self._frames.popleft(), self._limits.filter_depth or UNLIMITED)
            except MalformedRequest as malformed:
                return self._malformed(malformed)
            except ProtocolViolation as violation:
                return self._violation(str(violation))
            if message.id in self._outstanding:
                return self._violation("message id in use")
        match message.request:
            case SearchRequest() | CompareRequest():
                return self._accept(message) if message.controls else message
            case AddRequest() | DeleteRequest() | ModifyRequest() | ModifyDNRequest():
                return self._accept(message)
            case BindRequest() as request:
                return self._bind(message, request)
            case ExtendedRequest(oid):
                if oid == START_TLS and self._start_tls:
                    return self._secure(message)
                return self._cancel(message) if oid == CANCEL else self._accept(message)
            case AbandonRequest(target):
                return self._abandon(message, target)
            case UnbindRequest():
                self.close()
                return Closed(b"", "")
            case never:
                assert_never(never)

    def _accept(self, message: Message) -> Message | bytes:
        """The message with the controls that its operation knows, or its refusal."""
        if not message.controls:
            return message
        controls = self._known(message)
        if isinstance(controls, Result):
            return self.answer(message, controls)
        return evolve(message, controls=controls)

    def _known(self, message: Message) -> tuple[Control, ...] | Result:
        known = self._controls.get(type(message.request), frozenset())
        controls: list[Control] = []
        for control in message.controls:
            if control.oid in known:
                if any(control.oid == other.oid for other in controls):
                    return Result(ResultCode.PROTOCOL_ERROR, message="a control is given twice")
                controls.append(control)
            elif control.critical:
                text = f"critical control {control.oid[:64]} is not known here"
                return Result(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, message=text)
        return tuple(controls)

    def _bind(self, message: Message, request: BindRequest) -> Message | bytes | None:
        if self._running:
            # Section 4.2.1: what is outstanding must end first.
            self._held = message
            return None
        self._held = None
        # RFC 4513 section 4: anonymous from here on, whatever becomes of the bind.
        self._become(ANONYMOUS)
        if request.version != 3:
            return self._refuse(message, ResultCode.PROTOCOL_ERROR, "only LDAP version 3 is spoken here")
        return self._accept(message)

    def _secure(self, message: Message) -> Event:
        accepted = self._accept(message)
        if isinstance(accepted, bytes):
            return accepted
        if self._frames or self._framer.buffered or self._fault:
            # Whoever put it there, it must not be taken for what came over TLS.
            return self._violation("data behind StartTLS")
        if self.peer.encrypted:
            return self._refuse(message, ResultCode.OPERATIONS_ERROR, "TLS is established already")
        if self._running:
            return self._refuse(message, ResultCode.OPERATIONS_ERROR, "operations are outstanding")
        self.peer = evolve(self.peer, encrypted=True)
        return StartTLS(self.answer(message, Result(oid=START_TLS)))

    def _abandon(self, message: Message, target: int) -> Event:
        operation = self._outstanding.get(target)
        # Section 4.1.11 holds here too, but for the answer, which abandon does not have.
        if operation is None or isinstance(self._known(message), Result):
            return b""
        operation.abandoned = True
        del self._outstanding[target]
        return Abandoned(operation)

    def _cancel(self, message: Message) -> Event:
        accepted = self._accept(message)
        if isinstance(accepted, bytes):
            return accepted
        assert isinstance(message.request, ExtendedRequest)
        try:
            target = decode_cancel(message.request.value)
        except LDAPError as error:
            return self.refuse(message, error)
        operation = self._outstanding.get(target)
        if operation is None:
            return self._refuse(message, ResultCode.NO_SUCH_OPERATION, "no such operation is outstanding")
        return Cancelled(message, operation)

    def _malformed(self, malformed: MalformedRequest) -> Event:
        """Section 4.1.1: broken structure ends the session; otherwise the request has an
        answer, if its kind has one."""
        if malformed.structural or malformed.message_id in self._outstanding:
            return self._violation(malformed.text)
        if malformed.response_tag is None:
            return b""
        if malformed.tag == tags.BIND_REQUEST:
            self._become(ANONYMOUS)
        result = Result(malformed.code, message=malformed.text)
        return envelope(malformed.message_id, encode_result_tail(malformed.response_tag, result))

    # --- output -----------------------------------------------------------------------

    def answer(self, message: Message, result: Result) -> bytes:
        """The end of an operation that was not begun."""
        return envelope(message.id, _last_tail(message.request, result))

    def refuse(self, message: Message, error: Exception) -> bytes:
        """``answer`` for an operation that raised."""
        return self.answer(message, self._result_of(error))

    def begin(self, message: Message) -> Operation:
        """Announce that a message's operation takes longer.  Behind a bind, everything
        waits until it is finished."""
        operation = Operation(message.id, message.request)
        self._outstanding[message.id] = operation
        self._running += 1
        if isinstance(message.request, BindRequest):
            self.state = State.BINDING
        return operation

    def finish(self, operation: Operation, result: Result) -> bytes:
        """The end of an operation that was begun; b"" when nobody wants to know."""
        self._running -= 1
        if operation.abandoned or self.state is State.CLOSED:
            return b""
        del self._outstanding[operation.id]
        if self.state is State.BINDING:
            self.state = State.OPEN
        return envelope(operation.id, _last_tail(operation.request, result))

    def fail(self, operation: Operation, error: Exception) -> bytes:
        """``finish`` for an operation that raised."""
        return self.finish(operation, self._result_of(error))

    def bound(self, outcome: BindOutcome) -> Result:
        """Take the identity that a bind has given, if it has."""
        if outcome.result.code is ResultCode.SUCCESS:
            self._become(outcome.identity)
        return outcome.result

    def disconnect(self, code: ResultCode, text: str) -> Closed:
        """End the session from this side with a Notice of Disconnection."""
        self.close()
        return Closed(notice_of_disconnection(code, text), text)

    def close(self) -> None:
        """End the session without a word; what is outstanding is answered no more."""
        self.state = State.CLOSED
        self._frames.clear()
        self._held = None
        for operation in self._outstanding.values():
            operation.abandoned = True
        self._outstanding.clear()

    # --- the parts --------------------------------------------------------------------

    def _refuse(self, message: Message, code: ResultCode, text: str) -> bytes:
        return self.answer(message, Result(code, message=text))

    def _violation(self, text: str) -> Closed:
        closed = self.disconnect(ResultCode.PROTOCOL_ERROR, text)
        # A TLS client could make nothing of a notice.
        return evolve(closed, last_words=b"") if text == TLS_ON_PLAIN else closed

    def _become(self, identity: Identity) -> None:
        self.identity = identity
        limits = self._limits
        most = limits.max_message_anonymous if identity.anonymous else limits.max_message
        self._framer.max_message = most or UNLIMITED

    def _result_of(self, error: Exception) -> Result:
        result = result_of(error)
        if not isinstance(error, LDAPError):
            self._report(error)
        return result


def _last_tail(request: Request, result: Result) -> bytes:
    tag = response_tag(request)
    assert tag is not None, "an operation without an answer was answered"
    return encode_result_tail(tag, result)


def result_of(error: Exception) -> Result:
    """What a client is told of an exception; of our own faults, nothing."""
    match error:
        case LDAPError():
            return Result(error.code, error.matched_dn, error.message)
        case StoreFull():
            return Result(ResultCode.UNAVAILABLE, message="the directory's disk is full")
        case StoreReadOnly():
            return Result(ResultCode.UNWILLING_TO_PERFORM, message="the directory is read-only")
        case StoreBusy():
            return Result(ResultCode.BUSY, message="too many readers at once")
        case StoreError():
            return Result(ResultCode.UNAVAILABLE, message="the directory's store has failed")
        case CancelledError():
            return Result(ResultCode.UNAVAILABLE, message="the directory is closing")
        case _:
            return INTERNAL_ERROR
