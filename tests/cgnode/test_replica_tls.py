"""Following a directory over TLS: with the certificate that is trusted, and not without."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import datetime
from functools import cache, partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor as global_reactor

from cgnode.replica import RemoteFollowing
from ldapserver.net.factory import LDAPFactory
from ldapserver.net.listen import TCPAddress, parse_url
from ldapserver.net.remote import RemoteDirectory, RemoteError
from ldapserver.net.service import LDAPService
from tests.cgnode.test_replica import ReplicaTestCase, until
from tests.ldapserver.net.test_tls import Context

reactor: Any = global_reactor


@cache
def certified(name: str) -> tuple[Context, bytes]:
    """A server's context, and its certificate, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey(key)
    context.use_certificate(made)
    return Context(context), made.public_bytes(Encoding.PEM)


class TlsTest(ReplicaTestCase):
    def setUp(self) -> None:
        super().setUp()
        context, pem = certified("localhost")
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(pem)
        factory = LDAPFactory(reactor, self.directory.local, tls=context)
        urls = ["ldap://127.0.0.1:0", "ldaps://127.0.0.1:0"]
        service = LDAPService(reactor, factory, urls, context)
        service.startService()
        self.addCleanup(service.stopService)
        plain, encrypted = (listener.address for listener in service.listeners)
        assert isinstance(plain, TCPAddress)
        assert isinstance(encrypted, TCPAddress)
        self.plain, self.encrypted = f"ldap://localhost:{plain.port}", f"ldaps://localhost:{encrypted.port}"

    async def test_ldaps(self) -> None:
        await self.equal(self.follow(self.encrypted, ca=self.ca))

    async def test_start_tls(self) -> None:
        await self.equal(self.follow(self.plain, ca=self.ca, start_tls=True))

    async def test_another_certificate(self) -> None:
        self.ca.write_bytes(certified("elsewhere")[1])
        for url, start_tls in ((self.encrypted, False), (self.plain, True)):
            following = self.follow(url, ca=self.ca, start_tls=start_tls)
            await until(partial(self.distrusts, following))
            assert following.usable() is not None
            await self.end(following)

    async def test_a_certificate_for_another_name(self) -> None:
        for url, start_tls in ((self.encrypted, False), (self.plain, True)):
            following = self.follow(url.replace("localhost", "127.0.0.1"), ca=self.ca, start_tls=start_tls)
            await until(partial(self.distrusts, following, "the certificate is not that of 127.0.0.1"))
            await self.end(following)

    async def test_a_client_at_a_certificate_for_another_name(self) -> None:
        address = parse_url(self.encrypted.replace("localhost", "127.0.0.1"))
        remote = await RemoteDirectory.connect(reactor, address, self.ca.read_bytes())
        with pytest.raises(RemoteError, match=r"the certificate is not that of 127\.0\.0\.1"):
            await remote.bind("cn=admin", b"secret")

    def distrusts(self, following: RemoteFollowing, why: str = "certificate verify") -> bool:
        return why in str(following.status()["fault"])
