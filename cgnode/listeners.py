"""Where a node listens, as values: LDAP URLs (RFC 4516 section 2, scheme and host only) and
the like for mail.

``ldapi`` is OpenLDAP's scheme for a Unix socket.  What must not live here: sockets.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from attrs import field, frozen

from cgnode.tables import Reader, Wrong, show

FORMS = "ldap://HOST:PORT, ldaps://HOST:PORT or ldapi:///PATH"
PORTS = {"ldap": 389, "ldaps": 636}

# A host name, an IPv4 address, or an IPv6 address in brackets; then a port or none.
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?(?::(?P<port>[0-9]{1,5}))?")

# The room for a path in the kernel's sockaddr_un, its final zero octet left off.
_PATH_MAX = 107


@frozen
class TcpListener:
    """``host`` is "" for every address of this machine; ``port`` 0 is any free one.

    ``key`` says where the operator named it, here and below.
    """

    host: str
    port: int
    tls: bool = False
    key: str = field(default="--ldap", eq=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.tls else 'ldap'}://{host}:{self.port}"


@frozen
class UnixListener:
    """A Unix socket; a relative path is under the data folder."""

    path: Path
    key: str = field(default="--data", eq=False)

    def __str__(self) -> str:
        return f"ldapi://{self.path}"


Listener: TypeAlias = TcpListener | UnixListener


MAIL_PORTS = {
    "smtp": 25,
    "submission": 587,
    "submissions": 465,
    "imap": 143,
    "imaps": 993,
    "pop3": 110,
    "pop3s": 995,
    "lmtp": 24,
}


@frozen
class MailListener:
    """``scheme`` is a protocol, with an s at its end where TLS is there from the start;
    ``host`` and ``port`` as a ``TcpListener``'s."""

    scheme: str
    host: str
    port: int
    key: str = field(default="--data", eq=False)

    @property
    def tls(self) -> bool:
        return self.scheme in ("imaps", "pop3s", "submissions")

    @property
    def protocol(self) -> str:
        return self.scheme.removesuffix("s") if self.tls else self.scheme

    @property
    def place(self) -> tuple[str, int]:
        return self.host, self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@frozen
class HttpListener:
    """Metrics, health and control."""

    host: str
    port: int
    key: str = field(default="--data", eq=False)


def mail_listener(schemes: tuple[str, ...]) -> Reader[MailListener]:
    """A reader of ``SCHEME://HOST:PORT``: without a host it is every address, without a port
    the protocol's own."""

    def read(value: object) -> MailListener:
        scheme, found, rest = str(value).partition("://")
        if not found or scheme not in schemes:
            example = f"{schemes[0]}://127.0.0.1:{MAIL_PORTS[schemes[0]]}"
            raise Wrong(f"{show(value)} is not as in {example}; known are {', '.join(schemes)}")
        port = MAIL_PORTS[scheme]
        return MailListener(scheme, *_address(rest.removesuffix("/") or f":{port}", port, str(value)))

    return read


def http_listener(value: object) -> HttpListener | None:
    """``HOST:PORT``, or false for none."""
    if value is False:
        return None
    return HttpListener(*_address(str(value), 1880, str(value)))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it.  A name that begins like an address is a name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_listener(value: object) -> Listener:
    """A URL of one of ``FORMS``; raises ``Wrong``."""
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is not {FORMS}")
    scheme, _, rest = value.partition("://")
    if scheme == "ldapi":
        return _unix(value, rest)
    if scheme not in PORTS:
        raise Wrong(f"{show(value)} is not {FORMS}")
    host, port = _address(rest.removesuffix("/"), PORTS[scheme], value)
    return TcpListener(host, port, tls=scheme == "ldaps")


def parse_address(value: str) -> TcpListener:
    """``HOST:PORT`` as on the command line; raises ``Wrong``."""
    host, port = _address(value, PORTS["ldap"], value)
    return TcpListener(host, port)


def check_path(path: Path) -> None:
    """Refuse a path that is too long for a Unix socket."""
    if len(bytes(path)) > _PATH_MAX:
        raise Wrong(f"{str(path)!r} is longer than a Unix socket's path can be ({_PATH_MAX} octets)")


def _address(address: str, default_port: int, value: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(address)
    if match is None or not address:
        forms = FORMS if value.startswith("ldap") else "SCHEME://HOST:PORT" if "://" in value else "HOST:PORT"
        raise Wrong(f"{show(value)} is not {forms}")
    port = int(match["port"]) if match["port"] else default_port
    if port > 65535:
        raise Wrong(f"{show(value)} has a port above 65535")
    return (match["host"] or "").strip("[]"), port


def _unix(value: str, rest: str) -> UnixListener:
    # OpenLDAP writes the path as a percent-encoded host; most people write it plainly.
    path = Path(unquote(rest))
    if not path.is_absolute() or len(path.parts) < 2:
        raise Wrong(f"{show(value)} names no socket; write ldapi:///PATH with its absolute path")
    check_path(path)
    return UnixListener(path)
