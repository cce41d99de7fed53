"""Time limits for very many things at once, all of the same length.

A timer of the reactor's for each of them would cost more than most of what they are for;
since all are equally long, they end in the order in which they began, and one timer, for
the first of them, is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ldapserver.net.reactor import DelayedCall, Reactor

_GRAIN: Final = 0.05
"""What a limit may be exceeded by, in seconds."""


class Deadlines:
    def __init__(self, reactor: Reactor, seconds: float) -> None:
        self.seconds = seconds
        self._reactor = reactor
        self._ends: dict[Callable[[], None], float] = {}
        self._timer: DelayedCall | None = None

    def start(self, expired: Callable[[], None]) -> None:
        """Call ``expired()`` when the time is over; anew, if that was started before."""
        self._ends.pop(expired, None)
        self._ends[expired] = self._reactor.seconds() + self.seconds
        if self._timer is None:
            self._timer = self._reactor.callLater(self.seconds, self._look)

    def stop(self, expired: Callable[[], None]) -> None:
        """It is not needed any more, if it was at all."""
        if self._ends.pop(expired, None) is not None and not self._ends and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._reactor.seconds()
        self._timer = None
        over = []
        for expired, end in self._ends.items():
            if end > now:
                self._timer = self._reactor.callLater(max(end - now, _GRAIN), self._look)
                break
            over.append(expired)
        for expired in over:
            # Not if one of those before it has stopped it.
            if self._ends.pop(expired, None) is not None:
                expired()
