"""Sockets: who is at the other end, and connections that send at once.

Twisted's transports queue what is written, ask the poller for writability, and send
when it reports: two system calls and a round of the reactor more than an answer needs
that fits into the socket's buffer.  Ours try to send first; what does not fit goes the
usual way, with the usual back-pressure.
"""

# mypy: disallow-untyped-calls=False
# Twisted's transports are not annotated.

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Any, Final, Protocol

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure

from ldapserver.identity import Peer

BACKLOG: Final = 1024
"""Connections that may wait to be accepted; the kernel has its own bound (somaxconn)."""


class ClientTransport(Protocol):
    """What a connection asks of its transport: those of TCP, Unix sockets and TLS have it."""

    def write(self, data: bytes) -> None: ...
    def getHandle(self) -> Any: ...
    def getPeer(self) -> Any: ...
    def setTcpNoDelay(self, enabled: bool) -> None: ...
    def registerProducer(self, producer: object, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def startTLS(self, context: object) -> None: ...
    def loseWriteConnection(self) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...


def peer_of(transport: ClientTransport) -> Peer:
    encrypted = bool(ISSLTransport.providedBy(transport))
    address = transport.getPeer()
    match address:
        case IPv4Address():
            return Peer(f"{address.host}:{address.port}", encrypted=encrypted)
        case IPv6Address():
            return Peer(f"[{address.host}]:{address.port}", encrypted=encrypted)
        case _:
            process, uid = _credentials(transport.getHandle())
            return Peer(f"process {process} of user {uid}", uid=uid, encrypted=encrypted)


def _credentials(handle: socket.socket) -> tuple[int, int]:
    """Process and user at the other end of a Unix socket, as the kernel saw them when the
    connection was made (``struct ucred``)."""
    size = struct.calcsize("iII")
    process, uid, _ = struct.unpack("iII", handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return process, uid


def send_some(handle: socket.socket, data: bytes) -> bytes:
    """What could not be sent.  An error is left for the reactor's own attempt to meet."""
    try:
        sent = handle.send(data)
    except OSError:
        return data
    return data[sent:] if sent < len(data) else b""


class Eager:
    """A part of a transport's class, before one of Twisted's.  ``_waiting``: the poller is
    asked for writability, so there is a queue to keep to."""

    _waiting = False
    connected: Any
    socket: Any
    TLS: bool

    def startWriting(self) -> None:
        self._waiting = True
        super().startWriting()  # type: ignore[misc]

    def stopWriting(self) -> None:
        self._waiting = False
        super().stopWriting()  # type: ignore[misc]

    def write(self, data: bytes) -> None:
        if not (self._waiting or self.TLS) and self.connected:
            data = send_some(self.socket, data)
        if data:
            super().write(data)  # type: ignore[misc]


class EagerTCPServer(Eager, tcp.Server):
    def finish(self) -> None:
        """``loseConnection``; at once where nothing is left to be sent, without another
        round of the reactor."""
        if self._waiting or self.TLS or not self.connected:
            self.loseConnection()
        else:
            self.connectionLost(Failure(ConnectionDone()))


class EagerUnixServer(Eager, unix.Server):
    pass


class TCPPort(tcp.Port):
    transport = EagerTCPServer


class UnixPort(unix.Port):
    transport = EagerUnixServer
    _made: socket.socket | None = None

    def createInternetSocket(self) -> socket.socket:
        self._made = super().createInternetSocket()
        return self._made

    def startListening(self) -> None:
        """Twisted's own leaves the socket open when it can't be bound."""
        try:
            super().startListening()
        except CannotListenError:
            if self._made is not None:
                self._made.close()
            raise

    def connectionLost(self, reason: Failure) -> None:
        """Twisted's own removes the socket's file and fails when that is gone already, as
        it is when somebody removed the folder."""
        with suppress(FileNotFoundError):
            os.unlink(self._bindPath)
        tcp.Port.connectionLost(self, reason)
