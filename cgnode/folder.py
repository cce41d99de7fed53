"""The data folder: what is where in it.

directory/      the store of the directory
config          a link to the configuration file that the node was last started with
node.lock       held by the node that runs (``lock``)
admin.secret    the administrator's password, where none is configured (``secret``)
cluster.secret  what nodes show each other, where no file is configured (``secret``)
ldapi           the node's Unix socket, where none is configured
control         the Unix socket of the control interface (``control``)
replica/        a frontend's or backend's copy of the directory (``replica``)
queue/          a frontend's mail queue
storage/        a backend's own account storage; storages.json lists those attached besides
ca/             the cluster's certificate authority, where ``cgctl ca init`` was said
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cgnode.config import Config

STORE = "directory"
CONFIG = "config"


def make_folder(config: Config) -> Path:
    """The data folder, made when it is missing, for the node's user only.  Raises ConfigError."""
    folder = config.data.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise config.error(config.data_key, f"cannot make {folder}: {error.strerror}") from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise config.error(config.data_key, f"cannot write to {folder}; run the node as its owner")
    return folder


def remember_config(folder: Path, config: Config) -> None:
    """Leave word for tools that are told no more than the data folder."""
    link = folder / CONFIG
    with suppress(FileNotFoundError):
        link.unlink()
    if config.path is not None:
        link.symlink_to(config.path)


def remembered_config(folder: Path) -> Path | None:
    """The configuration file of the node in the folder, if it has one."""
    link = folder / CONFIG
    return link.readlink() if link.is_symlink() else None
