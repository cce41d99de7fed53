"""Alias entries followed (RFC 4512 section 2.6; RFC 4511 section 4.5.1.3).

Forwards, from an alias to the entry that it leads to in the end (``target``), and
backwards, from an entry to the aliases that lead to it (``leading_to``), by the index
of aliasedObjectName.  Where a store has no aliases, which the index of objectClass tells
at once, nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from attrs import define

from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.matching import subclass_names
from ldapserver.names import Names, key_of
from ldapserver.results import LDAPError, ResultCode
from storage import keys, records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

_LONGEST_CHAIN = 20
# Names that one entry may have by way of aliases above it; further ones are not noticed.
_MOST_NAMES = 1_000


@define
class _Steps:
    """How many aliases may yet be followed, one from another or above one another."""

    left: int = _LONGEST_CHAIN


class Aliases:
    def __init__(self, core: Core, snapshot: Snapshot, names: Names) -> None:
        self._core = core
        self._snapshot = snapshot
        self._names = names
        schema, catalogue = core.schema, core.catalogue
        object_class = schema.description("objectClass").type.equality
        target = schema.description("aliasedObjectName").type.equality
        assert object_class is not None
        assert target is not None
        number = catalogue.number_of_type("objectClass")
        oids = set(map(object_class.normalise, subclass_names(schema, b"alias") or ()))
        self._terms = [keys.equality(number, oid) for oid in oids]
        self._target_number = catalogue.number_of_type("aliasedObjectName")
        self._normalise = target.normalise
        self._leading: dict[EntryId, frozenset[EntryId]] = {}

    def exist(self) -> bool:
        return any(map(self._snapshot.ids_count, self._terms))

    def all(self) -> Iterable[EntryId]:
        return chain.from_iterable(map(self._snapshot.each_id, self._terms))

    def is_alias(self, entry: EntryId) -> bool:
        return any(self._snapshot.has_id(term, entry) for term in self._terms)

    # --- forwards -------------------------------------------------------------------

    def target(self, entry: EntryId) -> EntryId:
        """The entry that an alias leads to in the end; raises ALIAS_PROBLEM where it leads
        nowhere, LOOP_DETECT where it leads in a circle."""
        return self._target(entry, _Steps())

    def _target(self, entry: EntryId, steps: _Steps) -> EntryId:
        while self.is_alias(entry):
            if not steps.left:
                raise self._error(ResultCode.LOOP_DETECT, "aliases lead in a circle, or too far", entry)
            steps.left -= 1
            entry = self._step(entry, steps)
        return entry

    def _step(self, entry: EntryId, steps: _Steps) -> EntryId:
        data = self._snapshot.entry(entry)
        assert data is not None
        encoded = records.attribute_of(data, self._target_number)
        if encoded is None:
            raise self._error(ResultCode.ALIAS_PROBLEM, "an alias without a target", entry)
        try:
            key = key_of(values_of(encoded)[0].decode(), self._core.schema)
        except LDAPError:
            key = ()
        found = self._find(key, steps) if key else None
        if found is None:
            raise self._error(ResultCode.ALIAS_PROBLEM, "an alias leads nowhere", entry)
        return found

    def _find(self, key: tuple[bytes, ...], steps: _Steps) -> EntryId | None:
        """The entry of a DN, following aliases on the way."""
        entry = ROOT
        for rdn in reversed(key):
            above = entry if entry == ROOT else self._target(entry, steps)
            child = self._snapshot.child(above, rdn)
            if child is None:
                return None
            entry = child
        return entry

    def _error(self, code: ResultCode, message: str, entry: EntryId) -> LDAPError:
        data = self._snapshot.entry(entry)
        return LDAPError(code, message, self._names.dn(self._snapshot, data).decode() if data else "")

    # --- backwards ------------------------------------------------------------------

    def leading_to(self, entry: EntryId) -> frozenset[EntryId]:
        """The aliases whose target an entry is."""
        found = self._leading.get(entry)
        if found is None:
            self._leading[entry] = frozenset()  # while it is being found: a circle adds nothing
            found = self._leading[entry] = frozenset(self._find_leading(entry))
        return found

    def _find_leading(self, entry: EntryId) -> set[EntryId]:
        found: set[EntryId] = set()
        waiting = [entry]
        while waiting:
            for name in self._names_of(waiting.pop()):
                term = keys.equality(self._target_number, self._normalise(name))
                more = {alias for alias in self._snapshot.ids(term) if self.is_alias(alias)} - found
                found |= more
                waiting += more
        return found

    def _names_of(self, entry: EntryId) -> set[bytes]:
        """An entry's DN, and those that lead to it by way of aliases above it."""
        data = self._snapshot.entry(entry)
        assert data is not None
        rdn, parent = records.rdn_of(data), records.parent_of(data)
        if parent == ROOT:
            return {rdn}
        names = set()
        for above in self._names_above(parent):
            names.add(rdn + b"," + above)
            if len(names) == _MOST_NAMES:
                break
        return names

    def _names_above(self, parent: EntryId) -> Iterator[bytes]:
        yield from self._names_of(parent)
        for alias in self.leading_to(parent):
            yield from self._names_of(alias)


def find_base(core: Core, snapshot: Snapshot, names: Names, dn: str, *, follow: bool) -> EntryId:
    """The entry that an operation names; raises NO_SUCH_OBJECT with the matched DN, or an
    alias's error when ``follow`` (derefFindingBaseObj)."""
    key = key_of(dn, core.schema)
    aliases = Aliases(core, snapshot, names) if follow else None
    if aliases is not None and not aliases.exist():
        aliases = None
    entry = ROOT
    for rdn in reversed(key):
        child = snapshot.child(entry, rdn)
        if child is None:
            raise no_such_object(snapshot, names, entry)
        entry = child if aliases is None else aliases.target(child)
    return entry


def no_such_object(snapshot: Snapshot, names: Names, nearest: EntryId) -> LDAPError:
    data = snapshot.entry(nearest) if nearest != ROOT else None
    matched = names.dn(snapshot, data).decode() if data else ""
    return LDAPError(ResultCode.NO_SUCH_OBJECT, "no such entry", matched)
