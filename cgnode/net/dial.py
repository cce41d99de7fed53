"""Connecting to a server: an address, a time limit, and a dialogue's handler on the socket.

What must not live here: which server, and what is said to it.
"""

# mypy: disallow-untyped-calls=False
# Twisted's connectors are not annotated.

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from cgnode.members import Endpoint
from cgnode.net.connection import Connection, Handler
from ldapserver.net.transport import EagerTCPClient


class _Connector(tcp.Connector):
    def _makeTransport(self) -> EagerTCPClient:
        return EagerTCPClient(self.host, self.port, self.bindAddress, self, self.reactor)


class _Dialling(ClientFactory):
    """One attempt.  ``done`` fires when the dialogue may begin."""

    noisy = False

    def __init__(
        self, reactor: Any, make_handler: Callable[[Connection], Handler], tls: Any, session: str
    ) -> None:
        self._connection = Connection(
            reactor, make_handler, tls=tls, session=session, begun=self._begun, ended=self._ended
        )
        self.give_up: Callable[[], object] = lambda: None
        self.done: Deferred[Connection] = Deferred(self._cancelled)

    def _cancelled(self, done: object) -> None:
        self.give_up()

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        return self._connection

    def failed(self, reason: Failure) -> None:
        if not self.done.called:
            self.done.errback(reason)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failed(reason)

    def _begun(self, connection: Connection) -> None:
        if not self.done.called:
            self.done.callback(connection)

    def _ended(self, reason: str) -> None:
        self.failed(Failure(ConnectError(string=f"in the TLS handshake: {reason}")))


def dial(
    reactor: Any,
    endpoint: Endpoint,
    make_handler: Callable[[Connection], Handler],
    *,
    timeout: float = 3.0,
    tls: Any = None,
    session: str = "",
    source: str = "",
) -> Deferred[Connection]:
    """Fires with the connection when its dialogue may begin; with ``tls``, a context, that
    is behind the handshake.  Fails with Twisted's ConnectError; cancelling gives up.
    ``timeout``: seconds until there is a socket; ``source``: the address to call from."""
    attempt = _Dialling(reactor, make_handler, tls, session)
    bind = (source, 0) if source else None
    if not _is_address(endpoint.host):
        named = HostnameEndpoint(reactor, endpoint.host, endpoint.port, timeout=timeout, bindAddress=bind)
        connecting = named.connect(cast(Any, attempt))
        connecting.addErrback(attempt.failed)
        attempt.give_up = connecting.cancel
        return attempt.done
    connector = _Connector(endpoint.host, endpoint.port, attempt, timeout, bind, reactor)
    attempt.give_up = connector.disconnect
    connector.connect()
    return attempt.done


def why(failure: Failure) -> str:
    """Why a connection could not be made, in a few words."""
    error = failure.value
    if isinstance(error, ConnectError) and error.osError:
        return str(error.args[0] if error.args else error)
    return str(error) or type(error).__name__


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
