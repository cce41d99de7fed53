"""Waiting, measured: back-off, a heap of times, a pace.

What lives here: plain arithmetic of times that are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from random import Random

from cgnode.frontend.queue.policy import Policy

_SPREAD = 0.2
# Entries that are void are thrown out when they are most, and more than a few.
_FEW = 1024


def backoff(policy: Policy, attempts: int, random: Random) -> float:
    """How long to wait after so many failures: doubled each time, a little more or less,
    so that what failed together does not come back together."""
    least, most = policy.minimum_delay, policy.maximum_delay
    delay = min(most, least * 2.0 ** min(max(attempts, 1) - 1, 30))
    low, high = max(least, delay * (1 - _SPREAD)), min(most, delay * (1 + _SPREAD))
    return low + (high - low) * random.random()


class Timers:
    """Times by key.  ``valid`` says whether an entry still stands, ``all`` lists those
    that do."""

    def __init__(
        self, valid: Callable[[float, int], bool], everything: Callable[[], Iterator[tuple[float, int]]]
    ) -> None:
        self._heap: list[tuple[float, int]] = []
        self._valid = valid
        self._everything = everything

    def push(self, when: float, key: int, standing: int) -> None:
        """``standing``: the number of entries that there may be without void ones."""
        if len(self._heap) > 2 * standing + _FEW:
            self._heap = list(self._everything())
            heapify(self._heap)
        else:
            heappush(self._heap, (when, key))

    def next(self) -> float | None:
        heap = self._heap
        while heap and not self._valid(*heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: float) -> int | None:
        """The key of one whose time has come."""
        when = self.next()
        return heappop(self._heap)[1] if when is not None and when <= now else None


class Pace:
    """At most ``rate`` a second, and a second's worth at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = max(rate, 1.0)
        self._tokens = self._burst
        self._at: float | None = None

    def available(self, now: float) -> int:
        if self._at is not None and now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return int(self._tokens)

    def spend(self, number: int) -> None:
        self._tokens -= number

    def next(self, now: float) -> float:
        """When there will be one."""
        if self.available(now) >= 1:
            return now
        # A little later, so that rounding does not leave it just short.
        return now + (1.0 - self._tokens) / self._rate + 0.001
