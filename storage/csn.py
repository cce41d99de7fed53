"""Change sequence numbers: a total order of changes that reads as a time.

A CSN is 16 bytes that sort: microseconds since 1970 (8), counter (4), replica (2),
modifier (2).  Its text is OpenLDAP's, ``20260102030405.678901Z#000000#001#000000``,
so that peers compare ours with theirs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Final, TypeAlias

Csn: TypeAlias = bytes

NO_CSN: Final[Csn] = bytes(16)

_LAYOUT = Struct(">QIHH")
_TEXT = re.compile(r"[0-9]{14}\.[0-9]{6}Z#[0-9a-fA-F]{6}#[0-9a-fA-F]{3}#[0-9a-fA-F]{6}")
_FRACTION = re.compile(r"[0-9]{1,6}Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def following(last: Csn, micros: int, replica: int = 0) -> Csn:
    """The next CSN: of time ``micros``, and after ``last`` even if the clock went back."""
    last_micros, count, _, _ = _LAYOUT.unpack(last)
    if micros > last_micros:
        return _LAYOUT.pack(micros, 0, replica, 0)
    if count == 0xFFFFFF:  # the text has six hexadecimal digits
        return _LAYOUT.pack(last_micros + 1, 0, replica, 0)
    return _LAYOUT.pack(last_micros, count + 1, replica, 0)


def micros_of(csn: Csn) -> int:
    return int.from_bytes(csn[:8], "big")


@lru_cache(maxsize=4096)
def generalized_time(seconds: int) -> bytes:
    """RFC 4517 section 3.3.13, in whole seconds, UTC."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y%m%d%H%M%SZ").rjust(15, "0").encode()


def text(csn: Csn) -> str:
    micros, count, replica, modifier = _LAYOUT.unpack(csn)
    seconds, fraction = divmod(micros, 1_000_000)
    stamp = generalized_time(seconds)[:-1].decode()
    return f"{stamp}.{fraction:06d}Z#{count:06x}#{replica:03x}#{modifier:06x}"


def parse(value: str) -> Csn:
    """The CSN of its text; raises ValueError."""
    if not _TEXT.fullmatch(value):
        raise ValueError(f"not a CSN: {value!r}")
    stamp, count, replica, modifier = value.split("#")
    micros = parse_time(stamp)
    number = int(modifier, 16)
    if micros < 0 or number > 0xFFFF:
        raise ValueError(f"not a CSN that fits: {value!r}")
    return _LAYOUT.pack(micros, int(count, 16), int(replica, 16), number)


def parse_time(value: str) -> int:
    """Microseconds since 1970 of a GeneralizedTime as peers write it, ``20260102030405Z``
    with or without a fraction; raises ValueError."""
    seconds, dot, fraction = value.partition(".")
    if not dot:
        return _seconds(value) * 1_000_000
    if not _FRACTION.fullmatch(fraction):
        raise ValueError(f"not a GeneralizedTime: {value!r}")
    return _seconds(f"{seconds}Z") * 1_000_000 + int(fraction[:-1].ljust(6, "0"))


@lru_cache(maxsize=4096)
def _seconds(value: str) -> int:
    return (datetime.strptime(value, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
