"""An entry as its readers see it: stored attributes, its placement's, and what the
directory computes (operational attributes).

``EntryView`` decodes on demand, for filters, compare and writes; ``projection`` cuts the
wire form for search results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

from ldapserver.attributes import values_of
from ldapserver.catalogue import Catalogue
from ldapserver.names import Names
from ldapserver.results import LDAPError
from ldapserver.schema import AttributeDescription
from ldapserver.schema.check import structural_class
from storage import csn, records
from storage.keys import NO_PLACEMENT, EntryId
from storage.placements import Placement
from storage.records import Record
from storage.snapshot import Snapshot

SUBSCHEMA_DN = b"cn=Subschema"


class EntryView:
    """An entry of a snapshot."""

    def __init__(
        self, catalogue: Catalogue, names: Names, snapshot: Snapshot, entry: EntryId, data: bytes
    ) -> None:
        self.catalogue = catalogue
        self.names = names
        self.snapshot = snapshot
        self.entry = entry
        self.data = data
        self._record: Record | None = None
        self._placement: Placement | None = None

    @property
    def record(self) -> Record:
        if self._record is None:
            self._record = records.unpack(self.data)
        return self._record

    @property
    def dn(self) -> bytes:
        return self.names.dn(self.snapshot, self.data)

    @property
    def placement(self) -> Placement | None:
        number = records.placement_of(self.data)
        if self._placement is None and number != NO_PLACEMENT:
            self._placement = self.snapshot.placement(number)
        return self._placement

    def values(self, description: AttributeDescription) -> list[bytes]:
        """All values of a description, its subtypes and further options."""
        name = description.type.name
        if name in OPERATIONAL:
            return [] if description.options else OPERATIONAL[name](self)
        catalogue = self.catalogue
        known = catalogue.known()  # before what is covered, which may know more, not less
        wanted = catalogue.covered(description)
        found = []
        for number, encoded in self.record.attributes:
            if number in wanted or (number not in known and self._covers_new(description, number)):
                found.extend(values_of(encoded))
        if name in PLACED and not description.options:
            found.extend(PLACED[name](self))
        return found

    def _covers_new(self, wanted: AttributeDescription, number: int) -> bool:
        """Whether a description that an open transaction met first is one that is wanted."""
        found = self.catalogue.description(number, self.snapshot)
        return self.catalogue.schema.covers(wanted, found)

    @property
    def object_classes(self) -> tuple[bytes, ...]:
        number = self.catalogue.number_of_type("objectClass")
        for known, encoded in self.record.attributes:
            if known == number:
                return tuple(values_of(encoded))
        return ()

    @property
    def last_csn(self) -> csn.Csn:
        """The later of the entry's own change and its placement's."""
        placement = self.placement
        own = self.record.csn
        return own if placement is None or placement.csn < own else placement.csn

    @property
    def last_modifier(self) -> bytes:
        placement = self.placement
        record = self.record
        return record.modifier if placement is None or placement.csn < record.csn else placement.modifier


Values: TypeAlias = Callable[[EntryView], list[bytes]]


def _time(micros: int) -> bytes:
    return csn.generalized_time(micros // 1_000_000)


def _structural(view: EntryView) -> list[bytes]:
    try:
        return [structural_class(view.catalogue.schema, view.object_classes).name.encode()]
    except LDAPError:  # a class that the schema has no more
        return []


def _has_subordinates(view: EntryView) -> list[bytes]:
    return [b"TRUE" if view.snapshot.children_count(view.entry) else b"FALSE"]


def _host(view: EntryView) -> list[bytes]:
    placement = view.placement
    return [placement.host.name] if placement and placement.host else []


def _old_host(view: EntryView) -> list[bytes]:
    placement = view.placement
    return [placement.old.name] if placement and placement.old else []


# Kept once for many entries, yet ordinary user attributes to every reader.
PLACED: dict[str, Values] = {"hostServer": _host, "oldHostServer": _old_host}

# Computed on reading, in the order in which a search returns them.
OPERATIONAL: dict[str, Values] = {
    "structuralObjectClass": _structural,
    "entryUUID": lambda view: [str(UUID(bytes=view.record.uuid)).encode()],
    "creatorsName": lambda view: [view.record.creator],
    "createTimestamp": lambda view: [_time(view.record.created)],
    "entryCSN": lambda view: [csn.text(view.last_csn).encode()],
    "modifiersName": lambda view: [view.last_modifier],
    "modifyTimestamp": lambda view: [_time(csn.micros_of(view.last_csn))],
    "entryDN": lambda view: [view.dn],
    "subschemaSubentry": lambda _: [SUBSCHEMA_DN],
    "hasSubordinates": _has_subordinates,
    "numSubordinates": lambda view: [b"%d" % view.snapshot.children_count(view.entry)],
}
