"""TLS and PROXY headers on a frontend's ports, and TLS from it to a backend."""

# mypy: disallow-untyped-calls=False
# Trial is not annotated.

from __future__ import annotations

import imaplib
import poplib
import ssl
from collections.abc import Callable
from functools import wraps
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cgnode import destinations
from cgnode.config import Config
from cgnode.net import join
from cgnode.net.tls import cluster_client, cluster_server_context, public_context
from tests.cgnode.frontend.login_world import PASSWORD, World
from tests.cgnode.net.certificates import Authority, cluster_config

reactor = cast(Any, installed)

LOOPBACK = (ip_network("127.0.0.0/8"),)
ELSEWHERE = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n"


def in_thread(test: Callable[[LoginTLS], None]) -> Callable[[LoginTLS], Deferred[None]]:
    @wraps(test)
    def run(self: LoginTLS) -> Deferred[None]:
        return deferToThread(test, self)

    return run


class LoginTLS(TestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)
        # Sockets that are closed are looked after for a while.
        self.patch(join, "LINGER", 0.1)
        self.addCleanup(deferLater, reactor, 0.2)

    def context(self) -> Any:
        return public_context(Config(source="site.toml", tls=self.authority.issue("localhost")))

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.path))

    @in_thread
    def test_imap(self) -> None:
        with World(reactor=reactor, tls=self.context()) as world:
            client = imaplib.IMAP4("localhost", world.port("imap"), 10)
            assert "STARTTLS" in client.capabilities
            assert client.starttls(self.trusting())[0] == "OK"
            assert "STARTTLS" not in client.capabilities
            client.login("alice", PASSWORD)
            assert client.select("INBOX") == ("OK", [b"1"])
            secure = imaplib.IMAP4_SSL("localhost", world.port("imaps"), ssl_context=self.trusting())
            assert "AUTH=PLAIN" in secure.capabilities
            secure.login("alice", PASSWORD)
            assert secure.select("INBOX") == ("OK", [b"1"])
            # The last words come inside TLS.
            assert world.run(lambda: world.sessions.kick(user="alice@example.com")) == 2
            assert b"* BYE" in secure.readline()
            client.shutdown()
            secure.shutdown()

    @in_thread
    def test_pop3(self) -> None:
        with World(reactor=reactor, tls=self.context()) as world:
            client = poplib.POP3("localhost", world.port("pop3"), 10)
            assert client.stls(self.trusting()).startswith(b"+OK")
            secure = poplib.POP3_SSL("localhost", world.port("pop3s"), context=self.trusting())
            for each in (client, secure):
                each.user("alice")
                assert each.pass_(PASSWORD).startswith(b"+OK")
                assert each.stat()[0] == 1
                each.quit()

    @in_thread
    def test_passwords_need_tls_beyond_the_loopback(self) -> None:
        with World(reactor=reactor, tls=self.context(), proxies=LOOPBACK) as world:
            client = world.connect()
            client.sendall(ELSEWHERE)
            greeting = client.recv(1000)
            assert b"LOGINDISABLED" in greeting
            assert b"AUTH=SCRAM-SHA-256" in greeting
            assert b"AUTH=PLAIN" not in greeting
            client.sendall(b"a LOGIN alice %b\r\n" % PASSWORD.encode())
            assert client.recv(1000).startswith(b"a NO [PRIVACYREQUIRED]")
            pop3 = world.connect("pop3")
            pop3.sendall(ELSEWHERE)
            pop3.recv(1000)
            pop3.sendall(b"USER alice\r\n")
            assert pop3.recv(1000).startswith(b"-ERR")

    @in_thread
    def test_the_client_behind_a_balancer(self) -> None:
        with World(reactor=reactor, tls=self.context(), proxies=LOOPBACK) as world:
            raw = world.connect("imaps")
            raw.sendall(ELSEWHERE)
            with self.trusting().wrap_socket(raw, server_hostname="localhost") as client:
                client.recv(1000)
                client.sendall(b"a LOGIN alice %b\r\n" % PASSWORD.encode())
                assert client.recv(4000).startswith(b"a OK")
                (who,) = world.run(world.sessions.who)
                assert (who["client"], who["client_port"]) == ("192.0.2.7", 4711)
                told = dict(world.backends["be1"].told[0])
                assert (told[b"x-originating-ip"], told[b"x-connected-ip"]) == (b"192.0.2.7", b"192.0.2.1")

    @in_thread
    def test_what_a_trusted_proxy_says_by_id(self) -> None:
        with World(reactor=reactor, trusted=LOOPBACK) as world:
            client = world.imap()
            client.xatom("ID", '("x-originating-ip" "2001:db8::7" "x-session-id" "abc" "name" "webmail")')
            client.login("alice", PASSWORD)
            (who,) = world.run(world.sessions.who)
            assert (who["client"], who["session"]) == ("2001:db8::7", "abc")

    def tls_to_the_backend(self, named: str) -> None:
        ours = cluster_config(self.authority.path, self.authority.issue("fe1"))
        theirs = cluster_config(self.authority.path, self.authority.issue(named))
        with World(reactor=reactor, backend_tls=lambda name: cluster_client(ours, name)) as world:
            backend = world.backends["be1"]
            backend.tls = cluster_server_context(theirs)
            client = world.imap()
            if named == "be1":
                client.login("alice", PASSWORD)
                assert client.select("INBOX") == ("OK", [b"1"])
                pop3 = world.pop3()
                pop3.user("alice")
                assert pop3.pass_(PASSWORD).startswith(b"+OK")
            else:
                with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
                    client.login("alice", PASSWORD)
                assert not backend.logins

    @in_thread
    def test_no_certificate_no_credential(self) -> None:
        self.patch(destinations, "is_loopback", lambda host: False)
        with World(reactor=reactor) as world:
            with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
                world.imap().login("alice", PASSWORD)
            assert not world.backends["be1"].logins

    @in_thread
    def test_tls_to_the_backend(self) -> None:
        self.tls_to_the_backend("be1")

    @in_thread
    def test_another_server_gets_no_credential(self) -> None:
        self.tls_to_the_backend("be2")
