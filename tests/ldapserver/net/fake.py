"""A directory that answers as its test wants, and a client for what comes back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from ldapserver.directory import BindOutcome
from ldapserver.identity import ANONYMOUS, Identity, Peer
from ldapserver.messages import (
    BindRequest,
    BulkReport,
    BulkRequest,
    CompareRequest,
    Control,
    Deref,
    ExtendedRequest,
    Message,
    Present,
    Request,
    Result,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
    WriteRequest,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire.client import Response, decode_response, encode_message
from ldapserver.wire.encode import entry_tail
from ldapserver.wire.framing import Framer

ADMIN = Identity("cn=admin", (b"cn=admin",), True)

ENDLESS = "endless"
"""The base of a search that works for ever."""

ENTRY = entry_tail(b"cn=entry,o=example", b"")


def search(base: str) -> SearchRequest:
    """``base`` tells ``FakeDirectory`` what to do: a number of entries, ``ENDLESS``."""
    head = SearchHead(base, Scope.SUBTREE, Deref.NEVER, 0, 0, False)
    return SearchRequest(head, Present("objectClass"), ())


class FakeDirectory:
    """Keeps the futures that it gave out, for the test to complete, and counts searches."""

    def __init__(self) -> None:
        self.tail = ENTRY
        self.writes: list[Future[Result]] = []
        self.binds: list[Future[BindOutcome]] = []
        self.peers: list[Peer] = []
        self.started = 0
        self.open = 0
        self.steps = 0

    def look_up(self, identity: Identity, request: SearchRequest) -> None:
        """Nothing here is answered that quickly."""

    def search(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result]:
        self.started += 1
        self.open += 1
        base = request.head.base
        try:
            if base == ENDLESS:
                while True:
                    self.steps += 1
                    yield b""
            if not base.isdigit():
                raise LDAPError(ResultCode.NO_SUCH_OBJECT, "not there", "o=example")
            for _ in range(int(base)):
                self.steps += 1
                yield self.tail
        finally:
            self.open -= 1
        return Result()

    def synchronise(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result]:
        raise NotImplementedError

    def last_transaction(self) -> int:
        return 0

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def compare(self, identity: Identity, request: CompareRequest, controls: tuple[Control, ...]) -> Result:
        if request.dn == "bug":
            raise ZeroDivisionError("a detail for the log only")
        return Result(ResultCode.COMPARE_TRUE)

    def bind(self, request: BindRequest, peer: Peer) -> BindOutcome | Future[BindOutcome]:
        self.peers.append(peer)
        assert isinstance(request.credentials, SimpleCredentials)
        if not request.name:
            return BindOutcome(Result(), ANONYMOUS)
        self.binds.append(Future())
        return self.binds[-1]

    def write(
        self, identity: Identity, request: WriteRequest, controls: tuple[Control, ...]
    ) -> Future[Result]:
        self.writes.append(Future())
        return self.writes[-1]

    def extended(
        self, identity: Identity, request: ExtendedRequest, controls: tuple[Control, ...], peer: Peer
    ) -> Result | Future[Result]:
        raise LDAPError(ResultCode.PROTOCOL_ERROR, "unknown extended operation")

    def bulk(self, identity: Identity, request: BulkRequest) -> Future[BulkReport]:
        raise NotImplementedError


class Client(Protocol):
    """Speaks LDAP over a transport of the test's; answers are waited for in order."""

    transport: Any

    def __init__(self) -> None:
        self.framer = Framer(2**31)
        self.received: list[Response] = []
        self.octets = 0
        self.lost: Deferred[None] = Deferred()
        self.is_lost = False
        self._wanted: tuple[int, Deferred[None]] | None = None

    def send(self, message_id: int, request: Request, *controls: Control) -> None:
        self.transport.write(encode_message(Message(message_id, request, controls)))

    async def answers(self, count: int) -> list[Response]:
        """The next so many messages."""
        if len(self.received) < count:
            self._wanted = (count, Deferred())
            await self._wanted[1]
        taken, self.received[:count] = self.received[:count], []
        return taken

    async def result(self) -> Result:
        """The next message, which is a result."""
        (response,) = await self.answers(1)
        assert isinstance(response.answer, Result), response
        return response.answer

    async def ask(self, message_id: int, request: Request, *controls: Control) -> Result:
        self.send(message_id, request, *controls)
        return await self.result()

    def dataReceived(self, data: bytes) -> None:
        self.octets += len(data)
        self.received += map(decode_response, self.framer.feed(data))
        if self._wanted is not None and len(self.received) >= self._wanted[0]:
            wanted, self._wanted = self._wanted[1], None
            wanted.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True
        if self._wanted is not None:
            wanted, self._wanted = self._wanted[1], None
            wanted.errback(AssertionError("connection lost"))
        self.lost.callback(None)
