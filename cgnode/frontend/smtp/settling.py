"""What is durable: from the queue's thread to the reactor's, many at a time.

A sync settles all that waited for it, so the reactor is woken once for all of them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeAlias

from cgnode.frontend.queue.errors import QueueError

log = logging.getLogger(__name__)

Settled: TypeAlias = Callable[[QueueError | None], None]
"""Called in the reactor's thread: it is durable, or why it is not kept."""


class Caller(Protocol):
    """Runs something in the reactor's thread, soon (``reactor.callFromThread``)."""

    def __call__(self, function: Callable[[], None], /) -> object: ...


class Settling:
    """``each_time`` is called after some have settled: there is work for the delivery."""

    def __init__(self, call: Caller, each_time: Callable[[], None]) -> None:
        self._call = call
        self._each_time = each_time
        self._done: deque[tuple[Settled, Future[str]]] = deque()
        self._called = False

    def wait(self, future: Future[str], settled: Settled) -> None:
        def done(future: Future[str]) -> None:
            # In any thread.  First the list, then the flag: ``_settle`` has it the other
            # way round, so that nothing is left behind.
            self._done.append((settled, future))
            if not self._called:
                self._called = True
                self._call(self._settle)

        future.add_done_callback(done)

    def _settle(self) -> None:
        self._called = False
        kept = False
        while self._done:
            settled, future = self._done.popleft()
            failure = future.exception()
            kept = kept or failure is None
            if failure is not None and not isinstance(failure, QueueError):
                failure = QueueError(repr(failure))
            try:
                settled(failure)
            except Exception:  # a mistake of ours must not leave the others waiting for ever
                log.exception("what follows from a message's commit failed")
        if kept:
            self._each_time()
