from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from storage import keys

_LONGEST_KEY = 511
# Values whose lengths lie about the bounds, and that share long beginnings.
_VALUES = st.builds(
    lambda size, byte, tail: bytes([byte]) * size + tail,
    st.sampled_from([0, 1, 440, 447, 448, 449, 479, 480, 481, 2000]),
    st.sampled_from([0, 97, 255]),
    st.binary(max_size=3),
)


@given(_VALUES)
def test_keys_fit(value: bytes) -> None:
    assert len(keys.ROOT + keys.bounded(value) + b"\0") <= _LONGEST_KEY
    assert len(keys.equality(65535, value)) <= _LONGEST_KEY


@given(_VALUES, _VALUES)
def test_different_values_have_different_keys(one: bytes, other: bytes) -> None:
    assert (keys.bounded(one) == keys.bounded(other)) == (one == other)


def test_no_value_is_the_key_of_a_longer_one() -> None:
    long = b"x" * 1000
    forged = long[:448] + sha256(long).digest()
    assert keys.bounded(long) == forged
    assert keys.bounded(forged) != forged


@given(_VALUES, _VALUES)
def test_ranges_from_an_exact_value_are_complete(bound: bytes, value: bytes) -> None:
    if keys.is_exact(bound):
        assert (value < bound) == (keys.bounded(value) < keys.bounded(bound))


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_successor_ends_a_prefix(prefix: bytes, key: bytes) -> None:
    end = keys.successor(prefix)
    assert key.startswith(prefix) == (prefix <= key and (not end or key < end))


def test_terms_of_the_store_are_apart() -> None:
    assert keys.members(b"\0\0\0\1") < keys.equality(1, b"")
    assert keys.equality(1, b"\xff") < keys.equality_prefix(2)
