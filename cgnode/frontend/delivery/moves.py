"""Mail that waits for a host goes on when its account moves to another.

After a change of the directory, what waits is compared with where it would go now; a few
messages in each turn of the reactor, and only if accounts have come or gone anywhere: a
change of a password moves nobody.  A host that has no accounts left needs no comparing.

What must not live here: routing, what waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from cgnode.following import Following
from cgnode.frontend.delivery.routing import Routing
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Deliver, Destination, Kind
from cgnode.proto.smtp.address import Address
from ldapserver.net.reactor import DelayedCall, Reactor
from storage.errors import StoreError

log = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_PAUSE: Final = 0.005


class Moves:
    def __init__(self, reactor: Reactor, following: Following, queue: MailQueue, routing: Routing) -> None:
        self._reactor = reactor
        self._following = following
        self._queue = queue
        self._routing = routing
        self._state: object = None
        self._work: Iterator[None] | None = None
        self._again = False
        self._timer: DelayedCall | None = None

    def start(self) -> None:
        self._state = self._read()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._work = None

    def changed(self) -> None:
        """The directory has; what was known of it is forgotten already."""
        state = self._read()
        if state == self._state and state is not None:
            return
        self._state = state
        if self._work is not None:
            self._again = True
        else:
            self._work = self._compare()
            self._go_on()

    def compare(self, destination: Destination, numbers: tuple[int, ...]) -> int:
        """Route again what of these messages waits there and belongs elsewhere."""
        return self._queue.wake_moved(
            destination, numbers, lambda address: self._is_elsewhere(address, destination)
        )

    def _go_on(self) -> None:
        self._timer = None
        if self._work is None:
            return
        try:
            next(self._work)
        except StopIteration:
            self._work = self._compare() if self._again else None
            self._again = False
        if self._work is not None:
            self._timer = self._reactor.callLater(_PAUSE, self._go_on)

    def _compare(self) -> Iterator[None]:
        for destination in self._queue.waited_for():
            if destination.kind is Kind.REMOTE:
                continue
            if destination.kind is Kind.BACKEND and self._is_empty(destination.name):
                woken = self._queue.wake(destination)
                log.info("%s: its accounts have moved; %d messages go on", destination, woken)
                continue
            numbers = self._queue.waiting(destination)
            woken = 0
            for start in range(0, len(numbers), _AT_ONCE):
                woken += self.compare(destination, numbers[start : start + _AT_ONCE])
                yield
            if woken:
                log.info("%s: accounts have moved; %d messages go on", destination, woken)

    def _is_elsewhere(self, address: Address, destination: Destination) -> bool:
        route = self._routing.route(address)
        if destination.kind is Kind.NOWHERE:
            return isinstance(route, Deliver)
        return not (isinstance(route, Deliver) and route.destination == destination)

    def _is_empty(self, host: str) -> bool:
        """It has no accounts any more."""
        try:
            with self._following.site.reading() as lookup:
                load = lookup.loads().get(host)
        except StoreError:
            return False
        return load is None or not load.entries

    def _read(self) -> object:
        """What no move leaves as it was; None: it can't be read."""
        try:
            with self._following.site.reading() as lookup:
                placements = tuple(
                    (number, placement.host, placement.old, lookup.snapshot.members_count(number))
                    for number, placement in lookup.snapshot.all_placements()
                )
                return placements, tuple(lookup.members().by_name.items())
        except StoreError as error:
            log.error("the copy of the directory can't be read: %s", error)
            return None
