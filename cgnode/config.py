"""The node's configuration: one TOML file, read whole into frozen values or refused.

Each error is one line that names the file, the key and the fix.  What lives here: the
values, which key gives which, and the checks of one key against another.  What must
not: opening what they name (``secret``, ``node``), the command line (``main``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, frozen

from cgnode.listeners import Listener, TcpListener, UnixListener, parse_listener
from cgnode.tables import (
    ConfigError,
    Reader,
    Table,
    Wrong,
    boolean,
    one_of,
    size,
    text,
    whole_number,
)
from ldapserver.directory import Limits

ROLES = ("directory",)
LATER_ROLES = ("backend", "frontend")
LOG_LEVELS = ("debug", "info", "warning", "error")
INDEX_KINDS = ("eq", "pres", "sub")


@frozen
class Administrator:
    """Who may do all.  The password is in the file or in the environment's variable;
    with neither, the node makes one and keeps it in the data folder."""

    dn: str = "cn=admin"
    password_file: Path | None = None
    password_env: str | None = None


@frozen
class Tls:
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


@frozen
class LdapConfig:
    """The section [ldap].  ``index`` adds to the default indexes: attribute -> kinds.
    ``anonymous_read`` has the attributes that anyone may read; None leaves the default."""

    listen: tuple[Listener, ...] = (TcpListener("127.0.0.1", 1389), UnixListener(Path("ldapi")))
    administrator: Administrator = Administrator()
    anonymous_read: tuple[str, ...] | None = None
    schema: tuple[Path, ...] = ()
    map_size: int | None = None
    limits: Limits = Limits()
    index: Mapping[str, tuple[str, ...]] = field(factory=dict)
    tls: Tls | None = None


@frozen
class Config:
    """A node's configuration.

    ``source`` names the file in errors ("" without one), ``path`` is where it is;
    ``data_key`` says where the operator named the data folder.
    """

    source: str = ""
    path: Path | None = field(default=None, eq=False)
    roles: tuple[str, ...] = ()
    data: Path = Path("cgnode-data")
    data_key: str = "--data"
    log_level: str = "info"
    ldap: LdapConfig = LdapConfig()

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
    config = Config(
        source=source,
        roles=top.take_list("roles", role, ()),
        data=top.take("data", path_in(folder), Config().data),
        data_key="data" if top.has("data") else "--data",
        log_level=top.take("log_level", one_of(LOG_LEVELS), "info"),
        ldap=_ldap(top.take_table("ldap"), folder),
    )
    top.done()
    return config


def role(value: object) -> str:
    """A role of this version; one that is yet to come is refused by name."""
    if value in LATER_ROLES:
        raise Wrong(f"{value!r} is not available yet; this version has {', '.join(ROLES)}")
    return one_of(ROLES)(value)


def path_in(folder: Path) -> Reader[Path]:
    return lambda value: folder / Path(text(value)).expanduser()


def _ldap(table: Table, folder: Path) -> LdapConfig:
    ldap = LdapConfig(
        listen=_listen(table),
        administrator=_administrator(table.take_table("administrator"), folder),
        anonymous_read=_anonymous_read(table),
        schema=table.take_list("schema", path_in(folder), ()),
        map_size=table.take("map_size", size, None),
        limits=_limits(table.take_table("limits")),
        index=_index(table.take_table("index")),
        tls=_tls(table.take_table("tls"), folder),
    )
    table.done()
    for listener in ldap.listen:
        if isinstance(listener, TcpListener) and listener.tls and ldap.tls is None:
            raise ConfigError(
                f"{table.source}: {listener.key}: {listener} needs ldap.tls.certificate and ldap.tls.key"
            )
    return ldap


def _listen(table: Table) -> tuple[Listener, ...]:
    listeners: tuple[Listener, ...] = table.take_list("listen", parse_listener, LdapConfig().listen)
    if not listeners:
        raise table.error("listen", "lists nothing; name one listener at least")
    for i, listener in enumerate(listeners):
        if listener in listeners[:i]:
            raise table.error(f"listen[{i}]", f"{listener} is listed twice; remove one")
    if not table.has("listen"):
        return listeners
    return tuple(evolve(each, key=table.name(f"listen[{i}]")) for i, each in enumerate(listeners))


def _anonymous_read(table: Table) -> tuple[str, ...] | None:
    """true is the default's, false nothing, a list the attributes that it names."""
    key = "anonymous_read"
    if isinstance(table.values.get(key), list):
        return table.take_list(key, text, ())
    return None if table.take(key, boolean, True) else ()


def _administrator(table: Table, folder: Path) -> Administrator:
    administrator = Administrator(
        dn=table.take("dn", text, Administrator().dn),
        password_file=table.take("password_file", path_in(folder), None),
        password_env=table.take("password_env", text, None),
    )
    table.done()
    if administrator.password_file and administrator.password_env:
        raise table.error("password_env", "stands beside password_file; keep one of the two")
    return administrator


def _limits(table: Table) -> Limits:
    given = {name: table.take(name, whole_number, value) for name, value in asdict(Limits()).items()}
    table.done()
    return Limits(**given)


def _index(table: Table) -> dict[str, tuple[str, ...]]:
    # The keys are attribute types; whether the schema has them is seen when it is loaded.
    return {name: table.take_list(name, one_of(INDEX_KINDS), ()) for name in table.values}


def _tls(table: Table, folder: Path) -> Tls | None:
    certificate = table.take("certificate", path_in(folder), None)
    key = table.take("key", path_in(folder), None)
    table.done()
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, given = ("certificate", "key") if certificate is None else ("key", "certificate")
        raise table.error(missing, f"is missing beside {given}; give both")
    return Tls(certificate, key)
