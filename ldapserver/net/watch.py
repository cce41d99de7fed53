"""Hearing of changes in a store, by whichever process: in the reactor's thread, soon.

Commits of this process are told by the store itself; those of others show in the number
of the last transaction, which is looked at several times a second as long as somebody
listens.  What changed must not be asked here: many commits may be one call.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from twisted.logger import Logger

from ldapserver.net.reactor import DelayedCall, Reactor
from storage.errors import StoreError

INTERVAL: Final = 0.1
"""Seconds between two looks at what other processes have committed."""

GAP: Final = 0.02
"""Seconds between two calls of the listeners at least, however many commits there are."""


class Changing(Protocol):
    """A store, or what is over one."""

    def last_transaction(self) -> int:
        """The number of the last commit of any process."""
        ...

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call ``notice()`` after this process's commits, in any thread; returns what ends that."""
        ...


class Watch:
    """Calls listeners in the reactor's thread, ``interval`` after a commit at the latest.
    All but the notices of commits is of that thread."""

    _log = Logger()

    def __init__(self, reactor: Reactor, source: Changing, interval: float = INTERVAL) -> None:
        self._reactor = reactor
        self._source = source
        self._interval = interval
        self._listeners: dict[object, Callable[[], None]] = {}
        self._seen = 0
        self._told = float("-inf")
        self._later: DelayedCall | None = None
        self._poll: DelayedCall | None = None
        self._end_notices: Callable[[], None] = lambda: None
        self._lock = Lock()
        self._woken = False

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """``changed()`` is called after commits from now on.  Returns what ends that."""
        if not self._listeners:
            self._begin()
        key = object()
        self._listeners[key] = changed

        def cancel() -> None:
            if self._listeners.pop(key, None) is not None and not self._listeners:
                self._end()

        return cancel

    def close(self) -> None:
        """End all subscriptions, before the store is closed."""
        if self._listeners:
            self._listeners.clear()
            self._end()

    def _begin(self) -> None:
        self._end_notices = self._source.on_commit(self._notice)
        self._seen = self._source.last_transaction()
        self._poll = self._reactor.callLater(self._interval, self._look)

    def _end(self) -> None:
        self._end_notices()
        for call in (self._poll, self._later):
            if call is not None:
                call.cancel()
        self._poll = self._later = None

    def _notice(self) -> None:
        # Any thread.  One call into the reactor, however many commits there are until it.
        with self._lock:
            if self._woken:
                return
            self._woken = True
        self._reactor.callFromThread(self._wake)

    def _wake(self) -> None:
        with self._lock:
            self._woken = False
        self._compare()

    def _look(self) -> None:
        self._poll = self._reactor.callLater(self._interval, self._look)
        self._compare()

    def _compare_later(self) -> None:
        self._later = None
        self._compare()

    def _compare(self) -> None:
        if not self._listeners or self._later is not None:
            return
        early = self._told + GAP - self._reactor.seconds()
        if early > 0:
            self._later = self._reactor.callLater(early, self._compare_later)
            return
        try:
            number = self._source.last_transaction()
        except StoreError as error:
            self._log.warn("the store's state can't be seen: {error}", error=error)
            return
        if number == self._seen:
            return
        self._seen = number
        self._told = self._reactor.seconds()
        for key, changed in list(self._listeners.items()):
            if key in self._listeners:  # not ended by one of those before it
                try:
                    changed()
                except Exception:
                    self._log.failure("a listener failed")
