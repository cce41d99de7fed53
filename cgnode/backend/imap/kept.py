"""Messages that clients fetch in parts, kept from one part to the next.

A client that asks for a large message by pieces of it would else have all of it read for
each.  What is kept in all is bounded; the longest unused goes first.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

LEAST: Final = 1 << 17
"""Octets; a smaller message is read again."""
MOST: Final = 64 << 20
"""Octets of all messages."""


class Kept:
    """For all sessions of a backend, and from any thread.  ``owner`` tells whose UIDs they are."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = Lock()
        self._octets = 0
        self._messages: dict[tuple[object, int], bytes] = {}

    def get(self, owner: object, uid: int) -> bytes | None:
        with self._lock:
            found = self._messages.pop((owner, uid), None)
            if found is not None:
                self._messages[owner, uid] = found
            return found

    def put(self, owner: object, uid: int, message: bytes) -> None:
        """Besides it nothing of that owner."""
        with self._lock:
            self._drop(owner)
            if LEAST <= len(message) <= self._most:
                self._messages[owner, uid] = message
                self._octets += len(message)
                while self._octets > self._most:
                    self._octets -= len(self._messages.pop(next(iter(self._messages))))

    def drop(self, owner: object) -> None:
        with self._lock:
            self._drop(owner)

    def _drop(self, owner: object) -> None:
        for key in [key for key in self._messages if key[0] is owner]:
            self._octets -= len(self._messages.pop(key))
