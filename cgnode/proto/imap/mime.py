"""A message's parts as places in its octets (RFC 5322 section 2, RFC 2045, RFC 2046).

What lives here: where header, body and parts begin and end, and header fields by name.
Nothing is decoded and nothing is copied but header values.  Any octets are a message;
what is malformed is taken as text, and nothing of it is lost.

Cost is linear in the message: parts within parts, and parts in all, are limited, and what
exceeds that is one part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from attrs import frozen

DEEPEST: Final = 30
MOST_PARTS: Final = 1000

_LF: Final = 0x0A
_BLANK_LINE: Final = re.compile(rb"\n(\r?\n)")
_FIRST_LINE_BLANK: Final = re.compile(rb"\r?\n")
_FIELD: Final = re.compile(rb"[^\n]+(?:\n[ \t][^\n]*)*\n?|\n")
_NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FOLD: Final = re.compile(rb"\r?\n|\0")
_TYPE: Final = re.compile(rb"\s*([^\s/;()\"]+)\s*/\s*([^\s/;()\"]+)")
_PARAMETER: Final = re.compile(rb';\s*([^\s=;"()]+)\s*=\s*(?:"((?:[^"\\]|\\.)*+)"?|([^\s;"]*))', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_BOUNDARY_END: Final = re.compile(rb"(--[^\n]*|[ \t]*\r?)(?:\n|\Z)")

Parameters = tuple[tuple[bytes, bytes], ...]


Field = tuple[bytes, int, int]
"""A header field: its name in lower case, and its place with its line's end."""


@frozen
class ContentType:
    """In lower case, but for the parameters' values."""

    type: bytes
    subtype: bytes
    parameters: Parameters

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.parameters if key.lower() == name), None)


PLAIN_TEXT: Final = ContentType(b"text", b"plain", ((b"charset", b"us-ascii"),))
"""RFC 2045 section 5.2."""
_EMBEDDED: Final = ContentType(b"message", b"rfc822", ())
"""Within multipart/digest (RFC 2046 section 5.1.5)."""


class _Budget:
    """Parts that one message may still have."""

    def __init__(self) -> None:
        self.left = MOST_PARTS


class Part:
    """A message, or a part of one: ``data[start:body]`` is its header with the blank
    line, ``data[body:end]`` what follows."""

    def __init__(
        self,
        data: bytes,
        start: int = 0,
        end: int | None = None,
        default: ContentType = PLAIN_TEXT,
        depth: int = 0,
        budget: _Budget | None = None,
    ) -> None:
        self.data = data
        self.start = start
        self.end = len(data) if end is None else end
        self._default = default
        self._depth = depth
        self._budget = budget or _Budget()
        self.body = self._find_body()

    # --- header -----------------------------------------------------------------------

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        return tuple(self._fields())

    def value(self, name: bytes) -> bytes | None:
        """The first such field's value, unfolded; None when there is none."""
        return next(iter(self.values(name)), None)

    def values(self, name: bytes) -> list[bytes]:
        return [self._value(start, end) for start, end in self._places_of.get(name, ())]

    @cached_property
    def _places_of(self) -> dict[bytes, list[tuple[int, int]]]:
        places: dict[bytes, list[tuple[int, int]]] = {}
        for name, start, end in self.fields:
            places.setdefault(name, []).append((start, end))
        return places

    @cached_property
    def content_type(self) -> ContentType:
        value = self.value(b"content-type")
        if value is None:
            return self._default
        found = _TYPE.match(value)
        if found is None:
            return PLAIN_TEXT
        return ContentType(found[1].lower(), found[2].lower(), parameters(value[found.end() :]))

    # --- parts ------------------------------------------------------------------------

    @cached_property
    def children(self) -> tuple[Part, ...]:
        """The parts of a multipart; none where no part can be found."""
        kind = self.content_type
        boundary = kind.get(b"boundary")
        if kind.type != b"multipart" or not boundary or self._depth >= DEEPEST:
            return ()
        default = _EMBEDDED if kind.subtype == b"digest" else PLAIN_TEXT
        return tuple(
            Part(self.data, start, end, default, self._depth + 1, self._budget)
            for start, end in self._places(boundary)
        )

    @cached_property
    def message(self) -> Part | None:
        """The message that this part holds."""
        kind = self.content_type
        if (kind.type, kind.subtype) not in ((b"message", b"rfc822"), (b"message", b"global")):
            return None
        if self._depth >= DEEPEST:
            return None
        return Part(self.data, self.body, self.end, PLAIN_TEXT, self._depth + 1, self._budget)

    # --- the work ---------------------------------------------------------------------

    def _find_body(self) -> int:
        blank = _FIRST_LINE_BLANK.match(self.data, self.start, self.end)
        if blank is None:
            blank = _BLANK_LINE.search(self.data, self.start, self.end)
        return self.end if blank is None else blank.end()

    def _fields(self) -> Iterator[Field]:
        for line in _FIELD.finditer(self.data, self.start, self.body):
            name = _NAME.match(line[0])
            # What has no name is of no field: mbox's From line, the blank line.
            yield name[1].lower() if name else b"", line.start(), line.end()

    def _value(self, start: int, end: int) -> bytes:
        raw = self.data[start:end]
        return _FOLD.sub(b"", raw[raw.index(b":") + 1 :]).strip()

    def _places(self, boundary: bytes) -> Iterator[tuple[int, int]]:
        """RFC 2046 section 5.1.1: the line's end before a boundary is the boundary's.
        Without an end, and where no more parts may be, the last part is the rest."""
        began: int | None = None
        for start, end, closes in self._boundaries(b"--" + boundary):
            if began is not None:
                if self._budget.left <= 0:
                    break
                yield began, max(began, self._before_line_end(start))
            if closes:
                return
            self._budget.left -= 1
            began = end
        if began is not None:
            yield began, self.end

    def _boundaries(self, marker: bytes) -> Iterator[tuple[int, int, bool]]:
        at = self.data.find(marker, self.body, self.end)
        while at >= 0:
            behind = at + len(marker)
            if at == self.body or self.data[at - 1] == _LF:
                line_end = _BOUNDARY_END.match(self.data, behind, self.end)
                if line_end is not None:
                    yield at, line_end.end(), line_end[1].startswith(b"--")
                    behind = line_end.end()
            at = self.data.find(marker, behind, self.end)

    def _before_line_end(self, at: int) -> int:
        if at > self.body and self.data[at - 1] == _LF:
            at -= 1
            if at > self.body and self.data[at - 1] == 0x0D:
                at -= 1
        return at


def parameters(text: bytes) -> Parameters:
    """``; name=value`` pairs, as Content-Type and Content-Disposition have them."""
    found: list[tuple[bytes, bytes]] = []
    for parameter in _PARAMETER.finditer(text):
        quoted = parameter[2]
        value = parameter[3] if quoted is None else _ESCAPE.sub(rb"\1", quoted)
        found.append((parameter[1], value))
    return tuple(found)
