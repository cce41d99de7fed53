"""The mailbox of an account, opened for who has found in the directory that it is hosted here.

What lives here: that a mailbox is its account's.  An account is who the directory says by
its entryUUID, which it keeps when it gets another name, and so it keeps its mail; another
account of the same name, made after that one was removed, begins with none.  What must
not: looking for what has changed (``upkeep``).

Everything here blocks, and is called in threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Final
from uuid import UUID

from attrs import frozen

from cgnode.backend.remembered import Remembered
from cgnode.backend.sessions.hosting import Here
from cgnode.backend.store import (
    Account,
    AccountExists,
    MailStore,
    NoSuchAccount,
    Quota,
    Removed,
    StorageAway,
)
from cgnode.following import Following
from cgnode.lookup import StoreLookup
from cgnode.names import Address
from cgnode.router import AccountRecord
from storage import keys, records

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 20
"""Mailboxes of other accounts that are set aside for new ones in a while, without anybody
having a look: a directory that was made anew, with new identities, must not empty a site."""

A_WHILE: Final = 3600.0


@frozen
class Owner:
    """An account in the directory.  ``home`` is the storage that has its mailbox."""

    address: str
    identity: str
    host: str
    home: str


def owner_of(lookup: StoreLookup, address: str) -> Owner | None:
    """The account of this very address."""
    local, _, domain = address.lower().rpartition("@")
    entry = lookup.entry_of(local, domain)
    data = None if entry is None else lookup.snapshot.entry(entry)
    return None if data is None else _owner(lookup, data, lookup.read(data, domain))


def owner_by_identity(lookup: StoreLookup, identity: str) -> Owner | None:
    """The account of this identity, wherever in the directory it is now."""
    core, snapshot = lookup.site.core, lookup.snapshot
    number = core.state(snapshot).indexes.uuid
    for entry in snapshot.few_ids(keys.equality(number, _normalised(lookup, identity))):
        data = snapshot.entry(entry)
        parent = None if data is None else snapshot.entry(records.parent_of(data))
        domain = None if parent is None else lookup.domain_of(parent)
        if data is not None and domain is not None:
            return _owner(lookup, data, lookup.read(data, domain))
    return None


def _owner(lookup: StoreLookup, data: bytes, record: object) -> Owner | None:
    if not isinstance(record, AccountRecord):
        return None
    host = (record.host or "").lower()
    identity = str(UUID(bytes=records.uuid_of(data)))
    return Owner(str(_lower(record.address)), identity, host, (record.old_host or host).lower())


def _lower(address: Address) -> Address:
    return Address(address.local.lower(), address.domain.lower())


def _normalised(lookup: StoreLookup, identity: str) -> bytes:
    kind = lookup.site.core.schema.attribute_type("entryUUID")
    assert kind is not None
    assert kind.equality is not None
    return kind.equality.normalise(identity.encode())


class Mailboxes:
    """``open`` is an ``Opener``."""

    def __init__(
        self, following: Following, store: MailStore, quota: Quota | None, clock: Callable[[], float]
    ) -> None:
        self._following = following
        self._store = store
        self._quota = quota or Quota()
        self._clock = clock
        self._lock = Lock()
        self._replaced: list[float] = []
        self._owners: Remembered[Owner | None] = Remembered()

    def open(self, place: Here) -> Account:
        """Made at its first use.  Raises MailStoreError."""
        address, home, store = str(_lower(place.address)), place.home, self._store
        owner = self._owners.get(self._following.site, address, self._owner)
        if owner is None:
            raise NoSuchAccount(f"{address} has just been removed")
        if store.identity(address, home=home) != owner.identity:
            with self._lock:
                self._settle(owner, home)
        account = store.account(address, home=home, create=True)
        account.quota = self._quota
        return account

    def _owner(self, address: str) -> Owner | None:
        with self._following.site.reading() as lookup:
            return owner_of(lookup, address)

    def _settle(self, owner: Owner, home: str) -> None:
        """See to it that the mailbox of the account's name is its own."""
        store, address = self._store, owner.address
        known = store.identity(address, home=home)
        if known == owner.identity:
            return
        if known:
            self._make_room(address, known, home)
        if not store.has(address, home=home):
            before = store.find(owner.identity, home=home)
            if before is not None:
                store.rename(before, address, home=home)
                log.info("%s is %s now, and so is its mailbox", before, address)
            else:
                store.account(address, home=home, create=True)
        store.identify(address, owner.identity, home=home)

    def _make_room(self, address: str, known: str, home: str) -> None:
        """The mailbox of this name is another account's, which has another name, or is no more."""
        with self._following.site.reading() as lookup:
            other = owner_by_identity(lookup, known)
        if other is not None and other.address != address and self.follow_name(address, other, home):
            return
        self._count_replaced(address)
        removed = self._store.remove(address, home=home)
        log.warning("%s is another account than before, whose mail is set aside: %s", address, removed.name)

    def follow_name(self, before: str, owner: Owner, home: str) -> bool:
        """Give a mailbox the name that its account has now, unless another has that."""
        try:
            self._store.rename(before, owner.address, home=home)
        except AccountExists:
            return False
        self._store.identify(owner.address, owner.identity, home=home)
        log.info("%s is %s now, and so is its mailbox", before, owner.address)
        return True

    def _count_replaced(self, address: str) -> None:
        now = self._clock()
        self._replaced = [each for each in self._replaced if now - each < A_WHILE]
        if len(self._replaced) >= MOST_AT_ONCE:
            raise StorageAway(
                f"the mailbox of {address} is of an account with another entryUUID, as too many were of"
                " late: was the directory made anew? Confirm with 'cgctl mailbox adopt'"
            )
        self._replaced.append(now)

    # --- for operators ----------------------------------------------------------------------

    def put_back(self, removed: Removed) -> None:
        """A mailbox that was set aside is that of the account which has its name now; what came for it
        meanwhile must be nothing.  Raises NoSuchAccount, AccountExists."""
        address, home, store = removed.address, removed.home, self._store
        owner = self._owners.get(self._following.site, address, self._owner)
        if owner is None:
            raise NoSuchAccount(f"there is no account {address}; add it before its mailbox is put back")
        with self._lock:
            if store.has(address, home=home):
                count = store.account(address, home=home).usage(recount=True).messages
                if count:
                    raise AccountExists(f"{address} has a mailbox by now, with mail in it: {count}")
                store.remove(address, home=home)
            store.put_back(removed)
            store.identify(address, owner.identity, home=home)

    def adopt(self) -> int:
        """Take every mailbox here for that of the account that has its name now; how many were not."""
        count = 0
        for home in self._store.homes:
            for address in list(self._store.accounts(home)):
                with self._following.site.reading() as lookup:
                    owner = owner_of(lookup, address)
                if owner is not None and self._store.identity(address, home=home) != owner.identity:
                    self._store.identify(address, owner.identity, home=home)
                    count += 1
        return count
