"""An LDAP server as a Twisted service: its listeners and its connections, begun and
ended together.

    factory = LDAPFactory(reactor, directory, limits)
    LDAPService(reactor, factory, ["ldap://127.0.0.1:1389", "ldapi:///run/ldapi"])
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from ldapserver.net.factory import LDAPFactory
from ldapserver.net.listen import Listener, listen, parse_url
from ldapserver.net.reactor import Reactor

GRACE: Final = 5.0
"""Seconds that writes under way and last words have at the end."""


class LDAPService(Service):
    """``listeners`` are open between start and stop.  The directory is the caller's, and
    is closed after this service has stopped."""

    def __init__(self, reactor: Reactor, factory: LDAPFactory, urls: Sequence[str], tls: Any = None) -> None:
        self._reactor = reactor
        self._tls = tls
        self._addresses = [parse_url(url) for url in urls]
        self.factory = factory
        self.listeners: list[Listener] = []

    @property
    def urls(self) -> list[str]:
        """Where clients find the server."""
        return [listener.url for listener in self.listeners]

    def startService(self) -> None:
        """All listeners or none; raises ListenError."""
        try:
            for address in self._addresses:
                self.listeners.append(listen(self._reactor, address, self.factory, self._tls))
        except Exception:
            for listener in self.listeners:
                listener.stop()
            self.listeners.clear()
            raise
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Fires when all is closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            await listener.stop()
        await self.factory.shutdown(GRACE)
