"""Opening the directory in a data folder, as the configuration says: for the node and for
tools that work on the folder beside it.  Knows no Twisted, so that these start fast."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import evolve

from cgnode import __version__
from cgnode.config import ClusterConfig, Config
from cgnode.folder import STORE
from cgnode.lookup import Site, StoreLookup
from ldapserver import indexing
from ldapserver.access import Policy
from ldapserver.core import Core, Settings
from ldapserver.local import LocalDirectory
from ldapserver.names import Names
from ldapserver.schema import Schema, SchemaError, standard_schema
from storage.errors import StoreError
from storage.snapshot import Snapshot

log = logging.getLogger(__name__)


def open_directory(config: Config, folder: Path, password: bytes | None = None) -> LocalDirectory:
    """Raises ConfigError.  ``password`` lets the administrator bind."""
    settings = settings_of(config, password)
    try:
        return LocalDirectory.open(folder / STORE, settings)
    except StoreError as error:
        raise config.error(config.data_key, str(error)) from None


def settings_of(config: Config, password: bytes | None) -> Settings:
    schema = _schema(config)
    settings = Settings(
        administrator_dn=config.ldap.administrator.dn,
        administrator_password=password,
        schema=schema,
        limits=config.ldap.limits,
        indexes=_indexes(config, schema),
        version=__version__,
        start_tls=config.ldap.tls is not None,
        notice=log.warning,
        host_of_new=partial(_host_of_new, config.cluster),
    )
    if config.ldap.map_size is not None:
        settings = evolve(settings, map_size=config.ldap.map_size)
    if config.ldap.anonymous_read is not None:
        settings = evolve(settings, policy=_policy(config, settings.policy, config.ldap.anonymous_read))
    return settings


def _host_of_new(cluster: ClusterConfig, core: Core, snapshot: Snapshot) -> str | None:
    site = Site(core, cluster.base, cluster.overrides)
    found = StoreLookup(site, snapshot, Names(snapshot.tree_number())).host_of_new()
    return None if found is None else found.name


def _policy(config: Config, default: Policy, anonymous_read: tuple[str, ...]) -> Policy:
    try:
        return default.with_anonymous(anonymous_read)
    except ValueError as error:
        raise config.error("ldap.anonymous_read", f"{error}; leave it out") from None


def _schema(config: Config) -> Schema:
    schema = standard_schema()
    for i, path in enumerate(config.ldap.schema):
        try:
            schema = schema.extended(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise config.error(f"ldap.schema[{i}]", f"cannot read {path}: {error.strerror}") from None
        except SchemaError as error:
            raise config.error(f"ldap.schema[{i}]", str(error)) from None
    return schema


def _indexes(config: Config, schema: Schema) -> Mapping[str, Sequence[str]]:
    """The default ones with the configured in their places; no kinds, no index."""
    given = config.ldap.index
    if not given:
        return indexing.DEFAULT
    for name in given:
        if schema.attribute_type(name) is None:
            raise config.error(f"ldap.index.{name}", f"no such attribute type; {_nearest(name, schema)}")
    wanted = {**indexing.DEFAULT, **{name: _kinds(kinds) for name, kinds in given.items()}}
    return {name: kinds for name, kinds in wanted.items() if kinds}


def _kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """``pres`` is OpenLDAP's word for what an equality index does here too."""
    return tuple(dict.fromkeys(indexing.EQUALITY if kind == "pres" else kind for kind in kinds))


def _nearest(name: str, schema: Schema) -> str:
    known = [name for kind in schema.attribute_types for name in kind.names]
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "ldap.schema names files that define more"
