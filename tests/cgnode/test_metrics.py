from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cgnode import accounts, domains, servers
from cgnode.backend.lmtp.service import Counters as LmtpCounters
from cgnode.backend.sessions.login import Counters as BackendLoginCounters
from cgnode.destinations import Why
from cgnode.frontend.authentication import Counters as AuthenticationCounters
from cgnode.frontend.delivery.counters import Counters as DeliveryCounters
from cgnode.frontend.login.login import Counters as LoginCounters
from cgnode.frontend.sessions import Counters as SessionCounters
from cgnode.frontend.smtp.counters import Counters as SmtpCounters
from cgnode.health import HostStatus
from cgnode.joining import Counters as JoiningCounters
from cgnode.lookup import Site
from cgnode.members import Member, State
from cgnode.metrics import Metrics, Parts, PortNumbers, SessionNumbers
from cgnode.net.listeners import Counters as ListenerCounters
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.hosts import Followed

Samples = dict[tuple[str, ...], float]


def samples(parts: Parts) -> Samples:
    """By name and labels' values (sorted), as a reader of Prometheus' takes them."""
    found: Samples = {}
    for family in text_string_to_metric_families(Metrics(parts).render()):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    return found


def own(found: Samples) -> Samples:
    return {key: value for key, value in found.items() if not key[0].startswith("process_")}


@pytest.fixture
def site() -> Iterator[Site]:
    with EphemeralDirectory() as directory:
        site = Site(directory.local.core)
        for name in ("be3", "be5"):
            servers.add_server(site, Member(name, ("backend",)))
        servers.set_state(site, "be5", State.DRAINING)
        domains.add_domain(site, "example.com")
        for number in range(3):
            accounts.add_account(site, f"u{number}@example.com", host="be3")
        yield site


def test_a_node_without_anything() -> None:
    found = samples(Parts("node1", ("directory",)))
    [(key, value)] = own(found).items()
    assert key[0] == "cgnode_build_info"
    assert "node1" in key
    assert value == 1
    assert found["process_resident_memory_bytes",] > 0


def test_the_site(site: Site) -> None:
    found = samples(Parts("node1", ("frontend",), following=Followed(site)))
    assert found["cgnode_accounts", "be3"] == 3
    assert found["cgnode_servers", "active", "backend"] == 1
    assert found["cgnode_servers", "backend", "draining"] == 1
    assert found["cgnode_directory_usable",] == 1
    assert found["cgnode_directory_entries",] == 7


def test_hosts() -> None:
    hosts = [
        HostStatus("be3", False, "refused", State.ACTIVE, 12.5),
        HostStatus("be5", True, "", State.ACTIVE, 100.0),
    ]
    found = samples(Parts("node1", ("frontend",), hosts=lambda: hosts))
    assert (found["cgnode_host_up", "be3"], found["cgnode_host_up", "be5"]) == (0, 1)
    assert found["cgnode_host_state_seconds", "be3"] == 12.5


def test_the_queue() -> None:
    lane = {"active": 1, "ready": 2, "delayed": 3}
    counts = {
        "messages": 20,
        "routing": 2,
        "held": 1,
        "destinations": [
            {"destination": "backend:be3", **lane},
            {"destination": "remote:example.net", **lane},
            {"destination": "remote:example.org", **lane},
            {"destination": "nowhere", **lane},
        ],
    }
    found = samples(Parts("node1", ("frontend",), queue=lambda: counts))
    assert found["cgnode_queue_messages",] == 20
    assert found["cgnode_queue_held_messages",] == 1
    assert found["cgnode_queue_destination_messages", "backend:be3", "delayed"] == 3
    assert found["cgnode_queue_destination_messages", "ready", "remote"] == 4
    assert found["cgnode_queue_destination_messages", "active", "nowhere"] == 1


def full() -> Parts:
    """With every part that a node can have but what follows the directory."""
    joining = JoiningCounters(reached=5)
    joining.failed[Why.TIMED_OUT] = 2
    return Parts(
        "node1",
        ("directory", "backend", "frontend"),
        ports={"frontend": PortNumbers(ListenerCounters(10, 1), lambda: 4)},
        smtp={"smtp": SmtpCounters(messages=7, octets=700), "submission": SmtpCounters(login_failures=3)},
        delivery=DeliveryCounters(delivered=6, deferred=2, failed=1, reports=1),
        authentication=AuthenticationCounters(granted=9, denied=1),
        logins={"imap": LoginCounters(8, {"auth_failed": 2}, 1), "pop3": LoginCounters(1)},
        sessions=SessionNumbers(SessionCounters(begun=9, kicked=1), lambda: {"be3": 4}),
        joining=joining,
        lmtp=LmtpCounters(delivered=6, messages=5),
        backend_logins={"imap": BackendLoginCounters(served=5)},
        backend_sessions={"imap": lambda: 4},
        ldap=lambda: 3,
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("cgnode_connections", "frontend"), 4),
        (("cgnode_connections_accepted_total", "frontend"), 10),
        (("cgnode_smtp_messages_accepted_total", "smtp"), 7),
        (("cgnode_smtp_accepted_bytes_total", "smtp"), 700),
        (("cgnode_smtp_logins_total", "submission", "failed"), 3),
        (("cgnode_delivery_recipients_total", "delivered"), 6),
        (("cgnode_delivery_recipients_total", "deferred"), 2),
        (("cgnode_bounces_total",), 1),
        (("cgnode_authentications_total", "denied"), 1),
        (("cgnode_logins_total", "imap", "ok"), 8),
        (("cgnode_logins_total", "imap", "auth_failed"), 2),
        (("cgnode_logins_total", "pop3", "ok"), 1),
        (("cgnode_sessions", "be3"), 4),
        (("cgnode_sessions_ended_total", "kicked"), 1),
        (("cgnode_proxy_logins_total", "proxy_dest_timed_out"), 2),
        (("cgnode_lmtp_recipients_total", "delivered"), 6),
        (("cgnode_backend_logins_total", "imap", "served"), 5),
        (("cgnode_backend_sessions", "imap"), 4),
        (("cgnode_ldap_connections",), 3),
    ],
)
def test_every_part(key: tuple[str, ...], value: float) -> None:
    assert samples(full())[key[0], *sorted(key[1:])] == value


def test_names_are_as_usual() -> None:
    text = Metrics(full()).render()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert len(types) == len(re.findall(r"^# TYPE ", text, re.MULTILINE))
    for name, kind in types.items():
        assert re.fullmatch(r"(cgnode|process)_[a-z0-9_]+", name)
        assert (kind == "counter") is name.endswith("_total")


def test_what_is_read_is_of_now() -> None:
    counters = LmtpCounters()
    metrics = Metrics(Parts("node1", ("backend",), lmtp=counters))
    assert "cgnode_lmtp_messages_total 0.0" in metrics.render()
    counters.messages += 1
    assert "cgnode_lmtp_messages_total 1.0" in metrics.render()


def test_a_part_that_fails_costs_its_own_lines(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> int:
        raise RuntimeError("of a test")

    found = samples(Parts("node1", ("directory",), ldap=fail, lmtp=LmtpCounters()))
    assert found["cgnode_lmtp_messages_total",] == 0
    assert not any(key[0].startswith("cgnode_ldap") for key in found)
    assert caplog.messages == ["the numbers of ldap"]
