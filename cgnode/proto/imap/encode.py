"""Strings as IMAP writes them (RFC 3501 section 4).

What lives here: atom, quoted or literal, whichever holds a value; flags, dates, mailbox
names.  What must not: responses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Final

from cgnode.proto.imap import names
from cgnode.proto.imap.scanner import SYSTEM_FLAGS

_ASTRING: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_QUOTABLE: Final = re.compile(rb"[ -~]{0,1000}")
_SPECIAL: Final = re.compile(rb'(["\\])')
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FLAG_ORDER: Final = {flag: place for place, flag in enumerate(SYSTEM_FLAGS.values())}

_LAST: Final = 253402300799
"""The end of the year 9999."""

NIL: Final = b"NIL"


def string(value: bytes) -> bytes:
    """Quoted where that can hold it, a literal otherwise."""
    return quoted(value) if _QUOTABLE.fullmatch(value) else literal(value)


def nstring(value: bytes | None) -> bytes:
    return NIL if value is None else string(value)


def astring(value: bytes) -> bytes:
    """An atom where that can hold it.  NIL is not one: a client may take it for nil."""
    if _ASTRING.fullmatch(value) and len(value) <= 1000 and value.upper() != NIL:
        return value
    return string(value)


def quoted(value: bytes) -> bytes:
    return b'"%b"' % _SPECIAL.sub(rb"\\\1", value)


def literal(value: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(value), value)


def mailbox(name: str) -> bytes:
    return astring(names.encode(name))


def listed(items: Iterable[bytes]) -> bytes:
    return b"(%b)" % b" ".join(items)


def flags(names_: Iterable[str]) -> bytes:
    """A flag list: the system's in their order, then the keywords by name."""
    return listed(flag.encode() for flag in sorted(names_, key=_flag_place))


def date_time(seconds: int) -> bytes:
    """A ``date-time`` of so many seconds since 1970: in UTC, and in English."""
    when = time.gmtime(min(max(seconds, 0), _LAST))
    day = f"{when.tm_mday:2}-{_MONTHS[when.tm_mon - 1]}-{when.tm_year:04}"
    return f'"{day} {when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02} +0000"'.encode()


def text(words: str) -> bytes:
    """What people read at a response's end: one line of ASCII, never empty, and never
    taken for a response code."""
    line = re.sub(r"[^ -~]+", " ", words).strip() or "-"
    return line.lstrip("[").encode("ascii") or b"-"


def _flag_place(flag: str) -> tuple[int, str]:
    return (_FLAG_ORDER.get(flag, len(_FLAG_ORDER)), flag)
