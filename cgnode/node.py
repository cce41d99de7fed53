"""The composition root: which parts a node is made of, in which order they begin and end.

``run`` is one node's life.  What must not live here: what a part does.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import gc
import logging
import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred

from cgnode.config import Config
from cgnode.directory import DirectoryService
from cgnode.folder import make_folder, remember_config
from cgnode.greeting import of_directory, of_member, of_node
from cgnode.lock import NodeLock
from cgnode.logs import begin_logging
from cgnode.net.reactor import install
from cgnode.opening import open_directory
from cgnode.secret import administrator_secret

if TYPE_CHECKING:
    from cgnode.member import MemberParts

log = logging.getLogger(__name__)


class Node(Service):
    """The parts of one node, each there for a role; started in order, stopped backwards."""

    def __init__(self, reactor: Any, config: Config, folder: Path, environ: Mapping[str, str]) -> None:
        """Raises ConfigError; nothing is served before ``startService``."""
        self._config = config
        self._folder = folder
        self._parts: list[Any] = []
        self._member: MemberParts | None = None
        try:
            if "directory" in config.roles:
                self.secret = administrator_secret(config, folder, environ)
                directory = open_directory(config, folder, self.secret.password)
                self.directory = DirectoryService(reactor, config, folder, directory)
                self._parts.append(self.directory)
            if _is_member(config):
                # Only now: a directory on its own does without what this loads.
                from cgnode.member import MemberParts

                own = self.directory if "directory" in config.roles else None
                self._member = MemberParts(reactor, config, folder, environ, own, self._parts.append)
        except BaseException:
            self.abandon()
            raise

    def startService(self) -> None:
        """Raises ConfigError where a listener can't be had."""
        super().startService()
        for part in self._parts:
            part.startService()
        if self._member is not None:
            self._member.register()

    def abandon(self) -> None:
        """After a start that failed: let go of what was opened."""
        for part in reversed(self._parts):
            maybeDeferred(part.stopService)

    def stopService(self) -> Deferred[None]:
        """Each part when those that use it have ended."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for part in reversed(self._parts):
            await maybeDeferred(part.stopService)

    def greeting(self) -> Iterator[str]:
        """Where everything is, for the person who started the node."""
        yield of_node(self._config, self._folder)
        if "directory" in self._config.roles:
            yield from of_directory(self._config, self.directory.ldap.urls, self.secret)
        if self._member is not None:
            yield from of_member(self._config, self._member.places)


def _is_member(config: Config) -> bool:
    """A directory on its own serves LDAP clients and does no more, unless it is told to be
    seen or to act."""
    seen = config.http is not None and config.http.key != "--data"
    return config.roles != ("directory",) or seen or config.cluster.auto_failover is not None


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT.  Raises ConfigError for a start that is not to be."""
    folder = make_folder(config)
    try:
        lock = NodeLock.acquire(folder)
        remember_config(folder, config)
    except OSError as error:
        raise config.error(config.data_key, f"cannot write to {folder}: {error.strerror}") from None
    begin_logging(config.log_level, config.log_format)
    _allow_descriptors(config)
    install()
    from twisted.internet import reactor

    return _serve(reactor, Node(reactor, config, folder, os.environ), lock, config.log_format)


def _serve(reactor: Any, node: Node, lock: NodeLock, log_format: str) -> int:
    try:
        node.startService()
    except BaseException:
        node.abandon()
        raise
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    # In the loop and not before it: who has read the greeting may send the signals that
    # stop a reactor, SIGTERM and SIGINT, and it listens to them from then on.
    reactor.callLater(0, lambda: _greet("\n".join(node.greeting()), log_format))
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    reactor.run()
    lock.release()
    return 0


def _greet(text: str, log_format: str) -> None:
    """For people; where a program reads the log, it is a line of that."""
    if log_format == "json":
        log.info("%s", text)
    else:
        print(text, flush=True)


def _allow_descriptors(config: Config) -> None:
    """Room for the connections that the limits allow, as far as the system lets us."""
    wanted = 200
    if "directory" in config.roles:
        wanted += config.ldap.limits.connections
    if "frontend" in config.roles:
        # One to the client and one to its host.
        wanted += 2 * config.frontend.login.connections + config.frontend.smtp.connections
    if "backend" in config.roles:
        wanted += config.backend.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
