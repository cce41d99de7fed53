"""SMTP and submission for a node: the parts put together, and handlers for its listeners.

What must not live here: ports and limits of connections (``net.listeners``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed

from cgnode.config import FrontendConfig
from cgnode.following import Following
from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.smtp.addresses import Addresses
from cgnode.frontend.smtp.counters import Counters
from cgnode.frontend.smtp.desk import Desk
from cgnode.frontend.smtp.rates import Rates
from cgnode.frontend.smtp.session import GOING_DOWN, Session
from cgnode.frontend.smtp.settling import Settling
from cgnode.frontend.smtp.terms import Kind, Terms
from cgnode.net.connection import Connection
from cgnode.proto.smtp.reply import Reply
from ldapserver.net.reactor import Reactor


class MailIntake:
    """``smtp`` and ``submission`` make the handlers of connections, inside TLS or not.

    ``tls`` is the context for STARTTLS.  ``arrived`` is called in the reactor's thread
    when there is new mail in the queue.  ``in_step``: the following hears of changes now.
    """

    def __init__(
        self,
        reactor: Reactor,
        config: FrontendConfig,
        hostname: str,
        queue: MailQueue,
        following: Following,
        authenticator: Authenticator,
        tls: Any = None,
        *,
        default_domain: str = "",
        arrived: Callable[[], None] = lambda: None,
        in_step: Callable[[], bool] = lambda: True,
        wall: Callable[[], float] = time.time,
    ) -> None:
        terms = terms_of(config, hostname)
        addresses = Addresses(following, default_domain, frozenset((hostname.lower(),)), in_step)
        self._ended: Deferred[None] | None = None
        self._desk = Desk(
            reactor=reactor,
            terms=terms,
            queue=queue,
            addresses=addresses,
            authenticator=authenticator,
            settling=Settling(reactor.callFromThread, arrived),
            rates=Rates(terms.rate),
            tls=tls,
            wall=wall,
            session_ended=self._session_ended,
        )
        self._unsubscribe = following.subscribe(addresses.forget)

    def smtp(self, connection: Connection) -> Session:
        return Session(self._desk, Kind.SMTP, connection)

    def submission(self, connection: Connection) -> Session:
        return Session(self._desk, Kind.SUBMISSION, connection)

    @property
    def busy(self) -> bytes:
        """What a client is told that is one too many."""
        return Reply(421, "4.3.2", f"{self._desk.terms.hostname} too many connections").encode()

    @property
    def counters(self) -> Mapping[Kind, Counters]:
        return self._desk.counters

    def stop(self) -> Deferred[None]:
        """End all sessions, each when its message is safe; fires when they are gone.  Close
        the listeners before, and the queue after."""
        self._unsubscribe()
        for session in tuple(self._desk.sessions):
            session.end(GOING_DOWN)
        if not self._desk.sessions:
            return succeed(None)
        self._ended = Deferred()
        return self._ended

    def _session_ended(self) -> None:
        if self._ended is not None and not self._desk.sessions:
            ended, self._ended = self._ended, None
            ended.callback(None)


def terms_of(config: FrontendConfig, hostname: str) -> Terms:
    smtp = config.smtp
    return Terms(
        hostname=hostname,
        message_size=smtp.max_size,
        recipients=smtp.max_recipients,
        errors=smtp.max_errors,
        rate=smtp.rate,
        sender_check=smtp.sender_check,
        timeout=smtp.timeout,
        login_time=config.login.time,
        clear_text=config.clear_text,
        xclient=config.xclient_networks,
    )
