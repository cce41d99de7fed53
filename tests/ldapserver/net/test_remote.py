"""The client of other directories, at our server and at bad ones."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from ldapserver.messages import (
    AddRequest,
    Attribute,
    Change,
    DeleteRequest,
    Equality,
    ExtendedRequest,
    ModifyOp,
    ModifyRequest,
    Present,
    Scope,
)
from ldapserver.net.listen import TCPAddress, parse_url
from ldapserver.net.remote import PAGE, RemoteDirectory, RemoteError
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing.source import Source
from ldapserver.testing.trial import DirectoryTestCase

reactor: Any = global_reactor

WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"


class AtOurServer(DirectoryTestCase):
    sources: ClassVar[tuple[Source, ...]] = ("dn: o=site\nobjectClass: organization\no: site\n",)

    async def connect(self, url: str) -> RemoteDirectory:
        remote = await RemoteDirectory.connect(reactor, parse_url(url))
        self.addCleanup(remote.close)
        return remote

    async def administrator(self) -> RemoteDirectory:
        remote = await self.connect(self.directory.url)
        await remote.bind(self.directory.administrator_dn, self.directory.administrator_password.encode())
        return remote

    async def test_requests_and_refusals(self) -> None:
        remote = await self.administrator()
        request = AddRequest(
            "ou=x,o=site", (Attribute("objectClass", (b"organizationalUnit",)), Attribute("ou", (b"x",)))
        )
        await remote.ask(request)
        with pytest.raises(LDAPError) as caught:
            await remote.ask(request)
        assert caught.value.code == ResultCode.ENTRY_ALREADY_EXISTS
        change = Change(ModifyOp.REPLACE, "description", ("gr\u00fcn".encode(), b"blue"))
        await remote.ask(ModifyRequest("ou=x,o=site", (change,)))
        entry = await remote.read("ou=x,o=site", ("description",))
        assert entry is not None
        assert entry.attributes == (Attribute("description", change.values),)
        assert await remote.read("ou=x,o=site", (), Equality("ou", b"y")) is None
        await remote.ask(DeleteRequest("ou=x,o=site"))
        with pytest.raises(LDAPError) as caught:
            await remote.read("ou=x,o=site", ())
        assert caught.value.code == ResultCode.NO_SUCH_OBJECT
        assert caught.value.matched_dn == "o=site"

    async def test_a_search_goes_on_page_by_page(self) -> None:
        remote = await self.administrator()
        wanted = 2 * PAGE + 3
        unit = "dn: ou={0},o=site\nobjectClass: organizationalUnit\nou: {0}\n\n"
        self.directory.load("".join(unit.format(i) for i in range(wanted)))
        found = remote.search("o=site", Scope.ONE, Present("ou"), ("ou",))
        names = [entry.dn async for entry in found]
        assert len(set(names)) == wanted

    async def test_as_whom(self) -> None:
        remote = await self.connect(self.directory.url)
        who = await remote.ask(ExtendedRequest(WHO_AM_I, None))
        assert who.value == b""
        with pytest.raises(LDAPError) as caught:
            await remote.bind(self.directory.administrator_dn, b"wrong")
        assert caught.value.code == ResultCode.INVALID_CREDENTIALS
        local = await self.connect(self.directory.ldapi_url)
        await local.bind_external()
        who = await local.ask(ExtendedRequest(WHO_AM_I, None))
        assert who.value == b"dn:" + self.directory.administrator_dn.encode()

    async def test_a_closed_connection(self) -> None:
        remote = await self.connect(self.directory.url)
        remote.close()
        with pytest.raises(RemoteError):
            await remote.read("", ())


class Answering(Protocol):
    """A server that gives the same answer to everything."""

    answer = b""

    def dataReceived(self, _: bytes) -> None:
        transport: Any = self.transport
        transport.write(self.answer)


class AtBadServers(TestCase):
    async def connect(self, answer: bytes, silence: float = 5.0) -> RemoteDirectory:
        factory = Factory.forProtocol(type("Server", (Answering,), {"answer": answer}))
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        server = TCPAddress("127.0.0.1", port.getHost().port)
        remote = await RemoteDirectory.connect(reactor, server, silence=silence)
        self.addCleanup(remote.close)
        return remote

    async def test_nobody_there(self) -> None:
        with pytest.raises(RemoteError):
            await RemoteDirectory.connect(reactor, TCPAddress("127.0.0.1", 1))

    async def test_one_that_says_nothing(self) -> None:
        remote = await self.connect(b"", silence=0.05)
        with pytest.raises(RemoteError):
            await remote.read("", ())

    async def test_one_that_talks_nonsense(self) -> None:
        for answer in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\x30\x05\x02\x01\x63\x61\x00",
            b"\x30\x03\x02\x01\x01",
        ):
            remote = await self.connect(answer, silence=0.5)
            with pytest.raises((RemoteError, LDAPError)):
                await remote.read("", ())
