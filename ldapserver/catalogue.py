"""Attribute descriptions and the numbers that a store gives them.

What is remembered here is committed: a number given out inside a write transaction is
looked up in that transaction until a reader has seen it (``catch_up``).
"""

from __future__ import annotations

from collections.abc import Mapping

from ldapserver.schema import AttributeDescription, Schema
from storage.errors import StoreUnusable
from storage.snapshot import Snapshot
from storage.store import Store
from storage.txn import WriteTransaction


class Catalogue:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._by_number: dict[int, AttributeDescription] = {}
        self._by_text: dict[str, int] = {}
        self._covered: dict[AttributeDescription, frozenset[int]] = {}
        self._last = 0

    def prepare(self, store: Store) -> None:
        """Give every type of the schema its number beforehand: fewer surprises later.

        Raises StoreUnusable when the store names an attribute that the schema lacks.
        """
        with store.snapshot() as snapshot:
            self._absorb(snapshot)
        wanted = [kind.name for kind in self.schema.attribute_types if kind.name not in self._by_text]
        if wanted:
            with store.write() as txn:
                for name in wanted:
                    txn.describe(name)
            with store.snapshot() as snapshot:
                self._absorb(snapshot)

    def catch_up(self, snapshot: Snapshot) -> None:
        """Learn what was given out since; from a reader's snapshot only.  Raises StoreUnusable."""
        if snapshot.last_description() > self._last:
            self._absorb(snapshot)

    def _absorb(self, snapshot: Snapshot) -> None:
        # Other threads read meanwhile: tables are exchanged, and what was made of them last.
        by_number = dict(self._by_number)
        for number, text in snapshot.description_rows():
            if number not in by_number:
                description = self.schema.find_description(text)
                if description is None:
                    raise StoreUnusable(
                        f"the store has attributes {text!r} that the schema does not define; "
                        "name the schema file that defines them in the configuration"
                    )
                by_number[number] = description
                self._by_text[text] = number
        self._by_number = by_number
        self._covered = {}
        self._last = snapshot.last_description()

    def description(self, number: int, snapshot: Snapshot) -> AttributeDescription:
        found = self._by_number.get(number)
        return self.schema.description(snapshot.description_text(number)) if found is None else found

    def number(self, description: AttributeDescription, txn: WriteTransaction) -> int:
        """The number to store a description under."""
        found = self._by_text.get(description.text)
        return txn.describe(description.text) if found is None else found

    def known_number(self, description: AttributeDescription) -> int | None:
        """The number of a description that has one for certain, in every process."""
        return self._by_text.get(description.text)

    def number_of_type(self, name: str) -> int:
        """The number of a type of the schema, without options; they all have one."""
        return self._by_text[name]

    def known(self) -> Mapping[int, AttributeDescription]:
        """All descriptions by their numbers, but for those that an open transaction gave out."""
        return self._by_number

    def covered(self, wanted: AttributeDescription) -> frozenset[int]:
        """The known numbers of what a description asks for: its subtypes, and more options
        than its own (RFC 4512 section 2.5.2)."""
        covered = self._covered
        found = covered.get(wanted)
        if found is None:
            covers = self.schema.covers
            found = covered[wanted] = frozenset(
                number for number, description in self._by_number.items() if covers(wanted, description)
            )
        return found
