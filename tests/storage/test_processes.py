"""Several processes that have one store open."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from storage.errors import StoreBusy
from storage.keys import ROOT
from storage.store import Store
from tests.storage import world
from tests.storage.processes import line, running, tell

CHILD = "tests.storage.child"


def test_one_reads_while_another_writes(store: Store) -> None:
    seen: list[int] = []
    with running(CHILD, "twins", store.path) as child:
        while not seen or seen[-1] < 300:
            with store.snapshot() as snapshot:
                one, other = (int(snapshot.meta(name) or b"0") for name in (b"twin-1", b"twin-2"))
            assert one == other
            if one in (100, 200) and one not in seen:
                tell(child)
            seen.append(one)
    assert seen == sorted(seen)


def test_the_last_transaction_can_be_read(store: Store) -> None:
    """What another process has committed is not told of before it is seen."""
    told: set[int] = set()
    with running(CHILD, "commit", store.path) as child:
        while child.poll() is None:
            told.add(number := store.last_transaction())
            with store.snapshot() as snapshot:
                assert snapshot.number >= number
    assert len(told) > 2


def test_writers_take_turns(store: Store) -> None:
    found: list[int] = []

    def write() -> None:
        with store.write() as txn:
            found.append(txn.entry_count())

    with running(CHILD, "hold", store.path) as child:
        assert line(child) == "held"
        with store.snapshot() as snapshot:  # readers don't wait
            assert snapshot.entry_count() == 0
        thread = Thread(target=write)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        tell(child)
        thread.join(10)
        assert line(child) == "committed"
    assert found == [1]


def test_a_writer_that_is_killed_holds_nobody_up(store: Store) -> None:
    for _ in range(2):
        with running(CHILD, "hold", store.path) as child:
            assert line(child) == "held"
            child.kill()
            child.wait()
            with store.write() as txn:
                assert txn.entry_count() == 0
    with store.write() as txn:
        world.add(txn, world.record())


def test_a_reader_keeps_its_state_and_a_killed_one_keeps_no_pages(store: Store) -> None:
    def write(times: int) -> int:
        for number in range(times):
            with store.write() as txn:
                txn.set_meta(b"large", bytes([number % 256]) * 20_000)
        return store.sizes()["used"]

    with running(CHILD, "read", store.path) as child:
        assert line(child) == "0"
        with store.write() as txn:
            world.add(txn, world.record())
        tell(child)
        assert line(child) == "0"
    with running(CHILD, "read", store.path) as child:
        assert line(child) == "1"
        child.kill()
        child.wait()
        write(300)  # among which it is found out
        before = write(1)
        assert write(100) == before


def test_another_process_enlarges_the_map(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", map_size=1 << 20, sync=False)
    with running(CHILD, "grow", store.path) as child:
        assert line(child) == "grown"
    with store.snapshot() as snapshot:
        assert snapshot.meta(b"large") == bytes(2 << 20)
    assert store.sizes()["map_size"] == 16 << 20
    with store.write() as txn:
        txn.set_meta(b"larger", bytes(4 << 20))
    store.backup(tmp_path / "copy")
    assert world.faults(store) == []
    store.close()


@pytest.mark.parametrize("first", ["write", "writer", "backup"])
def test_whatever_meets_the_larger_map_first(tmp_path: Path, first: str) -> None:
    store = Store.open(tmp_path / "store", map_size=1 << 20, sync=False)
    old = store.snapshot()
    with running(CHILD, "grow", store.path) as child:
        assert line(child) == "grown"
    assert old.meta(b"large") is None  # goes on while nobody asks for a newer state
    match first:
        case "write":
            with store.write() as txn:
                world.add(txn, world.record())
        case "writer":
            store.writer.submit(lambda txn: world.add(txn, world.record())).result(10)
        case _:
            store.backup(tmp_path / "copy")
    # What was open has ended, and says so.
    with pytest.raises(Exception, match="closed"):
        old.entry(ROOT)
    old.close()
    assert world.faults(store) == []
    store.close()


def test_too_many_readers(store: Store) -> None:
    open_ones = [store.snapshot() for _ in range(1024)]
    with pytest.raises(StoreBusy, match="more than 1024 readers"):
        store.snapshot()
    while open_ones:
        open_ones.pop().close()
    store.snapshot().close()
