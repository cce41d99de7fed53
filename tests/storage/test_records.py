from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from storage import records
from storage.records import Record
from tests.storage import world

_IDS = st.integers(1, 9)
_RECORDS = st.builds(
    Record,
    parent=st.binary(min_size=8, max_size=8),
    rdn=st.binary(max_size=300),
    uuid=st.binary(min_size=16, max_size=16),
    created=st.integers(0, 2**64 - 1),
    csn=st.binary(min_size=16, max_size=16),
    creator=st.binary(max_size=5),
    modifier=st.binary(max_size=5),
    attributes=st.lists(
        st.tuples(_IDS, st.binary(max_size=9)), max_size=6, unique_by=lambda item: item[0]
    ).map(tuple),
    placement=st.binary(min_size=4, max_size=4),
)


@given(_RECORDS)
def test_there_and_back(record: Record) -> None:
    data = records.pack(record)
    assert records.unpack(data) == record
    assert records.parent_of(data) == record.parent
    assert records.placement_of(data) == record.placement
    assert records.uuid_of(data) == record.uuid
    assert records.rdn_of(data) == record.rdn
    assert records.shape_of(data) == b"".join(n.to_bytes(2, "big") for n, _ in record.attributes)
    values = dict(record.attributes)
    for number in range(1, 10):
        assert records.attribute_of(data, number) == values.get(number)


@given(
    _RECORDS, st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16), st.binary(max_size=9)
)
def test_restamped(record: Record, placement: bytes, csn: bytes, modifier: bytes) -> None:
    data = records.restamped(records.pack(record), placement, csn, modifier)
    assert records.unpack(data) == evolve(record, placement=placement, csn=csn, modifier=modifier)


@given(
    _RECORDS,
    st.lists(st.tuples(_IDS, st.none() | st.binary(min_size=1, max_size=9)), max_size=4),
    st.binary(max_size=9),
)
def test_spliced(record: Record, changes: list[tuple[int, bytes | None]], modifier: bytes) -> None:
    csn = b"c" * 16
    wanted = dict(record.attributes)
    for number, encoded in changes:
        if encoded is None:
            wanted.pop(number, None)
        else:
            wanted[number] = encoded
    data = records.spliced(records.pack(record), changes, csn, modifier)
    assert records.unpack(data) == evolve(
        record, attributes=tuple(wanted.items()), csn=csn, modifier=modifier
    )


def test_what_is_too_long() -> None:
    longest = evolve(world.record(), rdn=b"x" * 0xFFFF)
    assert records.unpack(records.pack(longest)) == longest
    long = b"x" * 0x10000
    for record in (
        evolve(longest, rdn=long),
        evolve(longest, creator=long),
        evolve(longest, modifier=long),
    ):
        with pytest.raises(OverflowError):
            records.pack(record)
