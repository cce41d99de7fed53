from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cgnode.config import Config, LdapConfig, Tls
from cgnode.tables import ConfigError
from cgnode.tls import server_context


def make_pair(folder: Path, name: str) -> Tls:
    """A host's self-signed certificate and its key as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    tls = Tls(folder / f"{name}.pem", folder / f"{name}.key")
    tls.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return tls


def config(tls: Tls | None) -> Config:
    return Config(source="site.toml", ldap=LdapConfig(tls=tls))


def test_without_a_certificate_there_is_none() -> None:
    assert server_context(config(None)) is None


def test_a_certificate_with_its_chain(tmp_path: Path) -> None:
    tls, issuer = make_pair(tmp_path, "leaf"), make_pair(tmp_path, "issuer")
    tls.certificate.write_bytes(tls.certificate.read_bytes() + issuer.certificate.read_bytes())
    context = server_context(config(tls))
    assert context is not None
    assert len(context.extraCertChain) == 1


def test_a_key_that_is_not_the_certificates(tmp_path: Path) -> None:
    tls = Tls(make_pair(tmp_path, "a").certificate, make_pair(tmp_path, "b").key)
    with pytest.raises(ConfigError) as caught:
        server_context(config(tls))
    assert str(caught.value) == f"site.toml: ldap.tls.key: {tls.key} is not the key of {tls.certificate}"


def test_a_file_that_holds_no_key(tmp_path: Path) -> None:
    tls = make_pair(tmp_path, "a")
    with pytest.raises(ConfigError, match=r"ldap\.tls\.key: .* holds no PEM key"):
        server_context(config(Tls(tls.certificate, tls.certificate)))
