"""What a command works on: a data folder of this machine, or a directory by its URL."""

from __future__ import annotations

import os
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from cgnode.admin.command import AdminError, UsageError
from cgnode.config import Config, load
from cgnode.folder import STORE, remembered_config

if TYPE_CHECKING:
    from ldapserver.local import LocalDirectory

FOLDER_OPTIONS = (
    ("--data", "DIR", "the node's data folder, running or not ($CGNODE_DATA, or ./cgnode-data)"),
    ("--config", "FILE", "the node's configuration (by default the one it was last started with)"),
)
SERVER_OPTIONS = (
    ("--uri", "URL", "a directory over LDAP instead: ldap://HOST:PORT, ldaps://..., ldapi:///PATH"),
    ("-D", "DN", "whom to bind as (on ldapi by default this process's user)"),
    ("-y", "FILE", "a file that holds the password"),
    ("-w", "PASSWORD", "the password; others can see it in the list of processes"),
    ("--ca", "FILE", "a PEM certificate to trust instead of the system's"),
)


@frozen
class Server:
    """A directory somewhere, and as whom to speak to it; ``dn`` None is as this process's
    user on a Unix socket, and nobody elsewhere."""

    url: str
    dn: str | None
    password: bytes = field(repr=False)
    start_tls: bool
    ca: bytes | None


def add_options(parser: ArgumentParser, *, shown: bool) -> None:
    """The options that name the target.  They are taken before the command and after it,
    so they have no defaults, and only one parser's help shows them."""
    folder = parser.add_argument_group("a node on this machine")
    server = parser.add_argument_group("or any directory (failover, rehost, restore, bulk-modify)")
    for group, options in ((folder, FOLDER_OPTIONS), (server, SERVER_OPTIONS)):
        for flag, metavar, text in options:
            group.add_argument(flag, metavar=metavar, default=SUPPRESS, help=text if shown else SUPPRESS)
    for flag, text in (("-W", "ask for the password"), ("-Z", "begin TLS on the connection (StartTLS)")):
        server.add_argument(flag, action="store_true", default=SUPPRESS, help=text if shown else SUPPRESS)


def server_of(arguments: Namespace) -> Server | None:
    """The directory that --uri names; None where the target is a folder."""
    given = vars(arguments)
    if "uri" not in given:
        for flag in ("D", "y", "w", "W", "Z", "ca"):
            if flag in given:
                raise UsageError(f"{'-' if len(flag) == 1 else '--'}{flag} goes with --uri")
        return None
    if "data" in given or "config" in given:
        raise UsageError("--uri names a directory, --data and --config a folder: give one of them")
    ca = _given("--ca", given["ca"]) if "ca" in given else None
    return Server(given["uri"], given.get("D"), _password(given), bool(given.get("Z")), ca)


def remote_servers(arguments: Namespace) -> tuple[Server, ...]:
    """Where a bulk change is to be asked for: the directory that --uri names, or the one that
    the node follows; nothing where the folder has the directory itself."""
    server = server_of(arguments)
    if server is not None:
        return (server,)
    config = config_of(arguments)
    access = config.cluster.directory
    if access is None or (config.data / STORE).is_dir():
        return ()
    password = _contents("cluster.directory.password_file", access.password_file, config)
    if access.password_env is not None:
        password = os.fsencode(os.environ.get(access.password_env, ""))
    ca = _contents("cluster.directory.ca", access.ca, config) or None
    return tuple(
        Server(url, access.bind_dn, password.rstrip(b"\r\n"), access.start_tls, ca) for url in access.urls
    )


@contextmanager
def local_directory(arguments: Namespace, *, create: bool = False) -> Iterator[LocalDirectory]:
    """The directory in the data folder; raises ConfigError, AdminError."""
    if server_of(arguments) is not None:
        raise UsageError("this works on a folder: name it with --data, not --uri")
    config = config_of(arguments)
    folder = config.data.absolute()
    if not create and not (folder / STORE).is_dir():
        raise AdminError(f"there is no directory in {folder}; name a node's folder with --data")
    # Only now: a command for a server needs no store.
    from cgnode.opening import open_directory

    directory = open_directory(config, folder)
    try:
        yield directory
    finally:
        directory.close()


def config_of(arguments: Namespace) -> Config:
    """The configuration that --config names, or that the node in the folder has."""
    given = vars(arguments)
    data = Path(given["data"]) if "data" in given else None
    if "config" in given:
        config = load(Path(given["config"]))
    else:
        if data is None and os.environ.get("CGNODE_DATA"):
            data = Path(os.environ["CGNODE_DATA"])
        data = data or Config().data
        remembered = remembered_config(data)
        config = load(remembered) if remembered else Config()
    return config if data is None else evolve(config, data=data, data_key="--data")


def _password(given: dict[str, object]) -> bytes:
    ways = [flag for flag in ("y", "w", "W") if flag in given]
    if len(ways) > 1:
        raise UsageError(f"-{ways[0]} and -{ways[1]} are two ways to give the password: keep one")
    if ways and "D" not in given:
        raise UsageError(f"-{ways[0]} needs -D, the DN to bind as")
    match ways:
        case ["y"]:
            return _given("-y", given["y"]).rstrip(b"\r\n")
        case ["w"]:
            return str(given["w"]).encode()
        case ["W"]:
            return getpass(f"Password of {given['D']}: ").encode()
        case _:
            return b""


def _contents(key: str, path: Path | None, config: Config) -> bytes:
    """Of a file that the configuration names; empty where it names none."""
    try:
        return b"" if path is None else path.read_bytes()
    except OSError as error:
        raise config.error(key, f"cannot read {path}: {error.strerror}") from None


def _given(flag: str, path: object) -> bytes:
    try:
        return Path(str(path)).read_bytes()
    except OSError as error:
        raise UsageError(f"{flag}: cannot read {path}: {error.strerror}") from None
