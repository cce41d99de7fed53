"""TLS for the node's listeners, from the PEM files that the configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cgnode.config import Config

if TYPE_CHECKING:
    from twisted.internet.ssl import CertificateOptions


def server_context(config: Config) -> CertificateOptions | None:
    """What Twisted makes TLS connections with; None without a certificate.  Raises ConfigError."""
    tls = config.ldap.tls
    if tls is None:
        return None
    # Only now: this takes a while to load, and most nodes on a loopback do without.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates
    from OpenSSL.SSL import Error
    from twisted.internet.ssl import CertificateOptions

    certificates, key = _pem(config, "certificate", tls.certificate), _pem(config, "key", tls.key)
    try:
        leaf, *chain = load_pem_x509_certificates(certificates)
    except ValueError:
        raise config.error("ldap.tls.certificate", f"{tls.certificate} holds no PEM certificate") from None
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise config.error("ldap.tls.key", f"{tls.key} holds no PEM key that needs no password") from None
    # pyOpenSSL takes these, and warns of its own older classes; Twisted's types name only those.
    options = cast(Any, CertificateOptions)(private, leaf, extraCertChain=chain or None)
    try:
        options.getContext()
    except Error:
        raise config.error("ldap.tls.key", f"{tls.key} is not the key of {tls.certificate}") from None
    return cast(CertificateOptions, options)


def _pem(config: Config, key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise config.error(f"ldap.tls.{key}", f"cannot read {path}: {error.strerror}") from None
