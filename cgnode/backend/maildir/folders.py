"""The folders of an account, Maildir++: which there are, their making, removal and renaming, and
the subscriptions.  Called with the account held.

Renaming a folder renames those below it, one by one; a note of it, ``cgnode-renaming``, stands
while that lasts, and who comes after a crash goes on by it.  A folder is removed by renaming
it to something that is no folder; what a crash leaves of that is swept up later.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final

from attrs import define

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir import uidlist
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.names import disk_name, folder_name, from_disk_name
from cgnode.backend.maildir.tracking import make_parts
from cgnode.backend.maildir.uidlist import UidList
from cgnode.backend.store import (
    DELIMITER,
    INBOX,
    SPECIAL_USE,
    Folder,
    FolderExists,
    NoSuchFolder,
    NotForInbox,
)

_MARK: Final = "maildirfolder"
_RENAMING: Final = "cgnode-renaming"
_REMOVED: Final = "cgnode-removed."
_UIDVALIDITY: Final = "cgnode-uidvalidity"
_SUBSCRIPTIONS: Final = "subscriptions"
# Dovecot's second form: levels with TABs between them.  In the first, a line is a name on the disk.
_SUBSCRIPTIONS_HEAD: Final = b"V\t2\n\n"
_MAX_UIDVALIDITY: Final = (1 << 32) - 1


@define
class FolderTree:
    """In the account's Maildir ``path``."""

    path: str
    _disk: Disk

    # --- which there are -----------------------------------------------------------------

    def place(self, folder: str) -> str:
        """Where a folder is.  Raises NoSuchFolder, BadName."""
        self.recover()
        name = disk_name(folder)
        if not name:
            return self.path
        if not disks.is_directory(f"{self.path}/{name}"):
            raise NoSuchFolder(folder)
        return f"{self.path}/{name}"

    def names(self) -> list[str]:
        """All but INBOX."""
        self.recover()
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                name = from_disk_name(entry.name)
                if name is not None and entry.is_dir(follow_symlinks=False):
                    found.append(name)
        return sorted(found)

    def places(self) -> Iterator[str]:
        """All folders', INBOX included, those too whose names nobody can say."""
        yield self.path
        with os.scandir(self.path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                inside = (f"{entry.path}/{part}" for part in ("cur", "new"))
                if entry.name[0] == "." and all(map(disks.is_directory, (entry.path, *inside))):
                    yield entry.path

    def folders(self) -> list[Folder]:
        there = {INBOX, *self.names()}
        subscribed = set(self.subscriptions())
        above = {level for name in there for level in _above(name)}
        return [
            Folder(name, name in there, name in subscribed, SPECIAL_USE.get(name))
            for name in sorted(there | subscribed | above, key=lambda name: (name != INBOX, name))
        ]

    # --- changing them -------------------------------------------------------------------

    def create(self, folder: str) -> None:
        """With what is above it."""
        self.recover()
        name = disk_name(folder)
        if not name or disks.is_directory(f"{self.path}/{name}"):
            raise FolderExists(folder)
        for level in (*_above(folder), folder):
            if level.upper() != INBOX and not disks.is_directory(f"{self.path}/{disk_name(level)}"):
                self._make(disk_name(level))

    def _make(self, name: str) -> None:
        """Whole, or not at all: made aside and renamed."""
        aside = f"{self.path}/tmp/{self._disk.unique()}"
        self._furnish(aside)
        self._disk.sync_directory(aside)
        os.rename(aside, f"{self.path}/{name}")
        self._disk.sync_directory(self.path)

    def _furnish(self, folder: str) -> None:
        """Its list is made when somebody looks."""
        self._disk.make_directory(folder)
        make_parts(folder, self._disk)
        os.close(self._disk.create(f"{folder}/{_MARK}"))

    def delete(self, folder: str) -> None:
        place = self.place(folder)
        if place == self.path:
            raise NotForInbox("INBOX is not to be deleted")
        os.rename(place, f"{self.path}/{_REMOVED}{self._disk.unique()}")
        self._disk.sync_directory(self.path)
        self.sweep()

    def rename(self, folder: str, new: str) -> list[str]:
        """Not for INBOX; the folders that have moved, by their old names."""
        old, name = disk_name(folder), disk_name(new)
        if not name or f"{name}.".startswith(f"{old}."):
            raise NotForInbox(f"{folder} can't become {new}")
        there = self.names()
        moved = [known for known in there if known == folder or known.startswith(folder + DELIMITER)]
        if not moved:
            raise NoSuchFolder(folder)
        taken = [known for known in there if known == new or known.startswith(new + DELIMITER)]
        if clash := set(taken) & {new + known[len(folder) :] for known in moved} | ({new} & set(taken)):
            raise FolderExists(min(clash))
        for known in moved:
            disk_name(new + known[len(folder) :])
        for level in _above(new):
            if level.upper() != INBOX and level not in there:
                self._make(disk_name(level))
        note = "\t".join((old, name)).encode("ascii")
        self._disk.replace(f"{self.path}/{_RENAMING}", note + b"\n", f"{self.path}/tmp")
        self.recover()
        return moved

    def recover(self) -> None:
        """Go on with a renaming that was cut short."""
        note = disks.read_small(f"{self.path}/{_RENAMING}")
        if note is None:
            return
        old, _, new = note.decode("ascii", "replace").rstrip("\n").partition("\t")
        if from_disk_name(old) and from_disk_name(new):
            for name in os.listdir(self.path):
                target = f"{self.path}/{new}{name[len(old) :]}"
                if f"{name}.".startswith(f"{old}.") and not os.path.lexists(target):
                    os.rename(f"{self.path}/{name}", target)
        self._disk.sync_directory(self.path)
        os.unlink(f"{self.path}/{_RENAMING}")
        self._disk.sync_directory(self.path)

    def sweep(self) -> None:
        """Destroy what was removed, and what nobody has gone on with for long."""
        for name in os.listdir(self.path):
            if name.startswith(_REMOVED):
                shutil.rmtree(f"{self.path}/{name}")
        for path in self.leftovers():
            if disks.is_directory(path):
                shutil.rmtree(path)
            else:
                disks.unlink(path)

    def leftovers(self) -> list[str]:
        """What was begun in ``tmp`` and will not be finished."""
        found = (f"{place}/tmp/{name}" for place in self.places() for name in disks.listdir(f"{place}/tmp"))
        now = self._disk.clock()
        return [path for path in found if disks.is_abandoned(path, now)]

    # --- UIDVALIDITY ---------------------------------------------------------------------

    def new_uidvalidity(self) -> int:
        """Never one that a folder of the account had before; durable."""
        path = f"{self.path}/{_UIDVALIDITY}"
        data = disks.read_small(path) or b""
        last = int(data) if data.strip().isdigit() else self._last_uidvalidity()
        new = max(int(self._disk.clock()), last + 1) & _MAX_UIDVALIDITY
        self._disk.replace(path, b"%d\n" % new, f"{self.path}/tmp")
        return new

    def _last_uidvalidity(self) -> int:
        found = [0]
        for place in self.places():
            try:
                found.append(UidList(f"{place}/{uidlist.NAME}", self._disk).uidvalidity)
            except (FileNotFoundError, uidlist.Damaged):
                continue
        return max(found)

    # --- subscriptions -------------------------------------------------------------------

    def subscriptions(self) -> list[str]:
        """Names, whether there are such folders or not; what nobody can say is left out."""
        data = disks.read_small(f"{self.path}/{_SUBSCRIPTIONS}") or b""
        if data.startswith(_SUBSCRIPTIONS_HEAD):
            lines = data[len(_SUBSCRIPTIONS_HEAD) :].replace(b"\t", b".")
        else:
            lines = data
        found = []
        for line in lines.decode("ascii", "replace").splitlines():
            name = INBOX if line.upper() == INBOX else from_disk_name(f".{line}")
            if name is not None:
                found.append(name)
        return found

    def subscribe(self, folder: str) -> None:
        self._write_subscriptions({*self.subscriptions(), folder_name(folder)})

    def unsubscribe(self, folder: str) -> None:
        self._write_subscriptions({*self.subscriptions()} - {folder_name(folder)})

    def begin(self) -> None:
        """Make what an account begins with, in a Maildir that nobody knows yet."""
        self._disk.make_directory(self.path)
        make_parts(self.path, self._disk)
        for name in SPECIAL_USE:
            self._furnish(f"{self.path}/{disk_name(name)}")
        self._write_subscriptions({INBOX, *SPECIAL_USE})
        for place in self.places():
            self._disk.sync_directory(place)

    def _write_subscriptions(self, names: set[str]) -> None:
        found = sorted((disk_name(name) or f".{INBOX}")[1:].replace(".", "\t") for name in names)
        data = _SUBSCRIPTIONS_HEAD + "".join(f"{name}\n" for name in found).encode("ascii")
        self._disk.replace(f"{self.path}/{_SUBSCRIPTIONS}", data, f"{self.path}/tmp")


def _above(name: str) -> list[str]:
    parts = name.split(DELIMITER)
    return [DELIMITER.join(parts[:count]) for count in range(1, len(parts))]
