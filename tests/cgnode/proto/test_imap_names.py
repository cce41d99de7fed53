"""Mailbox names, message sets, and strings as they are written."""

from __future__ import annotations

import pytest

from cgnode.proto.imap import encode
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.names import decode, decode_name
from cgnode.proto.imap.names import encode as encode_name
from cgnode.proto.imap.sets import MOST, STAR, NumberSet, Saved, format_numbers, parse_numbers


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"a b", "a b"),
        (b"R&-D", "R&D"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),  # RFC 3501 section 5.1.3
        (b"&2D3eAA-", "😀"),
        (b"", ""),
        (b"&AAo-", "\n"),
    ],
)
def test_names(wire: bytes, name: str) -> None:
    assert decode(wire) == name
    assert encode_name(name) == wire


def test_inbox_in_any_case() -> None:
    assert decode_name(b"iNbOx") == "INBOX"
    assert decode_name(b"inbox/x") == "inbox/x"


@pytest.mark.parametrize(
    "wire", [b"&2D0-", b"&3gA-", b"&U,BTF-", b"&Jjo!", b"&U,BTFw-&ZeVnLIqe-", b"\x7f", b"a\n"]
)
def test_names_that_are_none(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(wire)


def test_sets() -> None:
    assert parse_numbers(b"$") == Saved()
    numbers = parse_numbers(b"2,4:7,9,12:*")
    assert isinstance(numbers, NumberSet)
    assert str(numbers) == "2,4:7,9,12:*"
    # RFC 3501 section 9.
    assert numbers.bounds(15) == [(2, 2), (4, 7), (9, 9), (12, 15)]
    assert NumberSet(((STAR, 4), (5, 7))).bounds(10) == [(4, 10)]
    assert NumberSet(((559, STAR),)).bounds(3) == [(3, 559)]
    assert NumberSet(((1, MOST), (5, 5), (3, 9))).bounds(3) == [(1, MOST)]


@pytest.mark.parametrize(
    "text", [b"", b"0", b"1,", b":", b"4294967296", b"1:", b"99999999999", b"*:*:*", b"+1"]
)
def test_sets_that_are_none(text: bytes) -> None:
    with pytest.raises(Fault):
        parse_numbers(text)


def test_written_sets() -> None:
    assert format_numbers([]) == b""
    assert format_numbers([1, 2, 3, 5, 7, 8]) == b"1:3,5,7:8"


def test_strings() -> None:
    assert encode.string(b'a "b" \\') == b'"a \\"b\\" \\\\"'
    assert encode.string(b"\xc3\xa4") == b"{2}\r\n\xc3\xa4"
    assert encode.string(b"a\r\nb") == b"{4}\r\na\r\nb"
    assert encode.string(b"x" * 2000).startswith(b"{2000}\r\n")
    assert encode.nstring(None) == b"NIL"
    assert encode.nstring(b"") == b'""'
    assert encode.astring(b"INBOX") == b"INBOX"
    assert encode.astring(b"nil") == b'"nil"'
    assert encode.astring(b"") == b'""'
    assert encode.astring(b"a]b") == b"a]b"
    assert encode.astring(b"a*") == b'"a*"'
    assert encode.mailbox("ä b") == b'"&AOQ- b"'


def test_flags_and_dates() -> None:
    assert (
        encode.flags({"b", "\\Draft", "$A", "\\Answered", "\\Recent"})
        == b"(\\Answered \\Draft $A \\Recent b)"
    )
    assert encode.date_time(0) == b'" 1-Jan-1970 00:00:00 +0000"'
    assert encode.date_time(1721209465) == b'"17-Jul-2024 09:44:25 +0000"'
    assert encode.date_time(-5) == encode.date_time(0)
    assert encode.date_time(10**15) == b'"31-Dec-9999 23:59:59 +0000"'


def test_text_for_people_is_one_line_and_no_code() -> None:
    assert encode.text("a\r\nb ä") == b"a b"
    assert encode.text("") == b"-"
    assert encode.text("[ALERT] x") == b"ALERT] x"
