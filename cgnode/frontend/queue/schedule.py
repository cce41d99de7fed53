"""Who is tried when: every queued message, each of its recipients in one ``Stage``.

What lives here: the round of a recipient.  Pure: the time (monotonic seconds) and the
randomness come in.  What must not: files, threads, clocks, routing.

    DUE -> ROUTING -> READY -> ACTIVE -> DONE
     ^        |         |        |
     +---- DELAYED <----+--------+        HELD: taken out of all this by an operator

Every way out of DELAYED goes through DUE, so every retry is routed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from random import Random
from typing import Final, assert_never

from attrs import frozen

from cgnode.frontend.queue.lane import Condition, Lane
from cgnode.frontend.queue.message import Addressee, Message, Outcome, Stage
from cgnode.frontend.queue.policy import Policy
from cgnode.frontend.queue.table import DOWN, Table
from cgnode.frontend.queue.timers import Pace
from cgnode.frontend.queue.values import (
    Attempt,
    Defer,
    Deliver,
    Delivered,
    Destination,
    Due,
    Duty,
    Expand,
    Kind,
    Permanent,
    Reason,
    Refuse,
    Result,
    Route,
    Target,
    Temporary,
)
from cgnode.frontend.queue.waking import Waking
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import Recipient
from cgnode.proto.smtp.reply import Reply

NOWHERE: Final = Destination(Kind.NOWHERE, "")
_NO_RESULT: Final = Reason(Reply(451, "4.3.0", "no result"))
_NO_ROUTE: Final = Reason(Reply(451, "4.3.0", "no route"))


@frozen
class _Running:
    """An attempt under way; ``probe``: of a destination that was dead."""

    message: Message
    lane: Lane
    indexes: tuple[int, ...]
    probe: bool


class Schedule:
    def __init__(self, policy: Policy, random: Random) -> None:
        self.table = Table(policy, random)
        self._policy = policy
        self._waking = Waking(self.table, random)
        self._pace = Pace(policy.pace)
        self._tokens = count(1)
        self._running: dict[int, _Running] = {}

    # --- coming and going --------------------------------------------------------------

    def add(self, message: Message, waking: bool = False) -> None:
        """A new message, or (``waking``) one of those that a start has found."""
        self.table.messages[message.number] = message
        if message.hold:
            self._hold(message)
        self.table.line_up(message, waking)
        self.table.settle(message)

    def remove(self, message: Message) -> None:
        """Without a word to anyone.  An attempt under way goes on; its results mean nothing."""
        lanes = {addressee.lane for addressee in message.addressees if addressee.lane is not None}
        for addressee in message.addressees:
            addressee.stage = Stage.DONE
        self.table.unlist(message, lanes)
        self.table.end(message)

    # --- routing -----------------------------------------------------------------------

    def due(self, now: float, limit: int) -> list[tuple[Message, Due]]:
        """Messages to be routed; each must come back by ``routed``."""
        table = self.table
        for _ in range(limit):
            number = table.timers.pop(now)
            if number is None:
                break
            table.look(table.messages[number], now)
        self._waking.fire(now)
        # Half of the places are for those who have just come.
        from_woken = min(len(table.woken), self._pace.available(now), max(1, limit // 2))
        self._pace.spend(from_woken)
        picked = [table.woken.popitem(last=False)[1] for _ in range(from_woken)]
        from_fresh = min(len(table.fresh), limit - from_woken)
        picked += [table.fresh.popitem(last=False)[1] for _ in range(from_fresh)]
        return [(message, self._ask(message)) for message in picked]

    def _ask(self, message: Message) -> Due:
        recipients = []
        for index, addressee in enumerate(message.addressees):
            if addressee.stage is Stage.DUE:
                addressee.stage = Stage.ROUTING
                recipients.append((index, addressee.address))
        return Due(message.id, message.mail.sender, tuple(recipients), self._waking.generation)

    def routed(self, message: Message, due: Due, routes: Mapping[int, Route], now: float) -> None:
        """What was asked for by ``due``.  What has no route is deferred."""
        stale = due.generation != self._waking.generation
        # What stands for others comes last, so that it is known who is there without it.
        ordered = sorted(due.recipients, key=lambda one: isinstance(routes.get(one[0]), Expand))
        for index, _ in ordered:
            addressee = message.addressees[index]
            if addressee.stage is not Stage.ROUTING:
                continue
            if message.hold:
                addressee.stage = Stage.HELD
            elif stale:  # something was woken meanwhile, and the answers may be older than that
                addressee.stage = Stage.DUE
            else:
                self._take_route(message, index, routes.get(index, Defer(_NO_ROUTE)), now)
        self.table.line_up(message, True)
        self.table.settle(message)
        self.table.arm(message)

    def _take_route(self, message: Message, index: int, route: Route, now: float) -> None:
        addressee = message.addressees[index]
        match route:
            case Deliver(destination, address):
                addressee.goal = address
                addressee.lane = self.table.lanes.get(destination)
                self._enter(message, addressee, addressee.lane)
            case Defer(reason):
                addressee.lane = self.table.lanes.get(NOWHERE)
                self.table.delay(message, index, reason, now)
            case Refuse(reason):
                self.table.finish(message, index, Outcome.FAILED, reason)
            case Expand(recipients):
                self.table.expand(message, index, recipients)
            case _:
                assert_never(route)

    def _enter(self, message: Message, addressee: Addressee, lane: Lane) -> None:
        if lane.condition is Condition.UP or (lane.condition is Condition.DEAD and lane.probing):
            lane.probing = False
            addressee.stage = Stage.READY
            lane.ready[message.number] = message
            self.table.lanes.offer(lane)
        else:
            self.table.park(message, addressee)

    # --- attempts ----------------------------------------------------------------------

    def next_attempt(self, destination: Destination | None = None) -> Attempt | None:
        """The next to be made; by turns, or (``destination``) where a channel is open."""
        lanes = self.table.lanes
        room = self._policy.all_attempts - len(self._running)
        if room <= 0:
            return None
        if destination is None:
            lane = lanes.turn()
        else:
            lane = lanes.find(destination)
            # An open channel is no reason to let those wait who have none.
            if lane is None or not lane.ready or lane.active >= lane.allowed or lanes.in_line > room:
                return None
        return None if lane is None else self._begin(lane)

    def _begin(self, lane: Lane) -> Attempt:
        number, message = next(iter(lane.ready.items()))
        targets: list[Target] = []
        more = False
        for index, addressee in enumerate(message.addressees):
            if addressee.stage is not Stage.READY or addressee.lane is not lane:
                continue
            if len(targets) == self._policy.recipients:
                more = True
                break
            addressee.stage = Stage.ACTIVE
            targets.append(Target(index, _as_routed(addressee)))
        if not more:
            del lane.ready[number]
        lane.active += 1
        self.table.lanes.offer(lane)
        token = next(self._tokens)
        indexes = tuple(target.index for target in targets)
        self._running[token] = _Running(message, lane, indexes, lane.condition is Condition.DEAD)
        return Attempt(
            token, message.id, lane.destination, message.mail, tuple(targets), message.size, message.session
        )

    def report(self, token: int, results: Mapping[int, Result], now: float) -> None:
        """How an attempt ended whose destination was there.  What has no result has
        failed for now."""
        running = self._running.pop(token)
        message, lane = running.message, running.lane
        if lane.succeeded(self._policy):
            self._waking.revived(lane)
        if self.table.here(message):
            for index in running.indexes:
                self._take_result(message, index, results.get(index, Temporary(_NO_RESULT)), now)
        self._over(message, lane)

    def unreachable(self, token: int, reason: Reason, now: float) -> None:
        """An attempt came to nothing because its destination could not be reached, or did
        not go on."""
        running = self._running.pop(token)
        message, lane = running.message, running.lane
        if self.table.here(message):
            for index in running.indexes:
                self.table.delay(message, index, reason, now)
        if lane.failed(self._policy, reason, running.probe):
            self._waking.die(lane, now)
        if lane.condition is not Condition.UP and self.table.here(message):
            for index in running.indexes:
                if message.addressees[index].stage is Stage.DELAYED:
                    self.table.park(message, message.addressees[index])
        self._over(message, lane)

    def _over(self, message: Message, lane: Lane) -> None:
        # Not before now, so that the lane was not idle, and forgotten, meanwhile.
        lane.active -= 1
        self.table.lanes.offer(lane)
        self.table.lanes.tidy(lane)
        self.table.settle(message)
        self.table.arm(message)

    def _take_result(self, message: Message, index: int, result: Result, now: float) -> None:
        match result:
            case Delivered(duty):
                outcome = Outcome.DELIVERED if duty is Duty.OURS_DELIVERED else Outcome.RELAYED
                self.table.finish(message, index, outcome, None, duty is not Duty.THEIRS)
            case Temporary(reason):
                self.table.delay(message, index, reason, now)
            case Permanent(reason):
                message.addressees[index].attempts += 1
                self.table.finish(message, index, Outcome.FAILED, reason)
            case _:
                assert_never(result)

    # --- time, destinations ------------------------------------------------------------

    def next_event(self, now: float) -> float | None:
        """When ``due`` will have something to do, as far as that is known."""
        if self.table.fresh:
            return now
        times = [self.table.timers.next(), self._waking.timers.next()]
        if self.table.woken:
            times.append(self._pace.next(now))
        return min((when for when in times if when is not None), default=None)

    def down(self, destination: Destination, reason: Reason = DOWN) -> None:
        self._waking.down(destination, reason)

    def wake(self, destination: Destination) -> int:
        return self._waking.wake(destination)

    def wake_where(self, match: Callable[[Address], bool]) -> int:
        return self._waking.wake_where(match)

    def wake_moved(
        self, destination: Destination, numbers: Iterable[int], moved: Callable[[Address], bool]
    ) -> int:
        return self._waking.wake_moved(destination, numbers, moved)

    # --- notices -----------------------------------------------------------------------

    def reported(self, message: Message, indexes: tuple[int, ...], warned: bool) -> None:
        """What the sender was owed is told and written down; the message may end by that."""
        for index in indexes:
            message.addressees[index].owed = False
        if warned:
            message.warn, message.warned = False, True
        message.telling = False
        self.table.settle(message)

    # --- operators ---------------------------------------------------------------------

    def hold(self, message: Message) -> None:
        message.hold = True
        self.table.touch(message)
        self._hold(message)
        self.table.settle(message)

    def _hold(self, message: Message) -> None:
        lanes: set[Lane] = set()
        for addressee in message.addressees:
            if addressee.stage in (Stage.DUE, Stage.READY, Stage.DELAYED):
                if addressee.lane is not None:
                    lanes.add(addressee.lane)
                addressee.stage = Stage.HELD
        self.table.fresh.pop(message.number, None)
        self.table.woken.pop(message.number, None)
        self.table.unlist(message, lanes)
        self.table.held[message.number] = message

    def release(self, message: Message) -> None:
        message.hold = False
        self.table.touch(message)
        self.table.held.pop(message.number, None)
        for addressee in message.addressees:
            if addressee.stage is Stage.HELD:
                addressee.stage = Stage.DUE
        self.table.line_up(message)

    def flush(self, destination: Destination) -> int:
        """Try now what waits for the destination, dead or not; if it is down, nothing."""
        lane = self.table.lanes.find(destination)
        if lane is None or lane.condition is Condition.DOWN:
            return 0
        return self._waking.wake(destination)

    def flush_message(self, message: Message) -> None:
        self._waking.hurry(message)


def _as_routed(addressee: Addressee) -> Recipient:
    recipient = addressee.recipient
    if addressee.goal is None or addressee.goal == recipient.address:
        return recipient
    return Recipient(addressee.goal, recipient.parameters)
