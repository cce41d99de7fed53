"""The UID list of a folder, ``cgnode-uids``: which message has which UID, what is told of it,
and in which order all of it came about.

A log that is appended to and now and then written anew.  Each line ends in LF and is made of
fields with TABs between them, the first the CRC-32 of the rest:

    crc  cgnode-uids 1  UIDVALIDITY UIDNEXT HIGHESTMODSEQ RECENT       the first line
    crc  +  UID MODSEQ DATE SIZE LETTERS KEYWORDS BASE                 a message has come
    crc  =  UID MODSEQ LETTERS KEYWORDS                                its flags are others now
    crc  -  MODSEQ UIDS                                                messages have gone
    crc  r  UID                                                        \\Recent begins here

RECENT is the least UID that no session has had as \\Recent yet.  A process killed while it
appends leaves a last line without its LF, which does not count and is cut off.  A damage is
anything else: then the list is given up (``Damaged``), its numbers too, and made anew.

What is told to a client must be durable: ``sync`` comes before that.  The caller holds the
account's guard, for all but ``sync``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final, TypeAlias
from zlib import crc32

from attrs import evolve, frozen

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.names import keywords_of, letters_of, system_flags
from cgnode.backend.store import MailStoreError, Message

NAME: Final = "cgnode-uids"
_MAGIC: Final = b"cgnode-uids 1"
# Lines beyond two for each message, before a list is written anew.
SPARE_LINES = 500
_MAX_UID: Final = (1 << 32) - 1


class Damaged(MailStoreError):
    """The list can't be trusted; ``salvage`` tells what can still be read of it."""


@frozen
class Added:
    message: Message
    base: str


@frozen
class Changed:
    message: Message


@frozen
class Expunged:
    modseq: int
    uids: tuple[int, ...]


@frozen
class Claimed:
    """All below this UID have been \\Recent to somebody."""

    uid: int


Record: TypeAlias = Added | Changed | Expunged | Claimed

# --- lines -------------------------------------------------------------------------------

_SPECIAL: Final = re.compile(rb"[^\x21-\x24\x26-\x7e]")
_ESCAPED: Final = re.compile(rb"%([0-9a-f]{2})")


def _line(*fields: bytes) -> bytes:
    body = b"\t".join(fields)
    return b"%08x\t%b\n" % (crc32(body), body)


def _quoted(name: str) -> bytes:
    return _SPECIAL.sub(lambda found: b"%%%02x" % found.group()[0], os.fsencode(name))


def _unquoted(name: bytes) -> str:
    if b"%" not in name:
        return name.decode("ascii")
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes.fromhex(found.group(1).decode("ascii")), name))


def _flags(flags: frozenset[str]) -> bytes:
    return f"{letters_of(flags)}\t{' '.join(keywords_of(flags))}".encode("ascii")


def ranges(uids: Iterable[int]) -> str:
    """``1:3,7`` for ascending numbers."""
    found: list[list[int]] = []
    for uid in uids:
        if found and found[-1][1] == uid - 1:
            found[-1][1] = uid
        else:
            found.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in found)


def _numbers(text: bytes) -> Iterable[int]:
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        yield from range(int(first), int(last or first) + 1)


def _encode(record: Record) -> bytes:
    match record:
        case Added(message, base):
            start = b"+\t%d\t%d\t%d\t%d" % (message.uid, message.modseq, message.date, message.size)
            return _line(start, _flags(message.flags), _quoted(base))
        case Changed(message):
            return _line(b"=\t%d\t%d" % (message.uid, message.modseq), _flags(message.flags))
        case Expunged(modseq, uids):
            return _line(b"-\t%d" % modseq, ranges(uids).encode("ascii"))
        case Claimed(uid):
            return _line(b"r\t%d" % uid)


def _header(*numbers: int) -> bytes:
    return _line(_MAGIC, *(b"%d" % number for number in numbers))


def salvage(path: str) -> dict[str, tuple[int, frozenset[str]]]:
    """Of a damaged list what can be read: UIDs and keywords by base names."""
    found: dict[str, tuple[int, frozenset[str]]] = {}
    bases: dict[int, str] = {}
    for line in (disks.read_small(path) or b"").split(b"\n"):
        match line.split(b"\t"):
            case [crc, b"+", uid, _, _, _, _, keywords, base] if crc == b"%08x" % crc32(line[9:]):
                bases[int(uid)] = _unquoted(base)
            case [crc, b"=", uid, _, _, keywords] if crc == b"%08x" % crc32(line[9:]):
                pass
            case _:
                continue
        if int(uid) in bases:
            found[bases[int(uid)]] = int(uid), frozenset(keywords.decode("ascii").split())
    return found


@frozen
class _State:
    """Of the file as it was read or written last."""

    inode: int
    size: int
    date: int

    @classmethod
    def of(cls, found: os.stat_result) -> _State:
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


_NO_STATE: Final = _State(0, 0, 0)


# --- the list ----------------------------------------------------------------------------


class UidList:
    """A folder's list, as it is on the disk as of the last ``refresh``.

    ``journal`` names, one after the other, the UIDs that came, changed or went since the list
    was opened; ``forgotten`` counts those that it does not hold any more.
    """

    def __init__(self, path: str, disk: Disk) -> None:
        """Raises FileNotFoundError, Damaged."""
        self.path = path
        self._disk = disk
        self.uidvalidity = self.uidnext = self.recent = 0
        self.modseq = 0
        self.messages: dict[int, Message] = {}
        self.bases: dict[int, str] = {}
        self.uids: dict[str, int] = {}
        self.keywords: dict[str, str] = {}
        self.journal: list[int] = []
        self.forgotten = 0
        self._known_flags: dict[tuple[bytes, bytes], frozenset[str]] = {}
        self._backlog: list[Record] = []
        self._last = 0
        self._lines = 0
        self._state = _NO_STATE
        self._head = b""
        self._written = self._synced = 0
        self._load()

    @classmethod
    def create(cls, folder: str, disk: Disk, uidvalidity: int) -> UidList:
        """An empty one, durable."""
        path = os.path.join(folder, NAME)
        disk.replace(path, _header(uidvalidity, 1, 1, 1), os.path.join(folder, "tmp"))
        return cls(path, disk)

    # --- reading -------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Notice what other processes wrote; whether there was anything.

        Raises FileNotFoundError, Damaged, or Damaged too when the list has been made anew.
        """
        found = _State.of(os.stat(self.path))
        if found == self._state:
            return False
        # An inode may be that of a later file: the first line of that is another one.
        if found.inode == self._state.inode and found.size >= self._state.size and self._has_head():
            self._read_on()
        else:
            self._reload()
        return True

    def _has_head(self) -> bool:
        with open(self.path, "rb", opener=lambda path, _: os.open(path, disks.READ)) as file:
            return file.read(len(self._head)) == self._head

    def _load(self) -> None:
        self._read_on()
        self.journal.clear()

    def _reload(self) -> None:
        new = UidList(self.path, self._disk)
        if new.uidvalidity != self.uidvalidity:
            raise Damaged(f"{self.path}: made anew by somebody else")
        gone = [uid for uid in self.messages if uid not in new.messages]
        come = [uid for uid, message in new.messages.items() if message != self.messages.get(uid)]
        self.messages, self.bases, self.uids = new.messages, new.bases, new.uids
        self.uidnext, self.modseq, self.recent = new.uidnext, new.modseq, new.recent
        self.keywords, self._known_flags = new.keywords, new._known_flags
        self._last, self._lines = new._last, new._lines
        self._state, self._head = new._state, new._head
        self._written += 1
        self.journal += gone + come

    def _read_on(self) -> None:
        offset = self._state.size
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(descriptor, "r+b", buffering=0) as file:
            file.seek(offset)
            data = file.readall()
            good = data.rfind(b"\n") + 1
            self._replay(data[:good])
            if good < len(data):
                file.truncate(offset + good)
            self._state = _State.of(os.fstat(descriptor))
        self._written += 1

    def _replay(self, data: bytes) -> None:
        lines = data.split(b"\n")
        lines.pop()
        start = 0
        if not self.uidvalidity:
            if not lines:
                raise Damaged(f"{self.path}: empty")
            self._begin(lines[0])
            start = 1
        try:
            for number in range(start, len(lines)):
                line = lines[number]
                body = line[9:]
                if line[:9] != b"%08x\t" % crc32(body):
                    raise ValueError("a line's checksum is wrong")
                fields = body.split(b"\t")
                if fields[0] == b"+":
                    _, uid, modseq, date, size, letters, keywords, base = fields
                    flags = self._known_flags.get((letters, keywords))
                    if flags is None:
                        flags = self._learn(letters, keywords)
                    message = Message(int(uid), int(modseq), int(date), int(size), flags)
                    self._add(message, _unquoted(base))
                elif (record := self._decode(fields)) is not None:
                    self._apply(record)
        except ValueError as error:
            raise Damaged(f"{self.path}: {error}") from None
        self._lines += len(lines)

    def _begin(self, line: bytes) -> None:
        try:
            self._head = line + b"\n"
            body = line[9:]
            magic, *numbers = body.split(b"\t")
            if line[:9] != b"%08x\t" % crc32(body) or magic != _MAGIC:
                raise ValueError
            self.uidvalidity, self.uidnext, self.modseq, self.recent = map(int, numbers)
        except ValueError:
            raise Damaged(f"{self.path}: does not begin as a list does") from None

    def _decode(self, fields: list[bytes]) -> Record | None:
        match fields:
            case [b"=", uid, modseq, letters, keywords]:
                # One that is gone was changed by a process that could not write for a while.
                if (message := self.messages.get(int(uid))) is None:
                    return None
                return Changed(evolve(message, modseq=int(modseq), flags=self._learn(letters, keywords)))
            case [b"-", modseq, uids]:
                return Expunged(int(modseq), tuple(_numbers(uids)))
            case [b"r", uid]:
                return Claimed(int(uid))
            case _:
                raise ValueError("a line is of no known kind")

    def _learn(self, letters: bytes, keywords: bytes) -> frozenset[str]:
        """The same set for the same flags: it is kept once."""
        known = self._known_flags.get((letters, keywords))
        if known is None:
            words = keywords.decode("ascii").split()
            self._note(words)
            known = system_flags(letters.decode("ascii")).union(words)
            self._known_flags[letters, keywords] = known
        return known

    def _note(self, keywords: Iterable[str]) -> None:
        for keyword in keywords:
            self.keywords.setdefault(keyword.lower(), keyword)

    # --- what records do -----------------------------------------------------------------

    def _apply(self, record: Record) -> None:
        match record:
            case Added(message, base):
                self._add(message, base)
                self._note(keywords_of(message.flags))
            case Changed(message):
                self.messages[message.uid] = message
                self.modseq = max(self.modseq, message.modseq)
                self.journal.append(message.uid)
                self._note(keywords_of(message.flags))
            case Expunged(modseq, uids):
                self.modseq = max(self.modseq, modseq)
                for uid in uids:
                    if self.messages.pop(uid, None) is not None:
                        del self.uids[self.bases.pop(uid)]
                        self.journal.append(uid)
            case Claimed(uid):
                self.recent = max(self.recent, uid)

    def _add(self, message: Message, base: str) -> None:
        uid = message.uid
        if uid <= self._last or uid > _MAX_UID or base in self.uids:
            raise ValueError("a UID or a file is in the list twice")
        self._last = uid
        self.messages[uid] = message
        self.bases[uid] = base
        self.uids[base] = uid
        self.uidnext = max(self.uidnext, uid + 1)
        self.modseq = max(self.modseq, message.modseq)
        self.journal.append(uid)

    # --- writing -------------------------------------------------------------------------

    def append(self, records: list[Record], *, soft: bool = False) -> None:
        """Write them and let them be so.

        Those that are ``soft`` are so even where the disk is full, and are written later:
        they say what the files themselves say too.
        """
        try:
            self._write([*self._backlog, *records])
        except OSError as error:
            if not soft or not disks.is_full(error):
                raise
            self._backlog += records
        else:
            self._backlog.clear()
        for record in records:
            self._apply(record)

    def _write(self, records: list[Record]) -> None:
        if self.is_stale():
            raise RuntimeError(f"{self.path} has been written to by another process meanwhile")
        data = b"".join(map(_encode, records))
        try:
            self._state = _State.of(disks.append(self.path, data, self._state.size))
        except OSError:
            # It is as it was, but for its date.
            self._state = evolve(self._state, date=os.stat(self.path).st_mtime_ns)
            raise
        self._lines += len(records)
        self._written += 1

    def compact(self) -> None:
        """Write the list anew where it has grown long; on a full disk, some other time."""
        if self._lines <= 2 * len(self.messages) + SPARE_LINES:
            return
        try:
            self._rewrite()
        except OSError as error:
            if not disks.is_full(error):
                raise

    def _rewrite(self) -> None:
        lines = [_header(self.uidvalidity, self.uidnext, self.modseq, self.recent)]
        lines += [_encode(Added(message, self.bases[uid])) for uid, message in self.messages.items()]
        self._disk.replace(self.path, b"".join(lines), os.path.join(os.path.dirname(self.path), "tmp"))
        self._state, self._head = _State.of(os.stat(self.path)), lines[0]
        self._lines = len(lines)
        self._backlog.clear()

    def sync(self) -> None:
        """Make durable what has been read or written so far."""
        written = self._written
        if self._synced < written:
            self._disk.sync_data(self.path)
            self._synced = max(self._synced, written)

    @property
    def unsynced(self) -> bool:
        return self._synced < self._written

    @property
    def waiting(self) -> bool:
        """Whether something could not be written yet, the disk being full."""
        return bool(self._backlog)

    @property
    def journal_end(self) -> int:
        return self.forgotten + len(self.journal)

    def is_stale(self) -> bool:
        """Whether another process has written; raises FileNotFoundError as ``refresh`` does."""
        return _State.of(os.stat(self.path)) != self._state

    def forget(self, count: int) -> None:
        """The first ``count`` of the journal, those forgotten before included."""
        del self.journal[: count - self.forgotten]
        self.forgotten = count
