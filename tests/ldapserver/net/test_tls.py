"""StartTLS and ldaps over real sockets."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import datetime
from functools import cache
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.ssl import ContextFactory
from twisted.trial.unittest import TestCase

from ldapserver.extended import START_TLS
from ldapserver.messages import BindRequest, ExtendedRequest, Message, Result, SimpleCredentials
from ldapserver.net.factory import LDAPFactory
from ldapserver.net.listen import TCPAddress
from ldapserver.net.service import LDAPService
from ldapserver.results import ResultCode
from ldapserver.wire.client import encode_message
from tests.ldapserver.net.fake import Client, FakeDirectory, search

reactor: Any = global_reactor

REQUEST = ExtendedRequest(START_TLS, None)
ANONYMOUS_BIND = BindRequest(3, "", SimpleCredentials(b""))


class Context(ContextFactory):
    """What Twisted asks of a context factory."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def getContext(self) -> SSL.Context:
        return self.context


@cache
def server_context() -> Context:
    """With a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(key)
    context.use_certificate(made)
    return Context(context)


def client_context() -> Context:
    """Trusts anybody."""
    return Context(SSL.Context(SSL.TLS_CLIENT_METHOD))


class TLS(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.directory = FakeDirectory()
        tls = server_context()
        factory = LDAPFactory(reactor, self.directory, tls=tls)
        self.service = LDAPService(reactor, factory, ["ldap://127.0.0.1:0", "ldaps://127.0.0.1:0"], tls)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def connect(self, listener: int = 0) -> Client:
        address = self.service.listeners[listener].address
        assert isinstance(address, TCPAddress)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
        client: Client = await connectProtocol(endpoint, Client())
        return client

    async def leave(self, client: Client) -> None:
        client.transport.loseConnection()
        await client.lost

    async def test_start_tls(self) -> None:
        client = await self.connect()
        assert (await client.ask(1, ANONYMOUS_BIND)).code is ResultCode.SUCCESS
        assert await client.ask(2, REQUEST) == Result(oid=START_TLS)
        client.transport.startTLS(client_context())
        assert (await client.ask(3, ANONYMOUS_BIND)).code is ResultCode.SUCCESS
        assert [peer.encrypted for peer in self.directory.peers] == [False, True]
        assert (await client.ask(4, REQUEST)).code is ResultCode.OPERATIONS_ERROR
        client.send(5, search("50000"))
        assert len(await client.answers(50_001)) == 50_001
        await self.leave(client)

    async def test_what_is_behind_start_tls_is_not_carried_out(self) -> None:
        client = await self.connect()
        behind = encode_message(Message(2, search("1"), ()))
        client.transport.write(encode_message(Message(1, REQUEST, ())) + behind)
        assert (await client.result()).code is ResultCode.PROTOCOL_ERROR
        await client.lost
        assert self.directory.started == 0

    async def test_clear_text_where_the_handshake_should_be(self) -> None:
        client = await self.connect()
        await client.ask(1, REQUEST)
        client.transport.write(encode_message(Message(2, search("1"), ())))
        await client.lost
        assert self.directory.started == 0

    async def test_ldaps(self) -> None:
        address = self.service.listeners[1].address
        assert isinstance(address, TCPAddress)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
        endpoint = cast(Any, wrapClientTLS)(client_context(), endpoint)
        client: Client = await connectProtocol(endpoint, Client())
        assert (await client.ask(1, ANONYMOUS_BIND)).code is ResultCode.SUCCESS
        assert self.directory.peers[0].encrypted
        assert (await client.ask(2, REQUEST)).code is ResultCode.PROTOCOL_ERROR
        client.send(3, search("50000"))
        assert len(await client.answers(50_001)) == 50_001
        await self.leave(client)
