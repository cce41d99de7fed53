"""Writing LDIF (RFC 2849): entries and change records.

A value that is no SAFE-STRING, or that ends in a space, is written in base64.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import assert_never

from ldapserver.ldif.records import AddRecord, DeleteRecord, ModifyDNRecord, ModifyRecord, Record
from ldapserver.messages import Change, Control, Entry, ModifyOp

WRAP = 76

# SAFE-STRING, without other control characters either: they would act on a terminal.
_SAFE = re.compile(rb"(?:[!-9;=-~](?:[ -~]*[!-~])?)?")
_PLAIN = bytes(range(32, 127)) + b"\n"
_join = b": ".join

_MODIFICATIONS = {
    ModifyOp.ADD: b"add",
    ModifyOp.DELETE: b"delete",
    ModifyOp.REPLACE: b"replace",
    ModifyOp.INCREMENT: b"increment",
}


def format_entry(entry: Entry, wrap: int = WRAP) -> bytes:
    """A content record, with the blank line that ends it; ``wrap`` columns, 0 for any."""
    pairs = [
        (name, value)
        for attribute in entry.attributes
        for name in (attribute.type.encode(),)
        for value in attribute.values
    ]
    return format_content(entry.dn.encode(), pairs, wrap)


def format_content(dn: bytes, attributes: Sequence[tuple[bytes, bytes]], wrap: int = WRAP) -> bytes:
    """The same of what is in octets already: pairs of attribute description and value."""
    # Written as if all were plain; a few looks at the whole tell whether it was.
    lines = [b"dn: " + dn, *map(_join, attributes)]
    text = b"\n".join(lines) + b"\n\n"
    if (
        not text.translate(None, _PLAIN)
        and text.count(b"\n") == len(lines) + 1  # none in a value
        and b" \n" not in text
        and b":  " not in text
        and b": :" not in text
        and b": <" not in text
        and (wrap <= 0 or max(map(len, lines)) <= wrap)
    ):
        return text
    lines = [_line(b"dn", dn, wrap)]
    lines += [_line(name, value, wrap) for name, value in attributes]
    lines.append(b"\n")
    return b"".join(lines)


def format_record(record: Record, wrap: int = WRAP) -> bytes:
    """A change record, with the blank line that ends it."""
    lines = [_line(b"dn", record.dn.encode(), wrap)]
    lines += [_control(control, wrap) for control in record.controls]
    match record:
        case AddRecord():
            lines.append(b"changetype: add\n")
            lines += [_line(name, value, wrap) for name, value in record.attributes]
        case ModifyRecord():
            lines.append(b"changetype: modify\n")
            lines.append(format_changes(record.changes, wrap))
        case DeleteRecord():
            lines.append(b"changetype: delete\n")
        case ModifyDNRecord():
            lines.append(b"changetype: modrdn\n")
            lines.append(_line(b"newrdn", record.new_rdn.encode(), wrap))
            lines.append(b"deleteoldrdn: 1\n" if record.delete_old_rdn else b"deleteoldrdn: 0\n")
            if record.new_superior is not None:
                lines.append(_line(b"newsuperior", record.new_superior.encode(), wrap))
        case _:
            assert_never(record)
    lines.append(b"\n")
    return b"".join(lines)


def format_changes(changes: Sequence[Change], wrap: int = WRAP) -> bytes:
    """Modifications without the entry's name, as ``read_changes`` reads them."""
    lines: list[bytes] = []
    for change in changes:
        name = change.type.encode()
        lines.append(_line(_MODIFICATIONS[change.op], name, wrap))
        lines += [_line(name, value, wrap) for value in change.values]
        lines.append(b"-\n")
    return b"".join(lines)


def _line(name: bytes, value: bytes, wrap: int) -> bytes:
    safe = _SAFE.fullmatch(value) is not None
    line = b"%b: %b\n" % (name, value) if safe else b"%b:: %b" % (name, binascii.b2a_base64(value))
    return _fold(line, wrap) if 0 < wrap < len(line) - 1 else line


def _fold(line: bytes, wrap: int) -> bytes:
    """``line`` in pieces of ``wrap`` columns; the space before each counts."""
    wrap = max(wrap, 2)
    end = len(line) - 1
    pieces = [line[:wrap]]
    pieces += [line[start : min(start + wrap - 1, end)] for start in range(wrap, end, wrap - 1)]
    return b"\n ".join(pieces) + b"\n"


def _control(control: Control, wrap: int) -> bytes:
    text = b"%b %b" % (control.oid.encode(), b"true" if control.critical else b"false")
    if control.value is None:
        return b"control: %b\n" % text
    return _line(b"control: " + text, control.value, wrap)
