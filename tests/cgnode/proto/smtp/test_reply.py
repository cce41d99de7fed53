"""Replies: as they are sent, and as a client reads them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cgnode.proto.smtp.reply import MalformedReply, Reply, ReplyReader
from tests.cgnode.proto.splitting import same_when_split


def read(data: bytes) -> list[Reply | str]:
    """The replies, and the error if they end with one."""

    def run(pieces: Sequence[bytes]) -> list[Reply | str]:
        reader = ReplyReader(max_line=100, most_lines=4)
        found: list[Reply | str] = []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next_reply()) is not None:
                    found.append(reply)
        except MalformedReply as malformed:
            found.append(str(malformed))
        return found

    return same_when_split(run, data)


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Reply(250, "2.0.0", "ok"), b"250 2.0.0 ok\r\n"),
        (Reply(220, "", "mx.example.com ESMTP"), b"220 mx.example.com ESMTP\r\n"),
        (Reply(250, "", "mx\nSIZE 10\nDSN"), b"250-mx\r\n250-SIZE 10\r\n250 DSN\r\n"),
        (Reply(550, "5.1.1", "no\nsuch"), b"550-5.1.1 no\r\n550 5.1.1 such\r\n"),
        (Reply(250, "", ""), b"250 \r\n"),
        (Reply(451, "4.0.0", ""), b"451 4.0.0 \r\n"),
    ],
)
def test_both_ways(reply: Reply, wire: bytes) -> None:
    assert reply.encode() == wire
    assert read(wire) == [reply]


def test_nothing_in_a_text_ends_a_line() -> None:
    encoded = Reply(550, "5.1.1", "<a\r\nb\x00\x1b[31m\u2028ä>: no\nQUIT").encode()
    assert encoded == b"550-5.1.1 <a?\r\n550-5.1.1 b??[31m??>: no\r\n550 5.1.1 QUIT\r\n"


def test_long_lines_are_cut() -> None:
    encoded = Reply(550, "5.1.1", "x" * 1000).encode()
    lines = encoded.split(b"\r\n")
    assert all(len(line) + 2 <= 512 for line in lines)
    assert encoded.count(b"x") == 1000
    assert [line[:10] for line in lines] == [b"550-5.1.1 ", b"550 5.1.1 ", b""]


def test_classes() -> None:
    assert [reply.positive for reply in (Reply(250), Reply(354), Reply(421), Reply(550))] == [
        True,
        True,
        False,
        False,
    ]
    assert Reply(451).temporary
    assert not Reply(451).permanent
    assert Reply(550).permanent
    assert str(Reply(550, "5.1.1", "no\nsuch")) == "550 5.1.1 no such"
    assert str(Reply(250)) == "250"


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250\r\n", Reply(250)),
        (b"250 ok\n", Reply(250, "", "ok")),
        (b"250 2.0.0\r\n", Reply(250, "2.0.0", "")),
        (b"250 5.0.0 odd\r\n", Reply(250, "", "5.0.0 odd")),
        (b"354 2.0.0 go\r\n", Reply(354, "", "2.0.0 go")),
        (b"550-5.1.1 one\r\n550-two\r\n550 5.1.1\r\n", Reply(550, "5.1.1", "one\ntwo\n")),
        (b"250-\r\n250\r\n", Reply(250, "", "\n")),
        (b"550 \xff\xc3\xa4\r\n", Reply(550, "", "\ufffdä")),
    ],
)
def test_lenient_reading(wire: bytes, reply: Reply) -> None:
    assert read(wire + b"220 next\r\n") == [reply, Reply(220, "", "next")]


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"ok\r\n",
        b"25\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"250x\r\n",
        b"250_x\r\n",
        b"250-one\r\n251 two\r\n",
        b"250-\r\n" * 4,
        b"250 " + b"x" * 100 + b"\r\n",
        b"250 a\rb\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46\r\n",
    ],
)
def test_malformed(wire: bytes) -> None:
    found = read(b"220 x\r\n" + wire)
    assert found[0] == Reply(220, "", "x")
    assert len(found) == 2
    assert isinstance(found[1], str)


def test_what_is_left() -> None:
    reader = ReplyReader()
    left = [reader.buffered]
    reader.feed(b"250-a\r\n")
    assert reader.next_reply() is None
    left.append(reader.buffered)
    reader.clear()
    left.append(reader.buffered)
    reader.feed(b"250 b\r\n2")
    assert reader.next_reply() == Reply(250, "", "b")
    left.append(reader.buffered)
    assert left == [False, True, False, True]
