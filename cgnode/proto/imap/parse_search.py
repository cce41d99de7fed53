"""SEARCH (RFC 3501 section 6.4.4) with RETURN (RFC 4731, RFC 5182), OLDER and YOUNGER
(RFC 5032) and MODSEQ (RFC 7162).

What lives here: the text of a search to its value.  Strings are decoded here, so that a
charset is refused before anything is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cgnode.proto.imap import search as s
from cgnode.proto.imap.codes import BAD_CHARSET, LIMIT
from cgnode.proto.imap.commands import Result, Search
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.scanner import MOST_64, Scanner

# UTF-8 has ASCII in it, and clients that name no charset send UTF-8 all the same.
CHARSETS: Final = ("US-ASCII", "UTF-8")
DEEPEST: Final = 100
MOST_KEYS: Final = 1000
"""Keys within keys, and in all: enough for any OR of names that a program makes, and each
may be asked of every message."""


class UnknownCharset(Fault):
    """``saves``: the search would have saved its result, which is empty now (RFC 5182
    section 2.1)."""

    def __init__(self, saves: bool) -> None:
        known = " ".join(CHARSETS).encode()
        super().__init__("the charset is not known here", BAD_CHARSET + b" (%b)" % known, bad=False)
        self.saves = saves


def parse_search(scanner: Scanner, uid: bool) -> Search:
    scanner.space()
    results: frozenset[Result] | None = None
    if scanner.take(b"RETURN "):
        results = frozenset(scanner.listed(lambda: _result(scanner.word()), empty=True))
        # RFC 4731 section 3.1: nothing named is ALL.
        results = results or frozenset((Result.ALL,))
        scanner.space()
    if scanner.take(b"CHARSET "):
        if scanner.astring().decode("latin-1").upper() not in CHARSETS:
            raise UnknownCharset(results is not None and Result.SAVE in results)
        scanner.space()
    reader = _Keys(scanner)
    keys = [reader.key(1)]
    while scanner.more():
        keys.append(reader.key(1))
    return Search(_all_of(keys), results, uid)


def _result(word: str) -> Result:
    try:
        return Result(word)
    except ValueError:
        raise Fault(f"RETURN {word[:32]} is not known here") from None


class _Keys:
    """Reads keys, and counts them."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._left = MOST_KEYS

    def key(self, depth: int) -> s.Key:
        scanner = self._scanner
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise Fault("the search has too many keys", LIMIT)
        first = scanner.peek()
        if first == b"(":
            return _all_of(scanner.listed(lambda: self.key(depth + 1)))
        if first.isdigit() or first in (b"*", b"$"):
            return s.Sequence(scanner.numbers())
        word = scanner.word()
        if word in _PLAIN:
            return _PLAIN[word]
        scanner.space()
        match word:
            case "NOT":
                return s.Not(self.key(depth + 1))
            case "OR":
                left = self.key(depth + 1)
                scanner.space()
                return s.Or(left, self.key(depth + 1))
            case _ if word in _WITH:
                return _WITH[word](scanner)
        raise Fault(f"the search key {word[:32]} is not known here")


def _all_of(keys: list[s.Key] | tuple[s.Key, ...]) -> s.Key:
    return keys[0] if len(keys) == 1 else s.And(tuple(keys))


def _text(scanner: Scanner) -> str:
    try:
        return scanner.astring().decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("a string is not UTF-8") from None


def _header(scanner: Scanner) -> s.Key:
    field = _text(scanner)
    scanner.space()
    return s.Header(field, _text(scanner))


def _modified(scanner: Scanner) -> s.Key:
    if scanner.peek() == b'"':
        scanner.string()
        scanner.space()
        if scanner.word() not in ("PRIV", "SHARED", "ALL"):
            raise Fault("priv, shared or all is expected")
        scanner.space()
    return s.ModifiedSince(scanner.number(MOST_64))


_SEEN: Final = s.HasFlag("\\Seen")

_PLAIN: Final[Mapping[str, s.Key]] = {
    "ALL": s.And(()),
    "ANSWERED": s.HasFlag("\\Answered"),
    "DELETED": s.HasFlag("\\Deleted"),
    "DRAFT": s.HasFlag("\\Draft"),
    "FLAGGED": s.HasFlag("\\Flagged"),
    "NEW": s.And((s.Recent(), s.Not(_SEEN))),
    "OLD": s.Not(s.Recent()),
    "RECENT": s.Recent(),
    "SEEN": _SEEN,
    "UNANSWERED": s.Not(s.HasFlag("\\Answered")),
    "UNDELETED": s.Not(s.HasFlag("\\Deleted")),
    "UNDRAFT": s.Not(s.HasFlag("\\Draft")),
    "UNFLAGGED": s.Not(s.HasFlag("\\Flagged")),
    "UNSEEN": s.Not(_SEEN),
}

_WITH: Final[Mapping[str, Callable[[Scanner], s.Key]]] = {
    "BCC": lambda scanner: s.Header("Bcc", _text(scanner)),
    "BEFORE": lambda scanner: s.Received(s.When.BEFORE, scanner.date()),
    "BODY": lambda scanner: s.BodyText(_text(scanner)),
    "CC": lambda scanner: s.Header("Cc", _text(scanner)),
    "FROM": lambda scanner: s.Header("From", _text(scanner)),
    "HEADER": _header,
    "KEYWORD": lambda scanner: s.HasFlag(scanner.atom()),
    "LARGER": lambda scanner: s.Larger(scanner.number(MOST_64)),
    "MODSEQ": _modified,
    "OLDER": lambda scanner: s.Within(True, scanner.positive()),
    "ON": lambda scanner: s.Received(s.When.ON, scanner.date()),
    "SENTBEFORE": lambda scanner: s.Sent(s.When.BEFORE, scanner.date()),
    "SENTON": lambda scanner: s.Sent(s.When.ON, scanner.date()),
    "SENTSINCE": lambda scanner: s.Sent(s.When.SINCE, scanner.date()),
    "SINCE": lambda scanner: s.Received(s.When.SINCE, scanner.date()),
    "SMALLER": lambda scanner: s.Smaller(scanner.number(MOST_64)),
    "SUBJECT": lambda scanner: s.Header("Subject", _text(scanner)),
    "TEXT": lambda scanner: s.AnyText(_text(scanner)),
    "TO": lambda scanner: s.Header("To", _text(scanner)),
    "UID": lambda scanner: s.Uids(scanner.numbers()),
    "UNKEYWORD": lambda scanner: s.Not(s.HasFlag(scanner.atom())),
    "YOUNGER": lambda scanner: s.Within(False, scanner.positive()),
}
