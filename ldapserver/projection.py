"""What of its entries a search returns (RFC 4511 section 4.5.1.8), cut from records.

A projection is made once for a client's rights and its attribute list, and used for any
number of entries.  Entries whose attributes are the same types in the same order share
a shape; which stretches of the body to return is found once per shape.
"""

from __future__ import annotations

from ldapserver.access import View
from ldapserver.catalogue import Catalogue
from ldapserver.names import Names
from ldapserver.schema import AttributeDescription
from ldapserver.views import OPERATIONAL, PLACED, EntryView
from ldapserver.wire.encode import partial_attribute
from storage.keys import NO_PLACEMENT, U16, EntryId
from storage.records import HEADER_SIZE, table_of
from storage.snapshot import Snapshot

_SHAPES_KEPT = 10_000


class Projection:
    def __init__(
        self, catalogue: Catalogue, view: View, requested: tuple[str, ...], types_only: bool
    ) -> None:
        self._catalogue = catalogue
        self._view = view
        self._types_only = types_only
        self._all_user = not requested or "*" in requested
        self._all_operational = "+" in requested
        self._wanted: list[AttributeDescription] = []
        self._names: set[str] = set()
        self._request(requested)
        self._operational = tuple(
            (name.encode(), values)
            for name, values in OPERATIONAL.items()
            if (name in self._names or self._all_operational) and self._readable(name)
        )
        self._placed = tuple(
            (name.encode(), values)
            for name, values in PLACED.items()
            if (name in self._names or self._all_user) and self._readable(name)
        )
        self._simple = not self._operational and not types_only
        self._choices: dict[int, bool] = {}
        self._shapes: dict[bytes, tuple[tuple[int, int], ...]] = {}
        self._placements: dict[bytes, bytes] = {}

    def _request(self, requested: tuple[str, ...]) -> None:
        schema = self._catalogue.schema
        for text in requested:
            if text.startswith("@"):  # RFC 4529: all attributes of a class
                if (found := schema.object_class(text[1:])) is not None:
                    for kind in found.must | found.may:
                        self._request_description(schema.description(kind.name))
            elif (description := schema.find_description(text)) is not None:
                self._request_description(description)

    def _request_description(self, description: AttributeDescription) -> None:
        self._wanted.append(description)
        if not description.options:
            self._names |= {kind.name for kind in self._catalogue.schema.subtypes(description.type)}

    def _readable(self, name: str) -> bool:
        kind = self._catalogue.schema.attribute_type(name)
        return kind is not None and self._view.readable(kind)

    def cut(self, names: Names, snapshot: Snapshot, entry: EntryId, record: bytes) -> bytes:
        """The entry's PartialAttributes that are wanted and allowed, joined."""
        if not self._simple:
            return self._cut_any(EntryView(self._catalogue, names, snapshot, entry, record), snapshot)
        count = record[58] << 8 | record[59]
        shape = record[HEADER_SIZE : HEADER_SIZE + 2 * count]
        runs = self._shapes.get(shape)
        if runs is None:
            runs = self._runs(shape, snapshot)
        table = table_of(count)
        ends = table.unpack_from(record, HEADER_SIZE)
        body = len(record) - ends[-1] if count else 0
        placement = record[8:12]
        if len(runs) == 1:
            first, last = runs[0]
            start = body + ends[first - 1] if first > count else body
            cut = record[start : body + ends[last]]
        else:
            cut = b"".join(
                [
                    record[(body + ends[first - 1] if first > count else body) : body + ends[last]]
                    for first, last in runs
                ]
            )
        if placement != NO_PLACEMENT and self._placed:
            return cut + self._placement(snapshot, placement)
        return cut

    def _runs(self, shape: bytes, snapshot: Snapshot) -> tuple[tuple[int, int], ...]:
        """Stretches of wanted attributes, as positions of their first and last end in the
        record's table (which begins with ``count`` ids)."""
        numbers = [number for (number,) in U16.iter_unpack(shape)]
        count = len(numbers)
        runs: list[tuple[int, int]] = []
        for position, number in enumerate(numbers, start=count):
            if not self._wants(number, snapshot):
                continue
            if runs and runs[-1][1] == position - 1:
                runs[-1] = (runs[-1][0], position)
            else:
                runs.append((position, position))
        if len(self._shapes) < _SHAPES_KEPT:
            self._shapes[shape] = tuple(runs)
        return tuple(runs)

    def _wants(self, number: int, snapshot: Snapshot) -> bool:
        found = self._choices.get(number)
        if found is None:
            found = self._choices[number] = self._choose(number, snapshot)
        return found

    def _choose(self, number: int, snapshot: Snapshot) -> bool:
        description = self._catalogue.description(number, snapshot)
        kind = description.type
        if not self._view.readable(kind):
            return False
        if self._all_operational if kind.operational else self._all_user:
            return True
        covers = self._catalogue.schema.covers
        return any(covers(wanted, description) for wanted in self._wanted)

    def _placement(self, snapshot: Snapshot, number: bytes) -> bytes:
        row = snapshot.placement_row(number)
        found = self._placements.get(row)
        if found is None:
            placement = snapshot.placement(number)
            hosts = {b"hostServer": placement.host, b"oldHostServer": placement.old}
            found = b"".join(
                partial_attribute(name, [host.name])
                for name, _ in self._placed
                if (host := hosts[name]) is not None
            )
            if len(self._placements) < _SHAPES_KEPT:
                self._placements[row] = found
        return found

    def _cut_any(self, view: EntryView, snapshot: Snapshot) -> bytes:
        parts = []
        for number, encoded in view.record.attributes:
            if self._wants(number, snapshot):
                text = self._catalogue.description(number, snapshot).text
                parts.append(partial_attribute(text.encode(), ()) if self._types_only else encoded)
        for name, values in (*self._placed, *self._operational):
            found = values(view)
            if found:
                parts.append(partial_attribute(name, () if self._types_only else found))
        return b"".join(parts)
