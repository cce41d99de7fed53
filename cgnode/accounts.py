"""Accounts, and what else has an address: aliases, groups, forwarders.

The record is the account: to add one is to add its entry, and its server makes the mailbox
at first use.  Each change is one transaction, with what follows from it: an account that
gets another name keeps its aliases and its places in groups, one that is removed leaves
none behind.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

from attrs import frozen

from cgnode.editing import Edit, Refused, Values, canonical_domain, editing
from cgnode.lookup import ACCOUNT, ALIAS, FORWARDER, GROUP, Site, StoreLookup
from cgnode.members import State
from cgnode.names import Address, account_address, domain_name, parse_address
from cgnode.proto import sasl
from cgnode.router import AccountRecord, AliasRecord, ForwarderRecord, GroupRecord, Record
from ldapserver.aliases import Aliases
from ldapserver.dn import parse_dn
from ldapserver.names import key_of
from ldapserver.passwords import hash_password

_R = TypeVar("_R", bound=Record)

_KINDS: dict[type[object], str] = {
    AccountRecord: "an account",
    AliasRecord: "an alias",
    GroupRecord: "a group",
    ForwarderRecord: "a forwarder",
}


@frozen
class AccountSummary:
    record: AccountRecord
    real_name: str
    aliases: tuple[str, ...]
    has_password: bool


@frozen
class Follow:
    """What followed from a change: aliases, and groups and forwarders that named it."""

    aliases: int
    references: int


# --- accounts ---------------------------------------------------------------------------


def add_account(
    site: Site,
    text: str,
    *,
    host: str | None = None,
    password: bytes | None = None,
    scram: bool = False,
    real_name: str = "",
    surname: str = "",
) -> AccountRecord:
    """On ``host``, or on the least loaded active backend.  ``password`` is in clear;
    ``scram`` keeps keys for SCRAM-SHA-256 of it too."""
    given = account_address(text)
    # Outside of the transaction, since it takes long.
    hashed = [] if password is None else _hashed(password, scram)
    with editing(site) as edit:
        address = edit.canonical(given)
        edit.check_free(address)
        server = _host_for(edit, host)
        cn = real_name.strip() or address.local
        values: Values = {
            "objectClass": ["top", "person", "organizationalPerson", "inetOrgPerson", ACCOUNT],
            "uid": address.local,
            "cn": cn,
            "sn": surname or cn.split()[-1],
            "mail": str(address),
            "hostServer": server,
            "userPassword": hashed,
        }
        dn = site.dn_of(address)
        edit.add(dn, values)
    return AccountRecord(dn, address, server)


def _host_for(edit: Edit, host: str | None) -> str:
    if host is not None:
        members = edit.lookup.members()
        member = members.get(host)
        if member is None or "backend" not in member.roles:
            known = ", ".join(each.name for each in members if "backend" in each.roles) or "none"
            raise Refused(f"there is no backend {host}; known are: {known}")
        if member.state is State.DOWN:
            raise Refused(f"{member.name} is down; cgctl server up {member.name} says that it is not")
        return member.name
    chosen = edit.lookup.host_of_new()
    if chosen is None:
        raise Refused("there is no active backend; cgctl server add NAME --role backend makes one known")
    return chosen.name


def _hashed(password: bytes, scram: bool) -> list[str]:
    """The values of userPassword for a password.  ``verify`` meets the better one first."""
    if not password:
        raise Refused("an empty password")
    values = [hash_password(password)]
    if scram:
        try:
            keys = sasl.scram_keys(password.decode(), secrets.token_bytes(16))
        except ValueError:  # UnicodeDecodeError is one
            raise Refused("a password that SCRAM-SHA-256 can't take: choose another one") from None
        values.append(sasl.format_scram(keys))
    return [value.decode() for value in values]


def list_accounts(
    site: Site, domain: str | None = None, host: str | None = None
) -> Generator[AccountRecord, None, None]:
    """In the order of domains and names.  Holds a snapshot: use it up or close it."""
    with site.reading() as lookup:
        for name in _domains(lookup, domain):
            for _, record in lookup.records_in(name):
                if isinstance(record, AccountRecord) and (host is None or record.host == host.lower()):
                    yield record


def show_account(site: Site, text: str) -> AccountSummary:
    """By its address or an alias; ``Refused`` where that leads to no account."""
    with site.reading() as lookup:
        record = _account(lookup, _in_own_domain(lookup, text))
        entry = lookup.entry_of(record.address.local, record.address.domain)
        data = None if entry is None else lookup.snapshot.entry(entry)
        assert entry is not None
        assert data is not None
        names = lookup.texts(data, "cn")
        state = site.core.state(lookup.snapshot)
        leading = Aliases(site.core, lookup.snapshot, state.names).leading_to(entry)
        aliases = _addresses(lookup, leading)
        password = bool(lookup.values(data, "userPassword"))
        return AccountSummary(record, names[0] if names else "", tuple(map(str, aliases)), password)


def rename_account(site: Site, old: str, new: str, *, keep: bool = False) -> Follow:
    """With ``keep`` the old name becomes an alias."""
    return _rename(site, old, new, AccountRecord, keep)


def remove_account(site: Site, text: str) -> Follow:
    """The record, its aliases, and its places in groups.  Mail that is stored is not touched."""
    return _remove(site, text, AccountRecord)


def set_password(site: Site, text: str, password: bytes, *, scram: bool = False) -> AccountRecord:
    """Instead of all that there were; ``scram`` as in ``add_account``."""
    hashed = _hashed(password, scram)
    with editing(site) as edit:
        record = _account(edit.lookup, _in_own_domain(edit.lookup, text))
        edit.replace(record.dn, {"userPassword": hashed})
    return record


# --- aliases ----------------------------------------------------------------------------


def add_alias(site: Site, alias: str, target: str) -> str:
    """Another name for an account or group, beside it or in another domain; returns its DN."""
    given, wanted = account_address(alias), account_address(target)
    with editing(site) as edit:
        source, to = edit.canonical(given), edit.canonical(wanted)
        edit.check_free(source)
        if edit.lookup.record(to.local, to.domain) is None:
            raise Refused(f"there is no {to}; an alias stands for something that is here")
        return _add_alias(edit, source, site.dn_of(to))


def _add_alias(edit: Edit, alias: Address, target_dn: str) -> str:
    dn = edit.site.dn_of(alias)
    edit.add(dn, {"objectClass": ["top", ALIAS], "uid": alias.local, "aliasedObjectName": target_dn})
    return dn


def list_aliases(site: Site, domain: str | None = None) -> Iterator[tuple[Address, Address | None]]:
    """Aliases and what they stand for; None for one that leads nowhere."""
    with site.reading() as lookup:
        for domain_of, name, record in _records(lookup, domain):
            if isinstance(record, AliasRecord):
                yield Address(name, domain_of), record.target


def show_alias(site: Site, text: str) -> tuple[Address, Address | None]:
    """As in ``list_aliases``."""
    address, record = _show(site, text, AliasRecord)
    return address, record.target


def rename_alias(site: Site, old: str, new: str) -> Follow:
    return _rename(site, old, new, AliasRecord)


def remove_alias(site: Site, text: str) -> Follow:
    """With aliases of it, if there are."""
    return _remove(site, text, AliasRecord)


# --- groups and forwarders --------------------------------------------------------------


def add_group(site: Site, text: str, members: Iterable[str]) -> GroupRecord:
    given = account_address(text)
    wanted = _member_addresses(members)
    with editing(site) as edit:
        address = edit.canonical(given)
        edit.check_free(address)
        dn = site.dn_of(address)
        values: Values = {
            "objectClass": ["top", GROUP],
            "uid": address.local,
            "cn": address.local,
            "mail": str(address),
            "memberAddress": wanted,
        }
        edit.add(dn, values)
    return GroupRecord(dn, address, tuple(wanted))


def change_group(site: Site, text: str, add: Iterable[str], remove: Iterable[str]) -> GroupRecord:
    """Members that are there already, or not there, are no error."""
    more, less = _member_addresses(add), {parse_address(each).key for each in remove}
    with editing(site) as edit:
        record = _own(edit, edit.canonical(account_address(text)), GroupRecord)
        entry = edit.lookup.entry_of(record.address.local, record.address.domain)
        assert entry is not None
        old = edit.lookup.texts(edit.data(entry), "memberAddress")
        there = {each.lower() for each in old}
        kept = [each for each in old if _key(each) not in less]
        new = kept + [each for each in more if each.lower() not in there and _key(each) not in less]
        edit.replace(record.dn, {"memberAddress": new})
        changed = _own(edit, record.address, GroupRecord)
    return changed


def list_groups(site: Site, domain: str | None = None) -> Iterator[GroupRecord]:
    with site.reading() as lookup:
        for _, _, record in _records(lookup, domain):
            if isinstance(record, GroupRecord):
                yield record


def show_group(site: Site, text: str) -> GroupRecord:
    return _show(site, text, GroupRecord)[1]


def rename_group(site: Site, old: str, new: str) -> Follow:
    return _rename(site, old, new, GroupRecord)


def remove_group(site: Site, text: str) -> Follow:
    return _remove(site, text, GroupRecord)


def add_forwarder(site: Site, text: str, target: str) -> ForwarderRecord:
    given, to = account_address(text), parse_address(target)
    with editing(site) as edit:
        address = edit.canonical(given)
        edit.check_free(address)
        dn = site.dn_of(address)
        edit.add(dn, {"objectClass": ["top", FORWARDER], "uid": address.local, "forwardAddress": str(to)})
    return ForwarderRecord(dn, str(to))


def list_forwarders(site: Site, domain: str | None = None) -> Iterator[tuple[Address, str]]:
    with site.reading() as lookup:
        for domain_of, name, record in _records(lookup, domain):
            if isinstance(record, ForwarderRecord):
                yield Address(name, domain_of), record.target


def show_forwarder(site: Site, text: str) -> tuple[Address, str]:
    """As in ``list_forwarders``."""
    address, record = _show(site, text, ForwarderRecord)
    return address, record.target


def rename_forwarder(site: Site, old: str, new: str) -> Follow:
    return _rename(site, old, new, ForwarderRecord)


def remove_forwarder(site: Site, text: str) -> Follow:
    return _remove(site, text, ForwarderRecord)


# --- shared -----------------------------------------------------------------------------


def _show(site: Site, text: str, kind: type[_R]) -> tuple[Address, _R]:
    with site.reading() as lookup:
        address = _in_own_domain(lookup, text)
        record = lookup.record(address.local, address.domain)
    if not isinstance(record, kind):
        raise _missing(address, record, kind)
    return address, record


def _rename(site: Site, old: str, new: str, kind: type[Record], keep: bool = False) -> Follow:
    given, wanted = account_address(old), account_address(new)
    with editing(site) as edit:
        source, target = edit.canonical(given), edit.canonical(wanted)
        record = _own(edit, source, kind)
        edit.check_free(target)
        entry = edit.lookup.entry_of(source.local, source.domain)
        assert entry is not None
        aliases = sorted(edit.aliases().leading_to(entry))
        old_dn, new_dn = record.dn, site.dn_of(target)
        key = key_of(old_dn, edit.core.schema)
        edit.rename(old_dn, new_dn)
        if isinstance(record, AccountRecord | GroupRecord):
            mail = edit.lookup.texts(edit.data(entry), "mail")
            changed = [str(target) if value.lower() == str(source) else value for value in mail]
            edit.replace(new_dn, {"mail": list(dict.fromkeys(changed or [str(target)]))})

        def change(address: Address) -> Address:
            return target if _canonical(edit, address) == source else address

        count = edit.retarget_aliases(aliases, key, parse_dn(new_dn))
        references = edit.change_addresses(change, key, parse_dn(new_dn))
        if keep:
            _add_alias(edit, source, new_dn)
    return Follow(count, references)


def _remove(site: Site, text: str, kind: type[Record]) -> Follow:
    given = account_address(text)
    with editing(site) as edit:
        address = edit.canonical(given)
        record = _own(edit, address, kind)
        entry = edit.lookup.entry_of(address.local, address.domain)
        assert entry is not None
        aliases = sorted(edit.aliases().leading_to(entry))
        gone = {address, *_addresses(edit.lookup, aliases)}
        for alias in aliases:
            edit.delete(edit.lookup.dn(edit.data(alias)))
        edit.delete(record.dn)

        def change(member: Address) -> Address | None:
            return None if _canonical(edit, member) in gone else member

        references = edit.change_addresses(change, key_of(record.dn, edit.core.schema), None)
    return Follow(len(aliases), references)


def _own(edit: Edit, address: Address, kind: type[_R]) -> _R:
    """What stands there, if that is of the kind; raises Refused."""
    record = edit.lookup.record(address.local, address.domain)
    if not isinstance(record, kind):
        raise _missing(address, record, kind)
    return record


def _missing(address: Address, found: Record | None, wanted: type[object]) -> Refused:
    if found is None:
        return Refused(f"there is no {address}")
    return Refused(f"{address} is {_KINDS[type(found)]}, not {_KINDS[wanted]}")


def _account(lookup: StoreLookup, address: Address) -> AccountRecord:
    """Through aliases."""
    record: Record | None = lookup.record(address.local, address.domain)
    seen = {address}
    while isinstance(record, AliasRecord) and record.target is not None and record.target not in seen:
        seen.add(record.target)
        record = lookup.record(record.target.local, record.target.domain)
    if not isinstance(record, AccountRecord):
        raise _missing(address, record, AccountRecord)
    return record


def _in_own_domain(lookup: StoreLookup, text: str) -> Address:
    address = account_address(text)
    return Address(address.local, canonical_domain(lookup, address.domain))


def _canonical(edit: Edit, address: Address) -> Address:
    """As ``Edit.canonical``; what is elsewhere stays as it is."""
    try:
        return edit.canonical(address)
    except Refused:
        return address


def _addresses(lookup: StoreLookup, entries: Iterable[bytes]) -> list[Address]:
    """Of entries in domains."""
    found = []
    for entry in entries:
        data = lookup.snapshot.entry(entry)
        key = key_of(lookup.dn(data), lookup.site.core.schema) if data is not None else ()
        address = lookup.address_of_key(key)
        if address is not None:
            found.append(address)
    return sorted(found, key=str)


def _domains(lookup: StoreLookup, domain: str | None) -> list[str]:
    if domain is None:
        return [name for name, _, data in lookup.domain_entries() if not lookup.is_a(data, ALIAS)]
    return [canonical_domain(lookup, domain_name(domain))]


def _records(lookup: StoreLookup, domain: str | None) -> Iterator[tuple[str, str, Record]]:
    for name in _domains(lookup, domain):
        for local, record in lookup.records_in(name):
            yield name, local, record


def _member_addresses(members: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(str(parse_address(each)) for each in members))


def _key(text: str) -> tuple[str, str]:
    local, _, domain = text.rpartition("@")
    return local.lower(), domain.lower()
