"""A message's octets to what FETCH tells of it (RFC 3501 sections 6.4.5 and 7.4.2).

What lives here: envelope, body structure and sections as values; the octets of a section
are exactly those of the message.  What must not: how a response writes them
(``fetching``).

``Part`` (see ``mime``) reads only what is asked for: an envelope needs no body, and its
octets may end where the header ends.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from attrs import frozen

from cgnode.proto.imap.addresses import Address, parse_addresses
from cgnode.proto.imap.codes import UNKNOWN_CTE
from cgnode.proto.imap.commands import Section, Text
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.mime import PLAIN_TEXT, Parameters, Part, parameters

_WORD: Final = re.compile(rb"\s*([^\s;()]+)")
_LANGUAGE: Final = re.compile(rb"[A-Za-z0-9-]+")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]+")

Addresses = tuple[Address, ...]


@frozen
class Envelope:
    date: bytes | None
    subject: bytes | None
    sender_from: Addresses
    sender: Addresses
    reply_to: Addresses
    to: Addresses
    cc: Addresses
    bcc: Addresses
    in_reply_to: bytes | None
    message_id: bytes | None


@frozen
class Disposition:
    type: bytes
    parameters: Parameters


@frozen
class Extension:
    """What only BODYSTRUCTURE has."""

    md5: bytes | None
    disposition: Disposition | None
    language: tuple[bytes, ...]
    location: bytes | None


@frozen
class Embedded:
    """What the structure of a message within a message has besides."""

    envelope: Envelope
    body: Body


@frozen
class SinglePart:
    """``lines`` for text and embedded messages."""

    type: bytes
    subtype: bytes
    parameters: Parameters
    id: bytes | None
    description: bytes | None
    encoding: bytes
    size: int
    lines: int | None
    embedded: Embedded | None
    extension: Extension


@frozen
class MultiPart:
    parts: tuple[Body, ...]
    subtype: bytes
    parameters: Parameters
    extension: Extension


Body = SinglePart | MultiPart


def envelope(part: Part) -> Envelope:
    sender_from = _addresses(part, b"from")
    return Envelope(
        date=part.value(b"date"),
        subject=part.value(b"subject"),
        sender_from=sender_from,
        # RFC 3501 section 7.4.2: these default to From, when empty too.
        sender=_addresses(part, b"sender") or sender_from,
        reply_to=_addresses(part, b"reply-to") or sender_from,
        to=_addresses(part, b"to"),
        cc=_addresses(part, b"cc"),
        bcc=_addresses(part, b"bcc"),
        in_reply_to=part.value(b"in-reply-to"),
        message_id=part.value(b"message-id"),
    )


def body(part: Part) -> Body:
    kind = part.content_type
    extension = _extension(part)
    if part.children:
        parts = tuple(map(body, part.children))
        return MultiPart(parts, kind.subtype, kind.parameters, extension)
    embedded = part.message
    if kind.type == b"multipart" or (kind.type == b"message" and embedded is None and _is_message(part)):
        # It has no parts, or more than are looked for: then it is text, all of it.
        kind = PLAIN_TEXT
    lines: int | None = None
    if embedded is not None or kind.type == b"text":
        lines = part.data.count(b"\n", part.body, part.end)
    return SinglePart(
        type=kind.type,
        subtype=kind.subtype,
        parameters=kind.parameters,
        id=part.value(b"content-id"),
        description=part.value(b"content-description"),
        encoding=_encoding(part) or b"7bit",
        size=part.end - part.body,
        lines=lines,
        embedded=None if embedded is None else Embedded(envelope(embedded), body(embedded)),
        extension=extension,
    )


def find(part: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part that a section's numbers name (RFC 3501 section 6.4.5).

    A message that is no multipart has itself as part 1; what counts below a part that
    holds a message are the parts of that message.
    """
    is_message = True
    for number in numbers:
        if not is_message and part.message is not None:
            part, is_message = part.message, True
        if part.children:
            if number > len(part.children):
                return None
            part = part.children[number - 1]
        elif not is_message or number != 1:
            return None
        is_message = False
    return part


def section(part: Part, wanted: Section) -> memoryview | None:
    """The octets of a section; None where there is no such part."""
    found = find(part, wanted.part)
    if found is None:
        return None
    data = memoryview(part.data)
    if wanted.part and wanted.text is Text.ALL:
        return data[found.body : found.end]
    if wanted.text is Text.MIME:
        return data[found.start : found.body]
    if wanted.part:
        # HEADER and TEXT of a part are those of the message that it holds.
        if found.message is None:
            return None
        found = found.message
    match wanted.text:
        case Text.ALL:
            return data[found.start : found.end]
        case Text.HEADER:
            return data[found.start : found.body]
        case Text.TEXT:
            return data[found.body : found.end]
        case Text.FIELDS | Text.NOT_FIELDS:
            return memoryview(_some_fields(found, wanted))


def decoded(part: Part, numbers: tuple[int, ...]) -> bytes | None:
    """A part without its transfer encoding (RFC 3516 section 4.3); None where there is no
    such part."""
    found = find(part, numbers)
    if found is None:
        return None
    if not numbers:
        return part.data[part.start : part.end]
    octets = octets_of(found)
    if octets is None:
        raise Fault("the part's encoding is not known here", UNKNOWN_CTE, bad=False)
    return octets


def octets_of(part: Part) -> bytes | None:
    """A body without its transfer encoding; None where that is not known.  What has parts
    itself has no encoding (RFC 2045 section 6.4)."""
    octets = part.data[part.body : part.end]
    if part.children or part.message is not None:
        return octets
    match _encoding(part) or b"7bit":
        case b"7bit" | b"8bit" | b"binary":
            return octets
        case b"quoted-printable":
            return binascii.a2b_qp(octets)
        case b"base64":
            return _from_base64(octets)
        case _:
            return None


def _addresses(part: Part, name: bytes) -> Addresses:
    return tuple(address for value in part.values(name) for address in parse_addresses(value))


def _extension(part: Part) -> Extension:
    language = part.value(b"content-language")
    return Extension(
        part.value(b"content-md5"),
        _disposition(part),
        tuple(_LANGUAGE.findall(language)) if language else (),
        part.value(b"content-location"),
    )


def _disposition(part: Part) -> Disposition | None:
    value = part.value(b"content-disposition")
    found = _WORD.match(value) if value else None
    if value is None or found is None:
        return None
    return Disposition(found[1].lower(), parameters(value[found.end() :]))


def _encoding(part: Part) -> bytes | None:
    value = part.value(b"content-transfer-encoding")
    found = _WORD.match(value) if value else None
    return found[1].lower() if found else None


def _is_message(part: Part) -> bool:
    return part.content_type.subtype in (b"rfc822", b"global")


def _some_fields(part: Part, wanted: Section) -> bytes:
    """The fields as they stand, and the blank line (RFC 3501 section 6.4.5)."""
    names = {name.lower() for name in wanted.fields}
    keep = wanted.text is Text.FIELDS
    fields = (part.data[start:end] for name, start, end in part.fields if name and (name in names) is keep)
    return b"".join(fields) + b"\r\n"


def _from_base64(octets: bytes) -> bytes:
    """What can be had of it: encoders leave out the padding and add lines of their own."""
    clean = _NOT_BASE64.sub(b"", octets)
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
