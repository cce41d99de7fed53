"""One Protocol for every dialogue: octets go to a core, its events to a handler.

What lives here: whose turn it is on a connection, back-pressure, TLS in mid-connection, the
PROXY header before everything, the idle limit, and how a connection ends.  What must not:
what any protocol says.

While the peer does not take what was sent, nothing more is read from it and no event is
asked for; so what waits for a connection is bounded by one event's answer.
"""

# mypy: disallow-untyped-calls=False
# Twisted's transports are not annotated.

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import evolve, frozen
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

from cgnode.proto.proxy_protocol import ProxyDecoder, ProxyError
from ldapserver.net.reactor import DelayedCall, Reactor
from ldapserver.net.trouble import tls_trouble

log = logging.getLogger(__name__)

HANDSHAKE: Final = 10.0
"""Seconds for a PROXY header and a TLS handshake, together."""
LINGER: Final = 10.0
"""Seconds that a peer has to take the last words."""
_BATCH: Final = 1 << 16


def new_session() -> str:
    """The id that a message or a log-in keeps on its way through the cluster."""
    return secrets.token_hex(6)


@frozen
class Origin:
    """A connection's ends, as seen from here or as a trusted balancer tells them;
    ``client`` and ``server`` are addresses without a port ("" on other sockets).
    ``secure``: inside TLS."""

    client: str
    client_port: int
    server: str
    server_port: int
    session: str
    secure: bool = False

    @property
    def loopback(self) -> bool:
        """Both ends are this machine's own, so that nobody can listen in."""
        return _is_loopback(self.client) and _is_loopback(self.server)


@frozen
class Released:
    """A socket without a dialogue: its transport, and what to call when it is closed."""

    transport: Any
    ended: Callable[[str], None]
    held: bool = False


def _nothing(reason: str) -> None:
    """Nobody wants to know."""


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "")


def _plain(address: str) -> str:
    """An IPv4 address that came to a socket of IPv6 is told as what it is."""
    return address.removeprefix("::ffff:") if "." in address else address


class Core(Protocol):
    """A dialogue, sans I/O."""

    def receive(self, data: bytes, /) -> None: ...
    def next_event(self) -> object | None: ...
    @property
    def backlog(self) -> bool:
        """Enough has been received for now."""


class Handler(Protocol):
    """Answers what one connection's core asks."""

    @property
    def core(self) -> Core: ...
    def begin(self) -> bytes:
        """The greeting; b"" where the other side begins."""

    def handle(self, event: Any) -> None:
        """An event that is not bytes.  The answer goes by ``Connection.answer``, now or later."""

    def secured(self) -> None:
        """The handshake that ``Connection.start_tls`` began is done."""

    def timed_out(self) -> None:
        """Nothing came for as long as ``Connection.idle`` allows: say good-bye and close."""

    def lost(self, reason: str) -> None:
        """The connection is gone, whoever ended it; the last call, and there is just one."""


@implementer(IHandshakeListener, IPushProducer)
class Connection(TwistedProtocol):
    """A socket with a dialogue on it.

    ``make`` gives the handler once the origin is known: behind the PROXY header and, on a
    listener with TLS from the start (``tls``), behind the handshake.
    """

    handler: Handler | None = None
    _transport: Any

    def __init__(
        self,
        reactor: Reactor,
        make: Callable[[Connection], Handler],
        *,
        tls: Any = None,
        proxied: bool = False,
        session: str = "",
        begun: Callable[[Connection], None] | None = None,
        ended: Callable[[str], None] | None = None,
    ) -> None:
        """``begun`` is told when the dialogue may begin, ``ended`` (with the reason) when
        the socket is closed, whatever has become of it."""
        self._reactor = reactor
        self._make = make
        self._tls = tls
        self._proxy = ProxyDecoder() if proxied else None
        self._session = session
        self._begun = begun
        self._ended = ended
        self._out: list[bytes] = []
        self._size = 0
        self._running = self._closing = self._blocked = self._held = self._handshaking = False
        self._reason = ""
        self._origin: Origin | None = None
        self._limit: float | None = None
        self._last = 0.0
        self._timer: DelayedCall | None = None
        self._due = 0.0

    # --- for handlers -----------------------------------------------------------------

    @property
    def origin(self) -> Origin:
        """Where it was accepted it is known for good; where it was dialled, which few ask for,
        it is looked up when it is asked for, as long as the socket is open."""
        if self._origin is None:
            self._origin = self._located()
        return self._origin

    @property
    def open(self) -> bool:
        """Whether anything can still be said here."""
        return self.handler is not None and not self._closing

    @property
    def handle(self) -> Any:
        """The TLS connection (pyOpenSSL's), or the socket."""
        return self._transport.getHandle()

    def answer(self, data: bytes = b"") -> None:
        """Send ``data``, and go on with what the core has waiting behind it."""
        if not self.open:
            return
        if data:
            self._put(data)
        self._run()

    def start_tls(self, context: Any, answer: bytes = b"") -> None:
        """Send ``answer``, then begin the handshake; ``Handler.secured`` tells when it is
        done.  What came in the clear behind the request never reaches the dialogue."""
        self._put(answer)
        self._flush()
        self._handshaking = True
        self._arm(HANDSHAKE)
        self._transport.startTLS(context)

    def idle(self, seconds: float | None) -> None:
        """How long the peer may be silent, from now on; None: for ever."""
        self._limit = seconds
        if not (self._handshaking or self._closing):
            self._last = self._reactor.seconds()
            # A timer that ends before that looks at the limit then.
            if seconds is None or self._timer is None or self._due > self._last + seconds:
                self._arm(seconds)

    def close(self, last_words: bytes = b"", reason: str = "") -> None:
        """Send what is left, and close; a peer that does not take it is cut off."""
        if self._closing or self.handler is None:
            return
        self._put(last_words)
        self._flush()
        self._closing = True
        self._reason = self._reason or reason
        self._hold(False)
        self._transport.unregisterProducer()
        self._transport.loseConnection()
        self._arm(LINGER)

    def abort(self, reason: str = "") -> None:
        """End it at once."""
        self._reason = self._reason or reason
        self._closing = True
        self._transport.abortConnection()

    def release(self) -> Released:
        """Give the socket away, as it is: reading, unless it was held.  Neither the core nor
        the handler hears of it again, so whoever takes it does so in the same turn."""
        self._flush()
        self._disarm()
        self._transport.unregisterProducer()
        self.handler = None
        self._closing = True
        return Released(self._transport, self._take_ended(), self._held)

    def _take_ended(self) -> Callable[[str], None]:
        ended, self._ended = self._ended, None
        return _nothing if ended is None else ended

    # --- Twisted's --------------------------------------------------------------------

    def connectionMade(self) -> None:
        self._transport = self.transport
        self._transport.setTcpNoDelay(True)
        self._transport.setTcpKeepAlive(True)
        if self._proxy is not None or self._tls is not None:
            self._arm(HANDSHAKE)
        if self._proxy is None:
            if not self._session:
                self._origin = self._located()
            self._start()

    def dataReceived(self, data: bytes) -> None:
        if self.handler is None:
            if self._proxy is not None:
                self._read_proxy(self._proxy, data)
            return
        if self._closing or self._handshaking:
            return
        self._last = self._reactor.seconds()
        self.handler.core.receive(data)
        self._run()

    def handshakeCompleted(self) -> None:
        self._handshaking = False
        if self.handler is None:
            self._origin = evolve(self.origin, secure=True)
            self._begin()
            return
        if self._closing:
            return
        self._origin = evolve(self.origin, secure=True)
        self.idle(self._limit)
        if self._limit is None:
            self._disarm()
        self.handler.secured()
        self._run()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._disarm()
        handler, self.handler = self.handler, None
        self._closing = True
        why = self._reason or _why(reason)
        if handler is not None:
            handler.lost(why)
        self._take_ended()(why)

    def pauseProducing(self) -> None:
        self._blocked = True
        self._hold(True)

    def resumeProducing(self) -> None:
        self._blocked = False
        if not self._running:
            self._run()

    def stopProducing(self) -> None:
        self._blocked = True

    # --- the beginning ----------------------------------------------------------------

    def _read_proxy(self, decoder: ProxyDecoder, data: bytes) -> None:
        try:
            header = decoder.feed(data)
        except ProxyError as error:
            log.info("%s sent no PROXY header: %s", self._transport.getPeer().host, error)
            self.abort(str(error))
            return
        if header is None:
            return
        self._proxy = None
        if header.source is not None and header.destination is not None:
            self._origin = evolve(
                self.origin,
                client=str(header.source.address),
                client_port=header.source.port,
                server=str(header.destination.address),
                server_port=header.destination.port,
            )
        self._start()
        if decoder.rest:
            # To TLS, where that has begun.
            self._transport.protocol.dataReceived(decoder.rest)

    def _located(self) -> Origin:
        peer, host = self._transport.getPeer(), self._transport.getHost()
        secure = bool(ISSLTransport.providedBy(self._transport))
        session = self._session or new_session()
        return Origin(_plain(peer.host), peer.port, _plain(host.host), host.port, session, secure)

    def _start(self) -> None:
        """On with the handshake, or with the dialogue."""
        if self._tls is None:
            self._begin()
        else:
            self._handshaking = True
            self._transport.startTLS(self._tls)

    def _begin(self) -> None:
        self._disarm()
        self._transport.registerProducer(self, True)
        self.handler = self._make(self)
        if self._begun is not None:
            self._begun(self)
            self._begun = None
        greeting = self.handler.begin()
        if greeting:
            self._put(greeting)
        self._run()

    # --- the dialogue -----------------------------------------------------------------

    def _run(self) -> None:
        """Events, as long as there are some and the peer takes what is said."""
        if self._running or not self.open:
            return
        self._running = True
        try:
            while self.handler is not None and not (self._closing or self._blocked or self._handshaking):
                event = self.handler.core.next_event()
                if event is None:
                    break
                if type(event) is bytes:
                    self._put(event)
                else:
                    self.handler.handle(event)
        except Exception:
            log.exception("%s internal error; the connection is ended", self.origin.session)
            self.abort("internal error")
            return
        finally:
            self._running = False
        self._flush()
        if self.handler is not None and not self._closing:
            self._hold(self._blocked or self.handler.core.backlog)

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        self._size += len(data)
        if self._size > _BATCH or not self._running:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            out, self._out, self._size = self._out, [], 0
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _hold(self, held: bool) -> None:
        """Read nothing, or read again."""
        if held is not self._held:
            self._held = held
            if held:
                self._transport.pauseProducing()
            else:
                self._transport.resumeProducing()

    # --- time -------------------------------------------------------------------------

    def _arm(self, seconds: float | None) -> None:
        self._disarm()
        if seconds is not None:
            self._due = self._reactor.seconds() + seconds
            self._timer = self._reactor.callLater(seconds, self._expired)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self._closing or self._handshaking or self.handler is None:
            self.abort("the peer is too slow")
            return
        if self._limit is None:
            return
        left = self._last + self._limit - self._reactor.seconds()
        if left > 0.001:
            self._arm(left)
        else:
            self._reason = "timed out"
            self.handler.timed_out()


def _why(reason: Failure | None) -> str:
    from twisted.internet.error import ConnectionDone, ConnectionLost

    if reason is None or reason.check(ConnectionDone):
        return "closed by the peer"
    text = reason.getErrorMessage()
    return text if reason.check(ConnectionLost) else tls_trouble(reason.value) or text
