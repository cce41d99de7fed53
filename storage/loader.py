"""Adding entries by the hundred thousand, inside a write transaction.

The same result as ``WriteTransaction.add`` for each, but what can wait is collected and
stored in the order of keys, which costs LMDB a fraction.  ``flush`` before anything else
reads the entries, and at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add
from typing import TypeAlias

from storage import keys, postings
from storage.env import append, put_sorted
from storage.errors import Conflict
from storage.keys import NO_PLACEMENT, EntryId, PlacementId, Term
from storage.txn import WriteTransaction

_RECORDS = 5_000
# Entries whose terms wait: a compromise between memory and the length of sorted runs.
_ENTRIES = 250_000

# What an attribute's value is cut into grams of: the grams' prefix (description id), and
# the value in its rule's normal form.
Text: TypeAlias = tuple[bytes, bytes]


class IndexRows:
    """Terms and grams of entries that come in the order of their ids."""

    def __init__(self, txn: WriteTransaction) -> None:
        self._raw = txn.raw
        self._tables = txn.tables
        self._terms: defaultdict[Term, list[EntryId]] = defaultdict(list)
        self._waiting = 0
        self._texts: defaultdict[bytes, defaultdict[bytes, list[int]]]
        self._texts = defaultdict(lambda: defaultdict(list))
        self._chunk = 0

    def add(self, number: int, entry: EntryId, terms: Iterable[Term], texts: Iterable[Text]) -> None:
        """``number`` is the entry's id as an integer."""
        waiting = self._terms
        for term in terms:
            waiting[term].append(entry)
        self._waiting += 1
        if number >> postings.BITS != self._chunk:
            self._flush_grams()
            self._chunk = number >> postings.BITS
        place = number & (postings.SIZE - 1)
        of_prefix = self._texts
        for prefix, text in texts:
            of_prefix[prefix][text].append(place)
        if self._waiting >= _ENTRIES:
            self._flush_terms()

    def add_columns(
        self,
        first: int,
        entries: Sequence[EntryId],
        terms: Sequence[Sequence[Term]],
        texts: Sequence[tuple[bytes, Sequence[bytes]]],
    ) -> None:
        """``add`` for entries numbered from ``first``, each column in their order."""
        lists_of = self._terms.__getitem__
        for column in terms:
            deque(map(list.append, map(lists_of, column), entries), maxlen=0)
        at = 0
        while at < len(entries):
            number = first + at
            if number >> postings.BITS != self._chunk:
                self._flush_grams()
                self._chunk = number >> postings.BITS
            place = number & (postings.SIZE - 1)
            count = min(len(entries) - at, postings.SIZE - place)
            for prefix, text in texts:
                places_of = self._texts[prefix].__getitem__
                places = range(place, place + count)
                deque(map(list.append, map(places_of, text[at : at + count]), places), maxlen=0)
            at += count
        self._waiting += len(entries)
        if self._waiting >= _ENTRIES:
            self._flush_terms()

    def flush(self) -> None:
        self._flush_terms()
        self._flush_grams()

    def _flush_terms(self) -> None:
        waiting = self._terms
        put_sorted(
            self._raw,
            self._tables.index,
            ((term, entry) for term in sorted(waiting) for entry in waiting[term]),
        )
        waiting.clear()
        self._waiting = 0

    def _flush_grams(self) -> None:
        """Each text is cut into grams once, however many entries of the chunk have it."""
        chunk = self._chunk.to_bytes(8, "big")
        items: list[tuple[bytes, bytes]] = []
        for prefix, texts in self._texts.items():
            grams: defaultdict[bytes, list[int]] = defaultdict(list)
            lists_of = grams.__getitem__
            for text, places in texts.items():
                # A loop that runs in C: this is where an import spends its time.
                deque(map(list.extend, map(lists_of, postings.grams(text)), repeat(places)), maxlen=0)
            for gram, places in grams.items():
                items.append(self._posting(prefix + gram + chunk, sorted(set(places))))
        self._texts.clear()
        put_sorted(self._raw, self._tables.grams, sorted(items))

    def _posting(self, key: bytes, places: list[int]) -> tuple[bytes, bytes]:
        posting = postings.encode_places(places)
        found = self._raw.get(key, None, self._tables.grams)
        if found is not None:
            posting = postings.encode(postings.decode(found) | postings.decode(posting))
        return key, posting


class NameTaken(Conflict):
    """The name at ``position`` of those that were to be added."""

    def __init__(self, position: int) -> None:
        super().__init__("a name is taken")
        self.position = position


class Loader:
    def __init__(self, txn: WriteTransaction) -> None:
        self._txn = txn
        self._raw = txn.raw
        self._tables = txn.tables
        self._next = txn.last_entry() + 1
        self._records: list[tuple[EntryId, bytes]] = []
        self._children: defaultdict[EntryId, int] = defaultdict(int)
        self._members: defaultdict[PlacementId, list[EntryId]] = defaultdict(list)
        self._rows = IndexRows(txn)

    def add(self, rdn: bytes, record: bytes, terms: Iterable[Term], texts: Iterable[Text]) -> EntryId:
        """``terms`` and ``texts`` have no duplicates.  Raises Conflict when the name is taken."""
        self._txn.writes += 1
        number = self._next
        entry = number.to_bytes(8, "big")
        parent = record[:8]
        if not self._raw.put(parent + keys.bounded(rdn), entry, db=self._tables.tree, overwrite=False):
            raise Conflict(f"the name {rdn!r} is taken")
        self._next = number + 1
        self._children[parent] += 1
        self._records.append((entry, record))
        placement = record[8:12]
        if placement != NO_PLACEMENT:
            self._members[placement].append(entry)
        self._rows.add(number, entry, terms, texts)
        if len(self._records) >= _RECORDS:
            self._flush_records()
        return entry

    def add_columns(
        self,
        rdns: Sequence[bytes],
        places: Sequence[bytes],
        tails: Sequence[bytes],
        terms: Sequence[Sequence[Term]],
        texts: Sequence[tuple[bytes, Sequence[bytes]]],
    ) -> list[EntryId]:
        """``add`` for many: ``places`` are parents and placements, ``tails`` what follows
        them in the records.  Raises NameTaken."""
        self._txn.writes += 1
        first = self._next
        entries = [number.to_bytes(8, "big") for number in range(first, first + len(rdns))]
        parents = [place[:8] for place in places]
        names = list(map(add, parents, map(keys.bounded, rdns)))
        with self._raw.cursor(self._tables.tree) as cursor:
            _, added = cursor.putmulti(zip(names, entries, strict=True), overwrite=False)
        if added < len(names):
            raise NameTaken(self._first_taken(names, entries))
        self._next = first + len(rdns)
        for parent, count in Counter(parents).items():
            self._children[parent] += count
        self._records += zip(entries, map(add, places, tails), strict=True)
        for place, entry in zip(places, entries, strict=True):
            if (placement := place[8:]) != NO_PLACEMENT:
                self._members[placement].append(entry)
        self._rows.add_columns(first, entries, terms, texts)
        if len(self._records) >= _RECORDS:
            self._flush_records()
        return entries

    def _first_taken(self, names: Sequence[bytes], entries: Sequence[EntryId]) -> int:
        for position, (name, entry) in enumerate(zip(names, entries, strict=True)):
            if self._raw.get(name, None, self._tables.tree) != entry:
                return position
        raise AssertionError("a name was taken, and is not")

    def flush(self) -> None:
        self._flush_records()
        self._rows.flush()
        for number in sorted(self._members):
            term = keys.members(number)
            put_sorted(self._raw, self._tables.index, ((term, entry) for entry in self._members[number]))
        self._members.clear()
        for parent, count in self._children.items():
            total = self._txn.children_count(parent) + count
            self._raw.put(parent, total.to_bytes(8, "big"), db=self._tables.children)
        self._children.clear()
        self._txn.set_last_entry(self._next - 1)

    def _flush_records(self) -> None:
        append(self._raw, self._tables.entries, self._records)
        self._records.clear()


class Rebuild:
    """Index rows of entries that are there already, made anew; members stay."""

    def __init__(self, txn: WriteTransaction) -> None:
        self._txn = txn
        self._rows = IndexRows(txn)
        txn.clear_index()

    def add(self, entry: EntryId, terms: Iterable[Term], texts: Iterable[Text]) -> None:
        """In the order of ids."""
        self._rows.add(int.from_bytes(entry, "big"), entry, terms, texts)

    def finish(self) -> None:
        self._rows.flush()
