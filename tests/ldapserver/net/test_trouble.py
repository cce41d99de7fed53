"""What people are told of a TLS connection that comes to nothing."""

from __future__ import annotations

import pytest
from OpenSSL.SSL import Error, SysCallError
from service_identity import CertificateError, VerificationError
from service_identity.exceptions import DNSMismatch
from service_identity.hazmat import DNS_ID

from ldapserver.net.trouble import tls_trouble


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            VerificationError(errors=[DNSMismatch(mismatched_id=DNS_ID("be1"))]),
            "TLS: the certificate is not that of be1",
        ),
        (VerificationError(errors=[]), "TLS: the certificate is not that of the server that is wanted"),
        (CertificateError("it names nobody"), "TLS: it names nobody"),
        (Error([("SSL routines", "", "certificate verify failed")]), "TLS: certificate verify failed"),
        (Error([]), "TLS: broken off"),
        (SysCallError(-1, "Unexpected EOF"), "TLS: broken off"),
        (OSError("another trouble"), ""),
        (None, ""),
    ],
)
def test_words(error: BaseException | None, text: str) -> None:
    assert tls_trouble(error) == text
