"""What a node of a cluster has besides a directory of its own: the site as it follows it, the
health of the hosts, its roles as frontend and backend, and what is seen from outside.

What lives here: how these parts are made of the configuration and of each other.  What must
not: what a part does.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.python.threadpool import ThreadPool

from cgnode import metrics
from cgnode.auto_failover import FailoverWatch
from cgnode.backend.service import BackendService
from cgnode.config import Config
from cgnode.control.overview import overview
from cgnode.control.parts import FailoverCalls, Parts, QueueCalls, SessionCalls, StorageCalls, hosts_of
from cgnode.control.service import CannotListen as CannotControl
from cgnode.control.service import ControlService
from cgnode.control.token import token_of
from cgnode.directory import DirectoryService
from cgnode.editing import Refused
from cgnode.failover import fail_over
from cgnode.following import LocalFollowing
from cgnode.frontend.service import FrontendService
from cgnode.health import HostHealth
from cgnode.members import Endpoint, Member
from cgnode.net.listeners import CannotListen, MailListeners
from cgnode.net.probe import GreetingProbe
from cgnode.net.tls import cluster_server_context
from cgnode.opening import settings_of
from cgnode.replica import RemoteFollowing
from cgnode.secret import cluster_secret
from cgnode.servers import add_server
from ldapserver.local import LocalDirectory

log = logging.getLogger(__name__)

_PASSWORD_THREADS = 4


class Threads(Service):
    """A pool whose threads end with the node."""

    def __init__(self, most: int, name: str) -> None:
        self.pool = ThreadPool(0, most, name)

    def startService(self) -> None:
        super().startService()
        self.pool.start()

    def stopService(self) -> None:
        super().stopService()
        if self.pool.started:
            self.pool.stop()


class MemberParts:
    """``add`` is given each service, in the order in which they begin."""

    def __init__(
        self,
        reactor: Any,
        config: Config,
        folder: Path,
        environ: Mapping[str, str],
        directory: DirectoryService | None,
        add: Callable[[Any], None],
    ) -> None:
        """Raises ConfigError."""
        self._reactor, self._config, self._folder = reactor, config, folder
        self._directory = directory
        self._add = add
        self.frontend: FrontendService | None = None
        self.backend: BackendService | None = None
        secret = cluster_secret(config, folder).password
        passwords = Threads(_PASSWORD_THREADS, "passwords")
        add(passwords)
        self.following = self._follow(environ)
        add(self.following)
        timeout = config.cluster.health.timeout
        self.health = HostHealth(
            reactor, config.cluster.health, self.following, GreetingProbe(reactor, timeout)
        )
        add(self.health)
        if "backend" in config.roles:
            self._add_backend(secret, passwords.pool)
        if "frontend" in config.roles:
            self.frontend = FrontendService(
                reactor, config, folder, self.following, self.health, secret, passwords.pool
            )
            add(_Listening(config, self.frontend))
        if directory is not None and config.cluster.auto_failover is not None:
            add(self._failover_watch(directory.local))
        self._control = self._control_service(secret)
        add(_Listening(config, self._control))

    # --- parts --------------------------------------------------------------------------

    def _follow(self, environ: Mapping[str, str]) -> Any:
        cluster = self._config.cluster
        if self._directory is not None:
            return LocalFollowing(self._reactor, self._directory.local, cluster.base, cluster.overrides)
        assert cluster.directory is not None, "the configuration was checked"
        return RemoteFollowing(
            self._reactor,
            cluster.directory,
            self._folder,
            cluster.base,
            cluster.overrides,
            settings=settings_of(self._config, None),
            environ=environ,
        )

    def _add_backend(self, secret: bytes, passwords: Any) -> None:
        disks = Threads(self._config.backend.threads, "disks")
        self._add(disks)
        self.backend = BackendService(
            self._reactor,
            self._config,
            self._folder,
            self.following,
            self.health,
            secret,
            passwords,
            disks.pool,
        )
        self._add(_Listening(self._config, self.backend))

    def _failover_watch(self, directory: LocalDirectory) -> FailoverWatch:
        settings = self._config.cluster.auto_failover
        assert settings is not None
        site = self.following.site
        return FailoverWatch(
            self._reactor,
            settings,
            self.health,
            self.following,
            lambda host, sibling: fail_over(site, directory, host, sibling),
        )

    def _control_service(self, secret: bytes) -> ControlService:
        config = self._config
        return ControlService(
            self._reactor,
            self._folder,
            self._control_parts(),
            listen=None if config.http is None else (config.http.host, config.http.port),
            token=token_of(secret),
            tls=cluster_server_context(config),
            clear_text=config.cluster.clear_text,
        )

    def _control_parts(self) -> Parts:
        config, frontend, backend = self._config, self.frontend, self.backend
        following, directory = self.following, self._directory
        sessions = frontend.sessions if frontend else backend.sessions if backend else None
        return Parts(
            config.name,
            config.roles,
            lambda: overview(following.site),
            self._ailments,
            following.status,
            hosts_of(self.health),
            metrics.Metrics(self._numbers()).render,
            QueueCalls.of(frontend.queue, frontend.delivery.look) if frontend else None,
            SessionCalls.of(sessions, following, config.cluster.default_domain) if sessions else None,
            StorageCalls.of(backend.storages, backend.upkeep) if backend else None,
            FailoverCalls.of(following.site, directory.local) if directory else None,
        )

    def _ailments(self) -> Iterable[str]:
        reason = self.following.usable()
        if reason is not None:
            yield reason
        failure = self.frontend.queue.failure if self.frontend else None
        if failure is not None:
            yield f"the queue: {failure}"

    def _numbers(self) -> metrics.Parts:
        found = metrics.Parts(
            self._config.name, self._config.roles, following=self.following, hosts=self.health.status
        )
        if self._directory is not None:
            factory = self._directory.factory
            found = evolve(found, ldap=lambda: len(factory.connections))
        ports: dict[str, metrics.PortNumbers] = {}
        if (frontend := self.frontend) is not None:
            ports |= {
                "frontend": _port_numbers(frontend.login_ports),
                "frontend-smtp": _port_numbers(frontend.mail_ports),
            }
            found = evolve(
                found,
                smtp={kind.value: counters for kind, counters in frontend.intake.counters.items()},
                queue=frontend.queue.counts,
                delivery=frontend.delivery.counters,
                authentication=frontend.authenticator.counters,
                logins={name: parts.counters for name, parts in frontend.logins.items()},
                sessions=metrics.SessionNumbers(frontend.sessions.counters, frontend.sessions.by_host),
                joining=frontend.joining.counters,
            )
        if (backend := self.backend) is not None:
            ports["backend"] = _port_numbers(backend.ports)
            found = evolve(
                found,
                lmtp=backend.lmtp.counters,
                backend_logins={"all": backend.reception.counters},
                backend_sessions={"all": backend.sessions.count},
            )
        return evolve(found, ports=ports)

    # --- once started -------------------------------------------------------------------

    @property
    def places(self) -> Mapping[str, Sequence[str]]:
        """What is served where, for people."""
        found: dict[str, Sequence[str]] = {}
        if self.backend is not None:
            found["backend"] = _urls(self.backend.ports)
        if self.frontend is not None:
            found["frontend"] = [*_urls(self.frontend.login_ports), *_urls(self.frontend.mail_ports)]
        http = [f"http://{Endpoint(host, port)}/" for host, port in self._control.addresses]
        found["http"] = [f"{url}{page}" for url in http for page in ("health", "metrics")]
        return found

    def register(self) -> None:
        """A backend beside its directory is put into the table of servers, unless it is there,
        so that a whole site in one node needs no more than accounts."""
        if self._directory is None or self.backend is None:
            return
        name, addresses = self._config.name, self._own_addresses(self.backend)
        with self.following.site.reading() as lookup:
            stored = lookup.stored_member(name)
        if stored is None:
            try:
                add_server(self.following.site, Member(name, self._config.roles, addresses))
            except Refused as refused:
                log.error("%s is not in the table of servers, and no account can be made: %s", name, refused)
                return
            log.info("%s is in the table of servers now, as %s", name, ", ".join(self._config.roles))
            return
        for protocol, endpoint in addresses.items():
            told = stored.addresses.get(protocol)
            if told is not None and told != endpoint:
                log.warning(
                    "%s serves %s at %s, and is looked for at %s: cgctl server change %s --%s %s mends that",
                    *(name, protocol, endpoint, told, name, protocol, endpoint),
                )

    def _own_addresses(self, backend: BackendService) -> dict[str, Endpoint]:
        """What others are told of this node.  Its IMAP and POP3 are the backend's, which
        frontends use."""
        addresses: dict[str, Endpoint] = {}
        if self.frontend is not None:
            addresses |= _addresses(self.frontend.mail_ports, ("smtp", "submission"))
        addresses |= _addresses(backend.ports, ("lmtp", "imap", "pop3"))
        for host, port in self._control.addresses:
            addresses["http"] = Endpoint(host, port)
        return addresses


class _Listening(Service):
    """A service whose listeners may not be had, which is told as the configuration's error."""

    def __init__(self, config: Config, service: Any) -> None:
        self._config = config
        self._service = service

    def startService(self) -> None:
        """Raises ConfigError."""
        try:
            self._service.startService()
        except CannotListen as error:
            raise self._config.error(error.key, str(error)) from None
        except CannotControl as error:
            key = "http.listen" if error.place.rpartition(":")[2].isdigit() else self._config.data_key
            raise self._config.error(key, str(error)) from None

    def stopService(self) -> Any:
        return self._service.stopService()


def _port_numbers(ports: MailListeners) -> metrics.PortNumbers:
    return metrics.PortNumbers(ports.counters, lambda: ports.open)


def _urls(ports: MailListeners) -> list[str]:
    return [f"{scheme}://{endpoint}" for scheme, endpoint in ports.places]


def _addresses(ports: MailListeners, wanted: Sequence[str]) -> dict[str, Endpoint]:
    return {scheme: endpoint for scheme, endpoint in ports.places if scheme in wanted}
