"""All storages of a backend, ``store.MailStore``: its own and those it covers for others.

Which accounts are open is known here, so that all sessions of a process share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Self
from weakref import WeakValueDictionary

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.batch import deliver_all
from cgnode.backend.maildir.check import check_account
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.identities import Identities
from cgnode.backend.maildir.names import account_place
from cgnode.backend.maildir.storage import Storage
from cgnode.backend.store import (
    Account,
    AccountExists,
    Incoming,
    MailStoreError,
    NoSuchAccount,
    Problem,
    Removed,
    StorageAway,
)


class MaildirStore:
    """``owner`` is the backend, whose own storage may be away like any other's."""

    def __init__(self, owner: str, disk: Disk) -> None:
        self._disk = disk
        self._lock = Lock()
        self._owner = owner.lower()
        self._storages: dict[str, Storage] = {}
        self._open: WeakValueDictionary[tuple[str, str], MaildirAccount] = WeakValueDictionary()

    @classmethod
    def open(cls, path: Path, owner: str, disk: Disk | None = None) -> Self:
        """With the backend's own storage, which is made where there is none.

        Raises StorageUnusable, StorageFull, StorageFailed.
        """
        store = cls(owner, disk or Disk())
        store.make(path)
        return store

    def make(self, path: Path) -> None:
        """Make the backend's own storage, where there is none, and attach it.  Raises as ``open``."""
        self._attach(Storage.make(path, self._owner, self._disk))

    # --- storages ------------------------------------------------------------------------

    @property
    def homes(self) -> tuple[str, ...]:
        return tuple(self._storages)

    def path(self, home: str) -> Path:
        """Where a storage is attached."""
        return Path(self._storage(home).path)

    def attach(self, path: Path) -> str:
        """Serve another host's storage too; its owner.  Nothing where it is attached already.

        Raises StorageUnusable, also where another storage of that owner is attached.
        """
        return self._attach(Storage.open(path, self._disk))

    def _attach(self, storage: Storage) -> str:
        with self._lock:
            known = self._storages.get(storage.owner)
            if known is not None and known.path != storage.path:
                raise StorageAway(f"{known.path} is attached as the storage of {storage.owner}")
            found = {**self._storages, storage.owner: storage}
            self._storages = dict(sorted(found.items(), key=lambda item: item[0] != self._owner))
        storage.sweep()
        return storage.owner

    def detach(self, home: str) -> None:
        """Serve it no longer; what sessions have open of it is gone for them."""
        storage = self._storage(home)
        if storage.owner == self._owner:
            raise StorageAway(f"the storage of {home} is this backend's own")
        with self._lock:
            self._storages = {name: one for name, one in self._storages.items() if one is not storage}
        for address in self._of(storage.owner):
            self._close(storage.owner, address)

    def _of(self, home: str) -> list[str]:
        with self._lock:
            return [address for owner, address in list(self._open) if owner == home]

    def _storage(self, home: str) -> Storage:
        storage = self._storages.get(home.lower())
        if storage is None:
            raise StorageAway(f"the storage of {home} is not attached")
        return storage

    def _find(self, address: str, home: str | None) -> Storage | None:
        """The storage that has the account."""
        if home is not None:
            storage = self._storage(home)
            return storage if storage.has(address) else None
        found = [storage for storage in self._storages.values() if storage.has(address)]
        if len(found) > 1:
            owners = ", ".join(storage.owner for storage in found)
            raise StorageAway(f"{address} is in several storages, those of {owners}: say which")
        return found[0] if found else None

    def _found(self, address: str, home: str | None) -> Storage:
        storage = self._find(address, home)
        if storage is None:
            raise NoSuchAccount(address)
        return storage

    # --- accounts ------------------------------------------------------------------------

    def account(self, address: str, *, home: str | None = None, create: bool = False) -> MaildirAccount:
        address = _canonical(address)
        storage = self._find(address, home)
        if storage is None:
            if not create:
                raise NoSuchAccount(address)
            storage = self._storage(home or self._owner)
            storage.create(address)
        key = storage.owner, address
        with self._lock:
            account = self._open.get(key)
            if account is None or account.guard.gone:
                account = MaildirAccount(address, storage.owner, storage.maildir(address), self._disk)
                self._open[key] = account
            return account

    def deliver_all(self, deliveries: Sequence[tuple[Account, Incoming]]) -> list[MailStoreError | None]:
        return deliver_all(deliveries, self._disk)

    def _close(self, home: str, address: str) -> None:
        """Whoever has the account open finds it gone, once nobody is at work there."""
        with self._lock:
            account = self._open.pop((home, address), None)
        if account is not None:
            account.leave()

    def accounts(self, home: str | None = None) -> Iterator[str]:
        for storage in self._storages.values() if home is None else [self._storage(home)]:
            yield from storage.accounts()

    def rename(self, address: str, new: str, *, home: str | None = None) -> None:
        address, new = _canonical(address), _canonical(new)
        storage = self._found(address, home)
        if any(one.has(new) for one in self._storages.values()):
            raise AccountExists(new)
        storage.rename(address, new)
        self._close(storage.owner, address)

    def remove(self, address: str, *, home: str | None = None) -> Removed:
        address = _canonical(address)
        storage = self._found(address, home)
        removed = storage.remove(address)
        self._close(storage.owner, address)
        return removed

    def removed(self) -> list[Removed]:
        return [removed for storage in self._storages.values() for removed in storage.removed()]

    def put_back(self, removed: Removed) -> None:
        self._storage(removed.home).put_back(removed)

    def purge(self, removed: Removed) -> None:
        self._storage(removed.home).purge(removed)

    # --- whose they are ------------------------------------------------------------------

    def identity(self, address: str, *, home: str) -> str:
        return Identities(self._storage(home)).get(_canonical(address))

    def identify(self, address: str, identity: str, *, home: str) -> None:
        Identities(self._storage(home)).put(_canonical(address), identity)

    def find(self, identity: str, *, home: str) -> str | None:
        return Identities(self._storage(home)).find(identity)

    def has(self, address: str, *, home: str) -> bool:
        return self._storage(home).has(address)

    # --- upkeep --------------------------------------------------------------------------

    def disk_usage(self, address: str, *, home: str | None = None) -> int:
        return self._found(address, home).disk_usage(address)

    def check(self, address: str, *, home: str | None = None, repair: bool = False) -> list[Problem]:
        account = self.account(address, home=home)
        return check_account(account, self._disk, repair=repair)


def _canonical(address: str) -> str:
    domain, local = account_place(address)
    return f"{local}@{domain}"
