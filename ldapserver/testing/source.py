"""What a test may write down entries as, and LDIF of it.

Passwords in clear are stored under a salted digest, which is quick to make and to
verify; the directory itself would take its time, as it must in earnest.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from ldapserver.ldif import format_entry
from ldapserver.messages import Attribute, Entry
from ldapserver.passwords import is_hashed

Value: TypeAlias = str | bytes | int | bool
Values: TypeAlias = Value | Iterable[Value]
"""One value or several; text is UTF-8, numbers and truth are written as LDAP does."""

Attributes: TypeAlias = Mapping[str, Values]
Source: TypeAlias = str | bytes | Path | Entry | Mapping[str, Attributes] | Iterable[Entry]
"""LDIF text; a file of it; an entry or several; or ``{dn: {attribute: values}}``."""


def octets(values: Values) -> tuple[bytes, ...]:
    if isinstance(values, str | bytes | int):
        return (_octets(values),)
    return tuple(map(_octets, values))


def _octets(value: Value) -> bytes:
    match value:
        case bytes():
            return value
        case bool():
            return b"TRUE" if value else b"FALSE"
        case _:
            return str(value).encode()


def stored(name: str, values: Values) -> tuple[bytes, ...]:
    """An attribute's values as they are given to the store."""
    if name.lower() == "userpassword":
        return tuple(map(_quick, octets(values)))
    return octets(values)


def attributes(given: Attributes) -> tuple[Attribute, ...]:
    return tuple(Attribute(name, stored(name, values)) for name, values in given.items())


# A value on one line of a record that is no change record, where it may mean otherwise.
_PASSWORD = re.compile(
    rb"^(userPassword:) *([^ :<\r\n][^\r\n]*)(?=\r?$)(?!\r?\n )", re.MULTILINE | re.IGNORECASE
)
_CHANGE = re.compile(rb"^changetype:", re.MULTILINE | re.IGNORECASE)


def _quick(password: bytes) -> bytes:
    if is_hashed(password):
        return password
    salt = os.urandom(8)
    return b"{SSHA}" + base64.b64encode(hashlib.sha1(password + salt).digest() + salt)


def ldif_of(source: Source) -> tuple[bytes, str]:
    """The source as LDIF, and its name for errors."""
    data, name = _ldif_of(source)
    if not _CHANGE.search(data):
        data = _PASSWORD.sub(lambda found: found[1] + b" " + _quick(found[2]), data)
    return data, name


def _ldif_of(source: Source) -> tuple[bytes, str]:
    match source:
        case str():
            return source.encode(), "LDIF"
        case bytes():
            return source, "LDIF"
        case Path():
            return source.read_bytes(), str(source)
        case Entry():
            return format_entry(source), "entry"
        case Mapping():
            entries: Iterable[Entry] = (Entry(dn, attributes(given)) for dn, given in source.items())
        case _:
            entries = source
    return b"".join(map(format_entry, entries)), "entries"
