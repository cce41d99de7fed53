"""Writing and reading back, in and after transactions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from attrs import evolve

from storage import keys, records, txn
from storage.changes import Kind
from storage.csn import NO_CSN, micros_of
from storage.errors import Conflict
from storage.keys import ROOT
from storage.placements import Placement
from storage.store import Store
from storage.txn import NO_TERMS
from tests.storage import world
from tests.storage.world import CN, MAIL, host


def test_an_entry_is_found_in_every_way(store: Store) -> None:
    new = world.record(rdn=b"cn=Alice", attributes=((CN, b"alice"), (MAIL, b"a@x")))
    with store.write() as txn:
        entry = world.add(txn, new)
        assert txn.child(ROOT, b"cn=alice") == entry  # by its own transaction, too
    with store.snapshot() as snapshot:
        assert world.unpacked(snapshot, entry) == new
        assert snapshot.child(ROOT, b"cn=alice") == entry
        assert list(snapshot.children(ROOT)) == [entry]
        assert list(snapshot.entries()) == [(entry, records.pack(new))]
        assert list(snapshot.entries(entry)) == []
        assert (snapshot.entry_count(), snapshot.children_count(ROOT)) == (1, 1)
        term = keys.equality(MAIL, b"a@x")
        assert snapshot.ids(term) == list(snapshot.few_ids(term)) == list(snapshot.each_id(term)) == [entry]
        assert snapshot.ids_count(term) == 1
        assert [bits.bit_count() for _, bits in snapshot.postings(b"\0\1ali")] == [1]


def test_what_is_not_there(store: Store) -> None:
    with store.snapshot() as snapshot:
        term = keys.equality(CN, b"x")
        assert snapshot.entry(ROOT) is None
        assert snapshot.child(ROOT, b"cn=x") is None
        assert snapshot.ids(term) == list(snapshot.few_ids(term)) == list(snapshot.each_id(term)) == []
        assert snapshot.ids_count(term) == snapshot.children_count(ROOT) == 0
        assert not snapshot.has_id(term, ROOT)
        assert list(snapshot.terms(b"", b"")) == []
        assert list(snapshot.postings(b"")) == []
        assert snapshot.meta(b"x") is None


def test_many_entries_of_a_term_are_in_order(store: Store) -> None:
    with store.write() as txn:
        added = [
            world.add(txn, world.record(rdn=b"cn=%d" % n, attributes=((CN, b"same"), (MAIL, b"%03d" % n))))
            for n in range(300)
        ]
    with store.snapshot() as snapshot:
        term = keys.equality(CN, b"same")
        assert snapshot.ids(term) == list(snapshot.few_ids(term)) == list(snapshot.each_id(term)) == added
        assert snapshot.ids_count(term) == 300
        start, stop = keys.equality(MAIL, b"010"), keys.equality(MAIL, b"020")
        assert [entry for _, entry in snapshot.terms(start, stop)] == added[10:20]
        assert len(list(snapshot.distinct_terms(keys.equality_prefix(CN), keys.equality_prefix(3)))) == 301


def test_children_go_on_after_one(store: Store) -> None:
    names = [b"cn=" + bytes([97 + n]) * (100 * n + 1) for n in range(8)]  # some longer than keys
    with store.write() as txn:
        for name in names:
            world.add(txn, world.record(rdn=name))
        world.add(txn, world.record(parent=(1).to_bytes(8, "big"), rdn=b"cn=below"))
    with store.snapshot() as snapshot:
        found = list(snapshot.children(ROOT))
        assert len(found) == len(names)
        for count, entry in enumerate(found, 1):
            after = world.unpacked(snapshot, entry).rdn
            assert list(snapshot.children(ROOT, after)) == found[count:]


def test_names_and_values_of_any_length(store: Store) -> None:
    long = b"x" * 60_000
    with store.write() as txn:
        one = world.add(txn, world.record(rdn=b"cn=" + long + b"1", attributes=((CN, long + b"1"),)))
        other = world.add(txn, world.record(rdn=b"cn=" + long + b"2", attributes=((CN, long + b"2"),)))
    with store.snapshot() as snapshot:
        assert snapshot.child(ROOT, b"cn=" + long + b"2") == other
        assert snapshot.ids(keys.equality(CN, long + b"1")) == [one]


def test_a_name_taken_leaves_nothing_behind(store: Store) -> None:
    with store.write() as txn:
        world.add(txn, world.record(rdn=b"cn=a"))
        other = world.add(txn, world.record(rdn=b"cn=b"))
        before = txn.writes
        with pytest.raises(Conflict, match="taken"):
            world.add(txn, world.record(rdn=b"CN=A"))
        with pytest.raises(Conflict, match="taken"):
            world.move(txn, other, world.record(rdn=b"cn=A"))
        with pytest.raises(Conflict, match="gone"):
            txn.replace((99).to_bytes(8, "big"), b"", NO_TERMS, NO_TERMS)
        assert txn.writes == before
    # The transaction is committed all the same; the fixture checks what is in it.
    with store.snapshot() as snapshot:
        assert (snapshot.entry_count(), snapshot.child(ROOT, b"cn=b")) == (2, other)


def test_moving(store: Store) -> None:
    with store.write() as txn:
        here, there = (world.add(txn, world.record(rdn=rdn)) for rdn in (b"ou=here", b"ou=there"))
        entry = world.add(txn, world.record(here, b"cn=a", attributes=((CN, b"abc"),)))
        below = world.add(txn, world.record(entry, b"cn=below"))
        outdated = txn.tree_number()
        world.move(txn, entry, world.record(there, b"cn=b", attributes=((CN, b"bcd"),)))
        assert txn.tree_number() > outdated
    with store.snapshot() as snapshot:
        assert snapshot.child(here, b"cn=a") is None
        assert (snapshot.children_count(here), snapshot.children_count(there)) == (0, 1)
        assert snapshot.child(there, b"cn=b") == entry
        assert snapshot.child(entry, b"cn=below") == below
    with store.write() as txn:  # another spelling of the same name
        outdated = txn.tree_number()
        world.move(txn, entry, world.record(there, b"CN=B"))
        assert txn.tree_number() > outdated


def test_deleting(store: Store) -> None:
    with store.write() as txn:
        parent = world.add(txn, world.record(rdn=b"ou=a", attributes=((CN, b"abc"),)))
        child = world.add(txn, world.record(parent, b"cn=b"))
        with pytest.raises(Conflict, match="children"):
            world.delete(txn, parent)
        world.delete(txn, child)
        world.delete(txn, parent)
    with store.write() as txn:
        assert txn.row_counts() | dict.fromkeys(("meta", "descriptions"), 0) == dict.fromkeys(
            txn.row_counts(), 0
        )
        assert world.add(txn, world.record()) > child  # ids are never used again


def test_placements_are_shared_and_found(store: Store) -> None:
    with store.write() as txn:
        box = world.add(txn, world.record(rdn=b"cn=example.com"))
        first = txn.placement_for(box, host("be3"), None)
        assert txn.placement_for(box, host("be3"), None) == first
        assert txn.placement_for(box, None, None) == keys.NO_PLACEMENT
        second = txn.placement_for(box, host("be5"), host("be3"))
        assert len({first, second, txn.placement_for(box, host("BE3"), None)}) == 3  # as it was written
        entry = world.add(txn, world.record(box, b"cn=a", first))
        assert txn.members(first) == [entry]
        world.replace(txn, entry, world.record(box, b"cn=a", second))
    with store.snapshot() as snapshot:
        assert (snapshot.members_count(first), snapshot.members(second)) == (0, [entry])
        assert len(snapshot.placements_of_host(b"be3")) == 2
        assert snapshot.placements_of_old_host(b"be3") == [second]


def test_placements_that_become_equal_stay_apart(store: Store) -> None:
    with store.write() as txn:
        one = txn.placement_for(ROOT, host("be3"), None)
        other = txn.placement_for(ROOT, host("be5"), None)
        entry = world.add(txn, world.record(placement=one))
        txn.move_placement(one, Placement(ROOT, host("be5"), None))
    with store.write() as txn:
        assert sorted(txn.placements_of_host(b"be5")) == [one, other]
        assert txn.placement_for(ROOT, host("be5"), None) in (one, other)
        txn.move_placement(one, Placement(ROOT, host("be7"), None))
        assert txn.placement_for(ROOT, host("be5"), None) == other
        assert txn.members(one) == [entry]


def test_a_move_of_hosts_is_a_matter_of_placements(store: Store) -> None:
    with store.write() as txn:
        for container in range(1, 4):
            parent = world.add(txn, world.record(rdn=b"cn=%d" % container))
            number = txn.placement_for(parent, host("be3"), None)
            for name in range(5):
                world.add(txn, world.record(parent, b"uid=%d" % name, number))
    with store.write() as txn:
        assert world.rehost(txn, host("be3"), host("be5")) == 3
        assert world.rehost(txn, host("be3"), host("be5")) == 0
        assert len(txn.placements_of_old_host(b"be3")) == 3
        world.rehost(txn, host("be5"), host("be3"))
        assert len(txn.placements_of_old_host(b"be3")) == 0
        assert {placement.host for _, placement in txn.all_placements()} == {host("be3")}


def test_rewrite_in_any_order(store: Store) -> None:
    with store.write() as txn:
        entries = [world.add(txn, world.record(rdn=b"cn=%d" % n)) for n in range(50)]
        new = [(entry, evolve(world.unpacked(txn, entry), modifier=b"new")) for entry in reversed(entries)]
        txn.rewrite([(entry, records.pack(record)) for entry, record in new])
    with store.snapshot() as snapshot:
        assert {world.unpacked(snapshot, entry).modifier for entry in entries} == {b"new"}
        assert snapshot.entry_count() == 50


def test_clear_index_keeps_members(store: Store) -> None:
    with suppress(world.TakenBack), store.write() as txn:
        hosts = [txn.placement_for(ROOT, host(f"be{n}"), None) for n in range(3)]
        for n in range(100):
            world.add(txn, world.record(ROOT, b"cn=%03d" % n, hosts[n % 3], ((CN, b"%03d" % n),)))
        members = [txn.members(number) for number in hosts]
        txn.clear_index()
        assert [txn.members(number) for number in hosts] == members
        assert (txn.row_counts()["index"], txn.row_counts()["grams"]) == (100, 0)
        raise world.TakenBack  # an index without terms must not stay


def test_csns_grow_whatever_the_clock_says(tmp_path: Path) -> None:
    times = iter([0, 1000, 50, 2000])  # the first for making the store
    store = Store.open(tmp_path, sync=False, clock=lambda: next(times))
    given = []
    for _ in range(3):
        with store.write() as txn:
            given += [txn.next_csn(), txn.next_csn()]
    store.close()
    assert given == sorted(set(given))
    assert [micros_of(csn) for csn in given] == [1000, 1000, 1000, 1000, 2000, 2000]


def test_changes_are_told_in_order(store: Store) -> None:
    with store.write() as txn:
        first = txn.next_csn()
        txn.log(Kind.ADD, first, [bytes(8)])
        txn.log(Kind.MODIFY, first, [bytes(8)])
        second = txn.next_csn()
        txn.log(Kind.MOVE, second, [b"%04d" % n for n in range(1500)])
    with store.snapshot() as snapshot:
        assert [change.kind for change in snapshot.changes()] == [1, 2, 5, 5]
        assert [(change.csn, len(change.subjects)) for change in snapshot.changes(first)] == [
            (second, 1000),
            (second, 500),
        ]
        assert list(snapshot.changes(second)) == []
        assert (snapshot.last_csn(), snapshot.changes_trimmed()) == (second, NO_CSN)


def test_old_changes_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(txn, "CHANGES_KEPT", 10)
    monkeypatch.setattr(txn, "_TRIM_EVERY", 5)
    with store.write() as writing:
        for _ in range(40):
            writing.log(Kind.ADD, writing.next_csn(), [bytes(8)])
    with store.snapshot() as snapshot:
        left = list(snapshot.changes())
        assert 10 <= len(left) < 15
        assert NO_CSN < snapshot.changes_trimmed() < left[0].csn


def test_changes_beyond_the_width_of_their_number(store: Store) -> None:
    with store.write() as txn:
        txn.set_meta(b"last-change", (0xFFFFFFFF).to_bytes(4, "big"))
        csn = txn.next_csn()
        txn.log(Kind.ADD, csn, [bytes(8)])
        txn.log(Kind.ADD, csn, [bytes(8)])
    with store.snapshot() as snapshot:
        assert len(list(snapshot.changes())) == 2


def test_descriptions_keep_their_numbers(store: Store) -> None:
    with store.write() as txn:
        assert txn.describe("cn") == CN
        assert txn.describe("cn;lang-de") == 4
    with store.snapshot() as snapshot:
        assert dict(snapshot.description_rows()) == dict(enumerate([*world.DESCRIPTIONS, "cn;lang-de"], 1))


def test_a_snapshot_is_of_one_state(store: Store) -> None:
    with store.write() as txn:
        entry = world.add(txn, world.record())
    old = store.snapshot()
    with store.write() as txn:
        world.delete(txn, entry)
        assert old.entry(entry) is not None
    with store.snapshot() as new:
        assert new.number > old.number
        assert new.entry(entry) is None
    assert old.entry(entry) is not None
    assert old.child(ROOT, b"cn=a") == entry
    old.close()


def test_an_exception_takes_everything_back(store: Store) -> None:
    with suppress(world.TakenBack), store.write() as txn:
        world.add(txn, world.record())
        raise world.TakenBack
    with store.write() as txn:
        assert txn.entry_count() == txn.last_entry() == 0


def test_iterators_end_with_their_snapshot(store: Store) -> None:
    with store.write() as txn:
        for n in range(5):
            world.add(txn, world.record(rdn=b"cn=%d" % n, attributes=((CN, b"same"),)))
    snapshot = store.snapshot()
    term = keys.equality(CN, b"same")
    iterators = [
        iter(snapshot.entries()),
        iter(snapshot.children(ROOT)),
        iter(snapshot.each_id(term)),
        iter(snapshot.terms(term, b"")),
        iter(snapshot.distinct_terms(b"", b"")),
    ]
    for iterator in iterators:
        next(iterator)
    abandoned = iter(snapshot.entries())
    next(abandoned)
    snapshot.close()
    snapshot.close()  # again is nothing
    del abandoned
    for iterator in iterators:
        with pytest.raises(Exception, match="closed"):
            next(iterator)
    with pytest.raises(Exception, match="closed"):
        snapshot.entry(ROOT)
