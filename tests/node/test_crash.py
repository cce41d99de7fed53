"""``kill -9`` at any moment: what was acknowledged is there, whole; nothing else is in part.

The store stays open here while its writer is killed, as that of a node does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import sleep

import pytest

from storage import keys
from storage.changes import Kind
from storage.keys import ROOT
from storage.snapshot import Snapshot
from storage.store import Store
from tests.node.crashing import GROUP, KEPT, LOAD
from tests.storage import world
from tests.storage.processes import line, running
from tests.storage.world import CN, host

CONTAINERS = 25
MEMBERS = 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path)
    world.describe(store)
    yield store
    _recover(store)
    before = _contents(store)
    store.close()
    again = Store.open(tmp_path)  # from the file alone
    assert _contents(again) == before
    assert world.faults(again) == []
    again.close()


def _recover(store: Store) -> None:
    """Find out a commit that its writer didn't live to tell the other processes of."""
    assert world.faults(store) == []
    with store.write():
        pass


def _contents(store: Store) -> list[object]:
    with store.snapshot() as snapshot:
        return [*snapshot.entries(), *snapshot.placement_rows(), *snapshot.changes()]


def killed(verb: str, store: Store, random: Random) -> int:
    """Let a child do its work and kill it in the midst of it; the last number acknowledged."""
    with running("tests.node.crashing", verb, store.path) as child:
        acknowledged = [line(child)]
        sleep(random.random() * 0.15)
        child.kill()
        acknowledged += _rest(child)
    _recover(store)
    return int(acknowledged[-1])


def _rest(child: subprocess.Popen[str]) -> list[str]:
    """Whole lines only: it may have been killed within one."""
    assert child.stdout is not None
    return [text.strip() for text in child.stdout.read().splitlines(keepends=True) if text.endswith("\n")]


@pytest.mark.parametrize("seed", range(4))
def test_transactions(store: Store, seed: int) -> None:
    random = Random(seed)
    for _ in range(2):
        acknowledged = killed("groups", store, random)
        assert world.faults(store) == []
        with store.snapshot() as snapshot:
            last = int(snapshot.meta(b"group") or b"0")
            assert last >= acknowledged
            assert _groups(snapshot) == list(range(max(1, last - KEPT + 1), last + 1))
            changes = list(snapshot.changes())
            assert len(changes) == last
            assert {(change.kind, len(change.subjects)) for change in changes} == {(Kind.ADD, GROUP)}
            assert changes[-1].csn == snapshot.last_csn()
        # The killed writer's lock is no hindrance.
        with store.write() as txn:
            txn.set_meta(b"here", b"")


def _groups(snapshot: Snapshot) -> list[int]:
    """The numbers whose entries are there, all of them."""
    found: dict[int, int] = {}
    for entry, _ in snapshot.entries():
        number = int(world.unpacked(snapshot, entry).rdn[3:].split(b".")[0])
        found[number] = found.get(number, 0) + 1
    assert set(found.values()) == {GROUP}
    assert all(snapshot.ids_count(keys.equality(CN, b"group %d" % number)) == GROUP for number in found)
    return sorted(found)


@pytest.mark.parametrize("seed", range(2))
def test_moves_of_a_host(store: Store, seed: int) -> None:
    with store.write() as txn:
        for number in range(CONTAINERS):
            container = world.add(txn, world.record(rdn=b"cn=%d" % number))
            placement = txn.placement_for(container, host("be3"), None)
            for name in range(MEMBERS):
                world.add(txn, world.record(container, b"uid=%d" % name, placement))
    moved = 0
    random = Random(seed)
    for _ in range(3):
        acknowledged = killed("moves", store, random)
        assert world.faults(store) == []
        with store.snapshot() as snapshot:
            states = {(placement.host, placement.old) for _, placement in snapshot.all_placements()}
            assert len(states) == 1
            changes = list(snapshot.changes())
        assert len(changes) - moved in (acknowledged, acknowledged + 1)
        moved = len(changes)
        assert states == {(host("be5"), host("be3")) if moved % 2 else (host("be3"), None)}
        assert {len(change.subjects) for change in changes} == {CONTAINERS}


def test_loads(store: Store) -> None:
    loaded = 0
    random = Random(1)
    for _ in range(2):
        acknowledged = killed("loads", store, random)
        assert world.faults(store) == []
        with store.snapshot() as snapshot:
            parents = list(snapshot.children(ROOT))
            assert all(snapshot.children_count(parent) == LOAD for parent in parents)
            assert snapshot.entry_count() == len(parents) * (LOAD + 1)
        assert len(parents) - loaded in (acknowledged, acknowledged + 1)
        loaded = len(parents)


def test_readers_never_see_a_mix(store: Store) -> None:
    """While another process moves all there is, again and again."""
    with store.write() as txn:
        for number in range(CONTAINERS):
            txn.placement_for(number.to_bytes(8, "big"), host("be3"), None)
    seen = set()
    with running("tests.node.crashing", "moves", store.path) as child:
        assert line(child) == "1"
        for count in range(100_000):
            with store.snapshot() as snapshot:
                found = {placement.host for _, placement in snapshot.all_placements()}
                assert len(found) == 1
                seen |= found
            if count > 300 and len(seen) == 2:
                break
    assert seen == {host("be3"), host("be5")}
