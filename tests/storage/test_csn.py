from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import csn

_MOMENTS = st.integers(0, 253_402_300_799_999_999)  # up to the end of 9999


@given(_MOMENTS, st.integers(0, 0xFFFFFF), st.integers(0, 0xFFF), st.integers(0, 0xFFFF))
def test_text_and_back(micros: int, count: int, replica: int, modifier: int) -> None:
    value = (
        micros.to_bytes(8, "big")
        + count.to_bytes(4, "big")
        + replica.to_bytes(2, "big")
        + modifier.to_bytes(2, "big")
    )
    assert csn.parse(csn.text(value)) == value
    assert csn.micros_of(value) == micros


@given(_MOMENTS, _MOMENTS)
def test_texts_sort_as_csns_do(first: int, second: int) -> None:
    one, other = csn.following(csn.NO_CSN, first), csn.following(csn.NO_CSN, second)
    assert (csn.text(one) < csn.text(other)) == (one < other)


@given(st.lists(_MOMENTS, max_size=20))
def test_each_follows_whatever_the_clock_says(moments: list[int]) -> None:
    last = csn.NO_CSN
    for micros in moments:
        new = csn.following(last, micros)
        assert new > last
        last = new


def test_counter_overflows_into_the_time() -> None:
    full = (7).to_bytes(8, "big") + (0xFFFFFF).to_bytes(4, "big") + bytes(4)
    new = csn.following(full, 3)
    assert new > full
    assert csn.text(new) == "19700101000000.000008Z#000000#000#000000"


def test_openldaps_form() -> None:
    text = "20260102030405.678901Z#00002a#001#000000"
    value = csn.parse(text)
    assert csn.text(value) == text
    assert csn.generalized_time(csn.micros_of(value) // 1_000_000) == b"20260102030405Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20260102030405.678901Z",
        "20260102030405Z#000000#000#000000",
        "20260102030405.678901Z#-00001#000#000000",
        "20260102030405.678901Z#0_0001#000#000000",
        "20260102030405.678901Z#000000#000#010000",
        "20260102030405.678901Z#000000#000#000000 ",
        "20261302030405.678901Z#000000#000#000000",
        "19691231235959.999999Z#000000#000#000000",
        "٢٠٢٦٠١٠٢٠٣٠٤٠٥.678901Z#000000#000#000000",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"CSN|does not match"):
        csn.parse(text)
