from __future__ import annotations

import pytest

from ldapserver.messages import (
    BindRequest,
    Control,
    DeleteRequest,
    Equality,
    Extensible,
    Message,
    SaslCredentials,
    SearchRequest,
    SimpleCredentials,
    UnbindRequest,
)
from ldapserver.results import ResultCode
from ldapserver.wire import ber, tags
from ldapserver.wire.client import encode_message
from ldapserver.wire.decode import MalformedRequest, decode_any, decode_message
from ldapserver.wire.framing import ProtocolViolation
from tests.properties.strategies import plain

from .pdus import CONTROLS, ENCODED, KINDS, LITERAL, MESSAGES, search


def message(op: str | bytes, rest: str = "", message_id: str = "02 01 07") -> bytes:
    """An LDAPMessage around an operation."""
    operation = bytes.fromhex(op) if isinstance(op, str) else op
    return ber.tlv(0x30, bytes.fromhex(message_id) + operation + bytes.fromhex(rest))


def malformed(data: bytes) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as caught:
        decode_message(data)
    assert caught.value.message_id == 7
    return caught.value


@pytest.mark.parametrize(("text", "expected"), LITERAL)
def test_by_hand(text: str, expected: Message) -> None:
    data = bytes.fromhex(text)
    assert plain(decode_message(data)) == plain(expected)
    assert encode_message(expected) == data


@pytest.mark.parametrize(("data", "expected"), list(zip(ENCODED, MESSAGES, strict=True)), ids=KINDS)
def test_every_kind(data: bytes, expected: Message) -> None:
    assert plain(decode_message(data)) == plain(expected)
    assert plain(decode_any(data)) == plain(expected)


def test_lengths_in_any_form() -> None:
    """Some clients write every length in four octets."""

    def padded(data: bytes, pos: int, end: int) -> bytes:
        out = b""
        while pos < end:
            tag, start, stop = ber.header(data, pos, end)
            contents = padded(data, start, stop) if tag & 0x20 else data[start:stop]
            out += bytes((tag, 0x84)) + len(contents).to_bytes(4, "big") + contents
            pos = stop
        return out

    for data, expected in zip(ENCODED, MESSAGES, strict=True):
        assert plain(decode_message(padded(data, 0, len(data)))) == plain(expected)


# --- interning ------------------------------------------------------------------------------


def test_equal_heads_and_selections_are_one_object() -> None:
    def decoded(number: int, value: bytes) -> SearchRequest:
        request = decode_message(encode_message(Message(number, search(Equality("mail", value)), ()))).request
        assert isinstance(request, SearchRequest)
        return request

    first, second = decoded(5, b"a"), decoded(70_000, b"b" * 200)
    assert first.head is second.head
    assert first.attributes is second.attributes
    general = decode_any(encode_message(Message(1, search(), ()))).request
    assert isinstance(general, SearchRequest)
    assert general.head is first.head


def test_long_heads_are_not_kept() -> None:
    data = encode_message(Message(1, search(base="o=" + "x" * 600, attributes=("y" * 600,)), ()))
    first, second = decode_message(data).request, decode_message(data).request
    assert isinstance(first, SearchRequest)
    assert isinstance(second, SearchRequest)
    assert first.head is not second.head
    assert first.attributes == second.attributes == ("y" * 600,)
    assert first.attributes is not second.attributes


# --- the envelope -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message_id",
    [
        "02 01 00",
        "02 01 ff",
        "02 04 80000000",
        "02 05 0080000000",
        "02 00",
        "02 02 0001",
        "04 01 01",
        "0a 01 01",
        "22 01 01",
        "02 02 01",
    ],
)
def test_message_ids_that_are_none(message_id: str) -> None:
    for op in ("42 00", encode_message(MESSAGES[0])[5:]):
        with pytest.raises(ProtocolViolation):
            decode_message(message(op, message_id=message_id))


@pytest.mark.parametrize("message_id", [1, 127, 128, 255, 256, 32767, 32768, 8388607, 8388608, 2**31 - 1])
def test_message_ids(message_id: int) -> None:
    for request in (search(), UnbindRequest()):
        assert decode_message(encode_message(Message(message_id, request, ()))).id == message_id


RESPONSE_TAGS = sorted(tags.RESULTS | {tags.SEARCH_ENTRY, tags.SEARCH_REFERENCE, tags.INTERMEDIATE_RESPONSE})


@pytest.mark.parametrize("tag", [*RESPONSE_TAGS, 0x62, 0x43, 0x4A | 0x20, 0x40, 0x57, 0x7F, 0x30, 0x00, 0xFF])
def test_what_is_no_request(tag: int) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(message(bytes((tag, 7)) + bytes.fromhex("0a 01 00 04 00 04 00")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "30 00",
        "30 03 02 01 01",
        "31 05 02 01 01 42 00",
        "10 05 02 01 01 42 00",
        "30 05 02 01 01 42 00 00",
        "30 06 02 01 01 42 00",
        "30 04 02 01 01 42",
        "30 05 02 01 01 42 01",
        "30 05 02 04 01 42 00",
        "30 80 02 01 01 42 00 00 00",
    ],
)
def test_envelopes_that_do_not_hold(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        decode_message(bytes.fromhex(text))


def test_the_operation_may_not_be_longer_than_its_message() -> None:
    data = bytearray(ENCODED[0])
    data[6] += 1
    with pytest.raises(ProtocolViolation):
        decode_message(bytes(data))


# --- extensibility: section 4 ------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["a5 03 020101", "a0 00 85 00", "85 02 6161 d0 00"])
def test_later_components_are_ignored(rest: str) -> None:
    assert decode_message(message("4a 01 61", rest)) == Message(7, DeleteRequest("a"), ())


@pytest.mark.parametrize(
    "rest", ["a0 00 a0 00", "42 00", "02 01 01", "85 02 61", "85 80 00 00", "65 00 a0 00"]
)
def test_components_that_are_known_are_not(rest: str) -> None:
    assert malformed(message("4a 01 61", rest)).structural


def test_later_components_inside() -> None:
    bind = decode_message(message("60 0b 02 01 03 04 00 80 00 8a 02 6161")).request
    assert isinstance(bind, BindRequest)
    again = ber.sequence(ber.integer(3), b"\4\0\x80\0\x80\0", tag=0x60)
    assert malformed(message(again)).structural


# --- contents -----------------------------------------------------------------------------------


HEAD = "04 01 61 0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00"
REST = "87 01 61 30 00"


@pytest.mark.parametrize(
    ("head", "structural"),
    [
        ("04 01 ff 0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00", False),
        ("04 01 61 0a 01 04 0a 01 00 02 01 00 02 01 00 01 01 00", False),
        ("04 01 61 0a 01 02 0a 01 04 02 01 00 02 01 00 01 01 00", False),
        ("04 01 61 0a 01 02 0a 01 00 02 01 ff 02 01 00 01 01 00", False),
        ("04 01 61 0a 01 02 0a 01 00 02 05 0100000000 02 01 00 01 01 00", False),
        ("04 01 61 0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 01", True),
        ("04 01 61 02 01 02 0a 01 00 02 01 00 02 01 00 01 01 00", True),
        ("24 01 61 0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00", True),
        ("04 01 61 0a 01 02 0a 01 00 02 01 00 02 02 0000 01 01 00", True),
        ("04 01 61 0a 01 02 0a 01 00 02 01 00 02 00 01 01 00", True),
        ("04 01 61 0a 01 02 0a 01 00 02 01 00 01 01 00", True),
    ],
)
def test_search_heads(head: str, structural: bool) -> None:
    assert decode_message(message(ber.tlv(0x63, bytes.fromhex(HEAD + REST))))
    error = malformed(message(ber.tlv(0x63, bytes.fromhex(head + REST))))
    assert (error.tag, error.response_tag) == (tags.SEARCH_REQUEST, tags.SEARCH_DONE)
    assert (error.structural, error.code) == (structural, ResultCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "rest", ["", "30 00", "87 01 61", "87 01 61 30 00 30 00", "87 01 61 31 00", "87 01 61 30 01"]
)
def test_search_rests(rest: str) -> None:
    assert malformed(message(ber.tlv(0x63, bytes.fromhex(HEAD + rest)))).structural


@pytest.mark.parametrize(
    ("op", "structural"),
    [
        ("60 05 02 01 03 04 00", True),
        ("60 07 02 01 00 04 00 80 00", False),
        ("60 08 02 02 0080 04 00 80 00", False),
        ("60 07 02 01 03 04 00 a0 00", True),
        ("60 07 02 01 03 04 00 83 00", True),
        ("60 07 02 01 03 04 00 04 00", True),
        ("60 08 02 01 03 04 01 ff 80 00", False),
        ("42 01 00", True),
        ("4a 01 ff", False),
        ("50 00", True),
        ("50 01 ff", False),
        ("50 05 0100000000", False),
        ("68 0c 04 01 61 30 07 30 05 04 01 62 31 00", False),
        ("68 0a 04 01 61 30 05 30 03 04 01 62", True),
        ("66 0f 04 01 61 30 0a 30 08 0a 01 04 30 03 04 01 62", False),
        ("66 0f 04 01 61 30 0a 30 08 0a 01 00 30 03 04 01 62", True),
        ("6c 09 04 01 61 04 01 62 01 01 01", True),
        ("6c 06 04 01 61 04 01 62", True),
        ("6c 0c 04 01 61 04 01 62 01 01 ff 80 01 ff", False),
        ("6e 08 04 01 61 30 03 04 01 62", True),
        ("6e 0b 04 01 61 30 06 04 01 62 02 01 00", True),
        ("6e 0e 04 01 61 30 09 04 01 62 04 01 63 04 01 64", True),
        ("77 00", True),
        ("77 03 80 01 ff", False),
        ("77 02 81 00", True),
    ],
)
def test_contents_that_are_refused(op: str, structural: bool) -> None:
    data = bytes.fromhex(op)
    data = data[:1] + ber.length(len(data) - 2) + data[2:]
    error = malformed(message(data))
    assert (error.tag, error.structural) == (data[0], structural)
    assert error.response_tag == tags.RESPONSES.get(data[0])
    assert error.code is ResultCode.PROTOCOL_ERROR
    assert error.text == str(error) != ""


def test_an_unknown_kind_of_authentication_has_its_own_code() -> None:
    """Section 4.2."""
    error = malformed(message("60 07 02 01 03 04 00 84 00"))
    assert error.code is ResultCode.AUTH_METHOD_NOT_SUPPORTED
    assert not error.structural


def test_an_explicit_default_is_taken() -> None:
    control = "a0 0b 30 09 04 04 312e3233 01 01 00"
    assert decode_message(message("4a 01 61", control)).controls[0].critical is False
    op = ber.tlv(0x63, bytes.fromhex(HEAD + "a9 09 82 01 61 83 01 62 84 01 00" + "30 00"))
    request = decode_message(message(op)).request
    assert isinstance(request, SearchRequest)
    assert request.filter == Extensible(None, "a", b"b", False)


@pytest.mark.parametrize(
    ("controls", "structural"),
    [
        ("a0 02 30 00", True),
        ("a0 05 30 03 04 01 ff", False),
        ("a0 08 30 06 04 01 31 01 01 01", True),
        ("a0 0a 30 08 04 01 31 04 00 01 01 ff", True),
        ("a0 02 31 00", True),
        ("a0 03 30 00 00", True),
        ("80 00 a0 00", True),
    ],
)
def test_controls(controls: str, structural: bool) -> None:
    for op in ("4a 01 61", ber.tlv(0x63, bytes.fromhex(HEAD + REST))):
        assert malformed(message(op, controls)).structural is structural


def test_a_short_search_has_controls_too() -> None:
    data = encode_message(Message(9, search(), CONTROLS))
    assert decode_message(data).controls == CONTROLS


def test_controls_have_later_components_too() -> None:
    decoded = decode_message(message("4a 01 61", "a0 08 30 06 04 01 31 02 01 00"))
    assert decoded.controls == (Control("1", False, None),)


def test_secrets_are_not_shown() -> None:
    for credentials in (SimpleCredentials(b"hunter2"), SaslCredentials("PLAIN", b"hunter2")):
        data = encode_message(Message(1, BindRequest(3, "cn=a", credentials), ()))
        assert b"hunter2" in data
        assert "hunter2" not in repr(decode_message(data))
