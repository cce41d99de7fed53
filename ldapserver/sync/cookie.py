"""A follower's place in the history: the CSN of the last change that it has (RFC 4533
section 2.1.2).

The form is OpenLDAP's, ``rid=001,csn=20260102030405.678901Z#000000#000#000000``, because
its consumers look into cookies and make their own of what they find.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from storage.csn import Csn, parse, text

_PART: Final = re.compile(r"(rid|csn)=([^,]*)")


@frozen
class Cookie:
    """``rid`` is the client's own mark, which it gets back.  ``csn`` None: it has none yet,
    or one that is not ours, which ``foreign`` tells apart."""

    csn: Csn | None
    rid: int = 0
    foreign: bool = False

    def __bytes__(self) -> bytes:
        assert self.csn is not None
        return f"rid={self.rid:03d},csn={text(self.csn)}".encode()


def parse_cookie(value: bytes | None) -> Cookie:
    """Of what a client sends; nothing is refused."""
    if not value:
        return Cookie(None)
    parts = dict(_PART.findall(value.decode("ascii", "replace")))
    rid = parts.get("rid", "0")
    number = int(rid) if rid.isascii() and rid.isdigit() and len(rid) <= 3 else 0
    if not parts.get("csn"):
        return Cookie(None, number, foreign="rid" not in parts)
    try:
        return Cookie(parse(parts["csn"]), number)
    except ValueError:
        return Cookie(None, number, foreign=True)
