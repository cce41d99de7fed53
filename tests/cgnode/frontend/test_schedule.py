"""The schedule alone: times are numbers, nothing is on a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from attrs import define, field

from cgnode.frontend.queue.lane import Condition
from cgnode.frontend.queue.message import Message, Outcome, Stage, new_message
from cgnode.frontend.queue.policy import Policy
from cgnode.frontend.queue.schedule import NOWHERE, Schedule
from cgnode.frontend.queue.values import (
    Attempt,
    Clock,
    Defer,
    Deliver,
    Delivered,
    Destination,
    Duty,
    Kind,
    Permanent,
    Refuse,
    Route,
    Temporary,
)
from cgnode.proto.smtp.address import Address, parse_address
from cgnode.proto.smtp.envelope import Notify, RecipientParameters
from tests.cgnode.frontend.world import (
    BE1,
    BE2,
    BUSY,
    FAR,
    GONE,
    REFUSED,
    by_domain,
    check_schedule,
    envelope,
    policy,
    recipient,
)

DAY = 86400.0


@define
class World:
    schedule: Schedule
    now: float = 0.0
    router: Callable[[Address], Route] = by_domain
    number: int = 0
    asked: list[str] = field(factory=list)

    def add(self, *to: str, **fields: Any) -> Message:
        self.number += 1
        clock = Clock(lambda: 1e9 + self.now, lambda: self.now)
        message = new_message(self.number, 10, False, envelope(*to, **fields), clock)
        self.schedule.add(message)
        return message

    def route(self, limit: int = 100) -> int:
        """Once; the number of messages."""
        pairs = self.schedule.due(self.now, limit)
        for message, due in pairs:
            self.asked += [str(address) for _, address in due.recipients]
            routes = {index: self.router(address) for index, address in due.recipients}
            self.schedule.routed(message, due, routes, self.now)
        check_schedule(self.schedule)
        return len(pairs)

    def begin(self) -> list[Attempt]:
        self.route()
        begun = []
        while (attempt := self.schedule.next_attempt()) is not None:
            begun.append(attempt)
        check_schedule(self.schedule)
        return begun

    def one(self) -> Attempt:
        [attempt] = self.begin()
        return attempt

    def end(self, attempt: Attempt, result: Delivered | Temporary | Permanent | None = None) -> None:
        results = {target.index: result or Delivered() for target in attempt.targets}
        self.schedule.report(attempt.token, results, self.now)
        check_schedule(self.schedule)

    def fail(self, attempt: Attempt) -> None:
        self.schedule.unreachable(attempt.token, REFUSED, self.now)
        check_schedule(self.schedule)

    def kill(self, destination: Destination = BE1) -> None:
        """A cohort of failures."""
        while self.schedule.table.lanes.get(destination).condition is not Condition.DEAD:
            self.add(f"u@{destination.name}.example")
            for attempt in self.begin():
                self.fail(attempt)

    def condition(self, destination: Destination = BE1) -> Condition:
        return self.schedule.table.lanes.get(destination).condition


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Schedule(Policy(), Random(3)))
    yield made
    check_schedule(made.schedule)


def of(policy_: Policy) -> World:
    return World(Schedule(policy_, Random(3)))


# --- one message -----------------------------------------------------------------------


def test_delivered(world: World) -> None:
    message = world.add("u@be1.example")
    attempt = world.one()
    assert attempt.destination == BE1
    assert message.addressees[0].stage is Stage.ACTIVE
    world.end(attempt)
    assert message.addressees[0].outcome is Outcome.DELIVERED
    assert not world.schedule.table.messages
    assert list(world.schedule.table.ended) == [message.number]
    assert not world.schedule.table.notices


def test_a_temporary_failure_is_tried_again_later_and_routed_again(world: World) -> None:
    message = world.add("u@be1.example")
    for attempts in range(1, 6):
        world.end(world.one(), Temporary(BUSY))
        [addressee] = message.addressees
        assert (addressee.stage, addressee.attempts, addressee.reason) == (Stage.DELAYED, attempts, BUSY)
        when = world.schedule.next_event(world.now)
        assert when is not None
        assert 300 <= when - world.now <= 4000
        world.now = when - 1
        assert not world.begin()
        world.now = when
    world.router = lambda _: Deliver(BE2)
    assert world.one().destination == BE2
    assert len(world.asked) == 6


def test_a_permanent_failure_is_to_be_told(world: World) -> None:
    message = world.add("u@be1.example")
    world.end(world.one(), Permanent(GONE))
    assert list(world.schedule.table.notices) == [message.number]
    assert message.addressees[0].owed
    message.telling = True
    world.schedule.table.notices.clear()
    world.schedule.reported(message, (0,), False)
    assert not world.schedule.table.messages


@pytest.mark.parametrize("duty", Duty)
def test_a_success_is_told_if_that_is_asked_for_and_ours(world: World, duty: Duty) -> None:
    success = RecipientParameters(frozenset({Notify.SUCCESS}))
    world.schedule.add(
        new_message(99, 1, False, envelope(recipient("u@be1.example", success)), Clock(lambda: 0, lambda: 0))
    )
    world.end(world.one(), Delivered(duty))
    assert bool(world.schedule.table.notices) == (duty is not Duty.THEIRS)


def test_one_bad_recipient_of_several(world: World) -> None:
    message = world.add("a@be1.example", "b@be1.example", "c@be1.example")
    attempt = world.one()
    assert [target.index for target in attempt.targets] == [0, 1, 2]
    world.schedule.report(attempt.token, {0: Delivered(), 1: Permanent(GONE), 2: Temporary(BUSY)}, 0)
    stages = [addressee.stage for addressee in message.addressees]
    assert stages == [Stage.DONE, Stage.DONE, Stage.DELAYED]
    assert list(world.schedule.table.notices) == [message.number], "who failed is told at once"


def test_a_recipient_without_a_result_has_failed_for_now(world: World) -> None:
    message = world.add("a@be1.example", "b@be1.example")
    world.schedule.report(world.one().token, {0: Delivered()}, 0)
    assert message.addressees[1].stage is Stage.DELAYED


def test_several_hosts_and_bounded_transactions() -> None:
    world = of(policy(recipients=2))
    message = world.add(*(f"u{n}@be1.example" for n in range(5)), "x@be2.example", "y@far.example")
    begun = world.begin()
    sizes = sorted((str(attempt.destination), len(attempt.targets)) for attempt in begun)
    expected = [("backend:be1", 1), ("backend:be1", 2), ("backend:be1", 2), ("backend:be2", 1)]
    assert sizes == [*expected, ("remote:far.example", 1)]
    for attempt in begun[:-1]:
        world.end(attempt)
        assert not world.schedule.table.ended
    world.end(begun[-1])
    assert message.done
    assert world.schedule.table.ended


def test_news_waits_for_the_rounds_end(world: World) -> None:
    """So that a sender has one report of it, not many."""
    world.add("a@be1.example", "b@be2.example", "c@far.example")
    begun = world.begin()
    for attempt in begun[:-1]:
        world.end(attempt, Permanent(GONE))
        assert not world.schedule.table.notices
    world.end(begun[-1], Temporary(BUSY))
    assert world.schedule.table.notices


# --- routing ---------------------------------------------------------------------------


def test_what_can_not_be_routed_is_deferred(world: World) -> None:
    message = world.add("u@be1.example")
    world.router = lambda _: Defer(REFUSED)
    assert not world.begin()
    assert message.addressees[0].lane is world.schedule.table.lanes.find(NOWHERE)
    world.router = by_domain
    when = world.schedule.next_event(world.now)
    assert when is not None
    world.now = when
    assert world.one().destination == BE1


def test_who_is_unknown_by_now_fails(world: World) -> None:
    message = world.add("u@be1.example")
    world.router = lambda _: Refuse(GONE)
    assert not world.begin()
    assert message.addressees[0].outcome is Outcome.FAILED
    assert world.schedule.table.notices


def test_an_alias_is_delivered_as_what_it_stands_for(world: World) -> None:
    world.add("alias@be1.example")
    world.router = lambda _: Deliver(BE1, parse_address("account@be1.example"))
    [target] = world.one().targets
    assert str(target.recipient.address) == "account@be1.example"


def test_no_route_is_no_loss(world: World) -> None:
    message = world.add("u@be1.example")
    [(_, due)] = world.schedule.due(0, 10)
    world.schedule.routed(message, due, {}, 0)
    assert message.addressees[0].stage is Stage.DELAYED


def test_answers_from_before_a_change_are_not_used(world: World) -> None:
    message = world.add("u@be1.example")
    [(_, due)] = world.schedule.due(0, 10)
    world.schedule.wake(BE1)
    world.schedule.routed(message, due, {0: Deliver(BE1)}, 0)
    assert message.addressees[0].stage is Stage.DUE
    world.router = lambda _: Deliver(BE2)
    assert world.one().destination == BE2


# --- destinations ----------------------------------------------------------------------


def test_a_host_that_is_down_costs_no_attempts(world: World) -> None:
    world.schedule.down(BE1)
    messages = [world.add("u@be1.example") for _ in range(10)]
    for hour in range(0, 48, 3):
        world.now = hour * 3600.0
        assert not world.begin()
    assert {message.addressees[0].attempts for message in messages} == {0}
    assert world.schedule.wake(BE1) == 10
    assert len(world.begin()) == 5


def test_down_parks_what_is_ready(world: World) -> None:
    messages = [world.add("u@be1.example") for _ in range(30)]
    begun = world.begin()
    assert len(begun) == 5
    world.schedule.down(BE1)
    check_schedule(world.schedule)
    for attempt in begun:
        world.end(attempt)
    assert not world.begin()
    assert sum(message.addressees[0].stage is Stage.DELAYED for message in messages) == 25


def test_waking_takes_along_what_was_delayed_there(world: World) -> None:
    message = world.add("u@be1.example")
    world.end(world.one(), Temporary(BUSY))
    assert world.schedule.wake(BE1) == 1
    world.router = lambda _: Deliver(BE2)
    assert world.one().id == message.id


def test_a_move_sends_it_elsewhere(world: World) -> None:
    """The host is down and stays down; its accounts come up on another."""
    world.schedule.down(BE1)
    for number in range(50):
        world.add(f"u{number}@be1.example")
    assert not world.begin()
    world.router = lambda _: Deliver(BE2)
    assert world.schedule.wake(BE1) == 50
    delivered = 0
    while begun := world.begin():
        for attempt in begun:
            assert attempt.destination == BE2
            world.end(attempt)
            delivered += 1
    assert delivered == 50


def test_one_accounts_move(world: World) -> None:
    world.router = lambda address: Deliver(BE1, Address(address.local.removeprefix("alias."), "be1.example"))
    world.schedule.down(BE1)
    for local in ("alice", "alias.alice", "bob"):
        world.add(f"{local}@be1.example")
    world.begin()
    woken = world.schedule.wake_where(lambda address: address.local == "alice")
    assert woken == 2
    world.router = lambda _: Deliver(BE2)
    assert {str(a.targets[0].recipient.address) for a in world.begin()} == {
        "alice@be1.example",
        "alias.alice@be1.example",
    }


def test_waking_goes_at_a_pace() -> None:
    world = of(policy(pace=10.0))
    world.schedule.down(BE1)
    for number in range(100):
        world.add(f"u{number}@be1.example")
    world.begin()
    world.schedule.wake(BE1)
    routed = []
    for tick in range(20):
        world.now = tick * 0.5
        step = 0
        while count := world.route():
            step += count
        routed.append(step)
    assert routed[0] == 10
    assert sum(routed) == 100
    assert max(routed[1:]) <= 5


def test_the_new_are_not_kept_waiting_by_the_woken(world: World) -> None:
    world.schedule.down(BE1)
    for number in range(500):
        world.add(f"u{number}@be1.example")
    while world.route():
        pass
    world.schedule.wake(BE1)
    fresh = world.add("u@be2.example")
    world.route(limit=10)
    assert fresh.addressees[0].stage is Stage.READY


# --- dead destinations -----------------------------------------------------------------


def test_a_cohort_of_failures_is_death(world: World) -> None:
    messages = [world.add("u@be1.example") for _ in range(30)]
    begun = world.begin()
    world.fail(begun[0])
    assert world.condition() is Condition.UP
    for attempt in begun[1:]:
        world.fail(attempt)
    assert world.condition() is Condition.DEAD
    assert not world.begin()
    assert sum(message.addressees[0].attempts for message in messages) == 5, "the others cost nothing"
    lane = world.schedule.table.lanes.get(BE1)
    assert lane.deaths == 1, "what was under way counts once"
    assert 300 <= lane.retry_at <= 400


def test_a_success_between_failures_is_life(world: World) -> None:
    for _ in range(10):
        world.add("u@be1.example")
        world.add("u@be1.example")
        first, second = world.begin()
        world.fail(first)
        world.end(second)
        world.schedule.wake(BE1)
        for attempt in world.begin():
            world.end(attempt)
    assert world.condition() is Condition.UP


def test_one_message_probes_the_dead(world: World) -> None:
    world.kill()
    for _ in range(20):
        world.add("u@be1.example")
    waits = []
    for _ in range(8):
        retry_at = world.schedule.table.lanes.get(BE1).retry_at
        waits.append(retry_at - world.now)
        assert not world.begin()
        world.now = retry_at
        world.fail(world.one())
    assert waits[:3] == sorted(waits[:3])
    assert all(300 <= wait <= 4000 for wait in waits)
    world.now = world.schedule.table.lanes.get(BE1).retry_at
    world.end(world.one())
    assert world.condition() is Condition.UP
    assert len(world.begin()) == 5, "all that waited for it is under way"


def test_a_probe_that_is_routed_elsewhere_is_followed_by_another(world: World) -> None:
    world.kill()
    for _ in range(3):
        world.add("u@be1.example")
    world.route()
    world.now = world.schedule.table.lanes.get(BE1).retry_at
    world.router = lambda _: Deliver(BE2)
    assert {attempt.destination for attempt in world.begin()} == {BE2}
    world.router = by_domain
    world.now += 61
    assert world.one().destination == BE1


def test_a_probe_that_the_living_refuse_for_now_waits_there(world: World) -> None:
    world.kill()
    *others, message = world.schedule.table.messages.values()
    for other in others:
        world.schedule.remove(other)
    world.now = world.schedule.table.lanes.get(BE1).retry_at
    world.end(world.one(), Temporary(BUSY))
    assert world.condition() is Condition.UP
    assert message.addressees[0].lane is world.schedule.table.lanes.find(BE1)
    world.now += 5000
    assert world.one().destination == BE1


def test_a_dead_destination_is_forgotten_when_nothing_waits(world: World) -> None:
    world.add("u@be1.example")
    world.kill()
    for message in list(world.schedule.table.messages.values()):
        world.schedule.remove(message)
    world.now += 5000
    world.begin()
    assert world.schedule.table.lanes.find(BE1) is None


def test_concurrency_grows_to_its_limit(world: World) -> None:
    for _ in range(200):
        world.add("u@be1.example")
    while world.route():
        pass
    most = 0
    while begun := world.begin():
        most = max(most, len(begun))
        for attempt in begun:
            world.end(attempt)
    assert most == 20


def test_all_attempts_together_are_bounded() -> None:
    world = of(policy(all_attempts=7, first_concurrency=5))
    for number in range(50):
        world.add(f"u@be{number % 2 + 1}.example")
    begun = world.begin()
    assert len(begun) == 7
    world.end(begun[0])
    assert len(world.begin()) == 1


def test_destinations_take_turns(world: World) -> None:
    for _ in range(80):
        world.add("u@be1.example")
    world.add("u@be2.example")
    world.add("u@far.example")
    assert {attempt.destination for attempt in world.begin()[:3]} == {BE1, BE2, FAR}


def test_an_open_channel_does_not_take_the_others_turn() -> None:
    world = of(policy(all_attempts=2))
    for _ in range(10):
        world.add("u@be1.example")
    first, second = world.begin()
    world.end(first)
    attempt = world.schedule.next_attempt(BE1)
    assert attempt is not None
    world.add("u@be2.example")
    world.add("u@far.example")
    world.route()
    world.end(second)
    assert world.schedule.next_attempt(BE1) is None
    other = world.schedule.next_attempt()
    assert other is not None
    assert world.schedule.next_attempt(Destination(Kind.BACKEND, "unknown")) is None
    world.end(attempt)
    world.end(other)


# --- time ------------------------------------------------------------------------------


def test_after_its_lifetime_it_fails(world: World) -> None:
    message = world.add("u@be1.example")
    tries = 0
    while not world.schedule.table.notices:
        when = world.schedule.next_event(world.now)
        assert when is not None
        world.now = max(world.now, when)
        for attempt in world.begin():
            world.end(attempt, Temporary(BUSY))
            tries += 1
    assert 5 * DAY <= world.now <= 5 * DAY + 4000
    assert 100 < tries < 150
    [addressee] = message.addressees
    assert (addressee.outcome, addressee.reason) == (Outcome.FAILED, BUSY)


def test_waiting_for_a_host_ends_as_well(world: World) -> None:
    world.schedule.down(BE1)
    message = world.add("u@be1.example")
    world.begin()
    assert world.schedule.next_event(0) == 5 * DAY
    world.now = 5 * DAY
    world.begin()
    assert message.addressees[0].outcome is Outcome.FAILED
    assert message.addressees[0].reason is not None
    assert world.schedule.table.notices


def test_a_sender_is_told_of_a_delay_once() -> None:
    world = of(policy(warn_after=4 * 3600.0))
    world.schedule.down(BE1)
    message = world.add("u@be1.example")
    world.begin()
    world.now = 4 * 3600.0
    world.begin()
    assert message.warn
    assert world.schedule.table.notices.pop(message.number) is message
    message.telling = True
    world.schedule.reported(message, (), True)
    for hour in range(5, 48):
        world.now = hour * 3600.0
        world.begin()
    assert not world.schedule.table.notices


def test_nobody_is_told_of_what_nobody_sent() -> None:
    world = of(policy(warn_after=60.0))
    world.schedule.down(BE1)
    world.add("u@be1.example", sender="")
    world.begin()
    world.now = 3600
    world.begin()
    assert not world.schedule.table.notices


# --- operators -------------------------------------------------------------------------


def test_held_is_not_tried(world: World) -> None:
    messages = [world.add("u@be1.example") for _ in range(3)]
    held_at_once = world.add("u@be1.example", hold=True)
    world.schedule.hold(messages[0])
    world.route()
    world.schedule.hold(messages[1])
    assert world.one().id == messages[2].id
    assert {m.number for m in (messages[0], messages[1], held_at_once)} == set(world.schedule.table.held)
    world.schedule.wake(BE1)
    world.schedule.wake_where(lambda _: True)
    world.now = 10 * DAY
    assert not world.begin()
    world.schedule.release(held_at_once)
    assert world.one().id == held_at_once.id


def test_held_while_it_is_tried(world: World) -> None:
    message = world.add("a@be1.example", "b@be1.example")
    attempt = world.one()
    world.schedule.hold(message)
    world.schedule.report(attempt.token, {0: Delivered(), 1: Temporary(BUSY)}, 0)
    assert [a.stage for a in message.addressees] == [Stage.DONE, Stage.HELD]
    world.schedule.release(message)
    assert [target.index for target in world.one().targets] == [1]


def test_held_while_it_is_routed(world: World) -> None:
    message = world.add("u@be1.example")
    [(_, due)] = world.schedule.due(0, 1)
    world.schedule.hold(message)
    world.schedule.routed(message, due, {0: Deliver(BE1)}, 0)
    assert message.addressees[0].stage is Stage.HELD
    world.schedule.release(message)
    world.end(world.one())


def test_removed_in_every_stage(world: World) -> None:
    due = world.add("u@be1.example")
    world.schedule.remove(due)
    active = world.add("u@be1.example")
    attempt = world.one()
    world.schedule.remove(active)
    world.fail(attempt)
    delayed = world.add("u@be1.example")
    world.end(world.one(), Temporary(BUSY))
    world.schedule.remove(delayed)
    held = world.add("u@be1.example", hold=True)
    world.schedule.remove(held)
    ready = [world.add("u@be1.example") for _ in range(9)]
    begun = world.begin()
    world.schedule.remove(ready[-1])
    for one in begun:
        world.end(one)
    assert len(world.begin()) == 3
    assert not world.schedule.table.touched.keys() & {due.number, active.number, held.number}


def test_flushing_a_destination(world: World) -> None:
    message = world.add("u@be1.example")
    world.end(world.one(), Temporary(BUSY))
    assert world.schedule.flush(BE1) == 1
    assert world.one().id == message.id
    world.kill(BE2)
    assert world.schedule.flush(BE2) == 4
    assert world.condition(BE2) is Condition.UP
    world.schedule.down(FAR)
    world.add("u@far.example")
    world.route()
    assert world.schedule.flush(FAR) == 0
    assert world.schedule.flush(Destination(Kind.REMOTE, "unknown.example")) == 0


def test_flushing_a_message(world: World) -> None:
    world.kill()
    message = next(iter(world.schedule.table.messages.values()))
    assert not world.begin()
    world.schedule.flush_message(message)
    attempt = world.one()
    assert attempt.id == message.id
    world.fail(attempt)
    assert not world.begin()


def test_reasons_are_bounded(world: World) -> None:
    from cgnode.frontend.queue.values import Reason
    from cgnode.proto.smtp.reply import Reply

    message = world.add("u@be1.example")
    world.end(world.one(), Temporary(Reason(Reply(450, "4.2.0", "x" * 100_000), "be1")))
    reason = message.addressees[0].reason
    assert reason is not None
    assert len(reason.reply.text) == 1000
