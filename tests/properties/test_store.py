"""The store against a dictionary: any sequence of operations leaves what the model says.

Snapshots that were opened on the way keep showing the state of their time, and the
store's own check finds nothing wrong after any step.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage import keys, records
from storage.changes import Change, Kind
from storage.errors import Conflict
from storage.keys import NO_PLACEMENT, ROOT, EntryId, PlacementId
from storage.loader import Loader, Rebuild
from storage.placements import Host, Placement
from storage.records import Record
from storage.snapshot import Snapshot
from storage.store import Store
from storage.txn import WriteTransaction
from tests.storage import world
from tests.storage.world import CN, MAIL

# Few names, so that they meet; one whose key is a hash.
_NAMES = st.sampled_from([b"cn=a", b"cn=A", b"cn=b", b"cn=" + b"long" * 200, b"cn=" + b"long" * 200 + b"!"])
_VALUES = st.sampled_from([b"", b"ab", b"abc", b"abcdef", b"xabcx", b"v" * 600])
_ATTRIBUTES = st.dictionaries(st.sampled_from([CN, MAIL]), _VALUES).map(lambda found: tuple(found.items()))
_HOSTS = st.sampled_from([None, *map(world.host, ("be1", "BE1", "be2", "be3"))])
_PICK = st.integers(0, 1000)

Entries = dict[EntryId, Record]
Placements = dict[PlacementId, Placement]
State = tuple[Entries, Placements, list[Change]]


class StoreAgainstDictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.store = Store.open(self.folder, sync=False, map_size=32 << 20)
        world.describe(self.store)
        self.entries: Entries = {}
        self.placements: Placements = {}
        self.changes: list[Change] = []
        self.last = 0
        self.snapshots: list[tuple[Snapshot, State]] = []

    def teardown(self) -> None:
        for snapshot, state in self.snapshots:
            self.agrees(snapshot, state)
            snapshot.close()
        self.store.close()
        shutil.rmtree(self.folder)

    # --- the model ---------------------------------------------------------------

    def state(self) -> State:
        return dict(self.entries), dict(self.placements), list(self.changes)

    def entry(self, pick: int) -> EntryId:
        return sorted(self.entries)[pick % len(self.entries)]

    def container(self, pick: int) -> EntryId:
        return sorted([ROOT, *self.entries])[pick % (len(self.entries) + 1)]

    def child(self, parent: EntryId, rdn: bytes) -> EntryId | None:
        for entry, record in self.entries.items():
            if record.parent == parent and world.normal(record.rdn) == world.normal(rdn):
                return entry
        return None

    def within(self, entry: EntryId, ancestor: EntryId) -> bool:
        while entry not in (ROOT, ancestor):
            entry = self.entries[entry].parent
        return entry == ancestor

    def added(self, entry: EntryId, record: Record) -> None:
        assert int.from_bytes(entry, "big") > self.last
        self.last = int.from_bytes(entry, "big")
        self.entries[entry] = record

    @contextmanager
    def write(self, kind: Kind | None = None, *subjects: bytes) -> Iterator[WriteTransaction]:
        """A transaction that also logs a change."""
        with self.store.write() as txn:
            yield txn
            if kind and subjects:
                change = Change(txn.next_csn(), kind, subjects)
                txn.log(kind, change.csn, subjects)
                self.changes.append(change)

    # --- what is done ------------------------------------------------------------

    @initialize(attributes=_ATTRIBUTES)
    def begin(self, attributes: tuple[tuple[int, bytes], ...]) -> None:
        self.add(0, b"cn=first", attributes, 0)

    @rule(parent=_PICK, rdn=_NAMES, attributes=_ATTRIBUTES, placement=_PICK)
    def add(self, parent: int, rdn: bytes, attributes: tuple[tuple[int, bytes], ...], placement: int) -> None:
        record = self.record(parent, rdn, attributes, placement)
        if self.child(record.parent, rdn) is not None:
            with self.write() as txn, pytest.raises(Conflict):
                world.add(txn, record)
            return
        with self.write(Kind.ADD, ROOT) as txn:
            entry = world.add(txn, record)
        self.added(entry, record)

    def record(
        self, parent: int, rdn: bytes, attributes: tuple[tuple[int, bytes], ...], placement: int
    ) -> Record:
        return world.record(self.container(parent), rdn, self.placement(placement), attributes)

    def placement(self, pick: int) -> PlacementId:
        return [NO_PLACEMENT, *self.placements][pick % (len(self.placements) + 1)]

    @rule(parent=_PICK, count=st.integers(1, 40), attributes=_ATTRIBUTES, placement=_PICK)
    def load(
        self, parent: int, count: int, attributes: tuple[tuple[int, bytes], ...], placement: int
    ) -> None:
        if len(self.entries) > 200:
            return
        with self.write(Kind.ADD, ROOT) as txn:
            loader = Loader(txn)
            for number in range(count):
                record = self.record(
                    parent + number * (number % 2), b"uid=%d" % number, attributes, placement
                )
                name, data = world.normal(record.rdn), records.pack(record)
                terms, texts = world.terms(record).equality, world.texts(record)
                if self.child(record.parent, record.rdn) is None:
                    self.added(loader.add(name, data, terms, texts), record)
                else:
                    with pytest.raises(Conflict):
                        loader.add(name, data, terms, texts)
            loader.flush()

    @precondition(lambda self: self.entries)
    @rule(entry=_PICK, attributes=_ATTRIBUTES, placement=_PICK)
    def replace(self, entry: int, attributes: tuple[tuple[int, bytes], ...], placement: int) -> None:
        key = self.entry(entry)
        record = evolve(self.entries[key], attributes=attributes, placement=self.placement(placement))
        with self.write(Kind.MODIFY, key) as txn:
            world.replace(txn, key, record)
        self.entries[key] = record

    @precondition(lambda self: self.entries)
    @rule(entry=_PICK)
    def delete(self, entry: int) -> None:
        key = self.entry(entry)
        if any(record.parent == key for record in self.entries.values()):
            with self.write() as txn, pytest.raises(Conflict):
                world.delete(txn, key)
            return
        with self.write(Kind.DELETE, self.entries[key].uuid) as txn:
            world.delete(txn, key)
        del self.entries[key]

    @precondition(lambda self: self.entries)
    @rule(entry=_PICK, parent=_PICK, rdn=_NAMES)
    def move(self, entry: int, parent: int, rdn: bytes) -> None:
        key = self.entry(entry)
        target = self.container(parent)
        if self.within(target, key):  # the caller's to prevent
            return
        record = evolve(self.entries[key], parent=target, rdn=rdn)
        if self.child(target, rdn) not in (None, key):
            with self.write() as txn, pytest.raises(Conflict):
                world.move(txn, key, record)
            return
        with self.write(Kind.RENAME, key) as txn:
            world.move(txn, key, record)
        self.entries[key] = record

    @rule(container=_PICK, host=_HOSTS, old=_HOSTS)
    def place(self, container: int, host: Host | None, old: Host | None) -> None:
        with self.store.write() as txn:
            number = txn.placement_for(self.container(container), host, old)
        wanted = Placement(self.container(container), host, old)
        if number == NO_PLACEMENT:
            assert host is None
            assert old is None
        elif number in self.placements:
            assert self.placements[number].key == wanted.key
        else:
            assert wanted.key not in {placement.key for placement in self.placements.values()}
            self.placements[number] = wanted

    @rule(source=_HOSTS.filter(bool), to=_HOSTS.filter(bool))
    def rehost(self, source: Host, to: Host) -> None:
        numbers = [number for number, placement in self.placements.items() if placement.host == source]
        with self.write(Kind.MOVE, *numbers) as txn:
            assert sorted(txn.placements_of_host(source.key)) == sorted(numbers)
            csn = txn.next_csn()
            for number in numbers:
                new = self.placements[number].moved(to, csn, b"me")
                txn.move_placement(number, new)
                self.placements[number] = new

    @rule(host=_HOSTS.filter(bool))
    def restore(self, host: Host) -> None:
        numbers = [number for number, placement in self.placements.items() if placement.old == host]
        with self.write() as txn:
            assert sorted(txn.placements_of_old_host(host.key)) == sorted(numbers)
            for number in numbers:
                new = self.placements[number].restored(txn.next_csn(), b"me")
                txn.move_placement(number, new)
                self.placements[number] = new

    @rule()
    def rewrite(self) -> None:
        new = {entry: evolve(record, modifier=b"all") for entry, record in self.entries.items()}
        with self.write() as txn:
            txn.rewrite([(entry, records.pack(record)) for entry, record in reversed(new.items())])
        self.entries = new

    @rule()
    def rebuild(self) -> None:
        with self.write() as txn:
            rebuild = Rebuild(txn)
            for entry, data in txn.entries():
                record = records.unpack(data)
                rebuild.add(entry, world.terms(record).equality, world.texts(record))
            rebuild.finish()

    @precondition(lambda self: self.entries)
    @rule(entry=_PICK, rdn=_NAMES)
    def take_back(self, entry: int, rdn: bytes) -> None:
        key = self.entry(entry)
        with suppress(Conflict, world.TakenBack), self.store.write() as txn:
            world.replace(txn, key, evolve(self.entries[key], attributes=((CN, b"never"),)))
            txn.placement_for(key, world.host("never"), None)
            world.add(txn, world.record(key, rdn))
            raise world.TakenBack

    @rule()
    def reopen(self) -> None:
        if not self.snapshots:
            self.store.close()
            self.store = Store.open(self.folder, sync=False)

    @precondition(lambda self: len(self.snapshots) < 3)
    @rule()
    def look(self) -> None:
        self.snapshots.append((self.store.snapshot(), self.state()))

    @precondition(lambda self: self.snapshots)
    @rule()
    def look_again(self) -> None:
        snapshot, state = self.snapshots.pop(0)
        self.agrees(snapshot, state)
        snapshot.close()

    # --- what must be ------------------------------------------------------------

    @invariant()
    def is_sound(self) -> None:
        assert world.faults(self.store) == []

    @invariant()
    def is_as_the_model(self) -> None:
        with self.store.snapshot() as snapshot:
            self.agrees(snapshot, self.state())

    def agrees(self, snapshot: Snapshot, state: State) -> None:
        entries, placements, changes = state
        assert {key: records.unpack(data) for key, data in snapshot.entries()} == entries
        assert dict(snapshot.all_placements()) == placements
        assert list(snapshot.changes()) == changes
        for parent in (ROOT, *entries):
            found = [key for key, record in entries.items() if record.parent == parent]
            assert sorted(snapshot.children(parent)) == sorted(found)
        for number, value in {pair for record in entries.values() for pair in record.attributes}:
            wanted = [key for key, record in entries.items() if (number, value) in record.attributes]
            term = keys.equality(number, value)
            assert snapshot.ids(term) == list(snapshot.few_ids(term)) == sorted(wanted)
        for placement in placements:
            wanted = [key for key, record in entries.items() if record.placement == placement]
            assert snapshot.members(placement) == sorted(wanted)


TestStore = StoreAgainstDictionary.TestCase
StoreAgainstDictionary.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
