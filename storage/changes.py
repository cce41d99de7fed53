"""The change table's rows: what changed, in the order of CSNs.

A row says the kind of change and what it concerns: entry ids (add, modify, rename),
UUIDs of entries that are gone (delete), or placement ids (move).  A bulk change of any
size is a few rows of one CSN, its ids packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum

from attrs import frozen

from storage.csn import Csn

# Ids in one row at most, so that a row stays a few pages.
ROW = 1000


class Kind(IntEnum):
    ADD = 1
    MODIFY = 2
    RENAME = 3
    DELETE = 4
    MOVE = 5


_WIDTH = {Kind.ADD: 8, Kind.MODIFY: 8, Kind.RENAME: 8, Kind.DELETE: 16, Kind.MOVE: 4}


@frozen
class Change:
    csn: Csn
    kind: Kind
    subjects: tuple[bytes, ...]


def rows(kind: Kind, subjects: Sequence[bytes]) -> Iterator[bytes]:
    """The values of the rows that tell of one change."""
    prefix = bytes((kind,))
    for start in range(0, len(subjects), ROW):
        yield prefix + b"".join(subjects[start : start + ROW])


def unpack(key: bytes, value: bytes) -> Change:
    """Raises ValueError when the row is not of a change."""
    kind = Kind(int.from_bytes(value[:1], "big"))
    width = _WIDTH[kind]
    if len(value) % width != 1:
        raise ValueError("a change's subjects are cut short")
    subjects = tuple(value[start : start + width] for start in range(1, len(value), width))
    return Change(key[:16], kind, subjects)
