"""A storage: the folder that holds accounts and can be carried to another host.

``cgnode-storage`` marks it and says its format and its owner, the host that it was made for.
An account comes into being, moves and goes by one rename each.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from calendar import timegm
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.disk import Disk, translated
from cgnode.backend.maildir.folders import FolderTree
from cgnode.backend.maildir.guard import Guard
from cgnode.backend.maildir.names import account_place, is_domain, is_local
from cgnode.backend.store import AccountExists, BadName, Gone, NoSuchAccount, Removed, StorageUnusable

MARKER: Final = "cgnode-storage"
_FORMAT: Final = "cgnode mail storage, format "
_VERSION: Final = "1"
_OWNER: Final = "owner "
MAILDIR: Final = "Maildir"
_REMOVED: Final = ".removed"
_ASIDE: Final = ".new."
_STAMP: Final = re.compile(r"(.+)\.([0-9]{8}T[0-9]{6}Z)(?:\.[0-9]+)?", re.ASCII)


@frozen
class Storage:
    path: str
    owner: str
    disk: Disk

    @classmethod
    def make(cls, path: Path, owner: str, disk: Disk) -> Storage:
        """The storage of ``owner`` in a folder that is empty, is to be made, or is it already.

        Raises StorageUnusable, BadName.
        """
        marker, owner = path / MARKER, owner.lower()
        if not is_domain(owner):
            raise BadName(f"no host can be called {owner!r}")
        with translated():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not marker.exists():
                # What others are beginning aside, or left, is no content.
                if any(not name.startswith(MARKER) for name in os.listdir(path)):
                    raise StorageUnusable(f"{path} holds something else; name an empty folder")
                aside = f"{marker}.{disk.unique()}"
                disk.write_new(aside, f"{_FORMAT}{_VERSION}\n{_OWNER}{owner}\n".encode())
                with suppress(FileExistsError):
                    os.link(aside, marker)
                disks.unlink(aside)
                disk.sync_directory(str(path))
        storage = cls.open(path, disk)
        if storage.owner != owner:
            raise StorageUnusable(
                f"{path} is the storage of {storage.owner}, not of {owner}; attach it as that"
            )
        return storage

    @classmethod
    def open(cls, path: Path, disk: Disk) -> Storage:
        """One that exists.  Raises StorageUnusable."""
        with translated():
            try:
                data = disks.read_small(str(path / MARKER), 1 << 12)
            except NotADirectoryError:
                data = None
        if data is None:
            raise StorageUnusable(f"{path} is not a storage: it has no {MARKER}")
        match data.decode("utf-8", "replace").splitlines():
            case [first, second] if first == _FORMAT + _VERSION and is_domain(second.removeprefix(_OWNER)):
                return cls(os.path.abspath(path), second.removeprefix(_OWNER), disk)
            case [first, *_] if first.startswith(_FORMAT) and first != _FORMAT + _VERSION:
                raise StorageUnusable(f"{path} is of format {first[len(_FORMAT) :]}, not {_VERSION}")
            case _:
                raise StorageUnusable(f"{path / MARKER} is damaged")

    # --- accounts ------------------------------------------------------------------------

    def _folder(self, address: str) -> str:
        domain, local = account_place(address)
        return f"{self.path}/{domain}/{local}"

    def maildir(self, address: str) -> str:
        return f"{self._folder(address)}/{MAILDIR}"

    def has(self, address: str) -> bool:
        with translated():
            return disks.is_directory(self.maildir(address))

    def create(self, address: str) -> None:
        """Nothing where it exists; else all of it at once."""
        folder = self._folder(address)
        domain = os.path.dirname(folder)
        aside = f"{domain}/{_ASIDE}{self.disk.unique()}"
        with translated():
            self._make_domain(domain)
            os.mkdir(aside, 0o700)
            try:
                FolderTree(f"{aside}/{MAILDIR}", self.disk).begin()
                self.disk.sync_directory(aside)
                if not disks.is_directory(f"{folder}/{MAILDIR}"):
                    os.rename(aside, folder)
            except OSError:
                # Somebody else made it meanwhile: a folder with something in it is not replaced.
                if not disks.is_directory(f"{folder}/{MAILDIR}"):
                    raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            self.disk.sync_directory(domain)

    def _make_domain(self, domain: str) -> None:
        if not os.path.isdir(domain):
            self.disk.make_directory(domain)
            self.disk.sync_directory(self.path)

    def accounts(self) -> Iterator[str]:
        with translated():
            for domain in sorted(filter(is_domain, disks.listdir(self.path))):
                for local in sorted(filter(is_local, disks.listdir(f"{self.path}/{domain}"))):
                    if disks.is_directory(f"{self.path}/{domain}/{local}/{MAILDIR}"):
                        yield f"{local}@{domain}"

    def rename(self, address: str, new: str) -> None:
        """Raises NoSuchAccount, AccountExists."""
        source, target = self._folder(address), self._folder(new)
        with self._held(address):
            self._make_domain(os.path.dirname(target))
            if os.path.lexists(target):
                raise AccountExists(new)
            self._move(source, target)

    @contextmanager
    def _held(self, address: str) -> Iterator[None]:
        with translated():
            try:
                with Guard(self.maildir(address), self.disk).hold():
                    yield
            except Gone:
                raise NoSuchAccount(address) from None

    def _move(self, source: str, target: str) -> None:
        os.rename(source, target)
        self.disk.sync_directory(os.path.dirname(target))
        self.disk.sync_directory(os.path.dirname(source))

    # --- accounts that were set aside ----------------------------------------------------

    def remove(self, address: str) -> Removed:
        domain, local = account_place(address)
        date = int(self.disk.clock())
        with self._held(address):
            shelf = f"{self.path}/{_REMOVED}/{domain}"
            os.makedirs(shelf, mode=0o700, exist_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(date))
            name, count = f"{local}.{stamp}", 0
            while os.path.lexists(f"{shelf}/{name}"):
                count += 1
                name = f"{local}.{stamp}.{count}"
            self._move(self._folder(address), f"{shelf}/{name}")
            self.disk.sync_directory(os.path.dirname(shelf))
            self.disk.sync_directory(self.path)
        return Removed(f"{local}@{domain}", name, date, self.owner)

    def removed(self) -> list[Removed]:
        found = []
        with translated():
            for domain in sorted(filter(is_domain, disks.listdir(f"{self.path}/{_REMOVED}"))):
                for name in sorted(disks.listdir(f"{self.path}/{_REMOVED}/{domain}")):
                    if match := _STAMP.fullmatch(name):
                        local, stamp = match.groups()
                        date = _seconds(stamp)
                        found.append(Removed(f"{local}@{domain}", name, date, self.owner))
        return found

    def _shelf(self, removed: Removed) -> str:
        domain, local = account_place(removed.address)
        match = _STAMP.fullmatch(removed.name)
        path = f"{self.path}/{_REMOVED}/{domain}/{removed.name}"
        if match is None or match.group(1) != local or not disks.is_directory(path):
            raise NoSuchAccount(f"{removed.address} was not set aside as {removed.name}")
        return path

    def put_back(self, removed: Removed) -> None:
        """Raises NoSuchAccount, AccountExists."""
        target = self._folder(removed.address)
        with translated():
            path = self._shelf(removed)
            self._make_domain(os.path.dirname(target))
            if os.path.lexists(target):
                raise AccountExists(removed.address)
            self._move(path, target)

    def purge(self, removed: Removed) -> None:
        with translated():
            shutil.rmtree(self._shelf(removed))

    # --- upkeep --------------------------------------------------------------------------

    def sweep(self) -> None:
        """Destroy what creating an account left behind long ago, when it was cut short."""
        with translated():
            for domain in filter(is_domain, disks.listdir(self.path)):
                for name in disks.listdir(f"{self.path}/{domain}"):
                    path = f"{self.path}/{domain}/{name}"
                    if name.startswith(_ASIDE) and disks.is_abandoned(path, self.disk.clock()):
                        shutil.rmtree(path)

    def disk_usage(self, address: str) -> int:
        """A file with several names within the account counts once."""
        total = 0
        seen: set[int] = set()
        if not self.has(address):
            raise NoSuchAccount(address)
        for folder, _, files in os.walk(self._folder(address)):
            for path in (folder, *(f"{folder}/{name}" for name in files)):
                with suppress(FileNotFoundError):
                    found = os.lstat(path)
                    if found.st_ino not in seen:
                        total += found.st_blocks * 512
                        seen.add(found.st_ino)
        return total


def _seconds(stamp: str) -> int:
    return timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
