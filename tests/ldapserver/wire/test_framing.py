from __future__ import annotations

import pytest

from ldapserver.wire.framing import Framer, ProtocolViolation

from .pdus import ENCODED, KINDS

LONG = b"\x30\x82\x03\xe8" + bytes(1000)


def test_one_whole_message_is_not_copied() -> None:
    framer = Framer(1000)
    assert framer.feed(ENCODED[0])[0] is ENCODED[0]


def test_sixteen_at_once() -> None:
    framer = Framer(1000)
    assert framer.feed(ENCODED[0] * 16) == [ENCODED[0]] * 16
    assert framer.buffered == 0


@pytest.mark.parametrize("message", [*ENCODED, LONG], ids=[*KINDS, "long"])
def test_cut_anywhere(message: bytes) -> None:
    for cut in range(len(message) + 1):
        framer = Framer(2000)
        assert framer.feed(message[:cut]) + framer.feed(message[cut:]) == [message]


def test_octet_by_octet() -> None:
    framer = Framer(2000)
    stream = [*ENCODED, LONG, *ENCODED]
    found = [message for octet in b"".join(stream) for message in framer.feed(bytes((octet,)))]
    assert found == stream


def test_a_large_message_octet_by_octet_is_linear() -> None:
    message = b"\x30\x84\x00\x0f\x42\x40" + bytes(1_000_000)
    framer = Framer(1 << 20)
    feed = framer.feed
    found = [made for octet in message for made in feed(bytes((octet,)))]
    assert found == [message]


def test_thousands_joined() -> None:
    stream = b"".join(ENCODED) * 100
    assert Framer(1000).feed(stream) == list(ENCODED) * 100


def test_empty_input() -> None:
    framer = Framer(1000)
    assert framer.feed(b"") == []
    assert framer.feed(b"\x30") == []
    assert framer.feed(b"") == []
    assert framer.feed(b"\x00") == [b"\x30\x00"]


@pytest.mark.parametrize("length", ["82 0003", "84 00000003", "81 03"])
def test_a_length_need_not_be_the_shortest(length: str) -> None:
    message = bytes.fromhex("30" + length + "020101")
    assert Framer(100).feed(message) == [message]


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("04", "not an LDAP message"),
        ("16", "not an LDAP message"),
        ("30 80", "indefinite"),
        ("30 85", "four octets"),
        ("30 ff", "four octets"),
        ("30 84 7fffffff", "more than 1000 octets"),
        ("30 84 ffffffff", "more than 1000 octets"),
        ("30 82 03e5", "more than 1000 octets"),
    ],
)
def test_refused_when_announced(start: str, text: str) -> None:
    stream = bytes.fromhex(start)
    for cut in range(len(stream)):
        framer = Framer(1000)
        assert framer.feed(stream[:cut]) == []
        with pytest.raises(ProtocolViolation, match=text):
            framer.feed(stream[cut:])
        assert framer.buffered == 0


def test_the_limit_counts_the_header_too() -> None:
    message = b"\x30\x05\x02\x01\x02\x42\x00"
    assert Framer(7).feed(message) == [message]
    with pytest.raises(ProtocolViolation):
        Framer(6).feed(message)


def test_the_limit_can_be_raised() -> None:
    framer = Framer(500)
    assert framer.feed(ENCODED[0]) == [ENCODED[0]]
    framer.max_message = 2000
    assert framer.feed(LONG) == [LONG]


def test_what_came_before_a_violation_is_not_lost() -> None:
    framer = Framer(1000)
    with pytest.raises(ProtocolViolation) as caught:
        framer.feed(ENCODED[0] + ENCODED[1] + b"GET / HTTP/1.0\r\n")
    assert caught.value.complete == ENCODED[:2]
    with pytest.raises(ProtocolViolation, match="not an LDAP message") as again:
        framer.feed(ENCODED[0])
    assert again.value.complete == ()


def test_what_waits_is_counted() -> None:
    framer = Framer(1000)
    framer.feed(ENCODED[0] + b"\x30\x10\x02")
    assert framer.buffered == 3
