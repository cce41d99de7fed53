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

from struct import Struct

from attrs import evolve, field, frozen

from storage.csn import Csn
from storage.keys import NO_PLACEMENT, EntryId, PlacementId

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

    def changed(self, **changes: object) -> Record:
        return evolve(self, **changes)


def pack(record: Record) -> bytes:
    """Raises OverflowError where a text or the entry outgrows the layout."""
    attributes = record.attributes
    count = len(attributes)
    lengths = (len(record.rdn), len(record.creator), len(record.modifier), count)
    if max(lengths) > 0xFFFF:
        raise OverflowError("a name longer than 65,535 octets, or as many attributes")
    end = 0
    numbers: list[int] = []
    ends: list[int] = []
    for number, encoded in attributes:
        end += len(encoded)
        numbers.append(number)
        ends.append(end)
    if end > 0x7FFFFFFF:
        raise OverflowError("an entry larger than 2 GiB")
    return b"".join(
        (
            HEADER.pack(
                record.parent, record.placement, record.created, record.csn, record.uuid, *lengths
            ),
            table_of(count).pack(*numbers, *ends),
            record.rdn,
            record.creator,
            record.modifier,
            *(encoded for _, encoded in attributes),
        )
    )


def unpack(data: bytes) -> Record:
    parent, placement, created, csn, uuid, rdn_size, creator_size, modifier_size, count = (
        HEADER.unpack_from(data)
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


def uuid_of(data: bytes) -> bytes:
    return data[36:52]


def rdn_of(data: bytes) -> bytes:
    count = int.from_bytes(data[58:60], "big")
    start = HEADER_SIZE + 6 * count
    return data[start : start + int.from_bytes(data[52:54], "big")]
