"""Backends that can't be reached: their mail waits, without attempts, until they can be.

Either whoever looks after hosts says that one is down; then it is not called until that
one says that it is up.  Or it did not answer, and nobody has said anything: then it is
called again soon, and once it answers its mail goes on.  The queue's own back-off is for
the world outside: minutes.  A backend that is started again has its mail within a second,
and no message is an attempt the poorer for it.

What must not live here: connections, messages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from attrs import define

from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Destination, Kind, Reason
from cgnode.proto.smtp.reply import Reply
from ldapserver.net.reactor import DelayedCall, Reactor

log = logging.getLogger(__name__)

FIRST: Final = 0.5
LONGEST: Final = 10.0
"""Seconds between two calls."""


class Health(Protocol):
    """What is known of hosts (``health.HostHealth``)."""

    def is_up(self, host: str) -> bool: ...
    def why(self, host: str) -> str: ...
    def failed(self, host: str, reason: str) -> None: ...
    def succeeded(self, host: str) -> None: ...
    def subscribe(self, changed: Callable[[str, bool], None]) -> Callable[[], None]: ...


@define(eq=False)
class _Trouble:
    delay: float = FIRST
    timer: DelayedCall | None = None


class Hosts:
    """``call`` tries to reach a destination and then says ``is_back`` or ``failed``; ``drop``
    ends what is open to one."""

    def __init__(
        self,
        reactor: Reactor,
        random: Random,
        queue: MailQueue,
        health: Health,
        call: Callable[[Destination], None],
        drop: Callable[[Destination], None],
    ) -> None:
        self._reactor = reactor
        self._random = random
        self._queue = queue
        self._health = health
        self._call = call
        self._drop = drop
        self._down: dict[str, Reason] = {}
        self._troubles: dict[Destination, _Trouble] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._stopped = False

    def start(self) -> None:
        self._unsubscribe = self._health.subscribe(self._changed)

    def stop(self) -> None:
        self._stopped = True
        self._unsubscribe()
        for destination in list(self._troubles):
            self._forget(destination)

    # --- what others say ---------------------------------------------------------------

    def check(self, destination: Destination) -> None:
        """Mail is about to go there."""
        host = destination.name
        reason = self._down.get(host)
        if reason is not None:
            # Again, since what waited may have been woken to go elsewhere.
            self._queue.down(destination, reason)
        elif not self._health.is_up(host):
            self._changed(host, False)

    def _changed(self, host: str, up: bool) -> None:
        destination = Destination(Kind.BACKEND, host)
        self._forget(destination)
        if up:
            self._down.pop(host, None)
            self._wake(destination, "is up")
        else:
            reason = self._down[host] = _reason(f"{host} is down: {self._health.why(host)}")
            self._stand_still(destination, reason)

    def look_again(self) -> None:
        """Whoever looks after hosts may have begun with it later than we."""
        for host in [host for host in self._down if self._health.is_up(host)]:
            self._changed(host, True)

    # --- what is seen ------------------------------------------------------------------

    def failed(self, destination: Destination, reason: str) -> None:
        """It could not be reached, or did not go on."""
        if destination.kind is not Kind.BACKEND:
            return
        self._health.failed(destination.name, reason)
        if destination.name in self._down or self._stopped:
            return
        if destination not in self._troubles:
            log.warning("%s can't be reached: %s", destination, reason)
            self._troubles[destination] = _Trouble()
        self._stand_still(destination, _reason(reason))
        self._again(destination)

    def reached(self, destination: Destination) -> None:
        """There is a channel to it."""
        if destination.kind is Kind.BACKEND:
            self._health.succeeded(destination.name)

    def is_back(self, destination: Destination) -> None:
        """It has answered a call.  Whether it does its work, the next message shows."""
        if destination.name not in self._down:
            self._wake(destination, "is there again")

    def works(self, destination: Destination) -> None:
        """It has said something of a message."""
        if destination in self._troubles:
            self._forget(destination)

    # --- within ------------------------------------------------------------------------

    def _stand_still(self, destination: Destination, reason: Reason) -> None:
        self._queue.down(destination, reason)
        self._drop(destination)

    def _wake(self, destination: Destination, what: str) -> None:
        woken = self._queue.wake(destination)
        if woken:
            log.info("%s %s; %d messages go on", destination, what, woken)

    def _again(self, destination: Destination) -> None:
        trouble = self._troubles[destination]
        if trouble.timer is None:
            delay = trouble.delay * (0.8 + 0.4 * self._random.random())
            trouble.delay = min(LONGEST, trouble.delay * 2)
            trouble.timer = self._reactor.callLater(delay, self._fire, destination)

    def _fire(self, destination: Destination) -> None:
        self._troubles[destination].timer = None
        if self._queue.waiting(destination):
            self._call(destination)
        else:  # nobody needs it any more
            self._forget(destination)
            self._queue.wake(destination)

    def _forget(self, destination: Destination) -> None:
        trouble = self._troubles.pop(destination, None)
        if trouble is not None and trouble.timer is not None:
            trouble.timer.cancel()


def _reason(text: str) -> Reason:
    return Reason(Reply(451, "4.4.1", text))
