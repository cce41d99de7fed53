"""A line of the table."""

from __future__ import annotations

from attrs import frozen


@frozen
class Row:
    """``figure`` is ours, to be at least (or, with ``at_most``, at most) ``least``, and
    better ``aim``: a ratio to the peer's where both were timed, else in the unit named."""

    work: str
    ours: str
    peer: str
    figure: float
    least: float
    aim: float
    unit: str = "x"
    at_most: bool = False

    @property
    def reached(self) -> str:
        for bound, word in ((self.aim, "aim"), (self.least, "least")):
            if self.figure <= bound if self.at_most else self.figure >= bound:
                return word
        return "MISSED"
