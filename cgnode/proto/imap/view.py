"""A mailbox as one client has been told of it (RFC 3501 sections 2.3.1 and 7.4.1).

What lives here: which UID has which sequence number in this session, what has happened
since that the client has not been told of, and the result of its last saved search.  The
rest of the server and the shell know messages by UID only.

A message that is gone keeps its number until the client is told, which must not be while
a command is answered that names messages by number (FETCH, STORE, SEARCH).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import TypeAlias

from attrs import frozen

from cgnode.proto.imap import responses
from cgnode.proto.imap import search as s
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.sets import Numbers, NumberSet, Saved, runs


@frozen
class Arrived:
    """New messages, UIDs ascending and above all that there were.  ``recent`` are those
    of them of which no session was told before."""

    uids: tuple[int, ...]
    recent: frozenset[int] = frozenset()


@frozen
class Gone:
    """Messages that are no longer there."""

    uids: tuple[int, ...]


@frozen
class Flagged:
    r"""The flags that a message has now; ``\Recent`` is not among them."""

    uid: int
    flags: frozenset[str]
    modseq: int | None = None


@frozen
class Defined:
    """The flags that there are in the mailbox now (RFC 3501 section 7.2.6)."""

    flags: tuple[str, ...]


Update: TypeAlias = Arrived | Gone | Flagged | Defined


class View:
    """``uids`` ascending; ``highest_modseq`` when it was opened, None where there are none."""

    def __init__(
        self,
        name: str,
        read_only: bool,
        uids: Iterable[int],
        recent: Iterable[int],
        highest_modseq: int | None,
    ) -> None:
        self.name = name
        self.read_only = read_only
        self.highest_modseq = highest_modseq
        self.recent = set(recent)
        self.saved: tuple[int, ...] = ()
        self._uids = array("I", uids)
        self._fresh: list[int] = []
        self._gone: set[int] = set()
        self._flagged: dict[int, Flagged] = {}
        self._defined: Defined | None = None

    def __len__(self) -> int:
        return len(self._uids)

    @property
    def uids(self) -> tuple[int, ...]:
        return tuple(self._uids)

    # --- numbers ----------------------------------------------------------------------

    def number(self, uid: int) -> int:
        """The sequence number; 0 for a message that the client has not been told of."""
        place = bisect_left(self._uids, uid)
        return place + 1 if place < len(self._uids) and self._uids[place] == uid else 0

    def resolve(self, numbers: Numbers, uid: bool) -> tuple[int, ...]:
        """The UIDs that a set names, ascending.  What it costs is what is there."""
        match numbers:
            case Saved():
                return self.saved
            case NumberSet() if uid:
                return self._by_uid(numbers)
            case NumberSet():
                return self._by_number(numbers)

    def _by_uid(self, numbers: NumberSet) -> tuple[int, ...]:
        return self._within(numbers.bounds(self._uids[-1]) if self._uids else ())

    def _by_number(self, numbers: NumberSet) -> tuple[int, ...]:
        return self._within(self._bounds(numbers))

    def _bounds(self, numbers: NumberSet) -> list[tuple[int, int]]:
        """Numbers as bounds of UIDs.  RFC 3501 section 9: a number that there isn't is BAD.
        A range that begins with one that there is names what is there; in an empty mailbox
        1 and ``*`` may stand."""
        last = len(self._uids) or 1
        for a, b in numbers.ranges:
            if min(a or last, b or last) > last:
                raise Fault(f"there is no message {min(a or last, b or last)}")
        if not self._uids:
            return []
        uids = self._uids
        return [(uids[low - 1], uids[min(high, last) - 1]) for low, high in numbers.bounds(last)]

    def _within(self, bounds: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        found: list[int] = []
        for low, high in bounds:
            found += self._uids[bisect_left(self._uids, low) : bisect_right(self._uids, high)]
        return tuple(found)

    def key(self, key: s.Key) -> s.Key:
        """A search key in which sets and RECENT have become UIDs; raises Fault."""
        match key:
            case s.And(keys):
                return s.And(tuple(map(self.key, keys)))
            case s.Or(left, right):
                return s.Or(self.key(left), self.key(right))
            case s.Not(inner):
                return s.Not(self.key(inner))
            case s.Uids(Saved()) | s.Sequence(Saved()):
                return s.OneOf(tuple(runs(self.saved)))
            case s.Uids(NumberSet() as numbers):
                return s.OneOf(tuple(numbers.bounds(self._uids[-1])) if self._uids else ())
            case s.Sequence(NumberSet() as numbers):
                return s.OneOf(tuple(self._bounds(numbers)))
            case s.Recent():
                return s.OneOf(tuple(runs(sorted(self.recent))))
            case _:
                return key

    def candidates(self, key: s.Key) -> tuple[int, ...]:
        """The messages that a key from ``key`` can match at most."""
        for one in key.keys if isinstance(key, s.And) else (key,):
            if isinstance(one, s.OneOf):
                return self._within(one.bounds)
        return tuple(self._uids)

    # --- what happens -----------------------------------------------------------------

    def note(self, update: Update) -> None:
        """Keep it until the client is told."""
        match update:
            case Arrived(uids, recent):
                last = self._fresh[-1] if self._fresh else self._uids[-1] if self._uids else 0
                fresh = [uid for uid in uids if uid > last]
                self._fresh += fresh
                self.recent |= recent.intersection(fresh)
            case Gone(uids):
                self._gone.update(uids)
            case Flagged(uid):
                self._flagged[uid] = update
            case Defined():
                self._defined = update

    def told(self, uid: int) -> None:
        """The client is told of the message's flags otherwise."""
        self._flagged.pop(uid, None)

    def lacks(self, uids: Iterable[int]) -> bool:
        """Whether one of these is gone, and the client has not been told."""
        return bool(self._gone) and not self._gone.isdisjoint(uids)

    def tell(self, expunge: bool, modseq: bool) -> bytes:
        """What the client is told now: EXPUNGE where it may be, EXISTS, FETCH."""
        said: list[bytes] = []
        if self._defined is not None:
            said.append(responses.flags(self._defined.flags))
            self._defined = None
        if self._fresh and self._gone:
            # Come and gone before the client heard of it.
            unborn = self._gone.intersection(self._fresh)
            self._fresh = [uid for uid in self._fresh if uid not in unborn]
            self._gone -= unborn
            self.recent -= unborn
        if expunge and self._gone:
            said += self._expunge()
        if self._fresh:
            self._uids.extend(self._fresh)
            self._fresh.clear()
            said += responses.exists(len(self._uids)), responses.recent(len(self.recent))
        if self._flagged:
            said += self._flag_updates(modseq)
        return b"".join(said)

    def flags(self, uid: int, flags: frozenset[str]) -> frozenset[str]:
        r"""The flags with ``\Recent`` where that is one of this session."""
        return flags | {"\\Recent"} if uid in self.recent else flags

    def _flag_updates(self, modseq: bool) -> list[bytes]:
        said: list[bytes] = []
        for uid in sorted(self._flagged):
            number = self.number(uid)
            if number and uid not in self._gone:
                change = self._flagged[uid]
                flags = self.flags(uid, change.flags)
                said.append(responses.flag_update(number, uid, flags, change.modseq if modseq else None))
        self._flagged.clear()
        return said

    def _expunge(self) -> list[bytes]:
        said: list[bytes] = []
        left = array("I")
        for uid in self._uids:
            if uid in self._gone:
                said.append(responses.expunge(len(left) + 1))
            else:
                left.append(uid)
        self._uids = left
        self.recent -= self._gone
        self.saved = tuple(uid for uid in self.saved if uid not in self._gone)
        self._gone.clear()
        return said
