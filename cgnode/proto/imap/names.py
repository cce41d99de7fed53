"""Mailbox names: the modified UTF-7 of the wire and the str of everything else
(RFC 3501 sections 5.1 and 5.1.3).

Decoding is strict: one name has one form on the wire, or a mailbox could be had under
two names.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from cgnode.proto.imap.faults import Fault

INBOX: Final = "INBOX"

_SHIFTED: Final = re.compile(rb"&([^-]*)-")
_UNPRINTABLE: Final = re.compile("[^ -~]+")


def decode_name(data: bytes) -> str:
    """The name that stands on the wire; raises Fault.  INBOX is INBOX in any case."""
    if data.upper() == b"INBOX":
        return INBOX
    try:
        name = decode(data)
    except ValueError:
        raise Fault("the mailbox name is not modified UTF-7", b"CANNOT", bad=False) from None
    return name


def decode(data: bytes) -> str:
    """Modified UTF-7 to text, INBOX or not; raises ValueError."""
    parts: list[str] = []
    end = 0
    for shifted in _SHIFTED.finditer(data):
        parts.append(_plain(data[end : shifted.start()]))
        parts.append(_unshift(shifted[1]) if shifted[1] else "&")
        end = shifted.end()
    parts.append(_plain(data[end:]))
    text = "".join(parts)
    if encode(text) != data:
        raise ValueError("not the one way to write it")
    return text


def encode(name: str) -> bytes:
    """Text to modified UTF-7."""
    return _UNPRINTABLE.sub(lambda found: _shift(found[0]), name.replace("&", "&-")).encode("ascii")


def _plain(data: bytes) -> str:
    if b"&" in data:
        raise ValueError("a shift without an end")
    return data.decode("ascii")


def _unshift(encoded: bytes) -> str:
    padding = b"=" * (-len(encoded) % 4)
    octets = binascii.a2b_base64(encoded.replace(b",", b"/") + padding, strict_mode=True)
    return octets.decode("utf-16-be")


def _shift(text: str) -> str:
    encoded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False)
    return "&" + encoded.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"
