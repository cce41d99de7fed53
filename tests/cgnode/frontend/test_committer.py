from __future__ import annotations

import logging
from threading import Event, Thread

import pytest

from cgnode.frontend.queue.committer import Committer
from cgnode.frontend.queue.errors import QueueError


class Disk:
    """Syncs when it is let."""

    def __init__(self) -> None:
        self.syncs = 0
        self.let = Event()
        self.begun = Event()
        self.failure: QueueError | None = None

    def sync(self) -> None:
        self.begun.set()
        assert self.let.wait(10)
        self.syncs += 1
        if self.failure is not None:
            raise self.failure


def test_who_waits_together_shares_a_sync() -> None:
    disk, done = Disk(), Event()
    committer = Committer(disk, 0, lambda: False)
    committer.start()
    outcomes: list[QueueError | None] = []
    committer.after(outcomes.append)
    assert disk.begun.wait(10)
    for _ in range(20):  # while the first is under way
        committer.after(outcomes.append)
    committer.after(lambda _: done.set())
    disk.let.set()
    assert done.wait(10)
    assert outcomes == [None] * 21
    assert disk.syncs == 2
    committer.close()


def test_what_nobody_waits_for_is_synced_all_the_same() -> None:
    disk, kept_up = Disk(), Event()
    disk.let.set()

    def upkeep() -> bool:
        kept_up.set()
        return False

    committer = Committer(disk, 0.001, upkeep)
    committer.start()
    committer.later()
    committer.later()
    assert kept_up.wait(10)
    assert disk.syncs == 1
    committer.close()


def test_upkeep_goes_on_while_there_is_more() -> None:
    disk, enough = Disk(), Event()
    disk.let.set()
    left = iter([True, True, True, False])

    def upkeep() -> bool:
        more = next(left)
        if not more:
            enough.set()
        return more

    committer = Committer(disk, 0, upkeep)
    committer.start()
    committer.later()
    assert enough.wait(10)
    assert disk.syncs == 4
    committer.close()


def test_a_failure_reaches_who_waits() -> None:
    disk, told = Disk(), Event()
    disk.let.set()
    disk.failure = QueueError("no disk")
    committer = Committer(disk, 0, lambda: False)
    committer.start()
    outcomes: list[QueueError | None] = []
    committer.after(outcomes.append)
    committer.after(lambda _: told.set())
    assert told.wait(10)
    assert outcomes == [disk.failure]
    committer.close()


def test_one_caller_does_not_spoil_the_others(caplog: pytest.LogCaptureFixture) -> None:
    disk, done = Disk(), Event()
    committer = Committer(disk, 0, lambda: 1 // 0 > 0)

    def wrong(_: QueueError | None) -> None:
        raise RuntimeError("mistake")

    committer.after(wrong)
    committer.after(lambda _: done.set())
    disk.let.set()
    with caplog.at_level(logging.CRITICAL, "cgnode"):
        committer.start()
        assert done.wait(10)
        again = Event()
        committer.after(lambda _: again.set())
        assert again.wait(10)
    committer.close()


def test_the_end() -> None:
    disk = Disk()
    disk.let.set()
    committer = Committer(disk, 0, lambda: False)
    committer.close()  # it was never started
    outcomes: list[QueueError | None] = []
    committer.after(outcomes.append)
    assert [str(outcome) for outcome in outcomes] == ["the queue is closed"]


def test_closing_syncs_for_those_who_wait() -> None:
    disk = Disk()
    committer = Committer(disk, 0, lambda: False)
    committer.start()
    outcomes: list[QueueError | None] = []
    committer.after(outcomes.append)
    closer = Thread(target=committer.close)
    closer.start()
    disk.let.set()
    closer.join(10)
    assert outcomes == [None]
