"""Lanes: what waits for one destination, how much of it at a time, and whether it lives.

What lives here: the state of destinations, and whose turn it is among them.  What must
not: messages' own state (``schedule``).

    UP    attempts are made, at first few at a time, more with each success
    DEAD  a cohort of attempts has failed; one at a time is tried, now and then
    DOWN  the shell knows that it is; nothing is tried until the shell says otherwise
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from enum import Enum
from itertools import count
from math import inf

from attrs import Factory, define

from cgnode.frontend.queue.message import Message
from cgnode.frontend.queue.policy import Policy
from cgnode.frontend.queue.values import Destination, Reason


class Condition(Enum):
    UP = "up"
    DEAD = "dead"
    DOWN = "down"


@define(eq=False)
class Lane:
    """``ready`` and ``waiting``: messages with recipients that are; ``active``: attempts.
    ``failures``: since the last success, in cohorts.  ``deaths``: in a row, for the
    back-off.  ``probing``: when dead, the next message may be tried."""

    destination: Destination
    key: int
    window: int
    condition: Condition = Condition.UP
    reason: Reason | None = None
    ready: OrderedDict[int, Message] = Factory(OrderedDict)
    waiting: dict[int, Message] = Factory(dict)
    active: int = 0
    failures: float = 0.0
    deaths: int = 0
    retry_at: float = inf
    probing: bool = False
    in_line: bool = False

    @property
    def allowed(self) -> int:
        match self.condition:
            case Condition.UP:
                return self.window
            case Condition.DEAD:
                return 1
            case Condition.DOWN:
                return 0

    @property
    def idle(self) -> bool:
        return not (self.ready or self.waiting or self.active)

    def succeeded(self, policy: Policy) -> bool:
        """It answered; True when it was dead before."""
        self.failures = 0.0
        self.window = min(self.window + 1, policy.concurrency)
        revived = self.condition is Condition.DEAD
        if revived:
            self.revive(policy)
        return revived

    def failed(self, policy: Policy, reason: Reason, probe: bool) -> bool:
        """It could not be reached; True when it has died of this, or again.  What was under
        way when it died says no more than that death did."""
        if self.condition is Condition.DOWN:
            return False
        self.reason = reason
        if self.condition is Condition.DEAD:
            return probe
        self.failures += 1.0 / self.window
        self.window = max(1, self.window - 1)
        return self.failures >= policy.cohort

    def revive(self, policy: Policy) -> None:
        self.condition = Condition.UP
        self.reason = None
        self.window = policy.first_concurrency
        self.failures = 0.0
        self.deaths = 0
        self.retry_at = inf
        self.probing = False


class Lanes:
    """All of them; those that have something ready stand in line, one turn each."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lanes: dict[Destination, Lane] = {}
        self._by_key: dict[int, Lane] = {}
        self._keys = count(1)
        self._line: deque[Lane] = deque()

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, destination: Destination) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            lane = Lane(destination, next(self._keys), self._policy.first_concurrency)
            self._lanes[destination] = self._by_key[lane.key] = lane
        return lane

    def of_key(self, key: int) -> Lane | None:
        return self._by_key.get(key)

    def find(self, destination: Destination) -> Lane | None:
        return self._lanes.get(destination)

    @property
    def in_line(self) -> int:
        return len(self._line)

    def offer(self, lane: Lane) -> None:
        """Something about it has changed; it may have to stand in line."""
        if not lane.in_line and lane.ready and lane.active < lane.allowed:
            lane.in_line = True
            self._line.append(lane)

    def turn(self) -> Lane | None:
        """Whose turn it is; ``offer`` it again afterwards."""
        while self._line:
            lane = self._line.popleft()
            lane.in_line = False
            if lane.ready and lane.active < lane.allowed:
                return lane
        return None

    def tidy(self, lane: Lane) -> None:
        """Forget it, if there is nothing to be remembered."""
        if lane.condition is Condition.UP and lane.idle:
            self.forget(lane)

    def forget(self, lane: Lane) -> None:
        if self._by_key.pop(lane.key, None) is not None:
            del self._lanes[lane.destination]
