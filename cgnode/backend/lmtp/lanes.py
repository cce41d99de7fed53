"""Deliveries that wait, by storage: what has come while a storage was busy goes to it at once.

So the more mail there is, the more of it shares what durability costs; and a storage that
hangs holds up its own mail alone.  Everything here is of the reactor's thread, but the jobs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from attrs import define, field

from cgnode.backend.lmtp.delivering import Task
from cgnode.proto.smtp.reply import Reply

MOST: Final = 64
"""Deliveries in a batch."""

AT_ONCE: Final = 2
"""Batches of one storage: while one waits for the disk, the next is written."""

Told: TypeAlias = Callable[[Reply], None]
Runner: TypeAlias = Callable[[Sequence[Task], Callable[[list[Reply]], None]], None]
"""Has a batch delivered in a thread, and tells the replies in the reactor's."""


@define
class _Lane:
    busy: int = 0
    waiting: deque[tuple[Task, Told]] = field(factory=deque)


@define
class Lanes:
    _run: Runner
    _lanes: dict[str, _Lane] = field(factory=dict)

    def add(self, task: Task, told: Told) -> None:
        home = task.place.home
        lane = self._lanes.get(home)
        if lane is None:
            lane = self._lanes[home] = _Lane()
        lane.waiting.append((task, told))
        if lane.busy < AT_ONCE:
            self._start(home, lane)

    def _start(self, home: str, lane: _Lane) -> None:
        batch = [lane.waiting.popleft() for _ in range(min(MOST, len(lane.waiting)))]
        lane.busy += 1

        def done(replies: list[Reply]) -> None:
            lane.busy -= 1
            if lane.waiting:
                self._start(home, lane)
            elif not lane.busy:
                del self._lanes[home]
            for (_, told), reply in zip(batch, replies, strict=True):
                told(reply)

        self._run([task for task, _ in batch], done)
