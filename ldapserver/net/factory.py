"""What all connections of a server share: the directory, the limits, and the turns.
Counts them, and ends them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ldapserver.directory import Directory, Limits
from ldapserver.identity import Peer
from ldapserver.messages import Request
from ldapserver.net.completions import Completions
from ldapserver.net.protocol import LDAPConnection
from ldapserver.net.reactor import Reactor
from ldapserver.net.turns import Outbox, Turns
from ldapserver.net.watch import Watch
from ldapserver.ops.controls import SUPPORTED
from storage.errors import StoreError

DEFAULT_LIMITS: Final = Limits()


class LDAPFactory(Factory):
    """Makes connections.

    ``controls`` are the control types that each operation knows; ``tls`` is Twisted's
    TLS context factory for StartTLS, or None where that is not offered.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        directory: Directory,
        limits: Limits = DEFAULT_LIMITS,
        controls: Mapping[type[Request], frozenset[str]] = SUPPORTED,
        tls: object | None = None,
    ) -> None:
        self.reactor = reactor
        self.directory = directory
        self.limits = limits
        self.controls = controls
        self.tls = tls
        self.clock: Callable[[], float] = reactor.seconds
        self.turns = Turns(reactor)
        self.outbox = Outbox(reactor)
        self.completions = Completions(reactor)
        self.watch = Watch(reactor, directory)
        self.connections: set[LDAPConnection] = set()
        self._refusing = False
        self._store_error_at = float("-inf")
        self._gone: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> LDAPConnection | None:
        most = self.limits.connections
        if most and len(self.connections) >= most:
            if not self._refusing:
                self._refusing = True
                self.log.warn("{most} connections are open; more are refused", most=most)
            return None
        return LDAPConnection(self)

    def joined(self, connection: LDAPConnection) -> None:
        self.connections.add(connection)

    def left(self, connection: LDAPConnection) -> None:
        self.connections.discard(connection)
        self._refusing = False
        if self._gone is not None and not self.connections:
            gone, self._gone = self._gone, None
            gone.callback(None)

    def report(self, peer: Peer, error: Exception) -> None:
        """What no client is told; called where it was caught.  A store in trouble fails
        every write: once a second is enough to hear of it."""
        if isinstance(error, StoreError):
            now = self.clock()
            if now - self._store_error_at >= 1.0:
                self._store_error_at = now
                self.log.error("the store: {error}", error=error)
        else:
            self.log.failure("{peer}: a request failed", peer=peer.address)

    def shutdown(self, grace: float) -> Deferred[None]:
        """Say good-bye to all; fires when the last is gone, after ``grace`` seconds at most."""
        if not self.connections:
            return succeed(None)
        self._gone = Deferred()
        timeout = self.reactor.callLater(grace, self.abort)
        self._gone.addBoth(lambda result: timeout.cancel() if timeout.active() else None)
        gone = self._gone
        for connection in list(self.connections):
            connection.shutdown()
        return gone

    def abort(self) -> None:
        for connection in list(self.connections):
            connection.transport.abortConnection()
