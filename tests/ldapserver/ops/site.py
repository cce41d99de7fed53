"""What the tests of the operations work with: a small site, and short ways to ask of it.

::

    o=example
      cn=example.com              a domain
        uid=alice                 an account of host be1, with a password
        uid=bob                   an account of host be2
      cn=staff                    a group of names
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from ldapserver.core import Core, Settings
from ldapserver.identity import Identity
from ldapserver.messages import (
    AddRequest,
    Attribute,
    Change,
    Control,
    DeleteRequest,
    Entry,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Result,
)
from ldapserver.names import find, key_of
from ldapserver.ops.add import add
from ldapserver.ops.delete import delete
from ldapserver.ops.modify import modify
from ldapserver.ops.modify_dn import modify_dn
from ldapserver.projection import Projection
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire.client import decode_entry
from ldapserver.wire.encode import entry_tail
from storage.changes import Change as Logged
from storage.snapshot import Snapshot
from storage.store import Store
from storage.txn import WriteTransaction

T = TypeVar("T")

ADMINISTRATOR_PASSWORD = b"{CLEARTEXT}top secret"
START = 1_700_000_000_000_000
BASE = "o=example"
DOMAIN = "cn=example.com,o=example"
ALICE = "uid=alice,cn=example.com,o=example"
BOB = "uid=bob,cn=example.com,o=example"
STAFF = "cn=staff,o=example"
ALICE_PASSWORD = b"wonderland"
ALICE_SSHA = b"{SSHA}9AoFZ2cd2mP+bzf4x+Lz9nQl1O4xMlJAQGWtzxs="

Given = dict[str, str | bytes | list[str] | list[bytes]]


class Clock:
    """Microseconds since 1970, one second more at each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now


def attributes(given: Given) -> tuple[Attribute, ...]:
    found = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        found.append(Attribute(name, tuple(v.encode() if isinstance(v, str) else v for v in values)))
    return tuple(found)


def account(name: str, **more: str | list[str]) -> Given:
    return {
        "objectClass": ["top", "person", "organizationalPerson", "inetOrgPerson", "CommuniGateAccount"],
        "uid": name,
        "cn": f"{name.title()} Example",
        "sn": "Example",
        "mail": f"{name}@example.com",
        **more,
    }


def change(op: ModifyOp, name: str, *values: str | bytes) -> Change:
    return Change(op, name, tuple(v.encode() if isinstance(v, str) else v for v in values))


def adding(name: str, *values: str | bytes) -> Change:
    return change(ModifyOp.ADD, name, *values)


def deleting(name: str, *values: str | bytes) -> Change:
    return change(ModifyOp.DELETE, name, *values)


def replacing(name: str, *values: str | bytes) -> Change:
    return change(ModifyOp.REPLACE, name, *values)


def incrementing(name: str, *values: str | bytes) -> Change:
    return change(ModifyOp.INCREMENT, name, *values)


class Site:
    """Writes take a transaction each, as the administrator unless told otherwise."""

    def __init__(self, core: Core, clock: Clock) -> None:
        self.core = core
        self.clock = clock
        self.administrator = core.administrator

    def fill(self) -> None:
        self.add(BASE, {"objectClass": ["top", "organization"], "o": "example"})
        self.add(DOMAIN, {"objectClass": "CommuniGateDomain", "cn": "example.com"})
        alice: Given = {**account("alice", hostServer="be1"), "userPassword": [ALICE_SSHA]}
        self.add(ALICE, alice)
        self.add(BOB, account("bob", hostServer="be2", description="first of all"))
        self.add(STAFF, {"objectClass": "groupOfNames", "cn": "staff", "member": [ALICE, BOB]})

    # --- identities -----------------------------------------------------------------

    def identity(self, dn: str) -> Identity:
        return Identity(dn, key_of(dn, self.core.schema))

    @property
    def alice(self) -> Identity:
        return self.identity(ALICE)

    # --- writes ---------------------------------------------------------------------

    def write(self, function: Callable[[WriteTransaction], T]) -> T:
        """In a transaction of its own; a refusal has written nothing."""
        with self.core.store.write() as txn:
            writes = txn.writes
            try:
                return function(txn)
            except LDAPError:
                assert txn.writes == writes, "written before it was refused"
                raise

    def add(self, dn: str, given: Given, *controls: Control, identity: Identity | None = None) -> Result:
        request = AddRequest(dn, attributes(given))
        return self.write(lambda txn: add(self.core, txn, identity or self.administrator, request, controls))

    def delete(self, dn: str, *controls: Control, identity: Identity | None = None) -> Result:
        request = DeleteRequest(dn)
        return self.write(
            lambda txn: delete(self.core, txn, identity or self.administrator, request, controls)
        )

    def modify(
        self,
        dn: str,
        *changes: Change,
        controls: tuple[Control, ...] = (),
        identity: Identity | None = None,
    ) -> Result:
        request = ModifyRequest(dn, changes)
        return self.write(
            lambda txn: modify(self.core, txn, identity or self.administrator, request, controls)
        )

    def rename(
        self,
        dn: str,
        rdn: str,
        superior: str | None = None,
        *controls: Control,
        delete_old: bool = True,
        identity: Identity | None = None,
    ) -> Result:
        request = ModifyDNRequest(dn, rdn, delete_old, superior)
        return self.write(
            lambda txn: modify_dn(self.core, txn, identity or self.administrator, request, controls)
        )

    # --- reads ----------------------------------------------------------------------

    def read(self, dn: str, *wanted: str) -> Entry:
        """An entry as the administrator's search would have it."""
        with self.core.store.snapshot() as snapshot:
            return self.read_in(snapshot, dn, *wanted)

    def read_in(self, snapshot: Snapshot, dn: str, *wanted: str) -> Entry:
        core = self.core
        entry = find(snapshot, key_of(dn, core.schema))
        data = snapshot.entry(entry) if entry is not None else None
        assert entry is not None, f"no entry {dn}"
        assert data is not None
        names = core.state_in(snapshot).names
        projection = Projection(core.catalogue, core.everything, wanted, False)
        return decode_entry(
            entry_tail(names.dn(snapshot, data), projection.cut(names, snapshot, entry, data))
        )

    def values(self, dn: str, name: str) -> list[str]:
        """The values of one attribute description, exactly."""
        for attribute in self.read(dn, "*", "+").attributes:
            if attribute.type == name:
                return [value.decode() for value in attribute.values]
        return []

    def there(self, dn: str) -> bool:
        with self.core.store.snapshot() as snapshot:
            return find(snapshot, key_of(dn, self.core.schema)) is not None

    def log(self) -> list[Logged]:
        with self.core.store.snapshot() as snapshot:
            return list(snapshot.changes())


def open_site(path: Path, clock: Clock) -> Site:
    store = Store.open(path, sync=False, map_size=1 << 26, clock=clock)
    return Site(Core(store, Settings(administrator_password=ADMINISTRATOR_PASSWORD)), clock)


@contextmanager
def refused(code: ResultCode, matched_dn: str = "") -> Iterator[None]:
    """The block raises LDAPError with this code and matched DN."""
    with pytest.raises(LDAPError) as caught:
        yield
    assert (caught.value.code, caught.value.matched_dn) == (code, matched_dn), str(caught.value)
