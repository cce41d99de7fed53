"""A folder and what is done to its messages: one object per folder and process, which all
sessions share (``view``).  Everything here is called with the account held (``guard``).

The list is written first where a message comes, and last where one goes or changes.  A process
killed in between leaves what ``tracking`` sets right by the files, without a UID ever standing
for another message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol, assert_never

from attrs import define, evolve, field, frozen

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.content import FileContent
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.guard import Work
from cgnode.backend.maildir.names import keywords_of, letters_of, sized, stated_sizes, with_info, with_letters
from cgnode.backend.maildir.tracking import TrackedFolder
from cgnode.backend.maildir.uidlist import Added, Changed, Claimed, Expunged, Record, UidList
from cgnode.backend.store import BadName, Gone, How, Message, Stored

# Changes that are remembered for sessions that have not looked for long.
_JOURNAL: Final = 10_000
# Of a folder; a client that makes up ever new ones finds an end.
_MOST_KEYWORDS: Final = 500


class Listener(Protocol):
    """A session: up to where it has seen the list's journal, and whom to call when there is more."""

    position: int
    callback: Callable[[], None] | None


@frozen
class Arrival:
    """A message that is to come in; ``put`` gives its file the path it is told."""

    flags: frozenset[str]
    date: int
    size: int
    octets: int
    put: Callable[[str], None]


@define(eq=False)
class Mailbox:
    files: TrackedFolder
    _disk: Disk
    _listeners: list[Listener] = field(factory=list)

    @property
    def index(self) -> UidList:
        return self.files.index

    @property
    def folder(self) -> str:
        return self.files.folder

    # --- sessions ------------------------------------------------------------------------

    def refresh(self, work: Work, *, thorough: bool = False) -> None:
        """Bring the list up to date.  Raises Gone."""
        before = self.index.journal_end
        self.files.refresh(thorough=thorough)
        if self.index.journal_end != before:
            self.announce(work)
        elif self.index.unsynced:
            work.sync_list(self.index)
        if len(self.index.journal) > _JOURNAL:
            positions = [one.position for one in list(self._listeners)]
            self.index.forget(min(positions, default=self.index.journal_end))

    def announce(self, work: Work, actor: Listener | None = None) -> None:
        """What was done is to be made durable, and told to all but who did it."""
        work.sync_list(self.index)
        work.tell(self.callbacks(actor))

    def arrived(self, work: Work) -> None:
        """A file was put into ``new``, which the next look will find."""
        self.files.touch()
        work.tell(self.callbacks())

    def callbacks(self, actor: Listener | None = None) -> list[Callable[[], None]]:
        found = [one for one in list(self._listeners) if one is not actor]
        return [callback for one in found if (callback := one.callback) is not None]

    def join(self, listener: Listener) -> None:
        listener.position = self.index.journal_end
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Needs no guard."""
        with suppress(ValueError):
            self._listeners.remove(listener)

    def since(self, listener: Listener) -> set[int]:
        """The UIDs that came, changed or went since the listener last asked."""
        found = set(self.index.journal[listener.position - self.index.forgotten :])
        listener.position = self.index.journal_end
        return found

    def unclaimed(self) -> list[int]:
        """What no session has had as \\Recent."""
        found = []
        for uid in reversed(self.index.messages):
            if uid < self.index.recent:
                break
            found.append(uid)
        return found[::-1]

    def claim(self) -> list[int]:
        """Let the caller have what is unclaimed; it is in ``cur`` from now on, as nobody's new mail."""
        recent = self.unclaimed()
        if not recent:
            return recent
        self.files.record([Claimed(self.index.uidnext)], soft=True)
        for uid in recent:
            if (self.files.place(uid) or "").startswith("new/"):
                self.files.rename(uid, with_info)
        self.files.ours()
        return recent

    # --- messages ------------------------------------------------------------------------

    def open(self, uid: int) -> FileContent:
        """Raises Gone."""
        for _ in range(2):
            message = self.index.messages.get(uid)
            if message is None or self.files.gone:
                break
            with suppress(FileNotFoundError):
                return FileContent(self.files.path(uid), message.size)
            self.files.scan()
        raise Gone(f"there is no message {uid} any more")

    def store(
        self, uids: Iterable[int], how: How, flags: frozenset[str], unchanged_since: int | None
    ) -> Stored:
        flags = self._spelt(flags)
        modseq = self.index.modseq + 1
        modified: list[int] = []
        found: list[int] = []
        changed: list[Message] = []
        soft = True
        try:
            for uid in uids:
                message = self.index.messages.get(uid)
                if message is None:
                    continue
                if unchanged_since is not None and message.modseq > unchanged_since:
                    modified.append(uid)
                    continue
                found.append(uid)
                if _with(message.flags, how, flags) != message.flags and self._rename(uid, how, flags):
                    message = self.index.messages[uid]
                    now = _with(message.flags, how, flags)
                    soft = soft and keywords_of(now) == keywords_of(message.flags)
                    changed.append(evolve(message, modseq=modseq, flags=now))
        finally:
            if changed:
                self.files.record(list(map(Changed, changed)), soft=soft)
                self.files.ours()
        there = tuple(self.index.messages[uid] for uid in found if uid in self.index.messages)
        return Stored(there, frozenset(message.uid for message in changed), tuple(modified))

    def _spelt(self, flags: frozenset[str]) -> frozenset[str]:
        """Keywords as the folder knows them: case is no difference.  Raises BadName."""
        known = self.index.keywords
        if len(known) >= _MOST_KEYWORDS and any(word.lower() not in known for word in keywords_of(flags)):
            raise BadName(f"the folder has {len(known)} keywords, which is the most")
        return frozenset(known.get(flag.lower(), flag) for flag in flags)

    def _rename(self, uid: int, how: How, flags: frozenset[str]) -> bool:
        """Let the file's name say the flags; false where it is gone."""

        def name(old: str) -> str:
            return with_letters(old, letters_of(_with(self.index.messages[uid].flags, how, flags)))

        return self.files.rename(uid, name)

    def expunge(self, uids: Iterable[int], work: Work) -> tuple[list[int], int]:
        """Remove messages; those that were there, and the octets of their files."""
        gone: list[int] = []
        octets = 0
        try:
            for uid in uids:
                for _ in range(2):
                    place = self.files.place(uid)
                    if uid not in self.index.messages:
                        break
                    size = self.octets(uid)
                    if place is not None and disks.unlink(f"{self.folder}/{place}"):
                        gone.append(uid)
                        octets += size
                        break
                    self.files.scan()
        finally:
            if gone:
                self.forget(gone, work)
        return gone, octets

    def forget(self, uids: Sequence[int], work: Work) -> None:
        """Their files are gone, by our doing."""
        for part in {(self.files.place(uid) or "cur").partition("/")[0] for uid in uids}:
            work.sync_directory(f"{self.folder}/{part}")
        self.files.record([Expunged(self.index.modseq + 1, tuple(sorted(uids)))], soft=True)
        self.files.ours()

    # --- messages that come from elsewhere -----------------------------------------------

    def departure(self, uid: int, moved: set[int] | None) -> Arrival:
        """A copy of a message; or, with ``moved``, the message itself, which that will name."""

        def put(target: str) -> None:
            try:
                go(self.files.path(uid), target)
            except FileNotFoundError:
                self.files.relocate(uid)
                go(self.files.path(uid), target)

        def go(path: str, target: str) -> None:
            if moved is None:
                self._disk.link(path, target, f"{self.folder}/tmp")
            else:
                os.rename(path, target)
                moved.add(uid)

        message = self.index.messages[uid]
        octets = self.octets(uid)
        return Arrival(message.flags, message.date, message.size, octets, put)

    def octets(self, uid: int) -> int:
        """The size of a message's file."""
        stated, _ = stated_sizes(self.index.bases[uid])
        if stated is not None:
            return stated
        with suppress(FileNotFoundError):
            return os.lstat(self.files.path(uid)).st_size
        return self.index.messages[uid].size

    def receive(self, arrivals: Sequence[Arrival], work: Work, *, each: bool = False) -> list[int | None]:
        """Take messages in; their UIDs, None for one whose file has vanished meanwhile.

        All of them, or an error and none; with ``each``, an error leaves those before it here.
        """
        modseq = self.index.modseq + 1
        added: list[Record] = []
        names: list[tuple[int, str]] = []
        for uid, arrival in enumerate(arrivals, self.index.uidnext):
            flags = self._spelt(arrival.flags)
            base = sized(self._disk.unique(), arrival.octets, arrival.size)
            added.append(Added(Message(uid, modseq, arrival.date, arrival.size, flags), base))
            names.append((uid, with_letters(base, letters_of(flags))))
        self.files.record(added)
        here: set[int] = set()
        try:
            for (uid, name), arrival in zip(names, arrivals, strict=True):
                with suppress(FileNotFoundError):
                    arrival.put(f"{self.folder}/cur/{name}")
                    here.add(uid)
                    self.files.put(uid, f"cur/{name}")
        except BaseException:
            if not each:
                for uid in here:
                    disks.unlink(self.files.path(uid))
                here.clear()
            raise
        finally:
            if lost := [uid for uid, _ in names if uid not in here]:
                self.files.record([Expunged(self.index.modseq, tuple(lost))], soft=True)
            self.files.ours()
        work.sync_directory(f"{self.folder}/cur")
        return [uid if uid in here else None for uid, _ in names]


def _with(flags: frozenset[str], how: How, given: frozenset[str]) -> frozenset[str]:
    match how:
        case How.REPLACE:
            return given
        case How.ADD:
            return flags | given
        case How.REMOVE:
            return flags - given
        case _:
            assert_never(how)
