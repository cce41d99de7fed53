"""Which index rows an entry has: equality terms and grams, by attribute type.

Which attributes are indexed is said in the store itself, so that every process that
writes to it agrees; ``cgctl reindex`` changes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from attrs import frozen

from ldapserver.attributes import values_of
from ldapserver.catalogue import Catalogue
from ldapserver.schema import AttributeDescription, AttributeType
from storage import keys, postings
from storage.records import Record
from storage.snapshot import Snapshot
from storage.txn import Terms

META = b"indexes"

EQUALITY = "eq"
SUBSTRINGS = "sub"
KINDS = (EQUALITY, SUBSTRINGS)

DEFAULT: Mapping[str, tuple[str, ...]] = {
    "objectClass": ("eq",),
    "uid": ("eq",),
    "mail": ("eq", "sub"),
    "cn": ("eq", "sub"),
    "sn": ("eq", "sub"),
    "givenName": ("eq", "sub"),
    "displayName": ("eq", "sub"),
    "telephoneNumber": ("eq",),
    "member": ("eq",),
    "uniqueMember": ("eq",),
    "aliasedObjectName": ("eq",),
    "o": ("eq",),
    "ou": ("eq",),
    "dc": ("eq",),
}

# Indexed by the store's own means.
BUILT_IN = ("entryUUID", "hostServer", "oldHostServer")


def encode(indexes: Mapping[str, Sequence[str]]) -> bytes:
    return json.dumps({name: sorted(kinds) for name, kinds in indexes.items()}, sort_keys=True).encode()


def decode(value: bytes) -> dict[str, tuple[str, ...]]:
    return {name: tuple(kinds) for name, kinds in json.loads(value).items()}


@frozen(eq=False)
class Indexes:
    """The indexes of a store: ``equality`` and ``substrings`` map a type to its number."""

    catalogue: Catalogue
    raw: bytes
    equality: dict[AttributeType, int]
    substrings: dict[AttributeType, int]

    @classmethod
    def read(cls, catalogue: Catalogue, raw: bytes) -> Indexes:
        equality, substrings = {}, {}
        for name, kinds in decode(raw).items():
            kind = catalogue.schema.attribute_type(name)
            if kind is None:
                continue
            number = catalogue.number_of_type(kind.name)
            if EQUALITY in kinds and kind.equality is not None:
                equality[kind] = number
            if SUBSTRINGS in kinds and kind.substrings is not None:
                substrings[kind] = number
        return cls(catalogue, raw, equality, substrings)

    @cached_property
    def uuid(self) -> int:
        return self.catalogue.number_of_type("entryUUID")

    def terms_of_values(self, description: AttributeDescription, values: Iterable[bytes]) -> Terms:
        """Raises ValueError for a value that its matching rule can't normalise."""
        kind = description.type
        number = self.equality.get(kind)
        equality: frozenset[bytes] = frozenset()
        grams: set[bytes] = set()
        if number is not None and kind.equality is not None:
            normalise = kind.equality.normalise
            equality = frozenset(keys.equality(number, normalise(value)) for value in values)
        number = self.substrings.get(kind)
        if number is not None and kind.substrings is not None:
            prefix = keys.U16.pack(number)
            normalise = kind.substrings.normalise
            for value in values:
                grams.update(prefix + gram for gram in postings.grams(normalise(value)))
        return Terms(equality, frozenset(grams))

    def terms_of(self, record: Record, snapshot: Snapshot) -> Terms:
        """All terms of an entry."""
        equality = {keys.equality(self.uuid, record.uuid)}
        grams: set[bytes] = set()
        for number, encoded in record.attributes:
            description = self.catalogue.description(number, snapshot)
            if description.type in self.equality or description.type in self.substrings:
                found = self.terms_of_values(description, values_of(encoded))
                equality |= found.equality
                grams |= found.grams
        return Terms(frozenset(equality), frozenset(grams))
