"""A backend's IMAP and POP3 over real sockets, on a reactor in another thread, for clients that
block; the directory and the store are in this process."""

from __future__ import annotations

import base64
import imaplib
import poplib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from attrs import evolve
from twisted.python.threadpool import ThreadPool

from cgnode import accounts, domains, servers
from cgnode.backend.imap.idling import Times
from cgnode.backend.imap.service import ImapBackend
from cgnode.backend.mailboxes import Mailboxes
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.pop3.service import Pop3Backend
from cgnode.backend.sessions.entrance import Entrance
from cgnode.backend.sessions.hosting import Hosting
from cgnode.backend.sessions.login import Reception
from cgnode.destinations import Destinations
from cgnode.following import LocalFollowing
from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.sessions import Sessions
from cgnode.joining import Joining, Limits
from cgnode.members import Endpoint, Member
from cgnode.net.listeners import MailListeners, Opening
from ldapserver.messages import Rehost
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.background import background_reactor, run_in

SECRET = b"the cluster's own"
PASSWORD = "wonderland"
TIMEOUT = 10.0

_T = TypeVar("_T")


class Healthy:
    """``destinations.Health``."""

    def is_up(self, host: str) -> bool:
        return True

    def why(self, host: str) -> str:
        return ""

    def failed(self, host: str, reason: str) -> None:
        """As may be."""

    def succeeded(self, host: str) -> None:
        """Good."""


class Serving:
    """A host, which is a member of the directory's cluster once it listens."""

    def __init__(
        self, name: str, store: MaildirStore, directory: EphemeralDirectory, stack: ExitStack, reactor: Any
    ) -> None:
        self.store = store
        self.directory = directory
        self.reactor: Any = reactor
        self.following = following = LocalFollowing(self.reactor, directory.local)
        self.site = following.site
        pool = ThreadPool(0, 4, "mail")
        pool.start()
        stack.callback(pool.stop)
        hosting = Hosting(name, following, "example.com")
        authenticator = Authenticator(
            self.reactor, following, "example.com", secret=SECRET, pool=pool, delay=0.05
        )
        self.sessions = Sessions(self.reactor, following, most=0, idle=float("inf"))
        entrance = Entrance(self.reactor, hosting, SECRET, authenticator, delay=0.05, patience=0.3)
        mailboxes = Mailboxes(following, store, None, time.monotonic)
        destinations = Destinations(following, Healthy(), secret=SECRET, tls=lambda _: None)
        joining = Joining(self.reactor, destinations, Limits(1.0, 1.5))
        self.reception = Reception(entrance, mailboxes.open, self.sessions, joining)
        self.imap_backend = ImapBackend(self.reactor, pool, self.reception, time.time)
        self.pop3_backend = Pop3Backend(self.reactor, pool, self.reception)
        self._listeners = MailListeners(
            self.reactor,
            [
                Opening("imap", "127.0.0.1", 0, lambda connection: self.imap_backend.make(connection)),
                Opening("pop3", "127.0.0.1", 0, lambda connection: self.pop3_backend.make(connection)),
            ],
        )
        self.in_reactor(self._start)
        stack.callback(self.in_reactor, self._stop)
        servers.add_server(self.site, Member(name, ("backend",), self._listeners.addresses))

    def _start(self) -> None:
        self._listeners.startService()
        self.sessions.startService()

    def _stop(self) -> Any:
        self.sessions.stopService()
        stopped = self._listeners.stopService()
        self.following.stopService()
        return stopped

    def rehost(self, source: str, target: str) -> None:
        local = self.directory.local
        local.bulk(local.core.administrator, Rehost(source, target)).result(TIMEOUT)

    def port(self, protocol: str) -> int:
        return self._listeners.addresses[protocol].port

    def in_reactor(self, call: Callable[[], _T]) -> _T:
        found: list[_T] = []

        def run() -> Any:
            result = call()
            found.append(result)
            return result

        run_in(self.reactor, run)
        return found[0]

    def hurry(self, times: Times) -> None:
        self.imap_backend = evolve(self.imap_backend, times=times)

    # --- clients --------------------------------------------------------------------------

    def connect(self) -> imaplib.IMAP4:
        return imaplib.IMAP4("127.0.0.1", self.port("imap"), timeout=TIMEOUT)

    @contextmanager
    def imap(self, user: str = "alice", select: str = "") -> Iterator[imaplib.IMAP4]:
        """As a frontend logs in."""
        client = self.connect()
        try:
            as_node(client, f"{user}@example.com")
            if select:
                ok(client.select(select))
            yield client
        finally:
            # The server may have said good-bye before.
            client.shutdown()

    def connect_pop3(self) -> poplib.POP3:
        return poplib.POP3("127.0.0.1", self.port("pop3"), timeout=TIMEOUT)

    def pop3(self, user: str = "alice") -> poplib.POP3:
        client = self.connect_pop3()
        try:
            log_in_pop3(client, f"{user}@example.com")
        except poplib.error_proto:
            client.close()
            raise
        return client


def credential(account: str, secret: bytes = SECRET) -> bytes:
    return b"\0".join((account.encode(), b"cluster", secret))


def as_node(client: imaplib.IMAP4, account: str) -> None:
    client.authenticate("PLAIN", lambda _: credential(account))


def log_in_pop3(client: poplib.POP3, account: str) -> None:
    token = base64.b64encode(credential(account)).decode()
    client._shortcmd(f"AUTH PLAIN {token}")  # type: ignore[attr-defined]


def ok(answer: tuple[str, list[Any]]) -> list[Any]:
    kind, data = answer
    assert kind == "OK", (kind, data)
    return data


def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it has not come to be")


@contextmanager
def serving(
    store: MaildirStore, other: MaildirStore | None = None, reactor: Any = None
) -> Iterator[tuple[Serving, ...]]:
    """Host be1 with alice and bob, and be2 with carol, where nothing listens unless it has a
    store too."""
    reactor = reactor or background_reactor()
    with EphemeralDirectory() as directory, ExitStack() as stack:
        hosts = [Serving("be1", store, directory, stack, reactor)]
        site = hosts[0].site
        if other is None:
            servers.add_server(site, Member("be2", ("backend",), {"imap": Endpoint("127.0.0.1", 1)}))
        else:
            hosts.append(Serving("be2", other, directory, stack, reactor))
        domains.add_domain(site, "example.com")
        for name, host in (("alice", "be1"), ("bob", "be1"), ("carol", "be2")):
            accounts.add_account(site, f"{name}@example.com", password=PASSWORD.encode(), host=host)
        yield tuple(hosts)
