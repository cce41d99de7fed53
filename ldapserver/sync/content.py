"""A search's content in one state of the directory: which entries are in it, and as what
its client sees them.

What is computed from an entry's place (entryDN, numSubordinates...) is a server's own and
part of no content: ``+`` asks for all operational attributes but these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from attrs import evolve

from ldapserver.core import Core
from ldapserver.identity import Identity
from ldapserver.matching import Compiler
from ldapserver.messages import Control, SearchRequest
from ldapserver.names import find, key_of
from ldapserver.ops.budget import Budget
from ldapserver.ops.extent import Extent
from ldapserver.ops.search import Search
from ldapserver.schema import Schema
from ldapserver.walk import is_below
from ldapserver.wire.encode import encode_controls, entry_tail
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

_COMPUTED = {"entryDN", "subschemaSubentry", "hasSubordinates", "numSubordinates"}

# An index that finds so few entries is asked rather than the tree walked.
_FEW = 20_000


class Content:
    def __init__(self, core: Core, snapshot: Snapshot, identity: Identity, request: SearchRequest) -> None:
        state = core.state(snapshot)
        if "+" in request.attributes:
            kept = (name for name in request.attributes if name != "+")
            request = evolve(request, attributes=(*kept, *_operational(core.schema)))
        self.snapshot = snapshot
        self.names = state.names
        self._search = search = Search(core, snapshot, state, identity, request)
        self.base = find(snapshot, key_of(request.head.base, core.schema))
        # Without its base, content is empty; ROOT stands for it then and is not asked.
        self._extent = Extent(snapshot, self.names, self.base or ROOT, request.head.scope)
        compiler = Compiler(core.schema, core.view(identity))
        self._matches = None if search.asks_for_all() else search.matcher(compiler)
        self._others, self._own = search.projection(own=False), search.projection(own=True)

    @property
    def is_all(self) -> bool:
        """Whether every entry of the extent is in it."""
        return self._matches is None

    def budget(self) -> Budget:
        """What finding all of it may cost the client."""
        return self._search.budget()

    def has(self, entry: EntryId, record: bytes) -> bool:
        if self.base is None or not self._extent.holds(entry, record):
            return False
        return self._matches is None or self._matches(entry, record)

    def candidates(self) -> Iterator[EntryId]:
        """Entries that may be in it, and all that are; each after the one above it."""
        plan = None if self.is_all else self._search.plan(self._extent)
        if plan is None or plan.count > _FEW:
            return self._extent.by_tree(None)
        found = [(self._depth(entry), entry) for entry in plan.after(ROOT)]
        return (entry for _, entry in sorted(found))

    def _depth(self, entry: EntryId) -> int:
        record = self.snapshot.entry(entry)
        return 0 if record is None else len(self.names.ancestors(self.snapshot, record))

    def is_below_base(self, entry: EntryId) -> bool:
        return self.base is not None and is_below(self.snapshot, entry, self.base)

    def tail(self, entry: EntryId, record: bytes, controls: tuple[Control, ...]) -> bytes:
        projection = self._own if entry == self._search.own else self._others
        attributes = projection.cut(self.names, self.snapshot, entry, record)
        return entry_tail(self.names.dn(self.snapshot, record), attributes) + encode_controls(controls)


@lru_cache(maxsize=16)
def _operational(schema: Schema) -> tuple[str, ...]:
    kinds = schema.attribute_types
    return tuple(kind.name for kind in kinds if kind.operational and kind.name not in _COMPUTED)
