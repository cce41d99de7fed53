"""Writing: one transaction, seen by its own reads at once and by others when it commits.

Every method keeps the tables consistent with each other (``check`` says what that
means).  Callers bring the index terms, because only they know matching rules; what they
take away must be what they put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from storage import changes, keys, placements, postings, records
from storage.changes import Kind
from storage.csn import NO_CSN, Csn, following
from storage.env import RawTable, RawTransaction, Tables
from storage.env import append as env_append
from storage.errors import Conflict
from storage.keys import NO_PLACEMENT, EntryId, Gram, PlacementId, Term
from storage.placements import Host, Placement
from storage.snapshot import Snapshot

# Rows that the change table keeps; trimmed now and then, so that it may hold more.
CHANGES_KEPT = 100_000
_TRIM_EVERY = 1_000


@frozen
class Terms:
    """Where an entry is found: its equality terms and its grams."""

    equality: frozenset[Term] = frozenset()
    grams: frozenset[Gram] = frozenset()


NO_TERMS = Terms()


class WriteTransaction(Snapshot):
    """``micros`` is the time of the changes, in microseconds since 1970."""

    def __init__(self, txn: RawTransaction, tables: Tables, micros: int) -> None:
        super().__init__(txn, tables)
        self.raw = txn
        self.tables = tables
        self._put = txn.put
        self.micros = micros
        self.writes = 0
        self._last_csn: Csn | None = None
        self._described: dict[str, int] | None = None

    # --- entries -----------------------------------------------------------------

    def add(self, rdn: bytes, record: bytes, terms: Terms) -> EntryId:
        """Store a new entry below its record's parent; ``rdn`` is normalised.

        Raises Conflict when the name is taken.
        """
        parent = records.parent_of(record)
        number = self.last_entry() + 1
        entry = number.to_bytes(8, "big")
        if not self._put(parent + keys.bounded(rdn), entry, db=self._tables.tree, overwrite=False):
            raise Conflict(f"the name {rdn!r} is taken")
        self.set_last_entry(number)
        env_append(self._txn, self._entries, ((entry, record),))
        self._count_child(parent, 1)
        self._index(entry, terms, NO_TERMS)
        self._join(entry, NO_PLACEMENT, records.placement_of(record))
        return entry

    def replace(self, entry: EntryId, record: bytes, added: Terms, removed: Terms) -> None:
        """Store another record for an entry whose place in the tree stays."""
        old = self._record(entry)
        self.writes += 1
        self._put(entry, record, db=self._entries)
        self._index(entry, added, removed)
        self._join(entry, records.placement_of(old), records.placement_of(record))

    def delete(self, entry: EntryId, rdn: bytes, terms: Terms) -> None:
        """Raises Conflict while the entry has children."""
        if self.children_count(entry):
            raise Conflict("the entry has children")
        old = self._record(entry)
        self.writes += 1
        parent = records.parent_of(old)
        self._txn.delete(parent + keys.bounded(rdn), db=self._tables.tree)
        self._txn.delete(entry, db=self._entries)
        self._count_child(parent, -1)
        self._index(entry, NO_TERMS, terms)
        self._join(entry, records.placement_of(old), NO_PLACEMENT)

    def move(
        self, entry: EntryId, old_rdn: bytes, new_rdn: bytes, record: bytes, added: Terms, removed: Terms
    ) -> None:
        """Give an entry another name or parent (its new record's); what is below moves along.

        Raises Conflict when the name is taken.
        """
        old = self._record(entry)
        old_parent, new_parent = records.parent_of(old), records.parent_of(record)
        old_key, new_key = old_parent + keys.bounded(old_rdn), new_parent + keys.bounded(new_rdn)
        if old_key != new_key:
            if not self._put(new_key, entry, db=self._tables.tree, overwrite=False):
                raise Conflict(f"the name {new_rdn!r} is taken")
            self._txn.delete(old_key, db=self._tables.tree)
        self.writes += 1
        if old_parent != new_parent:
            self._count_child(old_parent, -1)
            self._count_child(new_parent, 1)
        self._put(entry, record, db=self._entries)
        self._index(entry, added, removed)
        self._join(entry, records.placement_of(old), records.placement_of(record))
        self._put(b"tree", (self.tree_number() + 1).to_bytes(8, "big"), db=self._tables.meta)

    def rewrite(self, items: Sequence[tuple[EntryId, bytes]]) -> None:
        """Store other records for many entries; their terms, places and placements stay."""
        self.writes += 1
        with self._txn.cursor(self._entries) as cursor:
            cursor.putmulti(items)

    # --- placements --------------------------------------------------------------

    def placement_for(self, container: EntryId, host: Host | None, old: Host | None) -> PlacementId:
        """The placement of these values, made when there is none; NO_PLACEMENT for no values."""
        if host is None and old is None:
            return NO_PLACEMENT
        wanted = Placement(container, host, old)
        found: PlacementId | None = self._get(b"k" + keys.bounded(wanted.key), None, self._tables.placed)
        return self.add_placement(wanted) if found is None else found

    def add_placement(self, new: Placement) -> PlacementId:
        """A placement besides those that there are, be they equal."""
        self.writes += 1
        number = self._next("last-placement", 4)
        self._store_placement(number, new)
        return number

    def move_placement(self, number: PlacementId, new: Placement) -> None:
        """Other hosts for all members at once."""
        self.writes += 1
        self._forget_placement(number, self.placement(number))
        self._store_placement(number, new)

    def _store_placement(self, number: PlacementId, new: Placement) -> None:
        self._put(number, placements.pack(new), db=self._tables.placements)
        for key in placed_keys(new):
            self._put(key, number, db=self._tables.placed)

    def _forget_placement(self, number: PlacementId, old: Placement) -> None:
        for key in placed_keys(old):
            self._txn.delete(key, number, db=self._tables.placed)

    def _join(self, entry: EntryId, old: PlacementId, new: PlacementId) -> None:
        if old == new:
            return
        if old != NO_PLACEMENT:
            self._txn.delete(keys.members(old), entry, db=self._tables.index)
        if new != NO_PLACEMENT:
            self._put(keys.members(new), entry, db=self._tables.index)

    # --- the rest ----------------------------------------------------------------

    def describe(self, text: str) -> int:
        """The number of an attribute description, given out at its first use."""
        if self._described is None:
            self._described = {known: number for number, known in self.description_rows()}
        number = self._described.get(text)
        if number is None:
            self.writes += 1
            key = self._next("last-description", 2)
            self._put(key, text.encode(), db=self._tables.descriptions)
            number = self._described[text] = int.from_bytes(key, "big")
        return number

    def next_csn(self) -> Csn:
        """A CSN after all that were given out."""
        self.writes += 1
        last = self._last_csn or self.last_csn()
        self._last_csn = following(last, self.micros)
        self._put(b"last-csn", self._last_csn, db=self._tables.meta)
        return self._last_csn

    def witness(self, csn: Csn) -> None:
        """Let all that are given out from now on be after one that came from elsewhere."""
        if csn > (self._last_csn or self.last_csn()):
            self._last_csn = csn
            self.set_meta(b"last-csn", csn)

    def log(self, kind: Kind, csn: Csn, subjects: Sequence[bytes]) -> None:
        """Tell of a change to those who follow."""
        self.writes += 1
        for row in changes.rows(kind, subjects):
            number = self._next("last-change", 8)
            self._put(csn + number[4:], row, db=self._tables.changes)
            if not int.from_bytes(number, "big") % _TRIM_EVERY:
                self._trim_changes()

    def set_last_entry(self, number: int) -> None:
        self.set_meta(b"last-entry", number.to_bytes(8, "big"))

    def set_meta(self, name: bytes, value: bytes) -> None:
        self.writes += 1
        self._put(name, value, db=self._tables.meta)

    def delete_meta(self, name: bytes) -> None:
        self.writes += 1
        self._txn.delete(name, db=self._tables.meta)

    def clear_index(self) -> None:
        """Drop all terms and grams, before they are made again; members stay."""
        self.writes += 1
        self._txn.drop(self._tables.grams, delete=False)
        own = [(term, self.ids(term)) for term in self.distinct_terms(b"\0\0", b"\0\1")]
        self._txn.drop(self._tables.index, delete=False)
        env_append(self._txn, self._tables.index, ((term, entry) for term, ids in own for entry in ids))

    def _trim_changes(self) -> None:
        table = self._tables.changes
        surplus = self._txn.stat(table)["entries"] - CHANGES_KEPT
        trimmed = NO_CSN
        with self._txn.cursor(table) as cursor:
            while surplus > 0 and cursor.first():
                trimmed = cursor.key()[:16]
                cursor.delete()
                surplus -= 1
        if trimmed != NO_CSN:
            self._put(b"changes-trimmed", trimmed, db=self._tables.meta)

    def _record(self, entry: EntryId) -> bytes:
        record = self.entry(entry)
        if record is None:
            raise Conflict(f"entry {entry.hex()} is gone")
        return record

    def _next(self, name: str, width: int) -> bytes:
        key = name.encode()
        number = int.from_bytes(self._get(key, None, self._tables.meta) or b"", "big") + 1
        value = number.to_bytes(width, "big")
        self._put(key, value, db=self._tables.meta)
        return value

    def _count_child(self, parent: EntryId, by: int) -> None:
        count = self.children_count(parent) + by
        if count:
            self._put(parent, count.to_bytes(8, "big"), db=self._tables.children)
        else:
            self._txn.delete(parent, db=self._tables.children)

    def _index(self, entry: EntryId, added: Terms, removed: Terms) -> None:
        index = self._tables.index
        for term in removed.equality - added.equality:
            self._txn.delete(term, entry, db=index)
        for term in added.equality - removed.equality:
            self._put(term, entry, db=index)
        gone, new = removed.grams - added.grams, added.grams - removed.grams
        if gone or new:
            chunk, place = postings.split(entry)
            self._change_grams(gone, chunk, 1 << place, present=False)
            self._change_grams(new, chunk, 1 << place, present=True)

    def _change_grams(self, grams: Iterable[Gram], chunk: bytes, bit: int, *, present: bool) -> None:
        table: RawTable = self._tables.grams
        for gram in grams:
            key = gram + chunk
            found = self._get(key, None, table)
            bits = postings.decode(found) if found else 0
            bits = bits | bit if present else bits & ~bit
            if bits:
                self._put(key, postings.encode(bits), db=table)
            else:
                self._txn.delete(key, db=table)


def placed_keys(placement: Placement) -> list[bytes]:
    found = [b"k" + keys.bounded(placement.key)]
    if placement.host is not None:
        found.append(b"h" + keys.bounded(placement.host.key))
    if placement.old is not None:
        found.append(b"o" + keys.bounded(placement.old.key))
    return found
