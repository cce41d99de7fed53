from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage import placements
from storage.placements import Host, Placement
from tests.storage.world import host

_HOSTS = st.none() | st.builds(Host, st.binary(max_size=4), st.binary(max_size=4))
_PLACEMENTS = st.builds(
    Placement,
    st.binary(min_size=8, max_size=8),
    _HOSTS,
    _HOSTS,
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=9),
)
CONTAINER = (1).to_bytes(8, "big")
CSN = b"c" * 16


@given(_PLACEMENTS)
def test_there_and_back(placement: Placement) -> None:
    again = placements.unpack(placements.pack(placement))
    assert again == placement
    assert [h and h.name for h in (again.host, again.old)] == [
        h and h.name for h in (placement.host, placement.old)
    ]


_TRICKY = st.none() | st.lists(st.sampled_from([b"\0", b"\1", b"a"]), max_size=4).map(
    lambda parts: Host(b"".join(parts), b"")
)


@example(Host(b"a", b""), Host(b"\0", b""), Host(b"a\0\1", b""), None)
@given(_TRICKY, _TRICKY, _TRICKY, _TRICKY)
def test_keys_are_of_one_container_and_its_hosts(
    host: Host | None, old: Host | None, other_host: Host | None, other_old: Host | None
) -> None:
    same = [h and h.name for h in (host, old)] == [h and h.name for h in (other_host, other_old)]
    one, other = Placement(CONTAINER, host, old), Placement(CONTAINER, other_host, other_old)
    assert (one.key == other.key) == same


@pytest.mark.parametrize(
    ("host_name", "old_name", "target", "host_after", "old_after"),
    [
        ("be3", None, "be5", "be5", "be3"),
        ("be5", "be3", "be7", "be7", "be3"),
        ("be5", "be3", "BE3", "BE3", None),
        ("be3", None, "be3", "be3", None),
        (None, None, "be5", "be5", None),
    ],
)
def test_moved(
    host_name: str | None, old_name: str | None, target: str, host_after: str, old_after: str | None
) -> None:
    before = Placement(
        CONTAINER, host(host_name) if host_name else None, host(old_name) if old_name else None
    )
    after = before.moved(host(target), CSN, b"me")
    assert (after.host, after.old) == (host(host_after), host(old_after) if old_after else None)
    assert (after.csn, after.modifier) == (CSN, b"me")


def test_restored() -> None:
    moved = Placement(CONTAINER, host("be5"), host("be3"))
    assert moved.restored(CSN, b"me") == Placement(CONTAINER, host("be3"), None, CSN, b"me")


def test_what_is_too_long() -> None:
    for long in (Host(b"x" * 0x10000, b""), Host(b"", b"x" * 0x10000)):
        with pytest.raises(OverflowError):
            placements.pack(Placement(CONTAINER, long, None))
        with pytest.raises(OverflowError):
            placements.pack(Placement(CONTAINER, None, long))
