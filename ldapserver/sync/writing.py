"""What a provider tells, carried out on a copy inside one write transaction.

Entries are known by their UUIDs.  What is told comes in the provider's order, but for
deletions, which wait for the end: what stands below an entry that is gone may have to be
moved away first.  A name that is taken by an entry of which there is no word yet is taken
from it; that word will come, or the entry is gone.

``Glue`` stands for entries that are not the copy's, above its base, and where a provider
leaves some out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve, frozen

from ldapserver.core import Core
from ldapserver.dn import DN, RDN, format_rdn, normalise_rdn, parse_dn, split_first
from ldapserver.messages import Attribute
from ldapserver.sync.codec import PlacementInfo
from ldapserver.sync.entries import EntrySet
from ldapserver.sync.recording import Recorder, Told
from ldapserver.wire.encode import partial_attribute
from storage import csn as csns
from storage import keys, placements, postings, records
from storage.csn import NO_CSN, Csn
from storage.keys import ROOT, EntryId, PlacementId
from storage.loader import Loader
from storage.placements import Host, Placement
from storage.records import Record
from storage.txn import NO_TERMS, Terms, WriteTransaction

_PLACEMENT: Final = b"sync-placement-"
# The UUIDs of glue begin with this; those of entries have a version and variant.
_GLUE: Final = bytes(8)
_PARENTS_KEPT: Final = 100_000


class CopyError(Exception):
    """What was told does not fit what is here: the copy must be made anew."""


@frozen
class ToldEntry:
    """``placement`` is the provider's number of it, where it tells them."""

    dn: str
    uuid: bytes
    attributes: tuple[Attribute, ...]
    placement: bytes | None = None


class Writing:
    """``mentioned`` has all entries that were told, or told to be there; ``known`` what
    this provider has told of them so far, which outlives the transaction."""

    def __init__(
        self, core: Core, txn: WriteTransaction, recorder: Recorder, known: dict[bytes, PlacementInfo]
    ) -> None:
        self._core = core
        self._txn = txn
        self._recorder = recorder
        self._indexes = core.state_in(txn).indexes
        self.mentioned = EntrySet()
        self._doomed: dict[EntryId, None] = {}
        self._parents: dict[str, EntryId] = {"": ROOT}
        self._placements = known
        self._places: dict[tuple[bytes, EntryId], PlacementId] = {}
        self._latest: Csn = NO_CSN
        # Into an empty copy entries are loaded, which costs a fraction.
        self._loading = not txn.entry_count()
        self._loader: Loader | None = None
        self._loaded: set[bytes] = set()

    # --- what is told -------------------------------------------------------------------

    def put(self, told: ToldEntry) -> None:
        """An entry as it is now; raises CopyError, LDAPError."""
        txn = self._txn
        rdn_text, parent_text = split_first(told.dn)
        parent = self._parent(parent_text)
        (rdn,) = parse_dn(rdn_text).rdns
        key = normalise_rdn(rdn, self._core.schema)
        if self._loading and self._load(told, parent, rdn, key):
            return
        entry = self._of_uuid(told.uuid)
        holder = txn.child(parent, key)
        if holder is not None and holder != entry:
            if entry is None and self._is_glue(holder):
                entry = holder
            else:
                self._set_aside(holder)
        made = self._recorder.record(txn, self._indexes, told.uuid, told.attributes)
        self._latest = max(self._latest, made.csn)
        record = self._record(told, made, parent, format_rdn(rdn).encode())
        terms = Terms(
            frozenset(made.terms),
            frozenset(prefix + gram for prefix, text in made.texts for gram in postings.grams(text)),
        )
        if entry is None:
            entry = txn.add(key, record, terms)
        else:
            self._replace(entry, key, record, terms)
        self.mentioned.add(entry)
        self._doomed.pop(entry, None)

    def _load(self, told: ToldEntry, parent: EntryId, rdn: RDN, key: bytes) -> bool:
        """False for what is not new."""
        if told.uuid in self._loaded or self._txn.child(parent, key) is not None:
            self._flush()
            return False
        made = self._recorder.record(self._txn, self._indexes, told.uuid, told.attributes)
        self._latest = max(self._latest, made.csn)
        record = self._record(told, made, parent, format_rdn(rdn).encode())
        if self._loader is None:
            self._loader = Loader(self._txn)
        entry = self._loader.add(key, record, dict.fromkeys(made.terms), dict.fromkeys(made.texts))
        self._loaded.add(told.uuid)
        self.mentioned.add(entry)
        return True

    def _flush(self) -> None:
        """Show to what follows what was loaded."""
        if self._loader is not None:
            self._loader.flush()
            self._loader = None

    def present(self, uuids: Iterable[bytes]) -> None:
        self._flush()
        for uuid in uuids:
            entry = self._of_uuid(uuid)
            if entry is None:
                raise CopyError("an entry is said to be here that is not")
            self.mentioned.add(entry)

    def gone(self, uuids: Iterable[bytes]) -> None:
        self._flush()
        for uuid in uuids:
            entry = self._of_uuid(uuid)
            if entry is not None:
                self._doomed[entry] = None

    def all_else_is_gone(self) -> None:
        """But for what was mentioned."""
        self._flush()
        for entry, _ in self._txn.entries():
            if entry not in self.mentioned:
                self._doomed[entry] = None

    def place(self, info: PlacementInfo) -> None:
        """A placement as it is now; known to the copy once an entry is in it."""
        self._placements[info.number] = info
        number = self._txn.meta(_PLACEMENT + info.number)
        if number is not None:
            self._set_placement(number, info, self._txn.placement(number).container)

    def finish(self) -> None:
        """Delete what is gone."""
        self._flush()
        entries = sorted(self._doomed, key=self._depth, reverse=True)
        for entry in entries:
            data = self._txn.entry(entry)
            assert data is not None
            if self._txn.children_count(entry):
                self._make_glue(entry, data)
            else:
                self._remove(entry, data)
        self._doomed.clear()
        if self._latest != NO_CSN:
            self._txn.witness(self._latest)

    # --- entries ------------------------------------------------------------------------

    def _record(self, told: ToldEntry, made: Told, parent: EntryId, rdn: bytes) -> bytes:
        return records.pack(
            Record(
                parent=parent,
                rdn=rdn,
                uuid=told.uuid,
                created=made.created,
                csn=made.csn,
                creator=made.creator,
                modifier=made.modifier,
                attributes=made.attributes,
                placement=self._placement(told.placement, parent, made.host, made.old_host),
            )
        )

    def _replace(self, entry: EntryId, key: bytes, record: bytes, terms: Terms) -> None:
        txn = self._txn
        old = txn.entry(entry)
        assert old is not None
        if old == record:
            return
        old_terms, old_key = self._terms(old), self._rdn_key(old)
        same_place = records.parent_of(old) == records.parent_of(record)
        if same_place and old_key == key and records.rdn_of(old) == records.rdn_of(record):
            txn.replace(entry, record, terms, old_terms)
            return
        if not same_place and entry in self._path(records.parent_of(record)):
            raise CopyError("an entry is to stand below itself")
        txn.move(entry, old_key, key, record, terms, old_terms)
        self._parents = {"": ROOT}

    def _remove(self, entry: EntryId, data: bytes) -> None:
        """An entry without children; glue above it that held only that goes, too."""
        self._txn.delete(entry, self._rdn_key(data), self._terms(data))
        parent = records.parent_of(data)
        above = self._txn.entry(parent) if parent != ROOT else None
        held = above is not None and not self._txn.children_count(parent) and self._is_glue(parent)
        if above is not None and held and parent not in self._doomed:
            self._remove(parent, above)

    def _set_aside(self, entry: EntryId) -> None:
        """Give an entry a name that nobody else has."""
        data = self._txn.entry(entry)
        assert data is not None
        rdn = b"cn=" + records.uuid_of(data).hex().encode()
        key = self._core.rdn_key(rdn)
        new = records.pack(evolve(records.unpack(data), rdn=rdn))
        self._txn.move(entry, self._rdn_key(data), key, new, NO_TERMS, NO_TERMS)
        self._parents = {"": ROOT}

    def _of_uuid(self, uuid: bytes) -> EntryId | None:
        return next(iter(self._txn.few_ids(keys.equality(self._indexes.uuid, uuid))), None)

    def _terms(self, data: bytes) -> Terms:
        return self._indexes.terms_of(records.unpack(data), self._txn)

    def _rdn_key(self, data: bytes) -> bytes:
        return self._core.rdn_key(records.rdn_of(data))

    def _path(self, entry: EntryId) -> Iterator[EntryId]:
        """An entry and those above it."""
        while entry != ROOT:
            yield entry
            data = self._txn.entry(entry)
            assert data is not None
            entry = records.parent_of(data)

    def _depth(self, entry: EntryId) -> int:
        return sum(1 for _ in self._path(entry))

    # --- parents ------------------------------------------------------------------------

    def _parent(self, text: str) -> EntryId:
        found = self._parents.get(text)
        if found is None:
            found = self._find_or_glue(parse_dn(text))
            if len(self._parents) < _PARENTS_KEPT:
                self._parents[text] = found
        return found

    def _find_or_glue(self, dn: DN) -> EntryId:
        self._flush()
        entry = ROOT
        for rdn in reversed(dn.rdns):
            key = normalise_rdn(rdn, self._core.schema)
            found = self._txn.child(entry, key)
            if found is None:
                found = self._add_glue(entry, rdn, key)
            if self._is_glue(found):
                self.mentioned.add(found)
                self._doomed.pop(found, None)
            entry = found
        return entry

    def _add_glue(self, parent: EntryId, rdn: RDN, key: bytes) -> EntryId:
        record = self._glue(parent, format_rdn(rdn).encode())
        return self._txn.add(key, records.pack(record), self._indexes.terms_of(record, self._txn))

    def _make_glue(self, entry: EntryId, data: bytes) -> None:
        record = self._glue(records.parent_of(data), records.rdn_of(data))
        terms = self._indexes.terms_of(record, self._txn)
        self._txn.replace(entry, records.pack(record), terms, self._terms(data))

    def _glue(self, parent: EntryId, rdn: bytes) -> Record:
        classes = self._core.schema.description("objectClass")
        number = self._core.catalogue.number_of_type("objectClass")
        return Record(
            parent=parent,
            rdn=rdn,
            uuid=_GLUE + self._core.settings.random(8),
            created=0,
            csn=NO_CSN,
            creator=b"",
            modifier=b"",
            attributes=((number, partial_attribute(classes.text.encode(), (b"top",))),),
        )

    def _is_glue(self, entry: EntryId) -> bool:
        data = self._txn.entry(entry)
        return data is not None and records.uuid_of(data).startswith(_GLUE)

    # --- placements ---------------------------------------------------------------------

    def _placement(
        self, number: bytes | None, parent: EntryId, host: Host | None, old: Host | None
    ) -> PlacementId:
        """Where an entry belongs: by the provider's number, or by what is told of it."""
        if number is None:
            return self._txn.placement_for(parent, host, old)
        if (number, parent) in self._places:
            return self._places[number, parent]
        known = self._txn.meta(_PLACEMENT + number)
        if known is None or self._txn.placement(known).container != parent:
            known = self._new_placement(number, parent)
        self._places[number, parent] = known
        return known

    def _new_placement(self, number: bytes, parent: EntryId) -> PlacementId:
        info = self._placements.get(number)
        if info is None:
            raise CopyError("an entry is in a placement of which nothing is known")
        new = self._txn.add_placement(Placement(parent, None, None))
        self._txn.set_meta(_PLACEMENT + number, new)
        self._set_placement(new, info, parent)
        return new

    def _set_placement(self, number: PlacementId, info: PlacementInfo, container: EntryId) -> None:
        host = None if info.host is None else self._recorder.host(info.host)
        old = None if info.old_host is None else self._recorder.host(info.old_host)
        csn = csns.parse(info.changed) if info.changed else NO_CSN
        self._latest = max(self._latest, csn)
        new = Placement(container, host, old, csn, info.modifier.encode())
        if placements.pack(new) != self._txn.placement_row(number):
            self._txn.move_placement(number, new)
