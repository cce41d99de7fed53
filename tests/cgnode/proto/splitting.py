"""Input in pieces: the same octets must have the same answers wherever they were cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Outcome = TypeVar("Outcome")


def splittings(data: bytes, most_cuts: int = 400) -> Iterator[tuple[bytes, ...]]:
    """``data`` whole, octet by octet, and in two parts: at every place, or of a long one
    at up to ``most_cuts`` places."""
    yield (data,)
    yield tuple(data[place : place + 1] for place in range(len(data)))
    step = max(1, len(data) // most_cuts)
    for place in range(1, len(data), step):
        yield data[:place], data[place:]


def same_when_split(run: Callable[[Sequence[bytes]], Outcome], data: bytes, most_cuts: int = 400) -> Outcome:
    """What ``run`` makes of ``data``, after having seen that it makes the same of every
    splitting of it.  ``run`` begins anew each time."""
    whole = run((data,))
    for pieces in splittings(data, most_cuts):
        outcome = run(pieces)
        assert outcome == whole, f"cut after {len(pieces[0])} octets of {data!r}"
    return whole
