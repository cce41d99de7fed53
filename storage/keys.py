"""Layouts of keys: everything sorts as bytes, integers are big-endian.

==============  =========================================  ==========================
table           key                                        value
==============  =========================================  ==========================
entries         entry id (8)                               record (``records``)
tree            parent id (8) + normalised RDN             entry id
children        entry id                                   number of children (8)
index           description id (2) + kind (1) + value      entry ids, sorted
grams           description id (2) + gram (3) + chunk (8)  posting (``postings``)
descriptions    description id (2)                         attribute description
placements      placement id (4)                           placement (``placements``)
placed          b"h" host | b"o" old host | b"k" all       placement ids, sorted
changes         CSN (16) + number (4)                      change (``changes``)
meta            name                                       bytes
==============  =========================================  ==========================

An entry id is 8 bytes everywhere above LMDB, too; ids grow and are never used again.
``ROOT`` is the parent of top-level entries and has no record.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Final, TypeAlias

EntryId: TypeAlias = bytes
PlacementId: TypeAlias = bytes
Term: TypeAlias = bytes
Gram: TypeAlias = bytes

ROOT: Final[EntryId] = bytes(8)
NO_PLACEMENT: Final[PlacementId] = bytes(4)

# LMDB's keys end at 511 bytes; the longest prefix of ours is tree's 8.
_LONGEST = 480
_KEPT = _LONGEST - 32

U64 = Struct(">Q")
U32 = Struct(">I")
U16 = Struct(">H")

EQUALITY = b"="
MEMBER = b"m"

# Description id 0 belongs to the store: the members of a placement.
_MEMBERS = b"\0\0" + MEMBER


def bounded(value: bytes) -> bytes:
    """A key part of any length as one that fits: a long one ends in its hash.

    Equal values give equal keys and, SHA-256 permitting, only they do.  Order and
    prefixes hold for the first ``is_exact`` bytes only.
    """
    if len(value) < _LONGEST:  # so that nobody's value is another one's key with a hash
        return value
    return value[:_KEPT] + sha256(value).digest()


def is_exact(value: bytes) -> bool:
    """Whether ``value`` stands in keys as it is, so that ranges over it are complete."""
    return len(value) <= _KEPT


def equality_prefix(description: int) -> bytes:
    return U16.pack(description) + EQUALITY


def equality(description: int, value: bytes) -> Term:
    return U16.pack(description) + EQUALITY + bounded(value)


def members(placement: PlacementId) -> Term:
    return _MEMBERS + placement


def successor(prefix: bytes) -> bytes:
    """The first key after all that begin with ``prefix`` (b"" when there is none)."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b""
