"""A directory in a store of this machine: ``directory.Directory`` over ``storage``.

Only composition: each operation is a function of ``ops``.  Reads run where they are
called, writes in the store's writer thread, password hashing in threads of its own, so
that neither keeps a reactor from its work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, assert_never

from attrs import evolve

from ldapserver import checking, extended
from ldapserver.core import Core, Settings
from ldapserver.directory import BindOutcome
from ldapserver.identity import Identity, Peer
from ldapserver.messages import (
    AddRequest,
    BindRequest,
    BulkModify,
    BulkReport,
    BulkRequest,
    CompareRequest,
    Control,
    DeleteRequest,
    ExtendedRequest,
    ModifyDNRequest,
    ModifyRequest,
    Rehost,
    Restore,
    Result,
    SearchRequest,
    WriteRequest,
)
from ldapserver.ops.add import add
from ldapserver.ops.bind import bind
from ldapserver.ops.bulk import bulk_modify
from ldapserver.ops.compare import compare
from ldapserver.ops.delete import delete
from ldapserver.ops.extended import run_extended
from ldapserver.ops.hosts import rehost, restore
from ldapserver.ops.modify import modify
from ldapserver.ops.modify_dn import modify_dn
from ldapserver.ops.prepare import hashed_changes, needs_preparing, prepare
from ldapserver.ops.search import Searcher
from ldapserver.reindexing import reindex
from ldapserver.results import LDAPError, ResultCode
from ldapserver.sync.provider import Synchronisation
from storage.check import check
from storage.store import Store
from storage.txn import WriteTransaction

S = TypeVar("S")
T = TypeVar("T")

# Password hashes at once: each takes memory and a core.
_HASHING_THREADS = 2


class LocalDirectory:
    def __init__(self, store: Store, settings: Settings) -> None:
        self.core = Core(store, settings)
        self._store = store
        searcher = Searcher(self.core)
        self.look_up = searcher.look_up
        self.search = searcher.search
        self._hashing = ThreadPoolExecutor(_HASHING_THREADS, "password")

    @classmethod
    def open(cls, path: Path, settings: Settings | None = None) -> LocalDirectory:
        """Open or make the store of a folder.  Raises the store's errors."""
        settings = settings or Settings()
        store = Store.open(path, map_size=settings.map_size, sync=settings.sync, clock=settings.clock)
        try:
            return cls(store, settings)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Finish what was submitted.  No search may be open."""
        self._hashing.shutdown()
        self._store.close()

    # --- the interface --------------------------------------------------------------

    def synchronise(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result | Synchronisation]:
        return Synchronisation(self.core, identity, request, controls).refresh()

    def compare(self, identity: Identity, request: CompareRequest, controls: tuple[Control, ...]) -> Result:
        with self._store.snapshot() as snapshot:
            return compare(self.core, snapshot, identity, request, controls)

    def bind(self, request: BindRequest, peer: Peer) -> BindOutcome | Future[BindOutcome]:
        with self._store.snapshot() as snapshot:
            outcome = bind(self.core, snapshot, request, peer)
        return outcome if isinstance(outcome, BindOutcome) else self._hashing.submit(outcome)

    def write(
        self, identity: Identity, request: WriteRequest, controls: tuple[Control, ...]
    ) -> Future[Result]:
        if not needs_preparing(request):
            return self._submit(lambda txn: run_write(self.core, txn, identity, request, controls))
        return self._after_hashing(
            lambda: prepare(self.core, identity, request),
            lambda ready, txn: run_write(self.core, txn, identity, ready, controls),
        )

    def extended(
        self, identity: Identity, request: ExtendedRequest, controls: tuple[Control, ...], peer: Peer
    ) -> Result | Future[Result]:
        if request.oid not in extended.BULK_OPERATIONS:
            return run_extended(self.core, identity, request, self._after_hashing)
        bulk = extended.decode_bulk_request(request, self.core.limits.filter_depth)
        answer: Future[Result] = Future()
        _relay(
            self.bulk(identity, bulk),
            answer,
            lambda report: Result(oid=request.oid, value=extended.encode_bulk_report(report)),
        )
        return answer

    def bulk(self, identity: Identity, request: BulkRequest) -> Future[BulkReport]:
        # Nobody else's passwords are worth the time.
        if identity.administrator and isinstance(request, BulkModify) and needs_preparing(request):
            return self._after_hashing(
                lambda: evolve(request, changes=hashed_changes(request.changes)),
                lambda ready, txn: run_bulk(self.core, txn, identity, ready),
            )
        return self._submit(lambda txn: run_bulk(self.core, txn, identity, request))

    def last_transaction(self) -> int:
        return self._store.last_transaction()

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        return self._store.on_commit(notice)

    # --- writing --------------------------------------------------------------------

    def _submit(self, function: Callable[[WriteTransaction], T]) -> Future[T]:
        return self._store.writer.submit(function)

    def _after_hashing(
        self, slow: Callable[[], S], function: Callable[[S, WriteTransaction], T]
    ) -> Future[T]:
        """Run ``function`` in the writer with what ``slow`` has made in another thread."""
        answer: Future[T] = Future()

        def work() -> None:
            try:
                ready = slow()
            except Exception as error:
                answer.set_exception(error)
                return
            _relay(self._submit(lambda txn: function(ready, txn)), answer, lambda result: result)

        self._hashing.submit(work)
        return answer

    # --- for operators --------------------------------------------------------------

    def check(self, progress: Callable[[int], None] = lambda _: None) -> Iterator[str]:
        """A line for each fault of the store; none for a sound one."""
        with self._store.snapshot() as snapshot:
            yield from check(snapshot, checking.expectation(self.core, snapshot), progress)
            yield from checking.check_containers(snapshot)

    def reindex(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Make all indexes anew, as the settings say, in one transaction; readers go on
        with the old ones until it ends.  Returns the number of entries."""
        with self._store.write() as txn:
            return reindex(self.core, txn, progress)

    def backup(self, destination: Path) -> None:
        """A consistent copy in an empty or new folder, while others read and write."""
        self._store.backup(destination)


def _relay(source: Future[S], target: Future[T], convert: Callable[[S], T]) -> None:
    """Let the target have what becomes of the source."""

    def done(future: Future[S]) -> None:
        error = future.exception()
        if error is not None:
            target.set_exception(error)
        else:
            target.set_result(convert(future.result()))

    source.add_done_callback(done)


def run_write(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    request: WriteRequest,
    controls: tuple[Control, ...],
) -> Result:
    """An operation inside a write transaction; raises LDAPError before it writes anything."""
    match request:
        case AddRequest():
            return add(core, txn, identity, request, controls)
        case DeleteRequest():
            return delete(core, txn, identity, request, controls)
        case ModifyRequest():
            return modify(core, txn, identity, request, controls)
        case ModifyDNRequest():
            return modify_dn(core, txn, identity, request, controls)
        case _:
            assert_never(request)


def run_bulk(core: Core, txn: WriteTransaction, identity: Identity, request: BulkRequest) -> BulkReport:
    """All of it, or an exception."""
    match request:
        case Rehost():
            _modify_besides(core, txn, identity, request)
            return rehost(core, txn, identity, request)
        case Restore():
            _modify_besides(core, txn, identity, request)
            return restore(core, txn, identity, request)
        case BulkModify():
            return bulk_modify(core, txn, identity, request)
        case _:
            assert_never(request)


def _modify_besides(core: Core, txn: WriteTransaction, identity: Identity, request: Rehost | Restore) -> None:
    for each in () if request.dry_run else request.besides:
        if needs_preparing(each):
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "a password can't change beside a move")
        modify(core, txn, identity, each, ())
