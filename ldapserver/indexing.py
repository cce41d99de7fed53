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
from ldapserver.views import OPERATIONAL, PLACED
from storage import keys, postings
from storage.keys import Term
from storage.loader import Text
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

# What aliases are found by, wherever they are followed.
_ALWAYS = {"objectClass": (EQUALITY,), "aliasedObjectName": (EQUALITY,)}
# Not in records; of these, what there is an index for is the store's own.
_COMPUTED = {*OPERATIONAL, *PLACED}


def encode(indexes: Mapping[str, Sequence[str]]) -> bytes:
    return json.dumps({name: sorted(kinds) for name, kinds in indexes.items()}, sort_keys=True).encode()


def decode(value: bytes) -> dict[str, tuple[str, ...]]:
    return {name: tuple(kinds) for name, kinds in json.loads(value).items()}


@frozen(eq=False)
class Indexes:
    """The indexes of a store: ``equality`` and ``substrings`` map a type to its number.

    Those of ``_ALWAYS`` are there whatever is configured.
    """

    catalogue: Catalogue
    raw: bytes
    equality: dict[AttributeType, int]
    substrings: dict[AttributeType, int]

    @classmethod
    def read(cls, catalogue: Catalogue, raw: bytes) -> Indexes:
        equality, substrings = {}, {}
        for name, kinds in [*decode(raw).items(), *_ALWAYS.items()]:
            kind = catalogue.schema.attribute_type(name)
            if kind is None or kind.name in _COMPUTED:
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

    def rows_of_values(
        self, description: AttributeDescription, values: Sequence[bytes]
    ) -> tuple[list[Term], list[Text]]:
        """Equality terms, and the texts whose grams are indexed.

        Raises ValueError for a value that its matching rule can't normalise.
        """
        kind = description.type
        terms: list[Term] = []
        texts: list[Text] = []
        normal: list[bytes] = []
        number = self.equality.get(kind)
        if number is not None and kind.equality is not None:
            prefix = keys.equality_prefix(number)
            normal = list(map(kind.equality.normalise, values))
            terms = [prefix + keys.bounded(value) for value in normal]
        number = self.substrings.get(kind)
        if number is not None and (rule := kind.substrings) is not None:
            prefix = keys.U16.pack(number)
            if not normal or kind.equality is None or kind.equality.normalise != rule.normalise:
                normal = list(map(rule.normalise, values))
            texts = [(prefix, value) for value in normal]
        return terms, texts

    def terms_of_values(self, description: AttributeDescription, values: Sequence[bytes]) -> Terms:
        """Raises ValueError like ``rows_of_values``."""
        return _terms(*self.rows_of_values(description, values))

    def rows_of(self, record: Record, snapshot: Snapshot) -> tuple[list[Term], list[Text]]:
        """All rows of an entry, each once."""
        terms = [keys.equality(self.uuid, record.uuid)]
        texts: list[Text] = []
        for number, encoded in record.attributes:
            description = self.catalogue.description(number, snapshot)
            if description.type in self.equality or description.type in self.substrings:
                more_terms, more_texts = self.rows_of_values(description, values_of(encoded))
                terms += more_terms
                texts += more_texts
        return list(dict.fromkeys(terms)), list(dict.fromkeys(texts))

    def terms_of(self, record: Record, snapshot: Snapshot) -> Terms:
        """All terms of an entry."""
        return _terms(*self.rows_of(record, snapshot))


def _terms(terms: Iterable[Term], texts: Iterable[Text]) -> Terms:
    return Terms(
        frozenset(terms),
        frozenset(prefix + gram for prefix, text in texts for gram in postings.grams(text)),
    )
