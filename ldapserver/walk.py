"""The tree walked in a fixed order: each entry before what is below it, siblings by
their normalised RDNs.  A walk can go on later after any entry that is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from storage import records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

# The tree's key of an entry: its parent, and its normalised RDN.
Place = Callable[[EntryId], tuple[EntryId, bytes]]


def walk(
    snapshot: Snapshot, base: EntryId, after: EntryId | None = None, place: Place | None = None
) -> Iterator[EntryId]:
    """``base`` (unless it is ROOT) and all below it; with ``after`` (below or at the base)
    what follows that entry, for which ``place`` tells the way up."""
    if after is None:
        if base != ROOT:
            yield base
        stack = [snapshot.children(base)]
    else:
        assert place is not None
        stack = _resume(snapshot, base, after, place)
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        if snapshot.children_count(entry):
            stack.append(snapshot.children(entry))


def _resume(snapshot: Snapshot, base: EntryId, after: EntryId, place: Place) -> list[Iterator[EntryId]]:
    levels = [snapshot.children(after)]
    while after != base:
        parent, rdn = place(after)
        levels.append(snapshot.children(parent, after=rdn))
        after = parent
    levels.reverse()
    return levels


def is_below(snapshot: Snapshot, entry: EntryId, base: EntryId) -> bool:
    """Whether an entry is the base or below it; False when it is gone."""
    while entry not in (base, ROOT):
        record = snapshot.entry(entry)
        if record is None:
            return False
        entry = records.parent_of(record)
    return entry == base
