"""FETCH and STORE (RFC 3501 sections 6.4.5 and 6.4.6, RFC 3516, RFC 7162).

What lives here: their text to their values, and what a section is called in a response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cgnode.proto.imap import codes, encode
from cgnode.proto.imap.commands import (
    ALL,
    FAST,
    FULL,
    Binary,
    BinarySize,
    BodySection,
    Change,
    Fetch,
    FetchItem,
    Item,
    Section,
    Store,
    Text,
)
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.scanner import MOST_64, Scanner
from cgnode.proto.imap.sets import MOST

_MACROS: Final[Mapping[str, tuple[FetchItem, ...]]] = {"ALL": ALL, "FAST": FAST, "FULL": FULL}

_OLD_NAMES: Final[Mapping[str, FetchItem]] = {
    "RFC822": BodySection(Section(), b"RFC822"),
    "RFC822.HEADER": BodySection(Section(text=Text.HEADER), b"RFC822.HEADER", peek=True),
    "RFC822.TEXT": BodySection(Section(text=Text.TEXT), b"RFC822.TEXT"),
}

_ITEMS: Final = {item.value: item for item in Item}

_NAME: Final = re.compile(rb"[A-Za-z0-9.]+")
_PART: Final = re.compile(rb"\d{1,10}(?:\.\d{1,10})*")
_TEXT: Final = re.compile(rb"[A-Za-z.]*")
_PARTIAL: Final = re.compile(rb"<(\d{1,19})\.(\d{1,19})>")

MOST_ITEMS: Final = 256
"""Each of them may be a whole message over again."""


def parse_fetch(scanner: Scanner, uid: bool) -> Fetch:
    scanner.space()
    numbers = scanner.numbers()
    scanner.space()
    items: tuple[FetchItem, ...]
    if scanner.peek() == b"(":
        items = scanner.listed(lambda: _item(scanner, _name(scanner)))
    else:
        name = _name(scanner)
        items = _MACROS[name] if name in _MACROS else (_item(scanner, name),)
    changed_since: int | None = None
    if scanner.more():
        scanner.expect(b"(CHANGEDSINCE ")
        changed_since = scanner.positive(MOST_64)
        scanner.expect(b")")
        # RFC 7162 section 3.1.4.1: it adds MODSEQ.
        items = (*items, Item.MODSEQ)
    if uid:
        # RFC 3501 section 6.4.8: the UID is always told.
        items = (Item.UID, *items)
    if len(items) > MOST_ITEMS:
        raise Fault(f"a FETCH may have {MOST_ITEMS} items", codes.LIMIT)
    return Fetch(numbers, tuple(dict.fromkeys(items)), uid, changed_since)


def parse_store(scanner: Scanner, uid: bool) -> Store:
    scanner.space()
    numbers = scanner.numbers()
    scanner.space()
    unchanged_since: int | None = None
    if scanner.take(b"("):
        scanner.expect(b"UNCHANGEDSINCE ")
        unchanged_since = scanner.number(MOST_64)
        scanner.expect(b")")
        scanner.space()
    change, silent = _change(scanner)
    scanner.space()
    if scanner.peek() == b"(":
        flags = scanner.listed(scanner.flag, empty=True)
    else:
        flags = (scanner.flag(),)
        while scanner.more():
            flags = (*flags, scanner.flag())
    return Store(numbers, change, tuple(dict.fromkeys(flags)), silent, uid, unchanged_since)


def _change(scanner: Scanner) -> tuple[Change, bool]:
    for change in (Change.ADD, Change.REMOVE, Change.REPLACE):
        if scanner.take(change.value.encode()):
            return change, scanner.take(b".SILENT")
    raise Fault("FLAGS, +FLAGS or -FLAGS is expected")


def _name(scanner: Scanner) -> str:
    return scanner.find(_NAME, "a data item")[0].decode("ascii").upper()


def _item(scanner: Scanner, name: str) -> FetchItem:
    if scanner.peek() == b"[":
        match name:
            case "BODY" | "BODY.PEEK":
                section = _section(scanner)
                return BodySection(section, section_name(section), name != "BODY", _partial(scanner))
            case "BINARY" | "BINARY.PEEK":
                return Binary(_binary_part(scanner), name != "BINARY", _partial(scanner))
            case "BINARY.SIZE":
                return BinarySize(_binary_part(scanner))
    if name in _ITEMS:
        return _ITEMS[name]
    if name in _OLD_NAMES:
        return _OLD_NAMES[name]
    raise Fault(f"the data item {name[:32]} is not known here")


def _section(scanner: Scanner) -> Section:
    scanner.expect(b"[")
    part = _part(scanner)
    if part and not scanner.take(b"."):
        scanner.expect(b"]")
        return Section(part)
    name = scanner.find(_TEXT, "a section")[0].decode("ascii").upper()
    try:
        text = Text(name)
    except ValueError:
        raise Fault(f"there is no section {name[:32]}") from None
    if (text is Text.MIME and not part) or (text is Text.ALL and part):
        raise Fault("a section's part and text don't fit")
    fields: tuple[bytes, ...] = ()
    if text in (Text.FIELDS, Text.NOT_FIELDS):
        scanner.space()
        fields = scanner.listed(scanner.astring)
    scanner.expect(b"]")
    return Section(part, text, fields)


def _part(scanner: Scanner) -> tuple[int, ...]:
    if not scanner.peek().isdigit():
        return ()
    numbers = tuple(map(int, scanner.find(_PART, "a part")[0].split(b".")))
    if not all(0 < number <= MOST for number in numbers):
        raise Fault("a part's number is out of range")
    return numbers


def _binary_part(scanner: Scanner) -> tuple[int, ...]:
    scanner.expect(b"[")
    part = _part(scanner)
    scanner.expect(b"]")
    return part


def _partial(scanner: Scanner) -> tuple[int, int] | None:
    if scanner.peek() != b"<":
        return None
    found = scanner.find(_PARTIAL, "<origin.count>")
    if not int(found[2]):
        raise Fault("a partial fetch of nothing")
    return int(found[1]), int(found[2])


def section_name(section: Section) -> bytes:
    """``BODY[...]``, as its response has it."""
    inner = ".".join(map(str, section.part))
    if section.text is not Text.ALL:
        inner += "." * bool(inner) + section.text.value
    fields = b" (%b)" % b" ".join(map(encode.astring, section.fields)) if section.fields else b""
    return b"BODY[%b%b]" % (inner.encode(), fields)
