"""Searching: what a key matches, and how little it asks for."""

from __future__ import annotations

import datetime

import pytest
from attrs import field, frozen

from cgnode.proto.imap import search as s
from cgnode.proto.imap.commands import Search
from cgnode.proto.imap.fetching import Needs
from cgnode.proto.imap.matching import decoded, matches, needs
from cgnode.proto.imap.mime import Part
from cgnode.proto.imap.parse import parse, parse_head
from cgnode.proto.imap.view import View

NOON = 1_706_788_800  # 2024-02-01 12:00:00 UTC

MESSAGE = (
    b"Date: Wed, 31 Jan 2024 23:59:59 -1200\r\n"
    b"From: =?utf-8?q?J=C3=BCrgen?= =?utf-8?b?IE3DvGxsZXI=?= <j@example.com>\r\n"
    b"Subject: A very long\r\n subject\r\nX-Empty:\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=FC=DFe aus K=F6ln, quo=\r\nted\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVu\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\ncGljdHVyZQ==\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\ninner\r\n--b--\r\n"
)


@frozen
class Candidate:
    uid: int = 5
    flags: frozenset[str] = frozenset(("\\Seen", "$Forwarded"))
    date: int = NOON
    size: int = 100
    modseq: int | None = 7
    asked: list[Needs] = field(factory=list)

    def part(self, needs: Needs) -> Part:
        self.asked.append(needs)
        return Part(MESSAGE)


def key_of(text: str) -> s.Key:
    line = b"a SEARCH " + text.encode()
    command = parse(parse_head(line), line, ())
    assert isinstance(command, Search)
    return View("x", False, (3, 5, 8), (5,), 1).key(command.key)


@pytest.mark.parametrize(
    "text",
    [
        "ALL",
        "SEEN",
        "NOT DELETED",
        "OR DELETED SEEN",
        "KEYWORD $forwarded",
        "2",
        "UID 5",
        "RECENT",
        "2:* UID 4:6",
        "LARGER 99 SMALLER 101",
        "MODSEQ 7",
        "ON 1-Feb-2024",
        "SINCE 1-Feb-2024",
        "BEFORE 2-Feb-2024",
        "SENTON 31-Jan-2024",
        "OLDER 100",
        "YOUNGER 101",
        'FROM "jürgen müller"',
        "FROM J@EXAMPLE",
        'SUBJECT "long subject"',
        'HEADER X-Empty ""',
        'BODY "Grüße aus"',
        "BODY quoted",
        "BODY hidden",
        "BODY inner",
        "BODY within",
        'TEXT "KÖLN"',
        'TEXT "very long subject"',
        'TEXT "müller"',
    ],
)
def test_what_matches_and_its_contrary(text: str) -> None:
    assert matches(key_of(text), Candidate(), NOON + 100)
    assert not matches(s.Not(key_of(text)), Candidate(), NOON + 100)


@pytest.mark.parametrize(
    "text",
    [
        "KEYWORD $For",
        "LARGER 100",
        "SMALLER 100",
        "MODSEQ 8",
        "OLDER 101",
        "YOUNGER 99",
        "BEFORE 1-Feb-2024",
        "SENTSINCE 1-Feb-2024",
        "CC x",
        'HEADER X-None ""',
        "BODY picture",
        "BODY long",
        "BODY Gr=FC",
        "TEXT nowhere",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not matches(key_of(text), Candidate(), NOON + 100)


def test_what_is_cheap_is_asked_first() -> None:
    candidate = Candidate()
    assert not matches(key_of("BODY x FROM y DELETED"), candidate, NOON)
    assert matches(key_of("OR BODY x SEEN"), candidate, NOON)
    assert candidate.asked == []
    assert not matches(key_of("BODY x FROM y"), candidate, NOON)
    assert candidate.asked == [Needs.HEADER]
    assert needs(key_of("SEEN (1 OLDER 5)")) is Needs.NOTHING
    assert needs(key_of("OR SEEN NOT SENTON 1-Jan-2024")) is Needs.HEADER
    assert needs(key_of("FROM x TEXT y")) is Needs.WHOLE


@pytest.mark.parametrize("date", [b"", b"nonsense", b"Wed, 99 Foo 2024", b"1 Jan 99999 00:00", b"\xff" * 300])
def test_dates_that_are_none(date: bytes) -> None:
    class Odd(Candidate):
        def part(self, needs: Needs) -> Part:
            return Part(b"Date: " + date + b"\r\n\r\n")

    assert not matches(s.Sent(s.When.SINCE, datetime.date(1, 1, 1)), Odd(), NOON)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"\xc3\xa4 raw", "ä raw"),
        (b"=?UTF-8?Q?a_b=C3=A4?= x", "a bä x"),
        (b"=?iso-8859-1*de?q?=E4?= =?iso-8859-1?q?=F6?=", "äö"),
        (b"=?utf-8?b?w6Q?=", "ä"),
        (b"=?koi8-r?b?wdc=?=", "ав"),
        (b"=?nosuch?q?=E4?=", "ä"),
        (b"=?punycode?q?x-a?=", "x-a"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?b?!?=", ""),
        (b"=?utf-8?b?A?=", "A"),
    ],
)
def test_encoded_words(value: bytes, text: str) -> None:
    assert decoded(value) == text
