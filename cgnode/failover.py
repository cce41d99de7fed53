"""A failed host is covered, and comes back: each in one transaction of the store.

Failover marks the host down and lets its sibling serve what it served; nobody sees one
without the other.  Of one domain only, the host stays in service for the rest, so it is
marked down only where nothing is left on it.  Restore gives the host its own accounts
back and takes the mark away: what comes back to a server that is down would be served
by nobody.

What must not live here: who decides that a host has failed, and directories elsewhere
(``failover_ldap``).
"""

from __future__ import annotations

from concurrent.futures import Future

from attrs import frozen

from cgnode.editing import Edit, Refused
from cgnode.lookup import HostLoad, Site, StoreLookup
from cgnode.members import Member, Members, State
from cgnode.names import domain_name, server_name
from ldapserver.local import LocalDirectory
from ldapserver.messages import Rehost, Restore, Selection
from ldapserver.ops import hosts
from storage.txn import WriteTransaction


@frozen
class FailedOver:
    """``moved`` entries from ``host`` to ``sibling``; ``state`` is the host's now, and
    ``marked`` whether that is a change.  ``csn`` is "" where nothing moved."""

    host: str
    sibling: str
    domain: str | None
    moved: int
    state: State
    marked: bool
    csn: str = ""


@frozen
class Restored:
    """As above; ``state`` is None for a host that is no server here."""

    host: str
    moved: int
    state: State | None
    marked: bool
    csn: str = ""


@frozen
class Pair:
    """A host that has failed, as the directory has it, and who is to cover it."""

    host: Member
    sibling: Member


def pair(members: Members, stored: Member | None, host: str, sibling: str) -> Pair:
    """Raises Refused, BadName.  ``members`` with what a configuration overrides, ``stored``
    the host without."""
    names = server_name(host), server_name(sibling)
    if names[0] == names[1]:
        raise Refused(f"{names[0]} can't cover for itself; --to names another server")
    for name in names:
        if members.get(name) is None:
            known = ", ".join(each.name for each in members) or "none"
            raise Refused(f"there is no server {name}; known are: {known}")
    if stored is None:
        raise Refused(
            f"{names[0]} is in the configuration only, so the directory can't say that it is down; "
            f"cgctl server add {names[0]} puts it there"
        )
    taker = members.by_name[names[1]]
    if "backend" not in taker.roles:
        raise Refused(f"{taker.name} is no backend")
    if taker.state is State.DOWN:
        raise Refused(f"{taker.name} is down; cgctl server up {taker.name} says that it is not")
    return Pair(stored, taker)


def fail_over(
    site: Site,
    directory: LocalDirectory,
    host: str,
    sibling: str,
    domain: str | None = None,
    *,
    dry_run: bool = False,
) -> Future[FailedOver]:
    """Done when it is durable; raises Refused, BadName, LDAPError, StoreError there.  What
    is so already stays so."""

    def work(txn: WriteTransaction) -> FailedOver:
        return _fail_over(Edit(site, txn), txn, host, sibling, domain, dry_run=dry_run)

    return directory.core.store.writer.submit(work)


def _fail_over(
    edit: Edit, txn: WriteTransaction, host: str, sibling: str, domain: str | None, *, dry_run: bool
) -> FailedOver:
    lookup = edit.lookup
    found = pair(lookup.members(), lookup.stored_member(server_name(host)), host, sibling)
    name, taker = found.host.name, found.sibling.name
    own = None if domain is None else edit.domain(domain_name(domain))
    served = lookup.loads().get(name, HostLoad()).entries
    request = Rehost(name, taker, part_of(edit.site, own), dry_run)
    report = hosts.rehost(edit.core, txn, edit.core.administrator, request)
    down = own is None or served == report.changed
    marked = down and found.host.state is not State.DOWN
    if marked and not dry_run:
        edit.replace(edit.site.dn_of_server(name), {"serverState": State.DOWN.value})
    state = State.DOWN if down else found.host.state
    return FailedOver(name, taker, own, report.changed, state, marked, report.csn)


def restore(site: Site, directory: LocalDirectory, request: Restore) -> Future[Restored]:
    """Done when it is durable; raises Refused, BadName, LDAPError, StoreError there."""

    def work(txn: WriteTransaction) -> Restored:
        return _restore(Edit(site, txn), txn, request)

    return directory.core.store.writer.submit(work)


def _restore(edit: Edit, txn: WriteTransaction, request: Restore) -> Restored:
    stored = _server(edit.lookup, request.source)
    report = hosts.restore(edit.core, txn, edit.core.administrator, request)
    marked = stored is not None and stored.state is State.DOWN
    if stored is not None and marked and not request.dry_run:
        edit.replace(edit.site.dn_of_server(stored.name), {"serverState": State.ACTIVE.value})
    state = None if stored is None else State.ACTIVE if marked else stored.state
    return Restored(request.source.lower(), report.changed, state, marked, report.csn)


def _server(lookup: StoreLookup, host: str) -> Member | None:
    """None also for what no server could be called: a host may be anything elsewhere."""
    return lookup.stored_member(host.lower())


def part_of(site: Site, domain: str | None) -> Selection:
    """All of a site, or one domain of it."""
    return Selection(site.base if domain is None else site.dn_of_domain(domain))
