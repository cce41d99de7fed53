"""Jobs that block, in a pool's threads: of one session one after the other, in their order.

So whatever a session has open in the store is used by one thread at a time, and is closed
behind the last that used it, also when the connection is lost in between.
"""

# mypy: disallow-untyped-calls=False
# Twisted's thread pool is not annotated.

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ldapserver.net.reactor import Reactor

log = logging.getLogger(__name__)

T = TypeVar("T")


class Lane:
    """``broken`` is told of a job that raised, which is a fault of ours."""

    def __init__(self, reactor: Reactor, pool: Any, broken: Callable[[], None]) -> None:
        self._reactor = reactor
        self._pool = pool
        self._broken = broken
        self._waiting: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self.busy = False
        """A job is being done."""
        self._closed = False

    def run(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """Have ``job`` done in a thread, and ``then`` called in the reactor's."""
        if self._closed:
            return
        self._waiting.append((job, then))
        if not self.busy:
            self._next()

    def close(self, last: Callable[[], None]) -> None:
        """Drop what waits.  When what runs is done, of which nobody is told any more, do ``last``."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._waiting.append((last, _forget))
        if not self.busy:
            self._next()

    def _next(self) -> None:
        if not self._waiting:
            return
        self.busy = True
        job, then = self._waiting.popleft()
        call = self._reactor.callFromThread

        def done(success: bool, result: Any) -> None:
            call(self._done, then, success, result)

        self._pool.callInThreadWithCallback(done, job)

    def _done(self, then: Callable[[Any], None], success: bool, result: Any) -> None:
        self.busy = False
        if not success:
            log.error("a job failed: %s", result.getTraceback())
        if self._closed:
            self._next()
            return
        # First the next, whatever comes of telling.
        self._next()
        try:
            if success:
                then(result)
                return
        except Exception:
            log.exception("a job's result could not be told")
        self._broken()


def _forget(_: Any) -> None:
    """Nobody is there to be told."""
