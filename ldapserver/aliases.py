"""Alias entries followed (RFC 4512 section 2.6; RFC 4511 section 4.5.1.3).

``Aliases.targets`` of a scope is what dereferencing in searching adds to it.  Where a
store has no aliases, which the index tells at once, nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.names import Names, key_of
from ldapserver.results import LDAPError, ResultCode
from ldapserver.views import EntryView
from storage import keys
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

_LONGEST_CHAIN = 20


class Aliases:
    def __init__(self, core: Core, snapshot: Snapshot, names: Names) -> None:
        self._core = core
        self._snapshot = snapshot
        self._names = names
        number = core.catalogue.number_of_type("objectClass")
        self._class_number = number
        kind = core.schema.attribute_type("objectClass")
        assert kind is not None and kind.equality is not None
        self._term = keys.equality(number, kind.equality.normalise(b"alias"))
        self._target_number = core.catalogue.number_of_type("aliasedObjectName")

    def exist(self) -> bool:
        return self._snapshot.ids_count(self._term) > 0

    def all(self) -> Iterator[EntryId]:
        return self._snapshot.each_id(self._term)

    def is_alias(self, entry: EntryId) -> bool:
        return self._snapshot.has_id(self._term, entry)

    def target(self, entry: EntryId) -> EntryId:
        """The entry that an alias leads to in the end; raises ALIAS_PROBLEM or
        ALIAS_DEREFERENCING_PROBLEM."""
        seen: set[EntryId] = set()
        while self.is_alias(entry):
            if entry in seen or len(seen) == _LONGEST_CHAIN:
                raise LDAPError(ResultCode.ALIAS_PROBLEM, "aliases lead in a circle", self._dn(entry))
            seen.add(entry)
            entry = self._step(entry)
        return entry

    def _step(self, entry: EntryId) -> EntryId:
        data = self._snapshot.entry(entry)
        assert data is not None
        view = EntryView(self._core.catalogue, self._names, self._snapshot, entry, data)
        for number, encoded in view.record.attributes:
            if number == self._target_number:
                return self.find(key_of(values_of(encoded)[0].decode(), self._core.schema))
        raise LDAPError(ResultCode.ALIAS_PROBLEM, "an alias without a target", self._dn(entry))

    def find(self, key: tuple[bytes, ...]) -> EntryId:
        """The entry of a DN, following aliases on the way."""
        entry = ROOT
        for rdn in reversed(key):
            child = self._snapshot.child(self._follow(entry), rdn)
            if child is None:
                raise LDAPError(
                    ResultCode.ALIAS_DEREFERENCING_PROBLEM, "an alias leads nowhere", self._dn(entry)
                )
            entry = child
        return entry

    def _follow(self, entry: EntryId) -> EntryId:
        return self.target(entry) if entry != ROOT and self.is_alias(entry) else entry

    def _dn(self, entry: EntryId) -> str:
        data = self._snapshot.entry(entry)
        return self._names.dn(self._snapshot, data).decode() if data else ""


def find_base(core: Core, snapshot: Snapshot, names: Names, dn: str, *, follow: bool) -> EntryId:
    """The entry that an operation names; raises NO_SUCH_OBJECT with the matched DN, or an
    alias's error when ``follow`` (derefFindingBaseObj)."""
    key = key_of(dn, core.schema)
    if follow:
        aliases = Aliases(core, snapshot, names)
        if aliases.exist():
            return _find_following(core, snapshot, names, key, aliases)
    entry = ROOT
    for rdn in reversed(key):
        child = snapshot.child(entry, rdn)
        if child is None:
            raise no_such_object(snapshot, names, entry)
        entry = child
    return entry


def _find_following(
    core: Core, snapshot: Snapshot, names: Names, key: tuple[bytes, ...], aliases: Aliases
) -> EntryId:
    entry = ROOT
    for rdn in reversed(key):
        child = snapshot.child(entry, rdn)
        if child is None:
            raise no_such_object(snapshot, names, entry)
        entry = aliases.target(child) if aliases.is_alias(child) else child
    return entry


def no_such_object(snapshot: Snapshot, names: Names, nearest: EntryId) -> LDAPError:
    data = snapshot.entry(nearest) if nearest != ROOT else None
    matched = names.dn(snapshot, data).decode() if data else ""
    return LDAPError(ResultCode.NO_SUCH_OBJECT, "no such entry", matched)
