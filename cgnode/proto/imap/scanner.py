"""The tokens of a command (RFC 3501 section 9).

What lives here: reading one token at a position, or a Fault that says what was expected.
What must not: what the tokens mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Final, TypeVar

from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.names import decode_name
from cgnode.proto.imap.reader import LITERAL
from cgnode.proto.imap.sets import MOST, Numbers, parse_numbers

T = TypeVar("T")

_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_PATTERN: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
# Octets above 127 are no QUOTED-CHAR; clients send them all the same, in passwords first.
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*+)"')
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_NUMBER: Final = re.compile(rb"\d{1,19}")
_NUMBERS: Final = re.compile(rb"\$|[0-9*:,]+")
_FLAG: Final = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_DATE: Final = re.compile(rb'("?)(\d{1,2})-([A-Za-z]{3})-(\d{4})\1')
_DATE_TIME: Final = re.compile(rb'"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"')
_MONTHS: Final = (
    b"jan",
    b"feb",
    b"mar",
    b"apr",
    b"may",
    b"jun",
    b"jul",
    b"aug",
    b"sep",
    b"oct",
    b"nov",
    b"dec",
)

MOST_64: Final = 2**63 - 1

SYSTEM_FLAGS: Final = {
    flag.lower(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
}


class Scanner:
    """A position in a command's text."""

    def __init__(self, text: bytes, literals: tuple[bytes, ...] = (), at: int = 0) -> None:
        self.text = text
        self.at = at
        self._literals = iter(literals)

    @property
    def ended(self) -> bool:
        return self.at >= len(self.text)

    def peek(self) -> bytes:
        """The next octet; b"" at the end."""
        return self.text[self.at : self.at + 1]

    def end(self) -> None:
        """Nothing must follow.  One space is let pass, since clients leave one."""
        if not self.ended and self.text[self.at :] != b" ":
            raise Fault("there is more than the command takes")

    def take(self, token: bytes) -> bool:
        """Whether ``token`` comes next, in any case; then it is behind us."""
        end = self.at + len(token)
        if self.text[self.at : end].upper() != token:
            return False
        self.at = end
        return True

    def expect(self, token: bytes) -> None:
        if not self.take(token):
            raise Fault(f"{token.decode()!r} is expected")

    def space(self) -> None:
        if self.peek() != b" ":
            raise Fault("an argument is missing" if self.ended else "a space is expected")
        self.at += 1

    def more(self) -> bool:
        """Whether an argument follows; then its space is behind us."""
        if self.peek() != b" " or self.at + 1 >= len(self.text):
            return False
        self.at += 1
        return True

    def find(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise Fault(f"{what} is expected")
        self.at = found.end()
        return found

    # --- tokens -----------------------------------------------------------------------

    def atom(self) -> str:
        return self.find(_ATOM, "a word")[0].decode("ascii")

    def word(self) -> str:
        """An atom that is a keyword of the protocol: its case doesn't matter."""
        return self.atom().upper()

    def string(self) -> bytes:
        if self.peek() == b'"':
            quoted = self.find(_QUOTED, "the end of a quoted string")[1]
            return _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        if not self.ended and self.text[self.at] == LITERAL:
            self.at += 1
            return next(self._literals)
        raise Fault("a string is expected")

    def astring(self) -> bytes:
        found = _ASTRING.match(self.text, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found[0]

    def nstring(self) -> bytes | None:
        return None if self.take(b"NIL") else self.string()

    def pattern(self) -> bytes:
        """A ``list-mailbox``: a mailbox name with wildcards."""
        found = _PATTERN.match(self.text, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found[0]

    def mailbox(self) -> str:
        return decode_name(self.astring())

    def number(self, most: int = MOST) -> int:
        number = int(self.find(_NUMBER, "a number")[0])
        if number > most:
            raise Fault("a number is too large")
        return number

    def positive(self, most: int = MOST) -> int:
        number = self.number(most)
        if not number:
            raise Fault("a number must not be 0")
        return number

    def numbers(self) -> Numbers:
        return parse_numbers(self.find(_NUMBERS, "a message set")[0])

    def flag(self) -> str:
        flag = self.find(_FLAG, "a flag")[0].decode("ascii")
        if flag.startswith("\\"):
            known = SYSTEM_FLAGS.get(flag.lower())
            if known is None:
                raise Fault(f"{flag} can't be set")
            return known
        return flag

    def date(self) -> date:
        """A ``date``: a day without a time zone."""
        found = self.find(_DATE, "a date like 1-Feb-2024")
        try:
            return date(int(found[4]), _month(found[3]), int(found[2]))
        except ValueError:
            raise Fault("there is no such day") from None

    def date_time(self) -> int:
        """A ``date-time`` as seconds since 1970."""
        found = self.find(_DATE_TIME, "a date and time")
        offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
        try:
            zone = timezone(-offset if found[7] == b"-" else offset)
            day = int(found[3]), _month(found[2]), int(found[1])
            when = datetime(*day, int(found[4]), int(found[5]), int(found[6]), tzinfo=zone)
            return int(when.timestamp())
        except (ValueError, OverflowError):
            raise Fault("there is no such date and time") from None

    # --- lists ------------------------------------------------------------------------

    def listed(self, item: Callable[[], T], empty: bool = False) -> tuple[T, ...]:
        """``(item item ...)``."""
        self.expect(b"(")
        if empty and self.take(b")"):
            return ()
        return self.rest_of_list(item)

    def rest_of_list(self, item: Callable[[], T]) -> tuple[T, ...]:
        """What follows the opening parenthesis."""
        items = [item()]
        while not self.take(b")"):
            self.space()
            items.append(item())
        return tuple(items)


def _month(name: bytes) -> int:
    return _MONTHS.index(name.lower()) + 1
