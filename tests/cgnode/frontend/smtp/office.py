"""A frontend's SMTP on loopback ports, with a site, accounts and a queue behind it, for
clients that block: the reactor runs in a thread of its own."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from attrs import evolve
from twisted.internet.defer import maybeDeferred
from twisted.python.threadpool import ThreadPool

from cgnode import accounts, domains, servers
from cgnode.config import Config, FrontendConfig
from cgnode.following import LocalFollowing
from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.bounce import Reporter
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.policy import Limits
from cgnode.frontend.smtp.counters import Counters
from cgnode.frontend.smtp.intake import MailIntake
from cgnode.frontend.smtp.terms import Kind
from cgnode.lookup import Site
from cgnode.members import Endpoint, Member
from cgnode.net.listeners import MailListeners, Opening
from cgnode.net.tls import public_context
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.background import background_reactor, run_in
from tests.cgnode.net.certificates import Authority

HOST = "mx.example.com"
PASSWORD = "wonderland"
NO_FREE_ROOM = Limits(free=0)

T = TypeVar("T")


def furnish(site: Site) -> None:
    """Two accounts, and what leads to them and elsewhere."""
    servers.add_server(site, Member("be1", ("backend",), {"lmtp": Endpoint("127.0.0.1", 24)}))
    domains.add_domain(site, "example.com")
    domains.alias_domain(site, "example.net", "example.com")
    accounts.add_account(site, "alice@example.com", password=PASSWORD.encode())
    accounts.add_account(site, "bob@example.com", password=b"builder", scram=True)
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    accounts.add_forwarder(site, "away@example.com", "alice@elsewhere.example")
    accounts.add_forwarder(site, "home@example.com", "alice@example.com")
    accounts.add_group(site, "all@example.com", ["alice@example.com", "carol@elsewhere.example"])


class Doubtful:
    """A following whose answers can be made unusable."""

    def __init__(self, following: LocalFollowing) -> None:
        self._following = following
        self.reason: str | None = None

    @property
    def site(self) -> Site:
        return self._following.site

    def usable(self) -> str | None:
        return self.reason

    def in_step(self) -> bool:
        return True

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        return self._following.subscribe(changed)

    def status(self) -> dict[str, object]:
        return {}


class Office:
    """``queue`` has what was accepted; ``ports`` are by scheme."""

    def __init__(
        self, folder: Path, directory: EphemeralDirectory, config: FrontendConfig, tls: bool, limits: Limits
    ) -> None:
        self.reactor: Any = background_reactor()
        self.folder = folder
        self.authority = Authority(folder)
        self.queue = MailQueue.open(folder / "queue", Reporter(HOST), limits=limits)
        self.arrivals = 0
        self.in_step = True
        self._config = config
        self.directory = directory
        self._pool = ThreadPool(1, 2)
        self._pool.start()
        self._context: Any = None
        if tls:
            self._context = public_context(Config(source="site.toml", tls=self.authority.issue(HOST)))
        self.call(self._start)
        self.ports = {key: endpoint.port for key, endpoint in self._listeners.addresses.items()}

    def _start(self) -> None:
        reactor = self.reactor
        self.following = Doubtful(LocalFollowing(reactor, self.directory.local))
        self.authenticator = Authenticator(
            reactor,
            self.following,
            "example.com",
            secret=b"s" * 32,
            pool=self._pool,
            delay=0.05,
            scram=True,
        )
        self.intake = MailIntake(
            reactor,
            self._config,
            HOST,
            self.queue,
            self.following,
            self.authenticator,
            self._context,
            default_domain="example.com",
            arrived=self._arrived,
            in_step=lambda: self.in_step,
        )
        makers = {"smtp": self.intake.smtp, "submission": self.intake.submission}
        if self._context is not None:
            makers["submissions"] = self.intake.submission
        openings = [
            Opening(
                key,
                "127.0.0.1",
                0,
                make,
                tls=self._context if key == "submissions" else None,
                busy=self.intake.busy,
            )
            for key, make in makers.items()
        ]
        self._listeners = MailListeners(reactor, openings)
        self._listeners.startService()

    def _arrived(self) -> None:
        self.arrivals += 1

    def call(self, function: Callable[[], T]) -> T:
        """In the reactor's thread."""
        found: list[T] = []

        def run() -> object:
            return maybeDeferred(function).addCallback(found.append)

        run_in(self.reactor, run)
        return found[0]

    def close(self) -> None:
        self.call(lambda: self._listeners.stopService().addCallback(lambda _: self.intake.stop()))
        self._pool.stop()
        self.queue.close()

    # --- what came of it ------------------------------------------------------------------

    def counters(self, kind: Kind) -> Counters:
        return self.call(lambda: evolve(self.intake.counters[kind]))

    def ids(self) -> list[str]:
        return [message["id"] for message in self.queue.list()["messages"]]

    def texts(self) -> list[bytes]:
        """Of all messages, in the order in which they came."""
        return [b"".join(self.queue.content(id).chunks()) for id in self.ids()]

    def text(self) -> bytes:
        (text,) = self.texts()
        return text

    # --- clients --------------------------------------------------------------------------

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.path))
        context.check_hostname = False  # it is called by its address
        return context

    def smtp(self, scheme: str = "smtp") -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.ports[scheme], "client.example.org", timeout=10)

    def submission(self, user: str = "alice@example.com", password: str = PASSWORD) -> smtplib.SMTP:
        client = self.smtp("submission")
        client.login(user, password)
        return client

    def plain(self, scheme: str = "smtp") -> Wire:
        return Wire(self.ports[scheme])


class Wire:
    """A socket, for what no client library says."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> str:
        """The next one, its lines joined; "" at the end."""
        lines: list[str] = []
        while line := self._file.readline().decode("ascii").rstrip("\r\n"):
            lines.append(line)
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    def say(self, text: str) -> str:
        self.send(text.encode() + b"\r\n")
        return self.reply()

    def hello(self) -> Wire:
        assert self.reply().startswith("220 ")
        assert self.say("EHLO client.example.org").startswith("250")
        return self

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def office(
    folder: Path,
    config: FrontendConfig | None = None,
    *,
    tls: bool = False,
    limits: Limits = NO_FREE_ROOM,
    furnished: Callable[[Site], None] = furnish,
) -> Iterator[Office]:
    with EphemeralDirectory() as directory:
        furnished(Site(directory.local.core))
        # Twisted's TLS sends by the global reactor's timers, and here that does not run.
        with patch("twisted.protocols.tls._get_default_clock", background_reactor):
            opened = Office(folder, directory, config or FrontendConfig(), tls, limits)
            try:
                yield opened
            finally:
                opened.close()


TEXT = "From: alice@example.com\r\nSubject: hello\r\n\r\nHello.\r\n"
