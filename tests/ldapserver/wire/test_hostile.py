"""What a server's face must survive, as far as octets go: for any input there is a message,
a ProtocolViolation or a MalformedRequest, and soon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from ldapserver.messages import AbandonRequest, DeleteRequest, Message
from ldapserver.wire import ber
from ldapserver.wire.client import encode_message
from ldapserver.wire.decode import MalformedRequest, decode_any, decode_message
from ldapserver.wire.framing import Framer, ProtocolViolation
from tests.properties.strategies import plain

from .pdus import ENCODED, KINDS


def outcome(data: bytes, decode: Callable[[bytes], Message] = decode_message) -> object:
    """The message, or what is said against it."""
    try:
        return plain(decode(data))
    except ProtocolViolation as violation:
        return str(violation)
    except MalformedRequest as malformed:
        return malformed.message_id, malformed.tag, malformed.text, malformed.structural


def agreed(data: bytes) -> None:
    """The short cut for searches says what the general way says."""
    assert outcome(data) == outcome(data, decode_any)


def changed(data: bytes, octets: Iterable[int]) -> Iterator[bytes]:
    """``data`` with each octet in turn xored with each of ``octets``."""
    for position, original in enumerate(data):
        for octet in octets:
            yield data[:position] + bytes((original ^ octet,)) + data[position + 1 :]


@pytest.mark.parametrize("data", ENCODED, ids=KINDS)
def test_every_octet_changed(data: bytes) -> None:
    for damaged in changed(data, (1, 2, 4, 8, 16, 32, 64, 128, 3, 0x7F, 0xFF)):
        agreed(damaged)


def test_every_octet_of_a_search_changed_to_every_other() -> None:
    for damaged in changed(ENCODED[0], range(1, 256)):
        agreed(damaged)


@pytest.mark.parametrize("data", ENCODED, ids=KINDS)
def test_cut_short_and_run_on(data: bytes) -> None:
    for end in range(len(data)):
        for damaged in (data[:end] + data[end + 1 :], data[:end] + b"\0" + data[end:]):
            agreed(damaged)
        with pytest.raises(ProtocolViolation):
            decode_message(data[:end])


def test_inner_lengths_beyond_the_outer() -> None:
    for data in ENCODED:
        for position in range(2, len(data)):
            for length in (b"\x84\x7f\xff\xff\xff", b"\x84\xff\xff\xff\xff", b"\x80", b"\x88" + b"\xff" * 8):
                damaged = data[:position] + length + data[position + 1 :]
                agreed(ber.tlv(0x30, damaged[2:]))


def test_integers_of_a_megabyte() -> None:
    digits = b"\x7f" * 1_000_000
    with pytest.raises(ProtocolViolation):
        decode_message(ber.sequence(ber.tlv(0x02, digits), b"\x42\x00"))
    with pytest.raises(MalformedRequest):
        decode_message(ber.sequence(ber.integer(1), ber.tlv(0x50, digits)))
    head = b"\x04\x00\x0a\x01\x00\x0a\x01\x00" + ber.tlv(0x02, digits) + b"\x02\x01\x00\x01\x01\x00"
    with pytest.raises(MalformedRequest):
        decode_message(ber.sequence(ber.integer(1), ber.tlv(0x63, head + b"\x87\x00\x30\x00")))


def test_a_dn_of_a_megabyte() -> None:
    message = Message(1, DeleteRequest("cn=" + "x" * 1_000_000), ())
    assert decode_message(encode_message(message)) == message


def test_the_largest_announcements_keep_nothing() -> None:
    for announced in (b"\x84\x7f\xff\xff\xff", b"\x84\xff\xff\xff\xff", b"\x83\xff\xff\xff"):
        framer = Framer(1 << 20)
        with pytest.raises(ProtocolViolation):
            framer.feed(b"\x30" + announced + b"\x02\x01\x01")
        assert framer.buffered == 0


def test_a_hundred_thousand_messages_at_once() -> None:
    data = encode_message(Message(1, AbandonRequest(1), ()))
    assert len(Framer(1000).feed(data * 100_000)) == 100_000
