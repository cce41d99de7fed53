"""Connecting to a directory: endpoints, TLS that verifies the server's name, and failures as
one error with a text for an operator."""

# mypy: disallow-untyped-calls=False
# Neither Twisted's endpoints nor its TLS are annotated throughout.

from __future__ import annotations

import os
from typing import Any, Final, assert_never

from OpenSSL.SSL import Error
from service_identity import CertificateError, VerificationError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.ssl import trustRootFromCertificates as trust_root

from ldapserver.net.listen import Address, TCPAddress, UnixAddress
from ldapserver.net.trouble import tls_trouble

TLS_ERRORS: Final = (Error, CertificateError, VerificationError)
"""Why a connection ends that did not become one of TLS: see ``tls_failed``."""


class RemoteError(Exception):
    """The directory could not be reached, or the connection broke."""


def endpoint_of(reactor: Any, address: Address, ca: bytes | None = None) -> tuple[Any, Any]:
    """Where to connect to, and what makes TLS connections there (None on a Unix socket).
    ``ca`` is a PEM certificate to trust in place of the system's."""
    match address:
        case UnixAddress(path):
            return UNIXClientEndpoint(reactor, path), None
        case TCPAddress(host, port, encrypted):
            trust = trust_root([Certificate.loadPEM(ca)]) if ca else None
            tls = optionsForClientTLS(host, trust)
            endpoint: Any = HostnameEndpoint(reactor, host, port)
            return (wrapClientTLS(tls, endpoint) if encrypted else endpoint), tls
        case _:
            assert_never(address)


def not_connected(error: ConnectError) -> RemoteError:
    number = getattr(error.osError, "errno", error.osError)
    return RemoteError(os.strerror(number) if isinstance(number, int) else str(error))


def tls_failed(error: BaseException) -> RemoteError:
    return RemoteError(tls_trouble(error))
