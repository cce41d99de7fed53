"""The role ``backend``: account storages, and LMTP, IMAP and POP3 over them.

What lives here: which parts there are, and in which order they begin and end.  What must
not: what a part does.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred

from cgnode.backend.imap.service import ImapBackend
from cgnode.backend.lmtp.service import LmtpService, Terms
from cgnode.backend.mailboxes import Mailboxes
from cgnode.backend.pop3.service import Pop3Backend
from cgnode.backend.sessions.entrance import Entrance
from cgnode.backend.sessions.hosting import Hosting
from cgnode.backend.sessions.login import Reception
from cgnode.backend.storages import Storages
from cgnode.backend.store import MailStoreError, Quota
from cgnode.backend.upkeep import Upkeep, UpkeepService
from cgnode.config import Config
from cgnode.destinations import Destinations
from cgnode.following import Following
from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.sessions import Sessions
from cgnode.health import HostHealth
from cgnode.joining import Joining
from cgnode.net.connection import Connection, Handler
from cgnode.net.listeners import Admission, MailListeners, Opening
from cgnode.net.tls import cluster_client, cluster_server_context
from cgnode.proto.imap.dialogue import Limits

_BUSY: Final = {
    "lmtp": b"421 4.3.2 too many connections\r\n",
    "imap": b"* BYE [UNAVAILABLE] too many connections\r\n",
    "pop3": b"-ERR [SYS/TEMP] too many connections\r\n",
}


class BackendService(Service):
    """``pool`` is a started thread pool, for passwords; ``disks`` one for the storages;
    ``secret`` is the cluster's."""

    def __init__(
        self,
        reactor: Any,
        config: Config,
        folder: Path,
        following: Following,
        health: HostHealth,
        secret: bytes,
        pool: Any,
        disks: Any,
    ) -> None:
        """Raises ConfigError."""
        cluster, backend = config.cluster, config.backend
        own_names = frozenset((config.hostname.lower(), config.name))
        tls = cluster_server_context(config)
        hosting = Hosting(config.name, following, cluster.default_domain, own_names)
        self.storages = Storages(folder, config.name, backend.storages, hosts=hosting.hosts_of)
        try:
            self.storages.open()
        except MailStoreError as error:
            raise config.error(config.data_key, str(error)) from None
        store = self.storages.store
        quota = None if backend.quota is None else Quota(size=backend.quota)
        mailboxes = Mailboxes(following, store, quota, time.monotonic)
        self.upkeep = Upkeep(following, store, mailboxes)
        self._upkeep_service = UpkeepService(reactor, disks, following, self.upkeep, self.storages)
        # Those served here have limits of their own.
        self.sessions = Sessions(reactor, following, most=0, idle=inf)
        self.authenticator = Authenticator(
            reactor, following, cluster.default_domain, secret=secret, pool=pool, own_names=own_names
        )
        destinations = Destinations(
            following,
            health,
            secret=secret,
            tls=lambda server: cluster_client(config, server),
            clear_text=cluster.clear_text,
        )
        self.reception = Reception(
            Entrance(reactor, hosting, secret, self.authenticator),
            mailboxes.open,
            self.sessions,
            Joining(reactor, destinations),
        )
        self.lmtp = LmtpService(
            reactor,
            disks,
            hosting,
            mailboxes.open,
            lambda: self.storages.homes,
            secret,
            Terms(
                config.hostname,
                max_size=backend.max_size,
                clear_text=cluster.clear_text,
                quota=quota is not None,
            ),
            tls=tls,
            folder=folder,
            deliver_all=store.deliver_all,
        )
        self.imap = ImapBackend(
            reactor,
            disks,
            self.reception,
            time.time,
            tls,
            cluster.clear_text,
            config.hostname,
            limits=Limits(message=backend.max_size),
        )
        self.pop3 = Pop3Backend(reactor, disks, self.reception, tls, cluster.clear_text, config.hostname)
        makers: dict[str, Callable[[Connection], Handler]] = {
            "lmtp": self.lmtp.handler,
            "imap": self.imap.make,
            "pop3": self.pop3.make,
        }
        admission = Admission(backend.connections, backend.connections)
        self.ports = MailListeners(
            reactor,
            [
                Opening(
                    each.key,
                    each.host,
                    each.port,
                    makers[each.protocol],
                    admission=admission,
                    busy=_BUSY[each.protocol],
                    scheme=each.scheme,
                )
                for each in backend.listen
            ],
        )

    def startService(self) -> None:
        """Raises CannotListen; nothing runs then."""
        super().startService()
        self.ports.startService()
        self.sessions.startService()
        self.lmtp.startService()
        self._upkeep_service.startService()

    def stopService(self) -> Deferred[None]:
        """Take nothing more, end what is under way, then let go of the storages."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.ports.stopService()
        await maybeDeferred(self.sessions.stopService)
        await self.lmtp.stopService()
        await self._upkeep_service.stopService()
        self.storages.close()
