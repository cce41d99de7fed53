"""Senders are told: the queue's notices become reports, in a thread, since that waits for
the disk.

What must not live here: what a report says (``bounce``), and who is owed one (``queue``).
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cgnode.frontend.delivery.counters import Counters
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Reported

log = logging.getLogger(__name__)

_AT_ONCE: Final = 10


class Telling:
    """``in_pool`` runs something in a thread; ``told`` is called after each."""

    def __init__(
        self,
        reactor: Any,
        queue: MailQueue,
        counters: Counters,
        in_pool: Callable[[Callable[[], Any]], Deferred[Any]],
        told: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._queue = queue
        self._counters = counters
        self._in_pool = in_pool
        self._told = told
        self.active = 0

    def go_on(self) -> None:
        while self._queue.notices > self.active and self.active < _AT_ONCE:
            self.active += 1
            self._in_pool(self._queue.notify).addCallbacks(self._written, self._failed)

    def _written(self, future: Future[Reported] | None) -> None:
        if future is None:
            self._over()
        else:
            # When it is durable, which is told in the queue's thread.
            future.add_done_callback(lambda done: self._reactor.callFromThread(self._durable, done))

    def _durable(self, done: Future[Reported]) -> None:
        failure = done.exception()
        if failure is None:
            self._log(done.result())
        else:
            log.error("a sender could not be told, for now: %s", failure)
        self._over()

    def _failed(self, failure: Failure) -> None:
        log.error("a sender could not be told: %s", failure.getTraceback())
        self._over()

    def _over(self) -> None:
        self.active -= 1
        self._told()

    def _log(self, reported: Reported) -> None:
        self._counters.reports += len(reported.reports)
        for report in reported.reports:
            log.info("%s <%s> is told by %s", reported.id, reported.sender, report)
        if not reported.reports:
            for address, reason in reported.failed:
                self._counters.untold += 1
                log.info("%s to=<%s> failed, and nobody is told: %s", reported.id, address, reason)
