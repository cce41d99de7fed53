"""One LDIF record by the whole grammar (RFC 2849): every form, and the errors.

``reader`` reads what is plain by itself, faster, and hands everything else to
``parse_record``.  Nothing here reads the source; lines end in LF already.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from attrs import frozen

from ldapserver.ldif.records import (
    AddRecord,
    DeleteRecord,
    LdifError,
    ModifyDNRecord,
    ModifyRecord,
    Record,
)
from ldapserver.messages import Change, Control, ModifyOp

# RFC 4512 section 2.5, and underscores, which other servers' schemas have.  Whether the
# type exists is for the schema to say.
_NAME = re.compile(rb"(?:[A-Za-z][A-Za-z0-9_-]*|[0-9]+(?:\.[0-9]+)*)(?:;[A-Za-z0-9_-]+)*")
_CONTROL = re.compile(rb"([0-9]+(?:\.[0-9]+)*)(?: +(true|false))?(:.*)?", re.DOTALL | re.IGNORECASE)

_MODIFICATIONS = {
    "add": ModifyOp.ADD,
    "delete": ModifyOp.DELETE,
    "replace": ModifyOp.REPLACE,
    "increment": ModifyOp.INCREMENT,
}

# First lines of what ldapsearch writes between and after the entries.
_TRAILERS = frozenset({"search", "result", "ref"})

# Where these stand, a line may be no attribute: the whole grammar must look.
_RESERVED = frozenset({b"dn", b"version", b"changetype", b"control", *map(str.encode, _MODIFICATIONS)})


def is_attribute_name(name: bytes) -> bool:
    """Spelled like an attribute description that no other meaning of a line claims."""
    return _NAME.fullmatch(name) is not None and name.lower() not in _RESERVED


@frozen
class Context:
    """What a message must name, and what a value may fetch."""

    file: str
    allow_files: bool = False

    def error(self, line: int, reason: str) -> LdifError:
        return LdifError(self.file, line, reason)


class _Line(NamedTuple):
    """A logical line: ``key: value``, or a bare ``-`` whose key that is."""

    number: int
    key: str
    name: bytes
    value: bytes


def parse_record(context: Context, text: bytes, number: int) -> Record | None:
    """The record of ``text``, which begins at line ``number``; None if there is none."""
    lines = _lines(context, text, number)
    if lines and lines[0].key == "version":
        if lines[0].value.strip() != b"1":
            raise context.error(lines[0].number, "only version 1 of LDIF is known")
        lines = lines[1:]
    if not lines:
        return None
    if lines[0].key in _TRAILERS:
        _check_trailer(context, lines)
        return None
    if lines[0].key != "dn":
        raise context.error(lines[0].number, f"'dn:' expected, not '{lines[0].key}'")
    dn = _text(context, lines[0])
    body = 1
    while body < len(lines) and lines[body].key == "control":
        body += 1
    controls = tuple(_control(context, line) for line in lines[1:body])
    if body < len(lines) and lines[body].key == "changetype":
        return _change_record(context, lines[0].number, dn, controls, lines[body:])
    if controls:
        raise context.error(lines[body - 1].number, "'changetype:' expected after 'control:'")
    if body < len(lines) and lines[body].key in _MODIFICATIONS:
        # ldapmodify needs no changetype there either, and many a how-to has none.
        return ModifyRecord(lines[0].number, dn, _changes(context, lines[body:]))
    return AddRecord(lines[0].number, dn, _content(context, lines[0], lines[body:]))


def parse_changes(context: Context, text: bytes, number: int) -> tuple[Change, ...]:
    """The modifications of a record that has only these."""
    lines = _lines(context, text, number)
    if lines and lines[0].key == "dn":
        raise context.error(lines[0].number, "modifications expected, which name no 'dn:'")
    if lines and lines[0].key == "changetype" and lines[0].value.strip().lower() == b"modify":
        lines = lines[1:]
    return _changes(context, lines)


# --- lines --------------------------------------------------------------------------


def _lines(context: Context, text: bytes, number: int) -> list[_Line]:
    return [_line(context, line, raw) for line, raw in _unfold(context, text, number)]


def _unfold(context: Context, text: bytes, number: int) -> list[tuple[int, bytes]]:
    """The lines without comments, continuations joined."""
    if b"\n " not in text and not text.startswith(b" "):
        numbered = enumerate(text.split(b"\n"), number)
        return [(index, raw) for index, raw in numbered if raw and not raw.startswith(b"#")]
    lines: list[tuple[int, list[bytes]]] = []
    comment = False
    for index, raw in enumerate(text.split(b"\n"), number):
        if raw.startswith(b" "):
            if not comment:
                if not lines and raw.isspace():
                    continue
                if not lines:
                    raise context.error(index, "a line begins with a space and continues none")
                lines[-1][1].append(raw[1:])
            continue
        comment = raw.startswith(b"#")
        if raw and not comment:
            lines.append((index, [raw]))
    return [(line, b"".join(pieces)) for line, pieces in lines]


def _line(context: Context, number: int, raw: bytes) -> _Line:
    if raw.startswith(b"-") and raw.rstrip(b" ") == b"-":
        return _Line(number, "-", b"-", b"")
    name, colon, rest = raw.partition(b":")
    if not colon:
        raise context.error(number, f"'name: value' expected, not {_shown(raw)}")
    key = _key(name)
    if key is None:
        raise context.error(number, f"{_shown(name)} is no attribute description")
    return _Line(number, key, name, _value(context, number, rest))


@lru_cache(1024)
def _key(name: bytes) -> str | None:
    """``name`` in lower case; None if it is spelled like no attribute description."""
    return name.decode("ascii").lower() if _NAME.fullmatch(name) else None


def _value(context: Context, number: int, rest: bytes) -> bytes:
    """The value behind a name's first colon: plain, ``:`` base64 or ``<`` URL."""
    if rest.startswith(b":"):
        try:
            return binascii.a2b_base64(rest[1:].strip(b" "), strict_mode=True)
        except binascii.Error as error:
            raise context.error(number, f"not base64: {error}") from None
    if rest.startswith(b"<"):
        return _fetch(context, number, rest[1:].strip(b" "))
    return rest.lstrip(b" ")


def _fetch(context: Context, number: int, url: bytes) -> bytes:
    if not context.allow_files:
        raise context.error(number, "a value from a URL is not allowed here")
    scheme, _, path = url.partition(b"://")
    path = unquote_to_bytes(path.removeprefix(b"localhost"))
    if scheme.lower() != b"file" or not path.startswith(b"/") or b"\0" in path:
        raise context.error(number, f"only file:///path is known as a value's URL, not {_shown(url)}")
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise context.error(number, f"{_shown(path)}: {error.strerror}") from None


def _text(context: Context, line: _Line) -> str:
    try:
        return line.value.decode()
    except UnicodeDecodeError:
        raise context.error(line.number, f"the value of '{line.key}' is not UTF-8") from None


def _shown(raw: bytes) -> str:
    """A piece of the file for an error message: short, and safe on a terminal."""
    text = raw[:60].decode(errors="replace") + ("..." if len(raw) > 60 else "")
    return repr(text)


# --- records ------------------------------------------------------------------------


def _check_trailer(context: Context, lines: Sequence[_Line]) -> None:
    """ldapsearch's result line: what a failed search left is not all there is."""
    for line in lines:
        if line.key == "result" and not line.value.startswith(b"0 ") and line.value != b"0":
            result = _shown(line.value)
            raise context.error(line.number, f"the search that wrote this file ended early: {result}")


def _control(context: Context, line: _Line) -> Control:
    """``control: OID [true|false] [value]``; not critical unless it says so."""
    parts = _CONTROL.fullmatch(line.value)
    if parts is None:
        raise context.error(line.number, "'control: OID [true|false] [: value]' expected")
    oid, criticality, value = parts.groups()
    decoded = None if value is None else _value(context, line.number, value[1:])
    return Control(oid.decode("ascii"), (criticality or b"").lower() == b"true", decoded)


def _content(context: Context, head: _Line, lines: Sequence[_Line]) -> list[tuple[bytes, bytes]]:
    for line in lines:
        if line.key == "-" or line.key in ("dn", "changetype"):
            raise context.error(line.number, f"'{line.key}' in the middle of an entry")
    if not lines:
        raise context.error(head.number, "an entry without attributes")
    return [(line.name, line.value) for line in lines]


def _change_record(
    context: Context, number: int, dn: str, controls: tuple[Control, ...], lines: Sequence[_Line]
) -> Record:
    """What follows the controls; the first line is the changetype's."""
    kind, *rest = lines
    match kind.value.strip().lower():
        case b"add":
            return AddRecord(number, dn, _content(context, kind, rest), controls)
        case b"modify":
            return ModifyRecord(number, dn, _changes(context, rest), controls)
        case b"delete":
            if rest:
                raise context.error(rest[0].number, "nothing more expected in a deletion")
            return DeleteRecord(number, dn, controls)
        case b"modrdn" | b"moddn":
            return ModifyDNRecord(number, dn, *_new_name(context, kind, rest), controls)
        case other:
            raise context.error(kind.number, f"unknown changetype {_shown(other)}")


def _changes(context: Context, lines: Sequence[_Line]) -> tuple[Change, ...]:
    """Modifications, each ended by ``-``; the last one's may be missing."""
    changes: list[Change] = []
    index = 0
    while index < len(lines):
        head = lines[index]
        operation = _MODIFICATIONS.get(head.key)
        if operation is None:
            raise context.error(head.number, "'add:', 'delete:', 'replace:' or 'increment:' expected")
        name = head.value.rstrip(b" ")
        key = _key(name)
        if key is None:
            raise context.error(head.number, f"{_shown(name)} is no attribute description")
        values: list[bytes] = []
        index += 1
        while index < len(lines) and lines[index].key != "-":
            if lines[index].key != key:
                raise context.error(lines[index].number, f"'{name.decode('ascii')}:' or '-' expected")
            values.append(lines[index].value)
            index += 1
        index += 1
        if operation is ModifyOp.ADD and not values:
            raise context.error(head.number, "nothing to add")
        if operation is ModifyOp.INCREMENT and len(values) != 1:
            raise context.error(head.number, "'increment:' takes one value")
        changes.append(Change(operation, name.decode("ascii"), tuple(values)))
    return tuple(changes)


def _new_name(context: Context, kind: _Line, lines: Sequence[_Line]) -> tuple[str, bool, str | None]:
    """New RDN, whether the old one's values go, and the new superior if there is one."""
    keys = [line.key for line in lines]
    if keys not in (["newrdn", "deleteoldrdn"], ["newrdn", "deleteoldrdn", "newsuperior"]):
        raise context.error(kind.number, "'newrdn:', 'deleteoldrdn:' and perhaps 'newsuperior:' expected")
    flag = lines[1].value.strip()
    if flag not in (b"0", b"1"):
        raise context.error(lines[1].number, "0 or 1 expected")
    superior = _text(context, lines[2]) if len(lines) == 3 else None
    return _text(context, lines[0]), flag == b"1", superior
