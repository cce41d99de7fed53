"""What is wrong with a TLS connection, for people: OpenSSL and service-identity raise what only
programmers read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def tls_trouble(error: BaseException | None) -> str:
    """In a few words; "" for what is no trouble of TLS."""
    # Loaded by now if there is any TLS; else there is nothing to tell.
    from OpenSSL.SSL import Error
    from service_identity import CertificateError, VerificationError

    match error:
        case VerificationError():
            wanted = ", ".join(_names(error.errors)) or "the server that is wanted"
            return f"TLS: the certificate is not that of {wanted}"
        case CertificateError():
            return f"TLS: {error}"
        case Error(args=([*faults],)) if faults:
            return f"TLS: {', '.join(str(fault[-1]) for fault in faults)}"
        case Error():
            return "TLS: broken off"
        case _:
            return ""


def _names(mismatches: Any) -> Iterator[str]:
    for mismatch in mismatches:
        wanted = mismatch.mismatched_id
        name = getattr(wanted, "hostname", b"")
        if name:
            yield name.decode("ascii", "replace")
        elif hasattr(wanted, "ip"):
            yield str(wanted.ip)
