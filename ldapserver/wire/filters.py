"""The search filter on the wire (RFC 4511 section 4.5.1.7), both directions.

Here a filter is read and written, not judged: whether its attributes exist and its
values fit is the directory's to say.
"""

from __future__ import annotations

from typing import Final, assert_never

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
from ldapserver.wire import ber
from ldapserver.wire.ber import BadValue, BerError, Reader, cached_name, header, read_name
from ldapserver.wire.tags import (
    FILTER_AND,
    FILTER_APPROX,
    FILTER_EQUALITY,
    FILTER_EXTENSIBLE,
    FILTER_GREATER,
    FILTER_LESS,
    FILTER_NOT,
    FILTER_OR,
    FILTER_PRESENT,
    FILTER_SUBSTRINGS,
    MATCH_DN_ATTRIBUTES,
    MATCH_RULE,
    MATCH_TYPE,
    MATCH_VALUE,
    OCTET_STRING,
    SEQUENCE,
    SUBSTRING_ANY,
    SUBSTRING_FINAL,
    SUBSTRING_INITIAL,
)

MAX_DEPTH: Final = 200
"""Reading recurses once per level: no caller can ask for more than Python's stack bears."""

FILTERS: Final = frozenset(
    {FILTER_AND, FILTER_OR, FILTER_NOT, FILTER_EQUALITY, FILTER_SUBSTRINGS, FILTER_GREATER}
    | {FILTER_LESS, FILTER_PRESENT, FILTER_APPROX, FILTER_EXTENSIBLE}
)
"""Every alternative of the CHOICE."""

_MATCH_TAGS: Final = frozenset({MATCH_RULE, MATCH_TYPE, MATCH_VALUE, MATCH_DN_ATTRIBUTES})


# --- reading ---------------------------------------------------------------------------


def take_filter(reader: Reader, max_depth: int) -> Filter:
    """The reader's next element as a filter of at most ``max_depth`` levels."""
    result, reader.pos = read_filter(reader.data, reader.pos, reader.end, min(max_depth, MAX_DEPTH))
    return result


def read_filter(data: bytes, pos: int, end: int, depth: int) -> tuple[Filter, int]:
    """The filter at ``pos`` and where it stops; ``depth`` <= MAX_DEPTH levels are allowed."""
    try:
        # An equality of less than 128 octets: what most filters are made of.
        if data[pos] == FILTER_EQUALITY and depth > 0:
            value = pos + 4 + data[pos + 3]
            stop = value + 2 + data[value + 1]
            if (
                data[pos + 1] == stop - pos - 2 < 0x80
                and data[pos + 2] == data[value] == OCTET_STRING
                and stop <= end
            ):
                return Equality(cached_name(data[pos + 4 : value]), data[value + 2 : stop]), stop
    except IndexError:
        pass
    tag, start, stop = header(data, pos, end)
    if depth < 1:
        raise BadValue("filter nested too deeply")
    if tag == FILTER_EQUALITY:
        return Equality(*read_assertion(data, start, stop)), stop
    if tag == FILTER_AND:
        return And(_read_set(data, start, stop, depth)), stop
    if tag == FILTER_OR:
        return Or(_read_set(data, start, stop, depth)), stop
    if tag == FILTER_NOT:
        inner, inner_stop = read_filter(data, start, stop, depth - 1)
        if inner_stop != stop:
            raise BerError("octets after a negated filter")
        return Not(inner), stop
    return _read_item(tag, data, start, stop), stop


def _read_set(data: bytes, pos: int, end: int, depth: int) -> tuple[Filter, ...]:
    filters = []
    while pos < end:
        item, pos = read_filter(data, pos, end, depth - 1)
        filters.append(item)
    return tuple(filters)


def _read_item(tag: int, data: bytes, start: int, stop: int) -> Filter:
    if tag == FILTER_PRESENT:
        return Present(read_name(data[start:stop]))
    if tag == FILTER_SUBSTRINGS:
        return _read_substrings(Reader(data, start, stop))
    if tag == FILTER_GREATER:
        return GreaterOrEqual(*read_assertion(data, start, stop))
    if tag == FILTER_LESS:
        return LessOrEqual(*read_assertion(data, start, stop))
    if tag == FILTER_APPROX:
        return Approx(*read_assertion(data, start, stop))
    if tag == FILTER_EXTENSIBLE:
        return _read_extensible(Reader(data, start, stop))
    raise BerError(f"filter of unknown kind {tag:02X}")


def read_assertion(data: bytes, start: int, stop: int) -> tuple[str, bytes]:
    """An AttributeValueAssertion's contents."""
    tag, name, name_stop = header(data, start, stop)
    value_tag, value, value_stop = header(data, name_stop, stop)
    if tag != OCTET_STRING or value_tag != OCTET_STRING:
        raise BerError("assertion of other things than two strings")
    if value_stop != stop:
        Reader(data, value_stop, stop).finish_sequence((OCTET_STRING,))
    return read_name(data[name:name_stop]), data[value:value_stop]


def _read_substrings(reader: Reader) -> Substrings:
    attribute = reader.name()
    parts = reader.inside()
    reader.finish_sequence((OCTET_STRING, SEQUENCE))
    initial = _read_part(parts, SUBSTRING_INITIAL) if parts.peek() == SUBSTRING_INITIAL else None
    middle = []
    while parts.peek() == SUBSTRING_ANY:
        middle.append(_read_part(parts, SUBSTRING_ANY))
    final = _read_part(parts, SUBSTRING_FINAL) if parts.peek() == SUBSTRING_FINAL else None
    parts.finish()
    if initial is None and not middle and final is None:
        raise BadValue("substring filter without substrings")
    return Substrings(attribute, initial, tuple(middle), final)


def _read_part(parts: Reader, tag: int) -> bytes:
    part = parts.octets(tag)
    if not part:
        raise BadValue("empty substring")  # RFC 4517 section 3.3.30
    return part


def _read_extensible(reader: Reader) -> Extensible:
    rule = reader.optional_text(MATCH_RULE)
    attribute = reader.name(MATCH_TYPE) if reader.peek() == MATCH_TYPE else None
    value = reader.octets(MATCH_VALUE)
    dn_attributes = reader.optional_boolean(MATCH_DN_ATTRIBUTES)
    reader.finish_sequence(_MATCH_TAGS)
    if rule is None and attribute is None:
        raise BadValue("extensible filter with neither rule nor attribute")
    return Extensible(rule, attribute, value, dn_attributes)


# --- writing ---------------------------------------------------------------------------


def encode_filter(filter: Filter) -> bytes:
    match filter:
        case And(filters):
            return ber.sequence(*map(encode_filter, filters), tag=FILTER_AND)
        case Or(filters):
            return ber.sequence(*map(encode_filter, filters), tag=FILTER_OR)
        case Not(inner):
            return ber.tlv(FILTER_NOT, encode_filter(inner))
        case Equality(attribute, value):
            return encode_assertion(attribute, value, FILTER_EQUALITY)
        case GreaterOrEqual(attribute, value):
            return encode_assertion(attribute, value, FILTER_GREATER)
        case LessOrEqual(attribute, value):
            return encode_assertion(attribute, value, FILTER_LESS)
        case Approx(attribute, value):
            return encode_assertion(attribute, value, FILTER_APPROX)
        case Present(attribute):
            return ber.text(attribute, FILTER_PRESENT)
        case Substrings():
            return _encode_substrings(filter)
        case Extensible():
            return _encode_extensible(filter)
        case _:
            assert_never(filter)


def encode_assertion(attribute: str, value: bytes, tag: int = SEQUENCE) -> bytes:
    """An AttributeValueAssertion."""
    return ber.sequence(ber.text(attribute), ber.octets(value), tag=tag)


def _encode_substrings(filter: Substrings) -> bytes:
    parts = ber.sequence(
        ber.optional_octets(filter.initial, SUBSTRING_INITIAL),
        *(ber.octets(part, SUBSTRING_ANY) for part in filter.any),
        ber.optional_octets(filter.final, SUBSTRING_FINAL),
    )
    return ber.sequence(ber.text(filter.attribute), parts, tag=FILTER_SUBSTRINGS)


def _encode_extensible(filter: Extensible) -> bytes:
    return ber.sequence(
        ber.optional_text(filter.rule, MATCH_RULE),
        ber.optional_text(filter.attribute, MATCH_TYPE),
        ber.octets(filter.value, MATCH_VALUE),
        ber.default_false(filter.dn_attributes, MATCH_DN_ATTRIBUTES),
        tag=FILTER_EXTENSIBLE,
    )
