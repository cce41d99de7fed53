from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.guard import LOCK, Guard
from cgnode.backend.store import Gone


@contextmanager
def waiting_for(guard: Guard) -> Iterator[tuple[Event, Event]]:
    """A thread that holds the guard from the first event to the second."""
    held, done = Event(), Event()

    def hold() -> None:
        with guard.hold():
            held.set()
            done.wait(10)

    thread = Thread(target=hold)
    thread.start()
    try:
        yield held, done
    finally:
        done.set()
        thread.join()


def is_held(path: Path) -> bool:
    with (path / LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_one_at_a_time(tmp_path: Path) -> None:
    one, other = Guard(str(tmp_path), Disk()), Guard(str(tmp_path), Disk())
    for first, second in ((one, one), (one, other)):
        with ExitStack() as stack:
            with first.hold():
                held, _ = stack.enter_context(waiting_for(second))
                assert not held.wait(0.05)
            assert held.wait(10)
    assert not is_held(tmp_path)


def test_the_lock_of_what_is_there_now(tmp_path: Path) -> None:
    """Who has waited for an account that went has the lock of the one that came in its place."""
    here = tmp_path / "here"
    here.mkdir()
    one, other = Guard(str(here), Disk()), Guard(str(here), Disk())
    with waiting_for(one) as (held, done):
        assert held.wait(10)
        with waiting_for(other) as (waited, _):
            assert not waited.wait(0.05)
            here.rename(tmp_path / "there")
            here.mkdir()
            (here / LOCK).touch()
            done.set()
            assert waited.wait(10)
            assert is_held(here)
            assert not is_held(tmp_path / "there")


def test_not_within_itself(tmp_path: Path) -> None:
    guard = Guard(str(tmp_path), Disk())
    with guard.hold(), pytest.raises(RuntimeError), guard.hold():
        pass
    with guard.hold():
        pass


def test_closed(tmp_path: Path) -> None:
    guard = Guard(str(tmp_path), Disk())
    guard.close()
    with pytest.raises(Gone), guard.work():
        pass
    (tmp_path / LOCK).unlink(missing_ok=True)
    with pytest.raises(Gone), Guard(str(tmp_path / "nowhere"), Disk()).work():
        pass


def test_what_work_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done after the lock is given back, the telling last; nothing of it after a failure."""
    said: list[str] = []
    guard = Guard(str(tmp_path), Disk())

    class List:
        def sync(self) -> None:
            said.append("list")

    monkeypatch.setattr(os, "fsync", lambda _: said.append(f"folder {is_held(tmp_path)}"))
    with guard.work() as work:
        work.tell([lambda: said.append("told")])
        index = List()
        for _ in range(2):
            work.sync_list(index)
            work.sync_directory(str(tmp_path))
        assert said == []
    assert said == ["folder False", "list", "told"]

    def fail() -> None:
        with guard.work() as work:
            work.tell([lambda: said.append("told")])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(said) == 3
