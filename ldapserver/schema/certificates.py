"""certificateExactMatch (RFC 4523 section 2.1): a certificate is named by its serial number
and its issuer.

Reads just so much DER of a certificate as these two need, and the assertion's GSER
(``{ serialNumber 17, issuer rdnSequence:"cn=CA,o=example" }``).  Verifies nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ldapserver.dn import AVA, DN, decode_oid, parse_dn, read_der, string_of_der
from ldapserver.results import LDAPError

_SERIAL: Final = re.compile(rb"\bserialNumber\s+(-?[0-9]{1,80})\b")
_ISSUER: Final = re.compile(rb'\bissuer\s+(?:rdnSequence:)?"((?:[^"]++|"")*+)"')

# RFC 5280 section 4.1.2.2 has 20 octets; old certificates may have more.
_MAX_SERIAL: Final = 64

_SEQUENCE, _SET, _INTEGER, _OID, _VERSION = 0x30, 0x31, 0x02, 0x06, 0xA0


def certificate_name(value: bytes) -> tuple[int, DN]:
    """Serial number and issuer of a certificate or of an assertion; raises ValueError."""
    if value[:1] == b"{":
        return _asserted(value)
    tbs = _only(_only(value, _SEQUENCE), _SEQUENCE, first=True)
    fields = _elements(tbs)
    tag, content = _next(fields)
    if tag == _VERSION:
        tag, content = _next(fields)
    if tag != _INTEGER or not 0 < len(content) <= _MAX_SERIAL:
        raise ValueError("a certificate without serial number")
    _next(fields)  # the signature's algorithm
    issuer_tag, issuer = _next(fields)
    if issuer_tag != _SEQUENCE:
        raise ValueError("a certificate without issuer")
    return int.from_bytes(content, signed=True), _name(issuer)


def _asserted(value: bytes) -> tuple[int, DN]:
    serial = _SERIAL.search(value)
    issuer = _ISSUER.search(value)
    if serial is None or issuer is None or value[-1:] != b"}":
        raise ValueError("not a certificate exact assertion")
    try:
        return int(serial[1]), parse_dn(issuer[1].replace(b'""', b'"').decode())
    except LDAPError as error:
        raise ValueError(error.message) from None


def _name(issuer: bytes) -> DN:
    """A Name in DER, root first, as a DN, leaf first."""
    rdns = [
        tuple(_pair(pair) for tag, pair in _elements(rdn) if tag == _SEQUENCE)
        for tag, rdn in _elements(issuer)
        if tag == _SET
    ]
    return DN(tuple(reversed(rdns)))


def _pair(content: bytes) -> AVA:
    fields = _elements(content)
    tag, oid = _next(fields)
    if tag != _OID:
        raise ValueError("a name without attribute type")
    tag, value = _next(fields)
    return AVA(decode_oid(oid), string_of_der(tag, value))


def _only(value: bytes, tag: int, *, first: bool = False) -> bytes:
    """The content of the one element in ``value`` (or of the first one)."""
    found, start, end = read_der(value, 0)
    if found != tag or (end != len(value) and not first):
        raise ValueError("not a certificate")
    return value[start:end]


def _next(fields: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    found = next(fields, None)
    if found is None:
        raise ValueError("not a certificate")
    return found


def _elements(value: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that follow one another: tags and contents; raises ValueError."""
    at = 0
    while at < len(value):
        tag, start, end = read_der(value, at)
        yield tag, value[start:end]
        at = end
