"""A store: one folder, opened by any number of processes.

``snapshot`` reads, ``write`` is a transaction of the caller's thread, ``writer`` commits
together what several callers want written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock

from storage.env import DEFAULT_MAP_SIZE, Environment, make_folder
from storage.errors import StoreError, StoreUnusable
from storage.snapshot import Snapshot
from storage.txn import WriteTransaction
from storage.writer import Writer

FORMAT = b"1"


def _micros() -> int:
    return time.time_ns() // 1000


class Store:
    """``clock`` gives microseconds since 1970."""

    def __init__(self, env: Environment, clock: Callable[[], int]) -> None:
        self._env = env
        self._clock = clock
        self._writer: Writer | None = None
        self._lock = Lock()
        self._closed = False
        self._notices: tuple[Callable[[], None], ...] = ()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        map_size: int = DEFAULT_MAP_SIZE,
        sync: bool = True,
        clock: Callable[[], int] = _micros,
    ) -> Store:
        """Open the store in a folder, which is made when it is missing.

        Raises StoreReadOnly, StoreFull, StoreUnusable.
        """
        make_folder(path)
        store = cls(Environment(path, map_size=map_size, sync=sync), clock)
        try:
            store._check_format()
        except BaseException:
            store.close()
            raise
        return store

    def _check_format(self) -> None:
        with self.snapshot() as snapshot:
            found = snapshot.meta(b"format")
        if found is None:
            with self.write() as txn:
                if txn.meta(b"format") is None:
                    txn.set_meta(b"format", FORMAT)
        elif found != FORMAT:
            raise StoreUnusable(
                f"{self.path}: the store has format {found.decode(errors='replace')}, this program knows "
                f"{FORMAT.decode()}; use the version that wrote it, or export there and import here"
            )

    @property
    def path(self) -> Path:
        return self._env.path

    def snapshot(self) -> Snapshot:
        """Close it soon: an old snapshot keeps LMDB from using pages again."""
        try:
            raw = self._env.begin_read()
        except Exception as error:
            raw = self._env.begin_read_after(error)
        return Snapshot(raw, self._env.tables)

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """Commits at the end of the scope, durably; rolls back when it is left by an exception."""
        with self._env.errors():
            raw = self._env.begin_write()
            try:
                yield WriteTransaction(raw, self._env.tables, self._clock())
            except BaseException:
                raw.abort()
                raise
            raw.commit()
        for notice in self._notices:
            notice()

    def last_transaction(self) -> int:
        """The number of the last commit of any process that a snapshot of now has.

        LMDB's own word for it is ahead of that: a commit shows there before the disk has
        it, and in snapshots only then.
        """
        with self.snapshot() as snapshot:
            return snapshot.number

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call ``notice()`` after each commit of this process, in the thread that committed:
        it must be quick and must not raise.  Returns what ends that."""
        with self._lock:
            self._notices = (*self._notices, notice)

        def cancel() -> None:
            with self._lock:
                self._notices = tuple(known for known in self._notices if known is not notice)

        return cancel

    @property
    def writer(self) -> Writer:
        """Started at first use."""
        if self._writer is None:
            with self._lock:
                if self._closed:
                    raise StoreError(f"{self.path}: the store is closed")
                if self._writer is None:
                    self._writer = Writer(self)
        return self._writer

    def errors(self) -> AbstractContextManager[None]:
        """What LMDB raises in the scope as the store's errors."""
        return self._env.errors()

    def backup(self, destination: Path) -> None:
        """A consistent copy, while others read and write, into an empty or new folder."""
        make_folder(destination)
        if any(destination.iterdir()):
            raise StoreUnusable(f"{destination}: not empty; a backup wants a folder of its own")
        self._env.copy(destination)

    def sizes(self) -> dict[str, int]:
        return self._env.sizes()

    def close(self) -> None:
        """Finish what the writer was given, then close.  No snapshot may be open."""
        with self._lock:
            self._closed = True
        if self._writer is not None:
            self._writer.close()
        self._env.close()
