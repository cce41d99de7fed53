from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from cgnode.frontend.queue.errors import QueueBroken, QueueFull, QueueUnusable
from cgnode.frontend.queue.frames import Frame
from cgnode.frontend.queue.log import Log, Place, Segment

SIZE = 4096


def opened(folder: Path) -> tuple[Log, list[bytes], list[str]]:
    """The log, what it says, and what is wrong with it."""
    log = Log(folder, SIZE, Random(), lambda: b"opening")
    metas: list[bytes] = []

    def visit(segment: Segment, frame: Frame) -> None:
        if frame.meta != b"opening":
            metas.append(frame.meta)

    problems = log.replay(visit)
    log.start()
    return log, metas, problems


def reopened(log: Log, folder: Path) -> tuple[Log, list[bytes], list[str]]:
    log.close()
    return opened(folder)


def segments(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.log"))


def fill(log: Log, count: int, live: int = 1) -> list[Place]:
    """Frames of about a tenth of a segment."""
    return [log.append(b"%d" % number, (b"x" * 350,), live) for number in range(count)]


def test_what_was_appended_comes_back_in_order(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    fill(log, 35)
    log.sync()
    log, metas, problems = reopened(log, tmp_path)
    assert metas == [b"%d" % number for number in range(35)]
    assert not problems
    log.append(b"later", (), 1)
    log, metas, problems = reopened(log, tmp_path)  # killed, not synced
    assert metas[-1] == b"later"
    assert not problems
    log.close()


def test_bodies_are_read_where_they_are(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    places = [log.append(b"meta", (b"body %3d" % n, b"x" * 300), 1) for n in range(40)]
    assert [log.read(place, 8) for place in places] == [b"body %3d" % n for n in range(40)]
    log.sync()  # some are sealed now
    assert [log.read(place, 8) for place in places] == [b"body %3d" % n for n in range(40)]
    log.close()


def test_a_frame_may_be_bigger_than_a_segment(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    log.append(b"small", (), 1)
    place = log.append(b"big", (b"x" * 3 * SIZE,), 1)
    log.append(b"small again", (), 1)
    log.sync()
    log, metas, problems = reopened(log, tmp_path)
    assert metas == [b"small", b"big", b"small again"]
    assert log.read(place, 3 * SIZE) == b"x" * 3 * SIZE
    assert not problems
    log.close()


def test_segments_go_from_the_oldest(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    places = fill(log, 40)
    log.sync()
    before = segments(tmp_path)
    newer = [place for place in places if place.segment > before[0]]
    for place in newer:
        log.drop(place)
    log.sync()
    assert segments(tmp_path)[0] == before[0], "something in the oldest is live"
    for place in places[: -len(newer)]:
        log.drop(place)
    log.append(b"end", (), 0)
    log.sync()
    # The one that is written, and the spare.
    assert len(segments(tmp_path)) == 2
    log.close()


def test_nothing_goes_before_the_sync(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    places = fill(log, 40)
    log.sync()
    before = segments(tmp_path)
    for place in places:
        log.drop(place)
    assert segments(tmp_path) == before
    log.close()


def test_the_wasteful_are_named(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    kept = log.append(b"kept", (b"body",), 1)
    places = fill(log, 100)
    log.sync()
    assert log.wasteful() is None, "all is live"
    for place in places:
        log.drop(place)
    log.sync()
    assert log.wasteful() == kept.segment
    assert [frame.meta for frame in log.frames(kept.segment)][:2] == [b"opening", b"kept"]
    moved = log.append(b"kept", (b"body",), 1)
    log.drop(kept)
    log.sync()
    assert log.wasteful() is None
    assert len(segments(tmp_path)) <= 3
    assert log.read(moved, 4) == b"body"
    log.close()


def test_a_torn_end_is_forgotten(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    fill(log, 3)
    torn = log.append(b"torn", (b"x" * 300,), 1)
    log.close()
    path = tmp_path / f"{torn.segment:016}.log"
    with path.open("r+b") as file:
        file.seek(torn.offset + 200)
        file.write(bytes(200))
    log, metas, problems = opened(tmp_path)
    assert metas == [b"0", b"1", b"2"]
    assert not problems
    log, metas, problems = reopened(log, tmp_path)
    assert metas == [b"0", b"1", b"2"]
    assert not problems
    log.close()


def test_damage_costs_what_is_damaged(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    places = fill(log, 25)
    log.sync()
    log.close()
    victim = places[3]
    path = tmp_path / f"{victim.segment:016}.log"
    with path.open("r+b") as file:
        file.seek(victim.offset - 10)
        file.write(b"??????????")
    log, metas, problems = opened(tmp_path)
    assert metas == [b"%d" % number for number in range(25) if number != 3]
    [problem] = problems
    assert "damaged" in problem
    assert path.with_suffix(".damaged").exists()
    log.close()


def test_a_segment_without_a_beginning(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    fill(log, 25)
    log.sync()
    log.close()
    first = min(tmp_path.glob("*.log"))
    with first.open("r+b") as file:
        file.write(b"?")
    log, metas, problems = opened(tmp_path)
    assert b"24" in metas
    assert len(problems) == 1
    log.close()


def test_what_a_crash_leaves_of_making_a_segment(tmp_path: Path) -> None:
    log, _, _ = opened(tmp_path)
    fill(log, 3)
    log.close()
    (tmp_path / f"{90:016}.log").touch()
    (tmp_path / f"{91:016}.log").write_bytes(bytes(SIZE))
    for _ in range(2):
        log, metas, problems = opened(tmp_path)
        assert metas == [b"0", b"1", b"2"]
        assert not problems
        log.close()


@pytest.mark.parametrize("head", [b'{"format":2,"salt":0}', b"{}"])
def test_another_format_is_refused(tmp_path: Path, head: bytes) -> None:
    from cgnode.frontend.queue import frames

    (tmp_path / f"{1:016}.log").write_bytes(frames.encode(head, (), 0))
    with pytest.raises(QueueUnusable):
        opened(tmp_path)


def test_room_is_kept_for_what_must_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _, _ = opened(tmp_path)
    log.append(b"before", (), 1, reserve=True)
    full = True

    def allocate(descriptor: int, offset: int, length: int) -> None:
        if full:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", allocate)

    def take_all() -> None:
        for _ in range(100):
            log.append(b"new", (b"x" * 350,), 1, reserve=True)
            log.sync()

    with pytest.raises(QueueFull):
        take_all()
    assert not log.room()
    # There is what was left of one segment, and at most that was used of the spare.
    for _ in range(20):
        log.append(b"fate", (b"x" * 30,))
    log.sync()
    with pytest.raises(QueueFull):
        fill(log, 100)
    full = False
    assert log.room()
    log.append(b"new", (b"x" * 350,), 1, reserve=True)
    log.close()


def test_after_a_failed_sync_nothing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _, _ = opened(tmp_path)
    log.append(b"one", (), 1)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(QueueBroken):
            log.sync()
    with pytest.raises(QueueBroken):
        log.append(b"two", (), 1)
    with pytest.raises(QueueBroken):
        log.sync()
    assert isinstance(log.failure, QueueBroken)
    log.close()


def test_a_write_that_failed_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _, _ = opened(tmp_path)
    log.append(b"one", (), 1)
    pwrite = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        pwrite(descriptor, data[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", half)
        with pytest.raises(QueueFull):
            log.append(b"two", (b"x" * 200,), 1)
    log.append(b"three", (), 1)
    log.sync()
    log, metas, problems = reopened(log, tmp_path)
    assert metas == [b"one", b"three"]
    assert not problems
    log.close()
