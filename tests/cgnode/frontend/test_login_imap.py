"""A frontend's IMAP by imaplib: to the right backend, as the right account, or a clear no."""

from __future__ import annotations

import imaplib
import time
from collections.abc import Iterator

import pytest

from cgnode.accounts import add_account, add_alias, remove_account, set_password
from cgnode.config.frontend import LoginLimits
from cgnode.members import State
from cgnode.proto import sasl
from cgnode.servers import set_state
from ldapserver.messages import Rehost
from tests.cgnode.frontend.login_world import PASSWORD, SECRET, World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def refused(client: imaplib.IMAP4, user: str = "alice@example.com", password: str = PASSWORD) -> str:
    with pytest.raises(imaplib.IMAP4.error) as caught:
        client.login(user, password)
    return str(caught.value)


def test_a_session(world: World) -> None:
    client = world.imap()
    assert "AUTH=PLAIN" in client.capabilities
    assert "UIDPLUS" not in client.capabilities
    assert client.login("alice@example.com", PASSWORD)[0] == "OK"
    assert "UIDPLUS" in str(client.capability()[1])
    assert client.select("INBOX") == ("OK", [b"1"])
    assert "How are you?" in str(client.fetch("1", "(BODY[])")[1])
    assert client.logout()[0] == "BYE"
    (login,) = world.backends["be1"].logins
    assert login == sasl.Credentials("cluster", SECRET, "alice@example.com")
    assert not world.backends["be2"].logins


def test_the_backend_is_told_of_the_client(world: World) -> None:
    client = world.imap()
    port = client.sock.getsockname()[1]
    client.login("alice@example.com", PASSWORD)
    (fields,) = world.backends["be1"].told
    told = dict(fields)
    (who,) = world.run(world.sessions.who)
    assert told == {
        b"x-session-id": str(who["session"]).encode(),
        b"x-originating-ip": b"127.0.0.1",
        b"x-originating-port": b"%d" % port,
        b"x-connected-ip": b"127.0.0.1",
        b"x-connected-port": b"%d" % world.port("imap"),
        b"x-proxy-ttl": b"4",
    }


def test_nobody_else_says_who_the_client_is(world: World) -> None:
    client = world.imap()
    client.xatom("ID", '("x-originating-ip" "192.0.2.7" "x-session-id" "abc")')
    client.login("alice", PASSWORD)
    (who,) = world.run(world.sessions.who)
    assert who["client"] == "127.0.0.1"
    assert who["session"] != "abc"
    assert dict(world.backends["be1"].told[0])[b"x-originating-ip"] == b"127.0.0.1"


def test_a_name_is_not_taken_for_an_address_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is shut out for what the log says is who was there."""
    with caplog.at_level("INFO"):
        refused(world.imap(), '"login from 192.0.2.7 refused"')
    (line,) = (message for message in caplog.messages if "refused" in message)
    assert line[12:].startswith(" imap login from 127.0.0.1 refused: ")


def test_capabilities_are_in_the_answer(world: World) -> None:
    client = world.connect()
    client.recv(1000)
    client.sendall(b"a LOGIN alice@example.com %b\r\nb NOOP\r\n" % PASSWORD.encode())
    said = b""
    while b"\r\nb OK" not in said:
        said += client.recv(1000)
    first = said.split(b"\r\n")[0]
    assert first.startswith(b"a OK [CAPABILITY IMAP4rev1 ")
    assert b" UIDPLUS" in first
    assert b"AUTH=" not in first


@pytest.mark.parametrize("name", ["alice", "Alice@Example.COM", "al@example.com", '"alice%example.com@be1"'])
def test_names(world: World, name: str) -> None:
    add_alias(world.site, "al@example.com", "alice@example.com")
    client = world.imap()
    assert client.login(name, PASSWORD)[0] == "OK"
    assert world.backends["be1"].logins[0].authzid == "alice@example.com"


@pytest.mark.parametrize("name", ["alice@example.com", "nobody@example.com", "alice@elsewhere.example", "@@"])
def test_what_is_wrong_is_not_told(world: World, name: str) -> None:
    client = world.imap()
    started = time.monotonic()
    told = refused(client, name, "wrong")
    assert "[AUTHENTICATIONFAILED] wrong name or password" in told
    assert time.monotonic() - started >= 0.2
    assert not world.backends["be1"].logins
    if name == "alice@example.com":
        assert client.login(name, PASSWORD)[0] == "OK"


def test_somebody_else(world: World) -> None:
    add_account(world.site, "bob@example.com", host="be1", password=b"builder")
    message = sasl.plain_message("bob@example.com", b"builder", "alice@example.com")
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        world.imap().authenticate("PLAIN", lambda _: message)
    message = sasl.plain_message("bob@example.com", b"builder", "bob")
    assert world.imap().authenticate("PLAIN", lambda _: message)[0] == "OK"


def test_passwords_change(world: World) -> None:
    assert world.imap().login("alice", PASSWORD)[0] == "OK"
    assert world.imap().login("alice", PASSWORD)[0] == "OK"
    set_password(world.site, "alice@example.com", b"another")
    assert "AUTHENTICATIONFAILED" in refused(world.imap())
    assert world.imap().login("alice", "another")[0] == "OK"


def scram(world: World, password: str, name: str = "alice") -> imaplib.IMAP4:
    """As a client of SCRAM-SHA-256 does it."""
    import base64
    import hashlib
    import hmac

    bare = f"n={name},r=clientnonce".encode()
    signed = b""

    def answer(challenge: bytes) -> bytes:
        nonlocal signed
        if not challenge:
            return b"n,," + bare
        if challenge.startswith(b"v="):
            return b""
        fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
        keys_of = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"])
        )
        key = hmac.digest(keys_of, b"Client Key", "sha256")
        final = b"c=biws,r=" + fields[b"r"]
        signed = b",".join((bare, challenge, final))
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return final + b",p=" + base64.b64encode(proof)

    client = world.imap()
    client.authenticate("SCRAM-SHA-256", answer)
    return client


def test_scram(world: World) -> None:
    client = scram(world, PASSWORD)
    assert client.select("INBOX") == ("OK", [b"1"])
    assert world.backends["be1"].logins[0].authzid == "alice@example.com"
    for password, name in [("wrong", "alice"), (PASSWORD, "nobody")]:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            scram(world, password, name)


def test_a_backend_that_is_down(world: World) -> None:
    add_account(world.site, "bob@example.com", host="be2", password=PASSWORD.encode())
    world.run(lambda: world.backends["be1"].close())
    assert "[UNAVAILABLE]" in refused(world.imap())
    started = time.monotonic()
    assert "[UNAVAILABLE]" in refused(world.imap())
    assert time.monotonic() - started < 0.3
    assert world.imap().login("bob", PASSWORD)[0] == "OK"


def test_a_backend_that_starts_again(world: World) -> None:
    world.health.learns = False
    world.run(lambda: world.backends["be1"].close())
    world.reactor.callFromThread(
        world.reactor.callLater, 0.5, lambda: world.backends["be1"].listen(world.reactor)
    )
    assert world.imap().login("alice", PASSWORD)[0] == "OK"
    assert world.joining.counters.reconnects == 1


@pytest.mark.parametrize("mode", ["silent", "mute"])
def test_a_backend_that_hangs(world: World, mode: str) -> None:
    world.backends["be1"].mode = mode
    started = time.monotonic()
    assert "[UNAVAILABLE]" in refused(world.imap())
    assert 0.4 < time.monotonic() - started < 2
    assert world.health.failures == ["be1"]


def test_a_server_that_is_marked_down(world: World) -> None:
    set_state(world.site, "be1", State.DOWN)
    assert "[UNAVAILABLE]" in refused(world.imap())
    set_state(world.site, "be1", State.ACTIVE)
    assert world.imap().login("alice", PASSWORD)[0] == "OK"


@pytest.mark.parametrize("mode", ["refuse", "away"])
def test_a_backend_that_refuses(world: World, mode: str) -> None:
    """It is not the user who has done anything wrong."""
    world.backends["be1"].mode = mode
    client = world.imap()
    assert "[UNAVAILABLE]" in refused(client)
    assert len(world.backends["be1"].logins) == 1
    world.backends["be1"].mode = ""
    assert client.login("alice", PASSWORD)[0] == "OK"


def test_an_account_without_a_server(world: World) -> None:
    world.directory.modify("uid=alice,cn=example.com", replace={"hostServer": "be9"})
    assert "[UNAVAILABLE]" in refused(world.imap())
    assert "AUTHENTICATIONFAILED" in refused(world.imap(), password="wrong")


def test_too_many() -> None:
    with World(limits=LoginLimits(per_user_and_address=2, failure_delay=0)) as world:
        clients = [world.imap() for _ in range(3)]
        for client in clients[:2]:
            client.login("alice", PASSWORD)
        assert "[LIMIT]" in refused(clients[2])
        clients[0].logout()
        world.wait(lambda: world.sessions.count() == 1)
        assert clients[2].login("alice", PASSWORD)[0] == "OK"


def test_a_moved_account_ends_its_sessions(world: World) -> None:
    add_account(world.site, "bob@example.com", host="be2", password=PASSWORD.encode())
    alice, bob = world.imap(), world.imap()
    alice.login("alice", PASSWORD)
    bob.login("bob", PASSWORD)
    world.directory.local.bulk(world.directory.local.core.administrator, Rehost("be1", "be2")).result()
    assert b"* BYE this mailbox has moved" in alice.sock.recv(1000)
    assert alice.sock.recv(1000) == b""
    assert bob.noop()[0] == "OK"
    alice = world.imap()
    assert alice.login("alice", PASSWORD)[0] == "OK"
    remove_account(world.site, "alice@example.com")
    assert b"* BYE" in alice.sock.recv(1000)
    assert bob.noop()[0] == "OK"


def test_who_and_kick(world: World) -> None:
    add_account(world.site, "bob@example.com", host="be2", password=PASSWORD.encode())
    clients = {name: world.imap() for name in ("alice", "bob")}
    for name, client in clients.items():
        client.login(name, PASSWORD)
        client.noop()
    alice, bob = world.run(world.sessions.who)
    assert (alice["account"], alice["protocol"], alice["host"]) == ("alice@example.com", "imap", "be1")
    assert (alice["client"], alice["state"]) == ("127.0.0.1", "joined")
    assert bob["host"] == "be2"
    assert int(str(alice["to_client"])) > int(str(alice["from_client"])) > 0
    assert world.run(lambda: world.sessions.kick(user="nobody@example.com")) == 0
    assert world.run(lambda: world.sessions.kick(user="alice@example.com")) == 1
    assert b"* BYE" in clients["alice"].sock.recv(1000)
    assert world.run(lambda: world.sessions.kick(host="be2")) == 1
    assert b"* BYE" in clients["bob"].sock.recv(1000)
    world.wait(lambda: world.sessions.count() == 0)


def test_a_kick_in_the_middle_of_a_login(world: World) -> None:
    world.backends["be1"].mode = "mute"
    client = world.connect()
    client.recv(1000)
    client.sendall(b"a LOGIN alice %b\r\n" % PASSWORD.encode())
    world.wait(lambda: bool(world.backends["be1"].open))
    assert world.run(lambda: world.sessions.kick(user="alice@example.com")) == 1
    assert client.recv(1000).startswith(b"* BYE [UNAVAILABLE]")


def test_a_client_that_goes_in_the_middle_of_a_login(world: World) -> None:
    world.backends["be1"].mode = "mute"
    client = world.connect()
    client.recv(1000)
    client.sendall(b"a LOGIN alice %b\r\n" % PASSWORD.encode())
    world.wait(lambda: bool(world.backends["be1"].open))
    client.close()
    world.wait(lambda: not world.backends["be1"].open)
    assert world.sessions.count() == 0


def test_a_client_that_takes_its_time() -> None:
    with World(limits=LoginLimits(time=0.3)) as world:
        client = world.connect()
        client.recv(1000)
        assert client.recv(1000).startswith(b"* BYE")
        assert client.recv(1000) == b""


def test_a_backend_that_dies_ends_its_sessions(world: World) -> None:
    client = world.imap()
    client.login("alice", PASSWORD)
    world.run(lambda: world.backends["be1"].close())
    assert client.sock.recv(1000) == b""
    world.wait(lambda: world.sessions.count() == 0)
