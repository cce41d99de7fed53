"""A folder's list and its files, brought together.

The files are the truth, and ``refresh`` makes the list say what they say: files that are new
get UIDs, in the order of their age; files that are gone are expunged; names with other letters
are changes of flags.  Everything here is called with the account held (``guard``), unless it
says otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from attrs import evolve

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir import scan, uidlist
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.names import base_of, info_of, keywords_of, letters_of, system_flags
from cgnode.backend.maildir.scan import Stranger
from cgnode.backend.maildir.uidlist import Added, Changed, Damaged, Expunged, Record, UidList
from cgnode.backend.store import Gone, Message

PARTS: Final = ("cur", "new", "tmp")
# A file system's clock may stand still for this long: what happens after a look may leave the
# folder's date as it was.
_COARSE: Final = 1.0
# After a change of ours somebody else's may hide behind it; then it is found this much later.
_HIDDEN: Final = 10.0
_NEVER: Final = float("inf")
_AGE: Final = re.compile(r"([0-9]{1,15})(?:\.M([0-9]{1,9}))?", re.ASCII)
_LONGEST_BASE: Final = 220
_NOT_SALVAGED: Final = (1 << 32, frozenset[str]())


def make_parts(folder: str, disk: Disk) -> None:
    """What a folder has inside, where it has not; Maildir++ marks all but INBOX."""
    for part in PARTS:
        if not disks.is_directory(f"{folder}/{part}"):
            disk.make_directory(f"{folder}/{part}")


class TrackedFolder:
    def __init__(self, folder: str, disk: Disk, new_uidvalidity: Callable[[], int]) -> None:
        """Raises FileNotFoundError where there is no folder.  Makes the list where there is none."""
        self.folder = folder
        self.gone = False
        self._disk = disk
        self._places: dict[int, str] = {}
        self._in_new: set[int] = set()
        self._signature = (-1, -1)
        self._recheck = 0.0
        self._touched = False
        self._salvaged: dict[str, tuple[int, frozenset[str]]] = {}
        make_parts(folder, disk)
        self.index = self._open_list(new_uidvalidity)

    def _open_list(self, new_uidvalidity: Callable[[], int]) -> UidList:
        path = f"{self.folder}/{uidlist.NAME}"
        with suppress(FileNotFoundError):
            try:
                return UidList(path, self._disk)
            except Damaged:
                self._salvaged = uidlist.salvage(path)
                os.replace(path, f"{path}.damaged")
        return UidList.create(self.folder, self._disk, new_uidvalidity())

    # --- looking -------------------------------------------------------------------------

    def refresh(self, *, thorough: bool = False) -> None:
        """Raises Gone."""
        with self._there():
            others = self._refresh_index()
            found = scan.signature(self.folder)
            if thorough or others or self._disk.clock() >= self._recheck:
                self._scan()
            elif self._touched or found != self._signature:
                self._scan(new_only=found[1] == self._signature[1])

    @contextmanager
    def _there(self) -> Iterator[None]:
        """Raises Gone where the folder or its list has gone."""
        try:
            if self.gone:
                raise FileNotFoundError(self.folder)
            yield
        except (FileNotFoundError, NotADirectoryError, Damaged) as error:
            self.gone = True
            raise Gone(f"the folder has been removed or built anew: {error}") from error

    def is_stale(self) -> bool:
        """Whether ``refresh`` would have to look; needs no guard, and may be wrong for moments."""
        try:
            return (
                self.gone
                or self._touched
                or scan.signature(self.folder) != self._signature
                or self._disk.clock() >= self._recheck
                or self.index.is_stale()
            )
        except OSError:
            return True

    def touch(self) -> None:
        """A file has come into ``new``, whatever the folder's date says."""
        self._touched = True

    def ours(self) -> None:
        """What has just happened to the files was our doing, as far as can be seen."""
        with self._there():
            self._signature = scan.signature(self.folder)
            self._recheck = min(self._recheck, self._disk.clock() + _HIDDEN)

    def scan(self) -> None:
        """Something is not where it was.  Raises Gone."""
        with self._there():
            self._refresh_index()
            self._scan()

    def _refresh_index(self) -> bool:
        """What other processes have written comes before what is found: they have found it already."""
        others = self.index.refresh()
        if others:
            self._lose(self._places.keys() - self.index.messages.keys())
        return others

    def _scan(self, *, new_only: bool = False) -> None:
        """``new_only`` is for when nothing has happened in ``cur``, which may be long."""
        now = self._disk.clock()
        self._touched = False
        self._signature = scan.signature(self.folder)
        recheck = now + _COARSE if now - max(self._signature) / 1e9 < _COARSE else _NEVER
        self._recheck = min(self._recheck, recheck) if new_only else recheck
        found, twins = scan.listing(self.folder, cur=not new_only)
        if new_only:
            if all(self.index.bases[uid] in found for uid in self._in_new):
                strangers = found.keys() - self.index.uids.keys()
                self._follow({base: found[base] for base in strangers}, expunge=False)
                return
            found, twins = scan.listing(self.folder)
        if twins or not self.index.uids.keys() <= found.keys():
            # A name that is changed while a folder is read may be read twice, or not at all.
            again, twins = scan.listing(self.folder)
            found |= again
            for place in twins:
                self._part_from_twin(place, found)
        self._follow(found, expunge=True)

    def _part_from_twin(self, place: str, found: dict[str, str]) -> None:
        """Of two files with one base name, one gets another, unless they are one file."""
        base = base_of(place.partition("/")[2])
        if place == self._places.get(self.index.uids.get(base, 0)):
            place, found[base] = found[base], place
        path, other = f"{self.folder}/{place}", f"{self.folder}/{found[base]}"
        with suppress(FileNotFoundError):
            if path == other:
                return
            if os.path.samefile(path, other):
                disks.unlink(path)
                return
            new, name = self._renamed(place)
            found[new] = name

    def _renamed(self, place: str) -> tuple[str, str]:
        """Give a file that nobody knows yet another base name; that, and where it is now."""
        base = self._disk.unique()
        name = f"{place.partition('/')[0]}/{base}:2,{info_of(place)}"
        os.rename(f"{self.folder}/{place}", f"{self.folder}/{name}")
        return base, name

    # --- what follows from what was found ------------------------------------------------

    def _follow(self, found: dict[str, str], *, expunge: bool) -> None:
        messages, uids, places = self.index.messages, self.index.uids, self._places
        strangers: list[tuple[str, str]] = []
        records: list[Record] = []
        modseq = self.index.modseq + 1
        for base, place in found.items():
            uid = uids.get(base)
            if uid is None:
                strangers.append((base, place))
            elif places.get(uid) != place:
                self.put(uid, place)
                flags = messages[uid].flags
                system = system_flags(info_of(place))
                if letters_of(flags) != letters_of(system):
                    now = system.union(keywords_of(flags))
                    records.append(Changed(evolve(messages[uid], modseq=modseq, flags=now)))
        if expunge and (gone := tuple(uid for base, uid in uids.items() if base not in found)):
            records.append(Expunged(modseq, gone))
        if records:
            self.record(records, soft=True)
        if strangers:
            self._welcome(strangers, modseq)

    def _welcome(self, strangers: list[tuple[str, str]], modseq: int) -> None:
        keywords = scan.dovecot_keywords(self.folder)
        for number, (base, place) in enumerate(strangers):
            # No flags would fit behind it.
            if len(os.fsencode(base)) > _LONGEST_BASE:
                with suppress(FileNotFoundError):
                    strangers[number] = self._renamed(place)
        met = (scan.meet(self.folder, base, place, keywords) for base, place in strangers)
        found = sorted(filter(None, met), key=self._order)
        if not found:
            return
        first = self.index.uidnext
        records: list[Record] = [
            Added(Message(uid, modseq, stranger.date, stranger.size, self._flags(stranger)), stranger.base)
            for uid, stranger in enumerate(found, first)
        ]
        try:
            self.record(records)
        except OSError as error:
            if not disks.is_full(error):
                raise
            # They stay in the dark, without UIDs; the rest is as usable as before.
            self._recheck = self._disk.clock() + _COARSE
            return
        for uid, stranger in enumerate(found, first):
            self.put(uid, stranger.place)

    def _order(self, stranger: Stranger) -> tuple[int, int, int, str]:
        """As they were in a list that was lost; else by age, which most names tell."""
        match = _AGE.match(stranger.base)
        seconds, micro = match.groups() if match else (stranger.date, None)
        before, _ = self._salvaged.get(stranger.base, _NOT_SALVAGED)
        return before, int(seconds or 0), int(micro or 0), stranger.base

    def _flags(self, stranger: Stranger) -> frozenset[str]:
        return stranger.flags | self._salvaged.get(stranger.base, _NOT_SALVAGED)[1]

    def record(self, records: list[Record], *, soft: bool = False) -> None:
        """Write it in the list, and let it be so."""
        self.index.append(records, soft=soft)
        for record in records:
            if isinstance(record, Expunged):
                self._lose(record.uids)
        self.index.compact()

    # --- where files are -----------------------------------------------------------------

    def put(self, uid: int, place: str) -> None:
        self._places[uid] = place
        if place.startswith("new/"):
            self._in_new.add(uid)
        else:
            self._in_new.discard(uid)

    def _lose(self, uids: Iterable[int]) -> None:
        for uid in uids:
            self._places.pop(uid, None)
            self._in_new.discard(uid)

    def place(self, uid: int) -> str | None:
        """``new/`` or ``cur/`` and the file's name."""
        return self._places.get(uid)

    def path(self, uid: int) -> str:
        """Raises FileNotFoundError where no file was seen."""
        place = self._places.get(uid)
        if place is None:
            raise FileNotFoundError(f"{self.folder}: no file for UID {uid}")
        return f"{self.folder}/{place}"

    def relocate(self, uid: int) -> None:
        """Another program has given the file other flags since the last scan, or taken it away."""
        found, _ = scan.listing(self.folder)
        place = found.get(self.index.bases[uid])
        if place is not None:
            self.put(uid, place)

    def rename(self, uid: int, name: Callable[[str], str]) -> bool:
        """Give a file the name in ``cur`` that follows from its present one; false where it is gone."""
        for _ in range(2):
            place = self._places.get(uid)
            if place is None:
                break
            new = f"cur/{name(place.partition('/')[2])}"
            if new == place:
                return True
            try:
                os.rename(f"{self.folder}/{place}", f"{self.folder}/{new}")
            except FileNotFoundError:
                self.scan()
                continue
            self.put(uid, new)
            return True
        return False
