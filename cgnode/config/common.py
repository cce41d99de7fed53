"""What several sections of the configuration share: PEM files, paths, where a listener is.

What must not live here: any section's keys.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeAlias, TypeVar

from attrs import evolve, frozen

from cgnode.listeners import MailListener
from cgnode.members import Endpoint, parse_endpoint
from cgnode.names import BadName, domain_name
from cgnode.tables import ConfigError, Reader, Table, Wrong, show, text

Network: TypeAlias = IPv4Network | IPv6Network
Keyed = TypeVar("Keyed", bound=MailListener)


@frozen
class Tls:
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


def path_in(folder: Path) -> Reader[Path]:
    return lambda value: folder / Path(text(value)).expanduser()


def read_tls(table: Table, folder: Path) -> Tls | None:
    certificate = table.take("certificate", path_in(folder), None)
    key = table.take("key", path_in(folder), None)
    table.done()
    return pair(table, certificate, key)


def pair(table: Table, certificate: Path | None, key: Path | None) -> Tls | None:
    """Both files or neither; raises ConfigError."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, given = ("certificate", "key") if certificate is None else ("key", "certificate")
        raise table.error(missing, f"is missing beside {given}; give both")
    return Tls(certificate, key)


def read_listeners(
    table: Table, read: Reader[MailListener], default: tuple[MailListener, ...]
) -> tuple[MailListener, ...]:
    """The key ``listen``; each listener knows its place in the file."""
    listeners = table.take_list("listen", read, default)
    for i, listener in enumerate(listeners):
        if listener.port and any(each.place == listener.place for each in listeners[:i]):
            raise table.error(f"listen[{i}]", f"{listener} is listed twice; remove one")
    if not table.has("listen"):
        return listeners
    return tuple(evolve(each, key=table.name(f"listen[{i}]")) for i, each in enumerate(listeners))


def refuse_without_tls(source: str, listeners: tuple[MailListener, ...], tls: Tls | None) -> None:
    """A listener with TLS from the start needs a certificate; raises ConfigError."""
    for listener in listeners:
        if listener.tls and tls is None:
            raise ConfigError(f"{source}: {listener.key}: {listener} needs tls.certificate and tls.key")


def domain(value: object) -> str:
    try:
        return domain_name(text(value))
    except BadName as error:
        raise Wrong(str(error)) from None


def network(value: object) -> Network:
    try:
        return ip_network(text(value))
    except ValueError as error:
        raise Wrong(f'{show(value)} is no network, as in "10.0.0.0/8" ({error})') from None


def endpoint(value: object) -> Endpoint:
    try:
        return parse_endpoint(text(value))
    except BadName as error:
        raise Wrong(str(error)) from None
