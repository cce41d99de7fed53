"""The listeners of the control interface: a Unix socket in the data folder, and TCP.

On the TCP port a client begins with TLS or without, and its first octet says which: what
monitors ask for is there for both, and ``resource`` says who may do more.  What must not
live here: what is answered.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services and web are not annotated all through.

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.web.server import Request, Site

from cgnode.control import SOCKET
from cgnode.control.parts import Parts
from cgnode.control.resource import LONGEST_BODY, Admission, ControlResource
from cgnode.listeners import check_path
from cgnode.tables import Wrong

_SILENCE: Final = 60.0
"""Seconds that a client may take for a request."""

MOST_CONNECTIONS: Final = 500
"""Over TCP.  Who opens more of them leaves mail its sockets."""

_HANDSHAKE: Final = 0x16
"""What TLS begins with (RFC 8446 section 5.1), and HTTP never."""

_TOO_LARGE: Final = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class CannotListen(Exception):
    """Where, and why not."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"cannot listen at {place}: {reason}")
        self.place = place
        self.reason = reason


class _Bounded(Request):
    """A request whose body is no longer than one of ours can be."""

    _received = 0

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= LONGEST_BODY:
            super().handleContentChunk(data)
        elif self.channel is not None:
            channel: Any = self.channel
            channel.transport.write(_TOO_LARGE)
            channel.loseConnection()


class _Site(Site):
    """Without a log of accesses: what matters of them, parts log themselves."""

    noisy = False

    def log(self, request: object) -> None:
        pass


def _site(reactor: Any, parts: Parts, admission: Admission) -> _Site:
    resource = ControlResource(reactor, parts, admission)
    return _Site(resource, requestFactory=_Bounded, timeout=_SILENCE, reactor=reactor)


class _Either(Protocol):
    """A connection of the site's, once its first octet has told whether it is TLS."""

    def __init__(self, factory: _EitherFactory) -> None:
        self._factory = factory
        self._channel: Any = None
        self._silence = factory.reactor.callLater(_SILENCE, self._give_up)

    def _give_up(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.dataReceived(data)
            return
        self._silence.cancel()
        transport: Any = self.transport
        tls = self._factory.tls
        self._channel = self._factory.site.buildProtocol(transport.getPeer())
        if data[0] == _HANDSHAKE and tls is not None:
            transport.startTLS(tls)
        self._channel.makeConnection(transport)
        # With TLS this is not us, but what decrypts for us.
        transport.protocol.dataReceived(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self._factory.open -= 1
        if self._silence.active():
            self._silence.cancel()
        if self._channel is not None:
            self._channel.connectionLost(reason)


class _EitherFactory(Factory):
    noisy = False

    def __init__(self, reactor: Any, site: _Site, tls: Any) -> None:
        self.reactor = reactor
        self.site = site
        self.tls = tls
        self.open = 0

    def doStart(self) -> None:
        super().doStart()
        self.site.doStart()

    def doStop(self) -> None:
        super().doStop()
        self.site.doStop()

    def buildProtocol(self, addr: Any) -> _Either | None:
        if self.open >= MOST_CONNECTIONS:
            return None
        self.open += 1
        return _Either(self)


class ControlService(Service):
    """``folder``: the data folder; ``listen``: host and port of the TCP listener, if there
    is one; ``token``: what calls need there; ``tls``: what Twisted makes TLS connections
    with, if the node has a certificate; ``clear_text``: the token may come without TLS."""

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        parts: Parts,
        *,
        listen: tuple[str, int] | None = None,
        token: str = "",
        tls: Any = None,
        clear_text: bool = False,
    ) -> None:
        assert token or listen is None, "a TCP listener needs a token"
        self._reactor = reactor
        self._parts = parts
        self._listen = listen
        self._admission = Admission(token, clear_text)
        self._tls = tls
        self.path = folder / SOCKET
        self._ports: list[Any] = []

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where TCP is listened at, after the start."""
        hosts = (port.getHost() for port in self._ports)
        return [(host.host, host.port) for host in hosts if hasattr(host, "port")]

    def startService(self) -> None:
        """Both listeners or none; raises CannotListen."""
        try:
            self._ports.append(self._unix())
            if self._listen is not None:
                self._ports.append(self._tcp(*self._listen))
        except BaseException:
            for port in self._ports:
                port.stopListening()
            self._ports.clear()
            raise
        super().startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def _unix(self) -> Any:
        site = _site(self._reactor, self._parts, Admission(None))
        try:
            check_path(self.path)
            # The node's lock is ours, so nobody listens at what an earlier one left.
            with suppress(FileNotFoundError):
                self.path.unlink()
            # From the first moment on nobody else may connect.
            mask = os.umask(0o177)
            try:
                return self._reactor.listenUNIX(str(self.path), site, mode=0o600)
            finally:
                os.umask(mask)
        except (Wrong, OSError) as error:
            raise CannotListen(str(self.path), str(error)) from None
        except CannotListenError as error:
            raise CannotListen(str(self.path), str(error.socketError)) from None

    def _tcp(self, host: str, port: int) -> Any:
        site = _site(self._reactor, self._parts, self._admission)
        factory = _EitherFactory(self._reactor, site, self._tls)
        try:
            return self._reactor.listenTCP(port, factory, interface=host)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise CannotListen(f"{host}:{port}", reason) from None
