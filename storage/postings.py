"""Postings of the substring index: which entries of a chunk have a gram.

Entry ids are numbered through, so an id is a chunk (its upper bits) and a place in it
(its lower ``BITS``).  A posting of few places is a sorted array of 16-bit numbers, of
many a bitmap; neither is ever larger than a bitmap, 256 bytes.  In memory a posting is
an ``int`` with the bits set, so that intersections are single operations.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from sys import byteorder

from storage.keys import EntryId

BITS = 11
SIZE = 1 << BITS
_BITMAP = SIZE // 8
_FEW = _BITMAP // 2 - 1
GRAM = 3
_CUTTERS = 512


def split(entry: EntryId) -> tuple[bytes, int]:
    """An entry id as its chunk's key part (8 bytes) and its place in the chunk."""
    number = int.from_bytes(entry, "big")
    return (number >> BITS).to_bytes(8, "big"), number & (SIZE - 1)


def ids(chunk: bytes, bits: int) -> Iterator[EntryId]:
    """The entry ids of a posting's bits, in order."""
    base = int.from_bytes(chunk, "big") << BITS
    for place in _places(bits):
        yield (base + place).to_bytes(8, "big")


def encode(bits: int) -> bytes:
    if bits.bit_count() > _FEW:
        return bits.to_bytes(_BITMAP, "big")
    return _array(_places(bits))


def _places(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def encode_places(places: Sequence[int]) -> bytes:
    """The posting of sorted, distinct places."""
    if len(places) <= _FEW:
        return _array(places)
    # Written as binary digits and read as a number: quicker than setting bits in one.
    digits = bytearray(b"0") * SIZE
    for place in places:
        digits[~place] = 0x31
    return int(digits, 2).to_bytes(_BITMAP, "big")


def _array(places: Iterable[int]) -> bytes:
    numbers = array("H", places)
    if byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def decode(posting: bytes) -> int:
    if len(posting) == _BITMAP:
        return int.from_bytes(posting, "big")
    numbers = array("H", posting)
    if byteorder == "little":
        numbers.byteswap()
    bits = 0
    for place in numbers:
        bits |= 1 << place
    return bits


@lru_cache(maxsize=1024)
def _cutter(size: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Cuts all grams out of a value of one size in a single call."""
    return itemgetter(*(slice(start, start + GRAM) for start in range(size - GRAM + 1)), slice(0, GRAM))


def grams(value: bytes) -> tuple[bytes, ...]:
    """The grams of a normalised value, perhaps repeated; none when it is shorter than one."""
    size = len(value)
    if size < GRAM:
        return ()
    if size > _CUTTERS:
        return tuple(value[start : start + GRAM] for start in range(size - GRAM + 1))
    return _cutter(size)(value)
