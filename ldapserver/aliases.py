"""Alias entries followed (RFC 4512 section 2.6; RFC 4511 section 4.5.1.3).

Forwards, from an alias to the entry that it leads to in the end (``target``), and
backwards, from an entry to the aliases that lead to it (``leading_to``), by the index
of aliasedObjectName.  An alias may name another one, but not an entry by way of another
one above it.  Where a store has no aliases, which the index of objectClass tells at
once, nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.matching import subclass_names
from ldapserver.names import Names, find, key_of
from ldapserver.results import LDAPError, ResultCode
from storage import keys, records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

_LONGEST_CHAIN = 20


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
        """The entry that an alias leads to in the end, or an entry that is no alias; raises
        ALIAS_PROBLEM where it leads nowhere, LOOP_DETECT where it leads in a circle."""
        alias = entry
        for _ in range(_LONGEST_CHAIN + 1):
            if not self.is_alias(entry):
                return entry
            found = self._next(entry)
            if found is None:
                raise self._error(ResultCode.ALIAS_PROBLEM, "an alias leads nowhere", entry)
            entry = found
        raise self._error(ResultCode.LOOP_DETECT, "aliases lead in a circle, or too far", alias)

    def _next(self, alias: EntryId) -> EntryId | None:
        encoded = records.attribute_of(self._record(alias), self._target_number)
        try:
            key = key_of(values_of(encoded)[0].decode(), self._core.schema) if encoded else ()
        except LDAPError:
            return None
        return find(self._snapshot, key) if key else None

    def _record(self, entry: EntryId) -> bytes:
        record = self._snapshot.entry(entry)
        assert record is not None
        return record

    def _error(self, code: ResultCode, message: str, entry: EntryId) -> LDAPError:
        return LDAPError(code, message, self._names.dn(self._snapshot, self._record(entry)).decode())

    # --- backwards ------------------------------------------------------------------

    def leading_to(self, entry: EntryId) -> frozenset[EntryId]:
        """The aliases whose target an entry is."""
        found = self._leading.get(entry)
        if found is None:
            found = self._leading[entry] = frozenset(self._find_leading(entry))
        return found

    def _find_leading(self, entry: EntryId) -> set[EntryId]:
        found: set[EntryId] = set()
        waiting = [entry]
        while waiting:
            dn = self._names.dn(self._snapshot, self._record(waiting.pop()))
            term = keys.equality(self._target_number, self._normalise(dn))
            more = {alias for alias in self._snapshot.ids(term) if self.is_alias(alias)} - found
            found |= more
            waiting += more
        return found


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
