"""The codec against ldaptor's: both write the same octets for the same request, and each
reads what the other has written."""

from __future__ import annotations

from typing import Any, assert_never

from hypothesis import assume, given
from hypothesis import strategies as st
from ldaptor.protocols import pureber, pureldap

from ldapserver.extended import PasswordModify, decode_password_modify, encode_password_modify
from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    And,
    Approx,
    BindRequest,
    CompareRequest,
    Control,
    DeleteRequest,
    Entry,
    Equality,
    ExtendedRequest,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Message,
    ModifyDNRequest,
    ModifyRequest,
    Not,
    Or,
    Present,
    Request,
    Result,
    SaslCredentials,
    SearchRequest,
    SimpleCredentials,
    Substrings,
    UnbindRequest,
)
from ldapserver.wire import tags
from ldapserver.wire.client import decode_response, encode_message
from ldapserver.wire.decode import decode_message
from ldapserver.wire.encode import attribute_list, encode_result_tail, entry_tail, envelope

from . import strategies as a
from .strategies import plain

CONTEXT = pureldap.LDAPBERDecoderContext_TopLevel(
    inherit=pureldap.LDAPBERDecoderContext_LDAPMessage(
        fallback=pureldap.LDAPBERDecoderContext(fallback=pureber.BERDecoderContext()),
        inherit=pureldap.LDAPBERDecoderContext(fallback=pureber.BERDecoderContext()),
    )
)


def read_by_ldaptor(data: bytes) -> Any:
    message, used = pureber.berDecodeObject(CONTEXT, data)
    assert used == len(data)
    return message


def written_by_ldaptor(message_id: int, operation: Any, controls: tuple[Control, ...]) -> bytes:
    triples = [(control.oid, control.critical or None, control.value) for control in controls]
    wire = pureldap.LDAPMessage(operation, triples or None, message_id).toWire()
    assert isinstance(wire, bytes)
    return wire


def string(value: str | bytes) -> Any:
    return pureber.BEROctetString(value)


def assertion(of: Any, attribute: str, value: bytes) -> Any:
    return of(string(attribute), string(value))


def filter_of(filter: Filter) -> Any:
    match filter:
        case And(filters):
            return pureldap.LDAPFilter_and(map(filter_of, filters))
        case Or(filters):
            return pureldap.LDAPFilter_or(map(filter_of, filters))
        case Not(inner):
            return pureldap.LDAPFilter_not(filter_of(inner))
        case Equality(attribute, value):
            return assertion(pureldap.LDAPFilter_equalityMatch, attribute, value)
        case GreaterOrEqual(attribute, value):
            return assertion(pureldap.LDAPFilter_greaterOrEqual, attribute, value)
        case LessOrEqual(attribute, value):
            return assertion(pureldap.LDAPFilter_lessOrEqual, attribute, value)
        case Approx(attribute, value):
            return assertion(pureldap.LDAPFilter_approxMatch, attribute, value)
        case Present(attribute):
            return pureldap.LDAPFilter_present(attribute)
        case Substrings(attribute, initial, middle, final):
            parts = [pureldap.LDAPFilter_substrings_any(part) for part in middle]
            if initial is not None:
                parts.insert(0, pureldap.LDAPFilter_substrings_initial(initial))
            if final is not None:
                parts.append(pureldap.LDAPFilter_substrings_final(final))
            return pureldap.LDAPFilter_substrings(attribute, parts)
        case Extensible(rule, attribute, value, dn):
            return pureldap.LDAPFilter_extensibleMatch(rule, attribute, value, dn or None)
        case _:
            assert_never(filter)


def operation_of(request: Request) -> Any:
    match request:
        case BindRequest(version, name, SimpleCredentials(password)):
            return pureldap.LDAPBindRequest(version, name, password)
        case BindRequest(version, name, SaslCredentials(mechanism, response)):
            return pureldap.LDAPBindRequest(version, name, (mechanism, response), sasl=True)
        case UnbindRequest():
            return pureldap.LDAPUnbindRequest()
        case SearchRequest(head, filter, attributes):
            return pureldap.LDAPSearchRequest(
                head.base,
                int(head.scope),
                int(head.deref),
                head.size_limit,
                head.time_limit,
                head.types_only,
                filter_of(filter),
                attributes,
            )
        case AddRequest(dn, attributes):
            pairs = [(string(it.type), pureber.BERSet(map(string, it.values))) for it in attributes]
            return pureldap.LDAPAddRequest(dn, pairs)
        case ModifyRequest(dn, changes):
            return pureldap.LDAPModifyRequest(dn, map(modification_of, changes))
        case DeleteRequest(dn):
            return pureldap.LDAPDelRequest(dn)
        case ModifyDNRequest(dn, new_rdn, delete_old_rdn, new_superior):
            return pureldap.LDAPModifyDNRequest(dn, new_rdn, delete_old_rdn, new_superior)
        case CompareRequest(dn, attribute, value):
            ava = assertion(pureldap.LDAPAttributeValueAssertion, attribute, value)
            return pureldap.LDAPCompareRequest(dn, ava)
        case AbandonRequest(message_id):
            return pureldap.LDAPAbandonRequest(message_id)
        case ExtendedRequest(oid, value):
            return pureldap.LDAPExtendedRequest(oid, value)
        case _:
            raise AssertionError(request)


def modification_of(change: Any) -> Any:
    values = pureber.BERSet(map(string, change.values))
    item = pureber.BERSequence([string(change.type), values])
    return pureber.BERSequence([pureber.BEREnumerated(int(change.op)), item])


@given(a.messages)
def test_requests(message: Message) -> None:
    match message.request:
        case BindRequest(credentials=SaslCredentials(credentials=b"")):
            assume(False)  # ldaptor leaves them out.
    theirs = written_by_ldaptor(message.id, operation_of(message.request), message.controls)
    assert encode_message(message) == theirs
    assert plain(decode_message(theirs)) == plain(message)
    read = read_by_ldaptor(theirs)
    assert read.id == message.id
    if not message.controls:
        assert read.toWire() == theirs


RESPONSES = {
    tags.BIND_RESPONSE: pureldap.LDAPBindResponse,
    tags.SEARCH_DONE: pureldap.LDAPSearchResultDone,
    tags.MODIFY_RESPONSE: pureldap.LDAPModifyResponse,
    tags.ADD_RESPONSE: pureldap.LDAPAddResponse,
    tags.DELETE_RESPONSE: pureldap.LDAPDelResponse,
    tags.MODIFY_DN_RESPONSE: pureldap.LDAPModifyDNResponse,
    tags.COMPARE_RESPONSE: pureldap.LDAPCompareResponse,
    tags.EXTENDED_RESPONSE: pureldap.LDAPExtendedResponse,
}


@given(a.message_ids, a.results, st.sampled_from(sorted(RESPONSES)))
def test_results(message_id: int, result: Result, tag: int) -> None:
    assume(not result.referrals)  # ldaptor has none.
    operation = RESPONSES[tag](int(result.code), result.matched_dn, result.message)
    theirs = written_by_ldaptor(message_id, operation, result.controls)
    assert envelope(message_id, encode_result_tail(tag, result)) == theirs
    assert decode_response(theirs).answer == result
    assert read_by_ldaptor(theirs).value.toWire() == operation.toWire()


@given(a.message_ids, a.entries)
def test_entries(message_id: int, entry: Entry) -> None:
    pairs = [(it.type, it.values) for it in entry.attributes]
    theirs = written_by_ldaptor(message_id, pureldap.LDAPSearchResultEntry(entry.dn, pairs), ())
    tail = entry_tail(entry.dn.encode(), attribute_list(entry.attributes))
    assert envelope(message_id, tail) == theirs
    assert decode_response(theirs).answer == entry
    assert read_by_ldaptor(theirs).value.objectName == entry.dn.encode()


@given(st.none() | a.texts, st.none() | a.octets, st.none() | a.octets)
def test_password_modify(user: str | None, old: bytes | None, new: bytes | None) -> None:
    theirs = pureldap.LDAPPasswordModifyRequest(None, user, old, new).requestValue
    request = PasswordModify(user, old, new)
    assert encode_password_modify(request) == theirs
    assert decode_password_modify(theirs) == request
