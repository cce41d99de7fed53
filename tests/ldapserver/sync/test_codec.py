"""Controls and messages of content synchronisation as bytes and back, and cookies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapserver.results import LDAPError, ResultCode
from ldapserver.sync import codec
from ldapserver.sync.codec import (
    EntryState,
    Mode,
    NewCookie,
    PlacementInfo,
    RefreshDelete,
    RefreshPresent,
    SyncDone,
    SyncIdSet,
    SyncInfo,
    SyncRequest,
    SyncState,
)
from ldapserver.sync.cookie import Cookie, parse_cookie
from ldapserver.sync.entries import EntrySet
from storage.csn import following, text

COOKIES = st.none() | st.binary(min_size=1, max_size=200)
UUIDS = st.binary(min_size=16, max_size=16)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
INFOS: st.SearchStrategy[SyncInfo] = st.one_of(
    st.builds(NewCookie, st.binary(max_size=100)),
    st.builds(RefreshDelete, COOKIES, st.booleans()),
    st.builds(RefreshPresent, COOKIES, st.booleans()),
    st.builds(SyncIdSet, st.lists(UUIDS, max_size=20).map(tuple), st.booleans(), COOKIES),
)

DECODERS: list[Callable[[bytes | None], object]] = [
    codec.decode_sync_request,
    codec.decode_sync_state,
    codec.decode_sync_done,
    codec.decode_sync_info,
    codec.decode_placement,
]


@given(st.builds(SyncRequest, st.sampled_from(Mode), COOKIES, st.booleans()))
def test_requests(request: SyncRequest) -> None:
    assert codec.decode_sync_request(codec.encode_sync_request(request)) == request


@given(st.builds(SyncState, st.sampled_from(EntryState), UUIDS, COOKIES))
def test_states(state: SyncState) -> None:
    assert codec.decode_sync_state(codec.encode_sync_state(state)) == state


@given(st.builds(SyncDone, COOKIES, st.booleans()))
def test_ends(done: SyncDone) -> None:
    assert codec.decode_sync_done(codec.encode_sync_done(done)) == done


@given(INFOS)
def test_infos(info: SyncInfo) -> None:
    assert codec.decode_sync_info(codec.encode_sync_info(info)) == info


@given(
    st.builds(
        PlacementInfo,
        st.binary(min_size=4, max_size=4).filter(any),
        UUIDS | st.just(b""),
        TEXTS,
        TEXTS,
        st.none() | TEXTS,
        st.none() | TEXTS,
    )
)
def test_placements(info: PlacementInfo) -> None:
    assert codec.decode_placement(codec.encode_placement(info)) == info


@given(INFOS, st.data())
def test_what_is_broken_is_refused(info: SyncInfo, data: st.DataObject) -> None:
    octets = bytearray(codec.encode_sync_info(info))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    for decode in DECODERS:
        try:
            decode(bytes(octets))
        except LDAPError as error:
            assert error.code is ResultCode.PROTOCOL_ERROR  # noqa: PT017


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("value", [None, b"", b"\x30", b"\x30\x03\x04\x04x", b"\x04\x00"])
def test_what_is_none_is_refused(decode: Callable[[bytes | None], object], value: bytes | None) -> None:
    with pytest.raises(LDAPError) as caught:
        decode(value)
    assert caught.value.code is ResultCode.PROTOCOL_ERROR


def test_the_octets_are_those_of_others() -> None:
    """As OpenLDAP writes them."""
    assert codec.encode_sync_request(SyncRequest(Mode.REFRESH_AND_PERSIST)) == b"\x30\x03\x0a\x01\x03"
    assert codec.encode_sync_info(NewCookie(b"c")) == b"\x80\x01c"
    assert codec.encode_sync_info(RefreshDelete(b"c")) == b"\xa1\x03\x04\x01c"
    assert codec.encode_sync_info(RefreshPresent(None, False)) == b"\xa2\x03\x01\x01\x00"


def test_cookies() -> None:
    csn = following(bytes(16), 1_700_000_000_123_456)
    cookie = Cookie(csn, 7)
    assert bytes(cookie) == f"rid=007,csn={text(csn)}".encode()
    assert parse_cookie(bytes(cookie)) == cookie
    assert parse_cookie(b"rid=007,sid=001,csn=" + text(csn).encode()) == cookie
    assert parse_cookie(None) == parse_cookie(b"") == Cookie(None)
    assert parse_cookie(b"rid=003") == Cookie(None, 3)
    for other in (b"whatever", b"\xff\x00", b"rid=001,csn=yesterday", b"csn="):
        assert parse_cookie(other).foreign or parse_cookie(other).csn is None


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100))), st.booleans(), st.integers(0, 40))
def test_sets_of_entries(steps: list[tuple[bool, int]], full: bool, clear: int) -> None:
    made = EntrySet(full=full, clear=clear)
    wanted = {number for number in range(120) if full and number > clear}
    for put, number in steps:
        entry = number.to_bytes(8, "big")
        if put:
            made.add(entry)
            wanted.add(number)
        else:
            made.discard(entry)
            wanted.discard(number)
    assert {number for number in range(120) if number.to_bytes(8, "big") in made} == wanted
