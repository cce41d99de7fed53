"""An LDAPMessage from a client to a ``Message`` (RFC 4511 sections 4 and 5.1).

What lives here: every request's syntax, strictly.  What must not: meaning; names,
values and OIDs are taken as they are.

A search is what a directory mostly hears, and a client's searches differ in id and
filter only: so what stands before and after the filter is interned by its octets, and
``_decode_search`` finds it by a few offsets when all lengths are short.  Whatever that
function cannot take, good or bad, goes the general way, which alone decides what is
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    Attribute,
    BindRequest,
    Change,
    CompareRequest,
    Control,
    DeleteRequest,
    Deref,
    ExtendedRequest,
    Message,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Request,
    SaslCredentials,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
    UnbindRequest,
)
from ldapserver.results import ResultCode
from ldapserver.wire import tags
from ldapserver.wire.ber import MAX_INT, BadValue, BerError, Reader, header, read_integer, read_text
from ldapserver.wire.filters import FILTERS, MAX_DEPTH, read_assertion, read_filter, take_filter
from ldapserver.wire.framing import ProtocolViolation
from ldapserver.wire.tags import BOOLEAN, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, SET


class MalformedRequest(Exception):
    """A request whose id and kind are known, but whose contents are not as they must be.

    ``tag`` is the request's, ``response_tag`` its answer's or None (unbind, abandon),
    ``code`` the fitting result.  ``structural``: the encoding itself is broken, where RFC
    4511 section 4.1.1 wants a Notice of Disconnection; otherwise an answer will do.
    """

    def __init__(self, message_id: int, tag: int, error: BerError) -> None:
        super().__init__(str(error))
        self.message_id = message_id
        self.tag = tag
        self.response_tag = tags.RESPONSES.get(tag)
        self.text = str(error)
        self.structural = not isinstance(error, BadValue)
        self.code = error.code if isinstance(error, BadValue) else ResultCode.PROTOCOL_ERROR


def decode_message(data: bytes, max_depth: int = 100) -> Message:
    """The one message that ``data`` holds.  ``max_depth`` bounds the filter's nesting.

    Raises ProtocolViolation where the envelope is unusable, else MalformedRequest.
    """
    return _decode_search(data, max_depth) or decode_any(data, max_depth)


def decode_any(data: bytes, max_depth: int = 100) -> Message:
    """``decode_message`` without the short cut."""
    try:
        outer = Reader(data)
        envelope = outer.inside()
        outer.finish()
        message_id = envelope.integer(INTEGER, 1)
        tag = envelope.peek()
        decode = _REQUESTS.get(tag)
        if decode is None:
            raise ProtocolViolation("not a request of LDAP")
        contents = envelope.inside(tag)
    except BerError as error:
        raise ProtocolViolation(str(error)) from None
    try:
        request = decode(contents, max_depth)
        controls = take_controls(envelope)
    except BerError as error:
        raise MalformedRequest(message_id, tag, error) from None
    return Message(message_id, request, controls)


# --- the envelope ---------------------------------------------------------------------

_ENVELOPE_TAGS: Final = tags.OPERATIONS | {INTEGER, tags.CONTROLS}


def take_controls(envelope: Reader) -> tuple[Control, ...]:
    """What follows protocolOp: controls, then the end of the LDAPMessage."""
    if envelope.pos == envelope.end:
        return ()
    controls = []
    if envelope.peek() == tags.CONTROLS:
        items = envelope.inside(tags.CONTROLS)
        while items.pos < items.end:
            controls.append(_take_control(items.inside()))
    envelope.finish_sequence(_ENVELOPE_TAGS)
    return tuple(controls)


def _take_control(reader: Reader) -> Control:
    oid = reader.name()
    critical = reader.optional_boolean()
    value = reader.optional_octets(OCTET_STRING)
    reader.finish_sequence((OCTET_STRING, BOOLEAN))
    return Control(oid, critical, value)


# --- search ---------------------------------------------------------------------------

_INTERNED: Final = 512
"""Octets of a search's head or selection beyond which it is not worth keeping."""

_SEARCH_TAGS: Final = FILTERS | {OCTET_STRING, ENUMERATED, INTEGER, BOOLEAN, SEQUENCE}


def _take_search(reader: Reader, max_depth: int) -> SearchRequest:
    data, start = reader.data, reader.pos
    for _ in range(6):
        reader.skip()
    raw = data[start : reader.pos]
    head = _interned_head(raw) if len(raw) <= _INTERNED else _read_head(raw)
    filter = take_filter(reader, max_depth)
    raw = data[reader.pos : reader.end]
    selection = _interned_selection(raw) if len(raw) <= _INTERNED else _read_selection(raw)
    return SearchRequest(head, filter, selection)


def _read_head(raw: bytes) -> SearchHead:
    """From baseObject to typesOnly."""
    reader = Reader(raw)
    base = reader.text()
    scope = reader.integer(ENUMERATED)
    deref = reader.integer(ENUMERATED)
    size_limit = reader.integer()
    time_limit = reader.integer()
    types_only = reader.boolean()
    reader.finish()
    if scope > Scope.SUBORDINATE:
        raise BadValue("search scope unknown")
    if deref > Deref.ALWAYS:
        raise BadValue("alias dereferencing unknown")
    return SearchHead(base, Scope(scope), Deref(deref), size_limit, time_limit, types_only)


def _read_selection(raw: bytes) -> tuple[str, ...]:
    """From the attribute selection to the request's end."""
    reader = Reader(raw)
    names = reader.inside()
    selection = []
    while names.pos < names.end:
        selection.append(names.name())
    reader.finish_sequence(_SEARCH_TAGS)
    return tuple(selection)


_interned_head = lru_cache(maxsize=1024)(_read_head)
_interned_selection = lru_cache(maxsize=1024)(_read_selection)


def _decode_search(data: bytes, max_depth: int) -> Message | None:
    """A well-formed search with the usual lengths; None for anything else."""
    try:
        envelope = _find_search(data)
        if envelope is None:
            return None
        message_id, pos, stop = envelope
        # baseObject; two enumerations, of three octets each; two integers; a boolean of
        # three octets.  Were any of it otherwise, reading the head would fail.
        size_limit = pos + 9 + data[pos + 1]
        time_limit = size_limit + 2 + data[size_limit]
        filter_pos = time_limit + 4 + data[time_limit]
        head = _interned_head(data[pos:filter_pos])
        depth = max_depth if max_depth < MAX_DEPTH else MAX_DEPTH
        filter, pos = read_filter(data, filter_pos, stop, depth)
        raw = data[pos:stop]
        selection = _interned_selection(raw) if len(raw) <= _INTERNED else _read_selection(raw)
        controls = take_controls(Reader(data, stop)) if stop != len(data) else ()
    except (IndexError, BerError):
        return None
    return Message(message_id, SearchRequest(head, filter, selection), controls)


def _find_search(data: bytes) -> tuple[int, int, int] | None:
    """The message id, and where the contents of a SearchRequest start and stop."""
    size = data[1]
    pos = 2
    if size > 0x7F:
        pos += size & 0x7F
        size = int.from_bytes(data[2:pos], "big")
    if data[0] != SEQUENCE or pos > 6 or pos + size != len(data) or data[pos] != INTEGER:
        return None
    size = data[pos + 1]
    pos += 2
    if size == 1:
        message_id = data[pos]
        if not 0 < message_id < 0x80:
            return None
    elif size == 2:
        message_id = data[pos] << 8 | data[pos + 1]
        if not 0x7F < message_id < 0x8000:
            return None
    else:
        message_id = read_integer(data, pos, pos + size, 1, MAX_INT)
    pos += size
    if data[pos] != tags.SEARCH_REQUEST:
        return None
    size = data[pos + 1]
    pos += 2
    if size > 0x7F:
        _, pos, stop = header(data, pos - 2, len(data))
        return message_id, pos, stop
    return (message_id, pos, pos + size) if pos + size <= len(data) else None


# --- the other operations ---------------------------------------------------------------


def _take_bind(reader: Reader, _: int) -> BindRequest:
    version = reader.integer(INTEGER, 1, 127)
    name = reader.text()
    tag = reader.peek()
    credentials: SimpleCredentials | SaslCredentials
    if tag == tags.AUTH_SIMPLE:
        credentials = SimpleCredentials(reader.octets(tag))
    elif tag == tags.AUTH_SASL:
        sasl = reader.inside(tag)
        credentials = SaslCredentials(sasl.text(), sasl.optional_octets(OCTET_STRING))
        sasl.finish_sequence((OCTET_STRING,))
    elif tag & 0xC0 == 0x80 and tag & 0x1F not in (0, 3):
        # RFC 4511 section 4.2: the choice is extensible.
        reader.skip()
        raise BadValue("unknown kind of authentication", ResultCode.AUTH_METHOD_NOT_SUPPORTED)
    else:
        raise BerError("bind without credentials")
    reader.finish_sequence((INTEGER, OCTET_STRING, tags.AUTH_SIMPLE, tags.AUTH_SASL))
    return BindRequest(version, name, credentials)


def _take_unbind(reader: Reader, _: int) -> UnbindRequest:
    reader.finish()
    return UnbindRequest()


def _take_add(reader: Reader, _: int) -> AddRequest:
    dn = reader.text()
    items = reader.inside()
    reader.finish_sequence((OCTET_STRING, SEQUENCE))
    attributes = []
    while items.pos < items.end:
        attribute = take_attribute(items)
        if not attribute.values:
            raise BadValue("attribute without values")  # RFC 4511 section 4.1.7
        attributes.append(attribute)
    return AddRequest(dn, tuple(attributes))


def take_attribute(reader: Reader) -> Attribute:
    """The reader's next element as a PartialAttribute: it may be without values."""
    attribute = reader.inside()
    name = attribute.name()
    values = attribute.inside(SET).each_octets()
    attribute.finish_sequence((OCTET_STRING, SET))
    return Attribute(name, values)


def _take_delete(reader: Reader, _: int) -> DeleteRequest:
    return DeleteRequest(read_text(reader.data[reader.pos : reader.end]))


def _take_modify(reader: Reader, _: int) -> ModifyRequest:
    dn = reader.text()
    changes = take_changes(reader)
    reader.finish_sequence((OCTET_STRING, SEQUENCE))
    return ModifyRequest(dn, changes)


def take_changes(reader: Reader) -> tuple[Change, ...]:
    """The reader's next element as a ModifyRequest's ``changes``."""
    items = reader.inside()
    changes = []
    while items.pos < items.end:
        item = items.inside()
        op = item.integer(ENUMERATED)
        if op > ModifyOp.INCREMENT:
            raise BadValue("kind of modification unknown")
        attribute = take_attribute(item)
        item.finish_sequence((ENUMERATED, SEQUENCE))
        changes.append(Change(ModifyOp(op), attribute.type, attribute.values))
    return tuple(changes)


def _take_modify_dn(reader: Reader, _: int) -> ModifyDNRequest:
    dn = reader.text()
    new_rdn = reader.text()
    delete_old_rdn = reader.boolean()
    new_superior = reader.optional_text(tags.NEW_SUPERIOR)
    reader.finish_sequence((OCTET_STRING, BOOLEAN, tags.NEW_SUPERIOR))
    return ModifyDNRequest(dn, new_rdn, delete_old_rdn, new_superior)


def _take_compare(reader: Reader, _: int) -> CompareRequest:
    dn = reader.text()
    attribute, value = read_assertion(reader.data, *reader.element(SEQUENCE))
    reader.finish_sequence((OCTET_STRING, SEQUENCE))
    return CompareRequest(dn, attribute, value)


def _take_abandon(reader: Reader, _: int) -> AbandonRequest:
    return AbandonRequest(read_integer(reader.data, reader.pos, reader.end, 0, MAX_INT))


def _take_extended(reader: Reader, _: int) -> ExtendedRequest:
    oid = reader.name(tags.REQUEST_NAME)
    value = reader.optional_octets(tags.REQUEST_VALUE)
    reader.finish_sequence((tags.REQUEST_NAME, tags.REQUEST_VALUE))
    return ExtendedRequest(oid, value)


_Taker: TypeAlias = Callable[[Reader, int], Request]

_REQUESTS: Final[dict[int, _Taker]] = {
    tags.BIND_REQUEST: _take_bind,
    tags.UNBIND_REQUEST: _take_unbind,
    tags.SEARCH_REQUEST: _take_search,
    tags.ADD_REQUEST: _take_add,
    tags.DELETE_REQUEST: _take_delete,
    tags.MODIFY_REQUEST: _take_modify,
    tags.MODIFY_DN_REQUEST: _take_modify_dn,
    tags.COMPARE_REQUEST: _take_compare,
    tags.ABANDON_REQUEST: _take_abandon,
    tags.EXTENDED_REQUEST: _take_extended,
}
"""By the octet of protocolOp: the reader of its contents, given the filter's depth."""
