"""Where a server listens: LDAP URLs to ports.

``ldap://host:port`` and ``ldaps://host:port`` (no host: every interface; port 0: any
that is free), ``ldapi:///path`` or, as OpenLDAP writes it, ``ldapi://%2Fpath``.
"""

# mypy: disallow-untyped-calls=False
# Twisted's ports are not annotated.

from __future__ import annotations

import os
import socket
import stat
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote, unquote, urlsplit

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.protocols.tls import TLSMemoryBIOFactory

from ldapserver.net.reactor import Reactor
from ldapserver.net.transport import BACKLOG, TCPPort, UnixPort

DEFAULT_PORTS: Final = {"ldap": 389, "ldaps": 636}

SOCKET_MODE: Final = 0o666
"""Everyone may connect: who they are, the kernel says."""

MAX_SOCKET_PATH: Final = 107
"""``sun_path`` less its final zero."""


class ListenError(Exception):
    """A listener's URL, and why nothing can be heard there."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


@frozen
class TCPAddress:
    """``host`` "" is every interface."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.tls else 'ldap'}://{host}:{self.port}"


@frozen
class UnixAddress:
    path: str

    def __str__(self) -> str:
        return f"ldapi://{quote(self.path, safe='')}"


Address: TypeAlias = TCPAddress | UnixAddress


def parse_url(url: str) -> Address:
    """Raises ListenError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ListenError(url, str(error)) from None
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ListenError(url, "a listener's URL is a scheme and an address, nothing more")
    if parts.scheme == "ldapi":
        return UnixAddress(_socket_path(url, unquote(parts.netloc + parts.path)))
    if parts.scheme not in DEFAULT_PORTS:
        raise ListenError(url, "not an ldap://, ldaps:// or ldapi:// URL")
    if parts.path not in ("", "/"):
        raise ListenError(url, "a path belongs to ldapi:// only")
    if port is None:
        port = DEFAULT_PORTS[parts.scheme]
    return TCPAddress("" if host == "*" else host, port, parts.scheme == "ldaps")


def _socket_path(url: str, path: str) -> str:
    path = path.rstrip("/")
    if not path.startswith("/"):
        raise ListenError(url, "the socket's path must be absolute, as in ldapi:///run/ldapi")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise ListenError(url, f"the socket's path is longer than {MAX_SOCKET_PATH} octets")
    return path


class Listener:
    """An open port; ``address`` has the port's number even where 0 was asked for."""

    def __init__(self, address: Address, port: Any) -> None:
        self.address = address
        self._port = port

    @property
    def url(self) -> str:
        """As clients take it; every interface is called by the loopback's name."""
        if isinstance(self.address, TCPAddress) and self.address.host in ("", "0.0.0.0", "::"):
            return str(evolve(self.address, host="localhost"))
        return str(self.address)

    def stop(self) -> Deferred[None]:
        """Accept nothing more; fires when the port is closed."""
        return maybeDeferred(self._port.stopListening)


def listen(reactor: Reactor, address: Address, factory: Any, tls: Any = None) -> Listener:
    """Open a port; ``tls`` is the context factory for ldaps.  Raises ListenError."""
    try:
        match address:
            case TCPAddress():
                return _listen_tcp(reactor, address, factory, tls)
            case UnixAddress():
                return _listen_unix(reactor, address, factory)
    except CannotListenError as error:
        raise ListenError(str(address), os.strerror(getattr(error.socketError, "errno", 0) or 0)) from None
    except OSError as error:
        raise ListenError(str(address), error.strerror or str(error)) from None


def _listen_tcp(reactor: Reactor, address: TCPAddress, factory: Any, tls: Any) -> Listener:
    if address.tls:
        if tls is None:
            raise ListenError(str(address), "ldaps needs a certificate")
        factory = TLSMemoryBIOFactory(tls, False, factory, clock=cast(Any, reactor))
    port = TCPPort(address.port, factory, BACKLOG, _numeric(address), reactor)
    port.startListening()
    return Listener(evolve(address, port=port.getHost().port), port)


def _numeric(address: TCPAddress) -> str:
    if not address.host:
        return ""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def _listen_unix(reactor: Reactor, address: UnixAddress, factory: Any) -> Listener:
    _clear_stale(address)
    port = UnixPort(os.fsencode(address.path), factory, BACKLOG, SOCKET_MODE, reactor)
    port.startListening()
    return Listener(address, port)


def _clear_stale(address: UnixAddress) -> None:
    """Remove a socket that a server left which is no more; nothing else."""
    try:
        mode = os.lstat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(str(address), "there is a file of that name which is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
        except OSError:
            """Somebody is there, and busy."""
        else:
            raise ListenError(str(address), "another server listens there")
