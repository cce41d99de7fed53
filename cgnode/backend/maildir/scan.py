"""What message files a folder has, whoever put them there: ``new`` and ``cur`` read as they are.

What lives here: reading.  What must not: deciding what follows from it (``mailbox``).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final

from attrs import frozen

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.names import base_of, info_of, stated_sizes, system_flags

_KEYWORDS: Final = "dovecot-keywords"
_BLOCK: Final = 1 << 18


def signature(folder: str) -> tuple[int, int]:
    """What changes when files come, go or are renamed."""
    return os.stat(f"{folder}/new").st_mtime_ns, os.stat(f"{folder}/cur").st_mtime_ns


def listing(folder: str, *, cur: bool = True) -> tuple[dict[str, str], list[str]]:
    """Where the file of each base name is, and the files that share one with another.

    ``new`` before ``cur``: a file that moves on meanwhile is seen twice rather than not at all.
    """
    found: dict[str, str] = {}
    twins: list[str] = []
    for part in ("new", "cur") if cur else ("new",):
        for name in os.listdir(f"{folder}/{part}"):
            base = base_of(name)
            if base in found:
                twins.append(found[base])
            found[base] = f"{part}/{name}"
    return found, twins


@frozen
class Stranger:
    """A file that the list does not have."""

    base: str
    place: str
    date: int
    size: int
    flags: frozenset[str]


def meet(folder: str, base: str, place: str, keywords: dict[str, str]) -> Stranger | None:
    """None where it is no message, or gone."""
    path = f"{folder}/{place}"
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or base.startswith("."):
        return None
    octets, size = stated_sizes(base)
    if octets != found.st_size or size is None or size < octets:
        size = wire_size(path)
        if size is None:
            return None
    letters = info_of(place)
    words = {keywords[letter] for letter in letters if letter in keywords}
    return Stranger(base, place, int(found.st_mtime), size, system_flags(letters).union(words))


def wire_size(path: str) -> int | None:
    """A message's size when each of its lines ends in CRLF; None where it is gone."""
    size = 0
    with (
        suppress(FileNotFoundError),
        open(path, "rb", opener=lambda name, _: os.open(name, disks.READ)) as file,
    ):
        last = b""
        while data := file.read(_BLOCK):
            size += len(data) + bare_line_feeds(last, data)
            last = data[-1:]
        return size
    return None


def bare_line_feeds(last: bytes, data: bytes) -> int:
    """How many LFs have no CR before them, ``last`` being the octet before ``data``."""
    count = data.count(b"\n") - data.count(b"\r\n")
    return count - 1 if last == b"\r" and data.startswith(b"\n") else count


def dovecot_keywords(folder: str) -> dict[str, str]:
    """What the small letters in names mean to Dovecot, whose keywords a folder may come with."""
    found: dict[str, str] = {}
    data = disks.read_small(f"{folder}/{_KEYWORDS}") or b""
    for line in data.decode("ascii", "replace").splitlines():
        number, _, word = line.partition(" ")
        if number.isdecimal() and int(number) < 26:
            found[chr(ord("a") + int(number))] = word
    return found
