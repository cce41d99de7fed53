from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import cast

import pytest
from twisted.internet.task import Clock

from cgnode.config import Health
from cgnode.health import HostHealth
from cgnode.lookup import Site
from cgnode.members import State
from ldapserver.net.reactor import Reactor
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.hosts import Backends, Followed


class World:
    """Two backends, both well, seen by one node."""

    def __init__(self, site: Site) -> None:
        self.clock = Clock()
        self.followed = Followed(site)
        self.backends = Backends(self.followed)
        self.backends.add("be3", "lmtp")
        self.backends.add("be5", "imap")
        self.health = HostHealth(
            cast(Reactor, self.clock), Health(2.0, 2.0, 2), self.followed, self.backends.probe
        )
        self.heard: list[tuple[str, bool]] = []
        self.health.subscribe(lambda host, up: self.heard.append((host, up)))

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 8)):
            self.clock.advance(0.125)


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    with EphemeralDirectory() as directory:
        world = World(Site(directory.local.core))
        with caplog.at_level(logging.INFO):
            world.health.startService()
            yield world
        if world.health.running:
            world.health.stopService()
        assert not world.clock.getDelayedCalls()
        assert not world.backends.waiting


def test_all_are_asked_at_once_and_then_at_intervals(world: World) -> None:
    assert world.backends.asked == ["be3 lmtp", "be5 imap"]
    world.pass_time(6.125)
    assert world.backends.asked == ["be3 lmtp", "be5 imap"] * 4
    assert world.health.is_up("be3")
    assert world.health.is_up("BE5")
    assert world.health.why("be3") == ""
    assert world.heard == []


def test_two_refusals_in_a_row_are_down_and_one_greeting_up(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.backends.answers["be3"] = "connection refused"
    world.pass_time(2.125)
    assert world.health.is_up("be3")
    world.pass_time(2)
    assert not world.health.is_up("be3")
    assert world.health.why("be3") == "connection refused"
    assert world.health.is_up("be5")
    world.pass_time(10)
    assert world.health.lost_for("be3") == pytest.approx(10.1, abs=0.2)
    world.backends.answers["be3"] = ""
    world.pass_time(2)
    assert world.health.is_up("be3")
    assert world.health.lost_for("be3") is None
    assert world.heard == [("be3", False), ("be3", True)]
    assert caplog.messages == ["be3 is down: connection refused", "be3 is up again"]


def test_a_single_failure_is_nothing(world: World) -> None:
    for _ in range(3):
        world.backends.answers["be3"] = "connection refused"
        world.pass_time(2)
        world.backends.answers["be3"] = ""
        world.pass_time(2)
    assert world.heard == []


def test_silence_is_found_as_well(world: World) -> None:
    world.backends.answers["be3"] = None
    world.pass_time(6.125)
    assert world.health.why("be3") == "no greeting within 2 s"
    assert world.heard == [("be3", False)]


def test_who_speaks_to_it_has_it_asked_at_once(world: World) -> None:
    world.pass_time(1)
    world.backends.answers["be3"] = "connection refused"
    world.health.failed("be3", "connection refused")
    assert world.heard == [("be3", False)]
    world.health.succeeded("be3")
    assert world.heard == [("be3", False), ("be3", True)]


def test_failures_elsewhere_alone_make_nothing_down(world: World) -> None:
    world.pass_time(1)
    del world.backends.asked[:]
    for _ in range(100):
        world.health.failed("be3", "no such mailbox")
        world.health.failed("be9", "there is none")
    assert world.health.is_up("be3")
    assert world.backends.asked == ["be3 lmtp"]


def test_silence_behind_a_failure_elsewhere(world: World) -> None:
    world.pass_time(1)
    world.backends.answers["be3"] = None
    for _ in range(100):
        world.health.failed("be3", "timed out")
    assert len(world.backends.waiting) == 1
    world.pass_time(2.125)
    assert world.heard == [("be3", False)]


def test_marked_down_by_an_operator(world: World) -> None:
    world.pass_time(1)
    world.backends.set_state("be3", State.DOWN)
    assert world.heard == [("be3", False)]
    assert world.health.why("be3") == "marked down; cgctl server up be3 ends that"
    assert world.health.lost_for("be3") is None
    del world.backends.asked[:]
    world.health.succeeded("be3")
    world.health.failed("be3", "refused")
    world.pass_time(4)
    assert set(world.backends.asked) == {"be5 imap"}
    world.backends.set_state("be3", State.ACTIVE)
    assert world.heard == [("be3", False), ("be3", True)]


def test_in_service_again_but_silent(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.backends.set_state("be3", State.DOWN)
    world.backends.answers["be3"] = None
    world.backends.set_state("be3", State.ACTIVE)
    assert not world.health.is_up("be3")
    assert world.health.why("be3") == "in service again, but not heard of yet"
    world.pass_time(4.125)
    assert world.health.why("be3") == "no greeting within 2 s"
    assert world.health.lost_for("be3") is None
    assert caplog.messages[-1] == "be3 is still down: no greeting within 2 s"
    world.backends.answers["be3"] = ""
    world.pass_time(2.125)
    assert world.heard == [("be3", False), ("be3", True)]


def test_draining_is_up(world: World) -> None:
    world.backends.set_state("be3", State.DRAINING)
    world.pass_time(2)
    assert world.heard == []


def test_added_and_removed(world: World) -> None:
    assert not world.health.is_up("be6")
    assert world.health.why("be6") == "no backend of this cluster"
    world.backends.add("be6", "pop3")
    assert world.backends.asked[-1] == "be6 pop3"
    assert world.health.is_up("be6")
    world.backends.answers["be6"] = None
    world.pass_time(2.5)
    world.backends.remove("be6")
    assert not world.backends.waiting
    assert world.heard == [("be6", True), ("be6", False)]


def test_without_an_address(world: World) -> None:
    world.backends.add("be6")
    assert not world.health.is_up("be6")
    assert world.health.why("be6").startswith("no address; ")
    world.backends.move("be6", "lmtp", "10.0.0.6:24")
    assert world.health.is_up("be6")


def test_at_another_address(world: World) -> None:
    world.backends.answers["be3"] = "connection refused"
    world.pass_time(5)
    assert world.heard == [("be3", False)]
    world.backends.answers["be3"] = ""
    world.backends.move("be3", "lmtp", "10.0.0.33:24")
    assert world.heard == [("be3", False), ("be3", True)]


def test_a_subscriber_that_fails_harms_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(host: str, up: bool) -> None:
        raise RuntimeError("a subscriber's")

    end = world.health.subscribe(fail)
    world.health.subscribe(lambda host, up: end())
    world.backends.set_state("be3", State.DOWN)
    world.backends.set_state("be5", State.DOWN)
    assert world.heard == [("be3", False), ("be5", False)]
    assert caplog.messages.count("telling that be3 is down") == 1
    assert "telling that be5 is down" not in caplog.messages


def test_stopping_gives_up(world: World) -> None:
    world.backends.answers["be3"] = None
    world.pass_time(2.5)
    world.health.stopService()
    assert not world.backends.waiting
    world.health.failed("be3", "refused")
    assert not world.backends.waiting


def test_status(world: World) -> None:
    world.backends.set_state("be3", State.DOWN)
    world.pass_time(1)
    found = [(each.name, each.up, each.state, round(each.seconds)) for each in world.health.status()]
    assert found == [("be3", False, State.DOWN, 1), ("be5", True, State.ACTIVE, 1)]
