"""Normal forms of values that are not character strings: numbers, times, identifiers.

Each function takes a value in its LDAP-specific encoding (RFC 4517 section 3.3, RFC
4530, OpenLDAP's CSN) and returns octets that are the same for values that match and
that sort as the values do; it raises ValueError for what is not of the syntax.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

_INTEGER: Final = re.compile(rb"(-?)([1-9][0-9]*)|0")
_COMPLEMENT: Final = bytes(255 - code for code in range(256))
_TIME: Final = re.compile(
    rb"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})?)?(?:[.,]([0-9]+))?"
    rb"(?:Z|([+-])([0-9]{2})([0-9]{2})?)"
)
_UUID: Final = re.compile(rb"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_CSN: Final = re.compile(
    rb"([0-9]{14})(?:\.([0-9]{6}))?Z#([0-9A-Fa-f]{6})#([0-9A-Fa-f]{2,3})#([0-9A-Fa-f]{6})"
)
_BITS: Final = re.compile(rb"'([01]*)'B")


def integer(value: bytes) -> bytes:
    """Sign and number of digits, then the digits: linear in a number of any length."""
    found = _INTEGER.fullmatch(value)
    if found is None:
        raise ValueError("not an INTEGER")
    digits = found[2] or b"0"
    length = len(digits)
    normal = (bytes((0x80 + length,)) if length < 0x7F else b"\xff" + length.to_bytes(4)) + digits
    return normal.translate(_COMPLEMENT) if found[1] else normal


def boolean(value: bytes) -> bytes:
    """The RFC's ABNF makes the two words case-insensitive."""
    found = value.upper()
    if found not in (b"TRUE", b"FALSE"):
        raise ValueError("not a Boolean")
    return found


def octets(value: bytes) -> bytes:
    return value


def bit_string(value: bytes) -> bytes:
    found = _BITS.fullmatch(value)
    if found is None:
        raise ValueError("not a Bit String")
    return found[1]


def uuid(value: bytes) -> bytes:
    """The 16 octets of RFC 4122, which sort as its text does."""
    if not _UUID.fullmatch(value):
        raise ValueError("not a UUID")
    return bytes.fromhex(value.replace(b"-", b"").decode())


def csn(value: bytes) -> bytes:
    """OpenLDAP's change sequence number; older forms lack microseconds, or a digit."""
    found = _CSN.fullmatch(value)
    if found is None:
        raise ValueError("not a CSN")
    time, micros, count, server, modification = found.groups()
    parts = (time + b"." + (micros or b"000000") + b"Z", count, server.rjust(3, b"0"), modification)
    return b"#".join(parts).replace(b"Z", b"z").lower().replace(b"z", b"Z")


def generalized_time(value: bytes) -> bytes:
    """UTC as digits, with a fraction of a second only where there is one: ``Z`` is left
    out because it would sort after the fraction's dot."""
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError("not a Generalized Time")
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups()
    leap = second == b"60"
    try:
        time = datetime(
            int(year), int(month), int(day), int(hour), int(minute or 0), 59 if leap else int(second or 0)
        )
        rest = b""
        if fraction:
            seconds, rest = _seconds(fraction, 1 if second else 60 if minute else 3600)
            time += timedelta(seconds=seconds)
        if sign:
            time -= _offset(sign, int(zone_hours), int(zone_minutes or 0))
    except OverflowError as error:
        raise ValueError("not a Generalized Time") from error
    text = b"%04d%02d%02d%02d%02d%02d" % (
        time.year, time.month, time.day, time.hour, time.minute, 60 if leap else time.second
    )  # fmt: skip
    return text + b"." + rest if rest else text


def _seconds(fraction: bytes, unit: int) -> tuple[int, bytes]:
    """A decimal fraction of a unit of so many seconds, in seconds: whole ones and digits."""
    if unit == 1:
        return 0, fraction.rstrip(b"0")
    if len(fraction) > 1000:
        raise ValueError("a fraction of too many digits")
    digits = b"%0*d" % (len(fraction), int(fraction) * unit)
    whole = len(digits) - len(fraction)
    return int(digits[:whole] or 0), digits[whole:].rstrip(b"0")


def _offset(sign: bytes, hours: int, minutes: int) -> timedelta:
    if hours > 23 or minutes > 59:
        raise ValueError("no such time zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign == b"-" else offset
