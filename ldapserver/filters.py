"""Search filters as text (RFC 4515): parsing, formatting, escaping.

What lives here: the string form and nothing else.  What a filter means belongs to the
planner, how it travels to ``wire/``.

Nesting is kept on an explicit stack and bounded, every character is looked at a fixed
number of times, and each refusal names the character (counted from 1) where it was met.
Beyond the RFC, what OpenLDAP's tools take is taken: no outer parentheses, spaces between
the parts, and the LDAPv2 escapes of one special character after a backslash.
"""

from __future__ import annotations

import re
from typing import assert_never

from attrs import frozen

from ldapserver.messages import (
    And,
    Approx,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapserver.results import LDAPError, ResultCode

# RFC 4512 section 2.5, and underscores, which other servers' schemas have.
_NAME = r"(?:[A-Za-z][A-Za-z0-9_-]*|[0-9]+(?:\.[0-9]+)*)"
_RULE = re.compile(_NAME)
_ATTRIBUTE = re.compile(_NAME + r"(?:;[A-Za-z0-9_-]+)*")

# What may stand up to the parenthesis that ends an item, and up to a substring's star.
_ITEM = re.compile(r"[^()\\]*(?:\\.[^()\\]*)*", re.DOTALL)
_PART = re.compile(r"[^*\\]*(?:\\.[^*\\]*)*", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{2})|([()*\\]))?")

_SPECIAL = frozenset("*()\\")


def parse_filter(text: str, depth: int = 100) -> Filter:
    """The filter that ``text`` spells; ``depth`` bounds how deep and, or, not may nest.

    Raises LDAPError PROTOCOL_ERROR with the reason and its place.
    """
    if not text.lstrip().startswith("("):
        return _parse(_Text(f"({text})", 1), depth)
    return _parse(_Text(text, 0), depth)


@frozen
class _Text:
    """The filter's text; ``shift`` characters at its beginning are ours, not the user's."""

    text: str
    shift: int

    def error(self, index: int, reason: str) -> LDAPError:
        place = max(index - self.shift, 0) + 1
        return LDAPError(ResultCode.PROTOCOL_ERROR, f"filter: {reason} at character {place}")

    def skip(self, index: int) -> int:
        text = self.text
        while index < len(text) and text[index].isspace():
            index += 1
        return index


@frozen
class _Open:
    """An and, or, not whose closing parenthesis is still to come."""

    operator: str
    index: int
    filters: list[Filter]


def _parse(source: _Text, depth: int) -> Filter:
    text = source.text
    opened: list[_Open] = []
    index = source.skip(0)
    while True:
        character = text[index : index + 1]
        if character == "(":
            start = source.skip(index + 1)
            operator = text[start : start + 1]
            if operator and operator in "&|!":
                if len(opened) >= depth:
                    raise source.error(index, f"nested deeper than {depth}")
                opened.append(_Open(operator, start, []))
                index = source.skip(start + 1)
                continue
            complete, index = _item(source, start)
        elif character == ")" and opened:
            complete = _close(source, opened.pop())
            index += 1
        else:
            raise source.error(index, "'(' or ')' expected" if opened else "'(' expected")
        index = source.skip(index)
        if not opened:
            break
        opened[-1].filters.append(complete)
    if index != len(text):
        raise source.error(index, "nothing more expected")
    return complete


def _close(source: _Text, opened: _Open) -> Filter:
    if opened.operator == "&":
        return And(tuple(opened.filters))
    if opened.operator == "|":
        return Or(tuple(opened.filters))
    if len(opened.filters) != 1:
        raise source.error(opened.index, "'!' takes one filter")
    return Not(opened.filters[0])


def _item(source: _Text, start: int) -> tuple[Filter, int]:
    """The comparison that begins at ``start``, and the place after its parenthesis."""
    text = source.text
    scanned = _ITEM.match(text, start)
    assert scanned is not None  # the pattern matches the empty string
    end = scanned.end()
    stop = text[end : end + 1]
    if stop == "(" and end > start:
        raise source.error(end, r"'(' in a value is written \28, here")
    if stop != ")":
        raise source.error(end, "')' expected" if end > start else "'attribute=value' expected")
    equals = text.find("=", start, end)
    if equals < 0:
        raise source.error(start, "'attribute=value' expected")
    left, value = text[start:equals], equals + 1
    match left[-1:]:
        case "~":
            return Approx(_attribute(source, start, left[:-1]), _value(source, value, end)), end + 1
        case ">":
            return GreaterOrEqual(_attribute(source, start, left[:-1]), _value(source, value, end)), end + 1
        case "<":
            return LessOrEqual(_attribute(source, start, left[:-1]), _value(source, value, end)), end + 1
        case ":":
            return _extensible(source, start, left[:-1], _value(source, value, end)), end + 1
        case _:
            return _equality(source, _attribute(source, start, left), value, end), end + 1


def _attribute(source: _Text, index: int, text: str) -> str:
    text = text.strip()
    if _ATTRIBUTE.fullmatch(text) is None:
        raise source.error(index, "attribute description expected")
    return text


def _extensible(source: _Text, index: int, left: str, value: bytes) -> Filter:
    """``attr [":dn"] [":" rule]`` or ``[":dn"] ":" rule``: RFC 4515 section 3."""
    first, *rest = left.strip().split(":")
    attribute = _attribute(source, index, first) if first else None
    dn_attributes = bool(rest) and rest[0].lower() == "dn"
    if dn_attributes:
        rest = rest[1:]
    rule = rest[0] if rest else None
    if len(rest) > 1 or (rule is not None and _RULE.fullmatch(rule) is None):
        raise source.error(index, "matching rule expected")
    if attribute is None and rule is None:
        raise source.error(index, "attribute description or matching rule expected")
    return Extensible(rule, attribute, value, dn_attributes)


def _equality(source: _Text, attribute: str, start: int, end: int) -> Filter:
    """Equality, presence or substrings: the stars in the value decide."""
    text = source.text
    if text.find("*", start, end) < 0:
        return Equality(attribute, _value(source, start, end))
    parts: list[bytes] = []
    while start <= end:
        scanned = _PART.match(text, start, end)
        assert scanned is not None  # the pattern matches the empty string
        parts.append(_value(source, start, scanned.end()))
        start = scanned.end() + 1
    if len(parts) == 1:  # every star was escaped
        return Equality(attribute, parts[0])
    initial, *between, final = parts
    anywhere = tuple(part for part in between if part)
    if not (initial or anywhere or final):
        return Present(attribute)
    return Substrings(attribute, initial or None, anywhere, final or None)


def _value(source: _Text, start: int, end: int) -> bytes:
    """The assertion value of ``text[start:end]``, its escapes undone."""
    text = source.text
    pieces: list[bytes] = []
    last = start
    for escape in _ESCAPE.finditer(text, start, end):
        pieces.append(_literal(source, last, escape.start()))
        if escape[1]:
            pieces.append(bytes.fromhex(escape[1]))
        elif escape[2]:
            pieces.append(escape[2].encode())
        else:
            raise source.error(escape.start(), "two hexadecimal digits expected after the backslash")
        last = escape.end()
    pieces.append(_literal(source, last, end))
    return b"".join(pieces)


def _literal(source: _Text, start: int, end: int) -> bytes:
    star = source.text.find("*", start, end)
    if star >= 0:
        raise source.error(star, r"'*' in a value is written \2a, here")
    try:
        return source.text[start:end].encode()
    except UnicodeEncodeError as error:
        raise source.error(start + error.start, "no UTF-8") from None


def escape(value: bytes) -> str:
    r"""``value`` for use inside a filter's text: what is special, unprintable or not
    UTF-8 becomes ``\XX``."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        # Latin-1 gives each byte a character of its own; those beyond ASCII are escaped.
        return "".join(
            c if c.isascii() and c.isprintable() and c not in _SPECIAL else f"\\{ord(c):02x}"
            for c in value.decode("latin-1")
        )
    if text.isprintable() and _SPECIAL.isdisjoint(text):
        return text
    return "".join(c if c.isprintable() and c not in _SPECIAL else _hex(c) for c in text)


def _hex(character: str) -> str:
    return "".join(f"\\{byte:02x}" for byte in character.encode())


def format_filter(filter: Filter) -> str:
    """``filter`` as text, fit for a log line.

    ``parse_filter`` gives the same filter back, unless an attribute or rule is none by
    its syntax (what a client sent need not be): that is escaped like a value.
    """
    written: list[str] = []
    pending: list[Filter | str] = [filter]
    while pending:
        match pending.pop():
            case str() as text:
                written.append(text)
            case And(filters):
                written.append("(&")
                pending += [")", *reversed(filters)]
            case Or(filters):
                written.append("(|")
                pending += [")", *reversed(filters)]
            case Not(inner):
                written.append("(!")
                pending += [")", inner]
            case item:
                written.append(f"({_format_item(item)})")
    return "".join(written)


_Item = Equality | Substrings | GreaterOrEqual | LessOrEqual | Present | Approx | Extensible


def _format_item(item: _Item) -> str:
    match item:
        case Equality(attribute, value):
            return f"{_format_name(attribute)}={escape(value)}"
        case Substrings(attribute, initial, anywhere, final):
            parts = (initial or b"", *anywhere, final or b"")
            return f"{_format_name(attribute)}={'*'.join(map(escape, parts))}"
        case GreaterOrEqual(attribute, value):
            return f"{_format_name(attribute)}>={escape(value)}"
        case LessOrEqual(attribute, value):
            return f"{_format_name(attribute)}<={escape(value)}"
        case Present(attribute):
            return f"{_format_name(attribute)}=*"
        case Approx(attribute, value):
            return f"{_format_name(attribute)}~={escape(value)}"
        case Extensible(rule, attribute, value, dn_attributes):
            left = _format_name(attribute or "") + (":dn" if dn_attributes else "")
            return f"{left}{':' + _format_name(rule) if rule else ''}:={escape(value)}"
        case _:
            assert_never(item)


def _format_name(name: str) -> str:
    return name if _ATTRIBUTE.fullmatch(name) else escape(name.encode())
