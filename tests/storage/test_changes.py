from __future__ import annotations

import pytest

from storage import changes
from storage.changes import Change, Kind

KEY = b"c" * 16 + bytes(4)


@pytest.mark.parametrize(("kind", "width"), [(Kind.ADD, 8), (Kind.DELETE, 16), (Kind.MOVE, 4)])
def test_there_and_back(kind: Kind, width: int) -> None:
    subjects = tuple(n.to_bytes(width, "big") for n in range(changes.ROW + 1))
    rows = list(changes.rows(kind, subjects))
    assert len(rows) == 2
    found = [changes.unpack(KEY, row) for row in rows]
    assert [change.subjects for change in found] == [subjects[:-1], subjects[-1:]]
    assert {(change.csn, change.kind) for change in found} == {(KEY[:16], kind)}


def test_nothing_is_no_row() -> None:
    assert list(changes.rows(Kind.ADD, ())) == []


@pytest.mark.parametrize("row", [b"", b"\x09", b"\x01\0\0\0", b"\x05" + bytes(6)])
def test_unreadable(row: bytes) -> None:
    with pytest.raises(ValueError, match=r"Kind|short"):
        changes.unpack(KEY, row)


def test_readable() -> None:
    assert changes.unpack(KEY, b"\x05" + bytes(8)) == Change(b"c" * 16, Kind.MOVE, (bytes(4), bytes(4)))
