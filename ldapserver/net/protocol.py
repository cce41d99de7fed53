"""The Twisted shell around a session: sockets, turns and back-pressure.

What lives here: carrying out a session's messages on the directory, and how much at a
time.  All of one read is answered by one write.  A search runs for a slice and then in
turns (``turns``), and one that follows changes waits for them (``standing``); when the
client does not take what it asked for, nothing more is read or carried out for it.  What
must not: the protocol's rules (``session``), meaning (the directory).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from twisted.internet.protocol import Protocol

from ldapserver.directory import BindOutcome, Standing
from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    BindRequest,
    CompareRequest,
    DeleteRequest,
    ExtendedRequest,
    Message,
    ModifyDNRequest,
    ModifyRequest,
    Result,
    SearchRequest,
    UnbindRequest,
    WriteRequest,
)
from ldapserver.net.reactor import DelayedCall
from ldapserver.net.standing import StandingSearches
from ldapserver.net.transport import ClientTransport, peer_of
from ldapserver.net.turns import SLICE
from ldapserver.results import ResultCode
from ldapserver.session import Abandoned, Cancelled, Closed, Operation, Session, StartTLS
from ldapserver.sync.codec import SYNC_REQUEST
from ldapserver.wire.encode import envelope

if TYPE_CHECKING:
    from ldapserver.net.factory import LDAPFactory

T = TypeVar("T")

Answers = Generator[bytes, None, Result | Standing]

FLUSH: Final = 64 * 1024
"""Octets of output that are collected before they are written."""

LINGER: Final = 5.0
"""Seconds that a client has to take our last words."""

PARTING: Final = 1.0
"""The same, when the whole server is to stop."""


class LDAPConnection(Protocol):
    """One client; a streaming producer (IPushProducer) to its own transport.

    ``_more``: work was left for another turn; ``_full``: the transport holds as much as
    it should; ``_queued``: a turn is coming; ``_leaving``: the server shuts down, so
    nothing new is begun.
    """

    transport: ClientTransport  # type: ignore[assignment]
    session: Session

    def __init__(self, factory: LDAPFactory) -> None:
        self._server = factory
        self._directory = factory.directory
        self._clock = factory.clock
        self._out: list[bytes] = []
        self._size = 0
        self._deadline = 0.0
        self._heard = 0.0
        self._searches: dict[Operation, Answers] = {}
        self._standing = StandingSearches(factory.directory, factory.watch, self._queue)
        self._more = False
        self._full = False
        self._queued = False
        self._reading = True
        self._leaving = False
        self._closed = False
        self._stall: DelayedCall | None = None
        self._timer: DelayedCall | None = None

    # --- Twisted's side ----------------------------------------------------------------

    def connectionMade(self) -> None:
        server = self._server
        peer = peer_of(self.transport)
        start_tls = server.tls is not None and not peer.encrypted
        report = partial(server.report, peer)
        self.session = Session(peer, server.limits, server.controls, start_tls, report)
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self._heard = self._clock()
        if server.limits.idle_timeout:
            self._timer = server.reactor.callLater(server.limits.idle_timeout, self._check_idle)
        server.joined(self)

    def dataReceived(self, data: bytes) -> None:
        if self._closed:
            return
        self.session.receive(data)
        self._deadline = self._clock() + SLICE
        self._more = self._take()
        self._server.outbox.add(self)

    def send(self) -> None:
        """What ``dataReceived`` has left to the end of the reactor's iteration."""
        self._settled(self._more)

    def connectionLost(self, reason: object = None) -> None:
        self._closed = True
        self.session.close()
        self._drop_searches()
        for timer in (self._stall, self._timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._server.left(self)

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        # Not at once: the transport is in the middle of something.
        self._queue()

    def stopProducing(self) -> None:
        """The connection is lost; ``connectionLost`` follows."""
        self._full = True

    # --- taking turns --------------------------------------------------------------------

    def settle(self) -> None:
        """Operations of ours have finished: send that, and do what waited for it."""
        if not self._closed:
            self._deadline = self._clock() + SLICE
            self._settled(self._take())

    def _queue(self) -> None:
        if not self._queued and not self._closed:
            self._queued = True
            self._server.turns.add(self._turn)

    def _turn(self) -> None:
        self._queued = False
        if self._closed:
            return
        self._deadline = self._clock() + SLICE
        more = self._take()
        self._settled(self._continue() or more)

    def _take(self) -> bool:
        """Carry out what has arrived; whether some of it is left for another turn."""
        session = self.session
        clock = self._clock
        while not self._full and not self._leaving:
            event = session.next_event()
            if event is None and session.bind_waits and self._standing:
                # These would not end by themselves.
                self._stop_standing(_BOUND_ANEW)
                continue
            if event is None:
                return False
            self._heard = self._deadline
            match event:
                case Message():
                    self._carry_out(event)
                case bytes():
                    self._out.append(event)
                case Abandoned(operation):
                    self._stop(operation, Result())
                case Cancelled(message, operation):
                    self._cancel(message, operation)
                case StartTLS(answer):
                    self._start_tls(answer)
                case Closed():
                    self._end(event)
                    return False
                case never:
                    assert_never(never)
            if self._size >= FLUSH:
                self._flush()
            if clock() >= self._deadline:
                return True
        return session.backlog

    def _continue(self) -> bool:
        """Give the searches under way their time; whether there is reason for another turn."""
        finished = False
        self._searches.update(self._standing.take())
        while self._searches and not self._full and self._clock() < self._deadline:
            operation, answers = next(iter(self._searches.items()))
            del self._searches[operation]
            try:
                result = self._advance(operation.id, answers)
            except Exception as error:
                self._out.append(self.session.fail(operation, error))
                self._standing.drop(operation)
                finished = True
                continue
            if result is None:
                self._searches[operation] = answers
            elif isinstance(result, Result):
                self._out.append(self.session.finish(operation, result))
                self._standing.drop(operation)
                finished = True
            else:
                self._standing.put(operation, result)
        # What is finished may be what the backlog waited for.
        return finished and self.session.backlog

    def _settled(self, more: bool) -> None:
        """The end of every turn: one write, and the decision how to go on."""
        if self._closed:
            return
        self._flush()
        if self._leaving:
            self._leave()
            return
        if self._full:
            if self._searches and self._stall is None:
                timeout = self._server.limits.stall_timeout
                if timeout:
                    self._stall = self._server.reactor.callLater(timeout, self._stalled)
        elif more or self._searches:
            self._queue()
        reading = not (self._full or self.session.backlog)
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def _flush(self) -> None:
        self._size = 0
        out = self._out
        if out:
            data = b"".join(out)
            out.clear()
            if data:
                self.transport.write(data)

    # --- carrying out --------------------------------------------------------------------

    def _carry_out(self, message: Message) -> None:
        match message.request:
            case SearchRequest() as request:
                self._search(message, request)
            case AddRequest() | DeleteRequest() | ModifyRequest() | ModifyDNRequest() as request:
                self._write(message, request)
            case BindRequest() as request:
                self._bind(message, request)
            case CompareRequest() as request:
                self._compare(message, request)
            case ExtendedRequest() as request:
                self._extended(message, request)
            case AbandonRequest() | UnbindRequest():
                """The session's own."""
            case never:
                assert_never(never)

    def _search(self, message: Message, request: SearchRequest) -> None:
        session = self.session
        try:
            if not message.controls:
                found = self._directory.look_up(session.identity, request)
                if found is not None:
                    self._answer(message, *found)
                    return
            follows = any(control.oid == SYNC_REQUEST for control in message.controls)
            search = self._directory.synchronise if follows else self._directory.search
            answers = search(session.identity, request, message.controls)
            result = self._advance(message.id, answers)
        except Exception as error:
            self._out.append(session.refuse(message, error))
            return
        if result is None:
            self._searches[session.begin(message)] = answers
        elif isinstance(result, Result):
            self._out.append(session.answer(message, result))
        else:
            self._standing.put(session.begin(message), result)

    def _answer(self, message: Message, tails: list[bytes], result: Result) -> None:
        """A search that is over as soon as it is asked."""
        out = self._out
        for tail in tails:
            answer = envelope(message.id, tail)
            self._size += len(answer)
            out.append(answer)
        out.append(self.session.answer(message, result))

    def _advance(self, message_id: int, answers: Answers) -> Result | Standing | None:
        """Run a search until it ends (its result) or has told all that there is to tell, or
        this turn's time or the transport's room ends (None)."""
        out = self._out
        size = self._size
        try:
            while True:
                tail = next(answers)
                if tail:
                    answer = envelope(message_id, tail)
                    out.append(answer)
                    size += len(answer)
                    if size < FLUSH:
                        continue
                    self._flush()
                    size = 0
                if self._full or self._clock() >= self._deadline:
                    return None
        except StopIteration as stop:
            result: Result | Standing = stop.value
            return result
        except BaseException:
            answers.close()
            raise
        finally:
            self._size = size

    def _compare(self, message: Message, request: CompareRequest) -> None:
        session = self.session
        try:
            result = self._directory.compare(session.identity, request, message.controls)
        except Exception as error:
            self._out.append(session.refuse(message, error))
        else:
            self._out.append(session.answer(message, result))

    def _write(self, message: Message, request: WriteRequest) -> None:
        operation = self.session.begin(message)
        try:
            future = self._directory.write(self.session.identity, request, message.controls)
        except Exception as error:
            self._out.append(self.session.fail(operation, error))
        else:
            self._await(operation, future, _same)

    def _bind(self, message: Message, request: BindRequest) -> None:
        session = self.session
        try:
            outcome = self._directory.bind(request, session.peer)
        except Exception as error:
            self._out.append(session.refuse(message, error))
            return
        if isinstance(outcome, BindOutcome):
            self._out.append(session.answer(message, session.bound(outcome)))
        else:
            self._await(session.begin(message), outcome, session.bound)

    def _extended(self, message: Message, request: ExtendedRequest) -> None:
        session = self.session
        try:
            outcome = self._directory.extended(session.identity, request, message.controls, session.peer)
        except Exception as error:
            self._out.append(session.refuse(message, error))
            return
        if isinstance(outcome, Result):
            self._out.append(session.answer(message, outcome))
        else:
            self._await(session.begin(message), outcome, _same)

    def _await(self, operation: Operation, future: Future[T], result: Callable[[T], Result]) -> None:
        self._server.completions.watch(self, future, partial(self._finish, operation, result))

    def _finish(self, operation: Operation, result: Callable[[T], Result], future: Future[T]) -> None:
        if self._closed:
            return
        try:
            outcome = future.result()
        except Exception as error:
            self._out.append(self.session.fail(operation, error))
        else:
            self._out.append(self.session.finish(operation, result(outcome)))

    def _stop(self, operation: Operation, result: Result) -> bool:
        """End a search; anything else goes on.  Whether it was one."""
        answers = self._searches.pop(operation, None)
        if answers is None and operation not in self._standing:
            return False
        if answers is not None:
            answers.close()
        self._standing.drop(operation)
        self._out.append(self.session.finish(operation, result))
        return True

    def _stop_standing(self, result: Result) -> None:
        for operation in list(self._standing):
            self._stop(operation, result)

    def _cancel(self, message: Message, operation: Operation) -> None:
        stopped = self._stop(operation, Result(ResultCode.CANCELED))
        self._out.append(self.session.answer(message, Result() if stopped else _CANNOT_CANCEL))

    def _start_tls(self, answer: bytes) -> None:
        self._out.append(answer)
        self._flush()
        self.transport.startTLS(self._server.tls)

    # --- the end ---------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Begin nothing more; answer what is outstanding, say so, and close."""
        self._leaving = True
        for operation in [*self._searches]:
            self._stop(operation, _CLOSING)
        self._stop_standing(_CLOSING)
        self._settled(False)

    def _leave(self) -> None:
        if not self.session.outstanding:
            self._end(self.session.disconnect(_CLOSING.code, _CLOSING.message))

    def _end(self, closed: Closed) -> None:
        """Send what there is to send and hang up."""
        self._closed = True
        self._drop_searches()
        self._out.append(closed.last_words)
        self._flush()
        if closed.reason and not self._leaving:
            self._server.log.warn(
                "{peer}: disconnected: {reason}", peer=self.session.peer.address, reason=closed.reason
            )
        transport = self.transport
        transport.unregisterProducer()
        if closed.last_words and not self._leaving and not self.session.peer.encrypted:
            # A close with input unread resets the connection, and the client may never
            # see why.  So the rest is read, for a while, and thrown away.
            transport.loseWriteConnection()
            transport.resumeProducing()
        else:
            transport.loseConnection()
        if self._timer is not None:
            self._timer.cancel()
        linger = PARTING if self._leaving else LINGER
        self._timer = self._server.reactor.callLater(linger, transport.abortConnection)

    def _stalled(self) -> None:
        """Searches hold a snapshot, which keeps the store from reusing its pages."""
        self._stall = None
        self._server.log.warn(
            "{peer}: disconnected: {reason}", peer=self.session.peer.address, reason="answers are not taken"
        )
        self.transport.abortConnection()

    def _check_idle(self) -> None:
        timeout = self._server.limits.idle_timeout
        quiet = self._clock() - self._heard
        if quiet < timeout or self.session.outstanding:
            wait = max(timeout - quiet, 0.05)
            self._timer = self._server.reactor.callLater(wait, self._check_idle)
        else:
            self._timer = None
            self.session.close()
            self._end(Closed(b"", ""))

    def _drop_searches(self) -> None:
        for answers in self._searches.values():
            answers.close()
        self._searches.clear()
        self._standing.clear()


_CLOSING: Final = Result(ResultCode.UNAVAILABLE, message="the server is shutting down")


_BOUND_ANEW: Final = Result(ResultCode.CANCELED, message="a bind ends what follows changes")
_CANNOT_CANCEL: Final = Result(ResultCode.CANNOT_CANCEL, message="only searches can be cancelled")


def _same(result: Result) -> Result:
    return result
