from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import cast

import pytest
from twisted.internet.task import Clock

from cgnode import accounts, domains
from cgnode.auto_failover import FailoverWatch
from cgnode.config import AutoFailover, Health
from cgnode.editing import Refused
from cgnode.failover import FailedOver, fail_over
from cgnode.health import HostHealth
from cgnode.lookup import Site
from cgnode.members import State
from ldapserver.net.reactor import Reactor
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.hosts import Backends, Followed


class ThreadlessClock(Clock):
    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        self.callLater(0, call, *args)


class World:
    """be3 with an account, covered by be5 when it has been down for a minute."""

    def __init__(self, directory: EphemeralDirectory) -> None:
        self.local = directory.local
        self.site = Site(directory.local.core)
        self.clock = ThreadlessClock()
        self.followed = Followed(self.site)
        self.backends = Backends(self.followed)
        self.backends.add("be3", "lmtp")
        self.backends.add("be5", "lmtp")
        domains.add_domain(self.site, "example.com")
        accounts.add_account(self.site, "alice@example.com", host="be3")
        reactor = cast(Reactor, self.clock)
        self.health = HostHealth(reactor, Health(2.0, 2.0, 2), self.followed, self.backends.probe)
        settings = AutoFailover({"be3": "be5"}, 60.0)
        self.watch = FailoverWatch(reactor, settings, self.health, self.followed, self.fail_over)
        self.asked: list[tuple[str, str]] = []
        self.refusal = ""

    def fail_over(self, host: str, sibling: str) -> Future[FailedOver]:
        self.asked.append((host, sibling))
        moving: Future[FailedOver] = Future()
        if self.refusal:
            moving.set_exception(Refused(self.refusal))
        else:
            moving.set_result(fail_over(self.site, self.local, host, sibling).result())
            self.followed.changed()
        return moving

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)

    def host(self) -> str | None:
        with self.site.reading() as lookup:
            record = lookup.record("alice", "example.com")
        return getattr(record, "host", None)


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    with EphemeralDirectory() as directory:
        world = World(directory)
        with caplog.at_level(logging.ERROR, "cgnode.auto_failover"):
            world.health.startService()
            world.watch.startService()
            yield world
        world.watch.stopService()
        world.health.stopService()
        world.clock.advance(0)
        assert not world.clock.getDelayedCalls()


def test_a_host_that_stays_away_is_covered_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.pass_time(30)
    world.backends.answers["be3"] = None
    world.pass_time(60)
    assert world.asked == []
    world.pass_time(10)
    assert world.asked == [("be3", "be5")]
    assert world.host() == "be5"
    world.pass_time(600)
    assert world.asked == [("be3", "be5")]
    first, second = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert first == (
        "AUTOMATIC FAILOVER: be3 has been down for 60 s (no greeting within 2 s); be5 takes its accounts over"
    )
    assert second.startswith("AUTOMATIC FAILOVER: be5 serves 1 account of be3's; cgctl restore be3 ")


def test_nothing_moves_back_by_itself(world: World) -> None:
    world.backends.answers["be3"] = "refused"
    world.pass_time(70)
    world.backends.answers["be3"] = ""
    world.pass_time(100)
    assert world.host() == "be5"
    assert not world.health.is_up("be3")


def test_a_host_that_comes_back_in_time(world: World) -> None:
    for _ in range(3):
        world.backends.answers["be3"] = "refused"
        world.pass_time(50)
        world.backends.answers["be3"] = ""
        world.pass_time(10)
    assert world.asked == []


def test_a_sibling_that_is_down_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """As for a node that reaches nobody."""
    world.backends.answers.update(be3="refused", be5="no route")
    world.pass_time(100)
    assert world.asked == []
    assert caplog.messages == [
        "be3 has been down for 60 s and is not covered: be5, its sibling, is down: no route"
    ]
    world.backends.answers["be5"] = ""
    world.pass_time(3)
    assert world.asked == [("be3", "be5")]


def test_a_sibling_that_takes_no_accounts(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.backends.set_state("be5", State.DRAINING)
    world.backends.answers["be3"] = "refused"
    world.pass_time(100)
    assert world.asked == []
    assert "be5, its sibling, is draining" in caplog.text
    world.backends.set_state("be5", State.ACTIVE)
    assert world.asked == [("be3", "be5")]


@pytest.mark.parametrize("state", [State.DOWN, State.DRAINING])
def test_a_host_that_an_operator_has_marked(world: World, state: State) -> None:
    world.backends.set_state("be3", state)
    world.backends.answers["be3"] = "refused"
    world.pass_time(200)
    assert world.asked == []


def test_a_host_that_was_marked_and_is_not_back_yet(world: World) -> None:
    world.backends.answers["be3"] = "refused"
    world.backends.set_state("be3", State.DOWN)
    world.backends.set_state("be3", State.ACTIVE)
    world.pass_time(200)
    assert world.asked == []
    world.backends.answers["be3"] = ""
    world.pass_time(3)
    world.backends.answers["be3"] = "refused"
    world.pass_time(70)
    assert world.asked == [("be3", "be5")]


def test_what_could_not_be_done_is_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.refusal = "the disk is full"
    world.backends.answers["be3"] = "refused"
    world.pass_time(70)
    assert world.asked == [("be3", "be5")]
    assert "AUTOMATIC FAILOVER of be3 could not be done: the disk is full" in caplog.messages
    world.refusal = ""
    world.pass_time(31)
    assert world.asked == [("be3", "be5")] * 2
    assert world.host() == "be5"


def test_stopped_in_time(world: World) -> None:
    world.backends.answers["be3"] = "refused"
    world.pass_time(30)
    world.watch.stopService()
    world.pass_time(60)
    assert world.asked == []
    world.watch.startService()
    assert world.asked == [("be3", "be5")]
