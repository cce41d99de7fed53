"""The credential of a node's control interface over TCP.

All nodes of a cluster know its secret and derive the same token from it; so what goes over
the wire in a header is not what logs in at backends.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_PURPOSE: Final = b"cgnode control interface, bearer token 1"
_SCHEME: Final = "bearer "


def token_of(secret: bytes) -> str:
    return hmac.new(secret, _PURPOSE, hashlib.sha256).hexdigest()


def admits(token: str, header: str | None) -> bool:
    """Whether an Authorization header (RFC 6750 section 2.1) has the token."""
    if header is None or header[: len(_SCHEME)].lower() != _SCHEME:
        return False
    given = header[len(_SCHEME) :].strip()
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
