"""Threads that wait for the disk share its calls, and each gets one that began after its writing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock, Thread

import pytest
from attrs import define, field

from cgnode.backend.maildir import together as module
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.together import Once, Together


@define
class Calls:
    """The disk: each call takes until it is let go."""

    began: list[int] = field(factory=list)
    going_on: Event = field(factory=Event)
    begun: Event = field(factory=Event)
    failure: OSError | None = None

    def __call__(self, descriptor: int) -> None:
        self.began.append(descriptor)
        self.begun.set()
        self.going_on.wait(10)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_those_that_wait_share_the_next(tmp_path: Path, folder: int) -> None:
    calls = Calls()
    together = Together(calls)
    together.hold(str(tmp_path))
    first = Thread(target=together.sync, args=(folder,))
    first.start()
    assert calls.begun.wait(10)
    others = [Thread(target=together.sync, args=(folder,)) for _ in range(10)]
    for other in others:
        other.start()
    for other in others:
        other.join(0.02)
    assert len(calls.began) == 1
    calls.going_on.set()
    for thread in (first, *others):
        thread.join(10)
        assert not thread.is_alive()
    # One that came just as the second began has had a third.
    assert len(calls.began) == 2
    assert together.sync(folder)
    assert len(calls.began) == 3


def test_all_hear_of_a_failure(tmp_path: Path, folder: int) -> None:
    calls = Calls(failure=OSError(errno.EIO, "broken"))
    together = Together(calls)
    together.hold(str(tmp_path))
    heard, lock = [], Lock()

    def sync() -> None:
        try:
            together.sync(folder)
        except OSError as error:
            with lock:
                heard.append(error.errno)

    threads = [Thread(target=sync) for _ in range(6)]
    for thread in threads:
        thread.start()
    calls.going_on.set()
    for thread in threads:
        thread.join(10)
    assert heard == [errno.EIO] * 6
    calls.failure = None
    assert together.sync(folder)


def test_only_what_is_held(tmp_path: Path, folder: int) -> None:
    calls = Calls()
    calls.going_on.set()
    together = Together(calls)
    assert not together.sync(folder)
    device = together.hold(str(tmp_path))
    assert together.hold(str(tmp_path)) == device
    together.release(device)
    assert together.sync(folder)
    together.release(device)
    assert not together.sync(folder)
    with pytest.raises(OSError, match=r"."):
        os.fstat(calls.began[0])
    assert not Together(None).sync(folder)


def test_a_disk_that_others_write_to(tmp_path: Path, folder: int) -> None:
    """After a call that took long there is none for a while."""
    now = [0.0]
    calls = []

    def slow(descriptor: int) -> None:
        calls.append(descriptor)
        now[0] += 1

    together = Together(slow, lambda: now[0])
    together.hold(str(tmp_path))
    assert together.sync(folder)
    assert not together.sync(folder)
    now[0] += 60
    assert together.sync(folder)
    assert len(calls) == 2


def test_once(tmp_path: Path, folder: int) -> None:
    calls = Calls()
    calls.going_on.set()
    together = Together(calls)
    assert not Once(together).sync(folder)
    together.hold(str(tmp_path))
    once = Once(together)
    assert [once.sync(folder) for _ in range(3)] == [True] * 3
    assert len(calls.began) == 1
    calls.failure = OSError(errno.EIO, "broken")
    failing = Once(together)
    for _ in range(3):
        with pytest.raises(OSError, match="broken"):
            failing.sync(folder)
    assert len(calls.began) == 2


@pytest.mark.skipif(module._SYNCFS is None, reason="the system has no syncfs that tells of failures")
def test_in_earnest(tmp_path: Path) -> None:
    together = Together()
    together.hold(str(tmp_path))
    disk = Disk(together=together)
    disk.write_new(str(tmp_path / "file"), b"data")
    disk.sync_directory(str(tmp_path))
    with pytest.raises(OSError, match="Bad file descriptor"):
        module.syncfs(-1)
