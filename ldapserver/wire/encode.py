"""A server's answers as bytes (RFC 4511 sections 4.1.9 to 4.14).

A *tail* is what follows the messageID in an LDAPMessage: protocolOp and controls.
Answers are built as tails, which know nothing of who asked, and ``envelope`` puts the id
before them.  What lives here: how answers are written.  What must not: when.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    Attribute,
    BindRequest,
    CompareRequest,
    Control,
    DeleteRequest,
    ExtendedRequest,
    ModifyDNRequest,
    ModifyRequest,
    Request,
    Result,
    SearchRequest,
    UnbindRequest,
)
from ldapserver.results import ResultCode
from ldapserver.wire import ber, tags
from ldapserver.wire.ber import LENGTHS, length
from ldapserver.wire.tags import ENUMERATED, OCTET_STRING

NOTICE_OF_DISCONNECTION: Final = "1.3.6.1.4.1.1466.20036"
"""RFC 4511 section 4.4.1."""

_RESPONSE_TAGS: Final[dict[type[Request], int | None]] = {
    BindRequest: tags.BIND_RESPONSE,
    UnbindRequest: None,
    SearchRequest: tags.SEARCH_DONE,
    AddRequest: tags.ADD_RESPONSE,
    DeleteRequest: tags.DELETE_RESPONSE,
    ModifyRequest: tags.MODIFY_RESPONSE,
    ModifyDNRequest: tags.MODIFY_DN_RESPONSE,
    CompareRequest: tags.COMPARE_RESPONSE,
    AbandonRequest: None,
    ExtendedRequest: tags.EXTENDED_RESPONSE,
}


def response_tag(request: Request) -> int | None:
    """The tag of what ends the request's operation; None: it has no answer."""
    return _RESPONSE_TAGS[type(request)]


# --- the envelope ---------------------------------------------------------------------

_SMALL_IDS: Final = tuple(ber.integer(value) for value in range(128))


def envelope(message_id: int, tail: bytes) -> bytes:
    """The LDAPMessage."""
    if message_id < 0x80:
        encoded = _SMALL_IDS[message_id]
    elif message_id < 0x8000:
        encoded = b"\x02\x02" + message_id.to_bytes(2, "big")
    elif message_id < 0x800000:
        encoded = b"\x02\x03" + message_id.to_bytes(3, "big")
    else:
        encoded = ber.integer(message_id)
    size = len(encoded) + len(tail)
    return b"\x30" + (LENGTHS[size] if size < 1024 else length(size)) + encoded + tail


def encode_controls(controls: Iterable[Control]) -> bytes:
    """The envelope's ``controls``; nothing when there are none."""
    encoded = b"".join(map(_encode_control, controls))
    return ber.tlv(tags.CONTROLS, encoded) if encoded else b""


def _encode_control(control: Control) -> bytes:
    return ber.sequence(
        ber.text(control.oid),
        ber.default_false(control.critical),
        ber.optional_octets(control.value, OCTET_STRING),
    )


# --- results -----------------------------------------------------------------------------


def encode_result_tail(tag: int, result: Result) -> bytes:
    """The response ``tag`` (one of ``tags.RESULTS``).  serverSaslCreds go into a bind's
    response only, name and value into an extended one's only."""
    if not (result.matched_dn or result.message or result.referrals or result.controls) and (
        result.sasl is None and result.oid is None and result.value is None
    ):
        return _plain_result(tag, result.code)
    contents = encode_ldap_result(result.code, result.matched_dn, result.message, result.referrals)
    if tag == tags.BIND_RESPONSE:
        contents += ber.optional_octets(result.sasl, tags.SERVER_SASL_CREDENTIALS)
    elif tag == tags.EXTENDED_RESPONSE:
        contents += ber.optional_text(result.oid, tags.RESPONSE_NAME)
        contents += ber.optional_octets(result.value, tags.RESPONSE_VALUE)
    return ber.tlv(tag, contents) + encode_controls(result.controls)


@lru_cache(maxsize=512)
def _plain_result(tag: int, code: ResultCode) -> bytes:
    return ber.tlv(tag, encode_ldap_result(code))


def encode_ldap_result(
    code: int, matched_dn: str = "", message: str = "", referrals: tuple[str, ...] = ()
) -> bytes:
    """COMPONENTS OF LDAPResult (section 4.1.9)."""
    contents = ber.integer(code, ENUMERATED) + ber.text(matched_dn) + ber.text(message)
    return contents + ber.sequence(*map(ber.text, referrals), tag=tags.REFERRAL) if referrals else contents


def notice_of_disconnection(code: ResultCode, text: str) -> bytes:
    """The whole message, whose id is 0 (section 4.4.1)."""
    result = Result(code, message=text, oid=NOTICE_OF_DISCONNECTION)
    return envelope(0, encode_result_tail(tags.EXTENDED_RESPONSE, result))


def encode_intermediate_tail(
    oid: str | None, value: bytes | None, controls: tuple[Control, ...] = ()
) -> bytes:
    """An IntermediateResponse (section 4.13)."""
    name = ber.optional_text(oid, tags.INTERMEDIATE_NAME)
    contents = name + ber.optional_octets(value, tags.INTERMEDIATE_VALUE)
    return ber.tlv(tags.INTERMEDIATE_RESPONSE, contents) + encode_controls(controls)


# --- entries ----------------------------------------------------------------------------


def partial_attribute(type: bytes, values: Iterable[bytes]) -> bytes:
    """A PartialAttribute (section 4.1.7): an attribute description and its values."""
    parts: list[bytes] = []
    for value in values:
        size = len(value)
        parts += (b"\x04", LENGTHS[size] if size < 1024 else length(size), value)
    encoded = b"".join(parts)
    size = len(type)
    type_length = LENGTHS[size] if size < 1024 else length(size)
    size = len(encoded)
    set_length = LENGTHS[size] if size < 1024 else length(size)
    size += 2 + len(type_length) + len(type) + len(set_length)
    outer = LENGTHS[size] if size < 1024 else length(size)
    return b"\x30%b\x04%b%b\x31%b%b" % (outer, type_length, type, set_length, encoded)


def attribute_list(attributes: Iterable[Attribute]) -> bytes:
    """PartialAttributes one after the other, as ``entry_tail`` takes them."""
    return b"".join([partial_attribute(item.type.encode(), item.values) for item in attributes])


def entry_tail(dn: bytes, attributes_ber: bytes) -> bytes:
    """A SearchResultEntry (section 4.5.2) from PartialAttributes one after the other."""
    size = len(dn)
    dn_length = LENGTHS[size] if size < 1024 else length(size)
    size = len(attributes_ber)
    list_length = LENGTHS[size] if size < 1024 else length(size)
    size += 2 + len(dn_length) + len(dn) + len(list_length)
    outer = LENGTHS[size] if size < 1024 else length(size)
    return b"\x64%b\x04%b%b\x30%b%b" % (outer, dn_length, dn, list_length, attributes_ber)


def reference_tail(uris: Iterable[str]) -> bytes:
    """A SearchResultReference (section 4.5.3), which has at least one URI."""
    return ber.sequence(*map(ber.text, uris), tag=tags.SEARCH_REFERENCE)
