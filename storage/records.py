"""The stored form of an entry.

A record is a header, the attributes' description ids, the end of each attribute in the
body, three texts (the RDN as it was given, creator, modifier) and the body: the
attributes' BER ``PartialAttribute`` encodings one after another.  A reader cuts the
attributes it wants out of the body and joins them; nothing is decoded.

header (60 bytes, big-endian): parent id 8, placement id 4, created 8 (microseconds
since 1970), CSN of the last change 16, UUID 16, lengths of RDN, creator and modifier
2 each, number of attributes 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import add
from struct import Struct

from attrs import field, frozen

from storage.csn import Csn
from storage.keys import NO_PLACEMENT, U16, EntryId, PlacementId

HEADER = Struct(">8s4sQ16s16sHHHH")
HEADER_SIZE = HEADER.size

# By number of attributes: their ids, then their ends.
_TABLES: dict[int, Struct] = {}


def table_of(count: int) -> Struct:
    """The layout of ``count`` description ids and ``count`` ends."""
    table = _TABLES.get(count)
    if table is None:
        table = _TABLES.setdefault(count, Struct(f">{count}H{count}I"))
    return table


@lru_cache(maxsize=4096)
def _ends_of(count: int) -> Struct:
    return Struct(f">{count}I")


@frozen
class Record:
    """An entry's record, taken apart.

    ``attributes`` are (description id, BER of the PartialAttribute) in the order in
    which they were added; ``created`` is in microseconds since 1970.
    """

    parent: EntryId
    rdn: bytes
    uuid: bytes
    created: int
    csn: Csn
    creator: bytes
    modifier: bytes
    attributes: tuple[tuple[int, bytes], ...] = field(repr=False)
    placement: PlacementId = NO_PLACEMENT


def pack(record: Record) -> bytes:
    """Raises OverflowError where a text or the entry outgrows the layout."""
    numbers = [number for number, _ in record.attributes]
    return assemble(
        (record.parent, record.placement, record.created, record.csn, record.uuid),
        (record.rdn, record.creator, record.modifier),
        pack_shape(numbers),
        [encoded for _, encoded in record.attributes],
    )


def pack_shape(numbers: Sequence[int]) -> bytes:
    return Struct(f">{len(numbers)}H").pack(*numbers)


def assemble(
    head: tuple[EntryId, PlacementId, int, Csn, bytes],
    texts: tuple[bytes, bytes, bytes],
    shape: bytes,
    attributes: Sequence[bytes],
) -> bytes:
    """``pack`` from what is at hand: parent, placement, created, CSN, UUID; RDN, creator,
    modifier; the packed description ids and each one's BER."""
    count = len(attributes)
    rdn, creator, modifier = texts
    if len(rdn) > 0xFFFF or len(creator) > 0xFFFF or len(modifier) > 0xFFFF or count > 0xFFFF:
        raise OverflowError("a name longer than 65,535 octets, or as many attributes")
    ends = tuple(accumulate(map(len, attributes)))
    if count and ends[-1] > 0x7FFFFFFF:
        raise OverflowError("an entry larger than 2 GiB")
    return b"".join(
        (
            HEADER.pack(*head, len(rdn), len(creator), len(modifier), count),
            shape,
            _ends_of(count).pack(*ends),
            *texts,
            *attributes,
        )
    )


_TAIL = Struct(">Q16s16sHHHH")


def assemble_tails(
    stamp: tuple[int, Csn, bytes],
    uuids: Sequence[bytes],
    rdns: Sequence[bytes],
    shape: bytes,
    columns: Sequence[Sequence[bytes]],
) -> list[bytes]:
    """Many records of one shape, each without parent and placement, which come first.

    ``stamp``: created, CSN, and who is creator and modifier; ``columns``: for each
    attribute the BER of all entries'.
    """
    created, csn, creator = stamp
    count = len(columns)
    if max(map(len, rdns), default=0) > 0xFFFF or len(creator) > 0xFFFF:
        raise OverflowError("a name longer than 65,535 octets")
    ends: list[Sequence[int]] = []
    for column in columns:
        sizes = list(map(len, column))
        ends.append(list(map(add, ends[-1], sizes)) if ends else sizes)
    if ends and max(ends[-1], default=0) > 0x7FFFFFFF:
        raise OverflowError("an entry larger than 2 GiB")
    size = len(creator)
    heads = map(
        _TAIL.pack,
        repeat(created),
        repeat(csn),
        uuids,
        map(len, rdns),
        repeat(size),
        repeat(size),
        repeat(count),
    )
    tables = map(_ends_of(count).pack, *ends)
    fixed = repeat(creator)
    return list(map(b"".join, zip(heads, repeat(shape), tables, rdns, fixed, fixed, *columns)))


def unpack(data: bytes) -> Record:
    parent, placement, created, csn, uuid, rdn_size, creator_size, modifier_size, count = HEADER.unpack_from(
        data
    )
    table = table_of(count)
    numbers = table.unpack_from(data, HEADER_SIZE)
    start = HEADER_SIZE + table.size
    rdn_end = start + rdn_size
    creator_end = rdn_end + creator_size
    body = creator_end + modifier_size
    attributes = []
    previous = body
    for index in range(count):
        end = body + numbers[count + index]
        attributes.append((numbers[index], data[previous:end]))
        previous = end
    return Record(
        parent=parent,
        rdn=data[start:rdn_end],
        uuid=uuid,
        created=created,
        csn=csn,
        creator=data[rdn_end:creator_end],
        modifier=data[creator_end:body],
        attributes=tuple(attributes),
        placement=placement,
    )


def parent_of(data: bytes) -> EntryId:
    return data[:8]


def placement_of(data: bytes) -> PlacementId:
    return data[8:12]


def csn_of(data: bytes) -> Csn:
    return data[20:36]


def uuid_of(data: bytes) -> bytes:
    return data[36:52]


def rdn_of(data: bytes) -> bytes:
    count = int.from_bytes(data[58:60], "big")
    start = HEADER_SIZE + 6 * count
    return data[start : start + int.from_bytes(data[52:54], "big")]


def restamped(data: bytes, placement: PlacementId, csn: Csn, modifier: bytes) -> bytes:
    """The record in another placement, as of another change; attributes stay."""
    count = int.from_bytes(data[58:60], "big")
    rdn_size, creator_size, modifier_size = (int.from_bytes(data[at : at + 2], "big") for at in (52, 54, 56))
    start = HEADER_SIZE + 6 * count + rdn_size + creator_size
    return b"".join(
        (
            data[:8],
            placement,
            data[12:20],
            csn,
            data[36:56],
            len(modifier).to_bytes(2, "big"),
            data[58:start],
            modifier,
            data[start + modifier_size :],
        )
    )


def spliced(data: bytes, changes: Sequence[tuple[int, bytes | None]], csn: Csn, modifier: bytes) -> bytes:
    """The record with attributes exchanged: (description id, new BER, or None to remove it).

    New attributes go to the end.  Much quicker than ``unpack`` and ``pack``.
    """
    count = data[58] << 8 | data[59]
    numbers = list(table_of(count).unpack_from(data, HEADER_SIZE))
    start = HEADER_SIZE + 6 * count
    rdn_end = start + (data[52] << 8 | data[53])
    creator_end = rdn_end + (data[54] << 8 | data[55])
    body = data[creator_end + (data[56] << 8 | data[57]) :]
    ids, ends = numbers[:count], numbers[count:]
    for number, encoded in changes:
        if number in ids:
            at = ids.index(number)
            first, last = ends[at - 1] if at else 0, ends[at]
            body = body[:first] + (encoded or b"") + body[last:]
            shift = len(encoded or b"") - (last - first)
            if encoded is None:
                del ids[at], ends[at]
            if shift:
                ends[at:] = [end + shift for end in ends[at:]]
        elif encoded is not None:
            body += encoded
            ids.append(number)
            ends.append(len(body))
    count = len(ids)
    return b"".join(
        (
            data[:20],
            csn,
            data[36:56],
            U16.pack(len(modifier)),
            U16.pack(count),
            table_of(count).pack(*ids, *ends),
            data[start:creator_end],
            modifier,
            body,
        )
    )


def attribute_of(data: bytes, number: int) -> bytes | None:
    """One attribute's BER, or None."""
    count = data[58] << 8 | data[59]
    numbers = table_of(count).unpack_from(data, HEADER_SIZE)
    if number not in numbers[:count]:
        return None
    at = count + numbers.index(number)
    body = len(data) - numbers[-1]
    return data[body + (numbers[at - 1] if at > count else 0) : body + numbers[at]]


def shape_of(data: bytes) -> bytes:
    """The description ids, packed: equal for entries with the same attributes in the same order."""
    return data[HEADER_SIZE : HEADER_SIZE + 2 * (data[58] << 8 | data[59])]
