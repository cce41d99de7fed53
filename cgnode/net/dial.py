"""Connecting to a server: an address, a time limit, and a dialogue's handler on the socket.

What must not live here: which server, and what is said to it.
"""

# mypy: disallow-untyped-calls=False
# Twisted's connectors are not annotated.

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from errno import EALREADY, EINPROGRESS, EISCONN
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, UserError, getConnectError
from twisted.internet.error import TimeoutError as Overdue
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from cgnode.members import Endpoint
from cgnode.net.connection import Connection, Handler
from ldapserver.net.transport import EagerTCPServer

TIMEOUT: Final = 30.0
"""For names, where none is given."""
_WAITS: Final = (EINPROGRESS, EALREADY)


class _Caller(EagerTCPServer):
    """The transport of a socket that was connected from here.  Twisted's own has a connector
    and a factory behind it, which cost as much as all the rest of a connection."""

    _tlsClientDefault = True


class _Dialling:
    """One attempt.  ``done`` fires when the dialogue may begin."""

    def __init__(
        self, reactor: Any, make_handler: Callable[[Connection], Handler], tls: Any, session: str
    ) -> None:
        self.reactor = reactor
        self.connection: Connection | None = Connection(
            reactor, make_handler, tls=tls, session=session, begun=self._begun, ended=self._ended
        )
        self.give_up: Callable[[], object] = lambda: None
        self.done: Deferred[Connection] = Deferred(self._cancelled)

    def _cancelled(self, done: object) -> None:
        self.give_up()

    def failed(self, reason: Failure) -> None:
        self.connection = None
        if not self.done.called:
            self.done.errback(reason)

    def _begun(self, connection: Connection) -> None:
        # Nothing of this is to live as long as the connection.
        self.connection = None
        if not self.done.called:
            self.done.callback(connection)

    def _ended(self, reason: str) -> None:
        if not self.done.called:
            self.failed(Failure(ConnectError(string=f"in the TLS handshake: {reason}")))


class _ByName(ClientFactory):
    """For names, which Twisted resolves and tries."""

    noisy = False

    def __init__(self, attempt: _Dialling) -> None:
        self._attempt = attempt

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:
        return self._attempt.connection


class _Connecting:
    """A socket on its way, as a reactor's writer."""

    def __init__(self, attempt: _Dialling, endpoint: Endpoint, source: str, timeout: float | None) -> None:
        self._attempt = attempt
        self._reactor = attempt.reactor
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        self._address: tuple[Any, ...] = (endpoint.host, endpoint.port)
        if family == socket.AF_INET6:
            # Four parts are how Twisted tells the families apart.
            self._address = (*self._address, 0, 0)
        self._timer: Any = None
        self._waits = False
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            if source:
                self._socket.bind((source, 0))
            self._try(timeout)
        except OSError as error:
            self._fail(getConnectError((error.errno or 0, os.strerror(error.errno or 0))))

    def _try(self, timeout: float | None) -> None:
        # On this machine a connection is there at once, which the second call tells.
        result = self._socket.connect_ex(self._address)
        if result == EINPROGRESS:
            result = self._socket.connect_ex(self._address)
        if result in _WAITS:
            self._waits = True
            self._reactor.addWriter(self)
            if timeout is not None:
                self._timer = self._reactor.callLater(timeout, self._fail, Overdue())
        elif result in (0, EISCONN):
            self._connected()
        else:
            self._fail(getConnectError((result, os.strerror(result))))

    def doWrite(self) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(getConnectError((error, os.strerror(error))))
        else:
            self._leave()
            self._connected()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "dial"

    def connectionLost(self, reason: Failure) -> None:
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if self.fileno() >= 0 else 0
        self._fail(getConnectError((error, os.strerror(error))) if error else ConnectError())

    def give_up(self) -> None:
        self._fail(UserError())

    def _leave(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._waits:
            self._waits = False
            self._reactor.removeWriter(self)

    def _connected(self) -> None:
        connection = self._attempt.connection
        transport = _Caller(
            self._socket, cast(Any, connection), self._address, cast(Any, None), 0, self._reactor
        )
        assert connection is not None
        connection.makeConnection(transport)

    def _fail(self, error: Exception) -> None:
        if self._socket.fileno() >= 0:
            self._leave()
            self._socket.close()
            self._attempt.failed(Failure(error))


def dial(
    reactor: Any,
    endpoint: Endpoint,
    make_handler: Callable[[Connection], Handler],
    *,
    timeout: float | None = 3.0,
    tls: Any = None,
    session: str = "",
    source: str = "",
) -> Deferred[Connection]:
    """Fires with the connection when its dialogue may begin, maybe at once; with ``tls``, a
    context, that is behind the handshake.  Fails with Twisted's ConnectError; cancelling
    gives up.  ``timeout``: seconds until there is a socket; ``source``: the address to call
    from."""
    attempt = _Dialling(reactor, make_handler, tls, session)
    if _is_address(endpoint.host):
        connecting = _Connecting(attempt, endpoint, source, timeout)
        if not attempt.done.called:
            attempt.give_up = connecting.give_up
    else:
        bind = (source, 0) if source else None
        named = HostnameEndpoint(
            reactor, endpoint.host, endpoint.port, timeout=timeout or TIMEOUT, bindAddress=bind
        )
        waiting = named.connect(cast(Any, _ByName(attempt)))
        waiting.addErrback(attempt.failed)
        attempt.give_up = waiting.cancel
    return attempt.done


def why(failure: Failure) -> str:
    """Why a connection could not be made, in a few words."""
    error = failure.value
    if isinstance(error, ConnectError) and error.osError:
        return str(error.args[0] if error.args else error)
    return str(error) or type(error).__name__


@lru_cache(maxsize=1000)
def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
