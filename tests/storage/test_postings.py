from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import postings

_PLACES = st.sets(st.integers(0, postings.SIZE - 1), max_size=300)


@given(_PLACES)
def test_there_and_back(places: set[int]) -> None:
    bits = sum(1 << place for place in places)
    row = postings.encode(bits)
    assert postings.decode(row) == bits
    assert postings.encode_places(sorted(places)) == row
    assert len(row) <= postings.SIZE // 8


def test_array_and_bitmap_are_told_apart() -> None:
    for count in (0, 1, 126, 127, 128, 129, postings.SIZE):
        bits = (1 << count) - 1
        assert postings.decode(postings.encode(bits)) == bits


@given(st.sets(st.integers(1, 10_000), max_size=30))
def test_ids_of_chunks(numbers: set[int]) -> None:
    chunks: dict[bytes, int] = {}
    for number in numbers:
        chunk, place = postings.split(number.to_bytes(8, "big"))
        chunks[chunk] = chunks.get(chunk, 0) | 1 << place
    found = [entry for chunk in sorted(chunks) for entry in postings.ids(chunk, chunks[chunk])]
    assert [int.from_bytes(entry, "big") for entry in found] == sorted(numbers)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 63, 64, 65, 300])
def test_grams(size: int) -> None:
    value = bytes(n % 256 for n in range(size))
    windows = {value[start : start + 3] for start in range(size) if start + 3 <= size}
    assert set(postings.grams(value)) == windows
