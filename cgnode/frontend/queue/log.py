"""The log: numbered segment files that frames are appended to, oldest to newest.

    0000000000000001.log    a frame that names the segment and its salt; frames; zeros
    ...                     a segment that will not grow and is on the disk says so at its end
    0000000000000007.log    the one that is written
    0000000000000008.log    the spare: made before it is needed

What lives here: the files' life.  What must not: what frames say; who waits for a sync.

- Segments go in order, the oldest first, and each is gone from the disk before the next
  goes.  So an end or a change never goes before the message it is about.
- A segment's room is allocated when it is made.  While there is a spare, an append finds
  room however full the disk is; what need not be taken (new messages) is taken only
  while there is one, so that what must be kept (the fate of others) always can be.
- Nothing is written at the end of a life.  Ending and being killed are the same.
- After a sync that failed nobody knows what the disk has; then the log takes no more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from errno import EIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any, Final

from attrs import define, field, frozen

from cgnode.frontend.queue import frames
from cgnode.frontend.queue.errors import QueueBroken, QueueError, QueueUnusable, translate
from cgnode.frontend.queue.frames import Damage, Frame

FORMAT: Final = 1
_SUFFIX: Final = ".log"
_SEALED: Final = b'{"sealed":1}'
# Segments' worth of garbage to put up with, beside as much as there is of live records.
_PATIENCE: Final = 4


@define(eq=False)
class Segment:
    """``live``: the messages whose newest record is here."""

    number: int
    path: Path
    salt: int
    capacity: int
    end: int
    descriptor: int | None = None
    live: int = 0


@frozen
class Place:
    """Where a frame's body begins.  ``octets``: each message's part of the frame."""

    segment: int
    offset: int
    octets: int


Visit = Callable[[Segment, Frame], None]


@define(eq=False)
class Log:
    """``append`` and ``drop`` in any thread, ``sync`` in one.  ``opening`` gives
    what is to stand at the beginning of each segment that comes into use."""

    _folder: Path
    _size: int
    _random: Random
    _opening: Callable[[], bytes]
    _lock: Lock = field(factory=Lock, init=False)
    _segments: dict[int, Segment] = field(factory=dict, init=False)
    _current: Segment | None = field(default=None, init=False)
    _spare: Segment | None = field(default=None, init=False)
    _next: int = field(default=1, init=False)
    _dirty: dict[int, Segment] = field(factory=dict, init=False)
    _live: int = field(default=0, init=False)
    _unsealed: Segment | None = field(default=None, init=False)
    _broken: QueueError | None = field(default=None, init=False)
    _full: bool = field(default=False, init=False)

    # --- the beginning -----------------------------------------------------------------

    def replay(self, visit: Visit) -> list[str]:
        """Show every sound frame there is, in order, before anything is appended.
        Returns what was found damaged."""
        problems: list[str] = []
        numbers = sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}"))
        for number in numbers:
            segment = self._segments[number] = Segment(number, self._path(number), 0, 0, 0)
            if self._replay(segment, visit, problems):
                self._next = number + 1
            else:
                del self._segments[number]
                segment.path.unlink()
        return problems

    def _replay(self, segment: Segment, visit: Visit, problems: list[str]) -> bool:
        """False if it is only what a crash has left of making one."""
        if segment.path.stat().st_size == 0:
            return False
        damages: list[Damage] = []
        with segment.path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as buffer:
            sealed = self._read(segment, buffer, visit, damages)
            length = len(buffer)
        # A crash leaves the end of what was written last behind it, which nobody was promised.
        torn = not sealed and segment.end > 0 and len(damages) == 1 and damages[0].end == length
        if damages and not torn:
            problems.append(_keep(segment, damages))
        elif segment.end and not sealed:
            # All of it but the last can be sealed, which is gone on with.
            if self._unsealed is not None:
                _seal(self._unsealed)
            segment.capacity = length
            self._unsealed = segment
        return segment.end > 0 or bool(damages)

    def _read(self, segment: Segment, buffer: mmap, visit: Visit, damages: list[Damage]) -> bool:
        """True when it was sealed, and bodies need not be read."""
        first = frames.read(buffer, 0, 0, True)
        if first is None:
            damages.extend(part for part in frames.scan(buffer, 0, 0, True) if isinstance(part, Damage))
            return False
        segment.salt = _salt(first.meta, segment.path)
        segment.end = first.end
        last = len(_SEALED) + frames.OVERHEAD
        ending = frames.read(buffer, max(len(buffer) - last, 0), segment.salt, True)
        sealed = ending is not None and ending.meta == _SEALED
        for part in frames.scan(buffer, first.end, segment.salt, not sealed):
            if isinstance(part, Damage):
                damages.append(part)
                continue
            segment.end = part.end
            if part.meta != _SEALED:
                visit(segment, part)
        return sealed

    def start(self) -> None:
        """Be ready for what is to come: go on where the last life ended, so that a full
        disk does not keep from starting.  Raises QueueError."""
        last, self._unsealed = self._unsealed, None
        with self._lock:
            if last is None:
                self._use(self._allocate(self._size))
            elif last.number + 1 < self._next:  # what is newer can't be gone on with
                _seal(last)
                self._use(self._allocate(self._size))
            else:
                _reopen(last)
                self._current = last
                opening = self._opening()
                if last.end + frames.size(opening, ()) <= last.capacity:
                    self._write(last, opening, ())
        self._prepare()

    # --- appending ---------------------------------------------------------------------

    def append(
        self, meta: bytes, bodies: Sequence[bytes] = (), live: int = 0, reserve: bool = False
    ) -> Place:
        """Write a frame, for ``sync`` to make durable.  ``live``: so many messages have
        their newest record in it, until ``drop``.  ``reserve``: refuse when there is only
        the room left that is kept for what must be written.  Raises QueueFull, QueueError."""
        needed = frames.size(meta, bodies)
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if reserve and self._spare is None:
                self._spare = self._allocate(self._size)
            segment = self._current
            assert segment is not None
            while segment.end + needed > segment.capacity:
                segment = self._roll(needed)
            offset = self._write(segment, meta, bodies)
            segment.live += live
            octets = needed // live if live else 0
            self._live += octets * live
            return Place(segment.number, offset, octets)

    def _write(self, segment: Segment, meta: bytes, bodies: Sequence[bytes]) -> int:
        data = frames.encode(meta, bodies, segment.salt)
        assert segment.descriptor is not None
        try:
            written = os.pwrite(segment.descriptor, data, segment.end)
            while written < len(data):
                written += os.pwrite(segment.descriptor, data[written:], segment.end + written)
        except OSError as error:
            # The end stays, so what comes next is written over what this left.
            raise translate(error, f"writing {segment.path}") from error
        offset = segment.end + frames.OVERHEAD + len(meta)
        segment.end += len(data)
        self._dirty[segment.number] = segment
        return offset

    def _roll(self, needed: int) -> Segment:
        segment = self._spare
        if segment is None:
            segment = self._allocate(max(self._size, needed + 4096))
        self._spare = None
        return self._use(segment)

    def _use(self, segment: Segment) -> Segment:
        if self._current is not None:
            self._dirty[self._current.number] = self._current
        self._current = segment
        self._write(segment, self._opening(), ())
        return segment

    def _allocate(self, capacity: int) -> Segment:
        number, self._next = self._next, self._next + 1
        self._full = True
        segment = _create(self._path(number), number, capacity, self._random.getrandbits(32))
        self._full = False
        self._segments[number] = segment
        return segment

    # --- what is live ------------------------------------------------------------------

    def found(self, place: Place) -> None:
        """While replaying: a message's newest record is there."""
        self._segments[place.segment].live += 1
        self._live += place.octets

    def drop(self, place: Place) -> None:
        """A message's newest record is there no more: it has ended, or has a newer one."""
        with self._lock:
            self._segments[place.segment].live -= 1
            self._live -= place.octets

    def wasteful(self) -> int | None:
        """The oldest segment, if its live records had better be written again so that
        room is given back.  In all, this writes no more than is given back."""
        with self._lock:
            oldest = next(iter(self._segments.values()))
            if oldest is self._current or self._broken is not None:
                return None
            total = sum(segment.end for segment in self._segments.values())
            patience = _PATIENCE if self._spare is not None else 1
            return oldest.number if total > 2 * self._live + patience * self._size else None

    def frames(self, number: int) -> Iterator[Frame]:
        """The frames of a segment that is not written any more."""
        segment = self._segments[number]
        with segment.path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as buffer:
            first = frames.read(buffer, 0, 0, False)
            start = 0 if first is None else first.end
            for part in frames.scan(buffer, start, segment.salt, False):
                if isinstance(part, Frame) and part.meta != _SEALED:
                    yield part

    def read(self, place: Place, octets: int) -> bytes:
        """So many from there on.  Raises QueueError."""
        segment = self._segments[place.segment]
        try:
            with self._lock:
                if segment.descriptor is not None:
                    return _pread(segment.descriptor, octets, place.offset)
            descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _pread(descriptor, octets, place.offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise translate(error, f"reading {segment.path}") from error

    # --- syncing -----------------------------------------------------------------------

    def sync(self) -> None:
        """Make durable what was appended before; then give room back, and prepare more.
        Raises QueueBroken."""
        with self._lock:
            if self._broken is not None:
                raise self._broken
            dirty, self._dirty = self._dirty, {}
            current = self._current
            dead = self._take_dead()
        try:
            for segment in dirty.values():
                assert segment.descriptor is not None
                os.fdatasync(segment.descriptor)
            for segment in dirty.values():
                if segment is not current:
                    _seal(segment)
            for segment in dead:
                segment.path.unlink()
                sync_folder(self._folder)
        except OSError as error:
            self._broken = QueueBroken(f"syncing {self._folder}: {error.strerror}")
            raise self._broken from error
        if self._spare is None:
            self._prepare()

    def _take_dead(self) -> list[Segment]:
        """The oldest, as far as nothing of them is needed once this sync is done."""
        dead: list[Segment] = []
        for segment in self._segments.values():
            if segment.live or segment is self._current or segment is self._spare:
                break
            dead.append(segment)
        for segment in dead:
            del self._segments[segment.number]
        return dead

    def _prepare(self) -> None:
        """A spare, while appends go on; without room there is none."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            salt = self._random.getrandbits(32)
        try:
            segment = _create(self._path(number), number, self._size, salt)
        except QueueError:
            self._full = self._spare is None
            return
        with self._lock:
            assert self._current is not None
            self._full = False
            wanted = self._spare is None and number > self._current.number
            if wanted:
                self._spare = self._segments[number] = segment
        if not wanted:
            _discard(segment)

    @property
    def failure(self) -> QueueError | None:
        """Why nothing is taken any more."""
        return self._broken

    def room(self) -> bool:
        """There is room for what need not be taken; looks again, if there was none."""
        if self._full:
            self._prepare()
        return not self._full

    @property
    def octets(self) -> int:
        """On the disk, the room ahead not counted."""
        with self._lock:
            return sum(segment.end for segment in self._segments.values())

    def close(self) -> None:
        with self._lock:
            self._broken = self._broken or QueueError("the queue is closed")
            for segment in self._segments.values():
                _close(segment)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016}{_SUFFIX}"


# --- one segment's file ----------------------------------------------------------------


def _create(path: Path, number: int, capacity: int, salt: int) -> Segment:
    """A segment with all its room, durably."""
    head = {"format": FORMAT, "segment": number, "salt": salt}
    data = frames.encode(json.dumps(head).encode(), (), 0)
    segment = Segment(number, path, salt, capacity, len(data))
    try:
        segment.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(segment.descriptor, 0, capacity)
        os.pwrite(segment.descriptor, data, 0)
        os.fsync(segment.descriptor)
        sync_folder(path.parent)
    except OSError as error:
        _discard(segment)
        raise translate(error, f"making {path}") from error
    return segment


def _reopen(segment: Segment) -> None:
    """For more to be written to it.  What a crash has left at its end has no sound frame in
    it, and is written over."""
    try:
        segment.descriptor = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        os.fdatasync(segment.descriptor)
    except OSError as error:
        raise translate(error, f"going on with {segment.path}") from error


def _discard(segment: Segment) -> None:
    _close(segment)
    with suppress(OSError):
        segment.path.unlink()


def _close(segment: Segment) -> None:
    if segment.descriptor is not None:
        os.close(segment.descriptor)
        segment.descriptor = None


def _seal(segment: Segment) -> None:
    """Say that all of it is on the disk, and give the rest of its room back."""
    descriptor = segment.descriptor
    if descriptor is None:
        descriptor = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        os.fsync(descriptor)
    try:
        data = frames.encode(_SEALED, (), segment.salt)
        os.ftruncate(descriptor, segment.end)
        with suppress(OSError):  # no room for it: the next start reads the bodies again
            os.pwrite(descriptor, data, segment.end)
            segment.end += len(data)
    finally:
        os.close(descriptor)
        segment.descriptor = None


def _pread(descriptor: int, octets: int, offset: int) -> bytes:
    data = os.pread(descriptor, octets, offset)
    if len(data) < octets:
        raise OSError(EIO, "it is shorter than it was")
    return data


def _keep(segment: Segment, damages: list[Damage]) -> str:
    """A damaged segment stays as it is, beside the log, for who can make more of it."""
    kept = segment.path.with_suffix(".damaged")
    with suppress(FileExistsError):
        os.link(segment.path, kept)
    octets = sum(damage.end - damage.offset for damage in damages)
    return f"{segment.path}: damaged, {octets} octets in {len(damages)} places; kept as {kept}"


def _salt(meta: bytes, path: Path) -> int:
    head: Any = json.loads(meta)
    if not isinstance(head, dict) or "format" not in head:
        raise QueueUnusable(f"{path}: not a segment of a mail queue")
    if head["format"] != FORMAT:
        raise QueueUnusable(f"{path}: of format {head['format']}, this program knows {FORMAT}")
    return int(head["salt"])


def sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
