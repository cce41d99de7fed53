"""The node in numbers, as Prometheus reads them.

What lives here: which number of which part has which name.  What must not: counting; the
parts do that, in plain values of theirs, and are only read here.

Names follow Prometheus' conventions: ``cgnode_`` first, base units, ``_total`` for what
only grows.  Labels have few values: a destination is a backend or one of all others, and
nothing here is per account, domain or client.  A part that the node lacks has no lines;
one that fails to answer is logged and costs its own lines only.

Everything is read in the reactor's thread.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from attrs import frozen

from cgnode import __version__
from cgnode.following import Following
from cgnode.health import HostStatus
from cgnode.lookup import Site

# The parts' modules are loaded where the parts are; prometheus_client when somebody asks.
if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from cgnode.backend.lmtp.service import Counters as LmtpCounters
    from cgnode.backend.sessions.login import Counters as BackendLoginCounters
    from cgnode.frontend.authentication import Counters as AuthenticationCounters
    from cgnode.frontend.delivery.counters import Counters as DeliveryCounters
    from cgnode.frontend.login.login import Counters as LoginCounters
    from cgnode.frontend.sessions import Counters as SessionCounters
    from cgnode.frontend.smtp.counters import Counters as SmtpCounters
    from cgnode.joining import Counters as JoiningCounters
    from cgnode.net.listeners import Counters as ListenerCounters

log = logging.getLogger(__name__)

T = TypeVar("T")

Labels: TypeAlias = tuple[str, ...]
Rows: TypeAlias = Iterable[tuple[Labels, float]]


@frozen
class SessionNumbers:
    """The frontend's sessions of clients: ``by_host`` are there now."""

    counters: SessionCounters
    by_host: Callable[[], Mapping[str, int]]


@frozen
class PortNumbers:
    """A role's listeners: ``open`` connections now."""

    counters: ListenerCounters
    open: Callable[[], int]


@frozen
class Parts:
    """What of a node is counted; None or nothing for what it lacks.

    ``smtp`` is by service (smtp, submission), ``logins`` and what the backend has by
    protocol (imap, pop3), ``ports`` by role.  ``queue`` is ``MailQueue.counts``, ``hosts``
    ``HostHealth.status``, ``ldap`` the connections of LDAP now.
    """

    name: str
    roles: tuple[str, ...]
    following: Following | None = None
    hosts: Callable[[], Iterable[HostStatus]] | None = None
    ports: Mapping[str, PortNumbers] | None = None
    smtp: Mapping[str, SmtpCounters] | None = None
    queue: Callable[[], Mapping[str, Any]] | None = None
    delivery: DeliveryCounters | None = None
    authentication: AuthenticationCounters | None = None
    logins: Mapping[str, LoginCounters] | None = None
    sessions: SessionNumbers | None = None
    joining: JoiningCounters | None = None
    lmtp: LmtpCounters | None = None
    backend_logins: Mapping[str, BackendLoginCounters] | None = None
    backend_sessions: Mapping[str, Callable[[], int]] | None = None
    ldap: Callable[[], int] | None = None


class Metrics:
    """``render`` is what GET /metrics answers, in the text format 0.0.4."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def render(self) -> str:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        # What a collector is, the library says by a class that is its own business.
        registry.register(cast(Any, self))
        return generate_latest(registry).decode()

    def collect(self) -> Iterator[Metric]:
        parts = self._parts
        yield from _read("the node", _node, parts)
        yield from _read("the site", _following, parts.following)
        yield from _read("hosts", _hosts, parts.hosts)
        yield from _read("ports", _ports, parts.ports)
        yield from _read("smtp", _smtp, parts.smtp)
        yield from _read("the queue", _queue, parts.queue)
        yield from _read("delivery", _delivery, parts.delivery)
        yield from _read("authentication", _authentication, parts.authentication)
        yield from _read("logins", _logins, parts.logins)
        yield from _read("sessions", _sessions, parts.sessions)
        yield from _read("joining", _joining, parts.joining)
        yield from _read("lmtp", _lmtp, parts.lmtp)
        yield from _read("the backend's logins", _backend_logins, parts.backend_logins)
        yield from _read("the backend's sessions", _backend_sessions, parts.backend_sessions)
        yield from _read("ldap", _ldap, parts.ldap)

    def describe(self) -> list[Metric]:
        """Asked when it is registered; nothing else is in that registry."""
        return []


def _read(what: str, collect: Callable[[Any], Iterable[Metric]], part: object) -> list[Metric]:
    if part is None:
        return []
    try:
        return list(collect(part))
    except Exception:
        log.exception("the numbers of %s", what)
        return []


def _counter(name: str, text: str, labels: Labels, rows: Rows) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"cgnode_{name}", text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: Labels, rows: Rows) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"cgnode_{name}", text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


# --- the node and what it knows of others -----------------------------------------------


def _node(parts: Parts) -> Iterator[Metric]:
    labels = (__version__, parts.name, ",".join(parts.roles))
    yield _gauge("build_info", "What runs here; always 1", ("version", "name", "roles"), [(labels, 1)])


def _following(following: Following) -> Iterator[Metric]:
    usable = following.usable() is None
    yield _gauge("directory_usable", "Whether what is known of the directory may be used", (), _one(usable))
    age = following.status().get("age")
    if isinstance(age, int | float):
        yield _gauge("directory_age_seconds", "Since the directory was last heard of", (), _one(age))
    yield from _site(following.site)


def _site(site: Site) -> Iterator[Metric]:
    """At the cost of servers and domains, not of accounts."""
    with site.reading() as lookup:
        entries, loads, members = lookup.snapshot.entry_count(), lookup.loads(), lookup.members()
    yield _gauge("directory_entries", "Entries in the directory as known here", (), _one(entries))
    served = (((host,), load.entries) for host, load in loads.items())
    yield _gauge("accounts", "Entries that a host serves", ("host",), served)
    covered = (
        ((host, other), number) for host, load in loads.items() for other, number in load.covered.items()
    )
    yield _gauge("accounts_covered", "Of these the ones of another host", ("host", "of"), covered)
    states = Counter((role, member.state.value) for member in members for role in member.roles)
    yield _gauge("servers", "Servers by role and state", ("role", "state"), states.items())


def _hosts(status: Callable[[], Iterable[HostStatus]]) -> Iterator[Metric]:
    hosts = list(status())
    up = (((host.name,), host.up) for host in hosts)
    yield _gauge("host_up", "Whether a backend answers this node", ("host",), up)
    since = (((host.name,), host.seconds) for host in hosts)
    yield _gauge("host_state_seconds", "For how long it has been so", ("host",), since)


def _ports(ports: Mapping[str, PortNumbers]) -> Iterator[Metric]:
    label = ("role",)
    accepted, refused = "Connections that were taken", "Connections too many"
    yield _gauge("connections", "Connections now", label, _each(ports, lambda c: c.open()))
    yield _counter("connections_accepted", accepted, label, _each(ports, lambda c: c.counters.accepted))
    yield _counter("connections_refused", refused, label, _each(ports, lambda c: c.counters.refused))


def _ldap(connections: Callable[[], int]) -> Iterator[Metric]:
    yield _gauge("ldap_connections", "Connections of LDAP now", (), _one(connections()))


# --- the frontend -----------------------------------------------------------------------


def _smtp(services: Mapping[str, SmtpCounters]) -> Iterator[Metric]:
    label, labels = ("service",), ("service", "reason")
    opened, queued = "Connections that were opened", "Messages that were queued"
    yield _counter("smtp_connections", opened, label, _each(services, lambda c: c.connections))
    yield _counter("smtp_messages_accepted", queued, label, _each(services, lambda c: c.messages))
    yield _counter("smtp_accepted_bytes", "Their octets", label, _each(services, lambda c: c.octets))
    recipients = _each(services, lambda c: c.recipients)
    yield _counter("smtp_recipients_accepted", "Their recipients", label, recipients)
    refused = _all(services, lambda c: {"permanent": c.refused, "temporary": c.deferred})
    yield _counter("smtp_recipients_refused", "Recipients that were refused", labels, refused)
    yield _counter("smtp_messages_refused", "Messages not taken", labels, _all(services, _smtp_refusals))
    logins = _all(services, lambda c: {"ok": c.logins, "failed": c.login_failures})
    yield _counter("smtp_logins", "Log-ins of senders", ("service", "result"), logins)


def _smtp_refusals(counters: SmtpCounters) -> dict[str, float]:
    return {
        "rejected": counters.rejected,
        "failed": counters.failed,
        "aborted": counters.aborted,
        "sender": counters.senders_refused,
        "rate": counters.rate_limited,
    }


def _queue(counts: Callable[[], Mapping[str, Any]]) -> Iterator[Metric]:
    found = counts()
    yield _gauge("queue_messages", "Messages in the queue", (), _one(found["messages"]))
    yield _gauge("queue_routing_messages", "Of these to be routed", (), _one(found["routing"]))
    yield _gauge("queue_held_messages", "Of these held by an operator", (), _one(found["held"]))
    waiting: Counter[Labels] = Counter()
    for each in found["destinations"]:
        kind, _, name = str(each["destination"]).partition(":")
        for state in ("active", "ready", "delayed"):
            waiting[f"backend:{name}" if kind == "backend" else kind, state] += each[state]
    text = "Messages for a destination; one with several counts at each"
    yield _gauge("queue_destination_messages", text, ("destination", "state"), waiting.items())


def _delivery(counters: DeliveryCounters) -> Iterator[Metric]:
    results = {
        "delivered": counters.delivered,
        "relayed": counters.relayed,
        "deferred": counters.deferred,
        "failed": counters.failed,
        "expanded": counters.expanded,
    }
    yield _counter("delivery_attempts", "Transactions with servers", (), _one(counters.attempts))
    text = "What became of recipients, at each attempt"
    yield _counter("delivery_recipients", text, ("result",), _by_name(results))
    unreachable = _one(counters.unreachable)
    yield _counter("delivery_unreachable", "Attempts that reached nobody", (), unreachable)
    yield _counter("delivery_strays", "Answers that another host has it", (), _one(counters.strays))
    yield _counter("bounces", "Reports to senders", (), _one(counters.reports))
    yield _counter("bounces_untold", "Failures that nobody is told of", (), _one(counters.untold))
    yield _counter("delivery_channels_opened", "Connections to servers", (), _one(counters.channels))
    yield _gauge("delivery_channels", "Connections to servers now", (), _one(counters.open))


def _authentication(counters: AuthenticationCounters) -> Iterator[Metric]:
    results = {
        "granted": counters.granted,
        "denied": counters.denied,
        "unavailable": counters.unavailable,
    }
    yield _counter("authentications", "Checks of passwords", ("result",), _by_name(results))


def _logins(protocols: Mapping[str, LoginCounters]) -> Iterator[Metric]:
    rows = _all(protocols, lambda c: {"ok": c.logins, "dropped": c.dropped, **c.refused})
    yield _counter("logins", "Log-ins of clients", ("protocol", "result"), rows)


def _sessions(numbers: SessionNumbers) -> Iterator[Metric]:
    counters = numbers.counters
    yield _gauge("sessions", "Clients' sessions now", ("host",), _by_name(numbers.by_host()))
    yield _counter("sessions_begun", "Clients' sessions", (), _one(counters.begun))
    yield _counter("sessions_refused", "One too many of a user's", (), _one(counters.refused))
    ended = {"kicked": counters.kicked, "moved": counters.moved, "silent": counters.silent}
    yield _counter("sessions_ended", "Sessions that were ended here", ("reason",), _by_name(ended))


def _joining(counters: JoiningCounters) -> Iterator[Metric]:
    results = {"ok": counters.reached, **{why.value: number for why, number in counters.failed.items()}}
    yield _counter("proxy_logins", "Log-ins at backends", ("result",), _by_name(results))
    yield _counter("proxy_reconnects", "Further attempts of these", (), _one(counters.reconnects))
    yield _counter("proxy_moved", "Of these at another host", (), _one(counters.moved))


# --- the backend ------------------------------------------------------------------------


def _lmtp(counters: LmtpCounters) -> Iterator[Metric]:
    results = {
        "delivered": counters.delivered,
        "deferred": counters.deferred,
        "refused": counters.refused,
    }
    yield _counter("lmtp_recipients", "Recipients that came by LMTP", ("result",), _by_name(results))
    yield _counter("lmtp_messages", "Messages that came by LMTP", (), _one(counters.messages))
    yield _counter("lmtp_received_bytes", "Their octets", (), _one(counters.octets))
    yield _counter("lmtp_connections", "Connections of LMTP", (), _one(counters.connections))
    yield _counter("lmtp_login_failures", "Peers without the credential", (), _one(counters.auth_failures))


def _backend_logins(protocols: Mapping[str, BackendLoginCounters]) -> Iterator[Metric]:
    rows = _all(protocols, _backend_results)
    yield _counter("backend_logins", "Log-ins at this backend", ("protocol", "result"), rows)


def _backend_results(counters: BackendLoginCounters) -> dict[str, float]:
    return {
        "served": counters.served,
        "passed_on": counters.passed_on,
        "denied": counters.denied,
        "unavailable": counters.unavailable,
    }


def _backend_sessions(protocols: Mapping[str, Callable[[], int]]) -> Iterator[Metric]:
    rows = _each(protocols, lambda count: count())
    yield _gauge("backend_sessions", "Sessions at this backend now", ("protocol",), rows)


# --- rows -------------------------------------------------------------------------------


def _one(number: float) -> Rows:
    return [((), number)]


def _by_name(numbers: Mapping[str, float]) -> Rows:
    return [((name,), number) for name, number in numbers.items()]


def _each(parts: Mapping[str, T], number: Callable[[T], float]) -> Rows:
    """A number of each part; the label is the part's."""
    return [((name,), number(part)) for name, part in parts.items()]


def _all(parts: Mapping[str, T], numbers: Callable[[T], Mapping[str, float]]) -> Rows:
    """Some numbers of each part, with two labels: the part's and the number's."""
    return [((name, what), number) for name, part in parts.items() for what, number in numbers(part).items()]
