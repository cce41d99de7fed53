"""The spool: a folder that one process at a time owns.

    lock        held by the owner
    log/        the log: envelopes, small contents, and all that happened to them
    large/      the contents that are too big for the log, named by their messages' ids

A content that is in ``large`` without a message in the log was never accepted, or is not
needed any more; a start removes it.

What lives here: what is on the disk, and where.  What must not: what happens to it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from attrs import define, field

from cgnode.frontend.queue import entries, frames
from cgnode.frontend.queue.committer import Callback, Committer
from cgnode.frontend.queue.entries import Entry
from cgnode.frontend.queue.errors import QueueBusy, QueueError, QueueFull, QueueUnusable, translate
from cgnode.frontend.queue.frames import Frame
from cgnode.frontend.queue.log import Log, Place, Segment, sync_folder
from cgnode.frontend.queue.message import Message, id_of
from cgnode.frontend.queue.policy import Limits
from cgnode.frontend.queue.values import Clock

_IN_A_FRAME = 500
# Small messages between two looks at how full the disk is.
_ASK_DISK = 32
_MESSAGE_MARK = b'"k":"message"'


class Reception:
    """A message that is being received.  ``write`` keeps it in memory while it is small;
    from then on (``large``) it may wait for the disk."""

    def __init__(self, number: int, path: str, inline: int) -> None:
        self.number = number
        self.size = 0
        self._path = path
        self._inline = inline
        self._chunks: list[bytes] = []
        self._descriptor: int | None = None
        self._failure: QueueError | None = None

    @property
    def id(self) -> str:
        """The id that the message will have."""
        return id_of(self.number)

    @property
    def large(self) -> bool:
        return self.size > self._inline

    def write(self, data: bytes) -> None:
        """Raises QueueFull, QueueError; then nothing of it is kept, and a commit fails
        likewise."""
        if self._failure is not None:
            raise self._failure
        self.size += len(data)
        self._chunks.append(data)
        if not self.large:
            return
        try:
            self._spill()
        except OSError as error:
            self.abort(translate(error, f"writing {self._path}"))
            assert self._failure is not None
            raise self._failure from error

    def _spill(self) -> None:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        data = b"".join(self._chunks)
        self._chunks.clear()
        written = 0
        while written < len(data):
            written += os.write(self._descriptor, data[written:] if written else data)

    def finish(self) -> bytes | None:
        """The content, or None: it is on the disk.  Raises QueueError."""
        if self._failure is not None:
            raise self._failure
        if self._descriptor is None:
            content = b"".join(self._chunks)
            self.abort()
            return content
        try:
            os.fsync(self._descriptor)
            sync_folder(os.path.dirname(self._path))
        except OSError as error:
            self.abort()
            raise translate(error, f"syncing {self._path}") from error
        os.close(self._descriptor)
        self._descriptor = None
        self._failure = QueueError("the message is finished")
        return None

    def abort(self, failure: QueueError | None = None) -> None:
        """Keep nothing of it."""
        if self._failure is not None:
            return
        self._failure = failure or QueueError("the message is finished")
        self._chunks.clear()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self.discard()

    def discard(self) -> None:
        """Remove what ``finish`` has left on the disk."""
        if self.large:
            with suppress(OSError):
                os.unlink(self._path)


class Content:
    """A message's text, to be read once; it stays readable when the message is gone.  What
    is small is here already (``data``); what is large may wait for the disk."""

    def __init__(self, size: int, data: bytes = b"", descriptor: int | None = None) -> None:
        self.size = size
        self._data = data
        self._descriptor = descriptor
        self._read = 0

    @property
    def here(self) -> bool:
        """Reading does not wait."""
        return self._descriptor is None

    @property
    def left(self) -> int:
        """Octets that were not read."""
        return self.size - self._read

    def read(self, octets: int) -> bytes:
        """So many, or what is left; raises QueueError."""
        octets = min(octets, self.size - self._read)
        if self._descriptor is None:
            data = self._data[self._read : self._read + octets]
        else:
            try:
                data = os.read(self._descriptor, octets)
            except OSError as error:
                raise translate(error, "reading a message") from error
        if octets > 0 and not data:
            raise QueueError("a message is shorter than it was, or was closed")
        self._read += len(data)
        return data

    def chunks(self, octets: int = 64 << 10) -> Iterator[bytes]:
        """All of it; closed at the end."""
        with self:
            while data := self.read(octets):
                yield data

    def close(self) -> None:
        self._data = b""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@define(eq=False)
class Spool:
    _folder: Path
    _limits: Limits
    _lock: int | None
    _last: int = field(default=0, init=False)
    _log: Log = field(init=False)
    _committer: Committer = field(init=False)
    # Files of messages whose ends were appended, and of those whose ends were synced.
    _ended: list[str] = field(factory=list, init=False)
    _doomed: list[str] = field(factory=list, init=False)
    problems: list[str] = field(factory=list, init=False)
    _free: int = field(default=0, init=False)
    _unasked: int = field(default=_ASK_DISK, init=False)

    @classmethod
    def open(cls, folder: Path, limits: Limits, random: Random, upkeep: Callable[[], bool]) -> Spool:
        """Raises QueueBusy, QueueUnusable.  ``upkeep`` is called now and then, in a thread
        of the spool's, and again while it returns True."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("log", "large"):
                (folder / name).mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise QueueUnusable(f"{folder}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise QueueBusy(f"{folder}: another process has it") from None
        spool = cls(folder, limits, lock)
        spool._log = Log(folder / "log", limits.segment, random, spool._opening)
        spool._committer = Committer(spool._log, limits.patience, lambda: spool._upkeep() | upkeep())
        return spool

    # --- the beginning -----------------------------------------------------------------

    def load(self, clock: Clock) -> dict[int, Message]:
        """Every message there is, and then the spool is ready for more.  Raises
        QueueError."""
        messages: dict[int, Message] = {}
        wall, monotonic = clock.wall(), clock.monotonic()

        def visit(segment: Segment, frame: Frame) -> None:
            try:
                self._apply(messages, segment, frame, wall, monotonic)
            except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
                raise QueueUnusable(f"{segment.path}: an entry that can't be read: {error!r}") from error

        try:
            self.problems.extend(self._log.replay(visit))
            self._match_large(messages)
            self._log.start()
        except OSError as error:
            raise translate(error, f"reading {self._folder}") from error
        self._committer.start()
        return messages

    def _apply(
        self, messages: dict[int, Message], segment: Segment, frame: Frame, wall: float, monotonic: float
    ) -> None:
        listed = entries.unpack(frame.meta)
        newest = sum(entry["k"] == "message" for entry in listed)
        octets = (frame.end - frame.offset) // newest if newest else 0
        for entry in listed:
            number = entry["n"]
            self._last = max(self._last, number)
            old = messages.get(number)
            match entry["k"]:
                case "message":
                    # A clock that was set back makes nobody younger than just born.
                    born = monotonic - max(0.0, wall - entry["at"])
                    message = entries.parse_message(entry, segment.number, frame.body, octets, born)
                    messages[number] = message
                    self._log.found(message.place)
                case "change":
                    if old is not None:
                        entries.apply_change(old, entry)
                    continue
                case "end":
                    messages.pop(number, None)
                case "last":
                    continue
                case kind:
                    raise QueueUnusable(f"{segment.path}: an entry of a later program: {kind}")
            if old is not None:
                self._log.drop(old.place)

    def _match_large(self, messages: dict[int, Message]) -> None:
        wanted = {message.id: message for message in messages.values() if message.large}
        for path in (self._folder / "large").iterdir():
            if wanted.pop(path.name, None) is None:
                path.unlink()
        for message in wanted.values():
            message.hold = True
            self.problems.append(f"{self._large(message.number)}: missing; the message is held")

    # --- writing -----------------------------------------------------------------------

    def number(self, wall: float) -> int:
        """A message's number: the time in microseconds, or the next one after the last."""
        self._last = max(self._last + 1, int(wall * 1e6))
        return self._last

    def receive(self, number: int) -> Reception:
        return Reception(number, self._large(number), self._limits.inline)

    def room(self, size: int) -> bool:
        """There is room on the disk for a content of that size, and some more."""
        if not self._log.room():
            return False
        self._unasked += 1
        needed = size + self._limits.free
        if size > self._limits.inline or self._unasked >= _ASK_DISK or self._free <= needed:
            self._unasked = 0
            try:
                disk = os.statvfs(self._folder)
            except OSError:
                return False
            self._free = disk.f_bavail * disk.f_frsize
        return self._free > needed

    def keep(
        self,
        parcels: Sequence[tuple[Message, bytes | None]],
        changes: Iterable[Entry] = (),
        reserve: bool = False,
    ) -> None:
        """Append messages with their contents (None: in ``large``), and changes, all or
        nothing; gives the messages their places.  Raises QueueFull, QueueError."""
        bodies: list[bytes] = []
        listed: list[Entry] = []
        offsets: list[int] = []
        offset = 0
        for message, content in parcels:
            listed.append(entries.message(message, offset))
            offsets.append(offset)
            if content is not None:
                bodies.append(content)
                offset += len(content)
        if offset > frames.MAX_BODY:
            raise QueueFull("the contents are too big for a frame")
        place = self._log.append(entries.pack((*listed, *changes)), bodies, len(parcels), reserve)
        for (message, _), offset in zip(parcels, offsets, strict=True):
            message.place = Place(place.segment, place.offset + offset, place.octets)

    def note(self, changes: Sequence[Entry]) -> Iterator[int]:
        """Append changes that nobody waits for; yields how many have been.  Raises
        QueueError."""
        for start in range(0, len(changes), _IN_A_FRAME):
            part = changes[start : start + _IN_A_FRAME]
            self._log.append(entries.pack(part))
            yield len(part)
        self._committer.later()

    def after(self, callback: Callback) -> None:
        """Call back, in the spool's thread, when what was appended is durable."""
        self._committer.after(callback)

    def forget(self, message: Message) -> None:
        """Its end has been appended."""
        self._log.drop(message.place)
        if message.large:
            self._ended.append(self._large(message.number))

    def _opening(self) -> bytes:
        return entries.pack((entries.last(self._last),))

    # --- reading -----------------------------------------------------------------------

    def content(self, message: Message) -> Content:
        """Raises QueueError."""
        if not message.large:
            return Content(message.size, self._log.read(message.place, message.size))
        try:
            path = self._large(message.number)
            return Content(message.size, descriptor=os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise translate(error, f"reading message {message.id}") from error

    def _large(self, number: int) -> str:
        return f"{self._folder}/large/{id_of(number)}"

    # --- upkeep ------------------------------------------------------------------------

    def _upkeep(self) -> bool:
        """Remove files whose messages' ends are durable; True when there will be more."""
        # A copy first: others append to the list meanwhile.
        doomed, self._doomed = self._doomed, self._ended[:]
        del self._ended[: len(self._doomed)]
        for path in doomed:
            with suppress(OSError):
                os.unlink(path)
        return bool(self._doomed)

    def wasteful(self) -> int | None:
        """A segment whose live messages had better be moved."""
        return self._log.wasteful()

    def inhabitants(self, segment: int) -> Iterator[list[int]]:
        """The numbers of the messages that were written to a segment, a few at a time."""
        found: list[int] = []
        for count, frame in enumerate(self._log.frames(segment)):
            if _MESSAGE_MARK in frame.meta:
                found += [entry["n"] for entry in entries.unpack(frame.meta) if entry["k"] == "message"]
            if len(found) >= 16 or count % 256 == 255:
                yield found
                found = []
        yield found

    def move(self, message: Message) -> None:
        """Write it again, so that its old place is free."""
        content: bytes | None = None
        if not message.large:
            content = self._log.read(message.place, message.size)
        old = message.place
        self.keep(((message, content),))
        self._log.drop(old)

    @property
    def octets(self) -> int:
        """Of the log, on the disk."""
        return self._log.octets

    @property
    def failure(self) -> QueueError | None:
        return self._log.failure

    def close(self) -> None:
        """Sync for those who wait, and let others have it."""
        self._committer.close()
        self._log.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
