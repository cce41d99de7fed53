from __future__ import annotations

from collections.abc import Callable

import pytest

from ldapserver import controls
from ldapserver.controls import PagedResults, SortKey
from ldapserver.messages import And, Attribute, Control, Entry, Equality, Not, Present
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import ber
from ldapserver.wire.encode import entry_tail, partial_attribute
from ldapserver.wire.filters import encode_filter


def refused(decode: Callable[[bytes | None], object], *values: str | None) -> None:
    for value in values:
        with pytest.raises(LDAPError) as caught:
            decode(None if value is None else bytes.fromhex(value))
        assert caught.value.code is ResultCode.PROTOCOL_ERROR


def test_paged_results() -> None:
    value = bytes.fromhex("30 08 02 01 64 04 03 616263")
    assert controls.decode_paged_results(value) == PagedResults(100, b"abc")
    assert controls.encode_paged_results(PagedResults(100, b"abc")) == value
    assert controls.decode_paged_results(bytes.fromhex("30 05 02 01 00 04 00")) == PagedResults(0, b"")


def test_paged_results_refused() -> None:
    decode = controls.decode_paged_results
    refused(decode, None, "", "30 00", "30 03 02 01 01", "30 05 02 01 ff 04 00", "30 05 02 01 01 04 00 00")
    refused(decode, "30 09 02 05 0100000000 04 00", "31 05 02 01 01 04 00", "30 07 02 01 01 04 00 04 00")


def test_assertion() -> None:
    filter = And((Equality("sn", b"a"), Not(Present("cn"))))
    assert controls.decode_assertion(controls.encode_assertion(filter)) == filter
    refused(controls.decode_assertion, None, "", "87 01 ff", "87 01 61 00", "30 03 87 01 61")


def test_an_assertions_depth_is_bounded() -> None:
    data = encode_filter(Present("cn"))
    for _ in range(10_000):
        data = ber.tlv(0xA2, data)
    refused(controls.decode_assertion, data.hex())
    with pytest.raises(LDAPError):
        controls.decode_assertion(encode_filter(Not(Present("cn"))), max_depth=1)


def test_read_entry_requests() -> None:
    assert controls.decode_read_request(b"\x30\x00") == ()
    value = controls.encode_read_request(("cn", "*"))
    assert value == bytes.fromhex("30 07 04 02 636e 04 01 2a")
    assert controls.decode_read_request(value) == ("cn", "*")
    refused(controls.decode_read_request, None, "", "30 02 02 00", "30 03 04 01 ff", "30 00 00")


def test_read_entry_responses() -> None:
    tail = entry_tail(b"cn=a", partial_attribute(b"cn", [b"a"]))
    control = controls.read_response(controls.PRE_READ, tail)
    assert (control.oid, control.critical) == ("1.3.6.1.1.13.1", False)
    assert controls.decode_read_response(control.value) == Entry("cn=a", (Attribute("cn", (b"a",)),))
    refused(controls.decode_read_response, None, "", "30 00", "64 00", "64 04 04 00 30 00 00")


def test_no_value() -> None:
    controls.require_no_value(Control(controls.MANAGE_DSA_IT, True, None))
    with pytest.raises(LDAPError) as caught:
        controls.require_no_value(Control(controls.MANAGE_DSA_IT, True, b""))
    assert caught.value.code is ResultCode.PROTOCOL_ERROR


def test_sort() -> None:
    keys = (SortKey("sn"), SortKey("cn", "2.5.13.3", True), SortKey("uid", None, True))
    assert controls.decode_sort_request(controls.encode_sort_request(keys)) == keys
    assert controls.encode_sort_response(ResultCode.SUCCESS) == bytes.fromhex("30 03 0a 01 00")
    refused(controls.decode_sort_request, None, "30 00", "30 02 30 00", "30 08 30 06 04 01 61 81 01 01")
    by_unknown = controls.encode_sort_response(ResultCode.NO_SUCH_ATTRIBUTE, "a")
    assert by_unknown == bytes.fromhex("30 06 0a 01 10 80 01 61")
