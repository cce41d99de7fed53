"""Each fault that the check is for, made on purpose, is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from storage import keys, records
from storage.changes import Kind
from storage.check import check
from storage.keys import NO_PLACEMENT, ROOT
from storage.store import Store
from storage.txn import WriteTransaction
from tests.storage import world
from tests.storage.world import CN, MAIL, host

# What the store of these tests has.
BOX, ALICE, BOB, CAROL = (n.to_bytes(8, "big") for n in range(1, 5))
PLACEMENT = (1).to_bytes(4, "big")
ABSENT = (99).to_bytes(8, "big")
TERM = keys.equality(MAIL, b"alice@x")
GRAM = b"\0\1ali" + bytes(8)


def fill(store: Store) -> None:
    world.describe(store)
    with store.write() as txn:
        world.add(txn, world.record(rdn=b"cn=box"))
        placement = txn.placement_for(BOX, host("be3"), host("be1"))
        for name in (b"alice", b"bob"):
            attributes = ((CN, name), (MAIL, name + b"@x"))
            world.add(txn, world.record(BOX, b"uid=" + name, placement, attributes))
        world.add(txn, world.record(ALICE, b"cn=carol"))
        txn.log(Kind.ADD, txn.next_csn(), [BOX])


def put(table: str, key: bytes, value: bytes) -> Callable[[WriteTransaction], object]:
    return lambda txn: txn.raw.put(key, value, db=vars(txn.tables)[table])


def drop(table: str, key: bytes, value: bytes = b"") -> Callable[[WriteTransaction], object]:
    return lambda txn: txn.raw.delete(key, value, db=vars(txn.tables)[table])


def change(entry: bytes, **fields: Any) -> Callable[[WriteTransaction], object]:
    """Another record without regard for what depends on it."""

    def rewrite(txn: WriteTransaction) -> None:
        txn.rewrite([(entry, records.pack(evolve(world.unpacked(txn, entry), **fields)))])

    return rewrite


def cut(table: str, key: bytes) -> Callable[[WriteTransaction], object]:
    def shorten(txn: WriteTransaction) -> None:
        db = vars(txn.tables)[table]
        txn.raw.put(key, txn.raw.get(key, db=db)[:-1], db=db)

    return shorten


def cut_change(txn: WriteTransaction) -> None:
    txn.raw.put(txn.last_csn() + bytes(4), b"\x01abc", db=txn.tables.changes)


@pytest.mark.parametrize(
    ("damage", "report"),
    [
        (drop("entries", CAROL), "table entries: 3 rows|table tree: 4 rows, the entries call for 3"),
        (drop("entries", BOX), "entry 2: its ancestors do not lead to the root"),
        (change(BOX, parent=CAROL), "entry 1: its ancestors do not lead to the root"),
        (cut("entries", CAROL), "entry 4: unreadable record"),
        (put("entries", CAROL, b""), "entry 4: unreadable record"),
        (change(CAROL, rdn=b"cn=other"), "entry 4: not found by its name b'cn=other'"),
        (change(CAROL, attributes=((999, b"x"),)), r"entry 4: attribute descriptions \[999\]"),
        (drop("tree", BOX + b"uid=bob"), "entry 3: not found by its name b'uid=bob'"),
        (put("tree", BOX + b"uid=bob", ALICE), "entry 3: not found by its name b'uid=bob'"),
        (put("tree", BOX + b"uid=eve", ALICE), "table tree: 5 rows, the entries call for 4"),
        (drop("children", BOX), "entry 1: has 2 children, 0 counted"),
        (put("children", BOX, (3).to_bytes(8, "big")), "entry 1: has 2 children, 3 counted"),
        (put("children", CAROL, (1).to_bytes(8, "big")), "table children: 4 rows, the entries call for 3"),
        (drop("index", TERM, ALICE), "entry 2: not found by its index term"),
        (put("index", TERM, BOB), "table index: 7 rows, the entries call for 6"),
        (put("index", keys.equality(CN, b"x"), ABSENT), "table index: 7 rows, the entries call for 6"),
        (drop("grams", GRAM), "entry 2: not found by its gram b'.*ali'"),
        (put("grams", GRAM, b"\0\2\0\3"), "table grams: 5 places, the entries call for 4"),
        (put("grams", GRAM, b"\0"), "gram b'.*ali.*': unreadable posting"),
        (put("grams", GRAM, b"\xff\xff"), "gram b'.*ali.*': unreadable posting"),
        (put("grams", b"\0\1xyz" + bytes(8), b""), "gram b'.*xyz.*': unreadable posting"),
        (change(ALICE, placement=NO_PLACEMENT), "placement 00000001: 2 members indexed, 1 entries name it"),
        (change(CAROL, placement=PLACEMENT), "entry 4: not a member of its placement 00000001"),
        (change(CAROL, placement=b"none"), "placement 6e6f6e65: has members but no row"),
        (drop("index", keys.members(PLACEMENT), BOB), "entry 3: not a member of its placement 00000001"),
        (drop("placements", PLACEMENT), "placement 00000001: has members but no row"),
        (put("placements", PLACEMENT, b"xxx"), "placement 00000001: unreadable row"),
        (drop("placed", b"hbe3", PLACEMENT), "placement 00000001: not found by b'hbe3'"),
        (drop("placed", b"obe1", PLACEMENT), "placement 00000001: not found by b'obe1'"),
        (put("placed", b"hbe7", PLACEMENT), "table placed: 4 rows, the placements call for 3"),
        (cut_change, "changes: unreadable row after .*#.*: a change's subjects are cut short"),
        (put("meta", b"last-entry", CAROL[:-1] + b"\3"), "last-entry is 3, there is 4"),
        (put("meta", b"last-placement", bytes(4)), "last-placement is 0, there is 1"),
        (put("meta", b"last-description", b"\0\1"), "last-description is 1, there is 3"),
        (put("descriptions", b"\0\3", b"cn"), "descriptions: one attribute description has two numbers"),
        (drop("descriptions", b"\0\2"), r"entry 2: attribute descriptions \[2\] are not in the table"),
    ],
)
def test_damage(tmp_path: Path, damage: Callable[[WriteTransaction], object], report: str) -> None:
    store = Store.open(tmp_path, sync=False)
    fill(store)
    assert world.faults(store) == []
    with store.write() as txn:
        damage(txn)
    faults = world.faults(store)
    store.close()
    with pytest.raises(AssertionError, match=report):  # shows the faults when there is no match
        raise AssertionError("\n".join(faults))


def test_what_the_schema_cannot_read(store: Store) -> None:
    with store.write() as txn:
        world.add(txn, world.record())

    def expected(record: records.Record) -> None:
        raise LookupError("no such type")

    with store.snapshot() as snapshot:
        found = list(check(snapshot, expected))  # type: ignore[arg-type]
    assert found[0] == "entry 1: unreadable record: LookupError('no such type')"


def test_progress(store: Store) -> None:
    with store.write() as txn:
        for n in range(2001):
            world.add(txn, world.record(ROOT, b"cn=%d" % n))
    heard: list[int] = []
    with store.snapshot() as snapshot:
        assert list(check(snapshot, world.expected, heard.append)) == []
    assert heard == [1000, 2000, 2001]
