"""The section [ldap]: the directory's listeners, administrator, limits and indexes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import asdict, evolve, field, frozen

from cgnode.config.common import Tls, path_in, read_tls
from cgnode.listeners import Listener, TcpListener, UnixListener, parse_listener
from cgnode.tables import ConfigError, Table, boolean, one_of, size, text, whole_number
from ldapserver.directory import Limits

INDEX_KINDS = ("eq", "pres", "sub")


@frozen
class Administrator:
    """Who may do all.  The password is in the file or in the environment's variable;
    with neither, the node makes one and keeps it in the data folder."""

    dn: str = "cn=admin"
    password_file: Path | None = None
    password_env: str | None = None


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


def read_ldap(table: Table, folder: Path) -> LdapConfig:
    ldap = LdapConfig(
        listen=_listen(table),
        administrator=_administrator(table.take_table("administrator"), folder),
        anonymous_read=_anonymous_read(table),
        schema=table.take_list("schema", path_in(folder), ()),
        map_size=table.take("map_size", size, None),
        limits=_limits(table.take_table("limits")),
        index=_index(table.take_table("index")),
        tls=read_tls(table.take_table("tls"), folder),
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
