"""What the schema knows of an entry's keys, told to ``storage.check``."""

from __future__ import annotations

from ldapserver.core import Core
from storage.check import Expectation, Expected
from storage.records import Record
from storage.snapshot import Snapshot


def expectation(core: Core, snapshot: Snapshot) -> Expectation:
    """Name and index rows of the snapshot's entries, as its indexes are set."""
    indexes = core.state_in(snapshot).indexes

    def expected(record: Record) -> Expected:
        return Expected(core.rdn_key(record.rdn), indexes.terms_of(record, snapshot))

    return expected
