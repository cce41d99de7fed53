"""A failed host is covered by its sibling, and comes back: ``cgctl failover`` and ``cgctl restore``.

Each is one transaction: in a store of this machine (``cgnode.failover``), or by a server
(``cgnode.failover_ldap``, ``remote``).
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import asdict

from cgnode import failover
from cgnode.admin.bulk import selection, selection_arguments
from cgnode.admin.command import Command, add_json, count, say
from cgnode.admin.nested import base_argument, site_base, site_of
from cgnode.admin.target import Server, config_of, local_directory, remote_servers, server_of
from cgnode.failover import FailedOver, Restored
from cgnode.members import Override, State
from ldapserver.messages import BulkRequest, Restore

# A client of LDAP takes longer to load than a local change takes.
if TYPE_CHECKING:
    from cgnode.failover_ldap import Plan
    from ldapserver.net.remote import RemoteDirectory


# --- failover ---------------------------------------------------------------------------


def _failover_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="the server that has failed")
    parser.add_argument("--to", metavar="SIBLING", required=True, help="the server that takes over")
    parser.add_argument(
        "--domain",
        metavar="NAME",
        help="only this domain; the server is then marked down only if nothing is left on it",
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
    parser.add_argument(
        "--no-transaction",
        action="store_true",
        help="at a foreign directory: one change after the other, even where it offers transactions",
    )
    base_argument(parser)
    add_json(parser)


def _failover(arguments: Namespace) -> int:
    begun = time.perf_counter()
    servers = remote_servers(arguments)
    done = _fail_over_there(arguments, servers) if servers else _fail_over_here(arguments)
    seconds = time.perf_counter() - begun
    facts = {**asdict(done), "state": done.state.value, "dry_run": arguments.dry_run}
    text = _told_of_failover(done, seconds, dry_run=arguments.dry_run)
    say(arguments, text, {**facts, "seconds": round(seconds, 6)})
    return 0


def _fail_over_here(arguments: Namespace) -> FailedOver:
    with local_directory(arguments) as directory:
        return failover.fail_over(
            site_of(arguments, directory),
            directory,
            arguments.host,
            arguments.to,
            arguments.domain,
            dry_run=arguments.dry_run,
        ).result()


def _fail_over_there(arguments: Namespace, servers: Sequence[Server]) -> FailedOver:
    from cgnode.admin.remote import bulk
    from cgnode.failover_ldap import plan_failover

    base, overrides = site_base(arguments), _overrides(arguments)
    plans: list[Plan] = []

    async def plan(directory: RemoteDirectory) -> BulkRequest:
        plans.append(
            await plan_failover(
                directory,
                base,
                overrides,
                arguments.host,
                arguments.to,
                arguments.domain,
                dry_run=arguments.dry_run,
            )
        )
        return plans[0].request

    report = bulk(servers, plan, use_transaction=not arguments.no_transaction)
    made = plans[0]
    state = made.state or State.DOWN
    host, sibling = arguments.host.lower(), arguments.to.lower()
    return FailedOver(host, sibling, arguments.domain, report.changed, state, made.marked, report.csn)


def _told_of_failover(done: FailedOver, seconds: float, *, dry_run: bool) -> str:
    already = "" if done.marked or done.state is not State.DOWN else " already"
    state = f"{done.host} is {done.state.value}{already}"
    if dry_run:
        entries = count(done.moved, "entry", "entries")
        would = f"{done.host} would be marked down" if done.marked else state
        return f"{entries} would be moved from {done.host} to {done.sibling}; {would}"
    if not done.moved:
        of = f" in {done.domain}" if done.domain else ""
        return f"{state}; nothing to move: no entry{of} is served by {done.host}"
    entries = count(done.moved, "entry", "entries")
    return f"{entries} moved from {done.host} to {done.sibling}, in {seconds:.3g} s; {state}"


# --- restore ----------------------------------------------------------------------------


def _restore_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="HOST", help="the host that is back")
    selection_arguments(parser)


def _restore(arguments: Namespace) -> int:
    request = Restore(arguments.source, selection(arguments), arguments.dry_run)
    servers = remote_servers(arguments)
    begun = time.perf_counter()
    done = _restore_there(arguments, servers, request) if servers else _restore_here(arguments, request)
    seconds = time.perf_counter() - begun
    facts = {
        "matched": done.moved,
        "changed": done.moved,
        "dry_run": arguments.dry_run,
        "csn": done.csn,
        "state": done.state.value if done.state else None,
        "marked": done.marked,
        "seconds": round(seconds, 6),
    }
    say(arguments, _told_of_restore(done, seconds, dry_run=arguments.dry_run), facts)
    return 0


def _restore_here(arguments: Namespace, request: Restore) -> Restored:
    with local_directory(arguments) as directory:
        # --base is a part of the site here, not the site.
        site = site_of(arguments, directory, given=False)
        return failover.restore(site, directory, request).result()


def _restore_there(arguments: Namespace, servers: Sequence[Server], request: Restore) -> Restored:
    from cgnode.admin.remote import bulk
    from cgnode.failover_ldap import plan_restore

    base = site_base(arguments, given=False)
    plans: list[Plan] = []

    async def plan(directory: RemoteDirectory) -> BulkRequest:
        plans.append(await plan_restore(directory, base, request))
        return plans[0].request

    report = bulk(servers, plan, use_transaction=not arguments.no_transaction)
    made = plans[0]
    return Restored(request.source, report.changed, made.state, made.marked, report.csn)


def _told_of_restore(done: Restored, seconds: float, *, dry_run: bool) -> str:
    state = ""
    if done.marked:
        state = f"; {done.host} would be active again" if dry_run else f"; {done.host} is active again"
    if not done.moved:
        return f"nothing to change: no entry of {done.host}'s is served elsewhere{state}"
    entries = count(done.moved, "entry", "entries")
    if dry_run:
        return f"{entries} would be moved back to {done.host}{state}"
    return f"{entries} moved back to {done.host}, in {seconds:.3g} s{state}"


def _overrides(arguments: Namespace) -> tuple[Override, ...]:
    """What the node's configuration says of servers; none for a directory by its URL."""
    return () if server_of(arguments) else config_of(arguments).cluster.overrides


COMMANDS = (
    Command(
        "failover",
        "mark a failed server down and let another serve its accounts",
        _failover_arguments,
        _failover,
    ),
    Command(
        "restore", "give a server its own accounts back, and mark it active", _restore_arguments, _restore
    ),
)
