"""The client's side of the wire: requests as bytes, answers as values (RFC 4511).

For tools, tests and in-process readers, none of which is in a hurry; as strict as the
server's side.  A caller that has a message tail and not a message uses ``decode_tail``.
"""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never

from attrs import field, frozen

from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    BindRequest,
    Change,
    CompareRequest,
    Control,
    DeleteRequest,
    Entry,
    ExtendedRequest,
    Message,
    ModifyDNRequest,
    ModifyRequest,
    Request,
    Result,
    SaslCredentials,
    SearchRequest,
    SimpleCredentials,
    UnbindRequest,
)
from ldapserver.results import ResultCode
from ldapserver.wire import ber, tags
from ldapserver.wire.ber import BerError, Reader
from ldapserver.wire.decode import take_attribute, take_controls
from ldapserver.wire.encode import attribute_list, encode_controls, envelope, partial_attribute
from ldapserver.wire.filters import encode_assertion, encode_filter
from ldapserver.wire.framing import ProtocolViolation
from ldapserver.wire.tags import ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE

# --- requests --------------------------------------------------------------------------


def encode_message(message: Message) -> bytes:
    return envelope(message.id, encode_request(message.request) + encode_controls(message.controls))


def encode_request(request: Request) -> bytes:
    """The protocolOp."""
    match request:
        case BindRequest():
            return _encode_bind(request)
        case UnbindRequest():
            return ber.tlv(tags.UNBIND_REQUEST, b"")
        case SearchRequest():
            return _encode_search(request)
        case AddRequest(dn, attributes):
            items = ber.tlv(SEQUENCE, attribute_list(attributes))
            return ber.sequence(ber.text(dn), items, tag=tags.ADD_REQUEST)
        case DeleteRequest(dn):
            return ber.text(dn, tags.DELETE_REQUEST)
        case ModifyRequest(dn, changes):
            return ber.sequence(ber.text(dn), encode_changes(changes), tag=tags.MODIFY_REQUEST)
        case ModifyDNRequest():
            return _encode_modify_dn(request)
        case CompareRequest(dn, attribute, value):
            assertion = encode_assertion(attribute, value)
            return ber.sequence(ber.text(dn), assertion, tag=tags.COMPARE_REQUEST)
        case AbandonRequest(message_id):
            return ber.integer(message_id, tags.ABANDON_REQUEST)
        case ExtendedRequest(oid, value):
            contents = ber.text(oid, tags.REQUEST_NAME) + ber.optional_octets(value, tags.REQUEST_VALUE)
            return ber.tlv(tags.EXTENDED_REQUEST, contents)
        case _:
            assert_never(request)


def _encode_bind(request: BindRequest) -> bytes:
    match request.credentials:
        case SimpleCredentials(password):
            credentials = ber.octets(password, tags.AUTH_SIMPLE)
        case SaslCredentials(mechanism, response):
            contents = ber.text(mechanism) + ber.optional_octets(response, OCTET_STRING)
            credentials = ber.tlv(tags.AUTH_SASL, contents)
        case _:
            assert_never(request.credentials)
    version = ber.integer(request.version)
    return ber.sequence(version, ber.text(request.name), credentials, tag=tags.BIND_REQUEST)


def _encode_search(request: SearchRequest) -> bytes:
    head = request.head
    return ber.sequence(
        ber.text(head.base),
        ber.integer(head.scope, ENUMERATED),
        ber.integer(head.deref, ENUMERATED),
        ber.integer(head.size_limit),
        ber.integer(head.time_limit),
        ber.boolean(head.types_only),
        encode_filter(request.filter),
        ber.sequence(*map(ber.text, request.attributes)),
        tag=tags.SEARCH_REQUEST,
    )


def _encode_modify_dn(request: ModifyDNRequest) -> bytes:
    return ber.sequence(
        ber.text(request.dn),
        ber.text(request.new_rdn),
        ber.boolean(request.delete_old_rdn),
        ber.optional_text(request.new_superior, tags.NEW_SUPERIOR),
        tag=tags.MODIFY_DN_REQUEST,
    )


def encode_changes(changes: tuple[Change, ...]) -> bytes:
    """A ModifyRequest's ``changes``."""
    return ber.sequence(*map(_encode_change, changes))


def _encode_change(change: Change) -> bytes:
    attribute = partial_attribute(change.type.encode(), change.values)
    return ber.sequence(ber.integer(change.op, ENUMERATED), attribute)


# --- responses -------------------------------------------------------------------------


@frozen
class Reference:
    """A SearchResultReference (section 4.5.3)."""

    uris: tuple[str, ...]


@frozen
class Intermediate:
    """An IntermediateResponse (section 4.13)."""

    oid: str | None
    value: bytes | None = field(repr=False)


Answer: TypeAlias = Result | Entry | Reference | Intermediate


@frozen
class Response:
    """An LDAPMessage from a server; ``tag`` tells results apart.  ``id`` 0 is an
    unsolicited notification.  A Result has the ``controls`` too."""

    id: int
    tag: int
    answer: Answer
    controls: tuple[Control, ...]


def decode_response(data: bytes) -> Response:
    """The one message that ``data`` holds; raises ProtocolViolation."""
    try:
        outer = Reader(data)
        message = outer.inside()
        outer.finish()
        message_id = message.integer(INTEGER)
        return _take_response(message_id, message)
    except BerError as error:
        raise ProtocolViolation(str(error)) from None


def decode_tail(tail: bytes) -> Response:
    """What follows the messageID, with the id 0; raises ProtocolViolation."""
    try:
        return _take_response(0, Reader(tail))
    except BerError as error:
        raise ProtocolViolation(str(error)) from None


def decode_entry(tail: bytes) -> Entry:
    """The SearchResultEntry of a tail; raises ProtocolViolation."""
    answer = decode_tail(tail).answer
    if not isinstance(answer, Entry):
        raise ProtocolViolation("not a search result entry")
    return answer


def _take_response(message_id: int, message: Reader) -> Response:
    tag = message.peek()
    if tag not in tags.OPERATIONS:
        raise BerError("not a response of LDAP")
    contents = message.inside(tag)
    controls = take_controls(message)
    answer: Answer
    if tag in tags.RESULTS:
        answer = _take_result(tag, contents, controls)
    elif tag == tags.SEARCH_ENTRY:
        answer = take_entry(contents)
    elif tag == tags.SEARCH_REFERENCE:
        answer = Reference(_each_text(contents))
    elif tag == tags.INTERMEDIATE_RESPONSE:
        answer = _take_intermediate(contents)
    else:
        raise BerError("a request where a response was expected")
    return Response(message_id, tag, answer, controls)


_RESULT_TAGS: Final = frozenset(
    {ENUMERATED, OCTET_STRING, tags.REFERRAL, tags.SERVER_SASL_CREDENTIALS}
    | {tags.RESPONSE_NAME, tags.RESPONSE_VALUE}
)


def _take_result(tag: int, reader: Reader, controls: tuple[Control, ...]) -> Result:
    number = reader.integer(ENUMERATED)
    matched_dn, message = reader.text(), reader.text()
    referrals = _each_text(reader.inside(tags.REFERRAL)) if reader.peek() == tags.REFERRAL else ()
    sasl = oid = value = None
    if tag == tags.BIND_RESPONSE:
        sasl = reader.optional_octets(tags.SERVER_SASL_CREDENTIALS)
    elif tag == tags.EXTENDED_RESPONSE:
        oid = reader.optional_text(tags.RESPONSE_NAME)
        value = reader.optional_octets(tags.RESPONSE_VALUE)
    reader.finish_sequence(_RESULT_TAGS)
    try:
        code = ResultCode(number)
    except ValueError:
        # Section 4.1.9: a code that one does not know is an unknown error.
        code, message = ResultCode.OTHER, f"result code {number}: {message}"
    return Result(code, matched_dn, message, referrals, controls, sasl, oid, value)


def _each_text(reader: Reader) -> tuple[str, ...]:
    texts = tuple(map(ber.read_text, reader.each_octets()))
    if not texts:
        raise BerError("referral without URIs")
    return texts


def take_entry(reader: Reader) -> Entry:
    """A SearchResultEntry's contents."""
    dn = reader.text()
    items = reader.inside()
    reader.finish_sequence((OCTET_STRING, SEQUENCE))
    attributes = []
    while items.pos < items.end:
        attributes.append(take_attribute(items))
    return Entry(dn, tuple(attributes))


def _take_intermediate(reader: Reader) -> Intermediate:
    oid = reader.optional_text(tags.INTERMEDIATE_NAME)
    value = reader.optional_octets(tags.INTERMEDIATE_VALUE)
    reader.finish_sequence((tags.INTERMEDIATE_NAME, tags.INTERMEDIATE_VALUE))
    return Intermediate(oid, value)
