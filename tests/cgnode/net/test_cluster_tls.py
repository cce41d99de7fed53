"""Handshakes between nodes, over sockets."""

# mypy: disallow-untyped-calls=False
# Trial is not annotated.

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer  # type: ignore[import-untyped]

from cgnode.config import Config
from cgnode.net.tls import cluster_client, cluster_server_context
from tests.cgnode.net.certificates import Authority, cluster_config

reactor = cast(Any, installed)


class Side(Protocol):
    """Begins TLS at once, and says a word."""

    def __init__(self, context: object, word: bytes) -> None:
        self._context = context
        self._word = word
        self.got = b""
        self.lost: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        transport = cast(Any, self.transport)
        if self._context is not None:
            transport.startTLS(self._context)
        transport.write(self._word)

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        cast(Any, self.transport).loseConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback("" if reason is None else reason.getErrorMessage())


class Making(ClientFactory):
    def __init__(self, side: Side) -> None:
        self._side = side

    def buildProtocol(self, addr: object) -> Side:
        return self._side


class ClusterTlsTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.ours, self.others = Authority(folder), Authority(folder, "others")

    def node(self, name: str) -> Config:
        return cluster_config(self.ours.path, self.ours.issue(name))

    async def attempt(self, server: Config, client: object) -> tuple[Side, Side]:
        """The two sides when both are closed."""
        sides = (
            Side(cluster_server_context(server), b"word of the server"),
            Side(client, b"word of the client"),
        )
        port = reactor.listenTCP(0, cast(Factory, Making(sides[0])), interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, Making(sides[1]))
        results = await DeferredList([side.lost for side in sides])
        self.reasons = [str(result) for _, result in results]
        await port.stopListening()
        return sides

    async def test_both_are_of_the_cluster(self) -> None:
        server, client = await self.attempt(self.node("be3"), cluster_client(self.node("fe1"), "be3"))
        assert (server.got, client.got) == (b"word of the client", b"word of the server")

    async def test_a_server_called_by_its_address(self) -> None:
        client = cluster_client(self.node("fe1"), "10.0.0.3")
        _, side = await self.attempt(self.node("10.0.0.3"), client)
        assert side.got == b"word of the server"

    async def test_another_server_of_the_cluster(self) -> None:
        server, client = await self.attempt(self.node("be5"), cluster_client(self.node("fe1"), "be3"))
        assert (server.got, client.got) == (b"", b"")
        assert "be3" in self.reasons[1]

    async def test_a_server_of_another_authority(self) -> None:
        false = cluster_config(self.ours.path, self.others.issue("be3"))
        server, client = await self.attempt(false, cluster_client(self.node("fe1"), "be3"))
        assert (server.got, client.got) == (b"", b"")
        assert "certificate verify failed" in self.reasons[1]

    async def test_a_client_of_another_authority(self) -> None:
        false = cluster_config(self.ours.path, self.others.issue("fe1"))
        server, _ = await self.attempt(self.node("be3"), cluster_client(false, "be3"))
        assert server.got == b""
        assert "certificate verify failed" in self.reasons[0]

    async def test_a_client_without_a_certificate(self) -> None:
        from twisted.internet.ssl import CertificateOptions

        server, _ = await self.attempt(self.node("be3"), CertificateOptions())
        assert server.got == b""
        assert "did not return a certificate" in self.reasons[0]

    async def test_before_tls_1_2(self) -> None:
        from OpenSSL.SSL import TLS1_1_VERSION, TLS_METHOD, Connection, Context

        @implementer(IOpenSSLClientConnectionCreator)
        class Old:
            def clientConnectionForTLS(self, protocol: object) -> Connection:
                context = Context(TLS_METHOD)
                context.set_cipher_list(b"ALL:@SECLEVEL=0")
                context.set_max_proto_version(TLS1_1_VERSION)
                return Connection(context, None)

        server, _ = await self.attempt(self.node("be3"), Old())
        assert server.got == b""
        assert "unsupported protocol" in self.reasons[0]

    async def test_clear_text(self) -> None:
        server, _ = await self.attempt(self.node("be3"), None)
        assert server.got == b""
