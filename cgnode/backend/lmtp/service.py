"""What all connections of LMTP share: the store's threads, who is taken, limits, counters.

The wiring makes one ``LmtpService`` and gives ``handler`` to the listeners.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services and its thread pool are not annotated.

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import define, evolve, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from cgnode.backend.lmtp.delivering import DeliverAll, Task, deliver_batch
from cgnode.backend.lmtp.lanes import Lanes
from cgnode.backend.lmtp.letter import Letter
from cgnode.backend.lmtp.recipients import Recipients
from cgnode.backend.lmtp.session import Session
from cgnode.backend.sessions.hosting import Hosting, Opener
from cgnode.backend.store import Account, Incoming, MailStoreError
from cgnode.net.connection import Connection, Origin
from cgnode.proto import sasl
from cgnode.proto.smtp import states
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.states import Limits, Role
from ldapserver.net.reactor import Reactor

T = TypeVar("T")

_RECIPIENTS: Final = 1000


@frozen
class Terms:
    """``patience``: seconds in which an account that is not known may become so.
    ``clear_text``: without TLS beyond loopback.  ``quota``: mailboxes have bounds, so that room is
    looked for before a message comes."""

    hostname: str
    max_size: int = 64 << 20
    timeout: float = 300.0
    patience: float = 1.0
    failure_delay: float = 2.0
    clear_text: bool = False
    quota: bool = False


@define
class Counters:
    """``delivered``, ``deferred`` and ``refused`` count recipients."""

    connections: int = 0
    open: int = 0
    auth_failures: int = 0
    messages: int = 0
    octets: int = 0
    delivered: int = 0
    deferred: int = 0
    refused: int = 0


def _one_by_one(deliveries: Sequence[tuple[Account, Incoming]]) -> list[MailStoreError | None]:
    found: list[MailStoreError | None] = []
    for account, incoming in deliveries:
        try:
            account.deliver(incoming)
            found.append(None)
        except MailStoreError as error:
            found.append(error)
    return found


class LmtpService(Service):
    """``pool`` is a started thread pool, shared with others; ``tls`` a context, or None;
    ``homes`` are the owners of the attached storages; ``folder`` is where long texts wait;
    ``deliver_all`` is the store's."""

    def __init__(
        self,
        reactor: Reactor,
        pool: Any,
        hosting: Hosting,
        open_account: Opener,
        homes: Callable[[], Iterable[str]],
        secret: bytes,
        terms: Terms,
        *,
        tls: Any = None,
        folder: Path | None = None,
        deliver_all: DeliverAll | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.reactor = reactor
        self.recipients = Recipients(hosting, homes)
        self.open_account = open_account
        self.lanes = Lanes(self._deliver)
        self._deliver_all = deliver_all or _one_by_one
        self.secret = secret
        self.terms = terms
        self.tls = tls
        self.wall = wall
        self.limits = Limits(message_size=terms.max_size, recipients=_RECIPIENTS, transactions=0)
        self.counters = Counters()
        self.sessions: set[Session] = set()
        self.state = 0
        """Counts the directory's changes."""
        self._pool = pool
        self._folder = folder
        self._hosting = hosting
        self._jobs = 0
        self._stopped: Deferred[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._offer = states.Service(
            Role.LMTP,
            terms.hostname,
            start_tls=tls is not None,
            mechanisms=(sasl.PLAIN,),
            auth_required=True,
        )

    # --- for the wiring ---------------------------------------------------------------------

    def handler(self, connection: Connection) -> Session:
        return Session(self, connection)

    def startService(self) -> None:
        super().startService()
        self._stopped = None
        self._unsubscribe = self._hosting.following.subscribe(self._changed)

    def stopService(self) -> Deferred[None]:
        """Fires when all that was begun is stored, and answered for."""
        super().stopService()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for session in list(self.sessions):
            session.end()
        if not (self.sessions or self._jobs):
            return succeed(None)
        self._stopped = Deferred()
        return self._stopped

    def _changed(self) -> None:
        self.state += 1

    # --- for sessions -----------------------------------------------------------------------

    @property
    def quota_is_set(self) -> bool:
        return self.terms.quota

    def offer(self, origin: Origin) -> states.Service:
        """What a connection is offered: beyond loopback nothing without TLS."""
        clear = origin.loopback or self.terms.clear_text
        return evolve(self._offer, clear_auth=clear, tls_required=not clear)

    def new_letter(self) -> Letter:
        return Letter(self._folder)

    def in_thread(self, job: Callable[[], T], told: Callable[[T], None]) -> None:
        """``told`` is called in the reactor's thread, with what ``job`` gave, which never raises."""
        self._jobs += 1

        def done(success: bool, result: Any) -> None:
            self.reactor.callFromThread(self._done, success, result, told)

        self._pool.callInThreadWithCallback(done, job)

    def _done(self, success: bool, result: Any, told: Callable[[Any], None]) -> None:
        self._jobs -= 1
        if success:
            told(result)
        else:
            result.raiseException()
        self.session_ended()

    def _deliver(self, tasks: Sequence[Task], told: Callable[[list[Reply]], None]) -> None:
        self.in_thread(lambda: deliver_batch(self.open_account, self._deliver_all, tasks), told)

    def session_ended(self) -> None:
        stopped = self._stopped
        if stopped is not None and not (self.sessions or self._jobs):
            self._stopped = None
            stopped.callback(None)
