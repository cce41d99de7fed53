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
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from twisted.application.service import MultiService
from twisted.logger import LogEvent, LogLevel, STDLibLogObserver, globalLogBeginner

from cgnode import __version__
from cgnode.config import Config
from cgnode.directory import DirectoryService
from cgnode.folder import make_folder, remember_config
from cgnode.lock import NodeLock
from cgnode.opening import open_directory
from cgnode.secret import Secret, administrator_secret


class Node(MultiService):
    """The parts of one node, each there for a role; started in order, stopped backwards."""

    def __init__(self, reactor: Any, config: Config, folder: Path, environ: Mapping[str, str]) -> None:
        """Raises ConfigError; nothing is served before ``startService``."""
        super().__init__()
        self._config = config
        self._folder = folder
        if "directory" in config.roles:
            self.secret = administrator_secret(config, folder, environ)
            directory = open_directory(config, folder, self.secret.password)
            self.directory = DirectoryService(reactor, config, folder, directory)
            self.directory.setServiceParent(self)
        # The roles to come, backend and frontend, take their places here.

    def abandon(self) -> None:
        """After a start that failed: let go of what was opened."""
        if "directory" in self._config.roles:
            self.directory.abandon()

    def greeting(self) -> Iterator[str]:
        """Where everything is, for the person who started the node."""
        yield f"cgnode {__version__}: {', '.join(self._config.roles)}; data in {self._folder}"
        if "directory" in self._config.roles:
            yield from _directory_lines(self._config, self.directory.ldap.urls, self.secret)


def _directory_lines(config: Config, urls: list[str], secret: Secret) -> Iterator[str]:
    administrator = config.ldap.administrator.dn
    login = ["-x", "-D", administrator, *(["-y", str(secret.path)] if secret.path else ["-W"])]
    if urls[0].startswith("ldapi:"):
        login = ["-Y", "EXTERNAL"]
    yield f"  LDAP           {'  '.join(urls)}"
    yield f"  administrator  {administrator}, password in {secret.place}"
    yield f"  try            {shlex.join(['ldapsearch', '-LLL', '-H', urls[0], *login, '-b', ''])}"


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT.  Raises ConfigError for a start that is not to be."""
    folder = make_folder(config)
    try:
        lock = NodeLock.acquire(folder)
        remember_config(folder, config)
    except OSError as error:
        raise config.error(config.data_key, f"cannot write to {folder}: {error.strerror}") from None
    _begin_logging(config.log_level)
    _allow_descriptors(config.ldap.limits.connections)
    from twisted.internet import reactor

    return _serve(reactor, Node(reactor, config, folder, os.environ), lock)


def _serve(reactor: Any, node: Node, lock: NodeLock) -> int:
    try:
        node.startService()
    except BaseException:
        node.abandon()
        raise
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    # In the loop and not before it: who has read the greeting may send the signals that
    # stop a reactor, SIGTERM and SIGINT, and it listens to them from then on.
    reactor.callLater(0, lambda: print("\n".join(node.greeting()), flush=True))
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    reactor.run()
    lock.release()
    return 0


def _begin_logging(level: str) -> None:
    """All parts' logs, Twisted's among them, as lines on stderr."""
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    pass_on = STDLibLogObserver("cgnode")

    def observe(event: LogEvent) -> None:
        if not _is_chatter(event):
            pass_on(event)

    globalLogBeginner.beginLoggingTo([cast(Any, observe)], redirectStandardIO=False)


def _is_chatter(event: LogEvent) -> bool:
    """Twisted's own word of each port that opens and closes."""
    own = str(event.get("log_namespace", "")).startswith(("log_legacy", "twisted.", "-"))
    return own and event.get("log_level") in (LogLevel.debug, LogLevel.info)


def _allow_descriptors(connections: int) -> None:
    """Room for the connections that the limits allow, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
