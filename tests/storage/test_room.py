"""No room, and no right to write: a clear error, and a store that is none the worse."""

from __future__ import annotations

import subprocess
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from storage.errors import StoreFull
from storage.store import Store
from storage.txn import WriteTransaction
from tests.storage import child, world
from tests.storage.processes import command, run

CHILD = "tests.storage.child"


@cache
def namespace() -> list[str]:
    """How to run a command that may mount, if this machine allows it."""
    for words in (["unshare", "-m"], ["unshare", "-rm"], ["sudo", "-n", "unshare", "-m"]):
        try:
            mount = [*words, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            if not subprocess.run(mount, capture_output=True, check=False).returncode:
                return words
        except FileNotFoundError:
            pass
    # Containers forbid it; what can be tested without is below, and never skipped.
    pytest.skip("file systems can't be mounted here")


def test_a_full_map(tmp_path: Path) -> None:
    store = Store.open(tmp_path, map_size=1 << 20, sync=False)
    child.full_then_usable(store)
    count = child.fill(store, "c")
    with pytest.raises(StoreFull, match="the map of 1,048,576 bytes is full; raise map_size"):
        store.writer.submit(lambda txn: txn.set_meta(b"x", bytes(1 << 20))).result(10)
    assert world.faults(store) == []
    store.close()
    store = Store.open(tmp_path, map_size=2 << 20, sync=False)
    assert child.fill(store, "d") > 5
    with store.snapshot() as snapshot:
        assert snapshot.entry_count() > count
    assert world.faults(store) == []
    store.close()


def test_a_full_map_among_others(tmp_path: Path) -> None:
    """Who asks for too much fails; who is in the same batch doesn't."""
    store = Store.open(tmp_path, map_size=1 << 20, sync=False)

    def put(number: int, txn: WriteTransaction) -> None:
        txn.set_meta(b"%d" % number, bytes(1 << 20 if number == 5 else 10))

    futures = [store.writer.submit(partial(put, n)) for n in range(10)]
    assert [n for n, future in enumerate(futures) if future.exception(10)] == [5]
    with pytest.raises(StoreFull):
        futures[5].result()
    with store.snapshot() as snapshot:
        assert [n for n in range(10) if snapshot.meta(b"%d" % n) is None] == [5]
    store.close()


def test_a_map_too_small_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match="raise map_size"):
        Store.open(tmp_path, map_size=16 << 10)
    Store.open(tmp_path, map_size=1 << 20).close()


def test_files_may_not_grow(tmp_path: Path) -> None:
    said = run(*command(CHILD, "file_limit", tmp_path))
    assert said.count("no room left") == 2


def test_a_full_disk(tmp_path: Path) -> None:
    said = run(*namespace(), *command(CHILD, "full_disk", tmp_path)).splitlines()
    assert [line for line in said if "no room left" not in line] == []
    assert [line for line in said if line.startswith(f"{tmp_path}/backup: ")] == [said[3]]


def test_a_read_only_disk(tmp_path: Path) -> None:
    said = run(*namespace(), *command(CHILD, "read_only_disk", tmp_path))
    assert said.count("can't be written") == 3


def test_a_read_only_folder() -> None:
    # Not below pytest's folder, which is closed to the user that root becomes there.
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        said = run(*command(CHILD, "read_only_folder", folder))
        for path in (folder, folder / "store"):
            path.chmod(0o700)
    assert said.count("can't be written") == 3
