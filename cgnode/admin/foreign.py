"""The bulk changes on a directory that is not ours, by ordinary LDAP.

What a change comes to for one entry is ``changes_for``, a plain function; the rest
searches page by page, then sends modifies ahead of their answers, inside one transaction
(RFC 5805) where the server offers that.  Without one, a run that is interrupted is
finished by the same command: each modify names the value that it takes away, so an entry
that somebody changed meanwhile is left alone, and entries that are done are not found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, assert_never

from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from cgnode.failover_ldap import contexts
from ldapserver.dn import escape_value, key_is_within, normalise_dn, parse_dn
from ldapserver.messages import (
    And,
    BulkModify,
    BulkReport,
    BulkRequest,
    Change,
    Control,
    Entry,
    Equality,
    ExtendedRequest,
    Filter,
    ModifyOp,
    ModifyRequest,
    Rehost,
    Restore,
    Scope,
)
from ldapserver.net.remote import ANY, RemoteDirectory
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import Schema
from ldapserver.wire import ber

START_TRANSACTION: Final = "1.3.6.1.1.21.1"
TRANSACTION: Final = "1.3.6.1.1.21.2"
END_TRANSACTION: Final = "1.3.6.1.1.21.3"

# Modifies that are under way at once: enough to hide the network's delay, and below the
# bounds that servers set to a connection's pending operations.
WINDOW: Final = 64

# The entry is not, or is no longer, what the search found: somebody else changed it.
OVERTAKEN: Final = frozenset({ResultCode.NO_SUCH_ATTRIBUTE, ResultCode.NO_SUCH_OBJECT})


# --- what a change comes to, per entry ---------------------------------------------------


def criterion(request: BulkRequest) -> Filter:
    """What the entries that the change is about have in common."""
    match request:
        case Rehost(source):
            own: Filter = Equality("hostServer", source.encode())
        case Restore(source):
            own = Equality("oldHostServer", source.encode())
        case BulkModify():
            own = ANY
        case _:
            assert_never(request)
    selected = request.selection.filter
    if selected is None:
        return own
    return selected if own is ANY else And((own, selected))


def attributes_for(request: BulkRequest) -> tuple[str, ...]:
    """What must be known of an entry."""
    if isinstance(request, BulkModify):
        return tuple(dict.fromkeys(change.type for change in request.changes))
    return ("hostServer", "oldHostServer")


def changes_for(request: BulkRequest, entry: Entry, schema: Schema) -> tuple[Change, ...]:
    """The modifications that ``entry`` needs; none when it is as wanted already."""
    host, old = _values(entry, "hostServer"), _values(entry, "oldHostServer")
    match request:
        case Rehost(_, target):
            return _moved(host, old, target.encode())
        case Restore():
            return (*_replaced("hostServer", host, old), *_replaced("oldHostServer", old, ()))
        case BulkModify(_, changes):
            return tuple(filter(None, (_needed(change, entry, schema) for change in changes)))
        case _:
            assert_never(request)


def _moved(host: tuple[bytes, ...], old: tuple[bytes, ...], target: bytes) -> tuple[Change, ...]:
    # The first, original host stays recorded through a second failure, and is forgotten at home.
    original = old or host
    kept = () if _same(original, (target,)) else original
    return (*_replaced("hostServer", host, (target,)), *_replaced("oldHostServer", old, kept))


def _replaced(name: str, old: tuple[bytes, ...], new: tuple[bytes, ...]) -> tuple[Change, ...]:
    """From ``old`` to ``new``, naming both, so that it fails where ``old`` is no more."""
    if _same(old, new):
        return ()
    gone = (Change(ModifyOp.DELETE, name, old),) if old else ()
    return (*gone, Change(ModifyOp.ADD, name, new)) if new else gone


def _same(hosts: tuple[bytes, ...], others: tuple[bytes, ...]) -> bool:
    return [value.strip().lower() for value in hosts] == [value.strip().lower() for value in others]


def _needed(change: Change, entry: Entry, schema: Schema) -> Change | None:
    """What of a change makes a difference to the entry."""
    there = {_normal(change.type, value, schema) for value in _values(entry, change.type)}
    match change.op:
        case ModifyOp.ADD:
            new = tuple(v for v in change.values if _normal(change.type, v, schema) not in there)
            return evolve(change, values=new) if new else None
        case ModifyOp.DELETE:
            gone = tuple(v for v in change.values if _normal(change.type, v, schema) in there)
            # No values at all means the whole attribute.
            return evolve(change, values=gone) if gone or (there and not change.values) else None
        case ModifyOp.REPLACE:
            wanted = {_normal(change.type, value, schema) for value in change.values}
            return change if wanted != there else None
        case ModifyOp.INCREMENT:
            return change
        case _:
            assert_never(change.op)


def _values(entry: Entry, name: str) -> tuple[bytes, ...]:
    for attribute in entry.attributes:
        if attribute.type.lower() == name.lower():
            return attribute.values
    return ()


def _normal(name: str, value: bytes, schema: Schema) -> bytes:
    """The value as its type's equality rule compares it; as it is where we know no rule."""
    description = schema.find_description(name)
    rule = description.type.equality if description else None
    try:
        return rule.normalise(value) if rule else value
    except ValueError:
        return value


# --- the run --------------------------------------------------------------------------------


@frozen
class Work:
    """One modify that is to be sent."""

    dn: str
    changes: tuple[Change, ...]


@define
class Progress:
    """How far a run came; it stays true when the run fails.  ``beside`` are the modifications
    that go with a move.  ``unsure`` when the server was told to commit and never said
    whether it did."""

    beside: int = 0
    matched: int = 0
    to_change: int = 0
    changed: int = 0
    overtaken: int = 0
    unsure: bool = False


async def run(
    directory: RemoteDirectory,
    request: BulkRequest,
    schema: Schema,
    progress: Progress,
    *,
    transaction: bool,
    tick: Callable[[int], object],
) -> BulkReport:
    """Raises LDAPError or RemoteError; what was changed by then is in ``progress``, and
    with ``transaction`` nothing was.  ``tick`` hears how many are done."""
    work = await _collect(directory, request, schema, progress)
    progress.to_change = len(work)
    besides = () if isinstance(request, BulkModify) else request.besides
    if (work or besides) and not request.dry_run:
        if transaction:
            await _in_transaction(directory, besides, work, progress, tick)
        else:
            await _send_all(directory, besides, work, (), progress, tick)
    changed = len(work) if request.dry_run else progress.changed
    return BulkReport(progress.matched, changed, "", request.dry_run)


async def _collect(
    directory: RemoteDirectory, request: BulkRequest, schema: Schema, progress: Progress
) -> list[Work]:
    """All that is to be done, before any of it: a change while pages are fetched could
    move entries between pages."""
    work: list[Work] = []

    def take(entry: Entry) -> None:
        progress.matched += 1
        changes = changes_for(request, entry, schema)
        if changes:
            work.append(Work(entry.dn, changes))

    accounts = request.selection.accounts
    wanted, attributes = criterion(request), attributes_for(request)
    bases = await _bases(directory, request.selection.base)
    if accounts is None:
        for base in bases:
            async for entry in directory.search(base, Scope.SUBTREE, wanted, attributes):
                take(entry)
    else:
        for account in accounts:
            found = await directory.read(
                await _account(directory, account, bases, schema), attributes, wanted
            )
            if found is not None:
                take(found)
    return work


async def _bases(directory: RemoteDirectory, base: str) -> list[str]:
    """Where to search.  The empty base is everything with us; elsewhere it is often
    nothing, and the root DSE tells what there is (RFC 4512 section 5.1)."""
    return [base] if base else list(await contexts(directory))


async def _account(directory: RemoteDirectory, account: str, bases: list[str], schema: Schema) -> str:
    """The DN of an account that is given as one or as an address: ``uid=alice`` right
    below ``cn=example.com``.  It must be there, at or below one of ``bases``."""
    local, at, domain = account.rpartition("@")
    if at and "=" not in account:
        wanted = _key(f"uid={escape_value(local.encode())},cn={escape_value(domain.encode())}", schema)
        named = Equality("uid", local.encode())
        for base in bases:
            async for entry in directory.search(base, Scope.SUBTREE, named, ("1.1",)):
                if _key(entry.dn, schema)[:2] == wanted:
                    return entry.dn
    elif any(key_is_within(_key(account, schema), _key(base, schema)) for base in bases):
        return account
    raise LDAPError(ResultCode.NO_SUCH_OBJECT, f"there is no account {account} below {' or '.join(bases)}")


def _key(dn: str, schema: Schema) -> tuple[bytes, ...]:
    # The directory may know attribute types that we do not.
    return normalise_dn(parse_dn(dn), schema, undefined=True)


# --- sending --------------------------------------------------------------------------------


async def _in_transaction(
    directory: RemoteDirectory,
    besides: Sequence[ModifyRequest],
    work: list[Work],
    progress: Progress,
    tick: Callable[[int], object],
) -> None:
    """All of it or, where anything fails, nothing (RFC 5805)."""
    identifier = (await directory.ask(ExtendedRequest(START_TRANSACTION, None))).value or b""
    part_of = Control(TRANSACTION, True, identifier)
    sent = Progress()
    try:
        await _send_all(directory, besides, work, (part_of,), sent, tick)
        if sent.overtaken:
            raise LDAPError(ResultCode.OTHER, f"{sent.overtaken} entries changed meanwhile")
    except LDAPError:
        await directory.ask(ExtendedRequest(END_TRANSACTION, _end(identifier, commit=False)))
        raise
    progress.unsure = True
    try:
        await directory.ask(ExtendedRequest(END_TRANSACTION, _end(identifier, commit=True)))
    except LDAPError as error:
        progress.unsure = False
        message = error.message or "the server refuses the transaction"
        raise LDAPError(error.code, message, error.matched_dn) from None
    progress.unsure = False
    progress.beside, progress.changed = sent.beside, sent.changed


def _end(identifier: bytes, *, commit: bool) -> bytes:
    """``TxnEndReq ::= SEQUENCE { commit BOOLEAN DEFAULT TRUE, identifier OCTET STRING }``"""
    return ber.sequence(b"" if commit else ber.boolean(False), ber.octets(identifier))


async def _send_all(
    directory: RemoteDirectory,
    besides: Sequence[ModifyRequest],
    work: list[Work],
    controls: tuple[Control, ...],
    progress: Progress,
    tick: Callable[[int], object],
) -> None:
    """First what goes with the move, which must be possible as it stands."""
    for each in besides:
        try:
            await directory.ask(each, controls)
        except LDAPError as error:
            raise LDAPError(error.code, f"{each.dn}: {error.message}", error.matched_dn) from None
        progress.beside += 1
    await _send(directory, work, controls, progress, tick)


class _Waiting(Iterator[Work]):
    """What is not yet sent, handed out to several senders; nothing more after ``stop``."""

    def __init__(self, work: list[Work]) -> None:
        self._work = iter(work)

    def stop(self) -> None:
        self._work = iter(())

    def __next__(self) -> Work:
        return next(self._work)


async def _send(
    directory: RemoteDirectory,
    work: list[Work],
    controls: tuple[Control, ...],
    progress: Progress,
    tick: Callable[[int], object],
) -> None:
    """Send all, ``WINDOW`` at a time; the first failure stops what is not yet sent."""
    waiting = _Waiting(work)

    async def send() -> None:
        for item in waiting:
            try:
                await directory.ask(ModifyRequest(item.dn, item.changes), controls)
                progress.changed += 1
            except LDAPError as error:
                if error.code not in OVERTAKEN:
                    waiting.stop()
                    raise LDAPError(error.code, f"{item.dn}: {error.message}", error.matched_dn) from None
                progress.overtaken += 1
            tick(progress.changed + progress.overtaken)

    senders: list[Any] = [Deferred.fromCoroutine(send()) for _ in range(WINDOW)]
    outcomes: list[tuple[bool, object]] = await DeferredList(senders, consumeErrors=True)
    for _, outcome in outcomes:
        if isinstance(outcome, Failure):
            outcome.raiseException()
