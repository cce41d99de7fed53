"""Lines and dot-terminated text, cut out of a stream: limits, endings, dots
(RFC 5321 sections 2.3.8, 4.5.2 and 4.5.3; RFC 1939 section 3 has the same text).

What lives here: where a line and a message's text end, and nothing of what they mean.
All of these give the same result wherever their input was cut.

A line ends with CRLF, and a message's text with CRLF "." CRLF; nothing else ends a text,
whatever the policy.  Servers that disagreed about this let mail be smuggled (2023): what
one took for a message's content was for the next its end and further commands.  So a
line feed or carriage return alone is refused, or made what every other server takes it
for, both when text comes in and when it goes out.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

CR: Final = 0x0D
CRLF: Final = b"\r\n"

END_OF_TEXT: Final = b"\r\n.\r\n"

# The longest end of the input that END_OF_TEXT, a stuffed dot, or a line's ending could
# begin with; after a line feed alone too, since that may become an ending.
_UNDECIDED: Final = re.compile(rb"(?:\r?\n(?:\.\r?)?|\r)\Z")
_MOST_UNDECIDED: Final = 4


class Newlines(Enum):
    """What a line feed is that no carriage return precedes.  A carriage return that no
    line feed follows is never an ending."""

    REFUSE = "an error"
    NORMALISE = "the end of a line"


class LineFault(Enum):
    TOO_LONG = "line too long"
    STRAY = "CR or LF that is not part of CRLF, or in a text a NUL"


class LineReader:
    """A stream's lines, and what stands between them that is not lines.

    ``max_line`` counts a line's octets with its ending; it may be changed at any time.
    No more than that is kept of a line that has not ended.
    """

    __slots__ = ("_buffer", "_ending", "_overlong", "_pos", "_searched", "max_line")

    def __init__(self, max_line: int, newlines: Newlines = Newlines.REFUSE) -> None:
        self.max_line = max_line
        self._ending = CRLF if newlines is Newlines.REFUSE else b"\n"
        self._buffer = b""
        self._pos = 0
        self._searched = 0
        """Octets from ``_pos`` on in which no ending begins."""
        self._overlong = False
        """The line that ``_pos`` is in is too long, and its beginning is gone."""

    @property
    def buffered(self) -> int:
        """Octets that have not been taken."""
        return len(self._buffer) - self._pos

    def feed(self, data: bytes) -> None:
        self._buffer = self._buffer[self._pos :] + data if self._buffer else data
        self._pos = 0

    def next_line(self) -> bytes | LineFault | None:
        """The next line without its ending, or what is wrong with it; None while it has
        not ended."""
        buffer, start, ending = self._buffer, self._pos, self._ending
        found = buffer.find(ending, start + self._searched)
        if found < 0:
            self._wait()
            return None
        stop = found + len(ending)
        overlong = self._overlong or stop - start > self.max_line
        self._advance(stop)
        if overlong:
            return LineFault.TOO_LONG
        if len(ending) == 1 and found > start and buffer[found - 1] == CR:
            found -= 1
        line = buffer[start:found]
        return LineFault.STRAY if b"\r" in line or b"\n" in line else line

    def take(self, most: int) -> bytes:
        """Up to ``most`` octets, whatever they are."""
        stop = min(self._pos + most, len(self._buffer))
        data = self._buffer[self._pos : stop]
        self._advance(stop)
        return data

    def take_all(self) -> bytes:
        return self.take(len(self._buffer))

    def put_back(self, data: bytes) -> None:
        """Give back the end of what was taken."""
        self._buffer = data + self._buffer[self._pos :]
        self._pos = self._searched = 0

    def clear(self) -> None:
        """Forget what has not been taken, an unfinished line included."""
        self._advance(len(self._buffer))

    def _advance(self, stop: int) -> None:
        self._searched = 0
        self._overlong = False
        if stop == len(self._buffer):
            self._buffer, self._pos = b"", 0
        else:
            self._pos = stop

    def _wait(self) -> None:
        length = self.buffered
        undecided = len(self._ending) - 1
        if self._overlong or length >= self.max_line:
            self._overlong = True
            self._buffer = self._buffer[len(self._buffer) - undecided :] if undecided else b""
            self._pos = self._searched = 0
        else:
            self._searched = max(0, length - undecided)


# --- text ------------------------------------------------------------------------------


def has_stray(text: bytes) -> bool:
    """There is a CR or LF that is not part of a CRLF, or a NUL."""
    return not text.count(b"\n") == text.count(CRLF) == text.count(b"\r") or b"\0" in text


def normalised(text: bytes) -> bytes:
    """Every line feed with a carriage return.  Other carriage returns become spaces,
    since some take them for an ending (Postfix: cleanup_replace_stray_cr_lf), and so do
    NULs, which some drop, and no IMAP literal may have (RFC 9051 section 4.3)."""
    return text.replace(CRLF, b"\n").translate(_SPACED).replace(b"\n", CRLF)


_SPACED: Final = bytes.maketrans(b"\r\0", b"  ")


class _Text:
    """What DATA's and BDAT's text have in common: endings and the length of lines."""

    __slots__ = ("_column", "_max_line", "_newlines", "fault")

    def __init__(self, newlines: Newlines, max_line: int) -> None:
        self._newlines = newlines
        self._max_line = max_line
        self._column = 0
        self.fault: LineFault | None = None

    def endings(self, text: bytes) -> bytes:
        """``text``, which does not end with CR, with lines that end as they should."""
        if not has_stray(text):
            return text
        if self._newlines is Newlines.REFUSE:
            self.fault = self.fault or LineFault.STRAY
        return normalised(text)

    def measure(self, text: bytes) -> bytes:
        """``text``, or nothing of it from the fault on."""
        if self.fault is not None:
            return b""
        start = -self._column
        while len(text) - start > self._max_line:
            newline = text.rfind(b"\n", max(start, 0), start + self._max_line)
            if newline < 0:
                self.fault = LineFault.TOO_LONG
                return b""
            start = newline + 1
        newline = text.rfind(b"\n")
        self._column = self._column + len(text) if newline < 0 else len(text) - newline - 1
        return text


class DotReader:
    """Text that ends with a line of one dot, where other lines that begin with a dot have
    one more in front (RFC 5321 section 4.5.2).

    ``max_line`` counts octets with CRLF, as they are without dot-stuffing.  ``fault`` is
    what is wrong with the text: then the rest of it is read and dropped, so that none of
    it is ever taken for commands.
    """

    __slots__ = ("_begun", "_held", "_text")

    def __init__(self, newlines: Newlines, max_line: int) -> None:
        self._text = _Text(newlines, max_line)
        self._held = CRLF  # before the first line, which may be the end
        self._begun = False

    @property
    def fault(self) -> LineFault | None:
        return self._text.fault

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The text that is certain now; and once it has ended, what came behind it."""
        data = self._held + data
        end = data.find(END_OF_TEXT)
        rest: bytes | None = None
        if end >= 0:
            text, rest = data[: end + len(CRLF)], data[end + len(END_OF_TEXT) :]
            self._held = b""
        else:
            undecided = _UNDECIDED.search(data, max(0, len(data) - _MOST_UNDECIDED))
            stop = len(data) if undecided is None else undecided.start()
            text, self._held = data[:stop], data[stop:]
        if not text:
            return b"", rest
        text = self._text.endings(text).replace(b"\r\n.", CRLF)
        if not self._begun:
            self._begun = True
            text = text[len(CRLF) :]
        return self._text.measure(text), rest


class ChunkReader:
    """Text that comes in counted chunks (RFC 3030), under the same rules for its lines.

    The caller counts; ``finish`` is for the end of the last chunk.
    """

    __slots__ = ("_held", "_text")

    def __init__(self, newlines: Newlines, max_line: int) -> None:
        self._text = _Text(newlines, max_line)
        self._held = b""

    @property
    def fault(self) -> LineFault | None:
        return self._text.fault

    def feed(self, data: bytes) -> bytes:
        """The text that is certain now."""
        data = self._held + data
        stop = len(data) - data.endswith(b"\r")
        self._held = data[stop:]
        return self._text.measure(self._text.endings(data[:stop]))

    def finish(self) -> bytes:
        """What was held back: a carriage return, which nothing follows now."""
        held, self._held = self._held, b""
        return self._text.measure(self._text.endings(held))


class DotStuffer:
    """Text on its way out, to a DotReader.  It never has a CR or LF that is not CRLF, so
    that what is stored with other line endings may be sent as it is."""

    __slots__ = ("_held", "_line_start")

    def __init__(self) -> None:
        self._held = b""
        self._line_start = True

    def feed(self, data: bytes) -> bytes:
        data = self._held + data if self._held else data
        stop = len(data) - data.endswith(b"\r")
        self._held = data[stop:]
        return self._stuffed(data[:stop] if self._held else data)

    def finish(self) -> bytes:
        """The end: of the last line too, if that has none."""
        last, self._held = self._stuffed(self._held), b""
        return last + (b".\r\n" if self._line_start else END_OF_TEXT)

    def _stuffed(self, text: bytes) -> bytes:
        if not text:
            return b""
        if has_stray(text):
            text = normalised(text)
        first = b"." if self._line_start and text.startswith(b".") else b""
        self._line_start = text.endswith(b"\n")
        return first + text.replace(b"\r\n.", b"\r\n..")
