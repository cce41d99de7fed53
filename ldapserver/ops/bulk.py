"""The same modification on any number of entries, in one transaction.

What it does to each entry is what ``modify`` does.  Replacing attributes that no index,
name or placement depends on, by far the most common bulk change, is instead worked out
once for each shape of entry and then spliced into the records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ldapserver.core import Core
from ldapserver.identity import Identity
from ldapserver.indexing import Indexes
from ldapserver.messages import BulkModify, BulkReport, Change, ModifyOp
from ldapserver.ops.edit import Draft
from ldapserver.ops.modify import modified
from ldapserver.ops.select import selected
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription
from ldapserver.schema.check import check_shape, check_values
from ldapserver.views import PLACED
from ldapserver.wire.encode import partial_attribute
from storage import csn as csns
from storage import records
from storage.changes import Kind
from storage.csn import Csn
from storage.keys import ROOT, EntryId
from storage.splice import Splicer
from storage.txn import WriteTransaction

_BATCH = 10_000

# Whatever they are replaced with, more is to be looked at.
_NOT_PLAIN = {"objectClass", "userPassword", *PLACED}
# The store's own; no record has an attribute of it.
_NO_NUMBER = 0

Splices: TypeAlias = Mapping[AttributeDescription, bytes | None]


def bulk_modify(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    request: BulkModify,
    progress: Callable[[int], None] = lambda _: None,
) -> BulkReport:
    """Raises LDAPError, then naming the first entry that refuses; nothing is changed then."""
    if not identity.administrator:
        raise LDAPError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "bulk changes are the administrator's")
    # In the order of ids, which is the order in which they are stored.
    entries = sorted(selected(core, txn, request.selection))
    bulk = _Bulk(core, txn, identity, request.changes, dry_run=request.dry_run)
    changed = []
    for number, entry in enumerate(entries, start=1):
        if bulk.change(entry):
            changed.append(entry)
        if not number % _BATCH:
            bulk.flush()
            progress(number)
    bulk.flush()
    progress(len(entries))
    if bulk.csn is None:
        return BulkReport(len(entries), len(changed), "", request.dry_run)
    txn.log(Kind.MODIFY, bulk.csn, changed)
    return BulkReport(len(entries), len(changed), csns.text(bulk.csn), request.dry_run)


class _Bulk:
    """The changes, and what of them is worked out already.

    ``csn`` is theirs; None as long as nothing is written.
    """

    def __init__(
        self,
        core: Core,
        txn: WriteTransaction,
        identity: Identity,
        changes: tuple[Change, ...],
        *,
        dry_run: bool,
    ) -> None:
        self.csn: Csn | None = None
        self._core = core
        self._txn = txn
        self._changes = changes
        self._dry_run = dry_run
        self._state = core.state_in(txn)
        self._modifier = identity.dn.encode()
        self._classes = core.catalogue.number_of_type("objectClass")
        self._splices = _splices(core, self._state.indexes, changes)
        self._names = tuple(
            name.lower().encode() + b"="
            for description in self._splices or ()
            for name in (*description.type.names, description.type.oid)
        )
        self._splicer = None
        if self._splices is not None:
            edits = self._numbered(self._splices)
            self._splicer = Splicer(edits, self._classes, self._check, self._due_csn, self._modifier)
        self._entry = ROOT
        self._waiting: list[tuple[EntryId, bytes]] = []

    def change(self, entry: EntryId) -> bool:
        """Whether the entry is different now (or would be)."""
        self._entry = entry
        data = self._txn.entry(entry)
        assert data is not None
        if self._splicer is None or self._is_named_by(data):
            return self._modify(entry, data)
        new = self._splicer.splice(data)
        if new is None:
            return False
        if not self._dry_run:
            self._waiting.append((entry, new))
        return True

    def flush(self) -> None:
        if self._waiting:
            self._txn.rewrite(self._waiting)
            self._waiting = []

    def _due_csn(self) -> Csn:
        if self._dry_run:
            return csns.NO_CSN
        if self.csn is None:
            self.csn = self._txn.next_csn()
        return self.csn

    def _numbered(self, splices: Splices) -> list[tuple[int, bytes | None]]:
        """By description number; none is given out for what is only tried or taken away."""
        there = {text: number for number, text in self._txn.description_rows()}
        return [
            (
                there.get(description.text, _NO_NUMBER)
                if self._dry_run or encoded is None
                else self._core.catalogue.number(description, self._txn),
                encoded,
            )
            for description, encoded in splices.items()
        ]

    def _is_named_by(self, data: bytes) -> bool:
        """Whether the entry's RDN has (or might have) one of the attributes."""
        rdn = records.rdn_of(data).lower()
        return rdn.startswith(self._names) or (0x2B in rdn and any(name in rdn for name in self._names))

    def _check(self, data: bytes) -> None:
        """Whether entries of this shape and these classes may be changed so."""
        core = self._core
        draft = Draft(core, self._txn, self._state.indexes, self._entry, data)
        after = dict.fromkeys(draft.descriptions())
        for description, encoded in (self._splices or {}).items():
            if encoded is None:
                after.pop(description, None)
            else:
                after[description] = None
        classes = draft.stored(core.schema.description("objectClass"))
        try:
            check_shape(core.schema, tuple(classes), tuple(after))
        except LDAPError as error:
            raise self._naming(error, data) from error

    def _modify(self, entry: EntryId, data: bytes) -> bool:
        """By the ordinary way."""
        try:
            plan = modified(self._core, self._txn, self._state, entry, data, self._changes)
        except LDAPError as error:
            raise self._naming(error, data) from error
        if plan is None:
            return False
        if not self._dry_run:
            plan.store(self._txn, self._due_csn(), self._modifier)
        return True

    def _naming(self, error: LDAPError, data: bytes) -> LDAPError:
        dn = self._state.names.dn(self._txn, data).decode()
        return LDAPError(error.code, f"{dn}: {error.message}", error.matched_dn)


def _splices(core: Core, indexes: Indexes, changes: tuple[Change, ...]) -> Splices | None:
    """New BER by description, or None to remove it, if all changes can be spliced."""
    found: dict[AttributeDescription, bytes | None] = {}
    for change in changes:
        description = core.schema.description(change.type)
        kind = description.type
        replaced = change.op is ModifyOp.REPLACE
        plain = (
            replaced
            and description not in found
            and not kind.operational
            and not kind.no_user_modification
            and kind.name not in _NOT_PLAIN
            and kind not in indexes.equality
            and kind not in indexes.substrings
        )
        if not plain:
            return None
        encoded = None
        if change.values:
            check_values(description, change.values)
            encoded = partial_attribute(description.text.encode(), change.values)
        found[description] = encoded
    return found
