from __future__ import annotations

from typing import get_args

import pytest

from ldapserver.messages import (
    AbandonRequest,
    Attribute,
    Control,
    Entry,
    Request,
    Result,
    SearchRequest,
    UnbindRequest,
)
from ldapserver.results import ResultCode
from ldapserver.wire import ber, client, encode, tags
from ldapserver.wire.client import Intermediate, Reference, decode_response, decode_tail
from ldapserver.wire.encode import encode_result_tail, envelope

from .pdus import REQUESTS


@pytest.mark.parametrize(
    ("message_id", "expected"),
    [
        (0, "30 05 02 01 00 78 00"),
        (127, "30 05 02 01 7f 78 00"),
        (128, "30 06 02 02 0080 78 00"),
        (32768, "30 07 02 03 008000 78 00"),
        (8388608, "30 08 02 04 00800000 78 00"),
        (2**31 - 1, "30 08 02 04 7fffffff 78 00"),
    ],
)
def test_envelope(message_id: int, expected: str) -> None:
    assert envelope(message_id, b"\x78\x00") == bytes.fromhex(expected)


@pytest.mark.parametrize("size", [120, 124, 125, 127, 128, 252, 253, 1018, 1024, 65530, 70_000])
def test_envelopes_of_any_length(size: int) -> None:
    assert envelope(5, b"x" * size) == ber.sequence(ber.integer(5), b"x" * size)


def test_success() -> None:
    tail = encode_result_tail(tags.SEARCH_DONE, Result())
    assert tail == bytes.fromhex("65 07 0a 01 00 04 00 04 00")
    assert encode_result_tail(tags.SEARCH_DONE, Result()) is tail


def test_every_request_has_its_answer() -> None:
    for request in REQUESTS:
        tag = client.encode_request(request)[0]
        assert encode.response_tag(request) == tags.RESPONSES.get(tag)
    kinds = {type(request) for request in REQUESTS}
    assert kinds == set(get_args(Request))
    assert encode.response_tag(UnbindRequest()) is None
    assert encode.response_tag(AbandonRequest(1)) is None
    assert SearchRequest in kinds


def test_results_with_all_there_is() -> None:
    controls = (Control("1.2.3", False, b"v"), Control("1.2", True, None))
    result = Result(ResultCode.REFERRAL, "o=a", "Zoë", ("ldap://b/", "ldap://c/"), controls)
    for tag in tags.RESULTS:
        assert decode_tail(encode_result_tail(tag, result)).answer == result


def test_what_rides_on_a_result() -> None:
    bind = Result(ResultCode.SASL_BIND_IN_PROGRESS, sasl=b"challenge")
    assert decode_tail(encode_result_tail(tags.BIND_RESPONSE, bind)).answer == bind
    extended = Result(oid="1.2.3", value=b"")
    assert decode_tail(encode_result_tail(tags.EXTENDED_RESPONSE, extended)).answer == extended
    only_value = Result(value=b"dn:cn=admin")
    assert decode_tail(encode_result_tail(tags.EXTENDED_RESPONSE, only_value)).answer == only_value
    assert decode_tail(encode_result_tail(tags.ADD_RESPONSE, bind)).answer == Result(bind.code)


def test_notice_of_disconnection() -> None:
    response = decode_response(encode.notice_of_disconnection(ResultCode.PROTOCOL_ERROR, "no"))
    assert (response.id, response.tag) == (0, tags.EXTENDED_RESPONSE)
    expected = Result(ResultCode.PROTOCOL_ERROR, message="no", oid="1.3.6.1.4.1.1466.20036")
    assert response.answer == expected


def test_references() -> None:
    uris = ("ldap://a/", "ldap://b/")
    assert decode_tail(encode.reference_tail(uris)).answer == Reference(uris)


@pytest.mark.parametrize(("oid", "value"), [(None, None), ("1.2", None), (None, b""), ("1.2", b"v")])
def test_intermediate(oid: str | None, value: bytes | None) -> None:
    controls = (Control("1.2", False, None),)
    response = decode_tail(encode.encode_intermediate_tail(oid, value, controls))
    assert response.answer == Intermediate(oid, value)
    assert response.controls == controls


@pytest.mark.parametrize("size", [0, 1, 100, 116, 120, 127, 128, 1020, 1024, 70_000])
def test_attributes_and_entries_of_any_length(size: int) -> None:
    for values in ((b"v" * size,), (b"", b"w" * size)):
        attribute = encode.partial_attribute(b"mail", values)
        items = ber.sequence(*map(ber.octets, values), tag=0x31)
        assert attribute == ber.sequence(ber.octets(b"mail"), items)
        tail = encode.entry_tail(b"cn=" + b"x" * size, attribute)
        assert tail == ber.sequence(ber.octets(b"cn=" + b"x" * size), ber.tlv(0x30, attribute), tag=0x64)
        assert client.decode_entry(tail) == Entry("cn=" + "x" * size, (Attribute("mail", values),))
    name = b"n" * size
    assert encode.partial_attribute(name, []) == ber.sequence(ber.octets(name), b"\x31\x00")


def test_values_from_a_generator() -> None:
    values = (value for value in (b"a", b"b"))
    assert encode.partial_attribute(b"cn", values) == bytes.fromhex(
        "30 0c 04 02 636e 31 06 04 01 61 04 01 62"
    )
