"""Domains and their aliases: added, listed, renamed, removed.  Each change is one transaction."""

from __future__ import annotations

from attrs import evolve, frozen

from cgnode.editing import Edit, Refused, editing
from cgnode.lookup import ALIAS, DOMAIN, Site, StoreLookup
from cgnode.names import Address, domain_name
from cgnode.router import AccountRecord, AliasRecord, DomainAlias, DomainRecord, ForwarderRecord, GroupRecord
from ldapserver.dn import parse_dn
from ldapserver.names import key_of


@frozen
class DomainSummary:
    """``entries`` counts accounts, groups, aliases and forwarders together, for nothing."""

    name: str
    dn: str
    entries: int
    aliases: tuple[str, ...]


@frozen
class DomainContents:
    accounts: int = 0
    groups: int = 0
    aliases: int = 0
    forwarders: int = 0


@frozen
class Renamed:
    """What was to be changed besides: entries whose ``mail`` named it, aliases, and groups
    and forwarders."""

    mail: int
    aliases: int
    references: int


def list_domains(site: Site) -> list[DomainSummary]:
    with site.reading() as lookup:
        found: dict[str, DomainSummary] = {}
        aliases: dict[str, str] = {}
        for name, entry, data in lookup.domain_entries():
            known = lookup.domain(name)
            if isinstance(known, DomainRecord):
                count = lookup.snapshot.children_count(entry)
                found[name] = DomainSummary(name, lookup.dn(data), count, ())
            elif isinstance(known, DomainAlias):
                aliases[name] = known.target or ""
        return [evolve(each, aliases=_aliases_of(name, aliases)) for name, each in found.items()]


def _aliases_of(domain: str, aliases: dict[str, str]) -> tuple[str, ...]:
    """Direct ones and aliases of aliases."""
    found: dict[str, None] = {}
    waiting = [domain]
    while waiting:
        target = waiting.pop()
        more = [name for name, to in aliases.items() if to == target and name not in found]
        found.update(dict.fromkeys(more))
        waiting += more
    return tuple(sorted(found))


def show_domain(site: Site, name: str) -> tuple[DomainSummary, DomainContents]:
    """A domain, by its name or an alias; counts by looking at everything in it."""
    wanted = domain_name(name)
    for domain in list_domains(site):
        if wanted in (domain.name, *domain.aliases):
            with site.reading() as lookup:
                return domain, _contents(lookup, domain.name)
    raise Refused(f"there is no domain {wanted}")


def _contents(lookup: StoreLookup, domain: str) -> DomainContents:
    kinds = (AccountRecord, GroupRecord, AliasRecord, ForwarderRecord)
    counts = dict.fromkeys(kinds, 0)
    for _, record in lookup.records_in(domain):
        counts[type(record)] += 1
    return DomainContents(*(counts[kind] for kind in kinds))


def add_domain(site: Site, name: str) -> str:
    """Returns its DN."""
    wanted = domain_name(name)
    dn = site.dn_of_domain(wanted)
    with editing(site) as edit:
        _check_free(edit, wanted)
        edit.add(dn, {"objectClass": DOMAIN, "cn": wanted})
    return dn


def alias_domain(site: Site, alias: str, domain: str) -> str:
    """Let another name stand for a domain; returns its DN."""
    wanted = domain_name(alias)
    dn = site.dn_of_domain(wanted)
    with editing(site) as edit:
        target = edit.domain(domain_name(domain))
        _check_free(edit, wanted)
        edit.add(dn, _alias_values(site, wanted, target))
    return dn


def rename_domain(site: Site, old: str, new: str, *, keep: bool = False) -> Renamed:
    """Its accounts' addresses, and what names them, follow; with ``keep`` the old name
    becomes an alias."""
    name, wanted = domain_name(old), domain_name(new)
    with editing(site) as edit:
        if not isinstance(edit.lookup.domain(name), DomainRecord):
            raise Refused(f"there is no domain {name}")
        _check_free(edit, wanted)
        old_dn, new_dn = site.dn_of_domain(name), site.dn_of_domain(wanted)
        key = key_of(old_dn, edit.core.schema)
        aliases = list(edit.aliases().all())
        edit.rename(old_dn, new_dn)
        entry = edit.lookup.domain_entry(wanted)
        assert entry is not None
        children = list(edit.txn.children(entry))

        def change(address: Address) -> Address:
            return evolve(address, domain=wanted) if address.domain == name else address

        mail = sum(_renamed_mail(edit, edit.data(child), name, wanted) for child in children)
        count = edit.retarget_aliases(aliases, key, parse_dn(new_dn))
        references = edit.change_addresses(change, key, parse_dn(new_dn))
        if keep:
            edit.add(old_dn, _alias_values(site, name, wanted))
    return Renamed(mail, count, references)


def remove_domain(site: Site, name: str) -> tuple[str, ...]:
    """An empty domain, with its aliases; or an alias.  Returns the names that are gone."""
    wanted = domain_name(name)
    with editing(site) as edit:
        found, entry = edit.lookup.domain(wanted), edit.lookup.domain_entry(wanted)
        if found is None or entry is None:
            raise Refused(f"there is no domain {wanted}")
        count = edit.txn.children_count(entry)
        if count:
            entries = "1 entry" if count == 1 else f"{count:,} entries"
            raise Refused(f"{wanted} has {entries}; remove them first")
        names = [edit.lookup.domain_of(edit.data(alias)) or "" for alias in edit.aliases().leading_to(entry)]
        gone = (wanted, *sorted(filter(None, names)))
        for each in gone:
            edit.delete(site.dn_of_domain(each))
    return gone


def _renamed_mail(edit: Edit, data: bytes, old: str, new: str) -> bool:
    values = edit.lookup.texts(data, "mail")
    changed = [_with_domain(value, old, new) for value in values]
    if changed == values:
        return False
    edit.replace(edit.lookup.dn(data), {"mail": list(dict.fromkeys(changed))})
    return True


def _with_domain(mail: str, old: str, new: str) -> str:
    local, at, domain = mail.rpartition("@")
    return f"{local}@{new}" if at and domain.lower() == old else mail


def _alias_values(site: Site, alias: str, target: str) -> dict[str, str]:
    return {"objectClass": ALIAS, "cn": alias, "aliasedObjectName": site.dn_of_domain(target)}


def _check_free(edit: Edit, name: str) -> None:
    if edit.lookup.domain_entry(name) is not None:
        raise Refused(f"{name} is there already")
