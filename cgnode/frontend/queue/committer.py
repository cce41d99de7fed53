"""Group commit: a thread that syncs once for all who wait.

Whoever wrote something calls ``after`` and is called back, in this thread, when it is
durable.  What comes while a sync runs waits together for the next one: the busier the
queue, the more share a sync.  What nobody waits for (``later``) is synced with the next
that somebody waits for, or after a short time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Condition, Thread
from typing import Protocol

from cgnode.frontend.queue.errors import QueueError

Callback = Callable[[QueueError | None], None]

_log = logging.getLogger(__name__)


class Syncable(Protocol):
    def sync(self) -> None:
        """Raises QueueError."""


class Committer:
    """``upkeep`` is called after each sync, and again while it returns True."""

    def __init__(self, log: Syncable, patience: float, upkeep: Callable[[], bool]) -> None:
        self._log = log
        self._patience = patience
        self._upkeep = upkeep
        self._condition = Condition()
        self._waiting: list[Callback] = []
        self._later = False
        self._asleep = False
        """Nobody has asked for anything for some time."""
        self._closed = False
        self._thread = Thread(target=self._run, name="queue-committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def after(self, callback: Callback) -> None:
        """Call back once all that was appended before is durable, or won't be."""
        with self._condition:
            if not self._closed:
                self._waiting.append(callback)
                if len(self._waiting) == 1:
                    self._condition.notify()
                return
        callback(QueueError("the queue is closed"))

    def later(self) -> None:
        """Something was appended that nobody waits for."""
        with self._condition:
            if not self._later:
                self._later = True
                if self._asleep:
                    self._condition.notify()

    def close(self) -> None:
        """Sync for those who wait, then end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        busy = False
        while True:
            callbacks, last = self._collect(busy)
            failure = self._sync()
            for callback in callbacks:
                self._call(callback, failure)
            if last:
                return
            busy = failure is None and self._keep_up()

    def _collect(self, busy: bool) -> tuple[list[Callback], bool]:
        """Who waits, when it is time to sync; True when it is the last time."""
        with self._condition:
            if not (busy or self._waiting or self._later or self._closed):
                # As long as there is work, what can wait wakes nobody.
                self._condition.wait(self._patience)
            while not (busy or self._waiting or self._later or self._closed):
                self._asleep = True
                self._condition.wait()
            self._asleep = False
            if not (busy or self._waiting or self._closed):
                self._condition.wait(self._patience)
            callbacks, self._waiting = self._waiting, []
            self._later = False
            return callbacks, self._closed

    def _sync(self) -> QueueError | None:
        try:
            self._log.sync()
        except QueueError as error:
            return error
        return None

    def _keep_up(self) -> bool:
        try:
            return self._upkeep()
        except Exception:
            _log.exception("the queue's upkeep failed")
            return False

    def _call(self, callback: Callback, failure: QueueError | None) -> None:
        # One caller's mistake must not leave all others waiting for ever.
        try:
            callback(failure)
        except Exception:
            _log.exception("a commit's completion failed")
