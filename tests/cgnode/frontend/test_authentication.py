"""Who a name and a password stand for, and what a failure costs, with a clock for the time."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cgnode import accounts, domains, servers
from cgnode.frontend.authentication import Authenticator, Denied, Granted, Unavailable, Verdict
from cgnode.frontend.penalties import FREE, Penalties
from cgnode.lookup import Site
from cgnode.members import Member
from cgnode.proto import sasl
from ldapserver.passwords import verify
from ldapserver.testing import EphemeralDirectory

SSHA = "{SSHA}44j3h0OGx8KHYFuoJ8BumzPFQ/QAgRPC"  # secret


class Following:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.trouble: str | None = None

    def usable(self) -> str | None:
        return self.trouble

    def in_step(self) -> bool:
        return True

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def status(self) -> dict[str, object]:
        return {}


class Reactor(Clock):
    """What comes from a thread comes at once."""

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        call(*args)


class Pool:
    """Threads that work when the test says so."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def callInThreadWithCallback(self, done: Any, function: Any, *args: Any) -> None:
        self.work.append(lambda: done(True, function(*args)))

    def run(self) -> int:
        work, self.work = self.work, []
        for each in work:
            each()
        return len(work)


class World:
    def __init__(self, directory: EphemeralDirectory) -> None:
        self.directory = directory
        self.site = Site(directory.local.core)
        servers.add_server(self.site, Member("be1", ("backend",)))
        domains.add_domain(self.site, "example.com")
        for name in ("alice", "bob"):
            accounts.add_account(self.site, f"{name}@example.com")
        self.set("alice", SSHA)
        self.following = Following(self.site)
        self.clock = Reactor()
        self.pool = Pool()
        self.authenticator = Authenticator(
            self.clock, self.following, "example.com", secret=b"x", pool=cast(Any, self.pool)
        )

    def set(self, name: str, *values: str) -> None:
        self.directory.modify(f"uid={name},cn=example.com", replace={"userPassword": list(values)})

    def check(self, name: str, password: bytes = b"secret", authzid: str = "", source: str = "") -> Answer:
        return Answer(self.authenticator.check(name, password, authzid, source))


class Answer:
    def __init__(self, deferred: Deferred[Verdict]) -> None:
        self.verdict: Verdict | None = None
        deferred.addCallback(self._take)

    def _take(self, verdict: Verdict) -> None:
        self.verdict = verdict

    @property
    def address(self) -> str:
        assert isinstance(self.verdict, Granted)
        return str(self.verdict.account.address)


@pytest.fixture
def world() -> Iterator[World]:
    with EphemeralDirectory() as directory:
        yield World(directory)


def test_a_fast_hash_is_verified_at_once(world: World) -> None:
    answer = world.check("alice")
    assert answer.address == "alice@example.com"
    assert isinstance(answer.verdict, Granted)
    assert answer.verdict.account.host == "be1"
    assert not world.pool.work
    assert not world.clock.getDelayedCalls()


def test_a_slow_one_in_a_thread_and_only_once(world: World) -> None:
    accounts.set_password(world.site, "bob@example.com", b"builder")
    first = world.check("bob", b"builder")
    assert first.verdict is None
    assert world.pool.run() == 1
    assert first.address == "bob@example.com"
    assert world.check("bob@example.com", b"builder").address == "bob@example.com"
    assert not world.pool.work
    wrong = world.check("bob", b"Builder")
    assert world.pool.run() == 1
    world.clock.advance(2)
    assert isinstance(wrong.verdict, Denied)
    accounts.set_password(world.site, "bob@example.com", b"another")
    old = world.check("bob", b"builder")
    assert world.pool.run() == 1
    world.clock.advance(2)
    assert isinstance(old.verdict, Denied)


@pytest.mark.parametrize("name", ["alice", "nobody", "bob", "@", "nobody@elsewhere.example", "x" * 1000])
def test_no_is_said_after_the_delay(world: World, name: str) -> None:
    """The same for a wrong password, a name that is unknown, and an account without one; and
    work is done for each."""
    answer = world.check(name, b"wrong")
    if name != "alice":
        assert world.pool.run() == 1
    world.clock.advance(1.9)
    assert answer.verdict is None
    world.clock.advance(0.2)
    assert isinstance(answer.verdict, Denied)


def test_the_delay_begins_with_the_check(world: World) -> None:
    answer = world.check("nobody")
    world.clock.advance(1.5)
    world.pool.run()
    world.clock.advance(0.6)
    assert isinstance(answer.verdict, Denied)


def test_who_fails_many_times_at_once_is_held(world: World) -> None:
    for _ in range(FREE):
        world.check("alice", b"wrong", source="192.0.2.1")
    held = world.check("alice", b"secret", source="192.0.2.1")
    on_the_account = world.check("alice", b"secret", source="192.0.2.2")
    assert [held.verdict, on_the_account.verdict] == [None, None]
    other = world.check("bob", source="192.0.2.3")
    assert world.pool.run() == 1
    world.clock.advance(2)
    assert held.address == on_the_account.address == "alice@example.com"
    assert isinstance(other.verdict, Denied)


@pytest.mark.parametrize("name", ["2001:db8::7", "192.0.2.7"])
def test_nobody_is_held_for_a_name_like_its_address(world: World, name: str) -> None:
    for _ in range(FREE):
        world.check(name, b"wrong", source="192.0.2.1")
    assert world.pool.run() == FREE
    assert world.check("alice", b"secret", source=name).address == "alice@example.com"


def test_acting_as_another(world: World) -> None:
    accounts.add_alias(world.site, "al@example.com", "alice@example.com")
    for authzid in ("", "alice", "ALICE@example.com", "al@example.com"):
        assert world.check("alice", authzid=authzid).address == "alice@example.com"
    for authzid in ("bob", "nobody", "@", "cluster"):
        answers = (
            world.check("alice", authzid=authzid),
            Answer(world.authenticator.proven("alice", authzid)),
        )
        world.clock.advance(2)
        assert all(isinstance(answer.verdict, Denied) for answer in answers)


def test_no_directory_no_answer(world: World) -> None:
    world.following.trouble = "it was never loaded"
    for answer in (world.check("alice"), world.check("nobody")):
        assert answer.verdict == Unavailable("it was never loaded")
    assert isinstance(world.authenticator.keys("alice"), Unavailable)
    assert isinstance(Answer(world.authenticator.proven("alice")).verdict, Unavailable)


def test_too_many_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgnode.frontend.authentication.MOST_WAITING", 2)
    answers = [world.check("nobody") for _ in range(3)]
    assert [answer.verdict for answer in answers[:2]] == [None, None]
    assert isinstance(answers[2].verdict, Unavailable)
    world.pool.run()
    assert world.check("nobody").verdict is None


def test_an_account_on_no_server(world: World) -> None:
    world.directory.modify("uid=alice,cn=example.com", replace={"hostServer": []})
    answer = world.check("alice")
    assert isinstance(answer.verdict, Granted)
    assert answer.verdict.account.host is None


def test_scram(world: World) -> None:
    keys = sasl.scram_keys("secret", b"salt of scram keys", 4096)
    world.set("alice", SSHA, sasl.format_scram(keys).decode())
    assert world.authenticator.keys("Alice@example.com") == keys
    assert Answer(world.authenticator.proven("alice", "alice@example.com")).address == "alice@example.com"
    wrong = Answer(world.authenticator.disproved("alice"))
    other = Answer(world.authenticator.proven("alice", "bob"))
    assert [wrong.verdict, other.verdict] == [None, None]
    world.clock.advance(2)
    assert isinstance(wrong.verdict, Denied)
    assert isinstance(other.verdict, Denied)


def test_keys_are_for_passwords_too_where_there_is_no_hash(world: World) -> None:
    keys = sasl.format_scram(sasl.scram_keys("builder", b"salt of scram keys", 4096)).decode()
    world.set("bob", keys)
    answer = world.check("bob", b"builder")
    assert world.pool.run() == 1
    assert answer.address == "bob@example.com"
    world.set("bob", keys, SSHA)
    answer = world.check("bob", b"builder")
    assert not world.pool.work
    world.clock.advance(2)
    assert isinstance(answer.verdict, Denied)


def test_decoys_are_always_the_same(world: World) -> None:
    keys = [world.authenticator.keys(name) for name in ("nobody", "Nobody", "nobody@example.com")]
    assert keys[0] == keys[1] == keys[2]
    assert world.authenticator.keys("alice") == world.authenticator.keys("ALICE@example.com") != keys[0]


def test_mechanisms(world: World) -> None:
    assert world.authenticator.mechanisms == ("PLAIN", "LOGIN")


def test_cgctl_keeps_keys_of_a_password(world: World) -> None:
    accounts.set_password(world.site, "bob@example.com", b"b\xc3\xbcilder", scram=True)
    stored = world.directory.values("uid=bob,cn=example.com", "userPassword")
    assert [value.partition("}")[0] for value in stored] == ["{ARGON2", "{SCRAM-SHA-256"]
    assert all(verify(value.encode(), b"b\xc3\xbcilder") for value in stored)
    keys = world.authenticator.keys("bob")
    assert isinstance(keys, sasl.ScramKeys)
    assert sasl.verify_scram(keys, "b\u00fcilder")


def test_penalties_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgnode.frontend.penalties.MOST", 10)
    penalties = Penalties(2.0)
    for number in range(100):
        penalties.failed(0.0, f"192.0.2.{number}", "")
    assert len(penalties._failures) == 10
    for _ in range(FREE):
        penalties.failed(1.0, "a")
    assert penalties.left(1.5, "a", "b") == 1.5
    penalties.succeeded("a")
    assert penalties.left(1.5, "a") == 0.0
    assert penalties.left(9.0, "192.0.2.99") == 0.0
    assert not penalties._failures
