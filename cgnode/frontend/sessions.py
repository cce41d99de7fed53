"""Who is logged in: every proxied session of a frontend, and what ends one from this side.

What lives here: the registry, its limit per user and address, ``who`` and ``kick``, the end
of sessions whose account has moved or is gone, and of those that have been silent for long.
What must not: any protocol's dialogue.

There may be ten thousand, so a session is one small object, and what is done for all of
them is done a few at a time.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from attrs import define
from twisted.application.service import Service

from cgnode.destinations import Proto
from cgnode.following import Following
from cgnode.lookup import StoreLookup
from cgnode.net.connection import Origin
from cgnode.net.join import Joined
from cgnode.router import AccountRecord
from ldapserver.net.reactor import DelayedCall, Reactor
from storage import records
from storage.errors import StoreError
from storage.keys import NO_PLACEMENT, PlacementId

log = logging.getLogger(__name__)

TURN: Final = 0.003
"""Seconds that a look at sessions may keep the reactor from everything else."""
_AT_ONCE: Final = 50
_PAUSE: Final = 0.5
_SWEEP: Final = 60.0

_BYE: Final = {Proto.IMAP: b"* BYE %b\r\n", Proto.POP3: b""}
"""POP3 has no unasked word."""


class Session:
    """One client, from when it has shown who it is.  ``since`` is in seconds since 1970."""

    __slots__ = (
        "_joined",
        "_moved",
        "_registry",
        "_silent",
        "account",
        "client",
        "client_port",
        "entry",
        "host",
        "id",
        "protocol",
        "since",
        "stop",
    )

    def __init__(self, registry: Sessions, account: AccountRecord, protocol: Proto, origin: Origin) -> None:
        self._registry: Sessions | None = registry
        self._joined: Joined | None = None
        self._moved = 0
        self._silent = 0.0
        self.account = account.address
        self.protocol = protocol
        self.client = origin.client
        self.client_port = origin.client_port
        self.host = account.host or ""
        self.id = origin.session
        self.since = registry.clock()
        self.entry = b""
        """The account's, once it has been looked for."""
        self.stop: Callable[[str], None] | None = None
        """Ends it before it is joined."""

    @property
    def key(self) -> tuple[str, str]:
        return str(self.account), self.client

    def begin(self, host: str, joined: Joined) -> None:
        """It is a pump from now on."""
        self.host = host
        self.stop = None
        self._joined = joined

    def leave(self) -> None:
        """It is over, or has not come to anything."""
        registry, self._registry = self._registry, None
        self._joined = self.stop = None
        if registry is not None:
            registry.forget(self)

    def end(self, text: str) -> None:
        """From this side.  ``text`` is said where the protocol has a way to."""
        joined, stop = self._joined, self.stop
        if joined is not None:
            joined.close(_BYE[self.protocol] and _BYE[self.protocol] % text.encode())
        elif stop is not None:
            stop(text)

    @property
    def octets(self) -> tuple[int, int]:
        """From the client, and to it."""
        joined = self._joined
        return (joined.from_client, joined.from_server) if joined is not None else (0, 0)

    def facts(self) -> dict[str, object]:
        received, sent = self.octets
        return {
            "account": str(self.account),
            "protocol": self.protocol.value,
            "client": self.client,
            "client_port": self.client_port,
            "host": self.host,
            "since": self.since,
            "session": self.id,
            "state": "joined" if self._joined is not None else "logging in",
            "from_client": received,
            "to_client": sent,
        }

    def silent_for(self, now: float) -> float:
        """Seconds without an octet in either direction, as of the looks at it."""
        moved = sum(self.octets)
        if moved != self._moved or not self._silent:
            self._moved, self._silent = moved, now
        return now - self._silent


@define
class Counters:
    begun: int = 0
    refused: int = 0
    kicked: int = 0
    moved: int = 0
    silent: int = 0


class Sessions(Service):
    """``most`` is of one user from one address (0: any number), ``idle`` in seconds."""

    def __init__(
        self,
        reactor: Reactor,
        following: Following,
        *,
        most: int = 10,
        idle: float = 1860.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.counters = Counters()
        self._reactor = reactor
        self._following = following
        self._most = most
        self._idle = idle
        self._all: dict[Session, None] = {}
        self._by_key: dict[tuple[str, str], int] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._core: object = None
        self._looking: DelayedCall | None = None
        self._look_again = False
        self._sweep: DelayedCall | None = None

    # --- its life ---------------------------------------------------------------------

    def startService(self) -> None:
        super().startService()
        self._unsubscribe = self._following.subscribe(self.recheck)
        self._sweep = self._reactor.callLater(_SWEEP, self._look_for_silence)

    def stopService(self) -> None:
        super().stopService()
        self._unsubscribe()
        for timer in (self._sweep, self._looking):
            if timer is not None:
                timer.cancel()
        self._sweep = self._looking = None
        for session in list(self._all):
            session.end("the server is shutting down; connect again")

    # --- entering and leaving ---------------------------------------------------------

    def admit(self, account: AccountRecord, protocol: Proto, origin: Origin) -> Session | None:
        """A session to be; None when the user has too many from this address."""
        session = Session(self, account, protocol, origin)
        key = session.key
        count = self._by_key.get(key, 0)
        if self._most and count >= self._most:
            self.counters.refused += 1
            return None
        self._by_key[key] = count + 1
        self._all[session] = None
        self.counters.begun += 1
        return session

    def forget(self, session: Session) -> None:
        """For ``Session.leave``."""
        if session in self._all:
            del self._all[session]
            left = self._by_key[session.key] - 1
            if left:
                self._by_key[session.key] = left
            else:
                del self._by_key[session.key]

    # --- for operators ----------------------------------------------------------------

    def count(self) -> int:
        return len(self._all)

    def by_host(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for session in self._all:
            found[session.host] = found.get(session.host, 0) + 1
        return found

    def who(self) -> list[dict[str, object]]:
        """The oldest first."""
        return [session.facts() for session in self._all]

    def kick(
        self,
        user: str | None = None,
        host: str | None = None,
        where: Callable[[Session], bool] | None = None,
    ) -> int:
        """End those that all that is given is true of; how many that were."""
        user, host = user and user.lower(), host and host.lower()
        found = [
            session
            for session in self._all
            if (user is None or str(session.account) == user)
            and (host is None or session.host == host)
            and (where is None or where(session))
        ]
        self.counters.kicked += len(found)
        for session in found:
            log.info("%s ended: %s is told to go", session.id, session.account)
            session.end("an administrator has ended this session")
        return len(found)

    # --- accounts that move -----------------------------------------------------------

    def recheck(self) -> None:
        """Something has changed in the directory: end the sessions that are on a server
        that is not their account's any more."""
        if self._looking is not None:
            self._look_again = True
        elif self.running:
            self._look_again = False
            self._turn(iter(list(self._all)))

    def _turn(self, rest: Iterator[Session]) -> None:
        try:
            more = self._look(rest)
        except StoreError as error:
            log.error("sessions can't be looked at: %s", error)
            more = False
        if more:
            self._looking = self._reactor.callLater(0, self._turn, rest)
        else:
            self._looking = self._reactor.callLater(_PAUSE, self._looked)

    def _looked(self) -> None:
        self._looking = None
        if self._look_again:
            self.recheck()

    def _look(self, rest: Iterator[Session]) -> bool:
        """A few of them; whether there are more."""
        if not self._all or self._following.usable() is not None:
            return False
        stop = self._reactor.seconds() + TURN
        site = self._following.site
        if site.core is not self._core:
            # Another copy, where entries have other numbers.
            self._core = site.core
            for session in self._all:
                session.entry = b""
        moved: list[Session] = []
        more = True
        with site.reading() as lookup:
            hosts = _Hosts(lookup)
            while more and self._reactor.seconds() < stop:
                more = False
                for count, session in enumerate(rest, 1):
                    if hosts.of(session) != session.host:
                        moved.append(session)
                    if count == _AT_ONCE:
                        more = True
                        break
        for session in moved:
            self._ended_by_move(session)
        return more

    def _ended_by_move(self, session: Session) -> None:
        self.counters.moved += 1
        log.info("%s ended: %s is not on %s any more", session.id, session.account, session.host)
        session.end("this mailbox has moved; connect again")

    # --- silence ----------------------------------------------------------------------

    def _look_for_silence(self) -> None:
        now = self._reactor.seconds()
        self._sweep = self._reactor.callLater(_SWEEP, self._look_for_silence)
        for session in [each for each in self._all if each.silent_for(now) >= self._idle]:
            self.counters.silent += 1
            log.info("%s ended: nothing was said for long", session.id)
            session.end("nothing was said for too long")


class _Hosts:
    """Where accounts are, as of one state: an entry read and its placement looked up, which
    is remembered, so that an account costs microseconds."""

    def __init__(self, lookup: StoreLookup) -> None:
        self._lookup = lookup
        self._placements: dict[PlacementId, str] = {}

    def of(self, session: Session) -> str | None:
        data = self._lookup.snapshot.entry(session.entry) if session.entry else None
        if data is None:
            address = session.account
            entry = self._lookup.entry_of(address.local.lower(), address.domain)
            data = None if entry is None else self._lookup.snapshot.entry(entry)
            if entry is None or data is None:
                return None
            session.entry = entry
        number = records.placement_of(data)
        host = self._placements.get(number)
        if host is None:
            host = self._placements[number] = self._host_of(number)
        return host

    def _host_of(self, number: PlacementId) -> str:
        if number == NO_PLACEMENT:
            return ""
        placement = self._lookup.snapshot.placement(number)
        return "" if placement.host is None else placement.host.key.decode()
