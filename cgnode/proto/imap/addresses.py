"""Address lists of header fields (RFC 5322 section 3.4, with the obsolete forms).

What lives here: field value to addresses, as ENVELOPE wants them.  Any octets have a
reading; encoded words are left as they are.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from attrs import frozen

_TOKEN: Final = re.compile(
    rb'(?P<space>\s+)|"(?P<quoted>(?:[^"\\]|\\.)*+)"?|(?P<literal>\[[^\]]*\]?)'
    rb'|(?P<special>[<>@,;:()])|(?P<atom>[^\s"\[<>@,;:()]+)',
    re.DOTALL,
)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_IN_COMMENT: Final = re.compile(rb"[^()\\]+|\\.?|[()]", re.DOTALL)
_END: Final = b""

MOST_OCTETS: Final = 100_000


@frozen
class Address:
    """RFC 3501 section 7.4.2: a group begins with an address that has a mailbox and no
    host, and ends with one that has neither."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END: Final = Address(None, None, None, None)


class _Kind(Enum):
    PLAIN = "an atom, a quoted string without its quotes, or a domain literal"
    SPECIAL = "one of <>@,;:"
    COMMENT = "what stands in parentheses"


_Word = tuple[_Kind, bytes]

_PLAIN, _SPECIAL, _COMMENT = _Kind


def parse_addresses(value: bytes) -> tuple[Address, ...]:
    """The addresses, as far as they are among the first ``MOST_OCTETS`` of the value."""
    return _Reader(_words(value[:MOST_OCTETS])).all()


class _Reader:
    def __init__(self, words: list[_Word]) -> None:
        self._words = words
        self._at = 0
        self._found: list[Address] = []

    def all(self) -> tuple[Address, ...]:
        grouped = False
        while not self._is(_END):
            if self._is(b",") or self._is(b">"):
                self._at += 1
            elif self._is(b";"):
                self._at += 1
                if grouped:
                    self._found.append(GROUP_END)
                    grouped = False
            else:
                grouped = self._one(grouped)
        if grouped:
            self._found.append(GROUP_END)
        return tuple(self._found)

    def _one(self, grouped: bool) -> bool:
        """One address, or a group's beginning; whether we are in a group now."""
        words = self._plain()
        if self._is(b":"):
            self._at += 1
            if grouped:
                self._found.append(GROUP_END)
            self._found.append(Address(None, None, _phrase(words) or b"", None))
            return True
        if self._is(b"<"):
            self._at += 1
            self._angle(_phrase(words))
        elif self._is(b"@"):
            self._at += 1
            domain = self._plain()
            comments = _comments(words) + _comments(domain)
            self._found.append(Address(_phrase(comments), None, _joined(words), _joined(domain)))
            while self._is(b"@"):
                self._at += 1
                self._plain()
        elif local := _joined(words):
            self._found.append(Address(_phrase(_comments(words)), None, local, b""))
        return grouped

    def _angle(self, name: bytes | None) -> None:
        """``<[route:] local@domain>``."""
        route: bytes | None = None
        start = self._at
        while not (self._is(b":") or self._is(b">") or self._is(_END)):
            self._at += 1
        if self._is(b":") and self._words[start] == (_SPECIAL, b"@"):
            route = b"".join(text for kind, text in self._words[start : self._at] if kind is not _COMMENT)
            self._at += 1
        else:
            self._at = start
        local = self._plain()
        domain: list[_Word] = []
        if self._is(b"@"):
            self._at += 1
            domain = self._plain()
        while not (self._is(b">") or self._is(_END) or self._is(b",") or self._is(b";")):
            self._at += 1
        if self._is(b">"):
            self._at += 1
        self._found.append(Address(name, route, _joined(local), _joined(domain)))

    def _is(self, special: bytes) -> bool:
        if self._at >= len(self._words):
            return special == _END
        return self._words[self._at] == (_SPECIAL, special)

    def _plain(self) -> list[_Word]:
        start = self._at
        while self._at < len(self._words) and self._words[self._at][0] is not _SPECIAL:
            self._at += 1
        return self._words[start : self._at]


def _words(value: bytes) -> list[_Word]:
    words: list[_Word] = []
    at = 0
    while at < len(value):
        token = _TOKEN.match(value, at)
        assert token is not None, "any octet begins a token"
        at = token.end()
        match token.lastgroup:
            case "space":
                continue
            case "special" if token[0] == b"(":
                text, at = _comment(value, at)
                words.append((_COMMENT, text))
                continue
            case "special" if token[0] == b")":
                continue
            case "special":
                words.append((_SPECIAL, token[0]))
            case "quoted":
                words.append((_PLAIN, _ESCAPE.sub(rb"\1", token["quoted"])))
            case _:
                words.append((_PLAIN, token[0]))
    return words


def _comment(value: bytes, at: int) -> tuple[bytes, int]:
    """What is in a comment, comments within it included, and where it ends."""
    depth = 1
    text: list[bytes] = []
    for piece in _IN_COMMENT.finditer(value, at):
        if piece[0] == b"(":
            depth += 1
        elif piece[0] == b")":
            depth -= 1
            if not depth:
                return b"".join(text).strip(), piece.end()
        text.append(piece[0][1:] if piece[0].startswith(b"\\") else piece[0])
    return b"".join(text).strip(), len(value)


def _comments(words: list[_Word]) -> list[_Word]:
    return [word for word in words if word[0] is _COMMENT]


def _phrase(words: list[_Word]) -> bytes | None:
    """A display name; comments are it only where there is nothing else."""
    plain = [text for kind, text in words if kind is not _COMMENT]
    return b" ".join(plain or [text for _, text in words]).strip() or None


def _joined(words: list[_Word]) -> bytes:
    """A local part or domain: obsolete forms have spaces and comments around the dots."""
    return b"".join(text for kind, text in words if kind is not _COMMENT)
