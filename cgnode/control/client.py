"""The client of a node's control interface, for cgctl: the standard library's, so that it
starts fast, over the Unix socket in a data folder or over TCP.

What must not live here: which nodes there are.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from attrs import field, frozen

from cgnode.members import Endpoint

SECONDS: Final = 10.0
"""For each step of an exchange.  Attaching a large storage is one."""

_LONGEST: Final = 1 << 28


class ControlError(Exception):
    """Why there is no answer, or why the node refuses: one line.  ``status`` is HTTP's, None
    where there was no answer."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Way(Protocol):
    """How a node is reached."""

    def connect(self, seconds: float) -> socket.socket:
        """Raises OSError."""
        ...

    @property
    def headers(self) -> Mapping[str, str]: ...


@frozen
class Unix:
    path: Path

    def connect(self, seconds: float) -> socket.socket:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.settimeout(seconds)
            found.connect(str(self.path))
        except BaseException:
            found.close()
            raise
        return found

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    def __str__(self) -> str:
        return str(self.path)


@frozen
class Tcp:
    """With ``tls``, who answers must show a certificate for ``name``."""

    endpoint: Endpoint
    name: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = None

    def connect(self, seconds: float) -> socket.socket:
        found = socket.create_connection((self.endpoint.host, self.endpoint.port), seconds)
        if self.tls is None:
            return found
        # Closes the socket where it fails.
        return self.tls.wrap_socket(found, server_hostname=self.name)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def __str__(self) -> str:
        return str(self.endpoint)


class _Connection(HTTPConnection):
    """The exchange of HTTP over a socket of ours."""

    def __init__(self, way: Way, seconds: float) -> None:
        super().__init__("localhost")
        self._way = way
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = self._way.connect(self._seconds)


@frozen
class ControlClient:
    """A connection for each call.  Calls raise ControlError."""

    way: Way
    seconds: float = SECONDS

    def get(self, path: str, /, **query: str | int | None) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"/control/{path}" + (f"?{urlencode(given)}" if given else ""), None)

    def post(self, path: str, /, **values: object) -> dict[str, Any]:
        given = {name: value for name, value in values.items() if value is not None}
        return self._ask("POST", f"/control/{path}", json.dumps(given).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        connection = _Connection(self.way, self.seconds)
        try:
            headers = {**self.way.headers, "Connection": "close"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                return _answer(response.status, response.read(_LONGEST))
        except TimeoutError:
            raise ControlError(f"no answer within {self.seconds:g} s") from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or error.reason or str(error)
            raise ControlError(f"TLS: {reason.replace('_', ' ').lower()}") from None
        except OSError as error:
            raise ControlError(error.strerror or str(error)) from None
        except HTTPException as error:
            raise ControlError(f"no HTTP answer: {error!r}") from None
        finally:
            connection.close()


def _answer(status: int, content: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(content)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise ControlError(f"an answer that is no JSON object, with status {status}", status)
    if status != 200:
        raise ControlError(str(facts.get("error", f"status {status}")), status)
    return facts


def tls_context(ca: Path, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """What trusts the cluster's authority only, and shows this node's certificate.  Raises
    OSError, ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
