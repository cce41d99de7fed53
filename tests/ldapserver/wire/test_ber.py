from __future__ import annotations

import pytest

from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import ber
from ldapserver.wire.ber import MAX_INT, BadValue, BerError, Reader, header, read_boolean, read_integer


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 1023, 1024, 65535, 65536, 1 << 20])
def test_a_length_reads_back(size: int) -> None:
    data = ber.tlv(0x04, b"x" * size)
    assert header(data, 0, len(data)) == (0x04, len(data) - size, len(data))


@pytest.mark.parametrize(
    "text", ["04 03 616263", "04 8103 616263", "04 820003 616263", "04 8400000003 616263"]
)
def test_a_length_need_not_be_the_shortest(text: str) -> None:
    assert Reader(bytes.fromhex(text)).octets() == b"abc"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "04",
        "04 01",
        "04 02 61",
        "04 80 61 00 00",
        "04 81",
        "04 82 01",
        "04 82 00 02 61",
        "04 84 7fffffff 61",
        "04 84 ffffffff 61",
        "04 85 0000000001 61",
        "04 ff 01 61",
        "1f 01 61",
        "bf 81 01 01 61",
    ],
)
def test_a_header_that_is_refused(text: str) -> None:
    data = bytes.fromhex(text)
    with pytest.raises(BerError):
        header(data, 0, len(data))


def test_a_header_stays_in_what_contains_it() -> None:
    data = bytes.fromhex("04 03 616263 04 01 61")
    assert header(data, 0, 5) == (4, 2, 5)
    for end in range(5):
        with pytest.raises(BerError):
            header(data, 0, end)


@pytest.mark.parametrize(
    "value", [0, 1, 127, 128, 255, 256, 32767, 32768, 8388607, 8388608, MAX_INT, -1, -128, -129, -(2**31)]
)
def test_an_integer_reads_back(value: int) -> None:
    data = ber.integer(value)
    assert read_integer(data, 2, len(data), -(2**31), MAX_INT) == value


@pytest.mark.parametrize("contents", ["", "0001", "007f", "ff80", "ffff", "00000001"])
def test_an_integer_has_one_form(contents: str) -> None:
    data = bytes.fromhex(contents)
    with pytest.raises(BerError) as caught:
        read_integer(data, 0, len(data), -(2**31), MAX_INT)
    assert not isinstance(caught.value, BadValue)


@pytest.mark.parametrize("contents", ["ff", "80", "0080", "0100000000", "00" * 1_000_000, "7f" * 1_000_000])
def test_an_integer_has_bounds(contents: str) -> None:
    data = bytes.fromhex(contents)
    with pytest.raises(BadValue):
        read_integer(data, 0, len(data), 0, 127)


def test_booleans() -> None:
    assert read_boolean(b"\xff", 0, 1) is True
    assert read_boolean(b"\x00", 0, 1) is False
    for contents in (b"", b"\x01", b"\x7f", b"\xff\xff"):
        with pytest.raises(BerError):
            read_boolean(contents, 0, len(contents))


def test_text_is_strict_utf8() -> None:
    assert Reader(ber.text("Zoë")).text() == "Zoë"
    for raw in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        with pytest.raises(BadValue):
            Reader(ber.octets(raw)).text()
        with pytest.raises(BadValue):
            Reader(ber.octets(raw)).name()


def test_equal_names_are_one_object() -> None:
    assert ber.read_name(b"hostServer") is ber.read_name(b"hostServer")
    assert ber.read_name(b"x" * 1000) == "x" * 1000


def test_the_end_of_a_sequence() -> None:
    Reader(b"").finish_sequence((0x04,))
    Reader(bytes.fromhex("85 01 61 a6 00")).finish_sequence((0x04,))
    for text in ("85 02 61", "04 00", "85 01 61 04 00", "9f 22 01 61", "85 80 00 00"):
        with pytest.raises(BerError):
            Reader(bytes.fromhex(text)).finish_sequence((0x04,))


def test_refusing_makes_it_an_operations_error() -> None:
    with pytest.raises(LDAPError) as caught, ber.refusing("this"):
        ber.sequence_value(None)
    assert caught.value.code is ResultCode.PROTOCOL_ERROR
    assert caught.value.message == "this: value missing"


def test_an_element_has_an_end() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 32

    with pytest.raises(ValueError, match="4 GiB"):
        ber.tlv(4, Huge())
