"""The section [backend]: the internal ports, the storages and the mailboxes' limits."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from cgnode.config.common import path_in, read_listeners
from cgnode.listeners import MailListener, mail_listener
from cgnode.tables import Table, size, whole_number

SCHEMES = ("lmtp", "imap", "pop3")


def _default_listen() -> tuple[MailListener, ...]:
    ports = {"lmtp": 2124, "imap": 2143, "pop3": 2110}
    return tuple(MailListener(scheme, "127.0.0.1", port) for scheme, port in ports.items())


@frozen
class BackendConfig:
    """The section.  ``storages`` are attached besides the node's own; ``quota`` is in octets,
    for an account that has none of its own; ``threads`` work on the disk."""

    listen: tuple[MailListener, ...] = field(factory=_default_listen)
    storages: tuple[Path, ...] = ()
    quota: int | None = None
    connections: int = 10_000
    max_size: int = 64 << 20
    threads: int = 16


def read_backend(table: Table, folder: Path) -> BackendConfig:
    default = BackendConfig()
    backend = BackendConfig(
        listen=read_listeners(table, mail_listener(SCHEMES), default.listen),
        storages=table.take_list("storages", path_in(folder), ()),
        quota=table.take("quota", size, None),
        connections=table.take("connections", whole_number, default.connections),
        max_size=table.take("max_size", size, default.max_size),
        threads=table.take("threads", whole_number, default.threads),
    )
    table.done()
    if not backend.threads:
        raise table.error("threads", "0 could not read any mail; give 1 or more")
    return backend
