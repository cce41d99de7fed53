"""Replies: three digits, an enhanced status code, lines of text (RFC 5321 section 4.2,
RFC 2034, RFC 3463).

What lives here: the value, its wire form, the client's reader for it.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from cgnode.proto.lines import LineFault, LineReader, Newlines

_MAX_LINE: Final = 512  # RFC 5321 section 4.5.3.1.5, with CRLF
_SHORT: Final = 450
_NOT_TEXT: Final = re.compile(r"[^\t -~]")


@frozen
class Reply:
    """``enhanced`` is "" where there is none; ``text`` may have several lines."""

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    def encode(self) -> bytes:
        """The lines, each with both codes (RFC 2034 section 4).  What is not ASCII text
        becomes question marks: a reply may quote what a client said."""
        enhanced = f"{self.enhanced} " if self.enhanced else ""
        if len(self.text) <= _SHORT and self.text.isascii() and self.text.isprintable():
            return f"{self.code} {enhanced}{self.text}\r\n".encode("ascii")
        room = _MAX_LINE - len(f"{self.code} {enhanced}\r\n")
        lines = [piece for line in self.text.split("\n") for piece in _pieces(line, room)]
        last = f"{self.code} {enhanced}{lines[-1]}\r\n"
        before = [f"{self.code}-{enhanced}{line}\r\n" for line in lines[:-1]]
        return "".join((*before, last)).encode("ascii")

    def __str__(self) -> str:
        """In one line, for logs and reports."""
        return " ".join(filter(None, (str(self.code), self.enhanced, " ".join(self.text.split()))))


def _pieces(line: str, room: int) -> list[str]:
    if not (line.isascii() and line.isprintable()):
        line = _NOT_TEXT.sub("?", line)
    if len(line) <= room:
        return [line]
    return [line[start : start + room] for start in range(0, len(line), room)]


# --- reading ---------------------------------------------------------------------------

_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


class MalformedReply(Exception):
    """What the server sent is no reply; ``str()`` says why."""


class ReplyReader:
    """The replies in what a server sends.  A line may be longer than the standard has it,
    and end with LF alone; there are bounds to both."""

    __slots__ = ("_code", "_lines", "_most_lines", "_texts")

    def __init__(self, max_line: int = 4096, most_lines: int = 256) -> None:
        self._lines = LineReader(max_line, Newlines.NORMALISE)
        self._most_lines = most_lines
        self._code = b""
        self._texts: list[str] = []

    @property
    def buffered(self) -> bool:
        """Something has come that has not been returned, if only a reply's beginning."""
        return bool(self._lines.buffered or self._texts)

    def feed(self, data: bytes) -> None:
        self._lines.feed(data)

    def clear(self) -> None:
        """Forget what has not been returned."""
        self._lines.clear()
        self._texts = []

    def next_reply(self) -> Reply | None:
        """The next whole one; raises MalformedReply, after which the stream has no
        meaning."""
        while (line := self._lines.next_line()) is not None:
            if isinstance(line, LineFault):
                raise MalformedReply(line.value)
            form = _LINE.fullmatch(line)
            if form is None:
                raise MalformedReply("no reply code")
            if self._texts and form[1] != self._code:
                raise MalformedReply("several codes in one reply")
            self._code = form[1]
            self._texts.append((form[3] or b"").decode("utf-8", "replace"))
            if form[2] != b"-":
                texts, self._texts = self._texts, []
                return _reply(int(form[1]), texts)
            if len(self._texts) >= self._most_lines:
                raise MalformedReply("a reply of too many lines")
        return None


def _reply(code: int, texts: list[str]) -> Reply:
    first = _ENHANCED.match(texts[0])
    if first is None or first[1][0] != str(code)[0]:
        return Reply(code, "", "\n".join(texts))
    enhanced = first[1]
    stripped = (
        text[len(enhanced) + 1 :] if text == enhanced or text.startswith(f"{enhanced} ") else text
        for text in texts
    )
    return Reply(code, enhanced, "\n".join(stripped))
