"""A site to deliver in: a directory, hosts, a queue and the service over them."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.names.error import DNSNameError

from cgnode.config import FrontendConfig
from cgnode.following import LocalFollowing
from cgnode.frontend.delivery.service import Delivery
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.policy import Policy
from cgnode.members import Endpoint
from ldapserver.testing.source import Source
from ldapserver.testing.trial import DirectoryTestCase
from tests.cgnode.frontend import world
from tests.cgnode.frontend.delivery.hosts import SECRET, Host
from tests.cgnode.frontend.world import REPORTER, SMALL

reactor: Any = global_reactor

SITE = """\
dn: cn=servers
objectClass: cgnodeServers
cn: servers

dn: cn=example.com
objectClass: CommuniGateDomain
cn: example.com

"""


def sleep(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        await sleep(0.01)


class FakeHealth:
    def __init__(self) -> None:
        self.down: dict[str, str] = {}
        self.reports: list[tuple[str, str]] = []
        self._told: list[Callable[[str, bool], None]] = []

    def is_up(self, host: str) -> bool:
        return host not in self.down

    def why(self, host: str) -> str:
        return self.down.get(host, "")

    def failed(self, host: str, reason: str) -> None:
        self.reports.append((host, reason))

    def succeeded(self, host: str) -> None:
        self.reports.append((host, ""))

    def subscribe(self, changed: Callable[[str, bool], None]) -> Callable[[], None]:
        self._told.append(changed)
        return lambda: self._told.remove(changed)

    def say(self, host: str, up: bool) -> None:
        if up:
            del self.down[host]
        else:
            self.down[host] = "it said nothing"
        for told in self._told:
            told(host, up)


class FakeFollowing(LocalFollowing):
    away: str | None = None
    heard_of = True

    def usable(self) -> str | None:
        return self.away

    def in_step(self) -> bool:
        return self.heard_of


class FakeResolver:
    """``mx``: (preference, name) by domain; ``a``: addresses by name.  A name in neither does
    not exist; an exception is raised."""

    def __init__(self) -> None:
        self.mx: dict[str, list[tuple[int, str]] | Exception] = {}
        self.a: dict[str, list[str]] = {}
        self.asked: list[str] = []

    def lookupMailExchange(self, name: str, timeout: object = None) -> Deferred[Any]:
        self.asked.append(name)
        found = self.mx.get(name)
        answer: Deferred[Any] = Deferred()
        if isinstance(found, Exception) or (found is None and name not in self.a):
            answer.errback(found if isinstance(found, Exception) else DNSNameError(None))
        else:
            records = [dns.Record_MX(preference, exchanger) for preference, exchanger in found or []]
            answer.callback(_section(name, dns.MX, records))
        return answer

    def lookupAddress(self, name: str, timeout: object = None) -> Deferred[Any]:
        records = [dns.Record_A(address) for address in self.a.get(name, [])]
        answer: Deferred[Any] = Deferred()
        answer.callback(_section(name, dns.A, records))
        return answer

    def lookupIPV6Address(self, name: str, timeout: object = None) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        answer.callback(([], [], []))
        return answer


def _section(name: str, kind: int, records: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    return [dns.RRHeader(name, kind, payload=record) for record in records], [], []


class SiteCase(DirectoryTestCase):
    """``be1``, ``be2`` ... are hosts of the site once ``add_host`` has been called."""

    sources: ClassVar[tuple[Source, ...]] = (SITE,)
    policy = Policy(minimum_delay=30.0)
    config = FrontendConfig()

    def setUp(self) -> None:
        super().setUp()
        self.following = FakeFollowing(reactor, self.directory.local)
        self.following.startService()
        self.addCleanup(self.following.stopService)
        self.health = FakeHealth()
        self.resolver = FakeResolver()
        self.hosts: dict[str, Host] = {}
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.queue = MailQueue.open(self.folder / "queue", REPORTER, policy=self.policy, limits=SMALL)
        self.addCleanup(lambda: self.queue.close())
        self.addCleanup(self.check)
        self.mx_port = 25
        self.delivery: Delivery | None = None
        self.tls: Callable[[str], Any] = lambda host: None
        self.clear_text = False

    def start(self, config: FrontendConfig | None = None) -> Delivery:
        delivery = Delivery(
            reactor,
            self.queue,
            self.following,
            self.health,
            config or self.config,
            secret=SECRET,
            tls=self.tls,
            clear_text=self.clear_text,
            hostname="fe1.example",
            resolver=self.resolver,
            default_domain="example.com",
            random=Random(1),
            mx_port=self.mx_port,
        )
        delivery.startService()
        self.delivery = delivery
        self.addCleanup(lambda: delivery.stopService() if delivery.running else None)
        return delivery

    def check(self) -> None:
        if self.queue.failure is None:
            world.check(self.queue)

    # --- what there is -----------------------------------------------------------------

    def add_host(self, name: str, host: Host | None = None, far: bool = False) -> Host:
        """``far``: by an address that does not look like this machine's."""
        host = host or Host()
        place = host.start()
        if far:
            place = Endpoint("::ffff:127.0.0.1", place.port)
        self.addCleanup(host.stop)
        attributes = {
            "objectClass": "cgnodeServer",
            "cn": name,
            "serverRole": "backend",
            "serverState": "active",
            "serverAddress": f"lmtp://{place}",
        }
        self.directory.add(f"cn={name},cn=servers", attributes)
        self.hosts[name] = host
        return host

    def add_account(self, name: str, host: str | None) -> None:
        attributes = {"objectClass": "CommuniGateAccount", "uid": name, "cn": name, "sn": name}
        if host is not None:
            attributes["hostServer"] = host
        self.directory.add(f"uid={name},cn=example.com", attributes)

    def move(self, name: str, host: str) -> None:
        self.directory.modify(f"uid={name},cn=example.com", replace={"hostServer": host})

    # --- mail --------------------------------------------------------------------------

    def send(self, *to: Any, **fields: Any) -> str:
        addresses = [f"{one}@example.com" if isinstance(one, str) and "@" not in one else one for one in to]
        return world.send(self.queue, *addresses, **fields)

    async def emptied(self, seconds: float = 10.0) -> None:
        await until(lambda: not self.queue.counts()["messages"], seconds)


def smart_host(host: Host) -> FrontendConfig:
    config = FrontendConfig()
    return evolve(config, smtp=evolve(config.smtp, smart_host=host.start()))
