"""Records on disk: a frame is a header, what it says (``meta``), and octets (``body``).

    "cgq1"  length of meta  length of body  CRC of meta  CRC of body  CRC of these five

What lives here: frames to octets and back, and the search for the next sound one behind
damage.  What must not: files, and what a meta says.

A frame is believed or not as a whole, so all that one frame says happens at once.  The
last checksum begins with the segment's salt.  A body is a stranger's text, and behind
damage one may begin to read in the midst of it: without the salt it can't forge a frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from mmap import mmap
from struct import Struct
from typing import Final, TypeAlias
from zlib import crc32

from attrs import frozen

MAGIC: Final = b"cgq1"
_SUMMED: Final = Struct("<4sIIII")
_HEADER: Final = Struct("<4sIIIII")
OVERHEAD: Final = _HEADER.size
MAX_BODY: Final = 0xFFFFFFFF

Buffer: TypeAlias = bytes | mmap


@frozen
class Frame:
    """``body`` is where in the buffer it begins."""

    offset: int
    meta: bytes
    body: int
    length: int

    @property
    def end(self) -> int:
        return self.body + self.length


@frozen
class Damage:
    """Octets from ``offset`` to ``end`` that are no frames."""

    offset: int
    end: int


def encode(meta: bytes, bodies: Sequence[bytes], salt: int) -> bytes:
    length = checksum = 0
    for body in bodies:
        length += len(body)
        checksum = crc32(body, checksum)
    summed = _SUMMED.pack(MAGIC, len(meta), length, crc32(meta), checksum)
    return b"".join((summed, crc32(summed, salt).to_bytes(4, "little"), meta, *bodies))


def size(meta: bytes, bodies: Sequence[bytes]) -> int:
    return OVERHEAD + len(meta) + sum(map(len, bodies))


def read(buffer: Buffer, offset: int, salt: int, bodies: bool) -> Frame | None:
    """The frame at ``offset``, if there is a sound one; ``bodies``: its body is checked
    as well."""
    if len(buffer) - offset < OVERHEAD:
        return None
    magic, meta_length, length, meta_sum, body_sum, total = _HEADER.unpack_from(buffer, offset)
    if magic != MAGIC or total != crc32(_SUMMED.pack(magic, meta_length, length, meta_sum, body_sum), salt):
        return None
    start = offset + OVERHEAD
    body = start + meta_length
    if body + length > len(buffer):
        return None
    meta = buffer[start:body]
    if crc32(meta) != meta_sum or (bodies and crc32(buffer[body : body + length]) != body_sum):
        return None
    return Frame(offset, meta, body, length)


def scan(buffer: Buffer, start: int, salt: int, bodies: bool) -> Iterator[Frame | Damage]:
    """All frames from ``start``, and the damage between and behind them.  Zeros at the
    end are room that was not used."""
    offset = start
    while True:
        frame = read(buffer, offset, salt, bodies)
        if frame is None:
            frame = _next(buffer, offset + 1, salt, bodies)
            if frame is None:
                break
            yield Damage(offset, frame.offset)
        yield frame
        offset = frame.end
    rest = buffer[offset:]
    if rest.count(b"\0") != len(rest):
        yield Damage(offset, len(buffer))


def _next(buffer: Buffer, start: int, salt: int, bodies: bool) -> Frame | None:
    offset = buffer.find(MAGIC, start)
    while offset >= 0:
        frame = read(buffer, offset, salt, bodies)
        if frame is not None:
            return frame
        offset = buffer.find(MAGIC, offset + 1)
    return None
