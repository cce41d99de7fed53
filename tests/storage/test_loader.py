"""The loader makes the same tables as adding one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import keys, loader, postings, records
from storage.errors import Conflict
from storage.keys import NO_PLACEMENT, ROOT, EntryId
from storage.loader import Loader, Rebuild
from storage.records import Record
from storage.store import Store
from storage.txn import WriteTransaction
from tests.storage import world
from tests.storage.world import CN, MAIL, host


def people(txn: WriteTransaction, parents: list[EntryId], count: int, start: int = 0) -> Iterator[Record]:
    for n in range(start, start + count):
        parent = parents[n % len(parents)]
        placement = txn.placement_for(parent, host(f"be{n % 3}"), None) if n % 4 else NO_PLACEMENT
        yield world.record(
            parent,
            b"uid=%d" % n,
            placement,
            ((CN, b"name %d" % (n % 50)), (MAIL, b"u%d@example.com" % n)),
        )


def load(into: Loader, record: Record) -> EntryId:
    terms = world.terms(record).equality
    return into.add(world.normal(record.rdn), records.pack(record), terms, world.texts(record))


def tables(store: Store) -> dict[str, list[tuple[bytes, bytes]]]:
    with store.write() as txn:
        return {name: list(txn.raw.cursor(table)) for name, table in vars(txn.tables).items()}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_RECORDS", 70)
    monkeypatch.setattr(loader, "_ENTRIES", 300)


@pytest.mark.usefixtures("small_batches")
def test_the_same_as_one_by_one(store: Store, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "other", sync=False)
    world.describe(other)
    with store.write() as one, other.write() as many:
        for txn in (one, many):
            parents = [world.add(txn, world.record(rdn=b"ou=%d" % n)) for n in range(3)]
        for record in people(one, parents, 3000):  # several chunks of postings
            world.add(one, record)
        into = Loader(many)
        for count, record in enumerate(people(many, parents, 3000)):
            load(into, record)
            if count == 1700:
                into.flush()
        into.flush()
    assert tables(store) == tables(other)
    assert world.faults(other) == []
    other.close()


def test_adding_goes_on_after_a_load(store: Store) -> None:
    with store.write() as txn:
        into = Loader(txn)
        parent = load(into, world.record(rdn=b"ou=people"))
        child = load(into, world.record(parent, b"cn=child", attributes=((CN, b"abc"),)))
        assert txn.child(parent, b"cn=child") == child  # found before it is flushed
        into.flush()
        assert txn.children_count(parent) == 1
        assert world.add(txn, world.record(parent, b"cn=other", attributes=((CN, b"abc"),))) > child
        again = Loader(txn)
        load(again, world.record(parent, b"cn=third", attributes=((CN, b"abc"),)))
        again.flush()
        assert txn.ids_count(keys.equality(CN, b"abc")) == 3


def test_a_name_taken(store: Store) -> None:
    with store.write() as txn:
        world.add(txn, world.record(rdn=b"cn=a"))
        into = Loader(txn)
        load(into, world.record(rdn=b"cn=b"))
        for taken in (b"cn=A", b"cn=B"):
            with pytest.raises(Conflict, match="taken"):
                load(into, world.record(rdn=taken))
        load(into, world.record(rdn=b"cn=c"))
        into.flush()
        assert txn.entry_count() == 3


def test_adding_beside_a_load_is_refused_not_lost(store: Store) -> None:
    def both(txn: WriteTransaction) -> None:
        into = Loader(txn)
        load(into, world.record(rdn=b"cn=a"))
        world.add(txn, world.record(rdn=b"cn=b"))  # has the id that the loader gave out
        into.flush()

    with pytest.raises(Conflict):
        store.writer.submit(both).result(10)
    with store.snapshot() as snapshot:
        assert snapshot.entry_count() == 0


def test_a_failed_load_is_not_committed_by_the_writer(store: Store) -> None:
    def fails(txn: WriteTransaction) -> None:
        load(Loader(txn), world.record())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.writer.submit(fails).result(10)
    with store.snapshot() as snapshot:
        assert snapshot.child(ROOT, b"cn=a") is None


@pytest.mark.usefixtures("small_batches")
def test_rebuild(store: Store) -> None:
    with store.write() as txn:
        into = Loader(txn)
        parent = load(into, world.record(rdn=b"ou=people"))
        for record in people(txn, [parent], postings.SIZE + 100):
            load(into, record)
        into.flush()
    before = tables(store)
    with store.write() as txn:
        rebuild = Rebuild(txn)
        assert txn.ids_count(keys.equality(CN, b"name 1")) == 0
        for entry, data in list(txn.entries()):
            record = records.unpack(data)
            rebuild.add(entry, world.terms(record).equality, world.texts(record))
        rebuild.finish()
    assert tables(store) == before
