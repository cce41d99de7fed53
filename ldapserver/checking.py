"""What the schema knows of an entry's keys, told to ``storage.check``."""

from __future__ import annotations

from collections.abc import Iterator

from ldapserver.core import Core
from storage import records
from storage.check import Expectation, Expected
from storage.keys import NO_PLACEMENT
from storage.records import Record
from storage.snapshot import Snapshot


def expectation(core: Core, snapshot: Snapshot) -> Expectation:
    """Name and index rows of the snapshot's entries, as its indexes are set."""
    indexes = core.state_in(snapshot).indexes

    def expected(record: Record) -> Expected:
        return Expected(core.rdn_key(record.rdn), indexes.terms_of(record, snapshot))

    return expected


def check_containers(snapshot: Snapshot) -> Iterator[str]:
    """A line for each entry whose placement is of other entries than its siblings: a move
    of all that is below one base would miss it, or move it along."""
    containers = {number: placement.container for number, placement in snapshot.all_placements()}
    for entry, data in snapshot.entries():
        placement = records.placement_of(data)
        if placement != NO_PLACEMENT and containers.get(placement) != records.parent_of(data):
            yield f"entry {int.from_bytes(entry, 'big')}: placement {placement.hex()} is not of its siblings"
