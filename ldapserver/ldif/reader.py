"""Reading LDIF (RFC 2849) from a stream, at the speed of an import.

A stream is cut into blocks of whole records, so that a block can be parsed elsewhere,
and a block into records.  A record of nothing but ``name: value`` and ``name:: base64``
lines is read right here; ``grammar`` reads the others, and tells what is wrong.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import BinaryIO

from ldapserver.ldif.grammar import Context, is_attribute_name, parse_changes, parse_record
from ldapserver.ldif.records import AddRecord, LdifError, Record
from ldapserver.messages import Change

BLOCK_SIZE = 256 * 1024
MAX_RECORD = 64 * 1024 * 1024

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_records(source: BinaryIO, name: str, allow_files: bool = False) -> Iterator[Record]:
    """All records of ``source``, called ``name`` in errors; ``allow_files`` lets values
    come from ``file:`` URLs.  Raises LdifError."""
    for line, block in read_blocks(source, name):
        yield from parse_block(block, line, name, allow_files)


def read_blocks(source: BinaryIO, name: str, size: int = BLOCK_SIZE) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole records, each with the number of its first line.

    ``size`` octets are read at a time and a block is about that long.  Lines end in LF,
    whatever the source has; a byte order mark is gone.
    """
    line = 1
    rest = b""
    chunk = _begin(source, name) + source.read(size)
    while chunk:
        if rest.endswith(b"\r"):  # its LF comes only now
            rest, chunk = rest[:-1], b"\r" + chunk
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n")
        searched = max(len(rest) - 1, 0)
        rest += chunk
        chunk = source.read(size)
        cut = rest.rfind(b"\n\n", searched)
        if cut >= 0:
            yield line, rest[:cut]
            line += rest.count(b"\n", 0, cut) + 2
            rest = rest[cut + 2 :]
        elif len(rest) > MAX_RECORD:
            raise LdifError(name, line, f"a record of more than {MAX_RECORD >> 20} MiB")
    if rest:
        yield line, rest


def _begin(source: BinaryIO, name: str) -> bytes:
    """The first octets, without a byte order mark."""
    first = b""
    while len(first) < 3 and (chunk := source.read(3 - len(first))):
        first += chunk
    if first.startswith(_UTF16_MARKS):
        raise LdifError(name, 1, "this is UTF-16; LDIF is UTF-8")
    return first.removeprefix(_UTF8_MARK)


def parse_block(block: bytes, line: int, name: str, allow_files: bool = False) -> Iterator[Record]:
    """The records of ``block``, which begins at line ``line`` of the file ``name``."""
    context = Context(name, allow_files)
    names: dict[bytes, bytes] = {}
    known = names.get
    # What the quick way cannot see in a line; rare, so asked of all lines at once.
    folded = b"\n " in block
    padded = folded or b":  " in block
    commented = b"\n#" in block or block.startswith(b"#")
    for text in block.rstrip(b"\n").split(b"\n\n"):
        plain = text.replace(b"\n ", b"") if folded else text
        lines = plain.split(b"\n")
        if commented:
            lines = [raw for raw in lines if not raw.startswith(b"#")] or [b""]
        head = lines.pop(0)
        attributes: list[tuple[bytes, bytes]] = []
        for raw in lines:
            spelled, separator, value = raw.partition(b": ")
            attribute = known(spelled)
            if attribute is None or not separator:
                uncommon = _uncommon(names, spelled, value) if separator else None
                if uncommon is None:
                    attributes.clear()
                    break
                attribute, value = uncommon
            attributes.append((attribute, value))
        dn = _dn(head) if attributes and not (padded and b":  " in plain) else None
        if dn is not None:
            yield AddRecord(line if not commented else line + _lines_before_dn(text), dn, attributes)
        elif (record := parse_record(context, text, line)) is not None:
            yield record
        line += (text.count(b"\n") if folded or commented else len(lines)) + 2


def _dn(head: bytes) -> str | None:
    """The DN of a record's first line, if it is written in a common way."""
    try:
        if head.startswith(b"dn: "):
            return head[4:].decode()
        if head.startswith(b"dn:: "):
            return binascii.a2b_base64(head[5:], strict_mode=True).decode()
    except ValueError:
        return None
    return None


def _lines_before_dn(text: bytes) -> int:
    """Only comments stand there, and what continues them."""
    lines = enumerate(text.split(b"\n"))
    return next(index for index, raw in lines if not raw.startswith((b"#", b" ")))


def _uncommon(names: dict[bytes, bytes], spelled: bytes, value: bytes) -> tuple[bytes, bytes] | None:
    """A line whose name is met for the first time, or whose value is base64; None if it
    is neither."""
    if not spelled.endswith(b":"):
        if not is_attribute_name(spelled):
            return None
        names[spelled] = spelled
        return spelled, value
    attribute = names.get(spelled[:-1])
    if attribute is None:
        if not is_attribute_name(spelled[:-1]):
            return None
        attribute = names[spelled[:-1]] = spelled[:-1]
    try:
        return attribute, binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error:
        return None


def read_changes(text: bytes | str, name: str = "changes", allow_files: bool = False) -> tuple[Change, ...]:
    """Modifications as in a change record, but of no entry: ``replace: description`` and
    so on.  Raises LdifError, also when there are none."""
    raw = text.encode() if isinstance(text, str) else text
    raw = raw.removeprefix(_UTF8_MARK).replace(b"\r\n", b"\n")
    changes = parse_changes(Context(name, allow_files), raw, 1)
    if not changes:
        raise LdifError(name, 1, "no modifications")
    return changes
