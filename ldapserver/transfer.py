"""LDIF in and out of a directory, whole files at a time.

An import is one transaction: everything, or nothing and the file's name, the line and
the reason.  Its records are read and prepared by worker processes where the file is
worth it, and stored in order by the caller's thread.
"""

from __future__ import annotations

import gc
import marshal
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain, repeat
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult, Pool
from operator import add
from typing import BinaryIO, TypeAlias, cast

from attrs import frozen

from ldapserver import columns
from ldapserver.columns import Columns
from ldapserver.controls import MANAGE_DSA_IT
from ldapserver.core import Core
from ldapserver.ldif import (
    AddRecord,
    DeleteRecord,
    LdifError,
    ModifyDNRecord,
    ModifyRecord,
    Record,
    format_entry,
    parse_block,
    read_blocks,
    to_request,
)
from ldapserver.local import LocalDirectory, run_write
from ldapserver.messages import Deref, Present, Result, Scope, SearchHead, SearchRequest
from ldapserver.names import find, key_of
from ldapserver.ops.hosts import host
from ldapserver.ops.prepare import needs_preparing, prepare
from ldapserver.ops.target import SUBSCHEMA_KEY
from ldapserver.preparing import Prepared, Preparer, Unnumbered
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription
from ldapserver.wire.client import decode_entry
from storage.changes import Kind
from storage.errors import Conflict
from storage.keys import NO_PLACEMENT, ROOT, EntryId, PlacementId, Term
from storage.loader import Loader, NameTaken, Text
from storage.txn import WriteTransaction

Progress: TypeAlias = Callable[[int], None]

# One block of LDIF must be worth sending to another process.
_BLOCK = 256 * 1024
# Blocks under way in each worker, so that none waits for the next.
_AHEAD = 3
_PARENTS_KEPT = 100_000

# What an entry's past and place are, besides its user attributes.
EXPORTED = ("entryUUID", "creatorsName", "createTimestamp", "entryCSN", "modifiersName", "modifyTimestamp")


@frozen
class ImportReport:
    """Records by what they did."""

    added: int
    changed: int


def import_ldif(
    directory: LocalDirectory,
    source: BinaryIO,
    name: str,
    progress: Progress = lambda _: None,
    workers: int = 0,
) -> ImportReport:
    """Take in a whole file, called ``name`` in errors; durable when it returns.

    ``workers`` processes are forked to read it: only where no other threads run.
    ``progress`` hears the octets read.  Raises LdifError, or the store's errors;
    nothing is imported then.
    """
    core = directory.core
    with _uncollected(), core.store.write() as txn:
        importer = _Importer(directory, txn, name)
        reader = _BlockReader(importer.preparer(_committed(core)), name)
        with _items(reader, source, name, workers) as blocks:
            for position, items in blocks:
                importer.take(items)
                progress(position)
        return importer.finish()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cycle collector: it would look at millions of small objects again and
    again, none of which is part of a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# --- reading ---------------------------------------------------------------------------

# What a block holds: its records, prepared where that was possible; and octets read so far.
Block: TypeAlias = "list[Prepared | Record] | Columns"
Item: TypeAlias = tuple[int, Block]


def _committed(core: Core) -> Callable[[AttributeDescription], int]:
    def number_of(description: AttributeDescription) -> int:
        found = core.catalogue.known_number(description)
        if found is None:
            raise Unnumbered
        return found

    return number_of


class _BlockReader:
    """Prepares blocks; in a worker process or in the caller's."""

    def __init__(self, preparer: Preparer, name: str) -> None:
        self._preparer = preparer
        self._name = name

    def read(self, line: int, block: bytes) -> Block:
        alike = columns.prepare(self._preparer, line, block)
        if alike is not None:
            return alike
        items: list[Prepared | Record] = []
        for record in parse_block(block, line, self._name):
            if isinstance(record, AddRecord) and not record.controls:
                try:
                    items.append(self._preparer.prepare(record, self._name))
                    continue
                except Unnumbered:
                    pass
            items.append(record)
        return items


def _uuids(random: Callable[[int], bytes]) -> Generator[bytes, None, None]:
    """UUIDs of version 7 (RFC 9562): those made together sort together."""
    while True:
        moment = (time.time_ns() // 1_000_000).to_bytes(6, "big")
        noise = random(10 * 256)
        for at in range(0, len(noise), 10):
            part = noise[at : at + 10]
            yield moment + bytes((0x70 | part[0] & 15, part[1], 0x80 | part[2] & 63)) + part[3:]


@contextmanager
def _items(reader: _BlockReader, source: BinaryIO, name: str, workers: int) -> Iterator[Iterator[Item]]:
    """Blocks in the file's order, read here or by workers."""
    counted = Counted(source)
    blocks = read_blocks(cast(BinaryIO, counted), name, _BLOCK)
    first = next(blocks, None)
    if first is None:
        yield iter(())
        return
    blocks = chain((first,), blocks)
    if not workers or len(first[1]) < _BLOCK // 2:
        yield ((counted.count, reader.read(line, block)) for line, block in blocks)
        return
    with get_context("fork").Pool(workers, _become_worker, (reader,)) as pool:
        yield _read_by_workers(pool, workers * _AHEAD, counted, blocks)


def _read_by_workers(
    pool: Pool, ahead: int, counted: Counted, blocks: Iterable[tuple[int, bytes]]
) -> Iterator[Item]:
    waiting: deque[tuple[int, AsyncResult[bytes]]] = deque()
    for line, block in blocks:
        waiting.append((counted.count, pool.apply_async(_read_in_worker, (line, block))))
        if len(waiting) > ahead:
            position, result = waiting.popleft()
            yield position, _unpack(result.get())
    for position, result in waiting:
        yield position, _unpack(result.get())


_worker: _BlockReader


def _become_worker(reader: _BlockReader) -> None:
    """In a worker, which keeps what it was forked with."""
    global _worker
    _worker = reader
    gc.disable()


def _read_in_worker(line: int, block: bytes) -> bytes:
    """marshal is several times as fast as pickle; what it does not know goes by pickle inside."""
    items = _worker.read(line, block)
    if isinstance(items, Columns):
        return marshal.dumps(tuple(items))
    plain = [tuple(item) if isinstance(item, Prepared) else pickle.dumps(item) for item in items]
    return marshal.dumps(plain)


def _unpack(packed: bytes) -> Block:
    items = marshal.loads(packed)
    if isinstance(items, tuple):
        return Columns(*items)
    return [pickle.loads(item) if type(item) is bytes else item for item in items]


class Counted:
    """A stream that knows how much of it was read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.count += len(data)
        return data


# --- storing ---------------------------------------------------------------------------


class _Importer:
    """Puts prepared entries where they belong, inside one transaction."""

    def __init__(self, directory: LocalDirectory, txn: WriteTransaction, name: str) -> None:
        self._directory = directory
        self._core = directory.core
        self._txn = txn
        self._name = name
        self.csn = self._latest = txn.next_csn()
        self.creator = directory.core.administrator.dn.encode()
        self._loader = Loader(txn)
        self._parents: dict[str, EntryId] = {"": ROOT}
        self._placements: dict[tuple[EntryId, bytes | None, bytes | None], PlacementId] = {}
        self._added: list[EntryId] = []
        self._count = 0
        self._changed = 0
        self._late: Preparer | None = None

    def take(self, block: Block) -> None:
        if isinstance(block, Columns):
            self._add_columns(block)
            return
        for item in block:
            if isinstance(item, tuple):
                self._add(*item)
            elif isinstance(item, AddRecord):
                self._check_controls(item)
                self._add(*self._prepare(item))
            else:
                self._change(item)

    def finish(self) -> ImportReport:
        self._flush()
        self._txn.witness(self._latest)
        return ImportReport(self._count, self._changed)

    def _add(
        self,
        line: int,
        rdn: bytes,
        parent_dn: str,
        host_name: bytes | None,
        old_name: bytes | None,
        record: bytes,
        terms: list[Term],
        texts: list[Text],
    ) -> None:
        parent = self._parents.get(parent_dn)
        if parent is None:
            parent = self._find_parent(parent_dn, line)
        if parent == ROOT and rdn == SUBSCHEMA_KEY[0]:
            raise self._wrong(line, "cn=Subschema is the server's own")
        placement = NO_PLACEMENT
        if host_name is not None or old_name is not None:
            key = (parent, host_name, old_name)
            found = self._placements.get(key)
            placement = self._place(key, line) if found is None else found
        try:
            entry = self._loader.add(rdn, parent + placement + record[12:], terms, texts)
        except Conflict:
            raise self._wrong(line, f"{rdn.decode(errors='replace')},{parent_dn} is there already") from None
        self._added.append(entry)
        if record[20:36] > self._latest:
            self._latest = record[20:36]

    def _add_columns(self, block: Columns) -> None:
        start, count = 0, len(block.rdns)
        while start < count:
            stop = self._find_parents(block, start)
            self._add_placed(block if stop - start == count else block.part(start, stop))
            start = stop

    def _find_parents(self, block: Columns, start: int) -> int:
        """Where the entries end that can be added by now: before the next one whose parent is
        among them."""
        parents = self._parents
        for at in range(start, len(block.parents)):
            dn = block.parents[at]
            if dn not in parents:
                line = block.line + block.lines * at
                found = self._look_for(dn, line) if at > start else self._find_parent(dn, line)
                if found is None:
                    return at
                parents[dn] = found
        return len(block.parents)

    def _add_placed(self, block: Columns) -> None:
        line_of = range(block.line, block.line + block.lines * len(block.rdns), block.lines)
        above = list(map(self._parents.__getitem__, block.parents))
        hosts, old_hosts = block.hosts or repeat(None), block.old_hosts or repeat(None)
        where = list(zip(above, hosts, old_hosts, strict=False))
        for at, key in enumerate(where):
            if key not in self._placements:
                self._place(key, line_of[at])
        placements = map(self._placements.__getitem__, where)
        places = list(map(add, above, placements))
        try:
            self._added += self._loader.add_columns(block.rdns, places, block.tails, block.terms, block.texts)
        except NameTaken as error:
            at = error.position
            name = f"{block.rdns[at].decode(errors='replace')},{block.parents[at]}"
            raise self._wrong(line_of[at], f"{name} is there already") from None

    def _check_controls(self, record: AddRecord) -> None:
        for control in record.controls:
            if control.critical and control.oid != MANAGE_DSA_IT:
                raise self._wrong(record.line, f"an import can't obey the control {control.oid}")

    def preparer(self, number_of: Callable[[AttributeDescription], int]) -> Preparer:
        core = self._core
        indexes = core.state_in(self._txn).indexes
        uuids = _uuids(core.settings.random).__next__
        return Preparer(core.schema, indexes, number_of, self.csn, self.creator, uuids)

    def _prepare(self, record: AddRecord) -> Prepared:
        """Here, because it needs what only the transaction can give."""
        if self._late is None:
            self._late = self.preparer(lambda text: self._core.catalogue.number(text, self._txn))
        return self._late.prepare(record, self._name)

    def _look_for(self, dn: str, line: int) -> EntryId | None:
        try:
            return find(self._txn, key_of(dn, self._core.schema))
        except LDAPError as error:
            raise self._wrong(line, f"{dn}: {error.message}") from error

    def _find_parent(self, dn: str, line: int) -> EntryId:
        found = self._look_for(dn, line)
        if found is None:
            raise self._wrong(line, f"there is no entry {dn}; an entry comes after the one above it")
        if len(self._parents) < _PARENTS_KEPT:
            self._parents[dn] = found
        return found

    def _place(self, key: tuple[EntryId, bytes | None, bytes | None], line: int) -> PlacementId:
        parent, *names = key
        try:
            hosts = [None if name is None else host(self._core, name.decode()) for name in names]
        except LDAPError as error:
            raise self._wrong(line, error.message) from error
        placement = self._txn.placement_for(parent, *hosts)
        self._placements[key] = placement
        return placement

    def _change(self, record: ModifyRecord | DeleteRecord | ModifyDNRecord) -> None:
        """A change record, by the ordinary operation."""
        self._flush()
        request = to_request(record)
        core = self._core
        try:
            if needs_preparing(request):
                request = prepare(core, core.administrator, request, self._txn)
            run_write(core, self._txn, core.administrator, request, record.controls)
        except LDAPError as error:
            raise self._wrong(record.line, f"{record.dn}: {error}") from error
        self._changed += 1
        self._parents = {"": ROOT}

    def _flush(self) -> None:
        """Make what was added visible to what follows."""
        self._loader.flush()
        if self._added:
            self._txn.log(Kind.ADD, self.csn, self._added)
        self._count += len(self._added)
        self._added = []

    def _wrong(self, line: int, reason: str) -> LdifError:
        return LdifError(self._name, line, reason)


# --- out -------------------------------------------------------------------------------


def export_ldif(
    directory: LocalDirectory, out: BinaryIO, base: str = "", progress: Progress = lambda _: None
) -> int:
    """All entries below a base, parents first, with their operational attributes, as one
    state of the directory.  Returns their number; raises LDAPError.

    ``import_ldif`` makes the same entries of it, with the same UUIDs.
    """
    core = directory.core
    head = SearchHead(base, Scope.SUBTREE, Deref.NEVER, 0, 0, False)
    request = SearchRequest(head, Present("objectClass"), ("*", *EXPORTED))
    count = 0
    with closing(_complete(directory.search(core.administrator, request, ()))) as search:
        for tail in search:
            if tail:
                out.write(format_entry(decode_entry(tail)))
                count += 1
                if not count % 1000:
                    progress(count)
    progress(count)
    return count


def _complete(search: Generator[bytes, None, Result]) -> Generator[bytes, None, None]:
    """A search that has not found everything is an error."""
    result = yield from search
    if result.code is not ResultCode.SUCCESS:
        raise LDAPError(result.code, result.message)
