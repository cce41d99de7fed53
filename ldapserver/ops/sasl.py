"""SASL mechanisms' messages: PLAIN (RFC 4616), and EXTERNAL's, which is only an
authorization identity (RFC 4422 appendix A).

Both are one message from the client, without challenges.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from ldapserver.results import LDAPError, ResultCode

EXTERNAL: Final = "EXTERNAL"
PLAIN: Final = "PLAIN"
MECHANISMS: Final = (EXTERNAL, PLAIN)


@frozen
class Plain:
    authzid: str
    authcid: str
    password: bytes = field(repr=False)


def decode_plain(message: bytes | None) -> Plain:
    """Raises LDAPError: INVALID_CREDENTIALS, as for any bad proof of who one is."""
    parts = (message or b"").split(b"\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise LDAPError(ResultCode.INVALID_CREDENTIALS, "not a message of SASL PLAIN")
    return Plain(decode_text(parts[0]), decode_text(parts[1]), parts[2])


def decode_text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise LDAPError(ResultCode.INVALID_CREDENTIALS, "names are UTF-8") from None
