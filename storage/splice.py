"""The same attributes exchanged in any number of records.

Records with the same attributes in the same order have one shape.  How a record is cut
and put together again is worked out once for each shape; then a record costs two
slices and a join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

from attrs import frozen

from storage.csn import Csn
from storage.keys import U16
from storage.records import HEADER_SIZE, pack_shape


@frozen
class _Cut:
    """For one shape: how its ends are read, its new table, and the parts of its new body:
    stretches of the old one (from the first attribute's place to behind the last's), and
    new octets.  ``watched`` is the place of that attribute."""

    ends: Struct
    head: bytes
    new_ends: Struct
    parts: tuple[tuple[int, int] | bytes, ...]
    edited: tuple[tuple[int | None, bytes | None], ...]
    watched: int
    seen: set[bytes]


class Splicer:
    """``edits``: description ids with their new BER, or None to remove them; new ones go
    to the end.  ``check`` is called with the first record of each shape and value of the
    attribute ``watched``; what it raises goes through.  ``csn`` gives the change's CSN,
    and is asked only for records that change.
    """

    def __init__(
        self,
        edits: Sequence[tuple[int, bytes | None]],
        watched: int,
        check: Callable[[bytes], None],
        csn: Callable[[], Csn],
        modifier: bytes,
    ) -> None:
        self._edits = edits
        self._watched = watched
        self._check = check
        self._csn = csn
        self._modifier = modifier
        self._modifier_size = U16.pack(len(modifier))
        self._cuts: dict[bytes, _Cut] = {}

    def splice(self, data: bytes) -> bytes | None:
        """The new record, or None for one that has what it would be given."""
        table = HEADER_SIZE + 2 * (data[58] << 8 | data[59])
        shape = data[HEADER_SIZE:table]
        cut = self._cuts.get(shape)
        if cut is None:
            cut = self._cuts[shape] = self._cut(shape)
        ends = (0, *cut.ends.unpack_from(data, table))
        body = len(data) - ends[-1]
        for place, encoded in cut.edited:
            if place is None:
                if encoded is not None:
                    break
            elif data[body + ends[place] : body + ends[place + 1]] != encoded:
                break
        else:
            return None
        watched = cut.watched
        value = data[body + ends[watched] : body + ends[watched + 1]]
        if value not in cut.seen:
            self._check(data)
            cut.seen.add(value)
        parts: list[bytes] = []
        new_ends: list[int] = []
        total = 0
        for part in cut.parts:
            if isinstance(part, bytes):
                total += len(part)
                new_ends.append(total)
                parts.append(part)
            else:
                first, last = part
                start, stop = ends[first], ends[last]
                shift = total - start
                kept = ends[first + 1 : last + 1]
                new_ends += [end + shift for end in kept] if shift else kept
                total = stop + shift
                parts.append(data[body + start : body + stop])
        creator_end = table + 2 * len(shape) + (data[52] << 8 | data[53]) + (data[54] << 8 | data[55])
        return b"".join(
            (
                data[:20],
                self._csn(),
                data[36:56],
                self._modifier_size,
                cut.head,
                cut.new_ends.pack(*new_ends),
                data[table + 2 * len(shape) : creator_end],
                self._modifier,
                *parts,
            )
        )

    def _cut(self, shape: bytes) -> _Cut:
        old = [number for (number,) in U16.iter_unpack(shape)]
        new: dict[int, int | bytes] = {number: place for place, number in enumerate(old)}
        edited: list[tuple[int | None, bytes | None]] = []
        for number, encoded in self._edits:
            edited.append((old.index(number) if number in old else None, encoded))
            if encoded is None:
                new.pop(number, None)
            else:
                new[number] = encoded
        return _Cut(
            ends=Struct(f">{len(old)}I"),
            head=U16.pack(len(new)) + pack_shape(list(new)),
            new_ends=Struct(f">{len(new)}I"),
            parts=tuple(_parts(list(new.values()))),
            edited=tuple(edited),
            watched=old.index(self._watched),
            seen=set(),
        )


def _parts(places: list[int | bytes]) -> list[tuple[int, int] | bytes]:
    """Places of old attributes that follow each other are one stretch."""
    parts: list[tuple[int, int] | bytes] = []
    for place in places:
        if isinstance(place, bytes):
            parts.append(place)
        elif parts and isinstance(before := parts[-1], tuple) and before[1] == place:
            parts[-1] = (before[0], place + 1)
        else:
            parts.append((place, place + 1))
    return parts
