"""Turns, the outbox and completions, on a clock of the test's."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any, NoReturn, cast

from twisted.trial.unittest import SynchronousTestCase

from ldapserver.net.completions import Completions
from ldapserver.net.turns import SLICE, Outbox, Turns


class Reactor:
    """Runs in an iteration what was called before it; counts how often it was woken."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wakes = 0
        self.calls: list[Callable[..., object]] = []

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, call: Callable[..., object]) -> None:
        self.calls.append(call)

    def callFromThread(self, call: Callable[..., object]) -> None:
        self.wakes += 1
        self.calls.append(call)

    def iterate(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def fail() -> NoReturn:
    raise ZeroDivisionError


class TurnsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.turns = Turns(cast(Any, self.reactor))
        self.order: list[str] = []

    def work(self, name: str, rounds: int, cost: float) -> None:
        self.order.append(name)
        self.reactor.now += cost
        if rounds > 1:
            self.turns.add(partial(self.work, name, rounds - 1, cost))

    def test_long_turns_come_one_by_one_and_in_order(self) -> None:
        for name in "abc":
            self.turns.add(partial(self.work, name, 2, SLICE))
        for count in range(1, 7):
            self.reactor.iterate()
            assert len(self.order) == count
        assert "".join(self.order) == "abcabc"
        assert not self.reactor.calls

    def test_short_turns_share_an_iteration_but_nobody_has_two(self) -> None:
        for name in "abc":
            self.turns.add(partial(self.work, name, 2, SLICE / 10))
        self.reactor.iterate()
        assert "".join(self.order) == "abc"
        self.reactor.iterate()
        assert "".join(self.order) == "abcabc"

    def test_a_turn_that_fails_takes_no_other_with_it(self) -> None:
        self.turns.add(fail)
        self.turns.add(partial(self.work, "a", 1, 0))
        self.reactor.iterate()
        assert self.order == ["a"]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1


class Party:
    """Sends and settles; fails when it is told to."""

    def __init__(self, log: list[object], fails: bool = False) -> None:
        self.log = log
        self.fails = fails

    def send(self) -> None:
        self.settle()

    def settle(self) -> None:
        self.log.append(self)
        if self.fails:
            raise ZeroDivisionError


class OutboxTest(SynchronousTestCase):
    def test_all_send_at_the_iteration_s_end(self) -> None:
        reactor = Reactor()
        outbox = Outbox(cast(Any, reactor))
        log: list[object] = []
        bad, good = Party(log, fails=True), Party(log)
        outbox.add(bad)
        outbox.add(good)
        assert (log, len(reactor.calls)) == ([], 1)
        reactor.iterate()
        assert log == [bad, good]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        outbox.add(good)
        reactor.iterate()
        assert log == [bad, good, good]


class CompletionsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.completions = Completions(cast(Any, self.reactor))
        self.log: list[object] = []

    def watch(self, owner: Party) -> Future[int]:
        future: Future[int] = Future()
        self.completions.watch(owner, future, lambda done: self.log.append(done.result()))
        return future

    def test_many_at_once_are_one_wake_up_and_each_owner_settles_once(self) -> None:
        one, two = Party(self.log), Party(self.log)
        futures = [self.watch(owner) for owner in (one, two, one)]

        def finish() -> None:
            for number, future in enumerate(futures):
                future.set_result(number)

        thread = Thread(target=finish)
        thread.start()
        thread.join()
        assert (self.log, self.reactor.wakes) == ([], 1)
        self.reactor.iterate()
        assert self.log == [0, 1, 2, one, two]
        self.watch(one).set_result(3)
        assert self.reactor.wakes == 2

    def test_one_that_fails_takes_no_other_with_it(self) -> None:
        bad, good = Party(self.log, fails=True), Party(self.log)
        self.watch(bad).set_exception(KeyError("x"))
        self.watch(good).set_result(1)
        self.reactor.iterate()
        assert self.log == [1, bad, good]
        assert len(self.flushLoggedErrors(KeyError)) == 1
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
