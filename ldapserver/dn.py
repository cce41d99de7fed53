"""Distinguished names as text and as values (RFC 4514), and their normal forms.

What lives here: parsing and writing, and the octets by which RDNs are compared and
stored.  What must not: the tree, entries, what a schema defines (it is asked through
``Namer``).

Accepted beyond RFC 4514: what RFC 2253 section 4 asks for from older clients (spaces
around separators, ``;`` for ``,``, values in quotes, types as ``oid.2.5.4.3``).  Written
is RFC 4514 only.  Names without special characters take a short cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from attrs import frozen

from ldapserver.results import LDAPError, ResultCode


class Namer(Protocol):
    """What a schema tells of attribute types in names."""

    def naming(self, type: str, /) -> tuple[bytes, Callable[[bytes], bytes]] | None:
        """``b"cn="`` (lower case, canonical) and the equality rule's normal form, for a
        name or OID as it is spelt; None for a type that is not defined."""
        ...


class AVA(NamedTuple):
    """An attribute type as it was spelt (without ``oid.``), and a value."""

    type: str
    value: bytes


RDN: TypeAlias = tuple[AVA, ...]
Key: TypeAlias = tuple[bytes, ...]


@frozen
class DN:
    """A name, leaf first.  Compares as it is spelt: ``normalise_dn`` for what is equal."""

    rdns: tuple[RDN, ...]

    def __str__(self) -> str:
        return ",".join([format_rdn(rdn) for rdn in self.rdns])

    @property
    def parent(self) -> DN:
        return DN(self.rdns[1:])

    def is_within(self, base: DN, namer: Namer) -> bool:
        """Whether this is ``base`` or below it."""
        return key_is_within(normalise_dn(self, namer), normalise_dn(base, namer))


def key_is_within(key: Key, base: Key) -> bool:
    """Whether a normalised name is ``base`` or below it."""
    return not base or key[-len(base) :] == base


def _wrong(reason: str) -> LDAPError:
    return LDAPError(ResultCode.INVALID_DN_SYNTAX, reason)


# --- parsing ----------------------------------------------------------------------------

_DESCR_OR_OID: Final = r"[A-Za-z][A-Za-z0-9_-]*+|(?:0|[1-9][0-9]*+)(?:\.(?:0|[1-9][0-9]*+))++"
_SPACED_TYPE: Final = rf" *+(?:[oO][iI][dD]\.(?=[0-9]))?({_DESCR_OR_OID}) *+"
_TYPE: Final = re.compile(_SPACED_TYPE)
_TYPE_AND_EQUALS: Final = re.compile(rf"{_SPACED_TYPE}= *+")
_HEX: Final = re.compile(r"#((?:[0-9A-Fa-f]{2})++)")
_QUOTED: Final = re.compile(r'"((?:[^"\\\0]++|\\(?:[0-9A-Fa-f]{2}|[ "#+,;<=>\\]))*+)"')
_STRING: Final = re.compile(r'(?:[^\\",+;<>\0]++|\\(?:[0-9A-Fa-f]{2}|[ "#+,;<=>\\]))*+')
_PAIR: Final = re.compile(rb"\\([0-9A-Fa-f]{2}|.)")
_SPACES: Final = re.compile(r" *+")
_FIRST: Final = re.compile(r'(?:[^\\",;]++|\\.|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


def _plain(text: str) -> bool:
    """Whether nothing in a name needs the full parser."""
    return not (
        "\\" in text
        or '"' in text
        or "+" in text
        or ";" in text
        or "#" in text
        or "<" in text
        or ">" in text
        or "\0" in text
    )


def parse_dn(text: str) -> DN:
    """Raises LDAPError INVALID_DN_SYNTAX.  Takes time in proportion to the length."""
    if not text:
        return DN(())
    if _plain(text):
        return DN(tuple([(_plain_ava(part),) for part in text.split(",")]))
    return DN(tuple(_parse(text)))


def parse_rdn(text: str) -> RDN:
    """Raises LDAPError INVALID_DN_SYNTAX; also where there is none, or more than one."""
    if _plain(text) and "," not in text:
        return (_plain_ava(text),)
    rdns = _parse(text)
    if len(rdns) != 1:
        raise _wrong("one RDN was expected")
    return rdns[0]


def split_first(text: str) -> tuple[str, str]:
    """A DN's first RDN and its parent, as text and unchecked: cheap, for many names that
    have few parents."""
    rdn, comma, parent = text.partition(",")
    if "\\" in rdn or '"' in rdn or ";" in rdn:
        found = _FIRST.match(text)
        end = found.end() if found else 0
        rdn, comma, parent = text[:end], text[end : end + 1], text[end + 1 :]
    if comma and (not parent or comma not in ",;"):
        raise _wrong("an RDN is missing, or a quote or escape without its end")
    return rdn, parent.lstrip(" ") if parent[:1] == " " else parent


def _plain_ava(text: str) -> AVA:
    type_, equals, value = text.partition("=")
    if not (type_.isalpha() and type_.isascii()):
        found = _TYPE.fullmatch(type_)
        if found is None:
            raise _wrong("an attribute type was expected")
        type_ = found[1]
    if not equals:
        raise _wrong("a type without '='")
    return AVA(type_, _encoded(value.strip(" ")))


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _wrong("a name that is not Unicode") from None


def _parse(text: str) -> list[RDN]:
    """The full grammar, one step per attribute value."""
    rdns: list[RDN] = []
    pairs: list[AVA] = []
    at = 0
    while True:
        head = _TYPE_AND_EQUALS.match(text, at)
        if head is None:
            raise _wrong("an attribute type and '=' were expected")
        value, at = _value(text, head.end())
        pairs.append(AVA(head[1], value))
        separator = text[at : at + 1]
        at += 1
        if separator == "+":
            continue
        rdns.append(tuple(pairs))
        pairs = []
        if not separator:
            return rdns
        if separator not in ",;":
            raise _wrong("an unescaped special character")


def _value(text: str, at: int) -> tuple[bytes, int]:
    """A value in one of its three forms, and where it and its spaces end."""
    first = text[at : at + 1]
    if first == "#":
        found = _HEX.match(text, at)
        if found is None:
            raise _wrong("hexadecimal digits were expected after '#'")
        value = _value_of_ber(bytes.fromhex(found[1]))
    elif first == '"':
        found = _QUOTED.match(text, at)
        if found is None:
            raise _wrong("a quote without its end")
        value = _unescaped(found[1])
    else:
        found = _STRING.match(text, at)
        assert found is not None, "matches the empty string"
        return _unescaped(_stripped(found[0])), found.end()
    spaces = _SPACES.match(text, found.end())
    return value, spaces.end() if spaces else found.end()


def _stripped(raw: str) -> str:
    """Without spaces at the end, but for an escaped one."""
    stripped = raw.rstrip(" ")
    if len(stripped) != len(raw) and stripped[-1:] == "\\":
        backslashes = len(stripped) - len(stripped.rstrip("\\"))
        if backslashes % 2:
            return stripped + " "
    return stripped


def _unescaped(raw: str) -> bytes:
    value = _encoded(raw)
    return _PAIR.sub(_unescape, value) if 0x5C in value else value


def _unescape(pair: re.Match[bytes]) -> bytes:
    found = pair[1]
    return bytes.fromhex(found.decode()) if len(found) == 2 else found


# --- values and types in BER: ``#hex``, and names in certificates -------------------

_OCTETS: Final = frozenset((0x04, 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A))
_BOOLEAN, _INTEGER, _UNIVERSAL, _BMP = 0x01, 0x02, 0x1C, 0x1E
_MAX_INTEGER: Final = 512


def _value_of_ber(encoded: bytes) -> bytes:
    try:
        tag, start, end = read_der(encoded, 0)
        if end != len(encoded):
            raise ValueError("octets after the value")
        return string_of_der(tag, encoded[start:end])
    except ValueError as error:
        raise _wrong(f"'#' and no BER value: {error}") from None


def read_der(data: bytes, at: int) -> tuple[int, int, int]:
    """An element's tag and where its content starts and ends; raises ValueError."""
    header = data[at : at + 2]
    if len(header) < 2 or header[0] & 0x1F == 0x1F:
        raise ValueError("an incomplete element, or one with a long tag")
    length, start = header[1], at + 2
    if length >= 0x80:
        count = length - 0x80
        if not 1 <= count <= 4 or len(data) < start + count:
            raise ValueError("an element without a definite length")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise ValueError("an element longer than what is there")
    return header[0], start, start + length


def string_of_der(tag: int, content: bytes) -> bytes:
    """A value's LDAP-specific encoding, for the types that names are made of."""
    if tag in _OCTETS:
        return content
    if tag == _BMP:
        return content.decode("utf-16-be").encode()
    if tag == _UNIVERSAL:
        return content.decode("utf-32-be").encode()
    if tag == _INTEGER and 0 < len(content) <= _MAX_INTEGER:
        return b"%d" % int.from_bytes(content, "big", signed=True)
    if tag == _BOOLEAN and len(content) == 1:
        return b"TRUE" if content[0] else b"FALSE"
    raise ValueError("a type without a string form")


def decode_oid(content: bytes) -> str:
    """An OBJECT IDENTIFIER's content octets as numbers and dots; raises ValueError."""
    if not content or len(content) > _MAX_INTEGER or content[-1] & 0x80:
        raise ValueError("not an OBJECT IDENTIFIER")
    arcs: list[int] = []
    arc = 0
    for octet in content:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


# --- writing ------------------------------------------------------------------------------

_SPECIAL: Final = re.compile(r'["+,;<>\\]')
# Controls need no escape (but NUL); with one, a name is one line wherever it is shown.
_ESCAPED: Final = re.compile(r'["+,;<>\\\0-\x1f\x7f\udc80-\udcff]')


def format_rdn(rdn: RDN) -> str:
    return "+".join([f"{pair.type}={escape_value(pair.value)}" for pair in rdn])


def escape_value(value: bytes) -> str:
    """A value as RFC 4514 section 2.4 writes it; octets that are no UTF-8 as hex pairs."""
    text = value.decode("utf-8", "surrogateescape")
    if _ESCAPED.search(text):
        text = _ESCAPED.sub(_escape, text)
    if text[:1] in (" ", "#"):
        text = "\\" + text
    if text[-1:] == " " and text != "\\ ":
        text = text[:-1] + "\\ "
    return text


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return f"\\{ord(character) & 0xFF:02X}" if not _SPECIAL.match(character) else "\\" + character


# --- normal forms -------------------------------------------------------------------------


def normalise_rdn(rdn: RDN, namer: Namer, *, undefined: bool = False) -> bytes:
    """``b"uid=alice"``; several pairs sorted and joined with ``+``.

    ``\\`` and ``+`` in values have a backslash before them, so that different RDNs have
    different normal forms.  Raises LDAPError INVALID_DN_SYNTAX, also for types that the
    schema lacks; with ``undefined`` these are compared octet by octet.
    """
    if len(rdn) == 1:
        return _normalise_pair(rdn[0], namer, undefined)
    pairs = sorted([_normalise_pair(pair, namer, undefined) for pair in rdn])
    types = {pair[: pair.index(b"=")] for pair in pairs}
    if len(types) != len(pairs) or not pairs:
        raise _wrong("an attribute type is twice in an RDN")
    return b"+".join(pairs)


def _normalise_pair(pair: AVA, namer: Namer, undefined: bool) -> bytes:
    type_, value = pair
    naming = namer.naming(type_)
    if naming is None:
        if not undefined:
            raise _wrong(f"attribute type {type_[:64]!r} is not defined")
        normal, prefix = value, type_.lower().encode() + b"="
    else:
        prefix, normalise = naming
        try:
            normal = normalise(value)
        except ValueError as error:
            raise _wrong(f"{prefix.decode()} {error}") from None
    if 0x5C in normal or 0x2B in normal:
        normal = normal.replace(b"\\", b"\\\\").replace(b"+", b"\\+")
    return prefix + normal


def normalise_dn(dn: DN, namer: Namer, *, undefined: bool = False) -> Key:
    """The RDNs' normal forms, leaf first; errors as of ``normalise_rdn``."""
    return tuple([normalise_rdn(rdn, namer, undefined=undefined) for rdn in dn.rdns])


def normalise_text(text: str, namer: Namer) -> Key:
    """``normalise_dn(parse_dn(text), namer)`` without the values in between."""
    if not text or not _plain(text):
        return normalise_dn(parse_dn(text), namer)
    key = []
    for part in text.split(","):
        type_, equals, value = part.partition("=")
        naming = namer.naming(type_)
        if naming is None or not equals:
            return normalise_dn(parse_dn(text), namer)
        prefix, normalise = naming
        try:
            normal = normalise(value.strip(" ").encode())
        except ValueError:
            return normalise_dn(parse_dn(text), namer)  # which says what is wrong
        if 0x5C in normal or 0x2B in normal:
            normal = normal.replace(b"\\", b"\\\\").replace(b"+", b"\\+")
        key.append(prefix + normal)
    return tuple(key)
