"""Sets of entries, at a bit for each entry that a store has had."""

from __future__ import annotations

from storage.keys import EntryId


class EntrySet:
    """Empty, or with ``full`` everything; of entries up to the number ``clear`` none."""

    def __init__(self, *, full: bool = False, clear: int = 0) -> None:
        self._rest = b"\xff" if full else b"\0"
        self._bits = bytearray(clear // 8)
        for number in range(len(self._bits) * 8, clear + 1 if full else 0):
            self.discard(number.to_bytes(8, "big"))

    def __contains__(self, entry: EntryId) -> bool:
        at, bit = divmod(int.from_bytes(entry, "big"), 8)
        byte = self._bits[at] if at < len(self._bits) else self._rest[0]
        return bool(byte >> bit & 1)

    def add(self, entry: EntryId) -> None:
        at, bit = self._reach(entry)
        self._bits[at] |= 1 << bit

    def discard(self, entry: EntryId) -> None:
        at, bit = self._reach(entry)
        self._bits[at] &= ~(1 << bit) & 0xFF

    def _reach(self, entry: EntryId) -> tuple[int, int]:
        at, bit = divmod(int.from_bytes(entry, "big"), 8)
        if at >= len(self._bits):
            self._bits.extend(self._rest * (at + 1 - len(self._bits)))
        return at, bit
