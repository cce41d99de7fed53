"""Attempts to reach an account's host: a move in between, limits, credentials by server."""

from __future__ import annotations

import imaplib
import poplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgnode.accounts import add_account
from cgnode.destinations import Proto, Unreached, Wanted, Why
from cgnode.joining import Reached, Result
from cgnode.members import BackendLogin, Endpoint, Override
from cgnode.net.connection import Origin
from cgnode.proto import sasl
from cgnode.router import AccountRecord
from tests.cgnode.frontend.login_world import PASSWORD, World

ORIGIN = Origin("192.0.2.7", 4711, "192.0.2.1", 143, "abc123")


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


class Asked:
    """One ``reach``; ``host`` is where the account was when it was looked up."""

    def __init__(
        self, world: World, host: str | None = None, hops: int = 5, proto: Proto = Proto.IMAP
    ) -> None:
        self.world = world
        self.results: list[Result] = []
        found = world.authenticator.find("alice")
        account: AccountRecord = found.account  # type: ignore[union-attr]
        if host is not None:
            account = AccountRecord(account.dn, account.address, host)
        wanted = Wanted(proto, account, ORIGIN, hops=hops)
        self.reaching = world.run(lambda: world.joining.reach(wanted, self.results.append))

    @property
    def result(self) -> Result:
        self.world.wait(lambda: bool(self.results))
        (result,) = self.results
        if isinstance(result, Reached):
            self.world.run(result.connection.close)
        return result

    @property
    def why(self) -> Why:
        result = self.result
        assert isinstance(result, Unreached)
        return result.why


def test_reached(world: World) -> None:
    result = Asked(world).result
    assert isinstance(result, Reached)
    assert result.host == "be1"
    assert "UIDPLUS" in result.capabilities
    assert dict(world.backends["be1"].told[0])[b"x-session-id"] == b"abc123"


@pytest.mark.parametrize("trouble", ["refuse", "away", "closed", "down", "silent", "gone"])
def test_an_account_that_has_moved(world: World, trouble: str) -> None:
    """What was looked up is out of date; whatever its old server says, one fresh look-up
    finds the new one."""
    world.backends["be2"].mode = trouble
    if trouble == "closed":
        world.run(lambda: world.backends["be2"].close())
    if trouble == "down":
        world.health.down.add("be2")
    result = Asked(world, "be9" if trouble == "gone" else "be2").result
    assert isinstance(result, Reached)
    assert result.host == "be1"
    assert world.joining.counters.moved == 1


def test_just_one(world: World) -> None:
    world.backends["be1"].mode = world.backends["be2"].mode = "refuse"
    assert Asked(world, "be2").why is Why.REFUSED
    assert len(world.backends["be2"].logins) == len(world.backends["be1"].logins) == 1


def test_too_many_hops(world: World) -> None:
    assert Asked(world, hops=0).why is Why.TEMPORARY
    assert isinstance(Asked(world, hops=1).result, Reached)


def test_reconnects_are_bounded(world: World) -> None:
    world.health.learns = False
    world.run(lambda: world.backends["be1"].close())
    started = time.monotonic()
    assert Asked(world).why is Why.CONNECT_FAILED
    assert 3 <= time.monotonic() - started < 4
    assert world.health.failures == ["be1"] * 4


def test_cancelled(world: World) -> None:
    for mode in ("silent", "mute", "closed"):
        world.backends["be1"].mode = mode
        if mode == "closed":
            world.health.learns = False
            world.run(lambda: world.backends["be1"].close())
        asked = Asked(world)
        time.sleep(0.1)
        world.run(asked.reaching.cancel)
        world.wait(lambda: not world.backends["be1"].open)
        time.sleep(1.2 if mode == "closed" else 0)
        assert not asked.results


def test_in_use(world: World) -> None:
    world.backends["be1"].mode = "busy"
    assert Asked(world, proto=Proto.POP3).why is Why.IN_USE


def override(world: World, login: BackendLogin) -> tuple[Override, ...]:
    return (Override("be1", login=login),)


def test_a_master_user(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("master's\n")
    login = BackendLogin("master", "master", file)
    with World(overrides=lambda world: override(world, login)) as world:
        assert isinstance(Asked(world).result, Reached)
        assert world.backends["be1"].logins == [sasl.Credentials("master", b"master's", "alice@example.com")]
        file.unlink()
        assert Asked(world).why is Why.PROTOCOL


def test_the_clients_own_password() -> None:
    login = BackendLogin("password")
    with World(overrides=lambda world: override(world, login)) as world:
        client = world.imap()
        client.login("alice", PASSWORD)
        assert world.backends["be1"].logins == [sasl.Credentials("alice@example.com", PASSWORD.encode())]
        world.backends["be1"].mode = "refuse"
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            world.imap().login("alice", PASSWORD)
        assert Asked(world).why is Why.PROTOCOL  # there is none to give


def test_a_member_by_the_configuration_alone() -> None:
    def be9(world: World) -> tuple[Override, ...]:
        return (
            Override("be9", addresses={"imap": Endpoint("127.0.0.1", world.backends["be2"].port("imap"))}),
        )

    with World(overrides=be9) as world:
        add_account(world.site, "bob@example.com", host="be1", password=PASSWORD.encode())
        world.directory.modify("uid=bob,cn=example.com", replace={"hostServer": "be9"})
        world.imap().login("bob", PASSWORD)
        assert world.backends["be2"].logins[0].authzid == "bob@example.com"
        pop3 = world.pop3()
        pop3.user("bob")
        with pytest.raises(poplib.error_proto, match="SYS/TEMP"):
            pop3.pass_(PASSWORD)
        assert world.joining.counters.failed[Why.NO_HOST] == 1
