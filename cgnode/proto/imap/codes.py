"""Response codes (RFC 3501 section 7.1, RFC 5530, and the extensions' own).

What lives here: their text, without the brackets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cgnode.proto.imap import encode
from cgnode.proto.imap.sets import format_numbers

ALERT: Final = b"ALERT"
ALREADY_EXISTS: Final = b"ALREADYEXISTS"
AUTHENTICATION_FAILED: Final = b"AUTHENTICATIONFAILED"
AUTHORIZATION_FAILED: Final = b"AUTHORIZATIONFAILED"
BAD_CHARSET: Final = b"BADCHARSET"
CANNOT: Final = b"CANNOT"
CLIENT_BUG: Final = b"CLIENTBUG"
CLOSED: Final = b"CLOSED"
CONTACT_ADMIN: Final = b"CONTACTADMIN"
CORRUPTION: Final = b"CORRUPTION"
EXPIRED: Final = b"EXPIRED"
EXPUNGE_ISSUED: Final = b"EXPUNGEISSUED"
HAS_CHILDREN: Final = b"HASCHILDREN"
IN_USE: Final = b"INUSE"
LIMIT: Final = b"LIMIT"
NO_MODSEQ: Final = b"NOMODSEQ"
NONEXISTENT: Final = b"NONEXISTENT"
NO_PERMISSION: Final = b"NOPERM"
OVER_QUOTA: Final = b"OVERQUOTA"
PARSE: Final = b"PARSE"
PRIVACY_REQUIRED: Final = b"PRIVACYREQUIRED"
READ_ONLY: Final = b"READ-ONLY"
READ_WRITE: Final = b"READ-WRITE"
SERVER_BUG: Final = b"SERVERBUG"
TOO_BIG: Final = b"TOOBIG"
TRY_CREATE: Final = b"TRYCREATE"
UNAVAILABLE: Final = b"UNAVAILABLE"
UNKNOWN_CTE: Final = b"UNKNOWN-CTE"


def capability(names: Iterable[str]) -> bytes:
    return b"CAPABILITY " + " ".join(names).encode()


def permanent_flags(flags: Iterable[str], keywords: bool) -> bytes:
    r"""``keywords``: new ones may be made (``\*``)."""
    return b"PERMANENTFLAGS " + encode.flags((*flags, "\\*") if keywords else flags)


def unseen(number: int) -> bytes:
    return b"UNSEEN %d" % number


def uid_validity(value: int) -> bytes:
    return b"UIDVALIDITY %d" % value


def uid_next(value: int) -> bytes:
    return b"UIDNEXT %d" % value


def highest_modseq(value: int) -> bytes:
    return b"HIGHESTMODSEQ %d" % value


def append_uid(validity: int, uids: Iterable[int]) -> bytes:
    """RFC 4315 section 3; of several messages a set (RFC 3502)."""
    return b"APPENDUID %d %b" % (validity, format_numbers(uids))


def copy_uid(validity: int, source: Iterable[int], made: Iterable[int]) -> bytes:
    """RFC 4315 section 3: two sets of one length, in one order."""
    return b"COPYUID %d %b %b" % (validity, format_numbers(source), format_numbers(made))


def modified(numbers: Iterable[int]) -> bytes:
    """RFC 7162 section 3.1.3."""
    return b"MODIFIED " + format_numbers(numbers)
