from __future__ import annotations

import pytest

from ldapserver.messages import And, Equality, Filter, Message, Not, Or, Present, SearchRequest, Substrings
from ldapserver.wire import ber
from ldapserver.wire.ber import BadValue, BerError, Reader
from ldapserver.wire.client import encode_message
from ldapserver.wire.decode import MalformedRequest, decode_message
from ldapserver.wire.filters import MAX_DEPTH, encode_filter, take_filter

from .pdus import FILTERS, search


def read(data: bytes, max_depth: int = 100) -> Filter:
    reader = Reader(data)
    filter = take_filter(reader, max_depth)
    reader.finish()
    return filter


@pytest.mark.parametrize("filter", FILTERS)
def test_every_kind(filter: Filter) -> None:
    assert read(encode_filter(filter)) == filter


@pytest.mark.parametrize("size", range(100, 140))
def test_an_equality_around_the_long_form(size: int) -> None:
    for filter in (
        Equality("mail", b"v" * size),
        Equality("m" * size, b"v"),
        Equality("m" * 60, b"v" * (size - 60)),
    ):
        assert read(encode_filter(filter)) == filter
        assert read(encode_filter(Not(filter))) == Not(filter)


@pytest.mark.parametrize(
    "text",
    [
        "a3 06 04 01 61 04 01",
        "a3 06 04 01 61 04 02 62",
        "a3 05 04 01 61 04 01 62",
        "a3 07 04 01 61 04 01 62",
        "a3 03 04 01 61",
        "a3 06 0c 01 61 04 01 62",
        "a3 06 24 01 61 04 01 62",
        "a3 09 04 01 61 04 01 62 04 01 63",
        "83 06 04 01 61 04 01 62",
        "a7 01 61",
        "aa 00",
        "80 00",
        "ff 00",
        "30 00",
        "a2 00",
        "a2 06 87 01 61 87 01 61",
        "a0 02 04 00",
        "a0 03 87 02 61",
        "a4 08 04 01 61 30 03 83 01 62",
        "a4 0b 04 01 61 30 06 82 01 62 81 01 63",
        "a4 0b 04 01 61 30 06 81 01 62 80 01 63",
        "a4 0b 04 01 61 30 06 80 01 62 80 01 63",
        "a4 0b 04 01 61 30 06 82 01 62 82 01 63",
        "a9 03 82 01 61",
        "a9 06 83 01 61 81 01 62",
        "a9 09 82 01 61 83 01 62 84 01 01",
    ],
)
def test_structure(text: str) -> None:
    with pytest.raises(BerError) as caught:
        read(bytes.fromhex(text))
    assert not isinstance(caught.value, BadValue)


@pytest.mark.parametrize(
    "text",
    [
        "87 01 ff",
        "a3 06 04 01 ff 04 01 62",
        "a4 05 04 01 61 30 00",
        "a4 07 04 01 61 30 02 80 00",
        "a4 07 04 01 61 30 02 81 00",
        "a9 03 83 01 61",
    ],
)
def test_values(text: str) -> None:
    with pytest.raises(BadValue):
        read(bytes.fromhex(text))


def test_later_components_are_ignored() -> None:
    assert read(bytes.fromhex("a3 08 04 01 61 04 01 62 85 00")) == Equality("a", b"b")


def nested(levels: int, outer: int) -> bytes:
    """``levels`` filters around each other."""
    data = encode_filter(Present("a"))
    for _ in range(levels - 1):
        data = ber.tlv(outer, data)
    return data


@pytest.mark.parametrize("outer", [0xA0, 0xA1, 0xA2])
def test_depth(outer: int) -> None:
    assert read(nested(100, outer))
    assert read(nested(3, outer), 3)
    for levels, allowed in ((101, 100), (4, 3), (10_000, 100), (10_000, 10**9), (MAX_DEPTH + 1, 10**9)):
        with pytest.raises(BadValue, match="nested"):
            read(nested(levels, outer), allowed)
    assert read(nested(MAX_DEPTH, outer), 10**9)


def test_depth_bounds_what_has_an_equality_at_the_end() -> None:
    for filter in (Equality("a", b"b"), And((Equality("a", b"b"),))):
        data = encode_filter(Not(filter))
        depth = 2 if isinstance(filter, Equality) else 3
        assert read(data, depth) == Not(filter)
        with pytest.raises(BadValue):
            read(data, depth - 1)


def test_depth_in_a_message() -> None:
    head = encode_message(Message(7, search(Present("a")), ()))
    assert decode_message(head)
    op = head[7:].replace(encode_filter(Present("a")), nested(10_000, 0xA2))
    data = ber.sequence(b"\x02\x01\x07", ber.tlv(0x63, op))
    with pytest.raises(MalformedRequest, match="nested") as caught:
        decode_message(data)
    assert not caught.value.structural


def test_many_terms() -> None:
    filter = Or(tuple(Equality("mail", b"%d@example.com" % number) for number in range(10_000)))
    request = decode_message(encode_message(Message(1, search(filter), ()))).request
    assert isinstance(request, SearchRequest)
    assert request.filter == filter


def test_many_substrings() -> None:
    filter = Substrings("cn", b"a", (b"b",) * 1000, b"c")
    assert read(encode_filter(filter)) == filter
