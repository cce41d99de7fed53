"""Reading: one state of the store, unmoved by what is written meanwhile.

A snapshot is a scope: close it (or use ``with``).  While it lives LMDB keeps every page
that it can see, so a short request closes it at once and only a long search keeps one.
Nothing returned here refers to LMDB's memory; iterators end with their snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from storage import changes, keys, placements, postings
from storage.csn import NO_CSN, Csn
from storage.env import RawTable, RawTransaction, Tables
from storage.keys import ROOT, EntryId, Gram, PlacementId, Term


class Snapshot:
    def __init__(self, txn: RawTransaction, tables: Tables) -> None:
        self._txn = txn
        self._tables = tables
        self._get = txn.get
        self._entries = tables.entries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._txn.abort()

    @property
    def number(self) -> int:
        """The transaction whose state this is; grows with every commit of any process."""
        return int(self._txn.id())

    # --- entries and their tree --------------------------------------------------

    def entry(self, entry: EntryId) -> bytes | None:
        """The entry's record (``records``)."""
        found: bytes | None = self._get(entry, None, self._entries)
        return found

    def child(self, parent: EntryId, rdn: bytes) -> EntryId | None:
        """The entry of a normalised RDN below a parent."""
        found: bytes | None = self._get(parent + keys.bounded(rdn), None, self._tables.tree)
        return found

    def children(self, parent: EntryId, after: bytes | None = None) -> Iterator[EntryId]:
        """Direct subordinates in the order of their normalised RDNs, or those after one."""
        start = parent if after is None else parent + keys.bounded(after) + b"\0"
        for _, value in self._range(self._tables.tree, start, keys.successor(parent)):
            yield value

    def children_count(self, parent: EntryId) -> int:
        found = self._get(parent, None, self._tables.children)
        return int.from_bytes(found, "big") if found else 0

    def entries(self, after: EntryId = ROOT) -> Iterator[tuple[EntryId, bytes]]:
        """All entries (id, record) with larger ids, in the order of ids."""
        start = (int.from_bytes(after, "big") + 1).to_bytes(8, "big")
        return self._range(self._tables.entries, start, b"")

    def entry_count(self) -> int:
        return int(self._txn.stat(self._tables.entries)["entries"])

    # --- indexes -----------------------------------------------------------------

    def ids(self, term: Term) -> list[EntryId]:
        """The entries of an index term, ascending."""
        with self._txn.cursor(self._tables.index) as cursor:
            return list(cursor.iternext_dup()) if cursor.set_key(term) else []

    def each_id(self, term: Term, after: EntryId = ROOT) -> Iterator[EntryId]:
        """``ids`` larger than one, one at a time: for terms that very many entries have."""
        start = (int.from_bytes(after, "big") + 1).to_bytes(8, "big")
        with self._txn.cursor(self._tables.index) as cursor:
            if cursor.set_key(term) if after == ROOT else cursor.set_range_dup(term, start):
                yield from cursor.iternext_dup()

    def ids_count(self, term: Term) -> int:
        with self._txn.cursor(self._tables.index) as cursor:
            return int(cursor.count()) if cursor.set_key(term) else 0

    def few_ids(self, term: Term) -> Iterable[EntryId]:
        """``ids`` of a term that most often has one, for look-ups."""
        cursor = self._txn.cursor(self._tables.index)
        if not cursor.set_key(term):
            return ()
        return (cursor.value(),) if cursor.count() == 1 else list(cursor.iternext_dup())

    def few_ids_or_none(self, term: Term, most: int) -> Iterable[EntryId] | None:
        """``few_ids``; None when there are more than ``most``."""
        cursor = self._txn.cursor(self._tables.index)
        if not cursor.set_key(term):
            return ()
        count = cursor.count()
        if count == 1:
            return (cursor.value(),)
        return list(cursor.iternext_dup()) if count <= most else None

    def has_id(self, term: Term, entry: EntryId) -> bool:
        with self._txn.cursor(self._tables.index) as cursor:
            return bool(cursor.set_key_dup(term, entry))

    def terms(self, start: Term, stop: Term) -> Iterator[tuple[Term, EntryId]]:
        """Index rows of terms from ``start`` up to ``stop``, in order."""
        return self._range(self._tables.index, start, stop)

    def distinct_terms(self, start: Term, stop: Term) -> Iterator[Term]:
        with self._txn.cursor(self._tables.index) as cursor:
            if cursor.set_range(start):
                for key in cursor.iternext_nodup(keys=True, values=False):
                    if stop and key >= stop:
                        return
                    yield key

    def postings(self, gram: Gram) -> Iterator[tuple[bytes, int]]:
        """The chunks that have a gram (b"" is any): chunk key part and bits (``postings``)."""
        for key, value in self.posting_rows(gram):
            yield key[-8:], postings.decode(value)

    def posting_rows(self, gram: Gram) -> Iterator[tuple[bytes, bytes]]:
        """``postings`` as they are stored, under their whole keys."""
        return self._range(self._tables.grams, gram, keys.successor(gram))

    def posting(self, gram: Gram, chunk: bytes) -> int:
        found = self._get(gram + chunk, None, self._tables.grams)
        return postings.decode(found) if found else 0

    # --- placements --------------------------------------------------------------

    def placement(self, placement: PlacementId) -> placements.Placement:
        return placements.unpack(self._get(placement, None, self._tables.placements))

    def placement_row(self, placement: PlacementId) -> bytes:
        """The stored form, for callers that keep what they made of it by its bytes."""
        found: bytes = self._get(placement, None, self._tables.placements)
        return found

    def all_placements(self) -> Iterator[tuple[PlacementId, placements.Placement]]:
        for key, value in self.placement_rows():
            yield key, placements.unpack(value)

    def placement_rows(self) -> Iterator[tuple[PlacementId, bytes]]:
        return self._range(self._tables.placements, b"", b"")

    def placements_of_host(self, key: bytes) -> list[PlacementId]:
        """Placements whose host has this normalised name."""
        return self._placed(b"h" + keys.bounded(key))

    def placements_of_old_host(self, key: bytes) -> list[PlacementId]:
        return self._placed(b"o" + keys.bounded(key))

    def members(self, placement: PlacementId) -> list[EntryId]:
        return self.ids(keys.members(placement))

    def members_count(self, placement: PlacementId) -> int:
        return self.ids_count(keys.members(placement))

    def is_placed(self, key: bytes, number: PlacementId) -> bool:
        with self._txn.cursor(self._tables.placed) as cursor:
            return bool(cursor.set_key_dup(key, number))

    def _placed(self, key: bytes) -> list[PlacementId]:
        with self._txn.cursor(self._tables.placed) as cursor:
            return list(cursor.iternext_dup()) if cursor.set_key(key) else []

    # --- the rest ----------------------------------------------------------------

    def last_entry(self) -> int:
        """The number of the entry that was added last."""
        return int.from_bytes(self.meta(b"last-entry") or b"", "big")

    def last_description(self) -> int:
        """The number of the attribute description that was met last."""
        return int.from_bytes(self.meta(b"last-description") or b"", "big")

    def description_text(self, number: int) -> str:
        found: bytes = self._get(keys.U16.pack(number), None, self._tables.descriptions)
        return found.decode()

    def description_rows(self) -> Iterator[tuple[int, str]]:
        for key, value in self._range(self._tables.descriptions, b"", b""):
            yield int.from_bytes(key, "big"), value.decode()

    def changes(self, after: Csn = NO_CSN) -> Iterator[changes.Change]:
        for key, value in self._range(self._tables.changes, after + b"\xff" * 4, b""):
            if key[:16] != after:
                yield changes.unpack(key, value)

    def last_change(self) -> Csn:
        """The last change's CSN, even if its rows are gone; NO_CSN before the first."""
        with self._txn.cursor(self._tables.changes) as cursor:
            if cursor.last():
                key: bytes = cursor.key()
                return key[:16]
        return self.changes_trimmed()

    def knows_change(self, csn: Csn) -> bool:
        """Whether all that followed a change can be told: it is in the table, or the last
        one that was trimmed."""
        if csn == self.changes_trimmed():
            return True
        with self._txn.cursor(self._tables.changes) as cursor:
            return bool(cursor.set_range(csn)) and cursor.key()[:16] == csn and csn > self.changes_trimmed()

    def changes_trimmed(self) -> Csn:
        """Changes up to and including this CSN may be gone from the table."""
        return self.meta(b"changes-trimmed") or NO_CSN

    def last_csn(self) -> Csn:
        return self.meta(b"last-csn") or NO_CSN

    def tree_number(self) -> int:
        """Grows when an entry gets another DN, which outdates remembered DNs."""
        return int.from_bytes(self.meta(b"tree") or b"", "big")

    def row_counts(self) -> dict[str, int]:
        """Rows by table, for checks and statistics."""
        tables = vars(self._tables)
        return {name: int(self._txn.stat(table)["entries"]) for name, table in tables.items()}

    def meta(self, name: bytes) -> bytes | None:
        found: bytes | None = self._get(name, None, self._tables.meta)
        return found

    def _range(self, table: RawTable, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._txn.cursor(table) as cursor:
            if cursor.set_range(start) if start else cursor.first():
                for item in cursor:
                    if stop and item[0] >= stop:
                        return
                    yield item
