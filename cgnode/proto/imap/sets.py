"""Sets of message numbers (RFC 3501 section 9, ``sequence-set``; RFC 5182 section 3).

What lives here: their text.  A set is kept as it was written, so it costs what it names
in characters; what it names in messages is asked of the mailbox (``view``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from attrs import frozen

from cgnode.proto.imap.faults import Fault

STAR: Final = 0
"""Stands for ``*``, the largest number in use; no message has the number 0."""

MOST: Final = 2**32 - 1


@frozen
class NumberSet:
    """The ranges as they were written: in any order, either end first, with ``STAR``."""

    ranges: tuple[tuple[int, int], ...]

    def bounds(self, last: int) -> list[tuple[int, int]]:
        """The ranges ascending and apart, ``*`` being ``last``."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted(_ordered(a or last, b or last) for a, b in self.ranges):
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return merged

    def __str__(self) -> str:
        return ",".join(_text(a) if a == b else f"{_text(a)}:{_text(b)}" for a, b in self.ranges)


@frozen
class Saved:
    """``$``: the result of the last search that was saved (RFC 5182)."""


Numbers: TypeAlias = NumberSet | Saved


def parse_numbers(text: bytes) -> Numbers:
    """Read a set; raises Fault."""
    if text == b"$":
        return Saved()
    return NumberSet(tuple(_range(part) for part in text.split(b",")))


def format_numbers(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as a set, runs put together."""
    return ",".join(f"{a}:{b}" if b > a else str(a) for a, b in runs(numbers)).encode()


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as first and last of each run."""
    first = last = STAR
    for number in numbers:
        if first and number == last + 1:
            last = number
            continue
        if first:
            yield first, last
        first = last = number
    if first:
        yield first, last


def _range(text: bytes) -> tuple[int, int]:
    low, colon, high = text.partition(b":")
    first = _number(low)
    return first, _number(high) if colon else first


def _number(text: bytes) -> int:
    if text == b"*":
        return STAR
    if not text.isdigit() or len(text) > 10:
        raise Fault("a message number is expected")
    number = int(text)
    if not 0 < number <= MOST:
        raise Fault("a message number is out of range")
    return number


def _ordered(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a <= b else (b, a)


def _text(number: int) -> str:
    return str(number) if number else "*"
