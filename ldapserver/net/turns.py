"""Taking turns: long work of many connections in slices, without starving the sockets;
and answers of many connections sent together.

One slice or a few short ones run per iteration of the reactor, round robin; between
them the reactor serves its sockets.  So a request that is quick waits for one slice at
most, however many long searches there are.

What the reads of one iteration have given to answer is sent at its end: a send wakes
its receiver, and on a busy machine that costs more than the answer.  Together they find
most receivers awake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from twisted.logger import Logger

from ldapserver.net.reactor import Reactor

SLICE: Final = 0.005
"""Seconds that one turn may take, as measured by who takes it, and after which the
sockets are looked at again."""


class Turns:
    """One per reactor."""

    _log = Logger()

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._clock = reactor.seconds
        self._waiting: deque[Callable[[], None]] = deque()
        self._scheduled = False

    def add(self, turn: Callable[[], None]) -> None:
        """Run ``turn()`` once, soon, after those that wait already."""
        self._waiting.append(turn)
        if not self._scheduled:
            self._scheduled = True
            self._reactor.callLater(0, self._run)

    def _run(self) -> None:
        self._scheduled = False
        # Those who come back for another turn wait for the reactor's next iteration.
        turns = len(self._waiting)
        deadline = self._clock() + SLICE
        while turns:
            turns -= 1
            try:
                self._waiting.popleft()()
            except Exception:
                self._log.failure("a turn failed")
            if self._clock() >= deadline:
                break
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._reactor.callLater(0, self._run)


class Sender(Protocol):
    def send(self) -> None:
        """Send what is there to be sent."""


class Outbox:
    """Who has something to send; one per reactor."""

    _log = Logger()

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._senders: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Have it send at the end of this iteration of the reactor."""
        if not self._senders:
            self._reactor.callLater(0, self._send)
        self._senders.append(sender)

    def _send(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.send()
            except Exception:
                self._log.failure("sending failed")
