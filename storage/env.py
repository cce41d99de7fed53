"""LMDB, and the only module that knows it: opening, transactions, errors.

Several processes may have one environment open (LMDB's design): any number of readers,
one writer at a time.  ``Environment.errors`` turns LMDB's exceptions into the store's.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import lmdb

from storage.errors import Conflict, StoreBusy, StoreError, StoreFull, StoreReadOnly, StoreUnusable

# py-lmdb's own types allow for memoryviews, which are never asked for here.
RawTransaction: TypeAlias = Any
RawTable: TypeAlias = Any

# Address space, not disk: the file grows as it is filled.
DEFAULT_MAP_SIZE: Final = 64 << 30
_MAX_READERS: Final = 1024


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
        with self.errors():
            self._env = lmdb.open(
                os.fspath(path),
                map_size=map_size,
                max_dbs=16,
                max_readers=_MAX_READERS,
                max_spare_txns=8,
                sync=sync,
                metasync=sync,
                readahead=False,
                mode=0o600,
            )
            self._env.reader_check()
            with self._env.begin(write=True) as txn:
                self.tables = Tables(self._env, txn)
        self.begin_read: Callable[[], RawTransaction] = self._env.begin

    @contextmanager
    def errors(self) -> Iterator[None]:
        """LMDB's exceptions as the store's."""
        try:
            yield
        except lmdb.MapFullError as error:
            size = self._env.info()["map_size"]
            raise StoreFull(f"{self.path}: the map of {size:,} bytes is full; raise map_size") from error
        except lmdb.MapResizedError as error:
            raise StoreBusy(f"{self.path}: another process gave the store a larger map") from error
        except lmdb.ReadersFullError as error:
            raise StoreBusy(f"{self.path}: more than {_MAX_READERS} readers at once") from error
        except (lmdb.ReadonlyError, lmdb.LockError) as error:
            raise StoreReadOnly(f"{self.path}: can't be written: {error}") from error
        except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
            raise StoreUnusable(f"{self.path}: not a store: {error}") from error
        except lmdb.KeyExistsError as error:
            raise Conflict(str(error)) from error
        except lmdb.Error as error:
            raise self._system_error(error) from error

    def _system_error(self, error: lmdb.Error) -> StoreError:
        """py-lmdb gives system errors their text only."""
        text = str(error)
        if any(os.strerror(code) in text for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)):
            return StoreFull(f"{self.path}: no room left: {text}")
        if any(os.strerror(code) in text for code in (errno.EACCES, errno.EROFS, errno.EPERM)):
            return StoreReadOnly(f"{self.path}: can't be written: {text}")
        if any(os.strerror(code) in text for code in (errno.ENOENT, errno.ENOTDIR)):
            return StoreUnusable(f"{self.path}: no such folder: {text}")
        return StoreError(f"{self.path}: {text}")

    def begin_write(self) -> RawTransaction:
        """Waits for other writers, of this process and of others."""
        return self._env.begin(write=True)

    def copy(self, destination: Path) -> None:
        """A compact, consistent copy into an empty folder while others read and write."""
        with self.errors():
            self._env.copy(os.fspath(destination), compact=True)

    def adopt_map_size(self) -> None:
        """Take over the map size that another process has set; no transaction may be open."""
        with self.errors():
            self._env.set_mapsize(0)

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


def put_sorted(txn: RawTransaction, table: RawTable, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Put many items at LMDB's own speed; quickest when they come in key order."""
    with txn.cursor(table) as cursor:
        cursor.putmulti(items)


def append(txn: RawTransaction, table: RawTable, items: Iterable[tuple[bytes, bytes]]) -> None:
    """Put items whose keys all follow the table's last one, in order."""
    with txn.cursor(table) as cursor:
        cursor.putmulti(items, append=True)
