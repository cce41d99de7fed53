"""The writer: what is committed together, and what becomes of what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Thread, get_ident
from time import sleep
from typing import Any
from weakref import ref

import pytest

from storage import writer as module
from storage.errors import Conflict, StoreError, StoreFull
from storage.keys import ROOT
from storage.store import Store
from storage.txn import WriteTransaction
from storage.writer import BATCH, Writer
from tests.storage import world


class Counted:
    """A store that counts its commits and can be told to fail one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.commits = 0
        self.failures: list[BaseException] = []
        self.errors = store.errors

    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        with self.store.write() as txn:
            yield txn
            if self.failures:
                raise self.failures.pop()
        self.commits += 1


class Gate:
    """Holds the writer in a transaction, so that what is submitted meanwhile waits together."""

    def __init__(self, writer: Writer) -> None:
        self._entered, self._open = Event(), Event()
        self.future = writer.submit(self._hold)
        assert self._entered.wait(10)

    def _hold(self, txn: WriteTransaction) -> None:
        self._entered.set()
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


def adds(name: bytes) -> Callable[[WriteTransaction], bytes]:
    return lambda txn: world.add(txn, world.record(rdn=b"cn=" + name))


def names(store: Store) -> list[bytes]:
    with store.snapshot() as snapshot:
        return [world.unpacked(snapshot, entry).rdn[3:] for entry, _ in snapshot.entries()]


@pytest.fixture
def counted(store: Store) -> Counted:
    return Counted(store)


@pytest.fixture
def writer(counted: Counted) -> Iterator[Writer]:
    writer = Writer(counted)
    yield writer
    writer.close()


def test_what_waits_together_is_committed_together(counted: Counted, writer: Writer) -> None:
    gate = Gate(writer)
    futures = [writer.submit(adds(b"%d" % n)) for n in range(20)]
    assert not any(future.done() for future in futures)
    gate.open()
    results = [future.result(10) for future in futures]
    assert counted.commits == 2
    assert results == sorted(results)
    assert names(counted.store) == [b"%d" % n for n in range(20)]


def test_batches_are_bounded(counted: Counted, writer: Writer) -> None:
    gate = Gate(writer)
    futures = [writer.submit(lambda txn: txn.set_meta(b"x", b"y")) for _ in range(2 * BATCH + 1)]
    gate.open()
    assert not wait(futures, 10).not_done
    assert counted.commits == 4


def test_done_means_committed(store: Store) -> None:
    """Readers see what a future tells of, from its callbacks on."""
    seen: list[tuple[bytes | None, int]] = []

    def look(future: Future[bytes]) -> None:
        with store.snapshot() as snapshot:
            seen.append((snapshot.child(ROOT, b"cn=a"), get_ident()))

    future = store.writer.submit(adds(b"a"))
    future.add_done_callback(look)
    entry = future.result(10)
    store.writer.submit(lambda txn: None).result(10)
    assert seen[0][0] == entry


def test_a_failure_before_writing_costs_nobody_anything(counted: Counted, writer: Writer) -> None:
    def refuses(txn: WriteTransaction) -> None:
        raise LookupError("no such thing")

    gate = Gate(writer)
    before, bad, after = (writer.submit(f) for f in (adds(b"a"), refuses, adds(b"b")))
    taken = writer.submit(adds(b"A"))
    gate.open()
    assert (before.result(10), after.result(10)) == ((1).to_bytes(8, "big"), (2).to_bytes(8, "big"))
    with pytest.raises(LookupError, match="no such thing"):
        bad.result(10)
    with pytest.raises(Conflict):
        taken.result(10)
    assert counted.commits == 2


def test_a_failure_after_writing_is_taken_back_alone(counted: Counted, writer: Writer) -> None:
    runs: list[str] = []

    def breaks(txn: WriteTransaction) -> None:
        runs.append("breaks")
        adds(b"half")(txn)
        raise ZeroDivisionError

    def counts(name: str) -> Callable[[WriteTransaction], str]:
        def run(txn: WriteTransaction) -> str:
            runs.append(name)
            adds(name.encode())(txn)
            return name

        return run

    gate = Gate(writer)
    good = [writer.submit(counts(name)) for name in "abc"]
    bad = writer.submit(breaks)
    good += [writer.submit(counts(name)) for name in "def"]
    gate.open()
    assert [future.result(10) for future in good] == list("abcdef")
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    assert names(counted.store) == [b"a", b"b", b"c", b"d", b"e", b"f"]  # once each, in order
    assert runs == [*"abc", "breaks", *"abc", "breaks", *"def"]
    assert counted.commits == 3


def test_all_of_a_full_batch_may_break(counted: Counted, writer: Writer) -> None:
    def breaks(txn: WriteTransaction) -> None:
        adds(b"half")(txn)
        raise ZeroDivisionError

    gate = Gate(writer)
    futures = [writer.submit(breaks) for _ in range(BATCH)]
    gate.open()
    assert all(isinstance(future.exception(10), ZeroDivisionError) for future in futures)
    assert names(counted.store) == []


def test_a_commit_that_fails_is_tried_again_for_each(counted: Counted, writer: Writer) -> None:
    gate = Gate(writer)
    futures = [writer.submit(adds(name)) for name in (b"a", b"b", b"c")]
    # Popped from the end: the gate's, the batch's, then a's, b's and c's.
    counted.failures = [StoreFull("c"), StoreFull("b"), StoreFull("a"), StoreFull("batch"), StoreFull("gate")]
    gate.open()
    for name, future in zip("abc", futures, strict=True):
        with pytest.raises(StoreFull, match=name):
            future.result(10)
    assert writer.submit(adds(b"d")).result(10)
    assert names(counted.store) == [b"d"]


class _Exotic(BaseException):
    """Such as asyncio's CancelledError, which is no Exception."""


def test_the_thread_outlives_everything_raised(writer: Writer) -> None:
    def raises(txn: WriteTransaction) -> None:
        adds(b"half")(txn)
        raise _Exotic

    for function in (raises, _exit):
        with pytest.raises((_Exotic, SystemExit)):
            writer.submit(function).result(10)
    assert writer.submit(adds(b"a")).result(10)


def _exit(txn: WriteTransaction) -> None:
    raise SystemExit


def test_cancelled_while_it_waits(counted: Counted, writer: Writer) -> None:
    gate = Gate(writer)
    lost, kept = writer.submit(adds(b"lost")), writer.submit(adds(b"kept"))
    assert lost.cancel()
    gate.open()
    assert kept.result(10)
    assert not kept.cancel()
    with pytest.raises(CancelledError):
        lost.result()
    assert names(counted.store) == [b"kept"]


def test_what_is_done_is_let_go(writer: Writer) -> None:
    """A large job's work must not stay in memory until the next one comes."""

    class Job:
        def __call__(self, txn: WriteTransaction) -> None: ...

    job = Job()
    gone = ref(job)
    future = writer.submit(job)
    del job
    future.result(10)
    for _ in range(100):
        if gone() is None:
            break
        sleep(0.01)
    assert gone() is None


def test_lmdbs_errors_stay_below(store: Store) -> None:
    def writes(txn: WriteTransaction) -> None:
        txn.writes += 1
        txn.raw.put(b"", b"", db=txn.tables.meta)

    def reads(txn: WriteTransaction) -> None:
        txn.raw.get(b"", db=txn.tables.meta)

    for function in (writes, reads):
        with pytest.raises(StoreError, match="BAD_VALSIZE"):
            store.writer.submit(function).result(10)


def test_closing_finishes_what_was_submitted(counted: Counted) -> None:
    writer = Writer(counted)
    futures = [writer.submit(adds(b"%d" % n)) for n in range(500)]
    writer.close()
    writer.close()
    assert all(future.done() for future in futures)
    assert len(names(counted.store)) == 500
    with pytest.raises(StoreError, match="closed"):
        writer.submit(adds(b"late")).result(0)


class SlowQueue(SimpleQueue[Any]):
    """Between the decision to queue a job and its being there, another thread gets its turn."""

    def __init__(self) -> None:
        self.entered = Event()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is not None:
            self.entered.set()
            sleep(0.05)
        super().put(item)


def test_submitting_while_it_closes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SimpleQueue", SlowQueue)
    writer = Writer(store)
    futures: list[Future[bytes]] = []
    thread = Thread(target=lambda: futures.append(writer.submit(adds(b"a"))))
    thread.start()
    assert isinstance(writer._queue, SlowQueue)
    assert writer._queue.entered.wait(10)
    writer.close()
    thread.join()
    assert futures[0].result(1)


def test_a_closed_store_has_no_writer(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Store.open(tmp_path_factory.mktemp("other"), sync=False)
    other.close()
    other.close()
    with pytest.raises(StoreError, match="closed"):
        _ = other.writer
    with pytest.raises(StoreError, match="closed"):
        other.snapshot()
