"""Octets to whole commands: lines and literals (RFC 3501 section 4.3, RFC 7888).

What lives here: where a command ends, and the limits on what is kept of it.  What a
command says, and whether its literals are wanted, is for others to decide, and is
decided before an octet of the literal is read.

RFC 7888 section 3 is the law for what is refused: whatever stands in a line, when it ends
in ``{n+}`` then n octets and one more line belong to the same command, and are skipped
with it, never taken for commands.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, TypeAlias

from attrs import frozen

LITERAL: Final = 0
"""Stands in a command's text where a literal stands on the wire: NUL can't stand there
otherwise (RFC 3501 section 9, note 3)."""

_MARK: Final = re.compile(rb"(~?)\{(\d+)(\+?)\}\Z")
_LONGEST_MARK: Final = 64
_MOST_DIGITS: Final = 18
_ENDLESS: Final = 10**_MOST_DIGITS
_HEAD: Final = 256
"""How much of a skipped command is shown: enough for its tag."""


@frozen
class Whole:
    """A command that has arrived whole; ``LITERAL`` stands in ``text`` for each literal."""

    text: bytes
    literals: tuple[bytes, ...]


@frozen
class Announced:
    """A literal is announced behind ``text``: ``accept``, ``stream`` or ``refuse`` it.
    ``waits``: its sender sends it when it is asked to, not before."""

    text: bytes
    literals: tuple[bytes, ...]
    size: int
    waits: bool
    binary: bool


@frozen
class Octets:
    """A part of a literal that is streamed."""

    data: bytes
    last: bool


@frozen
class Skipped:
    """What begins with ``text`` is no command and is skipped to its end."""

    text: bytes
    reason: str


@frozen
class Endless:
    """More is announced than would be skipped: there is no way to go on."""


Input: TypeAlias = Whole | Announced | Octets | Skipped | Endless


class Overlong(Exception):
    """A line is longer than it may be.  It is unread still: ``skip_line``."""


class _Mode(Enum):
    LINE = "a line of a command"
    ASKED = "a literal is announced and neither accepted nor refused"
    LITERAL = "a literal that is kept"
    STREAM = "a literal that is passed on"
    SKIP_LITERAL = "a literal of a command that is refused"
    SKIP_LINE = "the rest of a line of such a command"


class Reader:
    """One connection's input.

    ``most_text`` bounds the text of a command, ``most_skipped`` a literal that is read
    only to be thrown away; both may be changed between commands.
    """

    def __init__(self, most_text: int, most_skipped: int) -> None:
        self.most_text = most_text
        self.most_skipped = most_skipped
        self._data = bytearray()
        self._scanned = 0
        self._mode = _Mode.LINE
        self._text = bytearray()
        self._literals: list[bytes] = []
        self._wanted = 0
        self._waits = False

    def __len__(self) -> int:
        """Octets that have arrived and are not used."""
        return len(self._data)

    @property
    def kept(self) -> int:
        """Octets that are kept of the command at hand, its literals included."""
        return len(self._text) + sum(map(len, self._literals))

    @property
    def first(self) -> int | None:
        """The first octet that is not used."""
        return self._data[0] if self._data else None

    def feed(self, data: bytes) -> None:
        self._data += data

    def take_all(self) -> bytes:
        """What has arrived and is not used, for whoever goes on with the connection."""
        data = bytes(self._data)
        self._data.clear()
        self._scanned = 0
        self._restart()
        return data

    # --- lines that are no commands ---------------------------------------------------

    def line(self, most: int) -> bytes | None:
        """A line by itself, None when it is not all there; raises Overlong.  A line ends
        in LF; the CR before it is not of the line."""
        end = self._data.find(b"\n", self._scanned)
        if (len(self._data) if end < 0 else end) > most:
            raise Overlong
        if end < 0:
            self._scanned = len(self._data)
            return None
        line = bytes(self._data[:end])
        self._drop(end + 1)
        return line[:-1] if line.endswith(b"\r") else line

    def skip_line(self) -> None:
        """Skip the line at hand, and what belongs to it."""
        self._mode = _Mode.SKIP_LINE

    # --- commands ---------------------------------------------------------------------

    def next(self) -> Input | None:
        """What has arrived; None when it is not all there."""
        while True:
            match self._mode:
                case _Mode.LINE:
                    return self._line()
                case _Mode.ASKED:
                    return None
                case _Mode.LITERAL:
                    if len(self._data) < self._wanted:
                        return None
                    self._literals.append(bytes(self._data[: self._wanted]))
                    self._drop(self._wanted)
                    self._mode = _Mode.LINE
                case _Mode.STREAM:
                    return self._stream()
                case _Mode.SKIP_LITERAL:
                    gone = min(self._wanted, len(self._data))
                    self._drop(gone)
                    self._wanted -= gone
                    if self._wanted:
                        return None
                    self._mode = _Mode.SKIP_LINE
                case _Mode.SKIP_LINE:
                    end = self._data.find(b"\n")
                    if end < 0:
                        self._drop(max(0, len(self._data) - _LONGEST_MARK))
                        return None
                    tail = bytes(self._data[max(0, end - _LONGEST_MARK) : end])
                    self._drop(end + 1)
                    if self._skip_behind(tail):
                        return Endless()

    def accept(self) -> None:
        """Keep the announced literal."""
        self._text.append(LITERAL)
        self._mode = _Mode.LITERAL

    def stream(self) -> None:
        """Pass the announced literal on as ``Octets``.  What follows it in the same
        command comes with a text of its own."""
        self._text.clear()
        self._literals.clear()
        self._mode = _Mode.STREAM

    def refuse(self) -> None:
        """Skip the rest of the command at hand.  An announced literal that waits to be
        asked for never comes (RFC 3501 section 7.5)."""
        match self._mode:
            case _Mode.ASKED if self._waits:
                self._restart()
            case _Mode.ASKED | _Mode.STREAM | _Mode.LITERAL:
                self._mode = _Mode.SKIP_LITERAL
            case _Mode.LINE:
                self._mode = _Mode.SKIP_LINE
            case _Mode.SKIP_LITERAL | _Mode.SKIP_LINE:
                pass
        self._text.clear()
        self._literals.clear()

    # --- the parts --------------------------------------------------------------------

    def _line(self) -> Input | None:
        room = self.most_text - len(self._text)
        try:
            line = self.line(room)
        except Overlong:
            head = bytes(self._text + self._data[:room])[:_HEAD]
            self.refuse()
            return Skipped(head, "the command line is too long")
        if line is None:
            return None
        if b"\0" in line:
            head = bytes(self._text + line)[:_HEAD]
            self._text.clear()
            self._literals.clear()
            return Endless() if self._skip_behind(line) else Skipped(head, "NUL in a command line")
        mark = _MARK.search(line[-_LONGEST_MARK:])
        if mark is None:
            self._text += line
            whole = Whole(bytes(self._text), tuple(self._literals))
            self._restart()
            return whole
        self._text += line[: -len(mark[0])]
        self._wanted = _size(mark)
        self._waits = not mark[3]
        self._mode = _Mode.ASKED
        if self._wanted > self.most_skipped and not self._waits:
            return Endless()
        text, literals = bytes(self._text), tuple(self._literals)
        return Announced(text, literals, self._wanted, self._waits, bool(mark[1]))

    def _stream(self) -> Octets | None:
        if self._wanted and not self._data:
            return None
        data = bytes(self._data[: self._wanted])
        self._drop(len(data))
        self._wanted -= len(data)
        if not self._wanted:
            self._mode = _Mode.LINE
        return Octets(data, not self._wanted)

    def _skip_behind(self, line: bytes) -> bool:
        """Go on behind a line of what is skipped; whether there is no way to."""
        mark = _MARK.search(line.removesuffix(b"\r")[-_LONGEST_MARK:])
        if mark is None or not mark[3]:
            # A literal that its sender wants to be asked for: it has had its refusal.
            self._restart()
            return False
        self._wanted = _size(mark)
        self._mode = _Mode.SKIP_LITERAL
        return self._wanted > self.most_skipped

    def _drop(self, count: int) -> None:
        del self._data[:count]
        self._scanned = 0

    def _restart(self) -> None:
        self._text.clear()
        self._literals.clear()
        self._mode = _Mode.LINE


def _size(mark: re.Match[bytes]) -> int:
    return int(mark[2]) if len(mark[2]) <= _MOST_DIGITS else _ENDLESS
