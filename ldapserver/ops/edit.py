"""A working copy of an entry (``Draft``), and what has become of it (``Edited``).

What lives here: an entry's attributes as lists of values that can be changed, and the
way back to its record and its index rows.  What must not: which changes are allowed.

``hostServer`` and ``oldHostServer`` look like the attributes that they are to clients;
on the way back they become the entry's placement.  Attributes that nobody touched keep
the octets that they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from attrs import field, frozen

from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.indexing import Indexes
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription, AttributeType
from ldapserver.wire.encode import partial_attribute
from storage import keys, records
from storage.csn import Csn
from storage.keys import NO_PLACEMENT, U16, EntryId
from storage.placements import Host, Placement
from storage.txn import NO_TERMS, Terms, WriteTransaction

Hosts: TypeAlias = tuple[Host | None, Host | None]
"""Of an entry: hostServer and oldHostServer."""

NO_HOSTS: Final[Hosts] = (None, None)

HOST_TYPES: Final = ("hostServer", "oldHostServer")

# A record and its placement count these in two octets.
_MOST_ATTRIBUTES: Final = 0xFFFF
LONGEST_HOST: Final = 255
# Descriptions with options are made up by clients, and a store numbers each for ever.
_MOST_DESCRIPTIONS: Final = 32_000


@frozen
class Edited:
    """An entry's next state, checked and ready to be stored.

    ``attributes`` are those that differ: their BER, or None where the attribute goes.
    ``hosts`` is None where they stay.
    """

    core: Core = field(repr=False)
    entry: EntryId
    data: bytes = field(repr=False)
    attributes: tuple[tuple[AttributeDescription, bytes | None], ...] = field(repr=False)
    hosts: Hosts | None
    added: Terms = field(repr=False)
    removed: Terms = field(repr=False)

    def record(self, txn: WriteTransaction, csn: Csn, modifier: bytes) -> bytes:
        """The next record, as of a change.  Gives out numbers, and makes a placement."""
        number = self.core.catalogue.number
        edits = [(number(description, txn), encoded) for description, encoded in self.attributes]
        data = records.spliced(self.data, edits, csn, modifier)
        if self.hosts is None:
            return data
        placement = txn.placement_for(records.parent_of(data), *self.hosts)
        return data[:8] + placement + data[12:]

    def store(self, txn: WriteTransaction, csn: Csn, modifier: bytes) -> None:
        txn.replace(self.entry, self.record(txn, csn, modifier), self.added, self.removed)


class Draft:
    """The attributes of a stored entry, to be changed by ``put``.

    ``work`` has those that were put, with their values now; empty ones are removed.
    """

    def __init__(
        self, core: Core, txn: WriteTransaction, indexes: Indexes, entry: EntryId, data: bytes
    ) -> None:
        self.core = core
        self.entry = entry
        self.data = data
        self._txn = txn
        self._indexes = indexes
        self.work: dict[AttributeDescription, list[bytes]] = {}
        self._stored: dict[AttributeDescription, list[bytes]] = {}
        self._stored_placement: Placement | None = None

    # --- values -----------------------------------------------------------------------

    def values(self, description: AttributeDescription) -> list[bytes]:
        """The values of exactly this description, in order; not to be changed in place."""
        found = self.work.get(description)
        return self.stored(description) if found is None else found

    def put(self, description: AttributeDescription, values: list[bytes]) -> None:
        """Other values; none removes the attribute.  A new one comes last."""
        self.work[description] = values

    def stored(self, description: AttributeDescription) -> list[bytes]:
        """The values that the entry came with."""
        found = self._stored.get(description)
        if found is None:
            found = self._stored[description] = self._read(description)
        return found

    def _read(self, description: AttributeDescription) -> list[bytes]:
        if description.type.name in HOST_TYPES:
            host = self._stored_hosts()[HOST_TYPES.index(description.type.name)]
            return [] if host is None else [host.name]
        number = self._number(description)
        encoded = None if number is None else records.attribute_of(self.data, number)
        return [] if encoded is None else values_of(encoded)

    def may_hold(self, description: AttributeDescription, value: bytes) -> bool:
        """False when the index rules out that an untouched attribute has a value."""
        kind = description.type
        number = self._indexes.equality.get(kind)
        if number is None or kind.equality is None or description in self.work:
            return True
        return self._txn.has_id(keys.equality(number, kind.equality.normalise(value)), self.entry)

    def descriptions(self) -> tuple[AttributeDescription, ...]:
        """What the entry has now, in order; placements after what is stored."""
        found = dict.fromkeys(self._stored_descriptions())
        for description, values in self.work.items():
            if values:
                found[description] = None
            else:
                found.pop(description, None)
        return tuple(found)

    def reshaped(self) -> bool:
        """Whether an attribute has come or gone."""
        for description, values in self.work.items():
            if bool(values) != bool(self.stored(description)):
                return True
        return False

    def changed(self) -> list[AttributeDescription]:
        """What differs from the stored entry, if only in a value's spelling."""
        return [found for found, values in self.work.items() if values != self.stored(found)]

    def _stored_descriptions(self) -> Iterator[AttributeDescription]:
        catalogue, txn = self.core.catalogue, self._txn
        for (number,) in U16.iter_unpack(records.shape_of(self.data)):
            yield catalogue.description(number, txn)
        for name, host in zip(HOST_TYPES, self._stored_hosts(), strict=True):
            if host is not None:
                yield self.core.schema.description(name)

    def _number(self, description: AttributeDescription) -> int | None:
        found = self.core.catalogue.known_number(description)
        if found is None:  # never used, or given out by a transaction that is not known here yet
            for number, text in self._txn.description_rows():
                if text == description.text:
                    return number
        return found

    def _stored_hosts(self) -> Hosts:
        number = records.placement_of(self.data)
        if number == NO_PLACEMENT:
            return NO_HOSTS
        if self._stored_placement is None:
            self._stored_placement = self._txn.placement(number)
        return self._stored_placement.host, self._stored_placement.old

    # --- the way back -----------------------------------------------------------------

    def finish(self) -> Edited | None:
        """The changes as they are to be stored; None when there are none."""
        changed = self.changed()
        if not changed:
            return None
        self._check_counts(changed)
        attributes = []
        hosts = None
        for description in changed:
            if description.type.name in HOST_TYPES:
                hosts = self.hosts()
                continue
            values = self.work[description]
            encoded = partial_attribute(description.text.encode(), values) if values else None
            attributes.append((description, encoded))
        added, removed = self._terms(changed)
        return Edited(self.core, self.entry, self.data, tuple(attributes), hosts, added, removed)

    def hosts(self) -> Hosts:
        """Where the entry is to be hosted."""
        stored = self._stored_hosts()
        host, old = (
            hosts_of(description, self.work[description])
            if (description := self.core.schema.description(name)) in self.work
            else known
            for name, known in zip(HOST_TYPES, stored, strict=True)
        )
        return host, old

    def _check_counts(self, changed: list[AttributeDescription]) -> None:
        new = [found for found in changed if found.options and self.work[found]]
        if new:
            check_describable(self.core, self._txn, new, len(records.shape_of(self.data)) // 2)

    def _terms(self, changed: list[AttributeDescription]) -> tuple[Terms, Terms]:
        """What the indexes gain, and what they lose unless it is gained too."""
        indexes = self._indexes
        kinds = {
            description.type
            for description in changed
            if description.type in indexes.equality or description.type in indexes.substrings
        }
        if not kinds:
            return NO_TERMS, NO_TERMS
        added, removed = [], []
        try:
            for kind in kinds:
                new, old = self._terms_of(kind)
                added.append(new)
                removed.append(old)
        except ValueError as error:
            raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, str(error)) from None
        return union(added), union(removed)

    def _terms_of(self, kind: AttributeType) -> tuple[Terms, Terms]:
        """A term stands for its value in any description of the type (``cn``, ``cn;lang-de``)
        and a gram for any of the values: so all of them count.  Only where one attribute
        is indexed for equality alone the values that differ say everything, which matters
        to the members of large groups."""
        terms = self._indexes.terms_of_values
        mine = [
            description
            for description in dict.fromkeys((*self._stored_descriptions(), *self.work))
            if description.type is kind
        ]
        if len(mine) == 1 and kind not in self._indexes.substrings:
            old, new = self.stored(mine[0]), self.values(mine[0])
            return terms(mine[0], _without(new, old)), terms(mine[0], _without(old, new))
        return (
            union([terms(description, self.values(description)) for description in mine]),
            union([terms(description, self.stored(description)) for description in mine]),
        )


def _without(values: Sequence[bytes], others: Sequence[bytes]) -> list[bytes]:
    known = set(others)
    return [value for value in values if value not in known]


def union(terms: Sequence[Terms]) -> Terms:
    if len(terms) == 1:
        return terms[0]
    return Terms(
        frozenset[bytes]().union(*(part.equality for part in terms)),
        frozenset[bytes]().union(*(part.grams for part in terms)),
    )


def hosts_of(description: AttributeDescription, values: Sequence[bytes]) -> Host | None:
    """The host that a placement's attribute names; raises CONSTRAINT_VIOLATION."""
    if not values:
        return None
    (value,) = values
    if not 0 < len(value) <= LONGEST_HOST:
        raise LDAPError(
            ResultCode.CONSTRAINT_VIOLATION, f"{description.text}: 1 to {LONGEST_HOST} octets are allowed"
        )
    rule = description.type.equality
    return Host(value, value if rule is None else rule.normalise(value))


def check_describable(
    core: Core, txn: WriteTransaction, descriptions: Sequence[AttributeDescription], present: int
) -> None:
    """Raises ADMIN_LIMIT_EXCEEDED for more attributes than an entry, or descriptions than
    a store, can have."""
    unknown = {found.text for found in descriptions if core.catalogue.known_number(found) is None}
    if unknown and txn.last_description() + len(unknown) > _MOST_DESCRIPTIONS:
        unknown.difference_update(text for _, text in txn.description_rows())
        if unknown:
            raise LDAPError(ResultCode.ADMIN_LIMIT_EXCEEDED, "too many attribute descriptions with options")
    if present + len(descriptions) > _MOST_ATTRIBUTES:
        raise LDAPError(ResultCode.ADMIN_LIMIT_EXCEEDED, "too many attributes in one entry")
