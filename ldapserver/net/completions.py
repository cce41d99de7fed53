"""Bringing what other threads finish back to the reactor, many at a time.

A group commit completes all its futures at once; waking the reactor for each would
cost more than answering them.  So finished work is queued and the reactor is woken
when the queue was empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from twisted.logger import Logger

from ldapserver.net.reactor import Reactor

T = TypeVar("T")


class Owner(Protocol):
    """Whom finished work belongs to."""

    def settle(self) -> None:
        """Called once after any number of this owner's completions of one wake-up."""


class Completions:
    """One per reactor.  ``watch`` is called in the reactor's thread; futures may finish
    in any."""

    _log = Logger()

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._finished: deque[tuple[Owner, Callable[[Any], None], Future[Any]]] = deque()
        self._woken = False

    def watch(self, owner: Owner, future: Future[T], finish: Callable[[Future[T]], None]) -> None:
        """Call ``finish(future)`` in the reactor's thread once it is done, then
        ``owner.settle()``."""
        future.add_done_callback(lambda done: self._put(owner, finish, done))

    def _put(self, owner: Owner, finish: Callable[[Any], None], future: Future[Any]) -> None:
        # Any thread.  The order matters: queue, then look; ``_drain`` resets, then takes.
        # So an item is either seen by the drain under way or wakes the next one.
        self._finished.append((owner, finish, future))
        if not self._woken:
            self._woken = True
            self._reactor.callFromThread(self._drain)

    def _drain(self) -> None:
        self._woken = False
        owners: dict[Owner, None] = {}
        finished = self._finished
        while finished:
            owner, finish, future = finished.popleft()
            try:
                finish(future)
            except Exception:
                self._log.failure("a completion failed")
            owners[owner] = None
        for owner in owners:
            try:
                owner.settle()
            except Exception:
                self._log.failure("a completion failed")
