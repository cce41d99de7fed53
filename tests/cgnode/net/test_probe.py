"""Greetings over sockets: good, bad, late, and of a black hole."""

# mypy: disallow-untyped-calls=False
# Trial is not annotated.

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cgnode.members import Endpoint
from cgnode.net.probe import GreetingCore, GreetingProbe, NoGreeting

reactor: Any = installed


class Server(Factory):
    noisy = False

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.received = b""
        self.ended: Deferred[None] = Deferred()

    def buildProtocol(self, addr: object) -> Protocol:
        return Speaking(self)


class Speaking(Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._server.greeting)
        if not self._server.greeting:
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._server.received += data

    def connectionLost(self, reason: object = None) -> None:
        self._server.ended.callback(None)


class ProbeTests(TestCase):
    timeout = 20

    async def ask(self, protocol: str, greeting: bytes) -> Server:
        server = Server(greeting)
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        try:
            await GreetingProbe(reactor, 2.0)(protocol, Endpoint("127.0.0.1", port.getHost().port))
        finally:
            await server.ended
            await port.stopListening()
        return server

    async def refused(self, protocol: str, greeting: bytes) -> str:
        with pytest.raises(NoGreeting) as caught:
            await self.ask(protocol, greeting)
        return str(caught.value)

    async def test_greetings(self) -> None:
        for protocol, greeting, last_words in [
            ("lmtp", b"220 be3 LMTP\r\n", b"QUIT\r\n"),
            ("lmtp", b"220-be3\r\n220 LMTP\r\n", b"QUIT\r\n"),
            ("imap", b"* OK [CAPABILITY IMAP4rev1] be3\r\n", b"a LOGOUT\r\n"),
            ("imap", b"* ok\r\n", b"a LOGOUT\r\n"),
            ("pop3", b"+OK be3\r\n", b"QUIT\r\n"),
        ]:
            assert (await self.ask(protocol, greeting)).received == last_words

    async def test_what_is_no_good_greeting(self) -> None:
        assert await self.refused("lmtp", b"421 be3 is full\r\n") == "greets with '421 be3 is full'"
        assert await self.refused("imap", b"* BYE later\r\n") == "greets with '* BYE later'"
        assert await self.refused("lmtp", b"* OK\r\n") == "greets with '* OK'"
        assert (await self.refused("imap", b"x" * 10_000)).startswith("greets with 'xxx")

    async def test_closed_without_a_word(self) -> None:
        assert (await self.refused("imap", b"")).startswith("no greeting: ")

    async def test_nobody_listens(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = Endpoint("127.0.0.1", unused.getsockname()[1])
            with pytest.raises(NoGreeting) as caught:
                await GreetingProbe(reactor, 2.0)("imap", endpoint)
        assert "refused" in str(caught.value).lower()

    async def test_a_name(self) -> None:
        server = Server(b"* OK\r\n")
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        await GreetingProbe(reactor, 2.0)("imap", Endpoint("localhost", port.getHost().port))
        await server.ended
        await port.stopListening()

    async def test_a_host_that_hangs_is_given_up(self) -> None:
        """Its kernel takes connections still."""
        with socket.create_server(("127.0.0.1", 0)) as hanging:
            asked = GreetingProbe(reactor, 2.0)("lmtp", Endpoint("127.0.0.1", hanging.getsockname()[1]))
            await deferLater(reactor, 0.1, lambda: None)
            assert not asked.called
            outcome: list[object] = []
            asked.addBoth(outcome.append)
            asked.cancel()
            assert len(outcome) == 1
            accepted, _ = hanging.accept()
            accepted.close()
            await deferLater(reactor, 0.05, lambda: None)


def test_however_it_is_cut() -> None:
    core = GreetingCore()
    for octet in b"220 be3":
        core.receive(bytes([octet]))
        assert core.next_event() is None
    core.receive(b"\r\n250 more")
    event = core.next_event()
    assert event is not None
    assert event.line == b"220 be3"
    core.receive(b"\r\n")
    assert core.next_event() is None
