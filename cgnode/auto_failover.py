"""Failover without an operator, for the pairs of hosts that the configuration names.

What lives here: when a host's accounts move.  What must not: how they move
(``failover``), and who is up (``health``).

A host that this node has not reached for the configured time, and that is in service by
the servers' table, is covered by its sibling, if that is in service and up.  So a node
that is cut off from all of them moves nothing.  A host that an operator has marked in any
way is left alone, as is one that has not answered since an operator took such a mark away.
Nothing ever moves back by itself.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeAlias

from twisted.application.service import Service

from cgnode.config import AutoFailover
from cgnode.failover import FailedOver
from cgnode.following import Following
from cgnode.health import HostHealth
from cgnode.members import State
from ldapserver.net.reactor import DelayedCall, Reactor

log = logging.getLogger(__name__)

AGAIN: Final = 30.0
"""Seconds after a failover that could not be done."""

FailOver: TypeAlias = Callable[[str, str], Future[FailedOver]]
"""Moves what the first serves to the second."""


class FailoverWatch(Service):
    """Runs beside the directory, in the reactor's thread."""

    def __init__(
        self,
        reactor: Reactor,
        settings: AutoFailover,
        health: HostHealth,
        following: Following,
        fail_over: FailOver,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._health = health
        self._following = following
        self._fail_over = fail_over
        self._timers: dict[str, DelayedCall] = {}
        self._done: set[str] = set()
        """Hosts that were covered, until they answer again."""
        self._said: dict[str, str] = {}
        self._cancel: tuple[Callable[[], None], ...] = ()

    def startService(self) -> None:
        super().startService()
        self._cancel = self._health.subscribe(self._changed), self._following.subscribe(self._look)
        self._look()

    def stopService(self) -> None:
        super().stopService()
        for cancel in self._cancel:
            cancel()
        self._cancel = ()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _changed(self, host: str, up: bool) -> None:
        if up:
            self._done.discard(host)
            self._said.pop(host, None)
        self._look()

    def _look(self) -> None:
        for host in self._settings.pairs:
            self._check(host)

    def _check(self, host: str) -> None:
        """Cover it, or see to it that it is looked at again."""
        timer = self._timers.pop(host, None)
        if timer is not None and timer.active():
            timer.cancel()
        lost = self._health.lost_for(host)
        if lost is None or host in self._done or not self.running:
            return
        left = self._settings.after - lost
        if left > 0:
            self._check_in(left, host)
            return
        sibling = self._settings.pairs[host]
        hindrance = self._hindrance(host, sibling)
        if hindrance:
            # Looked at again when a host or the table changes.
            if self._said.get(host) != hindrance:
                log.error("%s has been down for %.0f s and is not covered: %s", host, lost, hindrance)
                self._said[host] = hindrance
            return
        self._done.add(host)
        log.critical(
            "AUTOMATIC FAILOVER: %s has been down for %.0f s (%s); %s takes its accounts over",
            host,
            lost,
            self._health.why(host),
            sibling,
        )
        moving = self._fail_over(host, sibling)
        moving.add_done_callback(lambda moved: self._reactor.callFromThread(self._moved, host, moved))

    def _check_in(self, seconds: float, host: str) -> None:
        self._timers[host] = self._reactor.callLater(seconds, self._check, host)

    def _hindrance(self, host: str, sibling: str) -> str:
        """Why its accounts stay where they are; "" for no reason."""
        with self._following.site.reading() as lookup:
            member, taker = lookup.member(host), lookup.member(sibling)
        if member is None or member.state is not State.ACTIVE:
            return f"an operator has {host} {'removed' if member is None else member.state.value}"
        if taker is None or "backend" not in taker.roles:
            return f"{sibling} is no backend of this cluster"
        if taker.state is not State.ACTIVE:
            return f"{sibling}, its sibling, is {taker.state.value}"
        if not self._health.is_up(sibling):
            return f"{sibling}, its sibling, is down: {self._health.why(sibling)}"
        return ""

    def _moved(self, host: str, moved: Future[FailedOver]) -> None:
        error = moved.exception()
        if error is None:
            done = moved.result()
            log.critical(
                "AUTOMATIC FAILOVER: %s serves %s of %s's; "
                "cgctl restore %s takes them back once it is sound again",
                done.sibling,
                "1 account" if done.moved == 1 else f"{done.moved} accounts",
                host,
                host,
            )
            return
        log.critical("AUTOMATIC FAILOVER of %s could not be done: %s", host, error)
        self._done.discard(host)
        if self.running:
            self._check_in(AGAIN, host)
