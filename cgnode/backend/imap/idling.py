"""IDLE (RFC 2177): when to look for news and when to say that the server is still there."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from ldapserver.net.reactor import DelayedCall, Reactor


@frozen
class Times:
    """In seconds.  ``idle`` is how long a client may be silent behind log-in (RFC 3501 section
    5.4 has no less than 1800).  While one idles it is told ``still_here`` so often, and changes
    of which nobody in this process knows are looked for every ``look``."""

    idle: float = 1860.0
    still_here: float = 120.0
    look: float = 15.0


class Idling:
    """``look`` begins a look for news, ``looked`` is called when it is done."""

    def __init__(
        self, reactor: Reactor, times: Times, look: Callable[[], None], still_here: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._times = times
        self._look = look
        self._still_here = still_here
        self._on = self._looking = self._again = False
        self._timers: dict[Callable[[], None], DelayedCall] = {}

    def begin(self) -> None:
        self._on = True
        self._every(self._times.still_here, self._still_here)
        self._every(self._times.look, self._wake)
        self._wake()

    def end(self) -> None:
        self._on = self._again = False
        timers, self._timers = self._timers, {}
        for timer in timers.values():
            if timer.active():
                timer.cancel()

    def changed(self) -> None:
        """There may be news; from any thread."""
        if self._on:
            self._reactor.callFromThread(self._wake)

    def looked(self) -> None:
        self._looking = False
        if self._again:
            self._again = False
            self._wake()

    def _wake(self) -> None:
        """Changes that come while somebody looks are one more look."""
        if not self._on:
            return
        if self._looking:
            self._again = True
        else:
            self._looking = True
            self._look()

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        def again() -> None:
            self._every(seconds, act)
            act()

        self._timers[act] = self._reactor.callLater(seconds, again)
