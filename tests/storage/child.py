"""What the tests have another process do: ``python -m tests.storage.child VERB FOLDER``.

A verb says what it has done on its standard output, a line at a time, and fails by an
exception.  Those that wait do so for a line on their standard input.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from storage.errors import StoreFull, StoreReadOnly
from storage.keys import ROOT
from storage.store import Store
from tests.storage import world

_FILLER = 1 << 20


def say(text: object) -> None:
    print(text, flush=True)


def hold(path: Path) -> None:
    """Stay in a write transaction that has written."""
    store = Store.open(path, sync=False)
    with store.write() as txn:
        world.add(txn, world.record(rdn=b"cn=child"))
        say("held")
        sys.stdin.readline()
    say("committed")


def read(path: Path) -> None:
    """Stay in a snapshot."""
    store = Store.open(path, sync=False)
    with store.snapshot() as snapshot:
        say(snapshot.entry_count())
        sys.stdin.readline()
        say(snapshot.entry_count())


def twins(path: Path) -> None:
    """Write two rows of one number in each transaction."""
    store = Store.open(path, sync=False)
    for number in range(1, 301):
        with store.write() as txn:
            txn.set_meta(b"twin-1", b"%d" % number)
            txn.set_meta(b"twin-2", b"%d" % number)
        if not number % 100:  # until it has been read
            sys.stdin.readline()


def commit(path: Path) -> None:
    """Many small durable transactions."""
    store = Store.open(path)
    for number in range(100):
        with store.write() as txn:
            txn.set_meta(b"number", b"%d" % number)


def grow(path: Path) -> None:
    """Write more than a map of 1 MiB holds, with a larger one."""
    store = Store.open(path, sync=False, map_size=16 << 20)
    with store.write() as txn:
        txn.set_meta(b"large", bytes(2 << 20))
    say("grown")


def fill(store: Store, prefix: str) -> int:
    """Add entries until there is no more room; how many fitted."""
    for count in range(100_000):
        try:
            with store.write() as txn:
                new = world.record(
                    rdn=b"cn=%s%d" % (prefix.encode(), count), attributes=((3, bytes(30_000)),)
                )
                world.add(txn, new)
        except StoreFull as error:
            say(error)
            return count
    raise AssertionError("there is always room")


def empty(store: Store) -> None:
    """Delete all entries, a few at a time."""
    while True:
        with store.write() as txn:
            entries = [entry for entry, _ in txn.entries()][:5]
            for entry in entries:
                world.delete(txn, entry)
        if not entries:
            return


def full_then_usable(store: Store) -> None:
    world.describe(store)
    for prefix in ("a", "b"):
        count = fill(store, prefix)
        assert count > 5, count
        with store.snapshot() as snapshot:
            assert snapshot.children_count(ROOT) == snapshot.entry_count() == count
        assert not world.faults(store)
        empty(store)


def file_limit(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILLER, _FILLER))
    full_then_usable(Store.open(path))


def full_disk(path: Path) -> None:
    """In a mount namespace of its own: a disk of 3 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path], check=True)
    store = Store.open(path / "store")
    filler = path / "filler"
    filler.write_bytes(bytes(_FILLER))
    full_then_usable(store)
    count = fill(store, "c")
    try:
        store.backup(path / "backup")
        raise AssertionError("a copy on a full disk")
    except StoreFull as error:
        say(error)
    assert not list((path / "backup").iterdir())
    filler.unlink()  # the operator makes room
    with store.write() as txn:
        world.add(txn, world.record())
        assert txn.entry_count() == count + 1
    assert not world.faults(store)
    # Full to the last page: stores that exist open and are read, new ones are refused.
    store.close()
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    store = Store.open(path / "store")
    assert not world.faults(store)
    store.close()
    for _ in range(2):
        try:
            Store.open(path / "new")
            raise AssertionError("a store on a full disk")
        except StoreFull as error:
            say(error)
    filler.unlink()
    Store.open(path / "new").close()


def read_only_disk(path: Path) -> None:
    """In a mount namespace of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
    Store.open(path / "store").close()
    subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
    _refused(path)


def read_only_folder(path: Path) -> None:
    """As somebody who may not write."""
    Store.open(path / "store").close()
    path.chmod(0o555)
    for file in (path / "store").iterdir():
        file.chmod(0o444)
    (path / "store").chmod(0o555)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    _refused(path)


def _refused(path: Path) -> None:
    for folder in ("store", "new", "new/below"):
        try:
            Store.open(path / folder)
        except StoreReadOnly as error:
            say(error)
        else:
            raise AssertionError(f"{folder} can be written")


VERBS = {
    verb.__name__: verb
    for verb in (hold, read, twins, commit, grow, file_limit, full_disk, read_only_disk, read_only_folder)
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](Path(sys.argv[2]))
