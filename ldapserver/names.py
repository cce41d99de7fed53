"""DNs and ancestors of entries, found once per parent.

A ``Names`` belongs to one tree number of the store: when an entry gets another DN, new
readers start a new one, and a search that still reads the old state keeps its own.
"""

from __future__ import annotations

from ldapserver.dn import normalise_text
from ldapserver.schema import Schema
from storage import records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

# Entries that have children are few; a store made of long chains is not one of ours.
_KEPT = 100_000


class Names:
    """What a parent adds to its children's DNs, and the entries from it up to the root."""

    def __init__(self, tree_number: int) -> None:
        self.tree_number = tree_number
        self._parents: dict[EntryId, tuple[bytes, frozenset[EntryId]]] = {ROOT: (b"", frozenset((ROOT,)))}

    def below(self, snapshot: Snapshot, parent: EntryId) -> tuple[bytes, frozenset[EntryId]]:
        """(``b",cn=d.example,o=example"``, the parent's id and its ancestors' with ROOT)."""
        found = self._parents.get(parent)
        if found is None:
            record = snapshot.entry(parent)
            assert record is not None, f"entry {parent.hex()} is a parent but not there"
            suffix, ancestors = self.below(snapshot, records.parent_of(record))
            found = (b"," + records.rdn_of(record) + suffix, ancestors | {parent})
            if len(self._parents) < _KEPT:
                self._parents[parent] = found
        return found

    def dn(self, snapshot: Snapshot, record: bytes) -> bytes:
        return records.rdn_of(record) + self.below(snapshot, records.parent_of(record))[0]

    def ancestors(self, snapshot: Snapshot, record: bytes) -> frozenset[EntryId]:
        return self.below(snapshot, records.parent_of(record))[1]


def find(snapshot: Snapshot, key: tuple[bytes, ...]) -> EntryId | None:
    """The entry of a normalised DN (leaf first); ROOT for the empty one."""
    entry: EntryId | None = ROOT
    for rdn in reversed(key):
        entry = snapshot.child(entry or ROOT, rdn)
        if entry is None:
            return None
    return entry


def find_nearest(snapshot: Snapshot, key: tuple[bytes, ...]) -> EntryId:
    """The entry itself, or its nearest ancestor that is there; ROOT when none is."""
    entry: EntryId = ROOT
    for rdn in reversed(key):
        child = snapshot.child(entry, rdn)
        if child is None:
            return entry
        entry = child
    return entry


def key_of(dn: str, schema: Schema) -> tuple[bytes, ...]:
    """A DN's normalised RDNs, leaf first; raises LDAPError INVALID_DN_SYNTAX."""
    return normalise_text(dn, schema)
