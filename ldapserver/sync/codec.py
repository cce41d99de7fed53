"""The controls and messages of content synchronisation as bytes and back (RFC 4533 section
2), and ours for followers that know placements.

    arc.4.1     placements: a control of the search request, without value, by which a
                client says that it keeps placements as the directory does; and of each
                entry that is in one, with its value
    arc.5.1     placement: an intermediate response, before the first entry that is in
                it, and when it has changed

    PlacementNumber ::= OCTET STRING (SIZE (4))     -- the control's value on entries

    PlacementValue ::= SEQUENCE {                   -- the response's value
        number      PlacementNumber,
        container   OCTET STRING,                   -- the entryUUID of its entries' parent;
                                                    -- empty: they are at the top
        changed     LDAPString,                     -- CSN of its last move; empty: none
        modifier    LDAPString,                     -- who did that
        host        [0] LDAPString OPTIONAL,        -- hostServer of all of its entries
        oldHost     [1] LDAPString OPTIONAL }       -- oldHostServer of all of them

``arc`` is that of ``ldapserver.extended``.  What lives here: syntax.  A value that is not
as it must be raises LDAPError PROTOCOL_ERROR.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias, assert_never

from attrs import frozen

from ldapserver.extended import CGNODE_ARC
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import ber
from ldapserver.wire.ber import BadValue, Reader, refusing, sequence_value
from ldapserver.wire.tags import BOOLEAN, ENUMERATED, OCTET_STRING, SET

SYNC_REQUEST: Final = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE: Final = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE: Final = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO: Final = "1.3.6.1.4.1.4203.1.9.1.4"

PLACEMENTS: Final = f"{CGNODE_ARC}.4.1"
PLACEMENT_INFO: Final = f"{CGNODE_ARC}.5.1"


class Mode(IntEnum):
    REFRESH_ONLY = 1
    REFRESH_AND_PERSIST = 3


class EntryState(IntEnum):
    PRESENT = 0
    ADD = 1
    MODIFY = 2
    DELETE = 3


# --- the request (section 2.2) -----------------------------------------------------------


@frozen
class SyncRequest:
    """``reload_hint``: rather begin anew than be told that the cookie is of no use."""

    mode: Mode
    cookie: bytes | None = None
    reload_hint: bool = False


def decode_sync_request(value: bytes | None) -> SyncRequest:
    with refusing("sync request control"):
        reader = sequence_value(value)
        number = reader.integer(ENUMERATED)
        if number not in (Mode.REFRESH_ONLY, Mode.REFRESH_AND_PERSIST):
            raise BadValue("unknown mode")
        cookie = reader.optional_octets(OCTET_STRING)
        request = SyncRequest(Mode(number), cookie, reader.optional_boolean())
        reader.finish_sequence((ENUMERATED, OCTET_STRING, BOOLEAN))
        return request


def encode_sync_request(request: SyncRequest) -> bytes:
    return ber.sequence(
        ber.integer(request.mode, ENUMERATED),
        ber.optional_octets(request.cookie, OCTET_STRING),
        ber.default_false(request.reload_hint),
    )


# --- entries (section 2.3) and the end (section 2.4) ---------------------------------------


@frozen
class SyncState:
    state: EntryState
    uuid: bytes
    cookie: bytes | None = None


def encode_sync_state(state: SyncState) -> bytes:
    cookie = ber.optional_octets(state.cookie, OCTET_STRING)
    return ber.sequence(ber.integer(state.state, ENUMERATED), ber.octets(state.uuid), cookie)


def decode_sync_state(value: bytes | None) -> SyncState:
    with refusing("sync state control"):
        reader = sequence_value(value)
        number = reader.integer(ENUMERATED, high=3)
        uuid = _uuid(reader.octets())
        state = SyncState(EntryState(number), uuid, reader.optional_octets(OCTET_STRING))
        reader.finish_sequence((ENUMERATED, OCTET_STRING))
        return state


@frozen
class SyncDone:
    """``refresh_deletes``: what is gone was told; otherwise it is what was not mentioned."""

    cookie: bytes | None = None
    refresh_deletes: bool = False


def encode_sync_done(done: SyncDone) -> bytes:
    cookie = ber.optional_octets(done.cookie, OCTET_STRING)
    return ber.sequence(cookie, ber.default_false(done.refresh_deletes))


def decode_sync_done(value: bytes | None) -> SyncDone:
    with refusing("sync done control"):
        reader = sequence_value(value)
        done = SyncDone(reader.optional_octets(OCTET_STRING), reader.optional_boolean())
        reader.finish_sequence((OCTET_STRING, BOOLEAN))
        return done


# --- sync info messages (section 2.5) -------------------------------------------------------


@frozen
class NewCookie:
    cookie: bytes


@frozen
class RefreshDelete:
    """The end of a phase in which what is gone was told."""

    cookie: bytes | None = None
    done: bool = True


@frozen
class RefreshPresent:
    """The end of a phase after which what was not mentioned is gone."""

    cookie: bytes | None = None
    done: bool = True


@frozen
class SyncIdSet:
    """Entries that are there unchanged, or with ``deletes`` are gone."""

    uuids: tuple[bytes, ...]
    deletes: bool = False
    cookie: bytes | None = None


SyncInfo: TypeAlias = NewCookie | RefreshDelete | RefreshPresent | SyncIdSet

_NEW_COOKIE: Final = 0x80
_REFRESH_DELETE: Final = 0xA1
_REFRESH_PRESENT: Final = 0xA2
_ID_SET: Final = 0xA3


def encode_sync_info(info: SyncInfo) -> bytes:
    match info:
        case NewCookie(cookie):
            return ber.octets(cookie, _NEW_COOKIE)
        case RefreshDelete(cookie, done):
            return _encode_phase(_REFRESH_DELETE, cookie, done)
        case RefreshPresent(cookie, done):
            return _encode_phase(_REFRESH_PRESENT, cookie, done)
        case SyncIdSet(uuids, deletes, cookie):
            ids = ber.sequence(*map(ber.octets, uuids), tag=SET)
            return ber.sequence(
                ber.optional_octets(cookie, OCTET_STRING), ber.default_false(deletes), ids, tag=_ID_SET
            )
        case _:
            assert_never(info)


def _encode_phase(tag: int, cookie: bytes | None, done: bool) -> bytes:
    # DEFAULT TRUE: absent when it is.
    ending = b"" if done else ber.boolean(False)
    return ber.sequence(ber.optional_octets(cookie, OCTET_STRING), ending, tag=tag)


def decode_sync_info(value: bytes | None) -> SyncInfo:
    with refusing("sync info message"):
        if value is None:
            raise BadValue("value missing")
        outer = Reader(value)
        info = _take_info(outer)
        outer.finish()
        return info


def _take_info(outer: Reader) -> SyncInfo:
    match outer.peek():
        case 0x80:
            return NewCookie(outer.octets(_NEW_COOKIE))
        case 0xA1:
            return RefreshDelete(*_take_phase(outer.inside(_REFRESH_DELETE)))
        case 0xA2:
            return RefreshPresent(*_take_phase(outer.inside(_REFRESH_PRESENT)))
        case 0xA3:
            reader = outer.inside(_ID_SET)
            cookie = reader.optional_octets(OCTET_STRING)
            deletes = reader.optional_boolean()
            uuids = tuple(map(_uuid, reader.inside(SET).each_octets()))
            reader.finish_sequence((OCTET_STRING, BOOLEAN, SET))
            return SyncIdSet(uuids, deletes, cookie)
        case _:
            raise BadValue("unknown choice")


def _take_phase(reader: Reader) -> tuple[bytes | None, bool]:
    cookie = reader.optional_octets(OCTET_STRING)
    done = reader.boolean() if reader.peek() == BOOLEAN else True
    reader.finish_sequence((OCTET_STRING, BOOLEAN))
    return cookie, done


def _uuid(value: bytes) -> bytes:
    if len(value) != 16:
        raise BadValue("not a UUID")
    return value


# --- placements: ours -----------------------------------------------------------------------


@frozen
class PlacementInfo:
    """``changed`` is the text of a CSN; "" before any move.  ``container`` b"" is the top."""

    number: bytes
    container: bytes
    changed: str
    modifier: str
    host: str | None
    old_host: str | None


_HOST: Final = 0x80
_OLD_HOST: Final = 0x81


def encode_placement(info: PlacementInfo) -> bytes:
    return ber.sequence(
        ber.octets(info.number),
        ber.octets(info.container),
        ber.text(info.changed),
        ber.text(info.modifier),
        ber.optional_text(info.host, _HOST),
        ber.optional_text(info.old_host, _OLD_HOST),
    )


def decode_placement(value: bytes | None) -> PlacementInfo:
    with refusing("placement"):
        reader = sequence_value(value)
        number, container = decode_placement_number(reader.octets()), reader.octets()
        if container:
            _uuid(container)
        changed, modifier = reader.text(), reader.text()
        host, old_host = reader.optional_text(_HOST), reader.optional_text(_OLD_HOST)
        reader.finish_sequence((OCTET_STRING, _HOST, _OLD_HOST))
        return PlacementInfo(number, container, changed, modifier, host, old_host)


def decode_placement_number(value: bytes | None) -> bytes:
    if value is None or len(value) != 4 or value == bytes(4):
        raise LDAPError(ResultCode.PROTOCOL_ERROR, "placement: not a number of one")
    return value
