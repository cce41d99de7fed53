"""Attributes in the form in which they are stored and sent: BER of PartialAttribute
(RFC 4511 section 4.1.7).

Only for what this program encoded itself; what peers send goes through ``wire``.
"""

from __future__ import annotations


def values_of(encoded: bytes) -> list[bytes]:
    """The values of an encoded PartialAttribute, in order."""
    name = _content(encoded, 0)
    position = _content(encoded, _end(encoded, name))
    size = len(encoded)
    values = []
    while position < size:
        length = encoded[position + 1]
        if length < 0x80:
            start = position + 2
        else:
            start = position + 2 + (length & 0x7F)
            length = int.from_bytes(encoded[position + 2 : start], "big")
        position = start + length
        values.append(encoded[start:position])
    return values


def _content(encoded: bytes, position: int) -> int:
    """Where the content of the element at ``position`` begins."""
    length = encoded[position + 1]
    return position + 2 if length < 0x80 else position + 2 + (length & 0x7F)


def _end(encoded: bytes, position: int) -> int:
    """Where the element at ``position`` ends."""
    start = _content(encoded, position)
    length = encoded[position + 1]
    if length >= 0x80:
        length = int.from_bytes(encoded[position + 2 : start], "big")
    return start + length
