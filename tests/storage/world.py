"""Small entries for the store's tests, whose keys follow from their records alone."""

from __future__ import annotations

from storage import keys, records
from storage.check import Expected, check
from storage.csn import NO_CSN
from storage.keys import NO_PLACEMENT, ROOT, U16, EntryId, PlacementId
from storage.placements import Host, Placement
from storage.postings import grams
from storage.records import Record
from storage.snapshot import Snapshot
from storage.store import Store
from storage.txn import Terms, WriteTransaction


class TakenBack(Exception):
    """Leaves a write transaction without its commit."""


DESCRIPTIONS = ("cn", "mail", "description")
CN, MAIL, DESCRIPTION = 1, 2, 3


def describe(store: Store) -> None:
    """Give the attribute descriptions above their numbers."""
    with store.write() as txn:
        for text in DESCRIPTIONS:
            txn.describe(text)


def host(name: str) -> Host:
    return Host(name.encode(), name.lower().encode())


def record(
    parent: EntryId = ROOT,
    rdn: bytes = b"cn=A",
    placement: PlacementId = NO_PLACEMENT,
    attributes: tuple[tuple[int, bytes], ...] = (),
) -> Record:
    return Record(
        parent=parent,
        rdn=rdn,
        uuid=b"u" * 16,
        created=0,
        csn=NO_CSN,
        creator=b"cn=admin",
        modifier=b"cn=admin",
        attributes=attributes,
        placement=placement,
    )


def normal(rdn: bytes) -> bytes:
    return rdn.lower()


def terms(record: Record) -> Terms:
    """Every value is a term, and those of cn have grams."""
    return Terms(
        frozenset(keys.equality(number, value) for number, value in record.attributes),
        frozenset(
            U16.pack(number) + gram
            for number, value in record.attributes
            if number == CN
            for gram in grams(value)
        ),
    )


def expected(record: Record) -> Expected:
    return Expected(normal(record.rdn), terms(record))


def add(txn: WriteTransaction, new: Record) -> EntryId:
    return txn.add(normal(new.rdn), records.pack(new), terms(new))


def replace(txn: WriteTransaction, entry: EntryId, new: Record) -> None:
    old = unpacked(txn, entry)
    txn.replace(entry, records.pack(new), terms(new), terms(old))


def move(txn: WriteTransaction, entry: EntryId, new: Record) -> None:
    old = unpacked(txn, entry)
    txn.move(entry, normal(old.rdn), normal(new.rdn), records.pack(new), terms(new), terms(old))


def delete(txn: WriteTransaction, entry: EntryId) -> None:
    old = unpacked(txn, entry)
    txn.delete(entry, normal(old.rdn), terms(old))


def unpacked(snapshot: Snapshot, entry: EntryId) -> Record:
    data = snapshot.entry(entry)
    assert data is not None
    return records.unpack(data)


def rehost(txn: WriteTransaction, source: Host, target: Host) -> int:
    """Move all placements of a host, as the directory does it; how many there were."""
    numbers = txn.placements_of_host(source.key)
    csn = txn.next_csn()
    for number in numbers:
        placement: Placement = txn.placement(number)
        txn.move_placement(number, placement.moved(target, csn, b"cn=admin"))
    return len(numbers)


def faults(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return list(check(snapshot, expected))


def texts(record: Record) -> list[tuple[bytes, bytes]]:
    """What the grams of ``terms`` are cut from."""
    return [(U16.pack(number), value) for number, value in record.attributes if number == CN]
