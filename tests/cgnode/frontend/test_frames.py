from __future__ import annotations

from cgnode.frontend.queue import frames
from cgnode.frontend.queue.frames import Damage, Frame

SALT = 7
ONE = frames.encode(b"one", (b"body", b" of one"), SALT)
TWO = frames.encode(b"two", (), SALT)
THREE = frames.encode(b"three", (b"x" * 100,), SALT)


def metas(data: bytes, bodies: bool = True) -> list[bytes | tuple[int, int]]:
    parts = frames.scan(data, 0, SALT, bodies)
    return [part.meta if isinstance(part, Frame) else (part.offset, part.end) for part in parts]


def test_what_was_encoded_is_found() -> None:
    data = ONE + TWO + THREE + bytes(500)
    assert metas(data) == [b"one", b"two", b"three"]
    first = frames.read(data, 0, SALT, True)
    assert first is not None
    assert data[first.body : first.end] == b"body of one"
    assert frames.size(b"one", (b"body", b" of one")) == len(ONE) == first.end


def test_nothing() -> None:
    assert metas(b"") == []
    assert metas(bytes(100)) == []


def test_every_octet_counts() -> None:
    for position in range(len(ONE)):
        broken = bytearray(ONE + TWO)
        broken[position] ^= 0x10
        assert metas(bytes(broken)) == [(0, len(ONE)), b"two"], position


def test_a_torn_end() -> None:
    data = ONE + THREE
    for length in range(len(ONE) + 1, len(data)):
        assert metas(data[:length] + bytes(200)) == [b"one", (len(ONE), length + 200)]


def test_bodies_may_be_left_unread() -> None:
    broken = bytearray(ONE + TWO)
    broken[len(ONE) - 1] ^= 1
    assert metas(bytes(broken), bodies=False) == [b"one", b"two"]


def test_a_body_forges_no_frame() -> None:
    """Behind damage the search goes through bodies, which strangers write."""
    forged = frames.encode(b"forged", (), SALT + 1)
    broken = bytearray(frames.encode(b"victim", (b"text" + forged,), SALT) + TWO)
    broken[0] = 0
    assert metas(bytes(broken))[1:] == [b"two"]


def test_a_hostile_body_is_searched_in_no_time() -> None:
    header = frames.encode(bytes(200), (), SALT + 1)[: frames.OVERHEAD]
    broken = bytearray(frames.encode(b"victim", (header * 50_000,), SALT))
    broken[0] = 0
    assert metas(bytes(broken)) == [(0, len(broken))]


def test_damage_is_a_value() -> None:
    assert list(frames.scan(b"\1", 0, SALT, True)) == [Damage(0, 1)]
