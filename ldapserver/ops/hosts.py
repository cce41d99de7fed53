"""Rehost and restore: where accounts are served, changed for all of a host at once.

The rules of a move stand in ``storage.placements``.  A whole host, or all of it below a
base, is a few placement rows whatever the number of accounts.  A filter or a list picks
entries out of placements, which then move one by one, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldapserver.aliases import find_base
from ldapserver.core import Core
from ldapserver.identity import Identity
from ldapserver.messages import BulkReport, Equality, Rehost, Restore, Selection
from ldapserver.ops.edit import LONGEST_HOST
from ldapserver.ops.select import selected
from ldapserver.results import LDAPError, ResultCode
from ldapserver.walk import is_below
from storage import csn as csns
from storage import records
from storage.changes import Kind
from storage.csn import Csn
from storage.keys import NO_PLACEMENT, ROOT, EntryId, PlacementId
from storage.placements import Host, Placement
from storage.txn import NO_TERMS, WriteTransaction


def rehost(core: Core, txn: WriteTransaction, identity: Identity, request: Rehost) -> BulkReport:
    """Raises LDAPError: rights, a bad name or filter, a move of a host to itself."""
    source, target = host(core, request.source), host(core, request.target)
    if source == target:
        raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, f"{request.source} can't be moved to itself")
    move = Move(core, txn, identity, target)
    return move.run("hostServer", source, request.selection, dry_run=request.dry_run)


def restore(core: Core, txn: WriteTransaction, identity: Identity, request: Restore) -> BulkReport:
    """Raises LDAPError like ``rehost``."""
    source = host(core, request.source)
    move = Move(core, txn, identity, None)
    return move.run("oldHostServer", source, request.selection, dry_run=request.dry_run)


def host(core: Core, name: str) -> Host:
    """A host's name as a value of hostServer; raises INVALID_ATTRIBUTE_SYNTAX."""
    kind = core.schema.description("hostServer").type
    value = name.encode()
    assert kind.equality is not None
    try:
        if not 0 < len(value) <= LONGEST_HOST or not kind.syntax.validate(value):
            raise ValueError
        return Host(value, kind.equality.normalise(value))
    except ValueError:
        raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, f"{name[:80]!r} is not a host's name") from None


class Move:
    """One move to ``target``, or back home where that is None."""

    def __init__(self, core: Core, txn: WriteTransaction, identity: Identity, target: Host | None) -> None:
        if not identity.administrator:
            raise LDAPError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "moving accounts is the administrator's")
        self._core = core
        self._txn = txn
        self._identity = identity
        self._target = target
        self._modifier = identity.dn.encode()
        self._csn: Csn | None = None

    def run(self, attribute: str, source: Host, selection: Selection, *, dry_run: bool) -> BulkReport:
        txn = self._txn
        places = txn.placements_of_host if attribute == "hostServer" else txn.placements_of_old_host
        numbers = places(source.key)
        if selection.filter is None and selection.accounts is None:
            base = self._base(selection.base)
            whole = [number for number in numbers if is_below(txn, txn.placement(number).container, base)]
            single = [base] if base != ROOT and self._placement_of(base) in set(numbers) - set(whole) else []
        else:
            whole = []
            single = list(selected(self._core, txn, selection, Equality(attribute, source.name)))
        count = sum(txn.members_count(number) for number in whole) + len(single)
        if count and not dry_run:
            self._move_placements(whole)
            self._move_entries(single)
        return BulkReport(count, count, csns.text(self._csn) if self._csn else "", dry_run)

    def _base(self, dn: str) -> EntryId:
        if not dn:
            return ROOT
        return find_base(self._core, self._txn, self._core.state_in(self._txn).names, dn, follow=False)

    def _placement_of(self, entry: EntryId) -> PlacementId:
        record = self._txn.entry(entry)
        return records.placement_of(record) if record is not None else NO_PLACEMENT

    def _moved(self, placement: Placement) -> Placement:
        self._csn = self._csn or self._txn.next_csn()
        if self._target is not None:
            return placement.moved(self._target, self._csn, self._modifier)
        return placement.restored(self._csn, self._modifier)

    def _move_placements(self, numbers: Iterable[PlacementId]) -> None:
        txn = self._txn
        moved = []
        for number in numbers:
            placement = txn.placement(number)
            if txn.members_count(number):
                txn.move_placement(number, self._moved(placement))
                moved.append(number)
        if moved and self._csn:
            txn.log(Kind.MOVE, self._csn, moved)

    def _move_entries(self, entries: Iterable[EntryId]) -> None:
        txn = self._txn
        destinations: dict[PlacementId, PlacementId] = {}
        changed = []
        for entry in entries:
            record = txn.entry(entry)
            assert record is not None
            number = records.placement_of(record)
            if number not in destinations:
                moved = self._moved(txn.placement(number))
                destinations[number] = txn.placement_for(moved.container, moved.host, moved.old)
            assert self._csn is not None
            new = records.restamped(record, destinations[number], self._csn, self._modifier)
            txn.replace(entry, new, NO_TERMS, NO_TERMS)
            changed.append(entry)
        if changed and self._csn:
            txn.log(Kind.MODIFY, self._csn, changed)
