"""A reactor in a thread of its own, for tests that have none.

Twisted's global reactor can be run once in a process and belongs to whoever runs it.
This one is another instance, never installed as the global one, which all directories
of a process share and which ends with it.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.epollreactor import EPollReactor

TIMEOUT = 30.0
"""Seconds after which a call into the reactor is a fault."""


class _PrivateReactor(EPollReactor):
    # Twisted must not take this thread for the one of the global reactor.
    _registerAsIOThread = False


class _Background:
    def __init__(self) -> None:
        self.process = os.getpid()
        self.reactor: Any = _PrivateReactor()
        self._thread = Thread(target=self._run, name="ldapserver.testing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.reactor.run(installSignalHandlers=False)


_lock = Lock()
_background: _Background | None = None


def background_reactor() -> Any:
    """The process's own; started at first use."""
    global _background
    with _lock:
        if _background is None or _background.process != os.getpid():
            _background = _Background()
        return _background.reactor


def run_in(reactor: Any, function: Callable[[], object]) -> None:
    """Call a function in the reactor's thread and wait until it is done, or its Deferred."""
    outcome: Future[None] = Future()

    def run() -> None:
        maybeDeferred(function).addCallbacks(
            lambda _: outcome.set_result(None), lambda failure: outcome.set_exception(failure.value)
        )

    reactor.callFromThread(run)
    outcome.result(TIMEOUT)
