"""Placements: where the entries of one container are hosted, said once for all of them.

An entry names a placement instead of carrying ``hostServer`` and ``oldHostServer``;
whoever reads it sees the placement's.  Moving a host's accounts rewrites the placements
that name it.  Here: the value, its stored form, and what a move does to it.
"""

from __future__ import annotations

from itertools import pairwise
from struct import Struct

from attrs import evolve, field, frozen

from storage.csn import NO_CSN, Csn
from storage.keys import EntryId

_LAYOUT = Struct(">8s16sBHHH")


@frozen
class Host:
    """A host's name as it was written, and its normalised form, which compares."""

    name: bytes = field(eq=False)
    key: bytes


@frozen
class Placement:
    """``csn`` and ``modifier`` are those of the last move; ``NO_CSN`` before any."""

    container: EntryId
    host: Host | None
    old: Host | None
    csn: Csn = NO_CSN
    modifier: bytes = b""

    @property
    def key(self) -> bytes:
        """Equal for placements of the same container and hosts."""
        parts = (
            b"\0" if host is None else b"\1" + len(host.name).to_bytes(4, "big") + host.name
            for host in (self.host, self.old)
        )
        return self.container + b"".join(parts)

    def moved(self, target: Host, csn: Csn, modifier: bytes) -> Placement:
        """As rehosted to ``target``: the original host is kept, and forgotten at home."""
        original = self.old or self.host
        old = None if original == target else original
        return evolve(self, host=target, old=old, csn=csn, modifier=modifier)

    def restored(self, csn: Csn, modifier: bytes) -> Placement:
        """As given back to the original host; ``old`` must be there."""
        return evolve(self, host=self.old, old=None, csn=csn, modifier=modifier)


def pack(placement: Placement) -> bytes:
    """Raises OverflowError where a name outgrows the layout."""
    host = placement.host.name if placement.host else b""
    old = placement.old.name if placement.old else b""
    host_key = placement.host.key if placement.host else b""
    old_key = placement.old.key if placement.old else b""
    if max(map(len, (host, old, host_key, old_key))) > 0xFFFF:
        raise OverflowError("a host name longer than 65,535 octets")
    there = (placement.host is not None) | (placement.old is not None) << 1
    head = _LAYOUT.pack(placement.container, placement.csn, there, len(host), len(old), len(host_key))
    sizes = len(old_key).to_bytes(2, "big")
    return b"".join((head, sizes, host, old, host_key, old_key, placement.modifier))


def unpack(data: bytes) -> Placement:
    container, csn, there, host_size, old_size, host_key_size = _LAYOUT.unpack_from(data)
    start = _LAYOUT.size + 2
    old_key_size = int.from_bytes(data[start - 2 : start], "big")
    bounds = [start]
    for size in (host_size, old_size, host_key_size, old_key_size):
        bounds.append(bounds[-1] + size)
    host, old, host_key, old_key = (data[a:b] for a, b in pairwise(bounds))
    return Placement(
        container=container,
        host=Host(host, host_key) if there & 1 else None,
        old=Host(old, old_key) if there & 2 else None,
        csn=csn,
        modifier=data[bounds[-1] :],
    )
