"""Searches that go on with what changes, over sockets: told soon, ended by their client, cut
off when nobody reads."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket
from typing import Any, ClassVar, cast

from attrs import evolve
from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater

from ldapserver.extended import CANCEL, encode_cancel
from ldapserver.messages import (
    AbandonRequest,
    BindRequest,
    CompareRequest,
    Entry,
    ExtendedRequest,
    Message,
    Result,
    SimpleCredentials,
)
from ldapserver.net.factory import LDAPFactory
from ldapserver.results import ResultCode
from ldapserver.sync.codec import Mode
from ldapserver.testing.source import Source
from ldapserver.testing.trial import DirectoryTestCase
from ldapserver.wire.client import Intermediate, encode_message
from tests.ldapserver.net.fake import Client
from tests.ldapserver.sync.following import control, request

reactor: Any = global_reactor

SITE = "dn: o=site\nobjectClass: organization\no: site\n\n"


class StandingTest(DirectoryTestCase):
    timeout = 20
    sources: ClassVar[tuple[Source, ...]] = (SITE,)

    async def connect(self) -> Client:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.directory.port)
        client: Client = await connectProtocol(endpoint, Client())
        self.addCleanup(client.transport.abortConnection)
        password = self.directory.administrator_password.encode()
        bound = await client.ask(1, BindRequest(3, "cn=admin", SimpleCredentials(password)))
        assert bound.code is ResultCode.SUCCESS
        return client

    @property
    def factory(self) -> LDAPFactory:
        assert self.directory._service is not None
        return self.directory._service.factory

    async def follow(self, client: Client, message_id: int = 2) -> None:
        client.send(message_id, request(), control())
        entry, end = await client.answers(2)
        assert isinstance(entry.answer, Entry)
        assert isinstance(end.answer, Intermediate)

    def change(self, number: int = 0) -> None:
        self.directory.modify("o=site", replace={"description": str(number)})

    async def test_changes_are_told_as_they_happen(self) -> None:
        client = await self.connect()
        await self.follow(client)
        for number in range(3):
            began = reactor.seconds()
            self.change(number)
            entry, cookie = await client.answers(2)
            assert reactor.seconds() - began < 0.2
            assert isinstance(entry.answer, Entry)
            assert isinstance(cookie.answer, Intermediate)
            assert entry.id == cookie.id == 2

    async def test_other_operations_go_on_beside_it(self) -> None:
        client = await self.connect()
        await self.follow(client)
        result = await client.ask(3, CompareRequest("o=site", "o", b"site"))
        assert result.code is ResultCode.COMPARE_TRUE
        await self.follow(client, 4)
        self.change()
        told = await client.answers(4)
        assert sorted(answer.id for answer in told) == [2, 2, 4, 4]

    async def test_byte_by_byte(self) -> None:
        client = await self.connect()
        octets = encode_message(Message(2, request(), (control(Mode.REFRESH_ONLY),)))
        for value in octets:
            client.transport.write(bytes((value,)))
            await deferLater(reactor, 0.001)
        entry, done = await client.answers(2)
        assert isinstance(entry.answer, Entry)
        assert isinstance(done.answer, Result)
        assert done.answer.code is ResultCode.SUCCESS

    async def test_abandoned(self) -> None:
        client = await self.connect()
        await self.follow(client)
        client.send(3, AbandonRequest(2))
        for message_id in (4, 5):
            result = await client.ask(message_id, CompareRequest("o=site", "o", b"site"))
            assert result.code is ResultCode.COMPARE_TRUE
            self.change(message_id)
            await deferLater(reactor, 0.1)
        (connection,) = self.factory.connections
        assert connection.session.outstanding == 0
        assert not list(connection._standing)
        # Its id may be used again.
        await self.follow(client, 2)

    async def test_cancelled(self) -> None:
        client = await self.connect()
        await self.follow(client)
        client.send(3, ExtendedRequest(CANCEL, encode_cancel(2)))
        ended, done = await client.answers(2)
        assert isinstance(ended.answer, Result)
        assert isinstance(done.answer, Result)
        assert (ended.id, ended.answer.code) == (2, ResultCode.CANCELED)
        assert (done.id, done.answer.code) == (3, ResultCode.SUCCESS)
        again = await client.ask(4, ExtendedRequest(CANCEL, encode_cancel(2)))
        assert again.code is ResultCode.NO_SUCH_OPERATION
        wrong = await client.ask(5, ExtendedRequest(CANCEL, b"?"))
        assert wrong.code is ResultCode.PROTOCOL_ERROR

    async def test_a_bind_ends_it(self) -> None:
        client = await self.connect()
        await self.follow(client)
        client.send(3, BindRequest(3, "", SimpleCredentials(b"")))
        ended, bound = await client.answers(2)
        assert isinstance(ended.answer, Result)
        assert isinstance(bound.answer, Result)
        assert (ended.id, ended.answer.code) == (2, ResultCode.CANCELED)
        assert (bound.id, bound.answer.code) == (3, ResultCode.SUCCESS)

    async def test_one_who_does_not_read_is_cut_off(self) -> None:
        self.factory.limits = evolve(self.factory.limits, stall_timeout=cast(int, 0.3))
        deaf = socket.create_connection(("127.0.0.1", self.directory.port))
        self.addCleanup(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        password = self.directory.administrator_password.encode()
        bind = BindRequest(3, "cn=admin", SimpleCredentials(password))
        deaf.sendall(encode_message(Message(1, bind, ())))
        deaf.sendall(encode_message(Message(2, request(), (control(),))))
        other = await self.connect()
        await self.follow(other)
        value = "x" * 200_000
        for number in range(200):
            self.directory.modify("o=site", replace={"description": f"{value}{number}"})
            await deferLater(reactor, 0.02)
            if len(self.factory.connections) == 1:
                break
        assert len(self.factory.connections) == 1
        # Others are told all the while.
        assert len(other.received) > 10

    async def test_the_end_of_the_server(self) -> None:
        client = await self.connect()
        await self.follow(client)
        await self.directory.stop_listening()
        ended, notice = await client.answers(2)
        assert isinstance(ended.answer, Result)
        assert (ended.id, ended.answer.code) == (2, ResultCode.UNAVAILABLE)
        assert notice.id == 0
        await client.lost

    async def test_nothing_is_left_behind(self) -> None:
        client = await self.connect()
        await self.follow(client)
        client.transport.abortConnection()
        await client.lost
        while self.factory.connections:
            await deferLater(reactor, 0.01)
        assert not self.factory.watch._listeners
        self.change()

    async def test_one_that_is_restored_meanwhile(self) -> None:
        client = await self.connect()
        await self.follow(client)
        self.directory.restore(self.directory.snapshot())
        self.change()
        (ended,) = await client.answers(1)
        assert isinstance(ended.answer, Result)
        assert ended.answer.code is ResultCode.UNAVAILABLE
