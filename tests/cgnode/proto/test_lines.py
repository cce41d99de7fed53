"""Lines and texts: endings, limits, dots, wherever the input was cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cgnode.proto.lines import (
    ChunkReader,
    DotReader,
    DotStuffer,
    LineFault,
    LineReader,
    Newlines,
    has_stray,
    normalised,
)
from tests.cgnode.proto.splitting import same_when_split

Lines = list[bytes | LineFault]


def lines_of(data: bytes, newlines: Newlines, max_line: int = 20) -> tuple[Lines, int]:
    """The lines, and how many octets are left."""

    def run(pieces: Sequence[bytes]) -> tuple[Lines, int]:
        reader = LineReader(max_line, newlines)
        found: Lines = []
        for piece in pieces:
            reader.feed(piece)
            while (line := reader.next_line()) is not None:
                found.append(line)
            assert reader.buffered <= max_line
        return found, reader.buffered

    return same_when_split(run, data)


@pytest.mark.parametrize("newlines", Newlines)
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\r\n", [b""]),
        (b"one\r\ntwo\r\n\r\nthree", [b"one", b"two", b""]),
        (b"a\rb\r\nc\r\n", [LineFault.STRAY, b"c"]),
        (b"a\r\r\nc\r\n", [LineFault.STRAY, b"c"]),
        (b"\r\r\r\n", [LineFault.STRAY]),
        (b"x" * 18 + b"\r\nc\r\n", [b"x" * 18, b"c"]),
        (b"x" * 19 + b"\r\nc\r\n", [LineFault.TOO_LONG, b"c"]),
        (b"x" * 100 + b"\r\nc\r\n", [LineFault.TOO_LONG, b"c"]),
        (b"\r" * 100 + b"\r\nc\r\n", [LineFault.TOO_LONG, b"c"]),
        (b"x" * 100, []),
    ],
)
def test_lines(newlines: Newlines, data: bytes, lines: Lines) -> None:
    assert lines_of(data, newlines)[0] == lines


@pytest.mark.parametrize(
    ("data", "refusing", "normalising"),
    [
        (b"a\nb\r\nc\r\n", [LineFault.STRAY, b"c"], [b"a", b"b", b"c"]),
        (b"\n\r\n", [LineFault.STRAY], [b"", b""]),
        (b"a\n", [], [b"a"]),
        (b"x" * 19 + b"\nb\r\n", [LineFault.TOO_LONG], [b"x" * 19, b"b"]),
        (b"x" * 20 + b"\nb\r\n", [LineFault.TOO_LONG], [LineFault.TOO_LONG, b"b"]),
        (b"a\r\n\n", [b"a"], [b"a", b""]),
    ],
)
def test_line_feeds_alone(data: bytes, refusing: Lines, normalising: Lines) -> None:
    assert lines_of(data, Newlines.REFUSE)[0] == refusing
    assert lines_of(data, Newlines.NORMALISE)[0] == normalising


def test_nothing_is_kept_of_a_line_that_is_too_long() -> None:
    reader = LineReader(100)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert reader.next_line() is None
        assert reader.buffered <= 1
    reader.feed(b"\r\nnext\r\n")
    assert reader.next_line() is LineFault.TOO_LONG
    assert reader.next_line() == b"next"


def test_octets_between_lines() -> None:
    reader = LineReader(100)
    reader.feed(b"line\r\n12345more\r\nlast")
    assert reader.next_line() == b"line"
    assert reader.take(3) == b"123"
    assert reader.take(2) == b"45"
    assert reader.next_line() == b"more"
    assert reader.take(100) == b"last"
    assert reader.take(100) == b""
    reader.feed(b"abc")
    assert reader.take_all() == b"abc"
    reader.put_back(b"c\r\n")
    assert reader.next_line() == b"c"
    reader.feed(b"half a line")
    assert reader.next_line() is None
    reader.clear()
    reader.feed(b"new\r\n")
    assert reader.next_line() == b"new"


def test_a_long_line_octet_by_octet_is_searched_once() -> None:
    reader = LineReader(1_000_000)
    for _ in range(20_000):
        reader.feed(b"x")
        assert reader.next_line() is None
    reader.feed(b"\r\n")
    assert reader.next_line() == b"x" * 20_000


# --- text ------------------------------------------------------------------------------

Text = tuple[bytes, bytes | None, LineFault | None]


def text_of(data: bytes, newlines: Newlines = Newlines.REFUSE, max_line: int = 100) -> Text:
    """The text, what came behind its end, and what is wrong with it.  What was given out
    before the fault was found depends on the cut, and is of no use."""

    def run(pieces: Sequence[bytes]) -> Text:
        reader = DotReader(newlines, max_line)
        text = b""
        rest: bytes | None = None
        for piece in pieces:
            if rest is not None:
                rest += piece
                continue
            part, rest = reader.feed(piece)
            text += part
        return b"" if reader.fault else text, rest, reader.fault

    return same_when_split(run, data)


@pytest.mark.parametrize("newlines", Newlines)
@pytest.mark.parametrize(
    ("data", "text", "rest"),
    [
        (b".\r\n", b"", b""),
        (b".\r\nQUIT\r\n", b"", b"QUIT\r\n"),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"one\r\n.\r\n", b"one\r\n", b""),
        (b"one\r\n\r\ntwo\r\n.\r\nRSET\r\n", b"one\r\n\r\ntwo\r\n", b"RSET\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"..one\r\n...\r\n.x\r\n.\r\n", b".one\r\n..\r\nx\r\n", b""),
        (b"a.\r\n.\r\n", b"a.\r\n", b""),
        (b".\r\n.\r\n", b"", b".\r\n"),
        (b"..\r\n..\r\n..\r\n.\r\n.\r\n", b".\r\n.\r\n.\r\n", b".\r\n"),
    ],
)
def test_texts(newlines: Newlines, data: bytes, text: bytes, rest: bytes) -> None:
    assert text_of(data, newlines) == (text, rest, None)


# What servers have taken for the end of a text, in the research of 2023 and before.
FALSE_ENDS = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n",
    b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n. \r\n",
)  # fmt: skip


@pytest.mark.parametrize("end", FALSE_ENDS)
def test_false_ends_end_nothing(end: bytes) -> None:
    inner = b"MAIL FROM:<mallory@example.com>\r\n"
    data = b"one" + end + inner + b".\r\nNOOP\r\n"
    text, rest, fault = text_of(data, Newlines.NORMALISE)
    assert (rest, fault) == (b"NOOP\r\n", None)
    assert text.endswith(inner)
    assert not has_stray(text)
    _, rest, fault = text_of(data, Newlines.REFUSE)
    assert rest == b"NOOP\r\n"
    assert fault is (LineFault.STRAY if has_stray(end) else None)


@pytest.mark.parametrize("end", FALSE_ENDS)
def test_what_was_false_when_it_came_is_false_when_it_goes(end: bytes) -> None:
    """Nobody, whatever he takes for an ending, finds one in what is sent on."""
    text, _, _ = text_of(b"one" + end + b"MAIL\r\n.\r\n", Newlines.NORMALISE)
    stuffer = DotStuffer()
    sent = stuffer.feed(text) + stuffer.finish()
    body, ending = sent[:-5], sent[-5:]
    assert ending == b"\r\n.\r\n"
    for lax in (body, body.replace(b"\x00", b"")):
        lines = lax.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        assert b"." not in lines


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"x" * 98 + b"\r\n.\r\n", None),
        (b"x" * 99 + b"\r\n.\r\n", LineFault.TOO_LONG),
        (b"a\r\n" + b"x" * 98 + b"\r\nb\r\n.\r\n", None),
        (b"a\r\n" + b"x" * 99 + b"\r\nb\r\n.\r\n", LineFault.TOO_LONG),
        (b"." + b"." * 98 + b"\r\n.\r\n", None),  # a stuffed dot is not of the line
        (b"." + b"." * 99 + b"\r\n.\r\n", LineFault.TOO_LONG),
        (b"x" * 1000 + b"\r\n.\r\n", LineFault.TOO_LONG),
        (b"x" * 1000 + b"MAIL FROM:<>\r\nRSET\r\n.\r\n", LineFault.TOO_LONG),
    ],
)
def test_long_lines_of_a_text(data: bytes, fault: LineFault | None) -> None:
    _, rest, found = text_of(data + b"NOOP\r\n")
    assert (rest, found) == (b"NOOP\r\n", fault)


def chunks_of(data: bytes, newlines: Newlines) -> tuple[bytes, LineFault | None]:
    def run(pieces: Sequence[bytes]) -> tuple[bytes, LineFault | None]:
        reader = ChunkReader(newlines, 100)
        text = b"".join(map(reader.feed, pieces)) + reader.finish()
        return b"" if reader.fault else text, reader.fault

    return same_when_split(run, data)


@pytest.mark.parametrize(
    ("data", "text", "fault"),
    [
        (b"", b"", None),
        (b".\r\n.\r\n", b".\r\n.\r\n", None),
        (b"no end", b"no end", None),
        (b"a\nb\r\n", b"a\r\nb\r\n", LineFault.STRAY),
        (b"a\rb\r", b"a b ", LineFault.STRAY),
        (b"a\r", b"a ", LineFault.STRAY),
        (b"x" * 101, b"", LineFault.TOO_LONG),
    ],
)
def test_chunks(data: bytes, text: bytes, fault: LineFault | None) -> None:
    assert chunks_of(data, Newlines.REFUSE) == (b"" if fault else text, fault)
    if fault is not LineFault.TOO_LONG:
        assert chunks_of(data, Newlines.NORMALISE) == (text, None)


# --- on the way out --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (b"", b".\r\n"),
        (b"one", b"one\r\n.\r\n"),
        (b"one\r\n", b"one\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n.b\r\n..c\r\nd.\r\n", b"a\r\n..\r\n..b\r\n...c\r\nd.\r\n.\r\n"),
        (b"unix\n.\nlines\n", b"unix\r\n..\r\nlines\r\n.\r\n"),
        (b"a\rb\r", b"a b \r\n.\r\n"),
        (b"a\r\r\n.\r", b"a \r\n.. \r\n.\r\n"),
    ],
)
def test_stuffing(text: bytes, sent: bytes) -> None:
    def run(pieces: Sequence[bytes]) -> bytes:
        stuffer = DotStuffer()
        return b"".join(map(stuffer.feed, pieces)) + stuffer.finish()

    assert same_when_split(run, text) == sent
    expected = normalised(text)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    assert text_of(sent) == (expected, b"", None)
