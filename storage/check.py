"""The store's invariants, each checked against the data that it is about.

Used after every test, and by operators.  What only the schema knows (which terms an
entry has, how its RDN is normalised) comes in as ``Expectation``.

Each row that an entry calls for is looked up; then the rows of the table are counted.
Where all are there and none is too many, the table is what the entries say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from attrs import Factory, define, frozen

from storage import keys, placements, postings, records
from storage.csn import NO_CSN, text
from storage.keys import NO_PLACEMENT, ROOT, EntryId, Gram, PlacementId
from storage.placements import Placement
from storage.records import Record
from storage.snapshot import Snapshot
from storage.txn import Terms, placed_keys


@frozen
class Expected:
    """What an entry's record says about its keys."""

    rdn: bytes
    terms: Terms


Expectation = Callable[[Record], Expected]


@define
class _Tally:
    """What the entries add up to."""

    entries: int = 0
    terms: int = 0
    grams: int = 0
    children: Counter[EntryId] = Factory(Counter)
    members: Counter[PlacementId] = Factory(Counter)


def check(
    snapshot: Snapshot, expected: Expectation, progress: Callable[[int], None] = lambda _: None
) -> Iterator[str]:
    """Yield a line for each fault; nothing for a sound store.

    ``progress`` hears the number of entries that are done, now and then.
    """
    tally = _Tally()
    known = {number for number, _ in snapshot.description_rows()}
    rooted: set[EntryId] = {ROOT}
    entry = ROOT
    for entry, data in snapshot.entries():
        tally.entries += 1
        try:
            record = records.unpack(data)
            if records.pack(record) != data:
                raise ValueError("cut short, or too long")
            wanted = expected(record)
        except Exception as error:
            yield f"{_name(entry)}: unreadable record: {error!r}"
            continue
        yield from _check_entry(snapshot, entry, record, wanted, tally)
        yield from _check_ancestry(snapshot, entry, record.parent, rooted)
        if unknown := {number for number, _ in record.attributes} - known:
            yield f"{_name(entry)}: attribute descriptions {sorted(unknown)} are not in the table"
        if not tally.entries % 1000:
            progress(tally.entries)
    yield from _check_grams(snapshot, tally)
    yield from _check_counts(snapshot, tally)
    yield from _check_placements(snapshot, tally)
    yield from _check_changes(snapshot)
    yield from _check_numbers(snapshot, int.from_bytes(entry, "big"))
    progress(tally.entries)


def _name(entry: EntryId) -> str:
    return f"entry {int.from_bytes(entry, 'big')}"


def _check_entry(
    snapshot: Snapshot, entry: EntryId, record: Record, wanted: Expected, tally: _Tally
) -> Iterator[str]:
    tally.children[record.parent] += 1
    if snapshot.child(record.parent, wanted.rdn) != entry:
        yield f"{_name(entry)}: not found by its name {wanted.rdn!r}"
    for term in wanted.terms.equality:
        tally.terms += 1
        if not snapshot.has_id(term, entry):
            yield f"{_name(entry)}: not found by its index term {term!r}"
    chunk, place = postings.split(entry)
    for gram in wanted.terms.grams:
        tally.grams += 1
        if not _posting(snapshot, gram, chunk) >> place & 1:
            yield f"{_name(entry)}: not found by its gram {gram!r}"
    if record.placement != NO_PLACEMENT:
        tally.members[record.placement] += 1
        if not snapshot.has_id(keys.members(record.placement), entry):
            yield f"{_name(entry)}: not a member of its placement {record.placement.hex()}"


def _check_ancestry(
    snapshot: Snapshot, entry: EntryId, parent: EntryId, rooted: set[EntryId]
) -> Iterator[str]:
    path = [entry]
    while parent not in rooted:
        data = snapshot.entry(parent)
        if data is None or parent in path:
            yield f"{_name(entry)}: its ancestors do not lead to the root"
            return
        path.append(parent)
        parent = records.parent_of(data)
    # Leaves are never looked up as ancestors: remembering them would cost memory for nothing.
    rooted.update(path[1:])


def _check_counts(snapshot: Snapshot, tally: _Tally) -> Iterator[str]:
    rows = snapshot.row_counts()
    members = sum(tally.members.values())
    for table, found, wanted in (
        ("entries", rows["entries"], tally.entries),
        ("tree", rows["tree"], tally.entries),
        ("index", rows["index"], tally.terms + members),
        ("children", rows["children"], len(tally.children)),
    ):
        if found != wanted:
            yield f"table {table}: {found} rows, the entries call for {wanted}"
    for parent, count in tally.children.items():
        if snapshot.children_count(parent) != count:
            yield f"{_name(parent)}: has {count} children, {snapshot.children_count(parent)} counted"


def _posting(snapshot: Snapshot, gram: Gram, chunk: bytes) -> int:
    try:
        return snapshot.posting(gram, chunk)
    except ValueError:  # reported with the table
        return 0


def _check_grams(snapshot: Snapshot, tally: _Tally) -> Iterator[str]:
    found = 0
    for key, row in snapshot.posting_rows(b""):
        try:
            bits = postings.decode(row)
        except ValueError:
            bits = 0
        if not 0 < bits.bit_length() <= postings.SIZE:
            yield f"gram {key!r}: unreadable posting"
        found += bits.bit_count()
    if found != tally.grams:
        yield f"table grams: {found} places, the entries call for {tally.grams}"


def _check_placements(snapshot: Snapshot, tally: _Tally) -> Iterator[str]:
    known: dict[PlacementId, Placement] = {}
    for number, row in snapshot.placement_rows():
        try:
            known[number] = placement = placements.unpack(row)
            if placements.pack(placement) != row:
                raise ValueError("cut short")
        except Exception as error:
            yield f"placement {number.hex()}: unreadable row: {error!r}"
    for number in tally.members.keys() - known.keys():
        yield f"placement {number.hex()}: has members but no row"
    rows = 0
    for number, placement in known.items():
        rows += len(placed_keys(placement))
        for key in placed_keys(placement):
            if not snapshot.is_placed(key, number):
                yield f"placement {number.hex()}: not found by {key!r}"
        if snapshot.members_count(number) != tally.members[number]:
            yield (
                f"placement {number.hex()}: {snapshot.members_count(number)} members indexed, "
                f"{tally.members[number]} entries name it"
            )
    if snapshot.row_counts()["placed"] != rows:
        yield f"table placed: {snapshot.row_counts()['placed']} rows, the placements call for {rows}"


def _check_changes(snapshot: Snapshot) -> Iterator[str]:
    csn = NO_CSN
    try:
        for change in snapshot.changes():
            csn = change.csn
    except ValueError as error:
        yield f"changes: unreadable row after {text(csn)}: {error}"


def _check_numbers(snapshot: Snapshot, last_entry: int) -> Iterator[str]:
    """A number that is behind would be given out twice."""
    placement = max((number for number, _ in snapshot.placement_rows()), default=b"")
    descriptions = [*snapshot.description_rows()]
    if len({name for _, name in descriptions}) != len(descriptions):
        yield "descriptions: one attribute description has two numbers"
    for name, last in (
        ("entry", last_entry),
        ("placement", int.from_bytes(placement, "big")),
        ("description", max((number for number, _ in descriptions), default=0)),
    ):
        given = int.from_bytes(snapshot.meta(f"last-{name}".encode()) or b"", "big")
        if given < last:
            yield f"last-{name} is {given}, there is {last}"
