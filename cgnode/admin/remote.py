"""Bulk changes at a server: by our extended operation where it is known there, else by
ordinary LDAP (``foreign``).  Runs a reactor of its own until it is done."""

# mypy: disallow-untyped-calls=False
# Twisted's reactor is not annotated.

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cgnode.admin import foreign
from cgnode.admin.command import AdminError, UsageError, count, progress_bar, told
from cgnode.admin.target import Server
from ldapserver.extended import decode_bulk_report, encode_bulk_request
from ldapserver.messages import BulkReport, BulkRequest
from ldapserver.net.listen import Address, ListenError, TCPAddress, UnixAddress, parse_url
from ldapserver.net.remote import RemoteDirectory, RemoteError
from ldapserver.results import LDAPError
from ldapserver.schema import standard_schema

Planning: TypeAlias = Callable[[RemoteDirectory], Awaitable[BulkRequest]]
"""What is to be asked for, worked out from what is there."""


def planned(request: BulkRequest) -> Planning:
    """What is to be asked for whatever is there."""

    async def plan(_: RemoteDirectory) -> BulkRequest:
        return request

    return plan


def bulk(servers: Sequence[Server], plan: Planning, *, use_transaction: bool) -> BulkReport:
    """At the first server that can be reached.  Raises AdminError, UsageError, and what
    ``plan`` raises of its own."""
    addresses = [_address(server.url) for server in servers]
    from twisted.internet import reactor as installed

    reactor: Any = installed
    outcome: list[BulkReport | Failure] = []

    def end(result: BulkReport | Failure) -> None:
        outcome.append(result)
        reactor.stop()

    def begin() -> None:
        known = list(zip(servers, addresses, strict=True))
        work = Deferred.fromCoroutine(_bulk(reactor, known, plan, use_transaction))
        work.addBoth(end)

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise KeyboardInterrupt
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    assert isinstance(outcome[0], BulkReport)
    return outcome[0]


def _address(url: str) -> Address:
    try:
        address = parse_url(url)
    except ListenError as error:
        raise UsageError(f"--uri: {error}") from None
    if isinstance(address, TCPAddress) and not address.host:
        raise UsageError(f"--uri: {url} names no host")
    return address


async def _bulk(
    reactor: Any, servers: Sequence[tuple[Server, Address]], plan: Planning, use_transaction: bool
) -> BulkReport:
    progress = foreign.Progress()
    url = servers[-1][0].url
    try:
        url, directory = await _reach(reactor, servers)
        try:
            return await _ask(directory, await plan(directory), progress, use_transaction)
        finally:
            directory.close()
    except RemoteError as error:
        raise AdminError(f"{url}: {error}{_so_far(progress)}") from None
    except LDAPError as error:
        raise AdminError(f"{told(error)}{_so_far(progress)}") from None


async def _reach(reactor: Any, servers: Sequence[tuple[Server, Address]]) -> tuple[str, RemoteDirectory]:
    """The first that answers; the last one's error where none does."""
    *others, (last, place) = servers
    for server, address in others:
        try:
            return server.url, await _connect(reactor, server, address)
        except RemoteError as error:
            print(f"cgctl: {server.url}: {error}; asking another", file=sys.stderr)
    return last.url, await _connect(reactor, last, place)


async def _connect(reactor: Any, server: Server, address: Address) -> RemoteDirectory:
    directory = await RemoteDirectory.connect(reactor, address, server.ca)
    if server.start_tls:
        await directory.start_tls()
    if server.dn is not None:
        await directory.bind(server.dn, server.password)
    elif isinstance(address, UnixAddress):
        await directory.bind_external()
    return directory


async def _ask(
    directory: RemoteDirectory, request: BulkRequest, progress: foreign.Progress, use_transaction: bool
) -> BulkReport:
    root = await directory.read("", ("supportedExtension",))
    known = (
        {oid.decode("ascii", "replace") for each in root.attributes for oid in each.values} if root else set()
    )
    extended = encode_bulk_request(request)
    if extended.oid in known:
        return decode_bulk_report((await directory.ask(extended)).value)
    transaction = use_transaction and foreign.START_TRANSACTION in known
    with progress_bar("modify", None, "entries") as tick:
        report = await foreign.run(
            directory, request, standard_schema(), progress, transaction=transaction, tick=tick
        )
    if progress.overtaken:
        entries = count(progress.overtaken, "entry was", "entries were")
        print(f"cgctl: {entries} changed by others meanwhile and left alone", file=sys.stderr)
    return report


def _so_far(progress: foreign.Progress) -> str:
    if progress.unsure:
        return "; it was to commit and did not answer: the same command finishes what is left, if any"
    if not (progress.changed or progress.beside):
        return "; nothing was changed"
    return f"; {progress.changed:,} of {progress.to_change:,} were changed: the same command does the rest"
