"""certificateExactMatch: certificates and assertions by serial number and issuer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import NameOID, ObjectIdentifier

from ldapserver.schema import standard_schema
from ldapserver.schema.certificates import certificate_name

SCHEMA = standard_schema()
KEY = generate_private_key(SECP256R1())
ISSUER = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ärzte, GmbH"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Test CA"),
        x509.NameAttribute(ObjectIdentifier("1.3.6.1.4.1.99999.7"), "unknown"),
    ]
)


def certificate(serial: int, issuer: x509.Name = ISSUER) -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer, x509.Name([]), KEY.public_key(), serial, now, now + timedelta(days=1)
    )  # fmt: skip
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def normalise(value: bytes) -> bytes:
    rule = SCHEMA.matching_rule("certificateExactMatch")
    assert rule is not None
    return rule.normalise(value)


def test_a_certificate_and_its_assertion_match() -> None:
    value = certificate(12345678901234567890)
    dn = "1.3.6.1.4.1.99999.7=unknown,CN=test ca,O=ärzte\\, gmbh,C=de"
    assertion = f'{{ serialNumber 12345678901234567890, issuer rdnSequence:"{dn}" }}'.encode()
    assert normalise(value) == normalise(assertion) == normalise(certificate(12345678901234567890))
    assert normalise(value) == normalise(assertion.replace(b"rdnSequence:", b""))
    assert SCHEMA.description("userCertificate;binary").type.accepts(value)


def test_others_do_not() -> None:
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Other CA")])
    found = {normalise(certificate(serial, issuer)) for serial in (1, 128, 255) for issuer in (ISSUER, other)}
    assert len(found) == 6


def test_serial_and_issuer() -> None:
    serial, issuer = certificate_name(certificate(255))
    assert serial == 255
    assert str(issuer) == "1.3.6.1.4.1.99999.7=unknown,2.5.4.3=Test CA,2.5.4.10=Ärzte\\, GmbH,2.5.4.6=DE"


@pytest.mark.parametrize(
    "value",
    [
        b"", b"x", b"{", b"{ }", b"{ serialNumber 1 }", b'{ serialNumber 1, issuer "cn" }',
        b'{ serialNumber 1, issuer "\xff" }', b'{ serialNumber x, issuer "cn=a" }',
        b'{ serialNumber 1, issuer "cn=a"',
        bytes.fromhex("3000"), bytes.fromhex("30023000"), bytes.fromhex("30053003020101"),
        bytes.fromhex("30073005020101 3000"), bytes.fromhex("300d300b02010130003004310230ff"),
    ],
)  # fmt: skip
def test_neither(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        normalise(value)


def test_every_cut_and_every_changed_octet_is_survived() -> None:
    value = certificate(1)
    for at in range(len(value)):
        for damaged in (value[:at], value[:at] + bytes((value[at] ^ 0xFF,)) + value[at + 1 :]):
            try:
                normalise(damaged)
            except ValueError:
                continue
