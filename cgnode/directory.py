"""The role ``directory``: the store, and LDAP on every listener.

What must not live here: what the configuration means for the store (``opening``).
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from cgnode.config import Config
from cgnode.listeners import Listener, UnixListener, check_path
from cgnode.net.tls import ldap_context
from cgnode.tables import ConfigError, Wrong
from ldapserver.local import LocalDirectory
from ldapserver.net.factory import LDAPFactory
from ldapserver.net.listen import ListenError, parse_url
from ldapserver.net.reactor import Reactor
from ldapserver.net.service import LDAPService


class DirectoryService(MultiService):
    """Serves ``directory``, and closes it in the end."""

    def __init__(self, reactor: Reactor, config: Config, folder: Path, directory: LocalDirectory) -> None:
        super().__init__()
        self._config = config
        self.local = directory
        self._listeners = {_url(config, each, folder): each for each in config.ldap.listen}
        tls = ldap_context(config)
        self.factory = LDAPFactory(reactor, directory, config.ldap.limits, tls=tls)
        self.ldap = LDAPService(reactor, self.factory, list(self._listeners), tls)
        self.ldap.setServiceParent(self)

    def startService(self) -> None:
        """Raises ConfigError where a listener can't be had."""
        try:
            super().startService()
        except ListenError as error:
            raise self._refused(error) from None

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop(super().stopService()))

    async def _stop(self, stopped: Deferred[Any]) -> None:
        await stopped
        self.local.close()

    def _refused(self, error: ListenError) -> ConfigError:
        """The listener's error with the key that names the listener, and a way out."""
        fix = "listen at another address"
        if os.strerror(errno.EADDRINUSE) in error.reason:
            fix = "stop what listens there, or choose another port"
        elif os.strerror(errno.ENOENT) in error.reason:
            fix = "make its folder, or listen at another address"
        listeners = ((str(parse_url(url)), listener.key) for url, listener in self._listeners.items())
        key = dict(listeners).get(error.url, "ldap.listen")
        return self._config.error(key, f"cannot listen at {error.url}: {error.reason}; {fix}")


def _url(config: Config, listener: Listener, folder: Path) -> str:
    if isinstance(listener, UnixListener):
        path = folder / listener.path
        try:
            check_path(path)
        except Wrong as wrong:
            raise config.error(listener.key, f"{wrong}; choose a folder nearer to the root") from None
        return str(UnixListener(path))
    return str(listener)
