"""Destinations that go away and come back, and what waits for them meanwhile.

What lives here: parking and waking.  What must not: single attempts (``schedule``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from math import inf
from random import Random
from typing import Final

from cgnode.frontend.queue.lane import Condition, Lane
from cgnode.frontend.queue.message import Addressee, Message, Stage
from cgnode.frontend.queue.table import DOWN, Table
from cgnode.frontend.queue.timers import Timers, backoff
from cgnode.frontend.queue.values import Destination, Reason
from cgnode.proto.smtp.address import Address

_WAITS: Final = (Stage.READY, Stage.DELAYED)
# After a probe that came to nothing, because the message was routed elsewhere, say.
_PROBE_AGAIN: Final = 60.0

Which = Callable[[Addressee], bool]


class Waking:
    """``generation`` changes whenever answers of the router may have become old."""

    def __init__(self, table: Table, random: Random) -> None:
        self.generation = 0
        self.timers = Timers(self._stands, self._standing)
        self._table = table
        self._random = random

    # --- going -------------------------------------------------------------------------

    def down(self, destination: Destination, reason: Reason = DOWN) -> None:
        """It is known to be down: nothing is tried until ``wake``."""
        lane = self._table.lanes.get(destination)
        lane.condition = Condition.DOWN
        lane.reason = reason
        lane.retry_at = inf
        self._park_all(lane)

    def die(self, lane: Lane, now: float) -> None:
        """Attempts have shown that it is dead."""
        lane.condition = Condition.DEAD
        lane.deaths += 1
        lane.probing = False
        self._park_all(lane)
        self._probe_at(lane, now + backoff(self._table.policy, lane.deaths, self._random))

    def _park_all(self, lane: Lane) -> None:
        ready, lane.ready = lane.ready, OrderedDict()
        for message in ready.values():
            for addressee in message.addressees:
                if addressee.stage is Stage.READY and addressee.lane is lane:
                    self._table.park(message, addressee)
            self._table.arm(message)
            self._table.settle(message)

    # --- coming back -------------------------------------------------------------------

    def wake(self, destination: Destination) -> int:
        """It is up, or what waits for it may belong elsewhere now: all of that is routed
        again, at a pace.  Returns the number of messages."""
        self.generation += 1
        lane = self._table.lanes.find(destination)
        if lane is None:
            return 0
        lane.revive(self._table.policy)
        woken = sum(self._release(message, lane, _anything, True) for message in _waiting(lane))
        self._table.lanes.tidy(lane)
        return woken

    def revived(self, lane: Lane) -> None:
        """A dead destination has answered: what waits because it did not, need not."""
        for message in _waiting(lane):
            self._release(message, lane, _unreached, True)

    def wake_where(self, match: Callable[[Address], bool]) -> int:
        """Route again what waits for such addresses, as given or as routed last."""
        self.generation += 1

        def wanted(addressee: Addressee) -> bool:
            return match(addressee.address) or (addressee.goal is not None and match(addressee.goal))

        woken = 0
        for message in self._table.messages.values():
            lanes = {a.lane for a in message.addressees if a.stage in _WAITS and a.lane is not None}
            moved = [self._release(message, lane, wanted, True) for lane in lanes]
            woken += any(moved)
        return woken

    def wake_moved(
        self, destination: Destination, numbers: Iterable[int], moved: Callable[[Address], bool]
    ) -> int:
        """Route again, of these messages, what waits for the destination and does not belong
        there any more."""
        self.generation += 1
        lane = self._table.lanes.find(destination)
        if lane is None:
            return 0
        waiting = [lane.waiting[number] for number in numbers if number in lane.waiting]
        return sum(
            self._release(message, lane, lambda addressee: moved(addressee.address), True)
            for message in waiting
        )

    def hurry(self, message: Message) -> None:
        """Try it now; a destination that is dead gets a chance by it."""
        for lane in {a.lane for a in message.addressees if a.stage is Stage.DELAYED and a.lane is not None}:
            lane.probing = lane.condition is Condition.DEAD
            self._release(message, lane, _anything, False)

    def _release(self, message: Message, lane: Lane, which: Which, waking: bool) -> bool:
        """DUE again: those of its recipients that wait for the lane, or in it."""
        moved = False
        for addressee in message.addressees:
            if addressee.stage in _WAITS and addressee.lane is lane and which(addressee):
                addressee.stage = Stage.DUE
                moved = True
        if moved:
            self._table.unlist(message, (lane,))
            self._table.line_up(message, waking)
        return moved

    # --- probing -----------------------------------------------------------------------

    def fire(self, now: float) -> None:
        while (key := self.timers.pop(now)) is not None:
            lane = self._table.lanes.of_key(key)
            assert lane is not None
            self._probe(lane, now)

    def _probe(self, lane: Lane, now: float) -> None:
        """Let one message try whether a dead destination lives."""
        if lane.idle:
            self._table.lanes.forget(lane)
            return
        lane.probing = True
        self._probe_at(lane, now + _PROBE_AGAIN)
        if not (lane.ready or lane.active):
            self._release(next(iter(lane.waiting.values())), lane, _anything, False)

    def _probe_at(self, lane: Lane, when: float) -> None:
        lane.retry_at = when
        self.timers.push(when, lane.key, len(self._table.lanes))

    def _stands(self, when: float, key: int) -> bool:
        lane = self._table.lanes.of_key(key)
        return lane is not None and lane.retry_at == when

    def _standing(self) -> Iterator[tuple[float, int]]:
        return ((lane.retry_at, lane.key) for lane in self._table.lanes if lane.retry_at < inf)


def _waiting(lane: Lane) -> list[Message]:
    return list({**lane.ready, **lane.waiting}.values())


def _anything(_: Addressee) -> bool:
    return True


def _unreached(addressee: Addressee) -> bool:
    """It waits because nothing was heard of its destination."""
    return addressee.next_try == inf or (addressee.reason is not None and not addressee.reason.host)
