"""Many time limits by one timer."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from cgnode.deadlines import Deadlines


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(cast(Any, self.clock), 3.0)
        self.over: list[tuple[int, float]] = []
        self.calls = [partial(self._expired, number) for number in range(5)]

    def _expired(self, number: int) -> None:
        self.over.append((number, float(self.clock.seconds())))


@pytest.fixture
def world() -> World:
    return World()


def test_each_at_its_time(world: World) -> None:
    for call in world.calls[:3]:
        world.deadlines.start(call)
        world.clock.advance(1)
    assert len(world.clock.getDelayedCalls()) == 1
    world.deadlines.stop(world.calls[1])
    world.clock.pump([0.1] * 30)
    assert [number for number, _ in world.over] == [0, 2]
    assert [when for _, when in world.over] == pytest.approx([3.0, 5.0], abs=0.15)
    assert not world.clock.getDelayedCalls()


def test_anew(world: World) -> None:
    world.deadlines.start(world.calls[0])
    world.clock.advance(2)
    world.deadlines.start(world.calls[0])
    world.clock.advance(2)
    assert not world.over
    world.clock.advance(1)
    assert [number for number, _ in world.over] == [0]


def test_one_stops_another(world: World) -> None:
    world.deadlines.start(lambda: world.deadlines.stop(world.calls[1]))
    world.deadlines.start(world.calls[1])
    world.deadlines.start(lambda: world.deadlines.start(world.calls[2]))
    world.clock.advance(3)
    assert not world.over
    world.clock.advance(3)
    assert [number for number, _ in world.over] == [2]


def test_nothing_is_left(world: World) -> None:
    world.deadlines.start(world.calls[0])
    world.deadlines.stop(world.calls[1])
    world.deadlines.stop(world.calls[0])
    world.deadlines.stop(world.calls[0])
    assert not world.clock.getDelayedCalls()
