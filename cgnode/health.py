"""Which backends answer: asked at intervals, and learned from whoever speaks to them.

What lives here: who is asked when, and from when on a backend is up or down.  What must
not: how one asks (``net.probe``), and what is done about it.

A backend that the servers' table calls down, or has no address of, is not asked, and is
down.  All others are taken for up until they have failed so many times in a row; one
answer, and they are up again.  One that comes back into service by an operator's word must
answer first.  A
failure elsewhere (a login, a delivery) has the backend asked at once and counts, but never
alone makes it down: so a burst of them means no more than one, and a backend that greets
is not taken for dead by what is another's fault.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Final, TypeAlias

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from cgnode.config import Health
from cgnode.following import Following
from cgnode.members import Endpoint, Member, State
from ldapserver.net.reactor import DelayedCall, Reactor

log = logging.getLogger(__name__)

PROTOCOLS: Final = ("lmtp", "imap", "pop3")
"""Where a backend is asked: at the first of these that it serves."""

SOONEST: Final = 0.2
"""Seconds from one question to the next, however many report failures."""

Probe: TypeAlias = Callable[[str, Endpoint], Deferred[None]]
"""Asks at a protocol's endpoint; fails with the reason as the error's text.  What takes too
long is cancelled."""

Changed: TypeAlias = Callable[[str, bool], None]


@frozen
class HostStatus:
    """``seconds``: for how long it is so, as far as this node knows."""

    name: str
    up: bool
    why: str
    state: State
    seconds: float


@define(eq=False)
class _Host:
    """``barred``: the table has it down.  ``awaited``: it had until now, and the host has
    not been heard of since."""

    member: Member
    since: float
    up: bool
    why: str
    barred: bool
    awaited: bool = False
    failures: int = 0
    lost: float | None = None
    """Since when it does not answer, if it did."""
    begun: float = -inf
    """When it was asked last."""
    probe: Deferred[None] | None = field(default=None)
    timer: DelayedCall | None = None
    """To the end of the probe, or to the next."""

    @property
    def asked_at(self) -> tuple[str, Endpoint] | None:
        return _asked_at(self.member)


class HostHealth(Service):
    """Used in the reactor's thread."""

    def __init__(self, reactor: Reactor, settings: Health, following: Following, probe: Probe) -> None:
        self._reactor = reactor
        self._settings = settings
        self._following = following
        self._probe = probe
        self._hosts: dict[str, _Host] = {}
        self._subscribers: list[Changed] = []
        self._unfollow: Callable[[], None] | None = None

    # --- for the parts of the node ----------------------------------------------------

    def is_up(self, host: str) -> bool:
        found = self._hosts.get(host.lower())
        return found is not None and found.up

    def why(self, host: str) -> str:
        """Why it is not up; "" for one that is."""
        found = self._hosts.get(host.lower())
        return "no backend of this cluster" if found is None else found.why

    def lost_for(self, host: str) -> float | None:
        """For how many seconds it has not answered any more.  None for one that is up or
        unknown, and for one that the table has down or that has not answered since it had."""
        found = self._hosts.get(host.lower())
        return None if found is None or found.lost is None else self._reactor.seconds() - found.lost

    def status(self) -> list[HostStatus]:
        now = self._reactor.seconds()
        return [
            HostStatus(name, host.up, host.why, host.member.state, now - host.since)
            for name, host in sorted(self._hosts.items())
        ]

    def failed(self, host: str, reason: str) -> None:
        """It did not answer somebody, or not as it must."""
        found = self._hosts.get(host.lower())
        if found is None or found.barred or not found.up:
            return
        log.debug("%s has failed somebody: %s", found.member.name, reason)
        found.failures = max(found.failures, min(found.failures + 1, self._settings.failures - 1))
        if self._reactor.seconds() - found.begun >= SOONEST:
            self._ask(found)

    def succeeded(self, host: str) -> None:
        """It has answered somebody."""
        found = self._hosts.get(host.lower())
        if found is not None and not found.barred:
            self._answered(found)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """``changed(host, up)`` is called whenever ``is_up`` is another.  Returns what ends
        that."""
        self._subscribers.append(changed)

        def cancel() -> None:
            if changed in self._subscribers:
                self._subscribers.remove(changed)

        return cancel

    # --- Twisted's --------------------------------------------------------------------

    def startService(self) -> None:
        super().startService()
        self._unfollow = self._following.subscribe(self._read)
        self._read(first=True)

    def stopService(self) -> None:
        super().stopService()
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None
        for host in self._hosts.values():
            self._rest(host)

    # --- the servers' table -----------------------------------------------------------

    def _read(self, first: bool = False) -> None:
        """The table as it is now.  At the start nobody is told of who is up."""
        with self._following.site.reading() as lookup:
            members = {member.name: member for member in lookup.members() if "backend" in member.roles}
        for name in [name for name in self._hosts if name not in members]:
            host = self._hosts.pop(name)
            self._rest(host)
            if host.up:
                self._tell(name, False)
        for name, member in members.items():
            known = self._hosts.get(name)
            if known is None:
                self._add(member, told=not first)
            elif known.member != member:
                self._change(known, member)

    def _add(self, member: Member, *, told: bool) -> None:
        barred = _barred(member)
        host = _Host(member, self._reactor.seconds(), up=not barred, why=barred, barred=bool(barred))
        self._hosts[member.name] = host
        if host.up and told:
            self._tell(member.name, True)
        self._ask(host)

    def _change(self, host: _Host, member: Member) -> None:
        before, barred = host.member, _barred(member)
        host.member = member
        if barred:
            self._rest(host)
            host.barred, host.awaited, host.failures = True, False, 0
            self._set(host, up=False, why=barred)
            host.lost = None
            return
        if host.barred:
            host.barred, host.awaited = False, True
            host.since, host.why = self._reactor.seconds(), "in service again, but not heard of yet"
        elif host.asked_at == _asked_at(before):
            return
        self._rest(host)
        self._ask(host)

    # --- asking -----------------------------------------------------------------------

    def _ask(self, host: _Host) -> None:
        """Now, unless that is being done; and again when the interval is over."""
        where = host.asked_at
        if host.probe is not None or host.barred or where is None or not self.running:
            return
        self._rest(host)
        host.begun = self._reactor.seconds()
        asked = host.probe = self._probe(*where)
        late = f"no greeting within {self._settings.timeout:g} s"
        host.timer = self._reactor.callLater(self._settings.timeout, self._done, host, asked, late)
        asked.addCallbacks(
            lambda _: self._done(host, asked, ""),
            lambda failure: self._done(host, asked, failure.getErrorMessage()),
        )

    def _done(self, host: _Host, asked: Deferred[None], trouble: str) -> None:
        if host.probe is not asked:
            return
        self._rest(host)
        left = host.begun + self._settings.interval - self._reactor.seconds()
        host.timer = self._reactor.callLater(max(left, 0.0), self._ask, host)
        if trouble:
            self._count(host, trouble)
        else:
            self._answered(host)

    def _rest(self, host: _Host) -> None:
        """Not to be asked for now; what is under way is forgotten."""
        probe, host.probe = host.probe, None
        timer, host.timer = host.timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if probe is not None:
            probe.cancel()

    # --- up and down ------------------------------------------------------------------

    def _count(self, host: _Host, reason: str) -> None:
        host.failures += 1
        if host.failures >= self._settings.failures:
            self._set(host, up=False, why=reason)

    def _answered(self, host: _Host) -> None:
        host.failures = 0
        self._set(host, up=True, why="")

    def _set(self, host: _Host, *, up: bool, why: str) -> None:
        name, awaited, before = host.member.name, host.awaited, host.up
        host.up, host.why, host.awaited = up, why, False
        if up is before:
            if awaited:
                log.warning("%s is still down: %s", name, why)
            return
        host.since = self._reactor.seconds()
        host.lost = None if up or host.barred else host.since
        if up:
            log.warning("%s is up again", name)
        else:
            log.warning("%s is down: %s", name, why)
        self._tell(name, up)

    def _tell(self, name: str, up: bool) -> None:
        for changed in tuple(self._subscribers):
            try:
                changed(name, up)
            except Exception:
                log.exception("telling that %s is %s", name, "up" if up else "down")


def _barred(member: Member) -> str:
    """Why the table alone has it down; "" for one that is asked."""
    if member.state is State.DOWN:
        return f"marked down; cgctl server up {member.name} ends that"
    if _asked_at(member) is None:
        return f"no address; cgctl server change {member.name} --lmtp HOST:PORT gives one"
    return ""


def _asked_at(member: Member) -> tuple[str, Endpoint] | None:
    return next(((each, member.addresses[each]) for each in PROTOCOLS if each in member.addresses), None)
