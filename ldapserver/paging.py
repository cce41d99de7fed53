"""Where a paged search goes on (RFC 2696).

The cookie holds the place itself, so a page costs no more than its entries, nothing is
kept between pages, and a page set that is abandoned costs nothing.  Pages of one set
each see the state of their own time.
"""

from __future__ import annotations

from hashlib import blake2b

from attrs import frozen

from ldapserver.messages import SearchRequest
from ldapserver.results import LDAPError, ResultCode
from storage.keys import EntryId

_FINGERPRINT = 8
_SIZE = _FINGERPRINT + 9


@frozen
class Place:
    """After which entry to go on, and whether by walking the tree or by an index."""

    walking: bool
    entry: EntryId


def fingerprint(request: SearchRequest) -> bytes:
    """Tells one search from another, so that a cookie is not used for a different one."""
    head = request.head
    text = repr((head.base, head.scope, head.deref, request.filter))
    return blake2b(text.encode(), digest_size=_FINGERPRINT).digest()


def encode(place: Place, request: SearchRequest) -> bytes:
    return fingerprint(request) + bytes((place.walking,)) + place.entry


def decode(cookie: bytes, request: SearchRequest) -> Place:
    """Raises UNWILLING_TO_PERFORM for a cookie that is not of this search."""
    if len(cookie) != _SIZE or cookie[:_FINGERPRINT] != fingerprint(request):
        raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "the cookie is not of this search")
    return Place(bool(cookie[_FINGERPRINT]), cookie[_FINGERPRINT + 1 :])
