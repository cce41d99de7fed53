"""Hearing of commits: by notice, by looking, and not too often.  On a clock of the test's."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ldapserver.net.watch import GAP, INTERVAL, Watch
from storage.errors import StoreError


class Reactor(Clock):
    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        self.callLater(0, call, *args)


class Source:
    def __init__(self) -> None:
        self.number = 1
        self.notice: Callable[[], None] | None = None
        self.broken = False

    def last_transaction(self) -> int:
        if self.broken:
            raise StoreError("closed")
        return self.number

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        self.notice = notice

        def cancel() -> None:
            self.notice = None

        return cancel

    def commit(self, *, here: bool = True) -> None:
        self.number += 1
        if here and self.notice is not None:
            self.notice()


class WatchTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.source = Source()
        self.watch = Watch(cast(Any, self.reactor), self.source)
        self.heard = 0

    def hear(self) -> None:
        self.heard += 1

    def test_a_commit_of_this_process_is_told_at_once(self) -> None:
        self.watch.subscribe(self.hear)
        self.source.commit()
        assert self.heard == 0
        self.reactor.advance(0)
        assert self.heard == 1

    def test_one_of_another_when_it_is_looked_for(self) -> None:
        self.watch.subscribe(self.hear)
        self.source.commit(here=False)
        self.reactor.advance(INTERVAL)
        assert self.heard == 1
        self.reactor.pump([INTERVAL] * 5)
        assert self.heard == 1

    def test_commits_in_quick_succession_are_few_calls(self) -> None:
        self.watch.subscribe(self.hear)
        for _ in range(100):
            self.source.commit()
            self.reactor.advance(GAP / 10)
        self.reactor.advance(GAP)
        assert 8 <= self.heard <= 12
        seen = self.heard
        self.source.commit()
        self.reactor.advance(0)
        self.reactor.advance(GAP)
        assert self.heard == seen + 1

    def test_nobody_listens(self) -> None:
        cancel = self.watch.subscribe(self.hear)
        cancel()
        assert self.source.notice is None
        assert not self.reactor.getDelayedCalls()
        self.watch.subscribe(self.hear)
        self.source.commit()
        self.watch.close()
        self.reactor.advance(1)
        assert self.heard == 0
        assert not self.reactor.getDelayedCalls()

    def test_a_store_in_trouble(self) -> None:
        self.watch.subscribe(self.hear)
        self.source.broken = True
        self.reactor.pump([INTERVAL] * 3)
        self.source.broken = False
        self.source.commit(here=False)
        self.reactor.advance(INTERVAL)
        assert self.heard == 1
