"""One connection to a provider of content (RFC 4533): requests that have one answer, and
one search whose answers do not end.

Its messages are handed on as they came, in batches, to whoever asks for the next; when
nobody does, reading stops.  Sans meaning: what the messages say is for ``sync.copy``.
"""

# mypy: disallow-untyped-calls=False
# Twisted's protocols are not annotated.

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from ldapserver.messages import Control, ExtendedRequest, Message, Request, Result, SearchRequest
from ldapserver.net.connecting import TLS_ERRORS, RemoteError, tls_failed
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire.ber import BerError, Reader
from ldapserver.wire.client import decode_response, encode_message
from ldapserver.wire.encode import NOTICE_OF_DISCONNECTION
from ldapserver.wire.framing import Framer, ProtocolViolation
from ldapserver.wire.tags import SEARCH_ENTRY, SEARCH_REFERENCE

LARGEST: Final = 64 << 20
"""Octets of one message that a provider may send."""

WAITING: Final = 1 << 20
"""Octets that may wait to be asked for before no more is read."""


class Stream(Protocol):
    """``heard`` is when the provider last said anything, by the reactor's clock."""

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._framer = Framer(LARGEST)
        self._asked: dict[int, Deferred[Result]] = {}
        self._last_id = 0
        self._followed = 0
        self._waiting: list[bytes] = []
        self._size = 0
        self._paused = False
        self._wanted: Deferred[None] | None = None
        self._fault: Exception | None = None
        self.heard = 0.0

    # --- asking -----------------------------------------------------------------------

    async def ask(self, request: Request, controls: tuple[Control, ...] = ()) -> Result:
        """The Result; raises LDAPError for a refusal, RemoteError for a lost connection."""
        answer: Deferred[Result] = Deferred()
        number = self._send(request, controls)
        self._asked[number] = answer
        try:
            result = await answer
        finally:
            self._asked.pop(number, None)
        if result.code is not ResultCode.SUCCESS:
            raise LDAPError(result.code, result.message, result.matched_dn)
        return result

    async def start_tls(self, oid: str, tls: Any) -> None:
        await self.ask(ExtendedRequest(oid, None))
        self.transport.startTLS(tls)

    def follow(self, request: SearchRequest, controls: tuple[Control, ...]) -> None:
        """Begin the search whose answers ``messages`` gives."""
        self._followed = self._send(request, controls)

    async def messages(self, patience: float) -> list[bytes]:
        """The search's next messages; none when nothing comes for so many seconds.

        Raises RemoteError when the connection is lost and all was given.
        """
        if not self._waiting:
            if self._fault is not None:
                raise self._fault
            self._wanted = Deferred()
            self._wanted.addTimeout(patience, self._reactor)
            try:
                await self._wanted
            except TimeoutError:
                return []
            finally:
                self._wanted = None
        taken, self._waiting = self._waiting, []
        self._size = 0
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        return taken

    def close(self) -> None:
        self._fail(RemoteError("the connection is closed"))
        if self.transport is not None:
            self.transport.abortConnection()

    def give_up(self, reason: str) -> None:
        """Close a connection that is of no use, for a reason."""
        self._fail(RemoteError(reason))
        self.transport.abortConnection()

    # --- Twisted's side ---------------------------------------------------------------

    def connectionMade(self) -> None:
        self.heard = self._reactor.seconds()

    def dataReceived(self, data: bytes) -> None:
        self.heard = self._reactor.seconds()
        if self._fault is not None:
            return
        try:
            for frame in self._framer.feed(data):
                self._take(frame)
        except (ProtocolViolation, BerError) as error:
            self.give_up(f"not LDAP: {error}")
            return
        if self._waiting and self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            wanted.callback(None)
        if self._size > WAITING and not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = reason.value
        self._fail(
            tls_failed(error) if isinstance(error, TLS_ERRORS) else RemoteError(reason.getErrorMessage())
        )

    # --- the parts --------------------------------------------------------------------

    def _send(self, request: Request, controls: tuple[Control, ...]) -> int:
        if self._fault is not None:
            raise self._fault
        self._last_id += 1
        self.transport.write(encode_message(Message(self._last_id, request, controls)))
        return self._last_id

    def _take(self, frame: bytes) -> None:
        number = Reader(frame).inside().integer()
        if number and number == self._followed:
            self._waiting.append(frame)
            self._size += len(frame)
            return
        response = decode_response(frame)
        if not number:
            text = response.answer.message if isinstance(response.answer, Result) else ""
            notice = isinstance(response.answer, Result) and response.answer.oid == NOTICE_OF_DISCONNECTION
            if notice:
                self._fail(RemoteError(f"disconnected by the server: {text}"))
        elif response.tag not in (SEARCH_ENTRY, SEARCH_REFERENCE) and number in self._asked:
            assert isinstance(response.answer, Result)
            self._asked.pop(number).callback(response.answer)

    def _fail(self, error: Exception) -> None:
        if self._fault is not None:
            return
        self._fault = error
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.errback(Failure(error))
        if self._wanted is not None and not self._waiting:
            wanted, self._wanted = self._wanted, None
            wanted.errback(Failure(error))
