"""Listeners' URLs, and opening and closing them."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket
import stat
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.trial.unittest import TestCase

from ldapserver.messages import Result
from ldapserver.net.factory import LDAPFactory
from ldapserver.net.listen import Listener, ListenError, TCPAddress, UnixAddress, listen, parse_url
from ldapserver.net.service import LDAPService
from tests.ldapserver.net.fake import Client, FakeDirectory, search

reactor: Any = global_reactor


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ldap://127.0.0.1:1389", TCPAddress("127.0.0.1", 1389)),
        ("ldap://localhost", TCPAddress("localhost", 389)),
        ("ldap://[::1]:0/", TCPAddress("::1", 0)),
        ("ldap://", TCPAddress("", 389)),
        ("ldap://*:1389", TCPAddress("", 1389)),
        ("ldaps://host", TCPAddress("host", 636, tls=True)),
        ("ldapi:///run/my/ldapi", UnixAddress("/run/my/ldapi")),
        ("ldapi://%2Frun%2Fldapi", UnixAddress("/run/ldapi")),
        ("ldapi://%2FRun%2FLdapi/", UnixAddress("/Run/Ldapi")),
    ],
)
def test_urls(url: str, address: TCPAddress | UnixAddress) -> None:
    assert parse_url(url) == address
    assert parse_url(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:389",
        "http://localhost",
        "ldap://host:port",
        "ldap://host:99999",
        "ldap://host/o=x",
        "ldap://host?x",
        "ldap://user@host",
        "ldap://[::1",
        "ldapi://",
        "ldapi://run/ldapi",
        "ldapi:///" + "x" * 107,
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ListenError) as caught:
        parse_url(url)
    assert caught.value.url == url
    assert caught.value.reason


class Listening(TestCase):
    def setUp(self) -> None:
        self.factory = LDAPFactory(reactor, FakeDirectory())
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "ldapi"

    def listen(self, url: str) -> Listener:
        listener = listen(reactor, parse_url(url), self.factory)
        self.addCleanup(listener.stop)
        return listener

    def refusal(self, url: str) -> str:
        with pytest.raises(ListenError) as caught:
            self.listen(url)
        return caught.value.reason

    def test_port_0_is_some_port(self) -> None:
        address = self.listen("ldap://127.0.0.1:0").address
        assert isinstance(address, TCPAddress)
        assert address.port > 0

    def test_names_and_families(self) -> None:
        assert self.listen("ldap://localhost:0").url.startswith("ldap://localhost:")
        assert self.listen("ldap://[::1]:0").url.startswith("ldap://[::1]:")
        assert self.listen("ldap://0.0.0.0:0").url.startswith("ldap://localhost:")
        assert self.listen("ldap://:0").url.startswith("ldap://localhost:")

    def test_a_port_in_use(self) -> None:
        url = self.listen("ldap://127.0.0.1:0").url
        assert self.refusal(url) == "Address already in use"

    def test_a_host_that_is_not_ours(self) -> None:
        assert self.refusal("ldap://192.0.2.1:0") == "Cannot assign requested address"

    def test_ldaps_without_a_certificate(self) -> None:
        assert "certificate" in self.refusal("ldaps://127.0.0.1:0")

    async def test_a_unix_socket(self) -> None:
        listener = self.listen(f"ldapi://{self.path}")
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o666
        client: Client = await connectProtocol(UNIXClientEndpoint(reactor, str(self.path)), Client())
        assert await client.ask(1, search("0")) == Result()
        client.transport.loseConnection()
        await client.lost
        await listener.stop()
        assert not self.path.exists()

    def test_a_unix_socket_in_use(self) -> None:
        self.listen(f"ldapi://{self.path}")
        assert self.refusal(f"ldapi://{self.path}") == "another server listens there"
        assert self.path.exists()

    def test_a_stale_unix_socket(self) -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))
        self.listen(f"ldapi://{self.path}")

    def test_a_file_that_is_no_socket(self) -> None:
        self.path.write_text("precious")
        assert "no socket" in self.refusal(f"ldapi://{self.path}")
        assert self.path.read_text() == "precious"

    def test_a_folder_that_is_not_there(self) -> None:
        assert self.refusal(f"ldapi://{self.path}/x/y") == "No such file or directory"

    async def test_a_socket_s_file_that_somebody_removed(self) -> None:
        listener = self.listen(f"ldapi://{self.path}")
        self.path.unlink()
        await listener.stop()

    async def test_a_service_listens_everywhere_or_nowhere(self) -> None:
        taken = self.listen("ldap://127.0.0.1:0").url
        service = LDAPService(reactor, self.factory, [f"ldapi://{self.path}", taken])
        with pytest.raises(ListenError):
            service.startService()
        assert not service.urls
        await self.listen("ldap://127.0.0.1:0").stop()  # a turn of the reactor
        assert not self.path.exists()
