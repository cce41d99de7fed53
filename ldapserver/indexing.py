"""Which index rows an entry has: equality terms and grams, by attribute type.

Which attributes are indexed is said in the store itself, so that every process that
writes to it agrees; ``cgctl reindex`` changes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TypeAlias

from attrs import field, frozen

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


RowsMaker: TypeAlias = Callable[[Sequence[bytes]], tuple[list[Term], list[Text]]]


@frozen(eq=False)
class Indexes:
    """The indexes of a store: ``equality`` and ``substrings`` map a type to its number.

    Those of ``_ALWAYS`` are there whatever is configured.
    """

    catalogue: Catalogue
    raw: bytes
    equality: dict[AttributeType, int]
    substrings: dict[AttributeType, int]
    _makers: dict[AttributeType, RowsMaker] = field(factory=dict, init=False, repr=False)

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
        maker = self._makers.get(description.type)
        if maker is None:
            maker = self._makers[description.type] = self._maker(description.type)
        return maker(values)

    def _maker(self, kind: AttributeType) -> RowsMaker:
        """``rows_of_values`` for one type."""
        number, rule = self.equality.get(kind), kind.equality
        terms_of = None if number is None or rule is None else (keys.equality_prefix(number), rule.normalise)
        number, rule = self.substrings.get(kind), kind.substrings
        texts_of = None if number is None or rule is None else (keys.U16.pack(number), rule.normalise)
        if terms_of is None and texts_of is None:
            return lambda _: ([], [])
        if texts_of is None and terms_of is not None:
            prefix, normalise = terms_of
            return lambda values: ([prefix + keys.bounded(normalise(value)) for value in values], [])
        if terms_of is not None and texts_of is not None and terms_of[1] == texts_of[1]:
            return partial(_both, *terms_of, texts_of[0])

        def make(values: Sequence[bytes]) -> tuple[list[Term], list[Text]]:
            terms, texts = [], []
            if terms_of is not None:
                prefix, normalise = terms_of
                terms = [prefix + keys.bounded(normalise(value)) for value in values]
            if texts_of is not None:
                prefix, normalise = texts_of
                texts = [(prefix, normalise(value)) for value in values]
            return terms, texts

        return make

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


def _both(
    prefix: bytes, normalise: Callable[[bytes], bytes], gram_prefix: bytes, values: Sequence[bytes]
) -> tuple[list[Term], list[Text]]:
    """For a type whose equality and substrings have one normal form, as most have."""
    normal = [normalise(value) for value in values]
    return [prefix + keys.bounded(value) for value in normal], [(gram_prefix, value) for value in normal]


def _terms(terms: Iterable[Term], texts: Iterable[Text]) -> Terms:
    return Terms(
        frozenset(terms),
        frozenset(prefix + gram for prefix, text in texts for gram in postings.grams(text)),
    )
