"""TLS contexts, from the PEM files that the configuration names.

What lives here: which files are for whom, what is asked of the other side, and errors that
name the key.  What must not: who offers TLS and when.

Between nodes both sides show a certificate of the cluster's authority, and a client makes
sure that the server's names the server that it wants (RFC 6125).  TLS is 1.2 or later.
Files are looked at when a connection begins, and those that were renewed are taken up; new
ones that are no good leave the old in use and are logged.

OpenSSL takes a while to load, so this is done when there is something to use it for.
"""

# mypy: disallow-untyped-calls=False
# Twisted's TLS is not annotated throughout.

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import frozen
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer  # type: ignore[import-untyped]

from cgnode.config import Config, Tls
from cgnode.listeners import is_loopback
from cgnode.tables import ConfigError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from OpenSSL.SSL import Connection
    from twisted.internet.ssl import CertificateOptions

log = logging.getLogger(__name__)

T = TypeVar("T")

_Stamp = tuple[tuple[int, int, int], ...]


@frozen
class Files:
    """PEM files, under the keys of ``section``.  With ``ca`` the other side must show a
    certificate too, of one of the authorities in that file."""

    section: str
    certificate: str
    key: str
    ca: str | None = None

    def stamp(self) -> _Stamp:
        """Other than before when a file is another.  Raises OSError."""
        paths = [path for path in (self.certificate, self.key, self.ca) if path is not None]
        found = [os.stat(path) for path in paths]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)


class Renewing:
    """What was made of some files, and made again when they are others."""

    def __init__(self, files: Files, make: Callable[[], T]) -> None:
        self._files = files
        self._make = make
        self._stamp = files.stamp()
        self._value: Any = make()

    def value(self) -> Any:
        try:
            stamp = self._files.stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                self._value = self._make()
                log.info("%s: %s is taken up", self._files.section, self._files.certificate)
        except (OSError, ConfigError) as error:
            log.error("the certificate in use stays: %s", error)
        return self._value


@implementer(IOpenSSLServerConnectionCreator)
class ServerContext:
    """For listeners and ``startTLS``."""

    def __init__(self, files: Files, make: Callable[[], CertificateOptions]) -> None:
        self._options = Renewing(files, make)

    def serverConnectionForTLS(self, protocol: object) -> Connection:
        from OpenSSL.SSL import Connection

        return Connection(self._options.value().getContext(), None)


def public_context(config: Config) -> ServerContext | None:
    """What clients of the mail ports see; None without a certificate.  Raises ConfigError."""
    return None if config.tls is None else _server(config, _files("tls", config.tls))


def ldap_context(config: Config) -> ServerContext | None:
    """What LDAP's clients see: its own, or else what all clients see."""
    if config.ldap.tls is not None:
        return _server(config, _files("ldap.tls", config.ldap.tls))
    return public_context(config)


def cluster_server_context(config: Config) -> ServerContext | None:
    """For the ports that other nodes use; None where no certificate is configured."""
    files = _cluster_files(config)
    return None if files is None else _server(config, files)


def cluster_client(config: Config, server_name: str) -> Any:
    """For a connection to the server of this name in the servers' table: who answers must
    prove to be it.  An IOpenSSLClientConnectionCreator; None where no certificate is
    configured.  Raises ConfigError."""
    files = _cluster_files(config)
    if files is None:
        return None
    return _clients(config.source, files).value()(server_name)


def clear_text_allowed(config: Config, host: str) -> bool:
    """Whether this node may speak to another at ``host`` without TLS."""
    return config.cluster.clear_text or is_loopback(host)


def _files(section: str, tls: Tls) -> Files:
    return Files(section, str(tls.certificate), str(tls.key))


def _cluster_files(config: Config) -> Files | None:
    cluster = config.cluster
    given = {"ca": cluster.ca, "certificate": cluster.certificate, "key": cluster.key}
    missing = [name for name, path in given.items() if path is None]
    if len(missing) == len(given):
        return None
    if cluster.ca is None or cluster.certificate is None or cluster.key is None:
        raise config.error(f"cluster.{missing[0]}", "is missing; ca, certificate and key go together")
    return Files("cluster", str(cluster.certificate), str(cluster.key), str(cluster.ca))


def _server(config: Config, files: Files) -> ServerContext:
    try:
        return ServerContext(files, lambda: _options(config.source, files))
    except OSError as error:
        raise _unreadable(config.source, files, error) from None


@lru_cache(maxsize=8)
def _clients(source: str, files: Files) -> Renewing:
    """By name, each made once: a dial costs no reading of files."""
    try:
        return Renewing(files, lambda: lru_cache(maxsize=1000)(_client_maker(source, files)))
    except OSError as error:
        raise _unreadable(source, files, error) from None


def _client_maker(source: str, files: Files) -> Callable[[str], object]:
    loaded = _load(source, files)
    from twisted.internet.ssl import TLSVersion, optionsForClientTLS

    def make(server_name: str) -> object:
        extra = dict(loaded.arguments(), raiseMinimumTo=TLSVersion.TLSv1_2)
        try:
            return optionsForClientTLS(server_name, loaded.trust_root(), extraCertificateOptions=extra)
        except UnicodeError:
            raise _error(source, "cluster.ca", f"no certificate can be that of {server_name!r}") from None

    return make


def _options(source: str, files: Files) -> CertificateOptions:
    loaded = _load(source, files)
    from OpenSSL.SSL import Error
    from twisted.internet.ssl import CertificateOptions, TLSVersion

    # pyOpenSSL takes these, and warns of its own older classes; Twisted's types name only those.
    make = cast(Any, CertificateOptions)
    options = make(**loaded.arguments(), trustRoot=loaded.trust_root(), raiseMinimumTo=TLSVersion.TLSv1_2)
    try:
        options.getContext()
    except Error as error:
        raise _error(source, f"{files.section}.key", f"OpenSSL refuses {files.key}: {error}") from None
    return cast("CertificateOptions", options)


@frozen
class _Loaded:
    leaf: Certificate
    chain: list[Certificate]
    private: Any
    authorities: list[Certificate]

    def arguments(self) -> dict[str, Any]:
        return {
            "privateKey": self.private,
            "certificate": self.leaf,
            "extraCertChain": self.chain or None,
        }

    def trust_root(self) -> Any:
        """None: the other side need not show a certificate."""
        if not self.authorities:
            return None
        from OpenSSL.crypto import X509
        from twisted.internet.ssl import Certificate, trustRootFromCertificates

        return trustRootFromCertificates(
            [cast(Any, Certificate)(X509.from_cryptography(each)) for each in self.authorities]
        )


def _load(source: str, files: Files) -> _Loaded:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    leaf, *chain = _certificates(source, files, "certificate", files.certificate)
    try:
        private = load_pem_private_key(_read(source, files, "key", files.key), None)
    except (ValueError, TypeError):
        reason = f"{files.key} holds no PEM key that needs no password"
        raise _error(source, f"{files.section}.key", reason) from None
    if private.public_key() != leaf.public_key():
        reason = f"{files.key} is not the key of {files.certificate}"
        raise _error(source, f"{files.section}.key", reason)
    authorities = [] if files.ca is None else _certificates(source, files, "ca", files.ca)
    return _Loaded(leaf, chain, private, authorities)


def _certificates(source: str, files: Files, key: str, path: str) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(_read(source, files, key, path))
    except ValueError:
        raise _error(source, f"{files.section}.{key}", f"{path} holds no PEM certificate") from None


def _read(source: str, files: Files, key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = f"cannot read {path}: {error.strerror}"
        raise _error(source, f"{files.section}.{key}", reason) from None


def _unreadable(source: str, files: Files, error: OSError) -> ConfigError:
    keys = {files.certificate: "certificate", files.key: "key", files.ca: "ca"}
    key = keys.get(str(error.filename), "certificate")
    return _error(source, f"{files.section}.{key}", f"cannot read {error.filename}: {error.strerror}")


def _error(source: str, key: str, reason: str) -> ConfigError:
    return ConfigError(f"{source or 'cgnode'}: {key}: {reason}")
