"""Commands cut out of octets: lines, literals, limits, and what is skipped."""

from __future__ import annotations

import pytest

from cgnode.proto.imap.reader import Announced, Endless, Input, Octets, Overlong, Reader, Skipped, Whole

from .splitting import same_when_split


def inputs(
    pieces: tuple[bytes, ...], most: int = 100, skipped: int = 50, stream: bool = False
) -> list[Input]:
    """What a reader makes of it that accepts literals of up to 20 octets."""
    reader = Reader(most, skipped)
    made: list[Input] = []
    for piece in pieces:
        reader.feed(piece)
        while (item := reader.next()) is not None:
            before = made[-1] if made else None
            if isinstance(item, Octets) and isinstance(before, Octets):
                made[-1] = Octets(before.data + item.data, item.last)
            else:
                made.append(item)
            if isinstance(item, Announced):
                if stream:
                    reader.stream()
                elif item.size <= 20:
                    reader.accept()
                else:
                    reader.refuse()
            if isinstance(item, Endless):
                return made
    return made


def both(data: bytes, stream: bool = False) -> list[Input]:
    return same_when_split(lambda pieces: inputs(tuple(pieces), stream=stream), data)


def test_lines() -> None:
    assert both(b"a NOOP\r\nb NOOP\n\r\n") == [Whole(b"a NOOP", ()), Whole(b"b NOOP", ()), Whole(b"", ())]


def test_literals_of_both_kinds() -> None:
    assert both(b"a LOGIN {5}\r\nali\r\n {4+}\r\n\0\n{} x\r\nb NOOP\r\n") == [
        Announced(b"a LOGIN ", (), 5, True, False),
        Announced(b"a LOGIN \0 ", (b"ali\r\n",), 4, False, False),
        Whole(b"a LOGIN \0 \0 x", (b"ali\r\n", b"\0\n{}")),
        Whole(b"b NOOP", ()),
    ]


def test_an_empty_literal_and_one_in_binary() -> None:
    assert both(b"a X {0}\r\n ~{2+}\r\n\0\0\r\n") == [
        Announced(b"a X ", (), 0, True, False),
        Announced(b"a X \0 ", (b"",), 2, False, True),
        Whole(b"a X \0 \0", (b"", b"\0\0")),
    ]


def test_a_refused_literal_that_waits_never_comes() -> None:
    announced, whole = both(b"a LOGIN {21}\r\nb NOOP\r\n")
    assert announced == Announced(b"a LOGIN ", (), 21, True, False)
    assert whole == Whole(b"b NOOP", ())


def test_a_refused_literal_that_comes_all_the_same_is_no_command() -> None:
    hidden = b"\r\nx LOGOUT\r\nx LOGOUT\r\n"
    data = b"a LOGIN {22+}\r\n" + hidden + b" {3+}\r\nx Y {9}\r\nb NOOP\r\n"
    announced, whole = both(data)
    assert isinstance(announced, Announced)
    assert whole == Whole(b"b NOOP", ())


def test_a_long_line_is_no_command_and_neither_is_its_end() -> None:
    skipped, whole = both(b"a NOOP " + b"x" * 200 + b"\nb NOOP\r\n")
    assert skipped == Skipped(b"a NOOP " + b"x" * 93, "the command line is too long")
    assert whole == Whole(b"b NOOP", ())


def test_what_a_long_line_announces_is_skipped_with_it() -> None:
    _, whole = both(b"a " + b"x" * 200 + b"{12+}\r\nx LOGOUT\r\nyz\r\nb NOOP\r\n")
    assert whole == Whole(b"b NOOP", ())


def test_the_limit_is_of_the_command_not_of_the_line() -> None:
    data = b"a " + b"x" * 60 + b" {1+}\r\ny" + b"x" * 60 + b"\r\nb NOOP\r\n"
    _, skipped, whole = both(data)
    assert isinstance(skipped, Skipped)
    assert whole == Whole(b"b NOOP", ())


def test_a_line_of_just_the_limit() -> None:
    # The CR counts, since whether it is one shows only behind it.
    assert both(b"x" * 99 + b"\r\n") == [Whole(b"x" * 99, ())]
    (skipped,) = both(b"x" * 100 + b"\r\n")
    assert isinstance(skipped, Skipped)


def test_nul_is_refused() -> None:
    skipped, whole = both(b"a NO\0OP {3+}\r\nabc\r\nb NOOP\r\n")
    assert skipped == Skipped(b"a NO\0OP {3+}", "NUL in a command line")
    assert whole == Whole(b"b NOOP", ())


@pytest.mark.parametrize("size", [b"51", b"9" * 18, b"9" * 40])
def test_too_much_to_skip(size: bytes) -> None:
    assert both(b"a X {%b+}\r\n" % size) == [Endless()]
    assert both(b"a " + b"x" * 200 + b" {%b+}\r\n" % size)[-1] == Endless()
    (announced,) = both(b"a X {%b}\r\n" % size)
    assert isinstance(announced, Announced)


def test_streams() -> None:
    made = both(b"a APPEND x {4}\r\nab\r\n (f) {3+}\r\ncde\r\nb NOOP\r\n", stream=True)
    assert made == [
        Announced(b"a APPEND x ", (), 4, True, False),
        Octets(b"ab\r\n", True),
        Announced(b" (f) ", (), 3, False, False),
        Octets(b"cde", True),
        Whole(b"", ()),
        Whole(b"b NOOP", ()),
    ]


def test_a_stream_that_is_broken_off_is_skipped_to_its_end() -> None:
    reader = Reader(100, 50)
    reader.feed(b"a APPEND x {10+}\r\nabc")
    assert isinstance(reader.next(), Announced)
    reader.stream()
    assert reader.next() == Octets(b"abc", False)
    reader.refuse()
    reader.feed(b"d\r\nefghi {3+}\r\nxyz\r\nb NOOP\r\n")
    assert reader.next() == Whole(b"b NOOP", ())


def test_nothing_is_kept_of_what_is_skipped() -> None:
    reader = Reader(100, 10**9)
    reader.feed(b"a X {1000000+}\r\n")
    assert isinstance(reader.next(), Announced)
    reader.refuse()
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert reader.next() is None
        assert len(reader) == 0
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        assert reader.next() is None
        assert len(reader) <= 64


def test_lines_that_are_no_commands() -> None:
    reader = Reader(100, 10)
    reader.feed(b"DONE\r\nx")
    assert reader.line(10) == b"DONE"
    assert reader.line(10) is None
    reader.feed(b"y" * 10)
    with pytest.raises(Overlong):
        reader.line(10)
    reader.skip_line()
    reader.feed(b"z\r\nb NOOP\r\n")
    assert reader.next() == Whole(b"b NOOP", ())


def test_what_is_not_used_goes_to_whoever_goes_on() -> None:
    reader = Reader(100, 10)
    reader.feed(b"a NOOP\r\nb SELECT {3+}\r\n")
    reader.next()
    assert reader.take_all() == b"b SELECT {3+}\r\n"
    assert reader.first is None
