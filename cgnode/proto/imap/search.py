"""Search keys as values (RFC 3501 section 6.4.4, RFC 5032, RFC 7162 section 3.1.5).

What lives here: what a search asks for.  Keys that are the negation or a kind of another
are written with it: UNSEEN is not-Seen, FROM is the header From, NEW is recent and
unseen.
"""

from __future__ import annotations

import datetime
from bisect import bisect_right
from enum import Enum
from operator import itemgetter
from typing import TypeAlias

from attrs import frozen

from cgnode.proto.imap.sets import Numbers


@frozen
class And:
    """All of these; none of them is ALL."""

    keys: tuple[Key, ...]


@frozen
class Or:
    left: Key
    right: Key


@frozen
class Not:
    key: Key


@frozen
class HasFlag:
    """A system flag in its canonical case, or a keyword."""

    flag: str


@frozen
class Recent:
    """This session is the first that was told of the message."""


@frozen
class Header:
    """The field is there and contains ``text``."""

    field: str
    text: str


@frozen
class BodyText:
    """The body contains it."""

    text: str


@frozen
class AnyText:
    """Header or body contain it."""

    text: str


class When(Enum):
    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


@frozen
class Received:
    """Of the internal date, disregarding time and zone."""

    when: When
    date: datetime.date


@frozen
class Sent:
    """Of the Date field, disregarding time and zone."""

    when: When
    date: datetime.date


@frozen
class Within:
    """Internal date at least (OLDER) or at most (YOUNGER) so many seconds ago (RFC 5032)."""

    older: bool
    seconds: int


@frozen
class Larger:
    size: int


@frozen
class Smaller:
    size: int


@frozen
class Uids:
    """UIDs as the client wrote them."""

    numbers: Numbers


@frozen
class Sequence:
    """Message sequence numbers as the client wrote them."""

    numbers: Numbers


@frozen
class OneOf:
    """UIDs within these bounds, ascending and apart: what ``Uids``, ``Sequence`` and
    ``Recent`` come to in a mailbox, where all UIDs within are meant that there are."""

    bounds: tuple[tuple[int, int], ...]

    def __contains__(self, uid: int) -> bool:
        place = bisect_right(self.bounds, uid, key=itemgetter(0))
        return place > 0 and uid <= self.bounds[place - 1][1]


@frozen
class ModifiedSince:
    """``MODSEQ``: a mod-sequence of this or more.  The entry that may be named in front
    of it is not kept: there is one mod-sequence a message (RFC 7162 section 3.1.5)."""

    modseq: int


Key: TypeAlias = (
    And
    | Or
    | Not
    | HasFlag
    | Recent
    | Header
    | BodyText
    | AnyText
    | Received
    | Sent
    | Within
    | Larger
    | Smaller
    | Uids
    | Sequence
    | OneOf
    | ModifiedSince
)
