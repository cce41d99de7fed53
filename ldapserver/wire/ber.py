"""BER as LDAP restricts it (RFC 4511 section 5.1; X.690 section 8): elements in and out.

What lives here: headers, integers, booleans, strings, the ``Reader`` over one element's
contents, the writers, and how a bad value in a control is refused.  What must not: any
type of LDAP's own.

Strict: definite lengths of at most four octets (the shortest form is not asked for, as
BER does not), one-octet tags, integers in their shortest form (X.690 section 8.3.2),
TRUE only as 0xFF.  A length is compared with what is there before anything is sliced,
and an integer's size before it is computed.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire.tags import BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE

MAX_INT: Final = 2**31 - 1
"""maxInt of RFC 4511 section 4.1.1."""


class BerError(ValueError):
    """The encoding's structure is wrong; the text is fit for the peer."""


class BadValue(BerError):
    """Well-formed, but a value that the protocol does not allow.  ``code`` is the answer
    that fits an operation which carries it."""

    def __init__(self, text: str, code: ResultCode = ResultCode.PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.code = code


# --- reading ---------------------------------------------------------------------------


def header(data: bytes, pos: int, end: int) -> tuple[int, int, int]:
    """The element at ``pos``: its tag, and where its contents start and stop (<= ``end``)."""
    try:
        tag = data[pos]
        size = data[pos + 1]
    except IndexError:
        raise BerError("truncated element") from None
    start = pos + 2
    if size > 0x7F:
        if not 0x81 <= size <= 0x84:
            raise BerError("indefinite length" if size == 0x80 else "length of more than four octets")
        start += size & 0x7F
        size = int.from_bytes(data[pos + 2 : start], "big")
    stop = start + size
    if stop > end:
        raise BerError("element longer than what contains it")
    if tag & 0x1F == 0x1F:
        raise BerError("tag of more than one octet")
    return tag, start, stop


def read_integer(data: bytes, start: int, stop: int, low: int, high: int) -> int:
    """An INTEGER's or ENUMERATED's contents, of at most four octets."""
    size = stop - start
    if size > 4:
        raise BadValue("integer out of range")
    if not size:
        raise BerError("integer without contents")
    value = int.from_bytes(data[start:stop], "big", signed=True)
    if size > 1 and -(1 << (8 * size - 9)) <= value < 1 << (8 * size - 9):
        raise BerError("integer not in its shortest form")
    if not low <= value <= high:
        raise BadValue("integer out of range")
    return value


def read_boolean(data: bytes, start: int, stop: int) -> bool:
    if stop - start == 1:
        if data[start] == 0xFF:
            return True
        if data[start] == 0x00:
            return False
    raise BerError("boolean neither 00 nor FF")


def read_text(raw: bytes) -> str:
    """An LDAPString (RFC 4511 section 4.1.2)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadValue("string not in UTF-8") from None


NAME_CACHED: Final = 128
"""Names longer than this are decoded every time, so that the cache stays small."""

cached_name = lru_cache(maxsize=4096)(read_text)
"""``read_text`` for attribute descriptions of at most ``NAME_CACHED`` octets."""


def read_name(raw: bytes) -> str:
    """An attribute description: ``read_text``, and equal short ones are one object."""
    return cached_name(raw) if len(raw) <= NAME_CACHED else read_text(raw)


class Reader:
    """Goes through the elements of ``data[pos:end]`` in order; every verb takes the next
    element, whose tag must be the one given, and raises BerError."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int = 0, end: int | None = None) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end

    def peek(self) -> int:
        """The next element's tag; -1 at the end."""
        return self.data[self.pos] if self.pos < self.end else -1

    def element(self, tag: int) -> tuple[int, int]:
        found, start, stop = header(self.data, self.pos, self.end)
        if found != tag:
            raise BerError(f"element {found:02X} where {tag:02X} was expected")
        self.pos = stop
        return start, stop

    def skip(self) -> None:
        """Past one element, whatever it is."""
        self.pos = header(self.data, self.pos, self.end)[2]

    def inside(self, tag: int = SEQUENCE) -> Reader:
        start, stop = self.element(tag)
        return Reader(self.data, start, stop)

    def octets(self, tag: int = OCTET_STRING) -> bytes:
        start, stop = self.element(tag)
        return self.data[start:stop]

    def text(self, tag: int = OCTET_STRING) -> str:
        return read_text(self.octets(tag))

    def name(self, tag: int = OCTET_STRING) -> str:
        return read_name(self.octets(tag))

    def integer(self, tag: int = INTEGER, low: int = 0, high: int = MAX_INT) -> int:
        start, stop = self.element(tag)
        return read_integer(self.data, start, stop, low, high)

    def boolean(self, tag: int = BOOLEAN) -> bool:
        start, stop = self.element(tag)
        return read_boolean(self.data, start, stop)

    def optional_octets(self, tag: int) -> bytes | None:
        return self.octets(tag) if self.peek() == tag else None

    def optional_text(self, tag: int) -> str | None:
        return self.text(tag) if self.peek() == tag else None

    def optional_boolean(self, tag: int = BOOLEAN) -> bool:
        """DEFAULT FALSE.  Section 5.1 wants a default absent; common clients write it."""
        return self.boolean(tag) if self.peek() == tag else False

    def each_octets(self, tag: int = OCTET_STRING) -> tuple[bytes, ...]:
        """All that is left, as in a SET OF OCTET STRING."""
        values = []
        while self.pos < self.end:
            values.append(self.octets(tag))
        return tuple(values)

    def finish(self) -> None:
        """Nothing may be left: the end of a list, or of what is no SEQUENCE."""
        if self.pos != self.end:
            raise BerError("octets after the end of the value")

    def finish_sequence(self, known: Container[int]) -> None:
        """The end of a SEQUENCE: further components with tags that are not ``known`` in it
        are of a later version of the protocol and ignored (RFC 4511 section 4)."""
        while self.pos < self.end:
            tag, _, stop = header(self.data, self.pos, self.end)
            if tag in known:
                raise BerError(f"element {tag:02X} repeated or out of order")
            self.pos = stop


def sequence_value(value: bytes | None) -> Reader:
    """The contents of a control's or extended operation's value that is one SEQUENCE."""
    if value is None:
        raise BadValue("value missing")
    outer = Reader(value)
    contents = outer.inside()
    outer.finish()
    return contents


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turns BerError about ``what`` into the operation's refusal."""
    try:
        yield
    except BerError as error:
        raise LDAPError(ResultCode.PROTOCOL_ERROR, f"{what}: {error}") from None


# --- writing ----------------------------------------------------------------------------


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    if len(octets) > 4:
        raise ValueError("an element of 4 GiB or more")
    return bytes((0x80 | len(octets),)) + octets


OCTETS: Final = tuple(bytes((value,)) for value in range(256))
"""Every octet as ``bytes``."""

LENGTHS: Final = tuple(_length(size) for size in range(1024))
"""Lengths that come often, encoded."""


def length(size: int) -> bytes:
    return LENGTHS[size] if size < 1024 else _length(size)


def tlv(tag: int, contents: bytes) -> bytes:
    return OCTETS[tag] + length(len(contents)) + contents


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An INTEGER, or an ENUMERATED by its tag."""
    magnitude = value if value >= 0 else ~value
    return tlv(tag, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    return OCTETS[tag] + (b"\x01\xff" if value else b"\x01\x00")


def octets(value: bytes, tag: int = OCTET_STRING) -> bytes:
    return tlv(tag, value)


def text(value: str, tag: int = OCTET_STRING) -> bytes:
    return tlv(tag, value.encode("utf-8"))


def optional_octets(value: bytes | None, tag: int) -> bytes:
    return b"" if value is None else tlv(tag, value)


def optional_text(value: str | None, tag: int) -> bytes:
    return b"" if value is None else text(value, tag)


def default_false(value: bool, tag: int = BOOLEAN) -> bytes:
    """BOOLEAN DEFAULT FALSE: a default is absent (section 5.1)."""
    return boolean(True, tag) if value else b""


def sequence(*parts: bytes, tag: int = SEQUENCE) -> bytes:
    return tlv(tag, b"".join(parts))
