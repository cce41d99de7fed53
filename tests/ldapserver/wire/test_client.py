from __future__ import annotations

import contextlib
import itertools

import pytest

from ldapserver.messages import Entry, Result
from ldapserver.results import ResultCode
from ldapserver.wire.client import Response, decode_entry, decode_response, decode_tail
from ldapserver.wire.encode import encode_result_tail, entry_tail, envelope
from ldapserver.wire.framing import ProtocolViolation

from .pdus import ENCODED, KINDS


def test_responses_by_hand() -> None:
    data = bytes.fromhex("30 0c 02 01 05 65 07 0a 01 20 04 00 04 00")
    assert decode_response(data) == Response(5, 0x65, Result(ResultCode.NO_SUCH_OBJECT), ())
    data = bytes.fromhex("30 0d 02 01 05 64 08 04 03 613d62 30 01 00")
    with pytest.raises(ProtocolViolation):
        decode_response(data)
    assert decode_entry(bytes.fromhex("64 07 04 03 613d62 30 00")) == Entry("a=b", ())


def test_a_code_that_is_unknown() -> None:
    result = decode_tail(bytes.fromhex("65 0a 0a 02 1001 04 00 04 02 6869")).answer
    assert result == Result(ResultCode.OTHER, message="result code 4097: hi")


@pytest.mark.parametrize("data", ENCODED, ids=KINDS)
def test_requests_are_not_responses(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_response(data)


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "65",
        "65 00",
        "65 07 0a 01 00 04 00 04 00 00",
        "65 07 0a 01 ff 04 00 04 00",
        "65 07 02 01 00 04 00 04 00",
        "65 08 0a 01 00 04 01 ff 04 00",
        "65 09 0a 01 00 04 00 04 00 a3 00",
        "65 0b 0a 01 00 04 00 04 00 a3 02 02 00",
        "65 09 0a 01 00 04 00 04 00 8a 00",
        "64 05 04 01 61 31 00",
        "64 05 04 01 ff 30 00",
        "73 00",
        "73 03 04 01 ff",
        "79 04 81 00 80 00",
        "7a 00",
        "30 00",
    ],
)
def test_tails_that_are_refused(tail: str) -> None:
    with pytest.raises(ProtocolViolation):
        decode_tail(bytes.fromhex(tail))


def test_an_entry_is_asked_for() -> None:
    with pytest.raises(ProtocolViolation, match="not a search result entry"):
        decode_entry(encode_result_tail(0x65, Result()))


def test_every_octet_changed() -> None:
    attribute = bytes.fromhex("30 0c 04 02 636e 31 06 04 01 61 04 01 62")
    results = Result(ResultCode.REFERRAL, "o=a", "b", ("ldap://c/",), (), b"sasl", "1.2", b"v")
    tails = [entry_tail(b"cn=a", attribute), *(encode_result_tail(tag, results) for tag in (0x61, 0x78))]
    tails.append(bytes.fromhex("79 06 80 01 61 81 01 62"))
    for tail in tails:
        data = envelope(77, tail)
        assert decode_response(data).id == 77
        for position, octet in itertools.product(range(len(data)), range(256)):
            with contextlib.suppress(ProtocolViolation):
                decode_response(data[:position] + bytes((octet,)) + data[position + 1 :])
