"""The same modification on any number of entries, in one transaction.

What it does to each entry is what ``modify`` does.  Replacing attributes that no index,
name or placement depends on, by far the most common bulk change, is instead worked out
once for each shape of entry and then spliced into the records.
"""

from __future__ import annotations

from collections.abc import Callable

from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.identity import Identity
from ldapserver.indexing import Indexes
from ldapserver.messages import BulkModify, BulkReport, Change, ModifyOp
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
from storage.keys import EntryId
from storage.txn import WriteTransaction

_BATCH = 10_000


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
    entries = list(selected(core, txn, request.selection))
    csn = txn.next_csn() if entries and not request.dry_run else txn.last_csn()
    bulk = _Bulk(core, txn, identity, request.changes, csn, dry_run=request.dry_run)
    changed = []
    for number, entry in enumerate(entries, start=1):
        if bulk.change(entry):
            changed.append(entry)
        if not number % _BATCH:
            bulk.flush()
            progress(number)
    bulk.flush()
    progress(len(entries))
    if changed and not request.dry_run:
        txn.log(Kind.MODIFY, csn, changed)
    text = csns.text(csn) if changed and not request.dry_run else ""
    return BulkReport(len(entries), len(changed), text, request.dry_run)


class _Bulk:
    """The changes, and what of them is worked out already."""

    def __init__(
        self,
        core: Core,
        txn: WriteTransaction,
        identity: Identity,
        changes: tuple[Change, ...],
        csn: Csn,
        *,
        dry_run: bool,
    ) -> None:
        self._core = core
        self._txn = txn
        self._identity = identity
        self._changes = changes
        self._csn = csn
        self._dry_run = dry_run
        self._state = core.state_in(txn)
        self._splices = _splices(core, txn, self._state.indexes, changes)
        self._names = tuple(
            name.lower().encode() + b"="
            for description, _, _ in self._splices or ()
            for name in (*description.type.names, description.type.oid)
        )
        self._edits = [(number, encoded) for _, number, encoded in self._splices or ()]
        self._classes = core.catalogue.number_of_type("objectClass")
        self._allowed: set[tuple[bytes, bytes | None]] = set()
        self._modifier = identity.dn.encode()
        self._waiting: list[tuple[EntryId, bytes]] = []

    def change(self, entry: EntryId) -> bool:
        """Whether the entry is different now (or would be)."""
        data = self._txn.entry(entry)
        assert data is not None
        if self._splices is None or self._is_named_by(data):
            return self._modify(entry, data)
        edits = self._edits
        if all(records.attribute_of(data, number) == encoded for number, encoded in edits):
            return False
        key = (records.shape_of(data), records.attribute_of(data, self._classes))
        if key not in self._allowed:
            self._check(entry, data)
            self._allowed.add(key)
        if not self._dry_run:
            self._waiting.append((entry, records.spliced(data, edits, self._csn, self._modifier)))
        return True

    def flush(self) -> None:
        if self._waiting:
            self._txn.rewrite(self._waiting)
            self._waiting = []

    def _is_named_by(self, data: bytes) -> bool:
        """Whether the entry's RDN has (or might have) one of the attributes."""
        rdn = records.rdn_of(data).lower()
        return any(name in rdn for name in self._names)

    def _check(self, entry: EntryId, data: bytes) -> None:
        """Whether entries of this shape and these classes may be changed so."""
        record = records.unpack(data)
        core = self._core
        after = dict.fromkeys(number for number, _ in record.attributes)
        for number, encoded in self._edits:
            if encoded is None:
                after.pop(number, None)
            else:
                after[number] = None
        descriptions = tuple(core.catalogue.description(number, self._txn) for number in after)
        classes = next(encoded for number, encoded in record.attributes if number == self._classes)
        try:
            check_shape(core.schema, tuple(values_of(classes)), descriptions)
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
            plan.store(self._txn, self._csn, self._modifier)
        return True

    def _naming(self, error: LDAPError, data: bytes) -> LDAPError:
        dn = self._state.names.dn(self._txn, data).decode()
        return LDAPError(error.code, f"{dn}: {error.message}", error.matched_dn)


def _splices(
    core: Core, txn: WriteTransaction, indexes: Indexes, changes: tuple[Change, ...]
) -> list[tuple[AttributeDescription, int, bytes | None]] | None:
    """(description, its number, new BER or None) of each change, if all can be spliced."""
    found: dict[AttributeDescription, tuple[AttributeDescription, int, bytes | None]] = {}
    for change in changes:
        description = core.schema.description(change.type)
        kind = description.type
        replaced = change.op is ModifyOp.REPLACE
        plain = (
            replaced
            and description not in found
            and not kind.operational
            and not kind.no_user_modification
            and kind.name != "objectClass"
            and kind.name not in PLACED
            and kind not in indexes.equality
            and kind not in indexes.substrings
        )
        if not plain:
            return None
        encoded = None
        if change.values:
            check_values(description, change.values)
            encoded = partial_attribute(description.text.encode(), change.values)
        found[description] = (description, core.catalogue.number(description, txn), encoded)
    return list(found.values())
