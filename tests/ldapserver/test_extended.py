from __future__ import annotations

import pytest

from ldapserver import extended
from ldapserver.extended import PasswordModify
from ldapserver.messages import (
    BulkModify,
    BulkReport,
    BulkRequest,
    Change,
    Equality,
    ExtendedRequest,
    ModifyOp,
    Not,
    Present,
    Rehost,
    Restore,
    Selection,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import ber
from ldapserver.wire.filters import encode_filter


def test_the_arc_is_a_uuids() -> None:
    start, _, number = extended.CGNODE_ARC.rpartition(".")
    assert start == "2.25"
    assert int(number) >> 76 & 0xF == 4  # version
    assert int(number) >> 62 & 0x3 == 2  # variant
    assert len(extended.BULK_OPERATIONS) == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, PasswordModify()),
        ("30 00", PasswordModify()),
        ("30 09 80 01 61 81 01 62 82 01 63", PasswordModify("a", b"b", b"c")),
        ("30 03 82 01 63", PasswordModify(new=b"c")),
        ("30 02 82 00", PasswordModify(new=b"")),
        ("30 05 82 01 63 85 00", PasswordModify(new=b"c")),
    ],
)
def test_password_modify(value: str | None, expected: PasswordModify) -> None:
    assert extended.decode_password_modify(None if value is None else bytes.fromhex(value)) == expected
    assert extended.decode_password_modify(extended.encode_password_modify(expected)) == expected


@pytest.mark.parametrize(
    "value", ["", "30", "30 01 00", "04 00", "30 03 80 01 ff", "30 04 82 00 81 00", "30 00 00"]
)
def test_password_modify_refused(value: str) -> None:
    with pytest.raises(LDAPError) as caught:
        extended.decode_password_modify(bytes.fromhex(value))
    assert caught.value.code is ResultCode.PROTOCOL_ERROR


def test_passwords_are_not_shown() -> None:
    assert "hunter2" not in repr(PasswordModify("a", b"hunter2", b"hunter2"))


def test_generated_passwords() -> None:
    value = extended.encode_generated_password(b"abc")
    assert value == bytes.fromhex("30 05 80 03 616263")
    assert extended.decode_generated_password(value) == b"abc"
    assert extended.decode_generated_password(b"\x30\x00") is None
    assert extended.decode_generated_password(None) is None


def test_cancel() -> None:
    assert extended.decode_cancel(bytes.fromhex("30 03 02 01 05")) == 5
    assert extended.encode_cancel(300) == bytes.fromhex("30 04 02 02 012c")
    for value in (None, b"", b"\x30\x00", b"\x30\x03\x02\x01\xff"):
        with pytest.raises(LDAPError):
            extended.decode_cancel(value)


SOME = Selection("cn=example.com", Equality("sn", b"a"), ("alice@example.com", "uid=bob,cn=example.com"))
CHANGES = (Change(ModifyOp.REPLACE, "description", (b"x",)), Change(ModifyOp.DELETE, "sn", ()))

BULK: list[BulkRequest] = [
    Rehost("be3", "be5"),
    Rehost("be3", "be5", SOME, dry_run=True),
    Restore("be3"),
    Restore("be3", Selection(accounts=()), dry_run=True),
    BulkModify(Selection(), CHANGES),
    BulkModify(SOME, (), dry_run=True),
]


@pytest.mark.parametrize("request_", BULK)
def test_bulk_requests(request_: BulkRequest) -> None:
    encoded = extended.encode_bulk_request(request_)
    assert encoded.oid in extended.BULK_OPERATIONS
    assert extended.decode_bulk_request(encoded) == request_


def test_a_rehost_by_hand() -> None:
    value = bytes.fromhex("30 17 04 01 61 04 01 62 30 0c 04 00 a0 03 87 01 63 a1 03 04 01 64 01 01 ff")
    expected = Rehost("a", "b", Selection("", Present("c"), ("d",)), True)
    assert extended.decode_bulk_request(ExtendedRequest(extended.REHOST, value)) == expected
    assert extended.encode_bulk_request(expected).value == value


@pytest.mark.parametrize("request_", BULK)
def test_damaged_bulk_requests(request_: BulkRequest) -> None:
    encoded = extended.encode_bulk_request(request_)
    assert encoded.value is not None
    for end in range(len(encoded.value)):
        with pytest.raises(LDAPError) as caught:
            extended.decode_bulk_request(ExtendedRequest(encoded.oid, encoded.value[:end]))
        assert caught.value.code is ResultCode.PROTOCOL_ERROR
    for value in (None, encoded.value + b"\0"):
        with pytest.raises(LDAPError):
            extended.decode_bulk_request(ExtendedRequest(encoded.oid, value))


def test_bulk_requests_that_are_none() -> None:
    with pytest.raises(LDAPError):
        extended.decode_bulk_request(ExtendedRequest("1.2.3", b"\x30\x00"))
    deep = encode_filter(Present("a"))
    for _ in range(10_000):
        deep = ber.tlv(0xA2, deep)
    selection = ber.sequence(ber.text(""), ber.tlv(0xA0, deep))
    with pytest.raises(LDAPError):
        extended.decode_bulk_request(
            ExtendedRequest(extended.RESTORE, ber.sequence(ber.text("a"), selection)), 10**6
        )
    shallow = extended.encode_bulk_request(Restore("a", Selection(filter=Not(Present("a")))))
    with pytest.raises(LDAPError):
        extended.decode_bulk_request(shallow, max_depth=1)


def test_bulk_reports() -> None:
    report = BulkReport(62_500, 300, "20250101000000.000000Z#000000#000#000000", False)
    assert extended.decode_bulk_report(extended.encode_bulk_report(report)) == report
    empty = BulkReport(0, 0, "", True)
    assert extended.encode_bulk_report(empty) == bytes.fromhex("30 0b 02 01 00 02 01 00 04 00 01 01 ff")
    for value in (None, b"", b"\x30\x00", b"\x30\x09\x02\x01\xff\x02\x01\x00\x04\x00"):
        with pytest.raises(LDAPError):
            extended.decode_bulk_report(value)
