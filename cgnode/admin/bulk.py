"""Many entries at once: ``cgctl rehost`` and ``cgctl bulk-modify``, and how such commands
say which entries (``selection``).

What is asked for becomes one ``BulkRequest``; where it is carried out, in a store of this
machine or by a server, is ``target``'s and ``remote``'s matter.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from typing import assert_never

from cgnode.admin.command import Command, UsageError, add_json, count, say
from cgnode.admin.nested import site_base
from cgnode.admin.target import local_directory, remote_servers
from ldapserver.dn import escape_value
from ldapserver.filters import parse_filter
from ldapserver.ldif import LdifError, read_changes
from ldapserver.messages import BulkModify, BulkReport, Rehost, Selection
from ldapserver.results import LDAPError


def _rehost_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="the host whose accounts move")
    parser.add_argument("target", metavar="DST", help="the host that takes them over")
    selection_arguments(parser)


def _bulk_modify_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE.ldif", help="modifications, as in a change record but for no entry; - is stdin"
    )
    selection_arguments(parser)


def selection_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--base", metavar="DN", default="", help="only this entry and all below it")
    parser.add_argument("--domain", metavar="NAME", help="only this domain: cn=NAME, below --base if given")
    parser.add_argument("--filter", metavar="FILTER", help="only entries that match, as in (uid=a*)")
    parser.add_argument(
        "--accounts", metavar="FILE", help="only these: a DN or an address a line; - is stdin"
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
    parser.add_argument(
        "--no-transaction",
        action="store_true",
        help="at a foreign directory: one change after the other, even where it offers transactions",
    )
    add_json(parser)


def _rehost(arguments: Namespace) -> int:
    return _run(
        arguments, Rehost(arguments.source, arguments.target, selection(arguments), arguments.dry_run)
    )


def _bulk_modify(arguments: Namespace) -> int:
    if not (arguments.base or arguments.domain or arguments.filter or arguments.accounts):
        raise UsageError("say which entries: --base, --domain, --filter or --accounts")
    if arguments.file == "-" == arguments.accounts:
        raise UsageError("FILE.ldif and --accounts cannot both be stdin")
    try:
        changes = read_changes(_read(arguments.file), arguments.file)
    except LdifError as error:
        raise UsageError(str(error)) from None
    return _run(arguments, BulkModify(selection(arguments), changes, arguments.dry_run))


def selection(arguments: Namespace) -> Selection:
    base = arguments.base
    if arguments.domain is not None:
        domain = f"cn={escape_value(arguments.domain.encode())}"
        base = base or site_base(arguments, given=False)
        base = f"{domain},{base}" if base else domain
    try:
        chosen = None if arguments.filter is None else parse_filter(arguments.filter)
    except LDAPError as error:
        raise UsageError(f"--filter: {error.message}") from None
    accounts = None
    if arguments.accounts is not None:
        lines = _read(arguments.accounts).decode("utf-8", "replace").splitlines()
        accounts = tuple(line for raw in lines if (line := raw.strip()) and not line.startswith("#"))
    return Selection(base, chosen, accounts)


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read()
        with open(file, "rb") as source:
            return source.read()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None


def _run(arguments: Namespace, request: Rehost | BulkModify) -> int:
    servers = remote_servers(arguments)
    if servers:
        # Only now: a client of LDAP takes longer to load than a local change takes.
        from cgnode.admin.remote import bulk, planned

        begun = time.perf_counter()
        report = bulk(servers, planned(request), use_transaction=not arguments.no_transaction)
    else:
        with local_directory(arguments) as directory:
            begun = time.perf_counter()
            report = directory.bulk(directory.core.administrator, request).result()
    seconds = time.perf_counter() - begun
    facts = {
        "matched": report.matched,
        "changed": report.changed,
        "dry_run": report.dry_run,
        "csn": report.csn,
        "seconds": round(seconds, 6),
    }
    say(arguments, _told(request, report, seconds), facts)
    return 0


def _told(request: Rehost | BulkModify, report: BulkReport, seconds: float) -> str:
    match request:
        case Rehost(source, target):
            done, nothing = f"moved from {source} to {target}", f"no entry is served by {source}"
        case BulkModify():
            done = "modified"
            nothing = "all entries are so already" if report.matched else "no entry matches"
        case _:
            assert_never(request)
    if not report.changed:
        return f"nothing to change: {nothing}"
    entries = count(report.changed, "entry", "entries")
    return f"{entries} would be {done}" if report.dry_run else f"{entries} {done}, in {seconds:.3g} s"


COMMANDS = (
    Command("rehost", "move the accounts of a host to another", _rehost_arguments, _rehost),
    Command(
        "bulk-modify", "change attributes of many entries in one go", _bulk_modify_arguments, _bulk_modify
    ),
)
