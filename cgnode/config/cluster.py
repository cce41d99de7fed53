"""The section [cluster]: who the other nodes are, how they are reached, and what is done
about one that fails."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from cgnode.config.common import domain, pair, path_in
from cgnode.members import Override, read_overrides
from cgnode.names import BadName, server_name
from cgnode.tables import Table, Wrong, above_zero, boolean, duration, show, text, whole_number
from ldapserver.dn import parse_dn
from ldapserver.results import LDAPError

DAY = 86400.0


@frozen
class DirectoryAccess:
    """The site's directory, for a node that is none: ``urls`` are tried in their order.
    ``max_age`` is how many seconds the copy of it is good for without it."""

    urls: tuple[str, ...]
    bind_dn: str = "cn=admin"
    password_file: Path | None = None
    password_env: str | None = None
    ca: Path | None = None
    start_tls: bool = False
    max_age: float = DAY


@frozen
class Health:
    """Each backend is asked every ``interval`` seconds, has ``timeout`` seconds to answer,
    and is down after so many ``failures`` in a row."""

    interval: float = 2.0
    timeout: float = 2.0
    failures: int = 2


@frozen
class AutoFailover:
    """``pairs``: host -> the sibling that takes its accounts over when it has been down for
    ``after`` seconds."""

    pairs: Mapping[str, str]
    after: float = 60.0


@frozen
class ClusterConfig:
    """The section.  ``ca``, ``certificate`` and ``key`` are PEM files, for TLS between nodes;
    ``clear_text``: they may do without, beyond this machine."""

    base: str = ""
    default_domain: str = ""
    overrides: tuple[Override, ...] = ()
    secret_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    clear_text: bool = False
    directory: DirectoryAccess | None = None
    health: Health = Health()
    auto_failover: AutoFailover | None = field(default=None)


def read_cluster(table: Table, folder: Path) -> ClusterConfig:
    cluster = ClusterConfig(
        base=table.take("base", _dn, ""),
        default_domain=table.take("default_domain", domain, ""),
        overrides=read_overrides(table.take_table("members"), folder),
        secret_file=table.take("secret_file", path_in(folder), None),
        ca=table.take("ca", path_in(folder), None),
        certificate=table.take("certificate", path_in(folder), None),
        key=table.take("key", path_in(folder), None),
        clear_text=table.take("clear_text", boolean, False),
        directory=_directory(table.take_table("directory"), folder),
        health=_health(table.take_table("health")),
        auto_failover=_auto_failover(table.take_table("auto_failover")),
    )
    table.done()
    pair(table, cluster.certificate, cluster.key)
    if (cluster.ca is None) is not (cluster.certificate is None):
        missing, given = ("ca", "certificate") if cluster.ca is None else ("certificate", "ca")
        raise table.error(missing, f"is missing beside {given}; cgctl ca init and cgctl ca issue make both")
    return cluster


def _directory(table: Table, folder: Path) -> DirectoryAccess | None:
    if not table.values:
        return None
    access = DirectoryAccess(
        urls=table.take_list("urls", _url, ()),
        bind_dn=table.take("bind_dn", text, "cn=admin"),
        password_file=table.take("password_file", path_in(folder), None),
        password_env=table.take("password_env", text, None),
        ca=table.take("ca", path_in(folder), None),
        start_tls=table.take("start_tls", boolean, False),
        max_age=table.take("max_age", above_zero(duration), DAY),
    )
    table.done()
    if not access.urls:
        raise table.error("urls", 'names no directory; write urls = ["ldap://10.0.0.1:389"]')
    if (access.password_file is None) is (access.password_env is None):
        raise table.error("password_file", "the password is in password_file or in password_env: give one")
    return access


def _url(value: object) -> str:
    url = text(value)
    if url.partition("://")[0] not in ("ldap", "ldaps", "ldapi"):
        raise Wrong(f"{show(value)} is not ldap://HOST:PORT, ldaps://HOST:PORT or ldapi:///PATH")
    return url


def _dn(value: object) -> str:
    # An empty one is what it is without.
    if value == "":
        return ""
    try:
        return str(parse_dn(text(value)))
    except LDAPError as error:
        raise Wrong(f"{show(value)} is no DN: {error.message}") from None


def _health(table: Table) -> Health:
    default = Health()
    health = Health(
        table.take("interval", duration, default.interval),
        table.take("timeout", duration, default.timeout),
        table.take("failures", whole_number, default.failures),
    )
    table.done()
    for key in ("interval", "timeout", "failures"):
        if not getattr(health, key):
            raise table.error(key, "0 would never find a server up; give more")
    return health


def _auto_failover(table: Table) -> AutoFailover | None:
    if not table.values:
        return None
    own = table.take_table("pairs")
    pairs = {_server(own, host): own.take(host, _sibling, "") for host in own.values}
    for host, sibling in pairs.items():
        if host == sibling:
            raise own.error(host, "is its own sibling; name another server")
    if not pairs:
        raise table.error("pairs", 'names no server; write pairs = { be3 = "be5" }')
    found = AutoFailover(pairs, table.take("after", duration, AutoFailover({}).after))
    table.done()
    return found


def _server(table: Table, name: str) -> str:
    try:
        return server_name(name)
    except BadName as error:
        raise table.error(name, str(error)) from None


def _sibling(value: object) -> str:
    try:
        return server_name(text(value))
    except BadName as error:
        raise Wrong(str(error)) from None
