"""FETCH responses (RFC 3501 section 7.4.2, RFC 3516, RFC 7162).

What lives here: a message and the items that are asked of it to octets, piece by piece, so
that a large message is never held twice and a slow reader holds up nothing but itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cached_property
from typing import Final

from attrs import frozen

from cgnode.proto.imap import encode, structure
from cgnode.proto.imap.addresses import Address
from cgnode.proto.imap.commands import Binary, BinarySize, BodySection, FetchItem, Item, Text
from cgnode.proto.imap.mime import Parameters, Part

PIECE: Final = 65536


class Needs(Enum):
    """How much of a message its items need."""

    NOTHING = "none of its octets"
    HEADER = "its header, with the blank line"
    WHOLE = "all of it"


@frozen
class Message:
    r"""What the shell knows of a message.

    ``flags`` without ``\Recent``; ``date`` is the internal date in seconds since 1970;
    ``content`` as far as the items need it; ``newly_seen``: this command has set
    ``\Seen``.
    """

    uid: int
    flags: frozenset[str]
    date: int
    size: int
    modseq: int | None = None
    content: bytes = b""
    newly_seen: bool = False


def needs(items: Sequence[FetchItem]) -> Needs:
    """What ``Message.content`` must have for these."""
    needed = Needs.NOTHING
    for item in items:
        match item:
            case Item.BODY | Item.BODYSTRUCTURE | Binary() | BinarySize():
                return Needs.WHOLE
            case Item.ENVELOPE:
                needed = Needs.HEADER
            case BodySection(section):
                if section.part or section.text in (Text.ALL, Text.TEXT):
                    return Needs.WHOLE
                needed = Needs.HEADER
            case _:
                pass
    return needed


def sets_seen(items: Sequence[FetchItem]) -> bool:
    r"""Whether fetching these sets ``\Seen`` (RFC 3501 section 6.4.5)."""
    return any(isinstance(item, BodySection | Binary) and not item.peek for item in items)


class Response:
    """One FETCH response; raises Fault, before it gives anything, for what can't be had.

    ``flags`` are the message's with ``\\Recent``; ``modseq``: it is always told.
    """

    def __init__(
        self, number: int, items: Sequence[FetchItem], message: Message, flags: frozenset[str], modseq: bool
    ) -> None:
        self._number = number
        self._message = message
        self._flags = flags
        self._items = list(items)
        if message.newly_seen and Item.FLAGS not in self._items:
            self._items.append(Item.FLAGS)
        if modseq and Item.FLAGS in self._items and Item.MODSEQ not in self._items:
            self._items.append(Item.MODSEQ)
        if message.modseq is None:
            self._items = [item for item in self._items if item is not Item.MODSEQ]
        self._decoded: dict[tuple[int, ...], bytes | None] = {}
        for item in self._items:
            if isinstance(item, Binary | BinarySize):
                self._decode(item.part)

    @property
    def tells_flags(self) -> bool:
        return Item.FLAGS in self._items

    @cached_property
    def _part(self) -> Part:
        return Part(self._message.content)

    def pieces(self) -> Iterator[bytes]:
        """The response's octets."""
        said = bytearray(b"* %d FETCH (" % self._number)
        for place, item in enumerate(self._items):
            if place:
                said += b" "
            match item:
                case Item():
                    said += b"%b %b" % (item.value.encode(), self._item(item))
                case BodySection(section, name, _, partial):
                    said += name
                    octets = structure.section(self._part, section)
                    yield from _octets(said, octets, partial, b"")
                case Binary(part, _, partial):
                    said += b"BINARY[%b]" % _numbers(part)
                    data = self._decode(part)
                    tilde = b"~" if data is not None and b"\0" in data else b""
                    yield from _octets(said, None if data is None else memoryview(data), partial, tilde)
                case BinarySize(part):
                    size = len(self._decode(part) or b"")
                    said += b"BINARY.SIZE[%b] %d" % (_numbers(part), size)
        said += b")\r\n"
        yield bytes(said)

    def _item(self, item: Item) -> bytes:
        message = self._message
        match item:
            case Item.FLAGS:
                return encode.flags(self._flags)
            case Item.UID:
                return b"%d" % message.uid
            case Item.INTERNALDATE:
                return encode.date_time(message.date)
            case Item.SIZE:
                return b"%d" % message.size
            case Item.MODSEQ:
                return b"(%d)" % (message.modseq or 0)
            case Item.ENVELOPE:
                return envelope(structure.envelope(self._part))
            case Item.BODY:
                return body(structure.body(self._part), extended=False)
            case Item.BODYSTRUCTURE:
                return body(structure.body(self._part), extended=True)

    def _decode(self, part: tuple[int, ...]) -> bytes | None:
        if part not in self._decoded:
            self._decoded[part] = structure.decoded(self._part, part)
        return self._decoded[part]


def _octets(
    said: bytearray, octets: memoryview | None, partial: tuple[int, int] | None, tilde: bytes
) -> Iterator[bytes]:
    """A section's octets behind its name; what is left in ``said`` is said later."""
    if partial is not None:
        said += b"<%d>" % partial[0]
    if octets is None:
        said += b" NIL"
        return
    if partial is not None:
        octets = octets[partial[0] : partial[0] + partial[1]]
    said += b" %b{%d}\r\n" % (tilde, len(octets))
    for start in range(0, len(octets), PIECE):
        said += octets[start : start + PIECE]
        if len(said) >= PIECE:
            yield bytes(said)
            said.clear()


def _numbers(part: tuple[int, ...]) -> bytes:
    return ".".join(map(str, part)).encode()


# --- structures --------------------------------------------------------------------------


def envelope(value: structure.Envelope) -> bytes:
    return encode.listed(
        (
            encode.nstring(value.date),
            encode.nstring(value.subject),
            _addresses(value.sender_from),
            _addresses(value.sender),
            _addresses(value.reply_to),
            _addresses(value.to),
            _addresses(value.cc),
            _addresses(value.bcc),
            encode.nstring(value.in_reply_to),
            encode.nstring(value.message_id),
        )
    )


def body(value: structure.Body, extended: bool) -> bytes:
    """BODYSTRUCTURE, or BODY, which has none of the extension data."""
    match value:
        case structure.MultiPart(parts, subtype, parameters, extension):
            inner = b"".join(body(part, extended) for part in parts)
            said = [b"%b %b" % (inner, _word(subtype))]
            if extended:
                said += _parameters(parameters), *_extension(extension)
        case structure.SinglePart():
            said = _single(value, extended)
    return encode.listed(said)


def _single(value: structure.SinglePart, extended: bool) -> list[bytes]:
    said = [
        _word(value.type),
        _word(value.subtype),
        _parameters(value.parameters),
        encode.nstring(value.id),
        encode.nstring(value.description),
        _word(value.encoding),
        b"%d" % value.size,
    ]
    if value.embedded is not None:
        said += envelope(value.embedded.envelope), body(value.embedded.body, extended)
    if value.lines is not None:
        said.append(b"%d" % value.lines)
    if extended:
        said += encode.nstring(value.extension.md5), *_extension(value.extension)
    return said


def _extension(value: structure.Extension) -> tuple[bytes, ...]:
    disposition = encode.NIL
    if value.disposition is not None:
        parts = encode.string(value.disposition.type), _parameters(value.disposition.parameters)
        disposition = encode.listed(parts)
    language = encode.listed(map(encode.string, value.language)) if value.language else encode.NIL
    return disposition, language, encode.nstring(value.location)


def _parameters(value: Parameters) -> bytes:
    if not value:
        return encode.NIL
    return encode.listed(encode.string(part) for pair in value for part in pair)


def _addresses(value: tuple[Address, ...]) -> bytes:
    return b"(%b)" % b"".join(map(_address, value)) if value else encode.NIL


def _address(value: Address) -> bytes:
    parts = value.name, value.route, value.mailbox, value.host
    return encode.listed(map(encode.nstring, parts))


def _word(value: bytes) -> bytes:
    return encode.string(value)
