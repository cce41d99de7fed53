"""The role ``frontend``: clients' SMTP, submission, IMAP and POP3, the queue and its delivery.

What lives here: which parts there are, and in which order they begin and end.  What must
not: what a part does.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.names.client import createResolver

from cgnode.config import Config
from cgnode.destinations import Destinations
from cgnode.following import Following
from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.bounce import Reporter
from cgnode.frontend.delivery.service import Delivery
from cgnode.frontend.login import login
from cgnode.frontend.login.service import openings
from cgnode.frontend.queue.errors import QueueError
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.sessions import Sessions
from cgnode.frontend.smtp.intake import MailIntake
from cgnode.health import HostHealth
from cgnode.joining import Joining, Limits
from cgnode.net.listeners import Admission, MailListeners, Opening
from cgnode.net.tls import cluster_client, public_context

log = logging.getLogger(__name__)

QUEUE: Final = "queue"
"""The queue's folder in the data folder."""


class FrontendService(Service):
    """``pool`` is a started thread pool, for passwords; ``secret`` the cluster's."""

    def __init__(
        self,
        reactor: Any,
        config: Config,
        folder: Path,
        following: Following,
        health: HostHealth,
        secret: bytes,
        pool: Any,
    ) -> None:
        """Raises ConfigError."""
        self._reactor = reactor
        self._config = config
        cluster, frontend = config.cluster, config.frontend
        own_names = frozenset((config.hostname.lower(), config.name))
        tls = public_context(config)

        def tls_to(server: str) -> Any:
            return cluster_client(config, server)

        try:
            self.queue = MailQueue.open(
                folder / QUEUE,
                Reporter(config.hostname),
                policy=frontend.queue_policy,
                limits=frontend.queue_limits,
            )
        except QueueError as error:
            raise config.error(config.data_key, str(error)) from None
        for problem in self.queue.problems:
            log.error("the mail queue: %s", problem)
        self.authenticator = Authenticator(
            reactor,
            following,
            cluster.default_domain,
            secret=secret,
            pool=pool,
            own_names=own_names,
            delay=frontend.login.failure_delay,
            scram=frontend.login.scram,
        )
        limits = frontend.login
        self.sessions = Sessions(reactor, following, most=limits.per_user_and_address, idle=limits.idle)
        destinations = Destinations(
            following, health, secret=secret, tls=tls_to, clear_text=cluster.clear_text
        )
        self.joining = Joining(reactor, destinations, Limits(limits.connect, limits.proxy))
        self.logins = {
            protocol: login.Parts(
                reactor,
                self.authenticator,
                self.joining,
                self.sessions,
                limits,
                tls,
                frontend.clear_text,
                frontend.xclient_networks,
            )
            for protocol in ("imap", "pop3")
        }
        """By protocol, so that each is counted by itself."""
        self.intake = MailIntake(
            reactor,
            frontend,
            config.hostname,
            self.queue,
            following,
            self.authenticator,
            tls,
            default_domain=cluster.default_domain,
            in_step=following.in_step,
        )
        self.delivery = Delivery(
            reactor,
            self.queue,
            following,
            health,
            frontend,
            secret=secret,
            tls=tls_to,
            hostname=config.hostname,
            resolver=createResolver(),
            default_domain=cluster.default_domain,
            clear_text=cluster.clear_text,
        )
        self.login_ports = MailListeners(reactor, list(self._login_openings()))
        self.mail_ports = MailListeners(reactor, list(self._mail_openings(tls)))
        """Apart, since what is bounded differs."""

    def _login_openings(self) -> Iterator[Opening]:
        frontend = self._config.frontend
        for protocol, parts in self.logins.items():
            listeners = [each for each in frontend.listen if each.protocol == protocol]
            yield from openings(parts, listeners, frontend.proxy_networks)

    def _mail_openings(self, tls: Any) -> Iterator[Opening]:
        frontend, intake = self._config.frontend, self.intake
        smtp = frontend.smtp
        admission = Admission(smtp.connections, smtp.per_address, frontend.proxy_networks)
        for listener in frontend.listen:
            if listener.protocol in ("smtp", "submission"):
                yield Opening(
                    listener.key,
                    listener.host,
                    listener.port,
                    intake.smtp if listener.protocol == "smtp" else intake.submission,
                    tls=tls if listener.tls else None,
                    admission=admission,
                    # Inside TLS nobody could read it.
                    busy=b"" if listener.tls else intake.busy,
                    scheme=listener.scheme,
                )

    def startService(self) -> None:
        """Raises CannotListen; nothing runs then."""
        super().startService()
        self.login_ports.startService()
        self.mail_ports.startService()
        self.sessions.startService()
        self.delivery.startService()

    def stopService(self) -> Deferred[None]:
        """Take nothing more, end what is under way, then let go of the queue."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.login_ports.stopService()
        await self.mail_ports.stopService()
        await maybeDeferred(self.sessions.stopService)
        await self.intake.stop()
        await self.delivery.stopService()
        self.queue.close()
