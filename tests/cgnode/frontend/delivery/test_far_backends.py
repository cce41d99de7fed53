"""Backends on other machines: TLS by the cluster's authority, or no word of its secret."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket

from attrs import evolve
from twisted.trial.unittest import SkipTest

from cgnode.net.tls import cluster_client, cluster_server_context
from tests.cgnode.frontend import world
from tests.cgnode.frontend.delivery.hosts import LMTP, Host
from tests.cgnode.frontend.delivery.site import SiteCase, until
from tests.cgnode.net.certificates import Authority, cluster_config

SECURE = evolve(LMTP, start_tls=True, clear_auth=False, tls_required=True)


class FarTest(SiteCase):
    def setUp(self) -> None:
        if not socket.has_ipv6:
            raise SkipTest("no IPv6 here")
        super().setUp()
        self.authority = Authority(self.folder)
        config = cluster_config(self.authority.path, self.authority.issue("fe1"))
        self.tls = lambda host: cluster_client(config, host)
        self.add_account("alice", "be1")

    def add_far(
        self, host: Host, name: str = "be1", authority: Authority | None = None, far: bool = True
    ) -> Host:
        """One that shows a certificate of this name."""
        authority = authority or self.authority
        host.tls = cluster_server_context(
            cluster_config(self.authority.path, authority.issue(name, "theirs"))
        )
        return self.add_host("be1", host, far=far)

    async def refused(self, host: Host) -> str:
        self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        assert not host.letters
        assert not host.logins
        return str(self.queue.show(message)["to"][0]["reason"])

    async def test_with_tls(self) -> None:
        host = self.add_far(Host(service=SECURE))
        self.start()
        self.send("alice")
        await host.has(1)
        assert (host.secure, host.logins) == (1, 1)

    async def test_with_tls_on_this_machine_too(self) -> None:
        host = self.add_far(Host(service=SECURE), far=False)
        self.start()
        self.send("alice")
        await host.has(1)
        assert (host.secure, host.logins) == (1, 1)

    async def test_who_offers_none_gets_nothing(self) -> None:
        assert "STARTTLS" in await self.refused(self.add_far(Host()))

    async def test_who_is_another_gets_nothing(self) -> None:
        await self.refused(self.add_far(Host(service=SECURE), "be2"))

    async def test_who_has_another_authority_gets_nothing(self) -> None:
        await self.refused(self.add_far(Host(service=SECURE), authority=Authority(self.folder, "other")))

    async def test_without_a_certificate_of_ours(self) -> None:
        self.tls = lambda host: None
        assert "certificate" in await self.refused(self.add_far(Host(service=SECURE)))

    async def test_in_the_clear_where_that_is_allowed(self) -> None:
        self.tls = lambda host: None
        self.clear_text = True
        host = self.add_far(Host())
        self.start()
        self.send("alice")
        await host.has(1)
        assert host.secure == 0
