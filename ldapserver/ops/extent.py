"""Which entries a search is about (RFC 4511 section 4.5.1.2): its base and scope, and what
aliases in it lead to (derefInSearching, section 4.5.1.3).

An ``Extent`` enumerates them, in the order of the tree or of their ids, or says of an
entry that an index has found whether it is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import suppress
from itertools import islice

from ldapserver import paging
from ldapserver.aliases import Aliases
from ldapserver.messages import Scope
from ldapserver.names import Names
from ldapserver.paging import Place
from ldapserver.results import LDAPError
from ldapserver.walk import walk, walk_on
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

# A subtree of fewer entries is walked rather than searched for in a larger set of ids.
_SMALL = 2_000
# So few ids are looked at sooner than a subtree is counted.
_FEW = 50


class Extent:
    """``aliases`` is None where none are followed; the base itself is never one of them."""

    def __init__(
        self, snapshot: Snapshot, names: Names, base: EntryId, scope: Scope, aliases: Aliases | None = None
    ) -> None:
        self._snapshot = snapshot
        self._names = names
        self.base = base
        self.scope = scope
        self._aliases = aliases
        self._below = scope in (Scope.SUBTREE, Scope.SUBORDINATE)
        # Aliases can lead out of it.
        self.open = aliases is not None and not (self._below and base == ROOT)

    # --- of a given entry -----------------------------------------------------------

    def holds(self, entry: EntryId, record: bytes) -> bool:
        if self._aliases is None:
            return self._within(entry, record)
        if entry != self.base and self._aliases.is_alias(entry):
            return False
        return self._within(entry, record) or (self.open and self._is_led_to(self._aliases, entry))

    def _within(self, entry: EntryId, record: bytes) -> bool:
        parent = record[:8]
        match self.scope:
            case Scope.BASE:
                return entry == self.base
            case Scope.ONE:
                return parent == self.base
            case Scope.SUBTREE | Scope.SUBORDINATE:
                if entry == self.base:
                    return self.scope is Scope.SUBTREE
                return self.base in self._names.below(self._snapshot, parent)[1]

    def _is_led_to(self, aliases: Aliases, entry: EntryId) -> bool:
        """Whether an alias of the extent leads to the entry, or above it."""
        seen: set[EntryId] = set()
        waiting = [entry]
        while waiting:
            for alias in self._leading(aliases, waiting.pop()):
                if alias in seen:
                    continue
                seen.add(alias)
                if alias != self.base and self._within(alias, self._record(alias)):
                    return True
                if self._below:
                    waiting.append(alias)
        return False

    def _leading(self, aliases: Aliases, entry: EntryId) -> Iterator[EntryId]:
        yield from aliases.leading_to(entry)
        if self._below:
            for ancestor in self._names.ancestors(self._snapshot, self._record(entry)):
                if ancestor != ROOT:
                    yield from aliases.leading_to(ancestor)

    def _record(self, entry: EntryId) -> bytes:
        record = self._snapshot.entry(entry)
        assert record is not None
        return record

    # --- all of them ----------------------------------------------------------------

    def is_smaller(self, count: int) -> bool:
        """Whether there are fewer entries than ``count``; False where that is hard to say."""
        if self.open:
            return False
        if self.scope is Scope.ONE:
            return self._snapshot.children_count(self.base) <= count
        if self.base == ROOT or count < _FEW:
            return False
        most = min(count, _SMALL)
        return sum(1 for _ in islice(walk(self._snapshot, self.base), most)) < most

    def by_tree(self, after: Place | None) -> Iterator[EntryId]:
        """In the order of the tree, without what aliases lead to; raises LDAPError for a
        place that is of another base."""
        snapshot, base, aliases = self._snapshot, self.base, self._aliases
        path = after.path if after is not None else None
        if path and path[0][0] != base:
            raise paging.wrong_cookie()
        found: Iterator[EntryId]
        if self.scope is Scope.BASE:
            found = iter(() if base == ROOT or after is not None else (base,))
        elif self.scope is Scope.ONE:
            found = snapshot.children(base, path[0][1] if path else None)
        elif after is not None:
            found = walk_on(snapshot, base, after.entry, path or ())
        else:
            start = 1 if self.scope is Scope.SUBORDINATE and base != ROOT else 0
            found = islice(walk(snapshot, base), start, None)
        if aliases is None:
            return found
        return (entry for entry in found if entry == base or not aliases.is_alias(entry))

    def by_id(self, after: EntryId) -> Iterator[EntryId | None]:
        """In the order of ids; None before the first, as long as they are being found."""
        aliases = self._aliases
        found: set[EntryId] = set()
        for entry in self.by_tree(None):
            found.add(entry)
            yield None
        if aliases is not None:
            for found_or_none in self._led_to(aliases, found):
                if found_or_none is not None:
                    found.add(found_or_none)
                yield None
        yield from (entry for entry in sorted(found) if entry > after)

    def _led_to(self, aliases: Aliases, found: Set[EntryId]) -> Iterator[EntryId | None]:
        """What aliases add to the entries that were found; None now and then."""
        starts = [self.base]
        for start in starts:  # grows while it is walked
            for target in self._targets(aliases, start):
                known = target is None or target in found
                yield target
                if target is None or known or not self._below:
                    continue
                starts.append(target)
                for entry in walk(self._snapshot, target):
                    yield None if aliases.is_alias(entry) else entry

    def _targets(self, aliases: Aliases, start: EntryId) -> Iterator[EntryId | None]:
        """What the aliases below one base lead to; None for one that leads nowhere."""
        extent = self
        if start != self.base:
            extent = Extent(self._snapshot, self._names, start, Scope.SUBTREE)
        for alias in aliases.all():
            target = None
            if alias != self.base and extent._within(alias, self._record(alias)):
                with suppress(LDAPError):
                    target = aliases.target(alias)
            yield target
