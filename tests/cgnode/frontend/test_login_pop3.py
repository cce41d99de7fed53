"""A frontend's POP3 by poplib."""

from __future__ import annotations

import poplib
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from cgnode.accounts import add_account
from cgnode.proto import sasl
from tests.cgnode.frontend.login_world import PASSWORD, SECRET, World
from tests.cgnode.proto.imap_shell import HELLO


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def refused(client: poplib.POP3, user: str = "alice", password: str = PASSWORD) -> bytes:
    client.user(user)
    with pytest.raises(poplib.error_proto) as caught:
        client.pass_(password)
    return bytes(caught.value.args[0])


def test_a_session(world: World) -> None:
    client = world.pop3()
    assert client.capa()["SASL"] == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
    client.user("alice")
    assert client.pass_(PASSWORD).startswith(b"+OK")
    assert client.stat() == (1, len(HELLO))
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == HELLO
    assert client.quit().startswith(b"+OK")
    backend = world.backends["be1"]
    assert backend.logins == [sasl.Credentials("cluster", SECRET, "alice@example.com")]
    told = dict(backend.told[0])
    assert told["ADDR"] == "127.0.0.1"
    assert told["TTL"] == "4"
    assert told["PORT"].isdigit()
    assert len(told["SESSION"]) == 12


def test_pipelining(world: World) -> None:
    client = world.connect("pop3")
    client.recv(1000)
    client.sendall(b"USER alice\r\nPASS %b\r\nSTAT\r\nQUIT\r\n" % PASSWORD.encode())
    said = b""
    while data := client.recv(1000):
        said += data
    lines = said.split(b"\r\n")
    assert [line[:3] for line in lines[:-1]] == [b"+OK"] * 4
    assert lines[2] == b"+OK 1 %d" % len(HELLO)


def test_what_is_refused(world: World) -> None:
    add_account(world.site, "bob@example.com", host="be2", password=PASSWORD.encode())
    world.backends["be2"].mode = "busy"
    client = world.pop3()
    assert refused(client, password="wrong") == b"-ERR [AUTH] wrong name or password"
    assert refused(client, "nobody") == b"-ERR [AUTH] wrong name or password"
    assert refused(client, "bob").startswith(b"-ERR [IN-USE]")
    world.run(lambda: world.backends["be1"].close())
    assert refused(client).startswith(b"-ERR [SYS/TEMP]")
    assert refused(client, "bob").startswith(b"-ERR [IN-USE]")


def test_kicked(world: World) -> None:
    client = world.pop3()
    client.user("alice")
    client.pass_(PASSWORD)
    (who,) = world.run(world.sessions.who)
    assert who["protocol"] == "pop3"
    assert world.run(lambda: world.sessions.kick(where=lambda session: session.client == "127.0.0.1")) == 1
    with pytest.raises((poplib.error_proto, OSError)):
        client.noop()


def test_who_is_trusted_says_who_the_client_is() -> None:
    with World(trusted=(ip_network("127.0.0.0/8"),)) as world:
        client = world.pop3()
        assert client.welcome.startswith(b"+OK [XCLIENT]")
        client._shortcmd("XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=abc123 TTL=9")  # type: ignore[attr-defined]
        client.user("alice")
        client.pass_(PASSWORD)
        (who,) = world.run(world.sessions.who)
        assert (who["client"], who["client_port"], who["session"]) == ("192.0.2.7", 4711, "abc123")
        told = dict(world.backends["be1"].told[0])
        assert (told["ADDR"], told["SESSION"]) == ("192.0.2.7", "abc123")
    with World() as world, pytest.raises(poplib.error_proto):
        world.pop3()._shortcmd("XCLIENT ADDR=192.0.2.7")  # type: ignore[attr-defined]
