"""What routing needs to know, from a store of this machine: ``router.Lookup`` over one
snapshot, and the servers' table.

Reading only (``editing`` writes).  Domains are ``cn=example.com[,BASE]``, what is in them
``uid=NAME`` below, servers ``cn=NAME,cn=servers[,BASE]``.  A look-up is one or two reads
of the tree, by normalised names, whatever the number of accounts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import field, frozen

from cgnode.members import Member, Members, Override, read_member
from cgnode.names import Address, is_account_name
from cgnode.router import (
    AccountRecord,
    AliasRecord,
    DomainAlias,
    DomainRecord,
    ForwarderRecord,
    GroupRecord,
    Record,
)
from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.dn import AVA, Key, escape_value, normalise_rdn
from ldapserver.matching import subclass_names
from ldapserver.names import Names, find, key_of
from ldapserver.results import LDAPError
from storage import records
from storage.keys import NO_PLACEMENT, EntryId
from storage.snapshot import Snapshot

SERVERS: Final = "servers"

DOMAIN, ACCOUNT, GROUP = "CommuniGateDomain", "CommuniGateAccount", "CommuniGateGroup"
FORWARDER, SERVER, SERVER_TABLE, ALIAS = "cgnodeForwarder", "cgnodeServer", "cgnodeServers", "alias"

_ESCAPED: Final = re.compile(rb"\\(.)")


@frozen
class HostLoad:
    """What a host serves: entries in all, and of these by their original host."""

    entries: int = 0
    covered: Mapping[str, int] = field(factory=dict)


@frozen(eq=False)
class Site:
    """A cluster's part of a directory: ``base`` is the DN that its domains are below."""

    core: Core
    base: str = ""
    overrides: tuple[Override, ...] = ()

    @contextmanager
    def reading(self) -> Iterator[StoreLookup]:
        """One state of the store; leave the scope soon."""
        with self.core.store.snapshot() as snapshot:
            yield StoreLookup(self, snapshot, self.core.state(snapshot).names)

    def dn_of_domain(self, domain: str) -> str:
        return self._below(f"cn={escape_value(domain.encode())}")

    def dn_of(self, address: Address) -> str:
        return f"uid={escape_value(address.local.encode())},{self.dn_of_domain(address.domain)}"

    def dn_of_server(self, name: str) -> str:
        return f"cn={escape_value(name.encode())},{self.dn_of_domain(SERVERS)}"

    def _below(self, rdn: str) -> str:
        return f"{rdn},{self.base}" if self.base else rdn


class StoreLookup:
    """``router.Lookup`` over a snapshot, or a write transaction."""

    def __init__(self, site: Site, snapshot: Snapshot, names: Names) -> None:
        self.site = site
        self.snapshot = snapshot
        self._names = names
        self._core = site.core
        self._base_key = key_of(site.base, site.core.schema)
        self._base = find(snapshot, self._base_key)
        self._overrides = {override.name: override for override in site.overrides}

    # --- router.Lookup --------------------------------------------------------------

    def domain(self, name: str) -> DomainRecord | DomainAlias | None:
        entry = self.domain_entry(name)
        data = None if entry is None else self.snapshot.entry(entry)
        if data is None:
            return None
        if self.is_a(data, DOMAIN):
            return DomainRecord(name)
        if self.is_a(data, ALIAS):
            key = self._key_of_target(data)
            ours = key is not None and len(key) == len(self._base_key) + 1 and key[0].startswith(b"cn=")
            target = self._unescaped(key[0]) if key is not None and ours and self._in_base(key, 1) else None
            return DomainAlias(name, target)
        return None

    def record(self, name: str, domain: str) -> Record | None:
        entry = self.entry_of(name, domain)
        data = None if entry is None else self.snapshot.entry(entry)
        found = None if data is None else self.read(data, domain)
        # LDAP clients may write what no backend could keep mail for.
        return None if isinstance(found, AccountRecord) and not is_account_name(name) else found

    def is_member(self, name: str) -> bool:
        return name.lower() in self._overrides or self._server_data(name) is not None

    # --- servers --------------------------------------------------------------------

    def member(self, name: str) -> Member | None:
        found, override = self.stored_member(name), self._overrides.get(name.lower())
        return found if override is None else override.over(found)

    def stored_member(self, name: str) -> Member | None:
        """As the directory has it, without what a configuration overrides."""
        data = self._server_data(name)
        return None if data is None else self._read_member(data)

    def members(self) -> Members:
        table = self._servers()
        entries = () if table is None else self.snapshot.children(table)
        rows = (self.snapshot.entry(entry) for entry in entries)
        found = [self._read_member(data) for data in rows if data is not None and self.is_a(data, SERVER)]
        return Members.of(found, self.site.overrides)

    def loads(self) -> dict[str, HostLoad]:
        """By host: what placements say, so at the cost of domains, not of accounts."""
        totals: dict[str, int] = {}
        covered: dict[str, dict[str, int]] = {}
        for number, placement in self.snapshot.all_placements():
            count = self.snapshot.members_count(number)
            if placement.host is None or not count:
                continue
            host = placement.host.key.decode()
            totals[host] = totals.get(host, 0) + count
            if placement.old is not None:
                by_old, old = covered.setdefault(host, {}), placement.old.key.decode()
                by_old[old] = by_old.get(old, 0) + count
        return {host: HostLoad(count, covered.get(host, {})) for host, count in sorted(totals.items())}

    def host_of_new(self) -> Member | None:
        """Where new accounts go, unless their maker says."""
        return self.members().least_loaded({name: load.entries for name, load in self.loads().items()})

    def _servers(self) -> EntryId | None:
        return self.domain_entry(SERVERS)

    def _server_data(self, name: str) -> bytes | None:
        table = self._servers()
        entry = None if table is None else self._child(table, "cn", name)
        data = None if entry is None else self.snapshot.entry(entry)
        return data if data is not None and self.is_a(data, SERVER) else None

    def _read_member(self, data: bytes) -> Member:
        state = self.texts(data, "serverState")
        name = self._unescaped(self._core.rdn_key(records.rdn_of(data)))
        roles, urls = self.texts(data, "serverRole"), self.texts(data, "serverAddress")
        return read_member(name, roles, state[0] if state else None, urls)

    # --- entries --------------------------------------------------------------------

    def has_base(self) -> bool:
        return self._base is not None

    def domain_entry(self, name: str) -> EntryId | None:
        """Whatever stands where a domain of this name would."""
        return None if self._base is None else self._child(self._base, "cn", name)

    def domain_of(self, data: bytes) -> str | None:
        """The name under which an entry stands among the domains; None elsewhere."""
        key = self._core.rdn_key(records.rdn_of(data))
        there = key.startswith(b"cn=") and records.parent_of(data) == self._base
        return self._unescaped(key) if there else None

    def entry_of(self, name: str, domain: str) -> EntryId | None:
        parent = self.domain_entry(domain)
        return None if parent is None else self._child(parent, "uid", name)

    def domain_entries(self) -> Iterator[tuple[str, EntryId, bytes]]:
        """The names of domains and of their aliases, with their entries."""
        for entry in () if self._base is None else self.snapshot.children(self._base):
            data = self.snapshot.entry(entry)
            if data is not None and (self.is_a(data, DOMAIN) or self.is_a(data, ALIAS)):
                name = self.domain_of(data)
                if name is not None:
                    yield name, entry, data

    def records_in(self, domain: str) -> Iterator[tuple[str, Record]]:
        """What a domain has, by names in their order."""
        parent = self.domain_entry(domain)
        for entry in () if parent is None else self.snapshot.children(parent):
            data = self.snapshot.entry(entry)
            found = None if data is None else self.read(data, domain)
            if data is not None and found is not None:
                yield self._name_of(data), found

    def read(self, data: bytes, domain: str) -> Record | None:
        dn = self.dn(data)
        if self.is_a(data, ACCOUNT):
            host, old = self._hosts(data)
            return AccountRecord(dn, Address(self._name_of(data), domain), host, old)
        if self.is_a(data, ALIAS):
            key = self._key_of_target(data)
            return AliasRecord(dn, None if key is None else self.address_of_key(key))
        if self.is_a(data, GROUP):
            members = [*self.texts(data, "memberAddress"), *self._addresses_of_members(data)]
            address = Address(self._name_of(data), domain)
            return GroupRecord(dn, address, tuple(dict.fromkeys(members)))
        if self.is_a(data, FORWARDER):
            target = self.texts(data, "forwardAddress")
            return ForwarderRecord(dn, target[0] if target else "")
        return None

    def dn(self, data: bytes) -> str:
        number = self.snapshot.tree_number()
        if self._names.tree_number != number:
            self._names = Names(number)
        return self._names.dn(self.snapshot, data).decode()

    def is_a(self, data: bytes, name: str) -> bool:
        """Whether an entry is of a class, or of one derived from it."""
        wanted = subclass_names(self._core.schema, name.encode()) or frozenset()
        return any(value.lower() in wanted for value in self.values(data, "objectClass"))

    def values(self, data: bytes, name: str) -> list[bytes]:
        encoded = records.attribute_of(data, self._core.catalogue.number_of_type(name))
        return [] if encoded is None else values_of(encoded)

    def texts(self, data: bytes, name: str) -> list[str]:
        return [value.decode("utf-8", "replace") for value in self.values(data, name)]

    def address_of_key(self, key: Key) -> Address | None:
        """The address of what a normalised DN names; None for one outside of domains."""
        if len(key) != len(self._base_key) + 2 or not self._in_base(key, 2):
            return None
        uid, domain = key[0], key[1]
        if not (uid.startswith(b"uid=") and domain.startswith(b"cn=")):
            return None
        return Address(self._unescaped(uid), self._unescaped(domain))

    def _hosts(self, data: bytes) -> tuple[str | None, str | None]:
        number = records.placement_of(data)
        if number == NO_PLACEMENT:
            return None, None
        placement = self.snapshot.placement(number)
        host, old = placement.host, placement.old
        return host.key.decode() if host else None, old.key.decode() if old else None

    def _addresses_of_members(self, data: bytes) -> Iterable[str]:
        for value in (*self.texts(data, "member"), *self.texts(data, "uniqueMember")):
            try:
                address = self.address_of_key(key_of(value, self._core.schema))
            except LDAPError:
                address = None
            # One that is no account's DN is kept, so that it is seen to be wrong.
            yield value if address is None else str(address)

    def _name_of(self, data: bytes) -> str:
        return self._unescaped(self._core.rdn_key(records.rdn_of(data)))

    def _key_of_target(self, data: bytes) -> Key | None:
        target = self.texts(data, "aliasedObjectName")
        try:
            return key_of(target[0], self._core.schema) if target else None
        except LDAPError:
            return None

    def _in_base(self, key: Key, depth: int) -> bool:
        return key[depth:] == self._base_key

    def _unescaped(self, rdn: bytes) -> str:
        value = rdn.partition(b"=")[2]
        if b"\\" in value:
            value = _ESCAPED.sub(rb"\1", value)
        return value.decode("utf-8", "replace")

    def _child(self, parent: EntryId, kind: str, name: str) -> EntryId | None:
        """The directory takes more for equal than mail does (spaces, other letters' forms);
        here only case makes no difference."""
        try:
            rdn = normalise_rdn((AVA(kind, name.encode()),), self._core.schema)
        except (LDAPError, UnicodeEncodeError):
            return None
        return self.snapshot.child(parent, rdn) if self._unescaped(rdn) == name.lower() else None
