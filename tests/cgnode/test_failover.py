"""Failover and restore: marked and moved in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cgnode import accounts, domains, servers
from cgnode.editing import Refused
from cgnode.failover import FailedOver, Restored, fail_over, restore
from cgnode.lookup import Site
from cgnode.members import Member, Override, State
from cgnode.names import BadName
from ldapserver.messages import Restore, Selection
from ldapserver.testing import EphemeralDirectory

BACKEND = ("backend",)
HOSTS = {"a@one.example": "be3", "b@one.example": "be3", "c@two.example": "be3", "d@two.example": "be1"}


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory() as directory:
        yield directory


@pytest.fixture
def site(directory: EphemeralDirectory) -> Site:
    site = Site(directory.local.core)
    for name in ("be1", "be3", "be5"):
        servers.add_server(site, Member(name, BACKEND))
    servers.add_server(site, Member("fe1", ("frontend",)))
    for domain in ("one.example", "two.example"):
        domains.add_domain(site, domain)
    domains.alias_domain(site, "uno.example", "one.example")
    for address, host in HOSTS.items():
        accounts.add_account(site, address, host=host)
    return site


class Cluster:
    """Commands, as short as tests want them."""

    def __init__(self, site: Site, directory: EphemeralDirectory) -> None:
        self.site = site
        self.directory = directory

    def fail_over(self, host: str, sibling: str, domain: str | None = None, **more: Any) -> FailedOver:
        return fail_over(self.site, self.directory.local, host, sibling, domain, **more).result()

    def restore(self, host: str, base: str = "", *, dry_run: bool = False) -> Restored:
        request = Restore(host, Selection(base), dry_run)
        return restore(self.site, self.directory.local, request).result()

    def hosts(self) -> dict[str, str | None]:
        return {str(each.address): each.host for each in accounts.list_accounts(self.site)}

    def state(self, name: str) -> State:
        return servers.list_servers(self.site).by_name[name].state


@pytest.fixture
def cluster(site: Site, directory: EphemeralDirectory) -> Cluster:
    return Cluster(site, directory)


def test_failover_and_back(cluster: Cluster) -> None:
    done = cluster.fail_over("BE3", "be5")
    assert (done.host, done.sibling, done.moved, done.state, done.marked) == (
        *("be3", "be5", 3),
        *(State.DOWN, True),
    )
    assert done.csn
    assert cluster.hosts() == {address: host.replace("3", "5") for address, host in HOSTS.items()}
    assert cluster.state("be3") is State.DOWN
    back = cluster.restore("be3")
    assert (back.moved, back.state, back.marked) == (3, State.ACTIVE, True)
    assert cluster.hosts() == HOSTS
    assert cluster.state("be3") is State.ACTIVE


def test_again_is_harmless(cluster: Cluster) -> None:
    cluster.fail_over("be3", "be5")
    for sibling in ("be5", "be1"):
        again = cluster.fail_over("be3", sibling)
        assert (again.moved, again.state, again.marked, again.csn) == (0, State.DOWN, False, "")
    cluster.restore("be3")
    assert cluster.restore("be3") == Restored("be3", 0, State.ACTIVE, False)
    assert cluster.hosts() == HOSTS


def test_a_second_failure(cluster: Cluster) -> None:
    """What be5 covered goes on to be1, and back to where it was at first."""
    cluster.fail_over("be3", "be5")
    assert cluster.fail_over("be5", "be1").moved == 3
    assert cluster.hosts() == dict.fromkeys(HOSTS, "be1")
    assert cluster.restore("be3").moved == 3
    assert cluster.hosts() == HOSTS
    # An empty one comes back, too.
    assert cluster.restore("be5") == Restored("be5", 0, State.ACTIVE, True)


def test_a_domain_at_a_time(cluster: Cluster) -> None:
    first = cluster.fail_over("be3", "be5", "UNO.example")
    assert (first.domain, first.moved, first.state, first.marked) == ("one.example", 2, State.ACTIVE, False)
    assert cluster.state("be3") is State.ACTIVE
    last = cluster.fail_over("be3", "be1", "two.example")
    assert (last.moved, last.state, last.marked) == (1, State.DOWN, True)
    assert cluster.state("be3") is State.DOWN
    back = cluster.restore("be3", "cn=one.example")
    assert (back.moved, back.state, back.marked) == (2, State.ACTIVE, True)
    assert cluster.hosts()["c@two.example"] == "be1"


def test_a_draining_server(cluster: Cluster) -> None:
    """It may take over; and after a restore it drains on."""
    servers.set_state(cluster.site, "be5", State.DRAINING)
    assert cluster.fail_over("be3", "be5").moved == 3
    cluster.restore("be3")
    servers.set_state(cluster.site, "be3", State.DRAINING)
    assert cluster.restore("be3") == Restored("be3", 0, State.DRAINING, False)


def test_trying(cluster: Cluster) -> None:
    tried = cluster.fail_over("be3", "be5", dry_run=True)
    assert (tried.moved, tried.state, tried.marked) == (3, State.DOWN, True)
    assert (cluster.hosts(), cluster.state("be3")) == (HOSTS, State.ACTIVE)
    cluster.fail_over("be3", "be5")
    assert cluster.restore("be3", dry_run=True).moved == 3
    assert cluster.state("be3") is State.DOWN


@pytest.mark.parametrize(
    ("host", "sibling", "domain", "reason"),
    [
        ("be3", "BE3", None, "be3 can't cover for itself; --to names another server"),
        ("be3", "be4", None, "there is no server be4; known are: be1, be3, be5, fe1"),
        ("be4", "be3", None, "there is no server be4; known are: be1, be3, be5, fe1"),
        ("be3", "fe1", None, "fe1 is no backend"),
        ("be3", "be1", None, "be1 is down; cgctl server up be1 says that it is not"),
        ("be3", "be5", "x.example", "there is no domain x.example; cgctl domain add x.example makes it"),
    ],
)
def test_refused(cluster: Cluster, host: str, sibling: str, domain: str | None, reason: str) -> None:
    servers.set_state(cluster.site, "be1", State.DOWN)
    before = cluster.directory.dump()
    with pytest.raises(Refused) as caught:
        cluster.fail_over(host, sibling, domain)
    assert str(caught.value) == reason
    with pytest.raises(BadName):
        cluster.fail_over("be3", "b e")
    assert cluster.directory.dump() == before


def test_what_a_configuration_says(cluster: Cluster) -> None:
    cluster.site = Site(
        cluster.site.core,
        overrides=(Override("be5", state=State.DOWN), Override("be7"), Override("be1", state=State.ACTIVE)),
    )
    servers.set_state(cluster.site, "be1", State.DOWN)
    with pytest.raises(Refused, match="be5 is down"):
        cluster.fail_over("be3", "be5")
    with pytest.raises(Refused, match="be7 is in the configuration only"):
        cluster.fail_over("be7", "be1")
    assert cluster.fail_over("be3", "be1").moved == 3
    assert cluster.fail_over("be1", "be7").moved == 4


def test_a_host_that_is_no_server(cluster: Cluster) -> None:
    """As in a directory of before there was a table of servers."""
    assert cluster.restore("Old Host") == Restored("old host", 0, None, False)


def test_a_site_below_an_entry(directory: EphemeralDirectory) -> None:
    directory.add("o=site", {"objectClass": "organization", "o": "site"})
    cluster = Cluster(Site(directory.local.core, "o=site"), directory)
    for name in ("be3", "be5"):
        servers.add_server(cluster.site, Member(name, BACKEND))
    domains.add_domain(cluster.site, "one.example")
    accounts.add_account(cluster.site, "a@one.example", host="be3")
    assert cluster.fail_over("be3", "be5", "one.example").state is State.DOWN
    assert cluster.restore("be3", "o=site").moved == 1
    directory.assert_value("cn=be3,cn=servers,o=site", "serverState", "active")
