"""Opening, what is refused, and copies."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import pytest

from storage import store as module
from storage.errors import StoreError, StoreUnusable
from storage.keys import ROOT
from storage.store import Store
from tests.storage import world


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where"
    first = Store.open(path)
    with first.write() as txn:
        entry = world.add(txn, world.record())
    first.close()
    again = Store.open(path)
    with again.snapshot() as snapshot:
        assert snapshot.child(ROOT, b"cn=a") == entry
    assert world.faults(again) == []
    again.close()


def test_only_its_owner_may_read_it(store: Store, tmp_path: Path) -> None:
    store.backup(tmp_path / "copy")
    (tmp_path / "open").mkdir(mode=0o755)
    store.backup(tmp_path / "open")
    assert (store.path.stat().st_mode & 0o777, (tmp_path / "copy").stat().st_mode & 0o777) == (0o700, 0o700)
    for folder in (store.path, tmp_path / "copy", tmp_path / "open"):
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file


def test_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path).close()
    monkeypatch.setattr(module, "FORMAT", b"2")
    with pytest.raises(StoreUnusable, match="has format 1, this program knows 2"):
        Store.open(tmp_path)


@pytest.mark.parametrize("content", [b"hello", b"hello" * 5000])
def test_not_a_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(StoreUnusable, match="not a store"):
        Store.open(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_another_programs_environment(tmp_path: Path) -> None:
    env = lmdb.open(os.fspath(tmp_path), max_dbs=2)
    env.open_db(b"id2e")
    env.close()
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="another program"):
            Store.open(tmp_path)
    env = lmdb.open(os.fspath(tmp_path), max_dbs=2)
    with env.begin() as txn:
        assert [key for key, _ in txn.cursor()] == [b"id2e"]
    env.close()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreUnusable, match="not a folder"):
            Store.open(path)


def test_twice_in_one_process(store: Store) -> None:
    with pytest.raises(StoreError, match="already open"):
        Store.open(store.path)
    with store.write() as txn:
        world.add(txn, world.record())


def test_too_large_a_map(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="map"):
        Store.open(tmp_path, map_size=1 << 62)


def test_reopened_with_a_smaller_map(tmp_path: Path) -> None:
    store = Store.open(tmp_path, map_size=64 << 20, sync=False)
    with store.write() as txn:
        for n in range(20):
            txn.set_meta(b"%d" % n, bytes(100_000))
    store.close()
    store = Store.open(tmp_path, map_size=1 << 20, sync=False)
    with store.snapshot() as snapshot:
        assert snapshot.meta(b"19") == bytes(100_000)
    assert store.sizes()["map_size"] >= store.sizes()["used"] > 2_000_000
    store.close()


def test_backup(store: Store, tmp_path: Path) -> None:
    with store.write() as txn:
        world.add(txn, world.record())
    with store.write() as txn:  # which the copy doesn't wait for
        world.add(txn, world.record(rdn=b"cn=b"))
        store.backup(tmp_path / "copy")
    with pytest.raises(StoreUnusable, match="not empty"):
        store.backup(tmp_path / "copy")
    copy = Store.open(tmp_path / "copy", sync=False)
    with copy.snapshot() as snapshot:
        assert (snapshot.child(ROOT, b"cn=b"), snapshot.entry_count()) == (None, 1)
    assert world.faults(copy) == []
    copy.close()


def test_backup_that_fails_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreError, match=r"copy.*no room"):
        store.backup(tmp_path / "copy")
    monkeypatch.undo()
    store.backup(tmp_path / "copy")
