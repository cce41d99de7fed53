"""Where mail's protocols are served: ports to connections, with limits and trusted balancers.

What lives here: opening ports, who may connect how often, who must begin with a PROXY
header.  What must not: what is said on a connection.
"""

# mypy: disallow-untyped-calls=False
# Twisted's ports are not annotated.

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, TypeAlias, cast

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from cgnode.members import Endpoint
from cgnode.net.connection import Connection, Handler
from ldapserver.net.transport import BACKLOG, TCPPort

log = logging.getLogger(__name__)

Network: TypeAlias = IPv4Network | IPv6Network


class CannotListen(Exception):
    """``key`` names the listener in the configuration; the text says why and what to do."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


@frozen
class Admission:
    """How many connections at once: in all, and from one address.  From ``proxies`` every
    connection begins with a PROXY header, and the address is the one that it tells."""

    most: int = 10_000
    per_address: int = 100
    proxies: tuple[Network, ...] = ()

    def trusts(self, address: str) -> bool:
        if not self.proxies:
            return False
        host = ip_address(address.partition("%")[0])
        mapped = getattr(host, "ipv4_mapped", None)
        return any((mapped or host) in network for network in self.proxies)


@frozen
class Opening:
    """A port to be: ``host`` "" is every address, ``port`` 0 any free one.  ``tls`` is the
    context of TLS from the start.  ``busy`` is what one too many is told; ``scheme`` is for
    people."""

    key: str
    host: str
    port: int
    make_handler: Callable[[Connection], Handler]
    tls: Any = None
    admission: Admission = Admission()
    busy: bytes = b""
    scheme: str = ""


@define
class Counters:
    accepted: int = 0
    refused: int = 0


@define
class _Clients:
    """Connections at once."""

    open: int = 0
    by_address: dict[str, int] = field(factory=dict)

    def from_address(self, address: str) -> int:
        return self.by_address.get(address, 0)


class _Seat:
    """One connection's place among them."""

    __slots__ = ("_address", "_clients")

    def __init__(self, clients: _Clients) -> None:
        self._clients = clients
        self._address = ""
        clients.open += 1

    def take(self, address: str) -> None:
        """It is known whose it is."""
        self._address = address
        self._clients.by_address[address] = self._clients.from_address(address) + 1

    def leave(self, reason: str) -> None:
        clients, address = self._clients, self._address
        clients.open -= 1
        left = clients.from_address(address) - 1
        if left > 0:
            clients.by_address[address] = left
        else:
            clients.by_address.pop(address, None)


class _Accepting(Factory):
    noisy = False

    def __init__(self, reactor: Any, opening: Opening, clients: _Clients, counters: Counters) -> None:
        self._reactor, self._opening = reactor, opening
        self._clients, self._counters = clients, counters

    def buildProtocol(self, addr: IAddress | None) -> Any:
        address, opening = str(getattr(addr, "host", "")), self._opening
        trusted = opening.admission.trusts(address)
        if self._is_full() or not (trusted or self._admits(address)):
            self._counters.refused += 1
            return _Refusal(opening.busy)
        self._counters.accepted += 1
        seat = _Seat(self._clients)
        make = opening.make_handler
        if trusted:
            make = self._making_told(seat)
        else:
            seat.take(address)
        return Connection(self._reactor, make, tls=opening.tls, proxied=trusted, ended=seat.leave)

    def _making_told(self, seat: _Seat) -> Callable[[Connection], Handler]:
        """For a connection whose client is known when its PROXY header has come."""

        def make(connection: Connection) -> Handler:
            address = connection.origin.client
            if not self._admits(address):
                self._counters.refused += 1
                return _TurnedAway(connection, self._opening.busy)
            seat.take(address)
            return self._opening.make_handler(connection)

        return make

    def _is_full(self) -> bool:
        full = self._clients.open >= self._opening.admission.most
        if full:
            log.warning("a client is turned away: there are %d connections", self._clients.open)
        return full

    def _admits(self, address: str) -> bool:
        most = self._opening.admission.per_address
        if self._clients.from_address(address) < most:
            return True
        log.warning("%s turned away: it has %d connections", address, most)
        return False


class _TurnedAway:
    """The handler of a connection that is told no, and closed; its own core."""

    backlog = False

    def __init__(self, connection: Connection, text: bytes) -> None:
        self.core = self
        self._connection = connection
        self._text = text

    def begin(self) -> bytes:
        self._connection.close(self._text, "too many connections")
        return b""

    def receive(self, data: bytes, /) -> None:
        """It does not matter any more."""

    def next_event(self) -> None:
        return None

    def handle(self, event: object) -> None:
        """There is none."""

    def secured(self) -> None:
        """There is no TLS to begin."""

    def timed_out(self) -> None:
        """It is closing."""

    def lost(self, reason: str) -> None:
        """As was meant."""


class _Refusal:
    """A connection that is told no, and closed."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def makeConnection(self, transport: Any) -> None:
        # Inside TLS nobody could read it.
        transport.write(self._text)
        transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """It does not matter any more."""

    def connectionLost(self, reason: object) -> None:
        """As was meant."""


class MailListeners(Service):
    """All ports of one role; what is open counts together."""

    def __init__(self, reactor: Any, openings: Sequence[Opening]) -> None:
        self._reactor = reactor
        self._openings = openings
        self._ports: list[Any] = []
        self._clients = _Clients()
        self.counters = Counters()
        self.addresses: dict[str, Endpoint] = {}
        """By the listener's key: where it really is, once started."""
        self.places: list[tuple[str, Endpoint]] = []
        """The same in their order, by schemes."""

    @property
    def open(self) -> int:
        """Connections now."""
        return self._clients.open

    def startService(self) -> None:
        """Raises CannotListen; nothing stays open then."""
        super().startService()
        try:
            for opening in self._openings:
                self._open(opening)
        except CannotListen:
            self.stopService()
            raise

    def stopService(self) -> Deferred[Any]:
        """Accept nothing more."""
        super().stopService()
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _open(self, opening: Opening) -> None:
        factory = _Accepting(self._reactor, opening, self._clients, self.counters)
        try:
            port = TCPPort(opening.port, cast(Any, factory), BACKLOG, _numeric(opening), self._reactor)
            port.startListening()
        except CannotListenError as error:
            raise _refused(opening, getattr(error.socketError, "errno", 0) or 0) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotListen(opening.key, f"cannot listen at {_place(opening)}: {reason}") from None
        self._ports.append(port)
        endpoint = Endpoint(opening.host or "localhost", port.getHost().port)
        self.addresses[opening.key] = endpoint
        self.places.append((opening.scheme, endpoint))


def _refused(opening: Opening, number: int) -> CannotListen:
    fix = "stop what listens there, or choose another port"
    if number != errno.EADDRINUSE:
        fix = "listen at another address"
    return CannotListen(opening.key, f"cannot listen at {_place(opening)}: {os.strerror(number)}; {fix}")


def _place(opening: Opening) -> str:
    return str(Endpoint(opening.host or "*", opening.port))


def _numeric(opening: Opening) -> str:
    """Every address is IPv6's, which takes IPv4 too where the system has both."""
    if not opening.host:
        return "::" if socket.has_ipv6 and socket.has_dualstack_ipv6() else ""
    found = socket.getaddrinfo(opening.host, opening.port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])
