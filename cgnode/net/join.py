"""Two connections made one: octets from each go to the other, and nobody looks at them.

What lives here: the pump, its back-pressure (a side that does not take its octets makes
the other wait), and the end of both when one ends.  What must not: dialogues.

There may be ten thousand of these, most of them idle, so they hold little: no timer, no
buffer, one object a side.
"""

# mypy: disallow-untyped-calls=False
# Twisted's transports are not annotated.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from cgnode.net.connection import Connection, Released
from ldapserver.net.transport import EagerTCPServer

LINGER = 10.0
"""Seconds that a side has to take what the other has left it."""


class _Side:
    """What a joined socket has for a protocol.  ``moved`` counts its octets."""

    __slots__ = ("joined", "moved", "other", "transport")

    def __init__(self, joined: Joined, transport: Any) -> None:
        self.joined: Joined = joined
        self.transport: Any = transport
        self.other: Any = None
        self.moved = 0

    def dataReceived(self, data: bytes) -> None:
        self.moved += len(data)
        self.other.write(data)

    def connectionLost(self, reason: Failure) -> None:
        self.joined.side_lost(self)

    def readConnectionLost(self, reason: Failure) -> None:
        self.connectionLost(reason)


class Joined:
    """The two as one; made by ``join``."""

    __slots__ = ("_client", "_closing", "_ended", "_open", "_server", "_timer")

    def __init__(self, client: Released, server: Released, ended: Callable[[], None]) -> None:
        self._client, self._server = _Side(self, client.transport), _Side(self, server.transport)
        self._ended: tuple[Callable[[str], object], ...] = (client.ended, server.ended, lambda _: ended())
        self._open = 2
        self._closing = False
        self._timer: Any = None
        """Of a side that does not take what is left for it."""

    @property
    def from_client(self) -> int:
        """Octets so far."""
        return self._client.moved

    @property
    def from_server(self) -> int:
        """Octets so far."""
        return self._server.moved

    def close(self, last_words: bytes = b"") -> None:
        """End both, the client with ``last_words``."""
        if not self._closing:
            if last_words:
                self._client.transport.write(last_words)
            self._close(self._client.transport, self._server.transport)

    def start(self, unread_client: bytes, unread_server: bytes, held: tuple[bool, bool]) -> None:
        client, server = self._client, self._server
        for side, other, unread in ((client, server, unread_client), (server, client, unread_server)):
            side.other = other.transport
            other.transport.registerProducer(side.transport, True)
            if unread:
                side.dataReceived(unread)
        for side, paused in zip((client, server), held, strict=True):
            _adopt(side.transport, side)
            # Unless what was unread has filled the other side already.
            if paused and not getattr(side.other, "producerPaused", False):
                side.transport.resumeProducing()

    def side_lost(self, side: _Side) -> None:
        self._open -= 1
        if not self._closing:
            self._close(side.other)
        if not self._open and self._ended:
            all_ended, self._ended = self._ended, ()
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            for ended in all_ended:
                ended("")

    def _close(self, *transports: Any) -> None:
        """Flush and close."""
        self._closing = True
        for transport in transports:
            transport.unregisterProducer()
            if isinstance(transport, EagerTCPServer):
                transport.finish()
            else:
                transport.loseConnection()
        if self._open:
            self._timer = transports[0].reactor.callLater(LINGER, self._abort)

    def _abort(self) -> None:
        for side in (self._client, self._server):
            if side.transport.connected:
                side.transport.abortConnection()


def join(
    client: Connection,
    server: Connection,
    ended: Callable[[], None],
    unread_client: bytes = b"",
    unread_server: bytes = b"",
) -> Joined:
    """Join what two dialogues were held on.  ``unread_*`` is what each of the two had sent
    and its core had not used; ``ended`` is called once, when both are closed."""
    released = client.release(), server.release()
    joined = Joined(*released, ended)
    joined.start(unread_client, unread_server, (released[0].held, released[1].held))
    return joined


def _adopt(transport: Any, side: _Side) -> None:
    """Have a socket's octets come to ``side``, behind TLS if there is some."""
    if transport.TLS:
        transport.protocol.wrappedProtocol = side
    else:
        transport.protocol = side
