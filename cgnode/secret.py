"""The administrator's password: read from where the configuration says, or made at random
and kept in the data folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from cgnode.config import Config

NAME = "admin.secret"


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
        _create(path)
    return _from_file(config, "data", path)


def _from_environment(config: Config, name: str, environ: Mapping[str, str]) -> Secret:
    if not environ.get(name):
        raise config.error(
            "ldap.administrator.password_env",
            f"the environment has no {name}; set it, or use ldap.administrator.password_file",
        )
    return Secret(os.fsencode(environ[name]), f"the environment's {name}")


def _from_file(config: Config, key: str, path: Path) -> Secret:
    try:
        password = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise config.error(key, f"cannot read the password in {path}: {error.strerror}") from None
    if not password or b"\n" in password:
        raise config.error(key, f"{path} does not hold one line, the administrator's password")
    return Secret(password, str(path), path)


def _create(path: Path) -> None:
    # No newline at the end: OpenLDAP's tools take a password file's whole content (-y).
    # Written aside and renamed, so that a crash leaves no half of a password.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(24))
        file.flush()
        os.fsync(descriptor)
    aside.rename(path)
