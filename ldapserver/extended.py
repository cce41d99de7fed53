"""The extended operations' OIDs, and their values as bytes and back.

What lives here: syntax.  What must not: what the operations do.  A value that is not
as it must be raises LDAPError PROTOCOL_ERROR.

StartTLS RFC 4511 section 4.14, Who am I RFC 4532 (no request value; the response's is
the authzId as it stands), Password Modify RFC 3062, Cancel RFC 3909, and the bulk
changes, which are this project's own:

    arc     2.25.206953194795951581405723652704514009491 (RFC 9562, ITU-T X.667)
    arc.1.1 rehost, arc.1.2 restore, arc.1.3 bulk modify: requestName
    arc.2   attribute types, arc.3 object classes
    arc.4   controls, arc.5 intermediate responses (``sync.codec``)

The types below extend RFC 4511's ASN.1 module (IMPLICIT TAGS) and are encoded as
section 5.1 there says.  A response has no responseName; its responseValue is there
when the resultCode is success.

    RehostRequestValue ::= SEQUENCE {
        source      LDAPString,         -- a value of hostServer
        target      LDAPString,         -- the value that takes its place
        selection   Selection,
        dryRun      BOOLEAN DEFAULT FALSE,
        besides     [0] Besides OPTIONAL }

    RestoreRequestValue ::= SEQUENCE {
        source      LDAPString,         -- a value of oldHostServer
        selection   Selection,
        dryRun      BOOLEAN DEFAULT FALSE,
        besides     [0] Besides OPTIONAL }

    Besides ::= SEQUENCE OF beside SEQUENCE {   -- made first, in the same transaction
        object      LDAPDN,
        changes     SEQUENCE OF change SEQUENCE { ... } }   -- as below

    BulkModifyRequestValue ::= SEQUENCE {
        selection   Selection,
        changes     SEQUENCE OF change SEQUENCE {       -- as in ModifyRequest
            operation       ENUMERATED {
                add (0), delete (1), replace (2), increment (3), ... },
            modification    PartialAttribute },
        dryRun      BOOLEAN DEFAULT FALSE }

    Selection ::= SEQUENCE {            -- all parts that are there must hold
        base        LDAPDN,             -- this entry and all below; empty: everything
        filter      [0] Filter OPTIONAL,                -- explicit, Filter being a CHOICE
        accounts    [1] SEQUENCE OF account LDAPString OPTIONAL }
                                        -- DNs or account addresses

    BulkResponseValue ::= SEQUENCE {
        matched     INTEGER (0 .. maxInt),      -- entries selected
        changed     INTEGER (0 .. maxInt),      -- of them, different now
        csn         LDAPString,                 -- the change's; empty: nothing changed
        dryRun      BOOLEAN DEFAULT FALSE }     -- counted only
"""

from __future__ import annotations

from typing import Final, assert_never

from attrs import field, frozen

from ldapserver.messages import (
    BulkModify,
    BulkReport,
    BulkRequest,
    ExtendedRequest,
    ModifyRequest,
    Rehost,
    Restore,
    Selection,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import ber
from ldapserver.wire.ber import Reader, refusing, sequence_value
from ldapserver.wire.client import encode_changes
from ldapserver.wire.decode import take_changes
from ldapserver.wire.filters import encode_filter, take_filter
from ldapserver.wire.tags import BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE

START_TLS: Final = "1.3.6.1.4.1.1466.20037"
WHO_AM_I: Final = "1.3.6.1.4.1.4203.1.11.3"
PASSWORD_MODIFY: Final = "1.3.6.1.4.1.4203.1.11.1"
CANCEL: Final = "1.3.6.1.1.8"

CGNODE_ARC: Final = "2.25.206953194795951581405723652704514009491"
REHOST: Final = f"{CGNODE_ARC}.1.1"
RESTORE: Final = f"{CGNODE_ARC}.1.2"
BULK_MODIFY: Final = f"{CGNODE_ARC}.1.3"
BULK_OPERATIONS: Final = frozenset({REHOST, RESTORE, BULK_MODIFY})

# --- Password Modify (RFC 3062) ---------------------------------------------------------------

_USER: Final = 0x80
_OLD: Final = 0x81
_NEW: Final = 0x82
_GENERATED: Final = 0x80


@frozen
class PasswordModify:
    """Without ``user`` the requester's own; without ``new`` the server makes one up.
    ``user`` need not be a DN."""

    user: str | None = None
    old: bytes | None = field(default=None, repr=False)
    new: bytes | None = field(default=None, repr=False)


def decode_password_modify(value: bytes | None) -> PasswordModify:
    if value is None:
        return PasswordModify()
    with refusing("password modify"):
        reader = sequence_value(value)
        user = reader.optional_text(_USER)
        request = PasswordModify(user, reader.optional_octets(_OLD), reader.optional_octets(_NEW))
        reader.finish_sequence((_USER, _OLD, _NEW))
        return request


def encode_password_modify(request: PasswordModify) -> bytes:
    return ber.sequence(
        ber.optional_text(request.user, _USER),
        ber.optional_octets(request.old, _OLD),
        ber.optional_octets(request.new, _NEW),
    )


def encode_generated_password(password: bytes) -> bytes:
    """The response's value, when the server made the password up."""
    return ber.sequence(ber.octets(password, _GENERATED))


def decode_generated_password(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    with refusing("password modify"):
        reader = sequence_value(value)
        password = reader.optional_octets(_GENERATED)
        reader.finish_sequence((_GENERATED,))
        return password


# --- Cancel (RFC 3909) --------------------------------------------------------------------------


def decode_cancel(value: bytes | None) -> int:
    """The id of the operation to cancel."""
    with refusing("cancel"):
        reader = sequence_value(value)
        message_id = reader.integer()
        reader.finish_sequence((INTEGER,))
        return message_id


def encode_cancel(message_id: int) -> bytes:
    return ber.sequence(ber.integer(message_id))


# --- bulk changes -------------------------------------------------------------------------------

_FILTER: Final = 0xA0
_ACCOUNTS: Final = 0xA1
_SELECTION_TAGS: Final = (OCTET_STRING, _FILTER, _ACCOUNTS)
_BESIDES: Final = 0xA0
_REQUEST_TAGS: Final = (OCTET_STRING, SEQUENCE, BOOLEAN, _BESIDES)


def encode_bulk_request(request: BulkRequest) -> ExtendedRequest:
    selection = _encode_selection(request.selection)
    dry_run = ber.default_false(request.dry_run)
    match request:
        case Rehost(source, target):
            besides = _encode_besides(request.besides)
            value = ber.sequence(ber.text(source), ber.text(target), selection, dry_run, besides)
            return ExtendedRequest(REHOST, value)
        case Restore(source):
            besides = _encode_besides(request.besides)
            return ExtendedRequest(RESTORE, ber.sequence(ber.text(source), selection, dry_run, besides))
        case BulkModify():
            value = ber.sequence(selection, encode_changes(request.changes), dry_run)
            return ExtendedRequest(BULK_MODIFY, value)
        case _:
            assert_never(request)


def decode_bulk_request(request: ExtendedRequest, max_depth: int = 100) -> BulkRequest:
    """``request.oid`` is one of ``BULK_OPERATIONS``."""
    with refusing("bulk change"):
        reader = sequence_value(request.value)
        bulk: BulkRequest
        if request.oid == REHOST:
            source, target = reader.text(), reader.text()
            selection = _take_selection(reader.inside(), max_depth)
            bulk = Rehost(source, target, selection, reader.optional_boolean(), _take_besides(reader))
        elif request.oid == RESTORE:
            source = reader.text()
            selection = _take_selection(reader.inside(), max_depth)
            bulk = Restore(source, selection, reader.optional_boolean(), _take_besides(reader))
        elif request.oid == BULK_MODIFY:
            selection = _take_selection(reader.inside(), max_depth)
            bulk = BulkModify(selection, take_changes(reader), reader.optional_boolean())
        else:
            raise LDAPError(ResultCode.PROTOCOL_ERROR, "not a bulk change")
        reader.finish_sequence(_REQUEST_TAGS)
        return bulk


def _encode_selection(selection: Selection) -> bytes:
    filter = b"" if selection.filter is None else ber.tlv(_FILTER, encode_filter(selection.filter))
    accounts = b""
    if selection.accounts is not None:
        accounts = ber.sequence(*map(ber.text, selection.accounts), tag=_ACCOUNTS)
    return ber.sequence(ber.text(selection.base), filter, accounts)


def _take_selection(reader: Reader, max_depth: int) -> Selection:
    base = reader.text()
    filter = accounts = None
    if reader.peek() == _FILTER:
        explicit = reader.inside(_FILTER)
        filter = take_filter(explicit, max_depth)
        explicit.finish()
    if reader.peek() == _ACCOUNTS:
        accounts = tuple(map(ber.read_text, reader.inside(_ACCOUNTS).each_octets()))
    reader.finish_sequence(_SELECTION_TAGS)
    return Selection(base, filter, accounts)


def _encode_besides(besides: tuple[ModifyRequest, ...]) -> bytes:
    if not besides:
        return b""
    return ber.sequence(
        *(ber.sequence(ber.text(each.dn), encode_changes(each.changes)) for each in besides), tag=_BESIDES
    )


def _take_besides(reader: Reader) -> tuple[ModifyRequest, ...]:
    besides = []
    if reader.peek() == _BESIDES:
        items = reader.inside(_BESIDES)
        while items.pos < items.end:
            item = items.inside()
            besides.append(ModifyRequest(item.text(), take_changes(item)))
            item.finish_sequence((OCTET_STRING, SEQUENCE))
    return tuple(besides)


def encode_bulk_report(report: BulkReport) -> bytes:
    return ber.sequence(
        ber.integer(report.matched),
        ber.integer(report.changed),
        ber.text(report.csn),
        ber.default_false(report.dry_run),
    )


def decode_bulk_report(value: bytes | None) -> BulkReport:
    with refusing("bulk change's report"):
        reader = sequence_value(value)
        matched, changed = reader.integer(), reader.integer()
        report = BulkReport(matched, changed, reader.text(), reader.optional_boolean())
        reader.finish_sequence((INTEGER, OCTET_STRING, BOOLEAN))
        return report
