"""A node's configuration: one TOML file, read whole into frozen values or refused.

Each error is one line that names the file, the key and the fix.  What lives here: the top
of the file, and the checks of one section against another.  What must not: opening what
the values name (``secret``, ``node``), the command line (``main``).
"""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from cgnode.config.backend import BackendConfig, read_backend
from cgnode.config.cluster import ClusterConfig, DirectoryAccess, read_cluster
from cgnode.config.common import Tls, domain, path_in, read_tls, refuse_without_tls
from cgnode.config.frontend import FrontendConfig, read_frontend
from cgnode.config.ldap import LdapConfig, read_ldap
from cgnode.listeners import HttpListener, MailListener, http_listener, is_loopback
from cgnode.names import BadName, server_name
from cgnode.tables import ConfigError, Table, Wrong, one_of, text

ROLES = ("directory", "backend", "frontend")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


def _short_name() -> str:
    try:
        return server_name(socket.gethostname().partition(".")[0])
    except BadName:
        return "node"


@frozen
class Config:
    """A node's configuration.

    ``name`` is the server's in the cluster's table, ``hostname`` what its greetings say.
    ``source`` names the file in errors ("" without one), ``path`` is where it is;
    ``data_key`` says where the operator named the data folder.
    """

    source: str = ""
    path: Path | None = field(default=None, eq=False)
    roles: tuple[str, ...] = ()
    name: str = field(factory=_short_name)
    hostname: str = field(factory=lambda: socket.gethostname().lower())
    data: Path = Path("cgnode-data")
    data_key: str = "--data"
    log_level: str = "info"
    log_format: str = "text"
    tls: Tls | None = None
    ldap: LdapConfig = LdapConfig()
    cluster: ClusterConfig = ClusterConfig()
    frontend: FrontendConfig = field(factory=FrontendConfig)
    backend: BackendConfig = field(factory=BackendConfig)
    http: HttpListener | None = HttpListener("127.0.0.1", 1880)

    def error(self, key: str, reason: str) -> ConfigError:
        """An error that only shows when what ``key`` names is used."""
        source = "cgnode" if key.startswith("--") or not self.source else self.source
        return ConfigError(f"{source}: {key}: {reason}")


def load(path: Path) -> Config:
    """The configuration in the file; raises ConfigError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; --config must name a file to read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: not TOML: {error}") from None
    return evolve(read(values, path.name, path.parent.resolve()), path=path.resolve())


def read(values: Mapping[str, Any], source: str, folder: Path) -> Config:
    """The configuration in a TOML document; its relative paths are under ``folder``."""
    top = Table(source, "", values)
    default = Config()
    config = Config(
        source=source,
        roles=top.take_list("roles", role, ()),
        name=top.take("name", _name, default.name),
        hostname=top.take("hostname", domain, default.hostname),
        data=top.take("data", path_in(folder), default.data),
        data_key="data" if top.has("data") else "--data",
        log_level=top.take("log_level", one_of(LOG_LEVELS), "info"),
        log_format=top.take("log_format", one_of(LOG_FORMATS), "text"),
        tls=read_tls(top.take_table("tls"), folder),
        ldap=read_ldap(top.take_table("ldap"), folder),
        cluster=read_cluster(top.take_table("cluster"), folder),
        frontend=read_frontend(top.take_table("frontend"), folder),
        backend=read_backend(top.take_table("backend"), folder),
        http=_http(top),
    )
    top.done()
    refuse_without_tls(source, config.frontend.listen, config.tls)
    return config


def check_roles(config: Config) -> None:
    """Whether the roles have what they need; raises ConfigError."""
    directory = "directory" in config.roles
    if not directory and config.cluster.directory is None:
        raise config.error(
            "cluster.directory.urls",
            f"a {config.roles[0]} without a directory beside it needs the address of one",
        )
    if directory and config.cluster.directory is not None:
        raise config.error(
            "cluster.directory", "this node is a directory itself; remove the section, or the role"
        )
    if config.cluster.auto_failover is not None and not directory:
        raise config.error("cluster.auto_failover", "only a node with the role directory can do it")
    if "backend" in config.roles:
        _check_internal(config, config.backend.listen)
    if "frontend" in config.roles:
        _check_passwords(config)
    if config.cluster.directory is not None:
        _check_directory(config, config.cluster.directory)


def role(value: object) -> str:
    return one_of(ROLES)(value)


def _check_internal(config: Config, listeners: tuple[MailListener, ...]) -> None:
    """No credential of the cluster's goes over a network in the clear by accident."""
    if config.cluster.ca is not None or config.cluster.clear_text:
        return
    for listener in listeners:
        if not is_loopback(listener.host):
            raise config.error(
                listener.key,
                f"{listener} is beyond this machine and needs TLS: name cluster.ca, cluster.certificate and "
                "cluster.key (cgctl ca makes them), or set cluster.clear_text = true on a network you trust",
            )


def _check_passwords(config: Config) -> None:
    """Where passwords are not taken, nobody could log in."""
    frontend = config.frontend
    if config.tls is not None or frontend.clear_text:
        return
    for listener in frontend.listen:
        if listener.protocol != "smtp" and not is_loopback(listener.host):
            raise config.error(
                listener.key,
                f"{listener} is beyond this machine, where passwords need TLS: give tls.certificate and "
                "tls.key, or set frontend.clear_text = true",
            )


def _check_directory(config: Config, access: DirectoryAccess) -> None:
    """Passwords come from there, and its own goes there."""
    for i, url in enumerate(access.urls):
        parts = urlsplit(url)
        if parts.scheme == "ldaps" and access.start_tls:
            raise config.error(
                "cluster.directory.start_tls", f"{url} is inside TLS already; write ldap://, or leave it out"
            )
        if parts.scheme != "ldap" or access.start_tls or config.cluster.clear_text:
            continue
        if not is_loopback(parts.hostname or ""):
            raise config.error(
                f"cluster.directory.urls[{i}]",
                f"{url} is beyond this machine and needs TLS: write ldaps://, or set start_tls = true, "
                "or cluster.clear_text = true on a network you trust",
            )


def _name(value: object) -> str:
    try:
        return server_name(text(value))
    except BadName as error:
        raise Wrong(str(error)) from None


def _http(top: Table) -> HttpListener | None:
    table = top.take_table("http")
    default: HttpListener | None = HttpListener("127.0.0.1", 1880)
    listener = table.take("listen", http_listener, default)
    table.done()
    return evolve(listener, key="http.listen") if listener and table.has("listen") else listener
