"""The one writer of a process: a thread that commits together what waits together.

Each submitted function runs in the writer's transaction; its future is done after the
commit that holds it, so after the disk has it.  A function that fails before it wrote
anything leaves nothing to undo.  One that fails later takes the whole transaction with
it, and what was submitted before it, itself, and what came after run again in three
transactions, in that order: functions must therefore do nothing but write to the
transaction they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

from storage.errors import StoreError
from storage.txn import WriteTransaction

T = TypeVar("T")

# Bounds how long a reader of the newest state may wait for a batch.
BATCH = 256

_Job = tuple[Callable[[WriteTransaction], Any], "Future[Any]"]


class Transactions(Protocol):
    def write(self) -> AbstractContextManager[WriteTransaction]: ...

    def errors(self) -> AbstractContextManager[None]: ...


class Writer:
    def __init__(self, store: Transactions) -> None:
        self._store = store
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="storage-writer", daemon=True)
        self._closed = False
        # Nothing may be queued behind the word to end.
        self._lock = Lock()
        self._thread.start()

    def submit(self, function: Callable[[WriteTransaction], T]) -> Future[T]:
        """The function's result once it is durable; its exception, or the store's."""
        future: Future[T] = Future()
        with self._lock:
            if not self._closed:
                self._queue.put((function, future))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self) -> None:
        """Finish what was submitted, then end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._turn():
            pass

    def _turn(self) -> bool:
        """One batch, which is let go before the wait for the next."""
        batch, last = self._collect()
        if batch:
            self._commit(batch)
        return not last

    def _collect(self) -> tuple[list[_Job], bool]:
        """Everything that waits, up to a batch; True when the writer is to end after it."""
        batch: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            if job[1].set_running_or_notify_cancel():
                batch.append(job)
            if len(batch) == BATCH or self._queue.empty():
                return batch, False
            job = self._queue.get()
        return batch, True

    def _commit(self, batch: list[_Job]) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with self._store.write() as txn:
                for function, _ in batch:
                    outcomes.append(self._attempt(function, txn))
        except BaseException as error:  # nothing of the batch is there
            if len(batch) > 1:
                for part in _parts(batch, len(outcomes)):
                    self._commit(part)
                return
            outcomes = [(None, error)]
        for (_, future), (result, failure) in zip(batch, outcomes, strict=True):
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

    def _attempt(
        self, function: Callable[[WriteTransaction], Any], txn: WriteTransaction
    ) -> tuple[Any, BaseException | None]:
        """The function's result, or how it failed; raises when that spoils the transaction."""
        before = txn.writes
        try:
            with self._store.errors():
                return function(txn), None
        except BaseException as error:
            if txn.writes != before:
                raise
            return None, error


def _parts(batch: list[_Job], spoiler: int) -> list[list[_Job]]:
    """What to commit apart: all, or what comes before and after the one that spoiled it."""
    if spoiler == len(batch):
        return [[job] for job in batch]
    return [part for part in (batch[:spoiler], [batch[spoiler]], batch[spoiler + 1 :]) if part]
