"""Where a paged search goes on (RFC 2696).

The cookie holds the place itself, so a page costs no more than its entries, nothing is
kept between pages, and a page set that is abandoned costs nothing.  Pages of one set
each see the state of their own time; the entry that ended one may be gone at the next.
"""

from __future__ import annotations

from hashlib import blake2b

from attrs import frozen

from ldapserver.messages import SearchRequest
from ldapserver.results import LDAPError, ResultCode
from ldapserver.walk import Path
from storage.keys import EntryId

_FINGERPRINT = 8
_ID = 8


@frozen
class Place:
    """After which entry to go on: in the order of ids, or with a ``path`` in that of a
    walk through the tree."""

    entry: EntryId
    path: Path | None = None


def fingerprint(request: SearchRequest) -> bytes:
    """Tells one search from another, so that a cookie is not used for a different one."""
    head = request.head
    text = repr((head.base, head.scope, head.deref, request.filter))
    return blake2b(text.encode(), digest_size=_FINGERPRINT).digest()


def encode(place: Place, request: SearchRequest) -> bytes:
    parts = [fingerprint(request), place.entry]
    if place.path is not None:
        parts.append(b"/")
        for parent, rdn in place.path:
            parts += (parent, len(rdn).to_bytes(4, "big"), rdn)
    return b"".join(parts)


def decode(cookie: bytes, request: SearchRequest) -> Place:
    """Raises UNWILLING_TO_PERFORM for a cookie that is not of this search."""
    head, rest = cookie[: _FINGERPRINT + _ID], cookie[_FINGERPRINT + _ID :]
    if len(head) != _FINGERPRINT + _ID or not head.startswith(fingerprint(request)):
        raise wrong_cookie()
    return Place(head[_FINGERPRINT:], _path(rest) if rest else None)


def _path(data: bytes) -> Path:
    if not data.startswith(b"/"):
        raise wrong_cookie()
    path: list[tuple[EntryId, bytes]] = []
    at = 1
    while at < len(data):
        start = at + _ID + 4
        end = start + int.from_bytes(data[at + _ID : start], "big")
        if end > len(data):
            raise wrong_cookie()
        path.append((data[at : at + _ID], data[start:end]))
        at = end
    return tuple(path)


def wrong_cookie() -> LDAPError:
    return LDAPError(ResultCode.UNWILLING_TO_PERFORM, "the cookie is not of this search")
