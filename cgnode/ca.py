"""The cluster's certificate authority: its certificate, and those of the servers.

What lives here: what a certificate says (RFC 5280), as PEM in and PEM out.  What must
not: files, command lines, TLS.

A server's certificate names it as the servers' table does, and is both a server's and a
client's, since every node is both.  There are no revocations: a site whose key was lost
makes another authority.  To go over from one authority to another, have both certificates
in every node's ``ca`` file, issue anew, and take the old one out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 730

# The nodes' clocks need not agree to the second.
_EARLIER: Final = timedelta(hours=1)


class CaError(Exception):
    """Why there is no certificate: one line for the operator."""


@frozen
class Pair:
    """A certificate and its key, each as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@frozen
class Facts:
    """What an operator wants to know of a certificate.  ``names`` are what it is good for."""

    subject: str
    names: tuple[str, ...]
    authority: bool
    begins: datetime
    ends: datetime
    fingerprint: str


def new_authority(name: str, now: datetime, days: int = AUTHORITY_DAYS) -> Pair:
    """An authority of its own.  ``name`` is for people."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    builder = _builder(subject, subject, key.public_key(), now, now + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return _signed(builder, key, key)


def issue(
    authority: Pair, name: str, now: datetime, days: int = SERVER_DAYS, also: Sequence[str] = ()
) -> Pair:
    """A certificate with a new key for the server of this name, good for ``also`` too, by
    which clients know it that don't ask the servers' table.  Raises CaError."""
    own, own_key = _loaded(authority)
    if own.not_valid_after_utc <= now:
        raise CaError(f"the authority's certificate ended on {own.not_valid_after_utc:%Y-%m-%d}")
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + timedelta(days=days), own.not_valid_after_utc)
    builder = _builder(_subject(name), own.subject, key.public_key(), now, ends)
    names = x509.SubjectAlternativeName([_general_name(each) for each in dict.fromkeys((name, *also))])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key.public_key())
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (usage, False),
        (names, False),
        (issuer, False),
    ):
        builder = builder.add_extension(extension, critical)
    return _signed(builder, key, own_key)


def read_facts(pem: bytes) -> Facts:
    """Raises CaError."""
    certificate = _certificate(pem)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(each.value) for each in extension)
    except x509.ExtensionNotFound:
        names = ()
    try:
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Facts(
        str(common[0].value) if common else certificate.subject.rfc4514_string(),
        names,
        authority,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def is_issued_by(pem: bytes, authority: bytes) -> bool:
    """Whether the authority has signed it."""
    try:
        _certificate(pem).verify_directly_issued_by(_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _loaded(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = _certificate(pair.certificate)
    try:
        key = load_pem_private_key(pair.key, None)
    except (ValueError, TypeError):
        raise CaError("the authority's key is no PEM key that needs no password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CaError("the authority's key is not one of an elliptic curve")
    if key.public_key() != certificate.public_key():
        raise CaError("the authority's key is not that of its certificate")
    return certificate, key


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise CaError("this is no PEM certificate") from None


def _subject(name: str) -> x509.Name:
    # RFC 5280 appendix A.1: a common name has at most 64 characters; the whole is below.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general_name(name: str) -> x509.GeneralName:
    """Section 4.2.1.6; a server may be called by its address."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if "_" in name:
        raise CaError(f"{name} can't be in a certificate: a host's name has no _ (RFC 1123 section 2.1)")
    try:
        return x509.DNSName(name)
    except ValueError:
        raise CaError(f"{name} can't be in a certificate: it is no host's name, and no address") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(now - _EARLIER).not_valid_after(ends)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> Pair:
    certificate = builder.sign(signer, hashes.SHA256())
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
