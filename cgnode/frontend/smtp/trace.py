"""Header fields that are added on the way: Received (RFC 5321 section 4.4, RFC 3848,
RFC 6531 section 4.3); Date and Message-ID where an author's program has left them out
(RFC 6409 section 8).  And what a header says of its own way: how many have added to it.

What lives here: text.  What must not: when; clocks.

A text goes through ``Header`` as it comes.  No more than a line is held back, and what
follows the header is not looked at.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from attrs import frozen

from cgnode.frontend.smtp.terms import plain_address
from cgnode.proto.smtp.address import Address, is_domain

# RFC 5322 section 2.2; a space before the colon is obsolete (section 4.5).
_FIELDS: Final = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\n]*\n|[ \t][^\n]*\n)*")
_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DATE: Final = re.compile(rb"^date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID: Final = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)
# What may stand in a comment, of what a client calls itself.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]+")


@frozen
class Source:
    """Where a message comes from: ``hello`` is what the client calls itself, ``name`` what
    a trusted proxy calls it."""

    hello: str
    address: str
    name: str = ""


@lru_cache(4)
def date(second: int) -> str:
    """RFC 5322 section 3.3, in UTC."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


def protocol(extended: bool, utf8: bool, secure: bool, authenticated: bool) -> str:
    """``with`` what it came (RFC 3848; RFC 6531 section 4.3)."""
    if not extended:
        return "SMTP"
    return ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if secure else "") + ("A" if authenticated else "")


def received_from(source: Source, hostname: str) -> str:
    """The beginning of Received, the same for all messages of a connection."""
    literal = _literal(source.address)
    plain = source.hello if is_domain(source.hello) and source.hello.isascii() else ""
    odd = "" if plain or _PLAIN.fullmatch(source.hello) is None else f"HELO {source.hello}; "
    name = f"{source.name} " if _PLAIN.fullmatch(source.name) else ""
    return f"Received: from {plain or literal} ({odd}{name}{literal})\r\n\tby {hostname} (cgnode)"


def received(start: str, with_: str, id: str, session: str, only: Address | None, second: int) -> bytes:
    """``only``: the recipient, when there is just one; more of them would tell each of the
    others.  The session's id is what logs are searched for."""
    to = ""
    if only is not None and (only.ascii or with_.startswith("UTF8")):
        to = f"\r\n\tfor <{only}>"
    text = f"{start} with {with_}\r\n\tid {id} (session {session}){to};\r\n\t{date(second)}\r\n"
    return text.encode()


def _literal(address: str) -> str:
    found = plain_address(address)
    if found is None:
        return "[unknown]"
    return f"[IPv6:{found}]" if isinstance(found, IPv6Address) else f"[{found}]"


def _end_of_fields(data: bytes) -> int:
    fields = _FIELDS.match(data)
    return 0 if fields is None else fields.end()


class Header:
    """A text's header on its way.  ``complete`` is what to add where there is no such
    field: Date and Message-ID, each as a whole line; None: nothing is added."""

    __slots__ = ("_complete", "_dated", "_held", "_identified", "ended", "hops")

    def __init__(self, complete: tuple[bytes, bytes] | None = None) -> None:
        self._complete = complete
        self._held = b""
        self._dated = self._identified = False
        self.hops = 0
        """Received fields so far."""
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """What goes on of the text, with what was added."""
        if self.ended:
            return data
        if self._held:
            data = self._held + data
        stop = _end_of_fields(data)
        self._look(data[:stop])
        # The line behind the fields is the header's end, unless there is more of it to come.
        if data.find(b"\n", stop) < 0:
            self._held = data[stop:]
            return data[:stop]
        self._held = b""
        return data[:stop] + self._end(data[stop : stop + 2] == b"\r\n") + data[stop:]

    def finish(self) -> bytes:
        """The text ends here."""
        if self.ended:
            return b""
        held, self._held = self._held, b""
        if _end_of_fields(held + b"\n"):
            self._look(held)
            return held + b"\r\n" + self._end(True)
        return self._end(not held) + held

    def _look(self, fields: bytes) -> None:
        self.hops += len(_RECEIVED.findall(fields))
        if self._complete is not None:
            self._dated = self._dated or _DATE.search(fields) is not None
            self._identified = self._identified or _MESSAGE_ID.search(fields) is not None

    def _end(self, parted: bool) -> bytes:
        """The fields to add, and an empty line where the body follows without one."""
        self.ended = True
        if self._complete is None:
            return b""
        date, message_id = self._complete
        added = (b"" if self._dated else date) + (b"" if self._identified else message_id)
        return added if parted or not added else added + b"\r\n"
