"""LMDB, and the only module that knows it: opening, transactions, errors.

Several processes may have one environment open (LMDB's design): any number of readers,
one writer at a time.  ``Environment.errors`` turns LMDB's exceptions into the store's.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import lmdb

from storage.errors import Conflict, StoreBusy, StoreError, StoreFull, StoreReadOnly, StoreUnusable

# py-lmdb's own types allow for memoryviews, which are never asked for here.
RawTransaction: TypeAlias = Any
RawTable: TypeAlias = Any

T = TypeVar("T")

# Address space, not disk: the file grows as it is filled.
DEFAULT_MAP_SIZE: Final = 64 << 30
_MAX_READERS: Final = 1024
# LMDB's header and slots, which are cache lines.
_LOCK_FILE_SIZE: Final = 64 * (_MAX_READERS + 2)
# Writes between two looks for readers that died, whose slots keep pages from being used again.
_CHECK_READERS_EVERY: Final = 256


class Tables:
    """Handles of the tables that ``keys`` lays out."""

    def __init__(self, env: lmdb.Environment, txn: lmdb.Transaction) -> None:
        def plain(name: str) -> RawTable:
            return env.open_db(name.encode(), txn=txn)

        def of_ids(name: str) -> RawTable:
            return env.open_db(name.encode(), txn=txn, dupsort=True, dupfixed=True)

        self.entries = plain("entries")
        self.tree = plain("tree")
        self.children = plain("children")
        self.grams = plain("grams")
        self.descriptions = plain("descriptions")
        self.placements = plain("placements")
        self.changes = plain("changes")
        self.meta = plain("meta")
        self.index = of_ids("index")
        self.placed = of_ids("placed")


class Environment:
    """An open LMDB environment.

    ``sync=False`` gives durability away (for tests whose data dies with them).
    Raises StoreUnusable, StoreReadOnly, StoreFull.
    """

    def __init__(self, path: Path, *, map_size: int = DEFAULT_MAP_SIZE, sync: bool = True) -> None:
        self.path = path
        self._writes = 0
        new = _reserve_lock_file(path)
        with self.errors():
            self._env = lmdb.open(
                os.fspath(path),
                map_size=map_size,
                max_dbs=16,
                max_readers=_MAX_READERS,
                max_spare_txns=8,
                sync=sync,
                metasync=sync,
                mode=0o600,
            )
        try:
            self.tables = self._open_tables()
            if new and sync:
                sync_folder(path)
                with suppress(PermissionError):  # of a folder that is not ours
                    sync_folder(path.absolute().parent)
        except BaseException:
            self._env.close()
            raise
        self.begin_read: Callable[[], RawTransaction] = self._env.begin

    def _open_tables(self) -> Tables:
        with self.errors():
            self._env.reader_check()
            with self._env.begin(write=True) as txn:
                if txn.stat()["entries"] and not txn.cursor().set_key(b"meta"):
                    raise StoreUnusable(f"{self.path}: not a store: another program's LMDB environment")
                return Tables(self._env, txn)

    @contextmanager
    def errors(self, at: Path | None = None) -> Iterator[None]:
        """LMDB's exceptions as the store's, about its folder or another."""
        path = at or self.path
        try:
            yield
        except lmdb.MapFullError as error:
            size = self._env.info()["map_size"]
            raise StoreFull(f"{path}: the map of {size:,} bytes is full; raise map_size") from error
        except lmdb.MapResizedError as error:
            raise StoreBusy(f"{path}: another process gave the store a larger map") from error
        except lmdb.ReadersFullError as error:
            raise StoreBusy(f"{path}: more than {_MAX_READERS} readers at once") from error
        except lmdb.LockError as error:
            raise StoreBusy(f"{path}: locked: {error}") from error
        except lmdb.MemoryError as error:
            raise StoreError(f"{path}: no address space for the map: {error}; lower map_size") from error
        except lmdb.ReadonlyError as error:
            raise StoreReadOnly(f"{path}: can't be written: {error}") from error
        except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
            raise StoreUnusable(f"{path}: not a store: {error}") from error
        except lmdb.PanicError as error:
            raise StoreError(f"{path}: a write failed halfway; start this process again: {error}") from error
        except lmdb.KeyExistsError as error:
            raise Conflict(str(error)) from error
        except lmdb.Error as error:
            # py-lmdb gives system errors their text only.
            text = str(error)
            known = (code for code in _SYSTEM_ERRORS if os.strerror(code) in text)
            code = next(known, 0)
            if os.strerror(errno.EIO) in text and _room(path) < _LITTLE_ROOM:
                code = errno.ENOSPC  # LMDB's word for a write that was cut short
            raise system_error(path, code, text) from error

    def begin_read_after(self, error: Exception) -> RawTransaction:
        """Once more, when ``begin_read`` has raised ``error``; raises what the store calls it."""
        with self.errors():
            if not isinstance(error, lmdb.MapResizedError):
                raise error
            return self._in_larger_map(self._env.begin)

    def begin_write(self) -> RawTransaction:
        """Waits for other writers, of this process and of others."""
        self._writes += 1
        if not self._writes % _CHECK_READERS_EVERY:
            self._env.reader_check()
        return self._in_larger_map(lambda: self._env.begin(write=True))

    def _in_larger_map(self, action: Callable[[], T]) -> T:
        """Another process may have outgrown our map: take over the size of its own.

        That ends all transactions of this process, whose iterators then raise; they have
        a store before them that this process could not have gone on to read.
        """
        try:
            return action()
        except lmdb.MapResizedError as error:
            try:
                self._env.set_mapsize(0)
            except lmdb.Error:  # one of our threads writes, which can't be ended; later then
                raise error from None
            return action()

    def copy(self, destination: Path) -> None:
        """A compact, consistent copy into an empty folder while others read and write.

        It is called ``data.mdb`` only when it is whole and on the disk.
        """
        part = destination / "data.mdb.part"
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                with self.errors(destination):
                    self._in_larger_map(lambda: self._env.copyfd(file.fileno(), compact=True))
                os.fsync(file.fileno())
            part.rename(destination / "data.mdb")
            sync_folder(destination)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise system_error(destination, error.errno or 0, error.strerror or "") from error
            raise

    def sizes(self) -> dict[str, int]:
        """Bytes: the map, what is used of it; and counts: readers, the last transaction."""
        info, stat = self._env.info(), self._env.stat()
        return {
            "map_size": info["map_size"],
            "used": (info["last_pgno"] + 1) * stat["psize"],
            "readers": info["num_readers"],
            "last_transaction": info["last_txnid"],
        }

    def close(self) -> None:
        self._env.close()


_LITTLE_ROOM: Final = 1 << 20

# What the system says when it can't, as the store's errors.
_SYSTEM_ERRORS: Final[dict[int, tuple[type[StoreError], str]]] = {
    errno.ENOSPC: (StoreFull, "no room left"),
    errno.EDQUOT: (StoreFull, "no room left"),
    errno.EFBIG: (StoreFull, "no room left"),
    errno.EACCES: (StoreReadOnly, "can't be written"),
    errno.EROFS: (StoreReadOnly, "can't be written"),
    errno.EPERM: (StoreReadOnly, "can't be written"),
    errno.ENOENT: (StoreUnusable, "no such folder"),
    errno.ENOTDIR: (StoreUnusable, "not a folder"),
    errno.EEXIST: (StoreUnusable, "not a folder"),
}


def system_error(path: Path, code: int, text: str) -> StoreError:
    kind, meaning = _SYSTEM_ERRORS.get(code, (StoreError, "failed"))
    return kind(f"{path}: {meaning}: {text}")


def _room(path: Path) -> int:
    """Bytes by which the store may grow, as far as the system tells."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        disk = os.statvfs(path)
        size = (path / "data.mdb").stat().st_size
    except OSError:
        return _LITTLE_ROOM
    free = disk.f_bavail * disk.f_frsize
    return free if limit == resource.RLIM_INFINITY else min(free, limit - size)


def make_folder(path: Path) -> None:
    """Make a folder that only its owner may use, if it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise system_error(path, error.errno or 0, error.strerror or "") from error


def sync_folder(path: Path) -> None:
    """Make durable that the folder's files are there; LMDB sees to their contents only."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reserve_lock_file(path: Path) -> bool:
    """Give the lock file its blocks; True when it is new.

    LMDB makes it with holes and maps it: with a full disk its first touch of a hole would
    kill the process (SIGBUS).  A file that is in use is not opened here, because closing
    it would give up the locks that this process has on it.
    """
    lock = path / "lock.mdb"
    try:
        if lock.exists() and lock.stat().st_size:
            return False
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform != "darwin":
                os.posix_fallocate(descriptor, 0, _LOCK_FILE_SIZE)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                lock.unlink()
                raise
            # Otherwise the file system knows no such call.
        finally:
            os.close(descriptor)
    except OSError as error:
        raise system_error(path, error.errno or 0, error.strerror or "") from error
    return True


def put_sorted(txn: RawTransaction, table: RawTable, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Put many items at LMDB's own speed; quickest when they come in key order."""
    with txn.cursor(table) as cursor:
        cursor.putmulti(items)


def append(txn: RawTransaction, table: RawTable, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Put items whose keys all follow the table's last one, in order."""
    with txn.cursor(table) as cursor:
        consumed, added = cursor.putmulti(items, append=True)
    if consumed != added:
        raise Conflict("a key to append does not follow the table's last one")
