"""The registry of sessions, with a clock and no sockets."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from cgnode import accounts, domains, servers
from cgnode.destinations import Proto
from cgnode.frontend.sessions import Session, Sessions
from cgnode.lookup import Site
from cgnode.members import Member
from cgnode.net.connection import Origin
from cgnode.router import AccountRecord
from ldapserver.messages import Rehost
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.frontend.test_authentication import Following


class Joined:
    """A pump that only counts."""

    def __init__(self) -> None:
        self.from_client = self.from_server = 0
        self.session: Session | None = None
        self.last_words: bytes | None = None

    def close(self, last_words: bytes = b"") -> None:
        self.last_words = last_words
        assert self.session is not None
        self.session.leave()


class Timed(Clock):
    """Time passes by itself, too, as it does for work."""

    def seconds(self) -> float:
        return float(super().seconds()) + time.perf_counter()

    def callFromThread(self, *args: object) -> None:
        raise AssertionError


class World:
    def __init__(self, directory: EphemeralDirectory) -> None:
        self.directory = directory
        self.site = Site(directory.local.core)
        for name in ("be1", "be2"):
            servers.add_server(self.site, Member(name, ("backend",)))
        domains.add_domain(self.site, "example.com")
        self.following = Following(self.site)
        self.clock = Timed()
        self.sessions = Sessions(self.clock, self.following, most=2, idle=1800, clock=lambda: 1e9)
        self.sessions.startService()
        self.joined: dict[str, list[Joined]] = {}

    def account(self, name: str, host: str = "be1") -> AccountRecord:
        return accounts.add_account(self.site, f"{name}@example.com", host=host)

    def begin(
        self, account: AccountRecord, proto: Proto = Proto.IMAP, client: str = "192.0.2.1"
    ) -> Joined | None:
        session = self.sessions.admit(account, proto, Origin(client, 4711, "192.0.2.9", 143, "abc"))
        if session is None:
            return None
        joined = Joined()
        joined.session = session
        session.begin(account.host or "", cast(Any, joined))
        self.joined.setdefault(account.address.local, []).append(joined)
        return joined

    def turns(self) -> int:
        """Until nothing is left to do; how many there were."""
        count = 0
        while self.sessions._looking is not None:
            self.clock.advance(0.6)
            count += 1
        return count


@pytest.fixture
def world() -> Iterator[World]:
    with EphemeralDirectory() as directory:
        yield World(directory)


def test_limits(world: World) -> None:
    alice, bob = world.account("alice"), world.account("bob")
    first = world.begin(alice)
    assert first is not None
    assert world.begin(alice, Proto.POP3) is not None
    assert world.begin(alice) is None
    assert world.begin(alice, client="192.0.2.2") is not None
    assert world.begin(bob) is not None
    first.close()
    assert world.begin(alice) is not None
    assert world.sessions.count() == 4
    assert world.sessions.by_host() == {"be1": 4}
    assert world.sessions.counters.refused == 1


def test_who(world: World) -> None:
    joined = world.begin(world.account("alice"))
    assert joined is not None
    joined.from_server = 100
    assert world.sessions.who() == [
        {
            "account": "alice@example.com",
            "protocol": "imap",
            "client": "192.0.2.1",
            "client_port": 4711,
            "host": "be1",
            "since": 1e9,
            "session": "abc",
            "state": "joined",
            "from_client": 0,
            "to_client": 100,
        }
    ]


def test_kick(world: World) -> None:
    alice, bob = world.account("alice"), world.account("bob", "be2")
    for account in (alice, bob):
        for proto in Proto:
            world.begin(account, proto)
    assert world.sessions.kick("ALICE@example.com", "be2") == 0
    assert world.sessions.kick(where=lambda session: session.protocol is Proto.POP3) == 2
    assert world.sessions.kick("Alice@example.com") == 1
    assert world.sessions.kick(None, "BE2") == 1
    assert world.sessions.count() == 0
    imap, pop3 = world.joined["alice"]
    assert (imap.last_words or b"").startswith(b"* BYE ")
    assert pop3.last_words == b""


def test_moves(world: World) -> None:
    for number in range(20):
        world.begin(world.account(f"u{number}", "be1" if number < 10 else "be2"))
    world.sessions.recheck()
    assert world.turns() == 1
    assert world.sessions.count() == 20
    accounts.rename_account(world.site, "u1@example.com", "v1@example.com")
    accounts.remove_account(world.site, "u11@example.com")
    world.sessions.recheck()
    world.sessions.recheck()
    world.turns()
    assert {joined.last_words is not None for joined in world.joined["u11"]} == {True}
    local = world.directory.local
    local.bulk(local.core.administrator, Rehost("be1", "be2")).result()
    world.sessions.recheck()
    world.turns()
    assert {name for name, (joined,) in world.joined.items() if joined.last_words is None} == {
        f"u{number}" for number in range(10, 20) if number != 11
    }


def test_another_copy_of_the_directory(world: World) -> None:
    """Where entries have other numbers, and be2's account the one of be1's."""
    world.begin(world.account("alice", "be1"))
    world.begin(world.account("bob", "be2"))
    world.sessions.recheck()
    world.turns()
    with EphemeralDirectory() as directory:
        other = World(directory)
        other.account("bob", "be2")
        other.account("alice", "be1")
        world.following.site = other.site
        world.sessions.recheck()
        world.turns()
    assert world.sessions.count() == 2


def test_while_the_directory_is_away_nobody_is_sent_away(world: World) -> None:
    account = world.account("alice")
    world.begin(account)
    accounts.remove_account(world.site, "alice@example.com")
    world.following.trouble = "it was never loaded"
    world.sessions.recheck()
    world.turns()
    assert world.sessions.count() == 1


def test_many_are_looked_at_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    took: list[float] = []
    look = Sessions._look

    def timed(self: Sessions, rest: Iterator[Session]) -> bool:
        started = time.perf_counter()
        more = look(self, rest)
        took.append(time.perf_counter() - started)
        return more

    monkeypatch.setattr(Sessions, "_look", timed)
    account = world.account("alice")
    for number in range(10_000):
        world.begin(account, client=f"192.0.{number // 256}.{number % 256}")
    world.sessions.recheck()
    world.turns()
    assert len(took) > 2
    assert statistics.median(took) < 0.02
    first = sum(took)
    took.clear()
    world.sessions.recheck()
    world.turns()
    assert sum(took) < first


def test_silence(world: World) -> None:
    talking, silent = world.begin(world.account("alice")), world.begin(world.account("bob"))
    assert talking is not None
    assert silent is not None
    for _ in range(32):
        world.clock.advance(60)
        talking.from_client += 1
    assert silent.last_words == b"* BYE nothing was said for too long\r\n"
    assert talking.last_words is None


def test_the_end(world: World) -> None:
    joined = world.begin(world.account("alice"))
    waiting = world.sessions.admit(world.account("bob"), Proto.POP3, Origin("192.0.2.1", 1, "", 0, "abc"))
    assert joined is not None
    assert waiting is not None
    told: list[str] = []
    waiting.stop = told.append
    world.sessions.recheck()
    world.sessions.stopService()
    assert b"shutting down" in (joined.last_words or b"")
    assert told
    assert not world.clock.getDelayedCalls()
