"""Secrets: read from where the configuration says, or made at random and kept in the data
folder.

The administrator's password is one directory's.  The cluster's secret is what nodes log in
with at each other's internal ports, so all nodes of a cluster must have the same: the
first makes it, an operator copies the file to the others before they start.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from cgnode.config import Config

NAME: Final = "admin.secret"
CLUSTER: Final = "cluster.secret"

# What is guessed at is a long random text, not a password that somebody thought of.
_SHORTEST: Final = 16


@frozen
class Secret:
    """A password (or its hash) and where it is kept, a file or for people in words."""

    password: bytes = field(repr=False)
    place: str
    path: Path | None = None


def administrator_secret(config: Config, folder: Path, environ: Mapping[str, str]) -> Secret:
    """The administrator's password; raises ConfigError."""
    administrator = config.ldap.administrator
    if administrator.password_env is not None:
        return _from_environment(config, administrator.password_env, environ)
    if administrator.password_file is not None:
        return _from_file(config, "ldap.administrator.password_file", administrator.password_file)
    path = folder / NAME
    if not path.exists():
        write_private(path, _random())
    return _from_file(config, "data", path)


def cluster_secret(config: Config, folder: Path) -> Secret:
    """What this node shows the others, and they show it; raises ConfigError."""
    path, key = config.cluster.secret_file, "cluster.secret_file"
    if path is None:
        path, key = folder / CLUSTER, "data"
        if not path.exists():
            write_private(path, _random())
    elif not path.exists():
        raise config.error(
            key,
            f"there is no {path}; copy it from another node of the cluster (its data folder's {CLUSTER}), "
            "or leave this key out and have one made for a new cluster",
        )
    secret = _from_file(config, key, path, "the cluster's secret")
    if len(secret.password) < _SHORTEST or b"\0" in secret.password:
        raise config.error(key, f"{path} does not hold a secret of {_SHORTEST} octets at least")
    return secret


def write_private(path: Path, content: bytes) -> None:
    """A file for its owner only, in place of another or none."""
    # Written aside and renamed, so that a crash leaves no half of it.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    aside.rename(path)


def _random() -> bytes:
    # No newline at the end: OpenLDAP's tools take a password file's whole content (-y).
    return secrets.token_urlsafe(24).encode()


def _from_environment(config: Config, name: str, environ: Mapping[str, str]) -> Secret:
    if not environ.get(name):
        raise config.error(
            "ldap.administrator.password_env",
            f"the environment has no {name}; set it, or use ldap.administrator.password_file",
        )
    return Secret(os.fsencode(environ[name]), f"the environment's {name}")


def _from_file(config: Config, key: str, path: Path, what: str = "the administrator's password") -> Secret:
    try:
        password = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise config.error(key, f"cannot read the password in {path}: {error.strerror}") from None
    if not password or b"\n" in password:
        raise config.error(key, f"{path} does not hold one line, {what}")
    return Secret(password, str(path), path)
