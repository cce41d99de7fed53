"""A frontend's IMAP and POP3 on free ports of the loopback, with a directory of its own and
backends made of the cores and of mail stores in memory.

All runs on the reactor of another thread, so that tests are plain calls of ``imaplib`` and
``poplib``.  Twisted's TLS takes the time from the global reactor: tests of TLS have that
one run the world, and themselves run in a thread.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import imaplib
import poplib
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, Protocol
from twisted.python.threadpool import ThreadPool

from cgnode import domains, servers
from cgnode.accounts import add_account
from cgnode.config.frontend import LoginLimits
from cgnode.destinations import Destinations
from cgnode.following import LocalFollowing
from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.login.login import Parts
from cgnode.frontend.login.service import openings
from cgnode.frontend.sessions import Sessions
from cgnode.joining import Joining, Limits
from cgnode.listeners import MailListener
from cgnode.lookup import Site
from cgnode.members import Endpoint, Member, Override
from cgnode.net.listeners import MailListeners
from cgnode.proto import sasl
from cgnode.proto.imap import codes
from cgnode.proto.imap import events as imap_events
from cgnode.proto.pop3 import events as pop3_events
from cgnode.proto.pop3.vocabulary import AUTH
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.background import background_reactor, run_in
from tests.cgnode.proto import imap_shell, pop3_shell

T = TypeVar("T")

SECRET = b"the cluster's secret"
PASSWORD = "wonderland"
PATIENCE = 10.0
LIMITS = LoginLimits(failure_delay=0.2)


class Backend:
    """A host: IMAP and POP3 by the cores, for whoever has the cluster's secret.

    ``mode``: "" serves; "silent" accepts and says nothing; "refuse" knows nobody; "busy"
    has the mailbox in use; "away" can't serve now; "mute" greets and says nothing more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode = ""
        self.logins: list[sasl.Credentials] = []
        self.told: list[tuple[tuple[Any, Any], ...]] = []
        self.store = imap_shell.Store()
        self.store.boxes["INBOX"].add(imap_shell.HELLO)
        self.tls: Any = None
        """A server's context, for STARTTLS."""
        self.open: list[_Serving] = []
        self.ports: dict[str, Any] = {}

    def listen(self, reactor: Any) -> None:
        for protocol in ("imap", "pop3"):
            factory = _Accepting(self, protocol)
            port = self.ports.get(protocol)
            number = port.number if isinstance(port, _Closed) else 0
            self.ports[protocol] = reactor.listenTCP(number, factory, interface="127.0.0.1")

    def close(self) -> Deferred[Any]:
        """As when its process is killed."""
        for serving in list(self.open):
            serving.transport.abortConnection()
        stopping = [port.stopListening() for port in self.ports.values() if not isinstance(port, _Closed)]
        self.ports = {name: _Closed(self.port(name)) for name in self.ports}
        return DeferredList(stopping)

    def port(self, protocol: str) -> int:
        port = self.ports[protocol]
        return port.number if isinstance(port, _Closed) else int(port.getHost().port)


class _Closed:
    def __init__(self, number: int) -> None:
        self.number = number


class _Accepting(Factory):
    noisy = False

    def __init__(self, backend: Backend, protocol: str) -> None:
        self._backend, self._protocol = backend, protocol

    def buildProtocol(self, addr: object) -> _Serving:
        return _Serving(self._backend, self._protocol)


class _Serving(Protocol):
    transport: Any

    def __init__(self, backend: Backend, protocol: str) -> None:
        self.backend = backend
        self.shell: _ImapShell | _Pop3Shell = (
            _ImapShell(backend) if protocol == "imap" else _Pop3Shell(backend)
        )

    def connectionMade(self) -> None:
        self.backend.open.append(self)
        if self.backend.mode != "silent":
            self.transport.write(self.shell.sent)

    def dataReceived(self, data: bytes) -> None:
        if self.backend.mode in ("silent", "mute"):
            return
        handshakes = self.shell.tls
        self.transport.write(self.shell.feed(data))
        if self.shell.tls > handshakes:
            self.transport.startTLS(self.backend.tls)
        if self.shell.closed is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:
        self.backend.open.remove(self)


class _ImapShell(imap_shell.Shell):
    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.store)
        self._backend = backend

    def answer(self, event: imap_events.Event) -> None:
        match event:
            case sasl.Credentials(user, password):
                self._backend.logins.append(event)
                if self._backend.mode == "refuse" or (user == "cluster" and password != SECRET):
                    self.sent += self.core.no("no such account", codes.AUTHORIZATION_FAILED)
                elif self._backend.mode == "away":
                    self.sent += self.core.no("not now", codes.UNAVAILABLE)
                else:
                    self.sent += self.core.accept()
            case imap_events.Identified(fields):
                self._backend.told.append(fields)
            case _:
                super().answer(event)


class _Pop3Shell(pop3_shell.Shell):
    def __init__(self, backend: Backend) -> None:
        super().__init__([imap_shell.HELLO], trusted=True)
        self._backend = backend

    def answer(self, event: pop3_events.Event) -> None:
        match event:
            case sasl.Credentials(user, password):
                self._backend.logins.append(event)
                if self._backend.mode == "busy":
                    self.sent += self.core.no("it is in use", "IN-USE")
                elif self._backend.mode == "refuse" or (user == "cluster" and password != SECRET):
                    self.sent += self.core.no("no such account", AUTH)
                else:
                    self.sent += self._accept()
            case pop3_events.Forwarded(fields):
                self._backend.told.append(fields)
            case _:
                super().answer(event)


class Health:
    """All are up, but for those in ``down``."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.failures: list[str] = []
        self.learns = True

    def is_up(self, host: str) -> bool:
        return host not in self.down

    def why(self, host: str) -> str:
        return "it was said to be"

    def failed(self, host: str, reason: str) -> None:
        self.failures.append(host)
        if self.learns:
            self.down.add(host)

    def succeeded(self, host: str) -> None:
        self.down.discard(host)


class World:
    """``be1`` and ``be2``, and alice on be1."""

    def __init__(
        self,
        *,
        limits: LoginLimits = LIMITS,
        step: float = 0.5,
        overrides: Callable[[World], tuple[Override, ...]] = lambda world: (),
        tls: Any = None,
        backend_tls: Callable[[str], Any] = lambda name: None,
        trusted: tuple[Any, ...] = (),
        proxies: tuple[Any, ...] = (),
        scram: bool = True,
        reactor: Any = None,
    ) -> None:
        self.reactor = reactor or background_reactor()
        self.limits = limits
        self.step = step
        self.tls = tls
        self._backend_tls = backend_tls
        self.trusted = trusted
        self.proxies = proxies
        self.scram = scram
        self.backends = {name: Backend(name) for name in ("be1", "be2")}
        self.directory = EphemeralDirectory()
        self.health = Health()
        self._overrides = overrides
        self.clients: list[Any] = []
        run_in(self.reactor, self._start)
        self._populate()

    def _start(self) -> None:
        for backend in self.backends.values():
            backend.listen(self.reactor)
        directory = self.directory.local
        self.following = LocalFollowing(self.reactor, directory, overrides=self._overrides(self))
        self.following.startService()
        self.pool = ThreadPool(0, 2, "passwords")
        self.pool.start()
        self.authenticator = Authenticator(
            self.reactor,
            self.following,
            "example.com",
            secret=SECRET,
            pool=self.pool,
            delay=self.limits.failure_delay,
            scram=self.scram,
        )
        destinations = Destinations(self.following, self.health, secret=SECRET, tls=self._backend_tls)
        self.joining = Joining(self.reactor, destinations, Limits(self.step, 5.0))
        most = self.limits.per_user_and_address
        self.sessions = Sessions(self.reactor, self.following, most=most, idle=self.limits.idle)
        self.sessions.startService()
        self.parts = Parts(
            self.reactor,
            self.authenticator,
            self.joining,
            self.sessions,
            self.limits,
            tls=self.tls,
            trusted=self.trusted,
        )
        schemes = ["imap", "pop3", *(["imaps", "pop3s"] if self.tls is not None else [])]
        asked = [MailListener(scheme, "127.0.0.1", 0, key=scheme) for scheme in schemes]
        self.listeners = MailListeners(self.reactor, list(openings(self.parts, asked, self.proxies)))
        self.listeners.startService()

    def _populate(self) -> None:
        for backend in self.backends.values():
            addresses = {name: Endpoint("127.0.0.1", backend.port(name)) for name in ("imap", "pop3")}
            servers.add_server(self.site, Member(backend.name, ("backend",), addresses))
        domains.add_domain(self.site, "example.com")
        add_account(self.site, "alice@example.com", host="be1", password=PASSWORD.encode(), scram=True)

    @property
    def site(self) -> Site:
        return Site(self.directory.local.core)

    # --- its end ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.close()
        run_in(self.reactor, self._stop)
        if error is None:
            # Nothing is left behind.
            self.wait(lambda: self.sessions.count() == 0 and self.listeners.open == 0)
            self.wait(lambda: not any(backend.open for backend in self.backends.values()))
        self.directory.close()

    def _stop(self) -> Deferred[Any]:
        self.sessions.stopService()
        self.following.stopService()
        stopping = [self.listeners.stopService(), *(backend.close() for backend in self.backends.values())]
        self.reactor.callInThread(self.pool.stop)
        return DeferredList(stopping)

    # --- doing things -----------------------------------------------------------------

    def run(self, function: Callable[[], T]) -> T:
        """In the reactor's thread."""
        found: list[T] = []
        run_in(self.reactor, lambda: found.append(function()))
        return found[0]

    def wait(self, true: Callable[[], bool]) -> None:
        stop = time.monotonic() + PATIENCE
        while not self.run(true):
            assert time.monotonic() < stop, "it has not come true"
            time.sleep(0.01)

    def port(self, scheme: str) -> int:
        return self.listeners.addresses[scheme].port

    def connect(self, scheme: str = "imap") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port(scheme)), PATIENCE)
        self.clients.append(client)
        return client

    def imap(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.port("imap"), PATIENCE)
        self.clients.append(client.sock)
        self.clients.append(client.file)
        return client

    def pop3(self) -> poplib.POP3:
        client = poplib.POP3("127.0.0.1", self.port("pop3"), PATIENCE)
        self.clients.append(client)
        return client
