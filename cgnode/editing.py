"""Changing the records of a site, each change in one transaction of the store.

What lives here: the transaction and the steps that changes are made of, and the
references that follow when something gets another name.  What the changes are stands in
``domains``, ``accounts`` and ``servers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from cgnode.lookup import FORWARDER, GROUP, Site, StoreLookup
from cgnode.names import Address, BadName, parse_address
from cgnode.router import DomainAlias, DomainRecord
from ldapserver.aliases import Aliases
from ldapserver.dn import DN, Key, key_is_within, parse_dn
from ldapserver.local import run_write
from ldapserver.matching import subclass_names
from ldapserver.messages import (
    AddRequest,
    Attribute,
    Change,
    DeleteRequest,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    WriteRequest,
)
from ldapserver.names import Names, key_of
from ldapserver.results import LDAPError
from storage import keys
from storage.keys import EntryId
from storage.txn import WriteTransaction

# The longest way over domain aliases.
_ALIASES: Final = 20


class Refused(Exception):
    """Why a change can't be made: one line for the operator."""


@contextmanager
def editing(site: Site) -> Iterator[Edit]:
    """All that is done in the scope, or nothing where it is left by an exception."""
    with site.core.store.write() as txn:
        yield Edit(site, txn)


def canonical_domain(lookup: StoreLookup, name: str) -> str:
    """The domain of a name, which may be an alias of it; raises Refused."""
    found, start = lookup.domain(name), name
    for _ in range(_ALIASES):
        if not isinstance(found, DomainAlias) or found.target is None:
            break
        name = found.target
        found = lookup.domain(name)
    if not isinstance(found, DomainRecord):
        raise Refused(f"there is no domain {start}; cgctl domain add {start} makes it")
    return name


Values: TypeAlias = Mapping[str, str | bytes | Sequence[str]]


class Edit:
    """A write transaction, as the administrator."""

    def __init__(self, site: Site, txn: WriteTransaction) -> None:
        self.site = site
        self.txn = txn
        self.core = site.core
        self.lookup = StoreLookup(site, txn, Names(txn.tree_number()))
        if not self.lookup.has_base():
            raise Refused(f"there is no entry {site.base}; add it first, or name another --base")

    # --- steps ----------------------------------------------------------------------

    def add(self, dn: str, values: Values) -> None:
        """Empty values are left out."""
        given = [(name, _octets(value)) for name, value in values.items()]
        self._write(AddRequest(dn, tuple(Attribute(name, found) for name, found in given if found)))

    def replace(self, dn: str, values: Values) -> None:
        changes = (Change(ModifyOp.REPLACE, name, _octets(value)) for name, value in values.items())
        self._write(ModifyRequest(dn, tuple(changes)))

    def delete(self, dn: str) -> None:
        self._write(DeleteRequest(dn))

    def rename(self, dn: str, new_dn: str) -> None:
        """To another name, and another place where the new DN's parent is another."""
        old, new = parse_dn(dn), parse_dn(new_dn)
        moved = key_of(str(old.parent), self.core.schema) != key_of(str(new.parent), self.core.schema)
        superior = str(new.parent) if moved else None
        self._write(ModifyDNRequest(dn, str(DN(new.rdns[:1])), True, superior))

    def _write(self, request: WriteRequest) -> None:
        run_write(self.core, self.txn, self.core.administrator, request, ())

    # --- finding --------------------------------------------------------------------

    def data(self, entry: EntryId) -> bytes:
        found = self.txn.entry(entry)
        assert found is not None
        return found

    def domain(self, name: str) -> str:
        """The domain of a name, which may be an alias of it; raises Refused."""
        return canonical_domain(self.lookup, name)

    def canonical(self, address: Address) -> Address:
        """In its domain's own name; raises Refused where that is none of ours."""
        return Address(address.local.lower(), self.domain(address.domain))

    def check_free(self, address: Address) -> None:
        if self.lookup.entry_of(address.local, address.domain) is not None:
            raise Refused(f"{address} is there already")

    def entries_of_class(self, name: str) -> list[EntryId]:
        """By the index of objectClass, which every store has."""
        number = self.core.catalogue.number_of_type("objectClass")
        rule = self.core.schema.description("objectClass").type.equality
        assert rule is not None
        names = subclass_names(self.core.schema, name.encode()) or frozenset()
        terms = {keys.equality(number, rule.normalise(each)) for each in names}
        return sorted({entry for term in terms for entry in self.txn.ids(term)})

    def aliases(self) -> Aliases:
        return Aliases(self.core, self.txn, Names(self.txn.tree_number()))

    # --- references -----------------------------------------------------------------

    def retarget_aliases(self, entries: Sequence[EntryId], old: Key, new: DN) -> int:
        """Let aliases that name ``old``, or what is below it, name it by its new DN."""
        count = 0
        for entry in entries:
            data = self.data(entry)
            for target in self.lookup.texts(data, "aliasedObjectName"):
                moved = self._moved(target, old, new)
                if moved is not None:
                    self.replace(self.lookup.dn(data), {"aliasedObjectName": moved})
                    count += 1
        return count

    def change_addresses(self, change: Callable[[Address], Address | None], old: Key, new: DN | None) -> int:
        """Apply ``change`` to what groups and forwarders name, an address or (below ``old``)
        a DN; None takes a member out.  Forwarders keep what would become nothing.

        Returns the number of entries that are different now.
        """
        count = 0
        for entry in self.entries_of_class(GROUP):
            data = self.data(entry)
            values = {"memberAddress": self._changed_addresses(data, "memberAddress", change)}
            for name in ("member", "uniqueMember"):
                values[name] = self._changed_dns(data, name, old, new)
            count += self._replace_changed(data, values)
        for entry in self.entries_of_class(FORWARDER):
            data = self.data(entry)
            found = self._changed_addresses(data, "forwardAddress", change)
            count += self._replace_changed(data, {"forwardAddress": found}) if found else 0
        return count

    def _replace_changed(self, data: bytes, values: Mapping[str, list[str]]) -> int:
        changed = {name: new for name, new in values.items() if new != self.lookup.texts(data, name)}
        if changed:
            self.replace(self.lookup.dn(data), changed)
        return bool(changed)

    def _changed_addresses(
        self, data: bytes, name: str, change: Callable[[Address], Address | None]
    ) -> list[str]:
        found: dict[str, None] = {}
        for text in self.lookup.texts(data, name):
            try:
                address = parse_address(text)
            except BadName:
                found[text] = None
                continue
            new = change(address)
            if new is not None:
                found[text if new == address else str(new)] = None
        return list(found)

    def _changed_dns(self, data: bytes, name: str, old: Key, new: DN | None) -> list[str]:
        found = []
        for text in self.lookup.texts(data, name):
            if new is not None:
                found.append(self._moved(text, old, new) or text)
            elif not self._is_within(text, old):
                found.append(text)
        return found

    def _moved(self, text: str, old: Key, new: DN) -> str | None:
        """A DN with its end ``old`` exchanged; None where that is not its end."""
        if not self._is_within(text, old):
            return None
        rdns = parse_dn(text).rdns
        return str(DN(rdns[: len(rdns) - len(old)] + new.rdns))

    def _is_within(self, text: str, base: Key) -> bool:
        try:
            return key_is_within(key_of(text, self.core.schema), base)
        except LDAPError:
            return False


def _octets(value: str | bytes | Sequence[str]) -> tuple[bytes, ...]:
    match value:
        case bytes():
            return (value,) if value else ()
        case str():
            return (value.encode(),) if value else ()
        case _:
            return tuple(each.encode() for each in value)
