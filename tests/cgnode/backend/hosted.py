"""A small site and a backend's parts over it, for tests of the backend's services."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cgnode import accounts, domains, servers
from cgnode.backend.sessions.hosting import Hosting
from cgnode.lookup import Site
from cgnode.members import Endpoint, Member
from ldapserver.messages import Rehost
from ldapserver.testing import EphemeralDirectory

SECRET = b"the cluster's secret"
HOST, SIBLING = "be1", "be2"


def make_site(directory: EphemeralDirectory) -> Site:
    """Two backends, and example.com with alice, bob (on be1) and carol (on be2)."""
    site = Site(directory.local.core)
    for name in (HOST, SIBLING):
        servers.add_server(site, Member(name, ("backend",), {"lmtp": Endpoint("127.0.0.1", 24)}))
    domains.add_domain(site, "example.com")
    for name, host in (("alice", HOST), ("bob", HOST), ("carol", SIBLING)):
        accounts.add_account(site, f"{name}@example.com", host=host)
    return site


def rehost(directory: EphemeralDirectory, source: str, target: str) -> None:
    directory.local.bulk(directory.local.core.administrator, Rehost(source, target)).result(10)


class StillFollowing:
    """A directory that tests change, and tell of it by ``change``."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.away: str | None = None
        self._listeners: list[Callable[[], None]] = []

    def usable(self) -> str | None:
        return self.away

    def in_step(self) -> bool:
        return True

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(changed)
        return lambda: self._listeners.remove(changed)

    def status(self) -> Mapping[str, object]:
        return {}

    def change(self) -> None:
        for listener in list(self._listeners):
            listener()


def hosting(following: StillFollowing) -> Hosting:
    return Hosting(HOST, following, "example.com", frozenset({"be1.example"}))
