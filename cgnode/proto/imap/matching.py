"""Whether a message matches a search key (RFC 3501 section 6.4.4).

What lives here: a function of the key and of what is known of the message, cheap
questions first.  What must not: opening messages: a candidate's ``part`` is asked for
its header or its whole only when nothing cheaper has decided.
"""

from __future__ import annotations

import binascii
import codecs
import datetime
import re
from collections.abc import Iterator
from email.utils import parsedate
from typing import Final, Protocol, assert_never

from cgnode.proto.imap import search as s
from cgnode.proto.imap.fetching import Needs
from cgnode.proto.imap.mime import Part
from cgnode.proto.imap.structure import octets_of

_ENCODED: Final = re.compile(rb"=\?([!-~]+?)(?:\*[!-~]*?)?\?([bBqQ])\?([ -~]*?)\?=")
_BETWEEN: Final = re.compile(rb"(\?=)\s+(=\?)")
_DAY: Final = 86400

# By Python's names.  It has other codecs too, some of which take quadratic time.
_CHARSET: Final = re.compile(
    r"ascii|utf-(?:7|8|16|32)(?:-[bl]e)?|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|tis-620|ptcp154"
    r"|kz1048|gbk|gb2312|gb18030|big5\w*|hz|shift_jis\w*|euc_\w+|iso2022_\w+|johab"
)


class Candidate(Protocol):
    """What a search may ask of a message.  ``date`` in seconds since 1970."""

    @property
    def uid(self) -> int: ...
    @property
    def flags(self) -> frozenset[str]: ...
    @property
    def date(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def modseq(self) -> int | None: ...

    def part(self, needs: Needs) -> Part:
        """The message, its header at least, or the whole of it."""


def matches(key: s.Key, message: Candidate, now: int) -> bool:
    """``now`` in seconds since 1970.  ``key`` is one that ``View.key`` has been at: it has
    UIDs where the client had numbers."""
    match key:
        case s.And(keys):
            return all(matches(one, message, now) for one in sorted(keys, key=_cost))
        case s.Or(left, right):
            first, second = sorted((left, right), key=_cost)
            return matches(first, message, now) or matches(second, message, now)
        case s.Not(inner):
            return not matches(inner, message, now)
        case s.OneOf():
            return message.uid in key
        case s.HasFlag(flag):
            return _has_flag(message.flags, flag)
        case s.Larger(size):
            return message.size > size
        case s.Smaller(size):
            return message.size < size
        case s.ModifiedSince(modseq):
            return message.modseq is not None and message.modseq >= modseq
        case s.Within(older, seconds):
            return (now - message.date >= seconds) if older else (now - message.date <= seconds)
        case s.Received(when, date):
            return _is_when(when, _day_of(message.date), date)
        case s.Sent(when, date):
            sent = _sent_on(message.part(Needs.HEADER))
            return sent is not None and _is_when(when, sent, date)
        case s.Header(field, text):
            return _in_header(message.part(Needs.HEADER), field, text.casefold())
        case s.BodyText(text):
            return _in_body(message.part(Needs.WHOLE), text.casefold())
        case s.AnyText(text):
            whole = message.part(Needs.WHOLE)
            return _in_any_header(whole, text.casefold()) or _in_body(whole, text.casefold())
        case s.Recent() | s.Uids() | s.Sequence():
            raise AssertionError("a key that only a view can answer")
        case never:
            assert_never(never)


def needs(key: s.Key) -> Needs:
    """What of a message a key may ask for."""
    return (Needs.NOTHING, Needs.HEADER, Needs.WHOLE)[_cost(key)]


def _cost(key: s.Key) -> int:
    match key:
        case s.And(keys):
            return max(map(_cost, keys), default=0)
        case s.Or(left, right):
            return max(_cost(left), _cost(right))
        case s.Not(inner):
            return _cost(inner)
        case s.Sent() | s.Header():
            return 1
        case s.BodyText() | s.AnyText():
            return 2
        case _:
            return 0


def _has_flag(flags: frozenset[str], flag: str) -> bool:
    # Keywords are the same in any case (RFC 3501 section 9, note 1).
    return flag in flags or any(one.lower() == flag.lower() for one in flags)


# --- dates -------------------------------------------------------------------------------


def _is_when(when: s.When, day: datetime.date, date: datetime.date) -> bool:
    match when:
        case s.When.BEFORE:
            return day < date
        case s.When.ON:
            return day == date
        case s.When.SINCE:
            return day >= date


def _day_of(seconds: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=min(max(seconds // _DAY, 0), 2_900_000))


def _sent_on(part: Part) -> datetime.date | None:
    """The day that stands in Date, whatever the zone."""
    value = part.value(b"date")
    parsed = parsedate(value[:100].decode("latin-1")) if value else None
    try:
        return None if parsed is None else datetime.date(*parsed[:3])
    except ValueError:
        return None


# --- text --------------------------------------------------------------------------------


def _in_header(part: Part, field: str, text: str) -> bool:
    name = field.lower().encode()
    return any(text in decoded(value).casefold() for value in part.values(name))


def _in_any_header(part: Part, text: str) -> bool:
    header = part.data[part.start : part.body].replace(b"\r\n", b"\n")
    unfolded = header.replace(b"\n ", b" ").replace(b"\n\t", b"\t")
    return text in decoded(unfolded).casefold()


def _in_body(part: Part, text: str) -> bool:
    return any(text in body.casefold() for body in _texts(part))


def _texts(part: Part) -> Iterator[str]:
    """What there is to read in a body: text parts, and messages within."""
    if part.children:
        for child in part.children:
            yield from _texts(child)
        return
    embedded = part.message
    if embedded is not None:
        yield decoded(embedded.data[embedded.start : embedded.body])
        yield from _texts(embedded)
        return
    kind = part.content_type
    if kind.type in (b"text", b"multipart", b"message"):
        octets = octets_of(part)
        if octets is not None:
            yield _text(octets, kind.get(b"charset") or b"utf-8")


def decoded(value: bytes) -> str:
    """A header's value with its encoded words as text (RFC 2047)."""
    if b"=?" not in value:
        return _text(value, b"utf-8")
    text: list[str] = []
    value = _BETWEEN.sub(rb"\1\2", value)
    end = 0
    for word in _ENCODED.finditer(value):
        text.append(_text(value[end : word.start()], b"utf-8"))
        text.append(_text(_octets(word[2], word[3]), word[1]))
        end = word.end()
    text.append(_text(value[end:], b"utf-8"))
    return "".join(text)


def _octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(text, header=True)
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return text


def _text(octets: bytes, charset: bytes) -> str:
    """Octets as text: in the charset that they claim if that is one, else in one in which
    everything can be read."""
    try:
        name = codecs.lookup(charset.decode("ascii")).name
    except (LookupError, ValueError):
        name = ""
    return octets.decode(name if _CHARSET.fullmatch(name) else "latin-1", "replace")
