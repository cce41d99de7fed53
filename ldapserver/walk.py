"""The tree walked in a fixed order: each entry before what is below it, siblings by
their normalised RDNs.  A walk goes on later from the path to any entry, even if that
one is gone by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from storage import records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

# From below a base down to an entry: each one's parent and normalised RDN.
Path: TypeAlias = tuple[tuple[EntryId, bytes], ...]


def walk(snapshot: Snapshot, base: EntryId) -> Iterator[EntryId]:
    """``base`` (unless it is ROOT) and all below it."""
    if base != ROOT:
        yield base
    yield from _descend(snapshot, [snapshot.children(base)])


def walk_on(snapshot: Snapshot, base: EntryId, entry: EntryId, path: Path) -> Iterator[EntryId]:
    """What follows ``entry`` in a walk, by the path that led to it then.

    What was moved away meanwhile is left out; what was moved here may come or not.
    """
    levels = [(parent, snapshot.children(parent, after=rdn)) for parent, rdn in path]
    levels.append((entry, snapshot.children(entry)))
    return _descend(snapshot, [children for parent, children in levels if is_below(snapshot, parent, base)])


def _descend(snapshot: Snapshot, stack: list[Iterator[EntryId]]) -> Iterator[EntryId]:
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        if snapshot.children_count(entry):
            stack.append(snapshot.children(entry))


def path_to(snapshot: Snapshot, base: EntryId, entry: EntryId, key: Callable[[bytes], bytes]) -> Path:
    """The path from a base to an entry at or below it; ``key`` normalises a stored RDN."""
    path: list[tuple[EntryId, bytes]] = []
    while entry != base:
        record = snapshot.entry(entry)
        assert record is not None, "not below the base"
        entry = records.parent_of(record)
        path.append((entry, key(records.rdn_of(record))))
    return tuple(reversed(path))


def is_below(snapshot: Snapshot, entry: EntryId, base: EntryId) -> bool:
    """Whether an entry is the base or below it; False when it is gone."""
    while entry not in (base, ROOT):
        record = snapshot.entry(entry)
        if record is None:
            return False
        entry = records.parent_of(record)
    return entry == base
