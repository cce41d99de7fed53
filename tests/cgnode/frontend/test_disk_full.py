"""A full disk refuses what is new; what was accepted is delivered all the same."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import pytest
from attrs import evolve

from cgnode.frontend.queue.errors import QueueFull
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Delivered
from tests.cgnode.frontend.world import (
    SMALL,
    Time,
    all_of,
    attempts,
    check,
    deliver,
    envelope,
    gone,
    ids,
    opened,
    route,
    send,
    text_of,
)

TEXT = b"x" * 900
LARGE = b"x" * 100_000


@contextmanager
def biggest_file(octets: int) -> Iterator[None]:
    """No file may grow beyond that, as on a disk that has no room for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path))
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("can't mount a small disk here")
    try:
        yield tmp_path
    finally:
        subprocess.run(("umount", str(tmp_path)), check=True)


def fill(queue: MailQueue, text: bytes = TEXT, most: int = 2000) -> list[str]:
    """Accepted until no more was."""
    accepted: list[str] = []
    for _ in range(most):
        try:
            accepted.append(send(queue, "u@be1.example", "v@be2.example", text=text))
        except QueueFull:
            return accepted
    raise AssertionError("it was never full")


def wait_for_room(queue: MailQueue) -> None:
    """It is given back in the spool's own thread."""
    for _ in range(1000):
        if queue.counts()["room"]:
            return
        sleep(0.01)
    raise AssertionError("there is no room")


def send_when_there_is_room(queue: MailQueue) -> str:
    """What is given back bit by bit may be too little for the log at first, which is told too."""
    for _ in range(1000):
        wait_for_room(queue)
        try:
            return send(queue, "u@be1.example")
        except QueueFull:
            sleep(0.01)
    raise AssertionError("there is no room")


def test_a_full_disk(small_disk: Path) -> None:
    time = Time()
    with opened(small_disk, time) as queue:
        accepted = fill(queue)
        assert len(accepted) > 200
        assert not queue.counts()["room"]
        with pytest.raises(QueueFull):
            queue.receive()
        assert ids(queue, limit=2000) == accepted
    with opened(small_disk, time) as queue:
        assert ids(queue, limit=2000) == accepted, "it starts on a full disk"
        assert all(text_of(queue, message_id) == TEXT for message_id in accepted)
        delivered = deliver(queue)
        assert len(delivered) == 2 * len(accepted)
        check(queue)
        assert send_when_there_is_room(queue)


def test_a_large_message_that_does_not_fit(small_disk: Path) -> None:
    with opened(small_disk, Time()) as queue:
        accepted = fill(queue, LARGE)
        assert 2 <= len(accepted) <= 5
        assert sorted(os.listdir(small_disk / "large")) == accepted
        assert send(queue, "u@be1.example", text=TEXT), "a small one does"
        deliver(queue)
        wait_for_room(queue)
        while len(os.listdir(small_disk / "large")) > 1:
            sleep(0.01)
        assert send(queue, "u@be1.example", text=LARGE)


def test_it_fails_while_it_is_written(tmp_path: Path) -> None:
    with opened(tmp_path, Time()) as queue:
        before = send(queue, "u@be1.example")
        reception = queue.receive()
        with biggest_file(50_000), pytest.raises(QueueFull):
            reception.write(LARGE)
        with pytest.raises(QueueFull):
            queue.commit(reception, envelope("u@be1.example")).result(10)
        reception.abort()
        assert not os.listdir(tmp_path / "large")
        assert ids(queue) == [before]


def test_no_room_at_the_start(tmp_path: Path) -> None:
    with biggest_file(1000), pytest.raises(QueueFull), opened(tmp_path, Time()):
        pass
    with opened(tmp_path, Time()) as queue:
        assert not ids(queue)
        assert not queue.problems


def test_fates_that_can_not_be_written_wait(tmp_path: Path) -> None:
    """No attempt is made meanwhile: nobody would know of it after a crash."""
    time = Time()
    with opened(tmp_path, time) as queue:
        first, second, third = (send(queue, "u@be1.example", text=TEXT) for _ in range(3))
        route(queue)
        one, two, _ = attempts(queue)
        with biggest_file(1000):
            queue.report(one, all_of(one, Delivered()))
            queue.report(two, gone(two))
            assert queue.counts()["unsaved"] == 2
            assert ids(queue) == [second, third]
            assert queue.next_attempt() is None
            future = queue.notify()
            assert future is not None
            with pytest.raises(QueueFull):
                future.result(10)
        assert queue.next_attempt() is None  # nothing is ready; but now it is written
        assert queue.counts()["unsaved"] == 0
    with opened(tmp_path, time) as queue:
        assert ids(queue) == [second, third]
        assert first not in ids(queue)
        future = queue.notify()
        assert future is not None
        assert len(future.result(10).reports) == 1


def test_what_must_stay_free_is_for_moving(small_disk: Path) -> None:
    """What is held keeps segments from being freed, until it is moved."""
    with opened(small_disk, Time(), limits=evolve(SMALL, segment=8 << 10, free=100 << 10)) as queue:
        held = [send(queue, "u@be1.example", text=TEXT, hold=True) for _ in range(20)]
        for _ in range(5):
            fill(queue)
            deliver(queue)
            wait_for_room(queue)
            send(queue, "u@be1.example")
        assert all(text_of(queue, message_id) == TEXT for message_id in held)
