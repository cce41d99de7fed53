"""Names on the disk, as functions of names elsewhere: accounts, folders, message files, flags.

Nothing that a name contains gets out of the folder that it is for: accounts have few
characters; folders become Maildir++ names, ``.A.B``, in which a dot is but a separator.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final

from cgnode.backend.store import (
    ANSWERED,
    DELETED,
    DELIMITER,
    DRAFT,
    FLAGGED,
    INBOX,
    SEEN,
    BadName,
)

# --- accounts ----------------------------------------------------------------------------

_LOCAL: Final = re.compile(r"[a-z0-9_-](?:[a-z0-9_.-]{0,126}[a-z0-9_-])?", re.ASCII)
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)


@lru_cache(4096)
def account_place(address: str) -> tuple[str, str]:
    """Domain and local part of an address, as its folders are called.  Raises BadName."""
    local, at, domain = address.lower().rpartition("@")
    # There are letters outside of ASCII whose lower case is within.
    if not at or not address.isascii() or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise BadName(f"no account can be called {address!r}")
    return domain, local


def is_domain(name: str) -> bool:
    return _DOMAIN.fullmatch(name) is not None


def is_local(name: str) -> bool:
    return _LOCAL.fullmatch(name) is not None


# --- folders -----------------------------------------------------------------------------

_LONGEST: Final = 255
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FOREIGN: Final = re.compile(r"[^\x20-\x25\x27-\x7e]+|&")
_SHIFTED: Final = re.compile(r"&([A-Za-z0-9+,]*)-")
_ESCAPE: Final = re.compile(r"\\([0-9a-f]{2})")


def folder_name(name: str) -> str:
    """The name as it is told to others: INBOX in capitals.  Raises BadName."""
    disk_name(name)
    first, slash, rest = name.partition(DELIMITER)
    return f"{INBOX}{slash}{rest}" if first.upper() == INBOX else name


def disk_name(name: str) -> str:
    """What a folder is called on the disk; nothing for INBOX.  Raises BadName."""
    parts = name.split(DELIMITER)
    if parts[0].upper() == INBOX:
        parts[0] = INBOX
        if len(parts) == 1:
            return ""
    found = "".join("." + _encode_part(part) for part in parts)
    if len(found) > _LONGEST:
        raise BadName("this folder's name is too long")
    return found


def from_disk_name(found: str) -> str | None:
    """The folder's name; None where no folder of ours is called so."""
    if not found.startswith("."):
        return None
    try:
        name = DELIMITER.join(map(_decode_part, found[1:].split(".")))
        return name if disk_name(name) == found else None
    except (BadName, ValueError):
        return None


def _encode_part(part: str) -> str:
    """Modified UTF-7 (RFC 3501 5.1.3), which Dovecot expects too, and its listescape for the dot."""
    if part in ("", ".", ".."):
        raise BadName("a level of a folder's name is empty or dots alone")
    if _CONTROL.search(part):
        raise BadName("a folder's name has no control characters")
    part = part.replace("\\", "\\5c").replace(".", "\\2e")
    if part.startswith("~"):
        part = "\\7e" + part[1:]
    try:
        return _FOREIGN.sub(_shift, part)
    except UnicodeEncodeError:
        raise BadName("a folder's name is not Unicode") from None


def _shift(found: re.Match[str]) -> str:
    text = found.group()
    if text == "&":
        return "&-"
    code = b64encode(text.encode("utf-16-be"), b"+,").rstrip(b"=").decode("ascii")
    return f"&{code}-"


def _decode_part(part: str) -> str:
    text = _SHIFTED.sub(_unshift, part)
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), text)


def _unshift(found: re.Match[str]) -> str:
    code = found.group(1)
    if not code:
        return "&"
    return b64decode(code + "=" * (-len(code) % 4), b"+,", validate=True).decode("utf-16-be")


# --- flags -------------------------------------------------------------------------------

LETTERS: Final = {DRAFT: "D", FLAGGED: "F", ANSWERED: "R", SEEN: "S", DELETED: "T"}
_SYSTEM: Final = {letter: flag for flag, letter in LETTERS.items()}
_SPELLING: Final = {flag.lower(): flag for flag in LETTERS}
# RFC 3501's atom; one with a backslash is a system flag.
_KEYWORD: Final = re.compile(r'[^\x00-\x20\x7f-\U0010ffff(){%*"\\\]]{1,128}')
_MOST_KEYWORDS: Final = 64


@lru_cache(4096)
def letters_of(flags: frozenset[str]) -> str:
    """The system flags as a file's name has them."""
    return "".join(sorted(LETTERS[flag] for flag in flags if flag in LETTERS))


def keywords_of(flags: Iterable[str]) -> list[str]:
    return sorted(flag for flag in flags if flag[0] != "\\")


@lru_cache(4096)
def system_flags(letters: str) -> frozenset[str]:
    """What letters of a file's name mean; those of other programs mean nothing."""
    return frozenset(_SYSTEM[letter] for letter in letters if letter in _SYSTEM)


def checked_flags(flags: Iterable[str]) -> frozenset[str]:
    """System flags spelt as the RFC does; \\Recent is nobody's to set.  Raises BadName."""
    found = {_checked_flag(flag) for flag in flags if flag.lower() != "\\recent"}
    if len(found) > _MOST_KEYWORDS:
        raise BadName(f"more than {_MOST_KEYWORDS} flags on a message")
    return frozenset(found)


def _checked_flag(flag: str) -> str:
    if flag.startswith("\\"):
        known = _SPELLING.get(flag.lower())
        if known is None:
            raise BadName(f"there is no system flag {flag!r}")
        return known
    if not _KEYWORD.fullmatch(flag):
        raise BadName(f"no keyword can be {flag!r}")
    return flag


# --- message files -----------------------------------------------------------------------

_STATED: Final = re.compile(r",([SW])=([0-9]{1,15})(?=,|\Z)", re.ASCII)
_UIDL: Final = re.compile(r"[\x21-\x7e]{1,70}")


def base_of(name: str) -> str:
    """What of a file's name stays when its flags change."""
    return name.partition(":")[0]


def info_of(name: str) -> str:
    """The letters of a file's name."""
    return name.partition(":2,")[2]


def with_letters(name: str, letters: str) -> str:
    """The file's name with other flags; letters that are other programs' stay."""
    others = "".join(letter for letter in info_of(name) if letter not in _SYSTEM)
    return f"{base_of(name)}:2,{''.join(sorted({*letters, *others}))}"


def with_info(name: str) -> str:
    """The file's name as it is in ``cur``, where all have flags, if only none."""
    return name if ":2," in name else f"{base_of(name)}:2,"


def sized(unique: str, octets: int, size: int) -> str:
    """A base name that tells the file's size and the message's, as Dovecot's do."""
    return f"{unique},S={octets},W={size}"


def stated_sizes(base: str) -> tuple[int | None, int | None]:
    """The file's size and the message's, where the name tells them."""
    if "," not in base:
        return None, None
    found = dict(_STATED.findall(base))
    octets, size = found.get("S"), found.get("W")
    return None if octets is None else int(octets), None if size is None else int(size)


def uidl_of(base: str) -> str:
    """RFC 1939's unique-id: of the name alone, which every host sees and no rebuilding changes."""
    if _UIDL.fullmatch(base):
        return base
    return sha256(os.fsencode(base)).hexdigest()[:40]
