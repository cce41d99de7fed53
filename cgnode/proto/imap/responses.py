"""Responses: lines that a server sends (RFC 3501 section 7 and the extensions' own).

What lives here: values for what the shell knows of mailboxes, and the octets of every
untagged response but FETCH (``fetching``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from cgnode.proto.imap import encode
from cgnode.proto.imap.commands import StatusItem

StatusValues = Mapping[StatusItem, int | None]
"""None where RFC 7889 has NIL: no limit."""


@frozen
class Listed:
    r"""A mailbox name in an answer to LIST or LSUB.

    ``attributes`` with their backslash: \HasChildren, \Sent ...  ``child_info``: names
    below it are subscribed to (CHILDINFO, RFC 5258 section 3.5).
    """

    name: str
    attributes: tuple[str, ...] = ()
    child_info: bool = False
    status: StatusValues | None = None
    """Where LIST was asked for it, and the mailbox can be opened (RFC 5819)."""


@frozen
class Resource:
    """Of a quota root: STORAGE in units of 1024 octets, or MESSAGE (RFC 9208 section 5)."""

    name: str
    usage: int
    limit: int


@frozen
class Quota:
    root: bytes
    resources: tuple[Resource, ...]


def untagged(data: bytes) -> bytes:
    return b"* %b\r\n" % data


def state(tag: str, condition: bytes, text: str, code: bytes = b"") -> bytes:
    """OK, NO, BAD, BYE or PREAUTH, with a tag or ``*``."""
    bracketed = b"[%b] " % code if code else b""
    return b"%b %b %b%b\r\n" % (tag.encode(), condition, bracketed, encode.text(text))


def continuation(text: bytes) -> bytes:
    return b"+ %b\r\n" % text


def capability(names: Iterable[str]) -> bytes:
    return untagged(b"CAPABILITY " + " ".join(names).encode())


def enabled(names: Iterable[str]) -> bytes:
    return untagged(" ".join(("ENABLED", *names)).encode())


def identity(fields: Iterable[tuple[str, str]]) -> bytes:
    """RFC 2971 section 3.2."""
    pairs = [encode.string(part.encode()) for field in fields for part in field]
    return untagged(b"ID " + (encode.listed(pairs) if pairs else encode.NIL))


def namespace(prefix: str, delimiter: str) -> bytes:
    """The one personal namespace, and no other (RFC 2342)."""
    personal = encode.string(prefix.encode()), encode.string(delimiter.encode())
    return untagged(b"NAMESPACE ((%b)) NIL NIL" % b" ".join(personal))


def listed(row: Listed, delimiter: str, command: bytes = b"LIST") -> bytes:
    attributes = " ".join(row.attributes).encode()
    extended = b' ("CHILDINFO" ("SUBSCRIBED"))' if row.child_info else b""
    parts = (command, attributes, encode.string(delimiter.encode()), encode.mailbox(row.name), extended)
    return untagged(b"%b (%b) %b %b%b" % parts)


def status(mailbox: str, items: Iterable[StatusItem], values: StatusValues) -> bytes:
    pairs: list[bytes] = []
    for item in items:
        if item in values:
            value = values[item]
            pairs += item.value.encode(), encode.NIL if value is None else b"%d" % value
    return untagged(b"STATUS %b %b" % (encode.mailbox(mailbox), encode.listed(pairs)))


def quota(value: Quota) -> bytes:
    triplets: list[bytes] = []
    for resource in value.resources:
        triplets += resource.name.encode(), b"%d" % resource.usage, b"%d" % resource.limit
    return untagged(b"QUOTA %b %b" % (encode.astring(value.root), encode.listed(triplets)))


def quota_root(mailbox: str, roots: Iterable[bytes]) -> bytes:
    return untagged(b" ".join((b"QUOTAROOT", encode.mailbox(mailbox), *map(encode.astring, roots))))


def flags(names: Iterable[str]) -> bytes:
    return untagged(b"FLAGS " + encode.flags(names))


def exists(count: int) -> bytes:
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    return b"* %d RECENT\r\n" % count


def expunge(number: int) -> bytes:
    return b"* %d EXPUNGE\r\n" % number


def flag_update(number: int, uid: int, flags: Iterable[str], modseq: int | None) -> bytes:
    """An unasked FETCH: the UID is there so that it can't be mistaken."""
    tail = b"" if modseq is None else b" MODSEQ (%d)" % modseq
    return b"* %d FETCH (UID %d FLAGS %b%b)\r\n" % (number, uid, encode.flags(flags), tail)
