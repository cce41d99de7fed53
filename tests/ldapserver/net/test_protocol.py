"""The protocol over real loopback sockets."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from ldapserver.directory import BindOutcome, Limits
from ldapserver.messages import (
    AbandonRequest,
    BindRequest,
    CompareRequest,
    DeleteRequest,
    Message,
    Result,
    SimpleCredentials,
    UnbindRequest,
)
from ldapserver.net.factory import LDAPFactory
from ldapserver.net.listen import TCPAddress
from ldapserver.net.protocol import LINGER, LDAPConnection
from ldapserver.net.service import LDAPService
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire.client import encode_message
from ldapserver.wire.encode import NOTICE_OF_DISCONNECTION, entry_tail, partial_attribute
from ldapserver.wire.framing import Framer
from tests.ldapserver.net.fake import ADMIN, ENDLESS, Client, FakeDirectory, search

reactor: Any = global_reactor

DELETE = DeleteRequest("cn=a,o=example")
BIND = BindRequest(3, "cn=admin", SimpleCredentials(b"the password"))


class ServerCase(TestCase):
    """A server on a fake directory, and clients."""

    timeout = 20
    limits = Limits()

    def setUp(self) -> None:
        self.directory = FakeDirectory()
        self.folder = Path(tempfile.mkdtemp())
        self.factory = LDAPFactory(reactor, self.directory, self.limits)
        urls = ["ldap://127.0.0.1:0", f"ldapi://{self.folder}/ldapi"]
        self.service = LDAPService(reactor, self.factory, urls)
        self.service.startService()
        self.clients: list[Client] = []
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(cast(Any, self._observe))

    async def tearDown(self) -> None:  # type: ignore[override]
        globalLogPublisher.removeObserver(cast(Any, self._observe))
        for client in self.clients:
            if not client.is_lost:
                client.transport.abortConnection()
        self.factory.abort()
        await self.service.stopService()
        for client in self.clients:
            if not client.is_lost:
                await client.lost
        os.rmdir(self.folder)
        assert self.directory.open == 0, "a search was not closed"

    def _observe(self, event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("ldapserver."):
            self.events.append(dict(event))

    @property
    def port(self) -> int:
        address = self.service.listeners[0].address
        assert isinstance(address, TCPAddress)
        return address.port

    async def connect(self) -> Client:
        client: Client = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Client())
        self.clients.append(client)
        return client

    def reasons(self) -> list[str]:
        """Why connections were ended, as logged."""
        return [event["reason"] for event in self.events if "reason" in event]


def turns(seconds: float = 0) -> Deferred[None]:
    return deferLater(reactor, seconds)


async def until(condition: Any) -> None:
    while not condition():
        await turns(0.002)


class Requests(ServerCase):
    async def test_a_search(self) -> None:
        client = await self.connect()
        client.send(7, search("3"))
        answers = await client.answers(4)
        assert [answer.id for answer in answers] == [7] * 4
        assert answers[3].answer == Result()

    async def test_many_in_one_segment_and_byte_by_byte(self) -> None:
        client = await self.connect()
        data = b"".join(encode_message(Message(n, search("1"), ())) for n in range(1, 101))
        client.transport.write(data)
        ids = [answer.id for answer in await client.answers(200)]
        assert ids == [n for n in range(1, 101) for _ in range(2)]
        client.transport.setTcpNoDelay(True)
        for value in data[:60]:
            client.transport.write(bytes((value,)))
            await turns()
        await client.answers(2)

    async def test_errors_are_results(self) -> None:
        client = await self.connect()
        result = await client.ask(1, search("missing"))
        assert result == Result(ResultCode.NO_SUCH_OBJECT, "o=example", "not there")

    async def test_our_own_faults_are_logged_and_not_told(self) -> None:
        client = await self.connect()
        result = await client.ask(1, CompareRequest("bug", "cn", b"x"))
        assert result == Result(ResultCode.OTHER, message="internal error")
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert await client.ask(2, search("0")) == Result()

    async def test_a_write_is_answered_when_it_is_done(self) -> None:
        client = await self.connect()
        client.send(1, DELETE)
        client.send(2, DELETE)
        client.send(3, search("0"))
        assert (await client.answers(1))[0].id == 3
        reactor.callInThread(self.directory.writes[1].set_exception, LDAPError(ResultCode.NO_SUCH_OBJECT))
        answer = (await client.answers(1))[0]
        assert (answer.id, answer.answer) == (2, Result(ResultCode.NO_SUCH_OBJECT))
        self.directory.writes[0].set_result(Result())
        assert (await client.answers(1))[0].id == 1

    async def test_a_group_of_writes_wakes_the_reactor_once(self) -> None:
        wakes = []

        class Counting:
            def callFromThread(self, call: Any) -> None:
                wakes.append(call)
                reactor.callFromThread(call)

            def __getattr__(self, name: str) -> Any:
                return getattr(reactor, name)

        self.factory.completions._reactor = cast(Any, Counting())
        clients = [await self.connect() for _ in range(5)]
        for client in clients:
            for number in range(1, 11):
                client.send(number, DELETE)
        await until(lambda: len(self.directory.writes) == 50)
        for future in self.directory.writes:
            future.set_result(Result())
        for client in clients:
            await client.answers(10)
        assert len(wakes) == 1

    async def test_a_bind_holds_back_what_is_behind_it(self) -> None:
        client = await self.connect()
        client.send(1, BIND)
        client.send(2, search("0"))
        await until(lambda: self.directory.binds)
        await turns(0.01)
        assert (self.directory.started, client.received) == (0, [])
        self.directory.binds[0].set_result(BindOutcome(Result(), ADMIN))
        assert [answer.id for answer in await client.answers(2)] == [1, 2]
        (connection,) = self.factory.connections
        assert connection.session.identity == ADMIN

    async def test_unknown_extended_operation(self) -> None:
        client = await self.connect()
        client.transport.write(bytes.fromhex("300c02010177078005312e322e33"))
        assert (await client.result()).code == ResultCode.PROTOCOL_ERROR

    async def test_peer_credentials(self) -> None:
        path = str(self.folder / "ldapi")
        client: Client = await connectProtocol(UNIXClientEndpoint(reactor, path), Client())
        self.clients.append(client)
        await client.ask(1, BindRequest(3, "", SimpleCredentials(b"")))
        assert self.directory.peers[0].uid == os.getuid()


class Endings(ServerCase):
    async def test_a_violation_is_told_and_logged_once(self) -> None:
        client = await self.connect()
        client.transport.write(b"GET / HTTP/1.0\r\n\r\n")
        notice = await client.result()
        assert (notice.code, notice.oid) == (ResultCode.PROTOCOL_ERROR, NOTICE_OF_DISCONNECTION)
        await client.lost
        assert self.reasons() == ["not an LDAP message"]

    async def test_last_words_arrive_though_the_client_goes_on_sending(self) -> None:
        client = await self.connect()
        client.transport.write(b"\x30\x84\x7f\xff\xff\xff" + b"x" * 4_000_000)
        assert (await client.result()).code == ResultCode.PROTOCOL_ERROR
        await client.lost

    async def test_others_are_not_touched(self) -> None:
        good, bad = await self.connect(), await self.connect()
        good.send(1, DELETE)
        bad.transport.write(b"\x00")
        await bad.lost
        self.directory.writes[0].set_result(Result())
        assert await good.result() == Result()

    async def test_tls_on_the_plain_port(self) -> None:
        client = await self.connect()
        client.transport.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        await client.lost
        assert client.octets == 0
        assert self.reasons() == ["TLS where none is expected"]

    async def test_unbind_in_mid_search(self) -> None:
        client = await self.connect()
        client.send(1, search(ENDLESS))
        client.send(2, DELETE)
        await until(lambda: self.directory.steps > 10)
        client.send(3, UnbindRequest())
        await client.lost
        assert self.directory.open == 0
        self.directory.writes[0].set_result(Result())
        await turns(0.01)
        assert self.reasons() == []

    async def test_a_connection_lost_in_mid_search(self) -> None:
        client = await self.connect()
        client.send(1, search(ENDLESS))
        await until(lambda: self.directory.steps > 10)
        client.transport.abortConnection()
        await until(lambda: not self.directory.open)
        await until(lambda: not self.factory.connections)

    async def test_shutdown(self) -> None:
        quiet, writing, searching = [await self.connect() for _ in range(3)]
        writing.send(1, DELETE)
        searching.send(1, search(ENDLESS))
        await until(lambda: self.directory.writes and self.directory.open)
        port = self.port
        stopped = self.service.stopService()
        assert (await quiet.result()).code == ResultCode.UNAVAILABLE
        assert [answer.id for answer in await searching.answers(2)] == [1, 0]
        await turns(0.01)
        assert not writing.received
        self.directory.writes[0].set_result(Result())
        done, notice = await writing.answers(2)
        assert (done.answer, notice.id) == (Result(), 0)
        await stopped
        assert not self.factory.connections
        with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
            probe.connect(("127.0.0.1", port))

    async def test_no_credentials_in_the_log(self) -> None:
        client = await self.connect()
        client.transport.write(encode_message(Message(1, BIND, ())).replace(b"\x80\x0c", b"\x80\x20"))
        await client.lost
        assert len(self.reasons()) == 1
        assert "the passw" not in repr(self.events)


class LongSearches(ServerCase):
    async def test_abandon_of_a_running_search(self) -> None:
        client = await self.connect()
        client.send(1, search(ENDLESS))
        await until(lambda: self.directory.steps > 10)
        client.send(2, AbandonRequest(1))
        client.send(3, AbandonRequest(1))
        client.send(4, AbandonRequest(77))
        assert await client.ask(5, search("0")) == Result()
        assert self.directory.open == 0
        assert client.received == []

    async def test_quick_requests_get_their_turn(self) -> None:
        slow = [await self.connect() for _ in range(5)]
        for client in slow:
            client.send(1, search(ENDLESS))
            client.send(2, search(ENDLESS))
        quick = await self.connect()
        started = reactor.seconds()
        for number in range(1, 11):
            await quick.ask(number, search("0"))
        assert reactor.seconds() - started < 1.0
        for client in slow:
            client.send(3, AbandonRequest(1))
            client.send(4, AbandonRequest(2))
            await client.ask(5, search("0"))
        assert self.directory.open == 0

    async def test_a_large_answer_arrives_whole(self) -> None:
        client = await self.connect()
        client.send(1, search("100000"))
        client.send(2, search("1000"))
        answers = await client.answers(101_002)
        assert sum(answer.id == 1 for answer in answers) == 100001
        assert {answer.answer for answer in answers if answer.tag == 101} == {Result()}


class Deaf(ServerCase):
    """Clients that ask and do not read."""

    async def connect_deaf(self) -> Client:
        client = await self.connect()
        client.transport.pauseProducing()
        # A small buffer, so that the server feels it soon.
        (connection,) = self.factory.connections
        connection.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.directory.tail = entry_tail(b"cn=entry,o=example", partial_attribute(b"cn", [b"x" * 1000]))
        return client

    async def test_searches_that_nobody_reads_are_not_carried_out(self) -> None:
        client = await self.connect_deaf()
        (connection,) = self.factory.connections
        client.transport.write(
            b"".join(encode_message(Message(n, search("1"), ())) for n in range(1, 100_001))
        )
        await until(lambda: connection._full)
        await turns(0.1)
        started = self.directory.started
        await turns(0.1)
        assert self.directory.started == started, "still at work"
        assert started < 2000
        assert connection._size + len(connection.session._frames) * 100 < 200000
        assert len(client.transport.dataBuffer) > 1000000, "the server has read it all"
        client.transport.resumeProducing()
        await until(lambda: self.directory.started > started + 1000)
        assert self.reasons() == []

    async def test_a_search_that_nobody_reads_is_ended(self) -> None:
        self.factory.limits = evolve(Limits(), stall_timeout=cast(int, 0.2))
        client = await self.connect_deaf()
        client.send(1, search("1000000"))
        await until(lambda: self.directory.open)
        await until(lambda: not self.directory.open)
        assert self.reasons() == ["answers are not taken"]
        client.transport.resumeProducing()
        await client.lost

    async def test_a_client_that_reads_again_in_time(self) -> None:
        client = await self.connect_deaf()
        client.send(1, search("3000"))
        (connection,) = self.factory.connections
        await until(lambda: connection._full)
        await turns(0.1)
        client.transport.resumeProducing()
        await client.answers(3001)
        assert self.reasons() == []


class Pending(ServerCase):
    limits = evolve(Limits(), pending_per_connection=10, connections=2)

    async def test_no_more_is_read_while_enough_is_pending(self) -> None:
        client = await self.connect()
        for number in range(1, 101):
            client.send(number, DELETE)
        await until(lambda: len(self.directory.writes) == 10)
        await turns(0.02)
        assert len(self.directory.writes) == 10
        for done in range(100):
            await until(lambda done=done: len(self.directory.writes) > done)
            self.directory.writes[done].set_result(Result())
        assert len({answer.id for answer in await client.answers(100)}) == 100

    async def test_abandoned_writes_count_until_they_are_done(self) -> None:
        client = await self.connect()
        for number in range(1, 41, 2):
            client.send(number, DELETE)
            client.send(number + 1, AbandonRequest(number))
        await until(lambda: len(self.directory.writes) == 10)
        await turns(0.02)
        assert len(self.directory.writes) == 10
        for future in self.directory.writes:
            future.set_result(Result())

    async def test_more_connections_than_allowed(self) -> None:
        first, second = await self.connect(), await self.connect()
        third, fourth = await self.connect(), await self.connect()
        await third.lost
        await fourth.lost
        assert len([event for event in self.events if "most" in event]) == 1
        assert await first.ask(1, search("0")) == Result()
        second.send(1, UnbindRequest())
        await second.lost
        await until(lambda: len(self.factory.connections) == 1)
        fifth = await self.connect()
        assert await fifth.ask(1, search("0")) == Result()


class Idle(TestCase):
    """With a clock of the test's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.callFromThread = lambda call: self.clock.callLater(0, call)  # type: ignore[attr-defined]
        factory = LDAPFactory(cast(Any, self.clock), FakeDirectory(), Limits(idle_timeout=60))
        self.connection = LDAPConnection(factory)
        self.transport = Transport()
        self.connection.makeConnection(cast(Any, self.transport))

    @property
    def ended(self) -> tuple[bool, bool]:
        """Closed by us, aborted by us."""
        return bool(self.transport.disconnecting), self.transport.aborting

    def test_an_idle_connection_is_closed(self) -> None:
        self.clock.advance(59)
        self.connection.dataReceived(encode_message(Message(1, search("0"), ())))
        self.clock.advance(59)
        assert self.ended == (False, False)
        self.clock.pump([1, 1])
        assert self.ended == (True, False)
        assert len(Framer(1000).feed(self.transport.value())) == 1

    def test_a_byte_a_second_is_idle_too(self) -> None:
        message = encode_message(Message(1, DeleteRequest("cn=" + "x" * 100), ()))
        for value in message[:70]:
            self.connection.dataReceived(bytes((value,)))
            self.clock.advance(1)
        assert self.transport.disconnecting

    def test_what_is_under_way_is_not_idle(self) -> None:
        self.connection.dataReceived(encode_message(Message(1, DELETE, ())))
        for _ in range(10):
            self.clock.advance(60)
        assert not self.transport.disconnecting

    def test_a_client_that_does_not_take_last_words(self) -> None:
        self.connection.dataReceived(b"GET /")
        self.clock.advance(LINGER + 1)
        assert self.transport.aborting


class Transport(StringTransport):
    """What the protocol asks of one beyond Twisted's own fake."""

    aborting = False

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def loseWriteConnection(self) -> None: ...

    def abortConnection(self) -> None:
        self.aborting = True
