"""A core with something in front of it: octets that are said before its events, and a barrier.

A ``Connection`` asks for what is next only while its peer takes what was sent.  So an answer
that is given piece by piece from here is made no faster than it is taken, and of a long one
no more than a piece is there at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol


class Core(Protocol):
    def receive(self, data: bytes, /) -> None: ...
    def next_event(self) -> object | None: ...
    @property
    def backlog(self) -> bool: ...


class Gate:
    """``told`` counts pieces: whether the peer takes any."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pieces: Iterator[bytes] | None = None
        self._done: Callable[[], None] | None = None
        self.held = False
        """No event is given while this is set."""
        self.told = 0

    @property
    def busy(self) -> bool:
        """Amid octets that must not be interrupted."""
        return self._pieces is not None

    def say(self, pieces: Iterator[bytes], done: Callable[[], None]) -> None:
        """Give these, then call ``done``."""
        assert self._pieces is None, "something is being said"
        self._pieces, self._done = pieces, done

    # --- for the connection ---------------------------------------------------------------

    def receive(self, data: bytes, /) -> None:
        self._core.receive(data)

    def next_event(self) -> object | None:
        while self._pieces is not None:
            for piece in self._pieces:
                self.told += 1
                return piece
            done, self._pieces, self._done = self._done, None, None
            if done is not None:
                done()
        return None if self.held else self._core.next_event()

    @property
    def backlog(self) -> bool:
        return self._core.backlog
