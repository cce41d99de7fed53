"""What a test may write down entries as, and LDIF of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from ldapserver.ldif import format_entry
from ldapserver.messages import Attribute, Entry

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


def attributes(given: Attributes) -> tuple[Attribute, ...]:
    return tuple(Attribute(name, octets(values)) for name, values in given.items())


def ldif_of(source: Source) -> tuple[bytes, str]:
    """The source as LDIF, and its name for errors."""
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
