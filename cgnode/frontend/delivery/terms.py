"""How to talk to a destination: dialect, TLS, log-in, and the patience for each step.

What lives here: terms, as values.  What must not: connections, and who is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from cgnode.members import Endpoint
from cgnode.proto.smtp.opening import Profile, Step

SUBMISSIONS: Final = 465
"""The port where TLS is from the start (RFC 8314)."""

Patience = Mapping[Step, float]

_SMTP_DEFAULT: Final = 300.0

SMTP_PATIENCE: Final[Patience] = {
    # RFC 5321 section 4.5.3.2; the rest is five minutes too, or shorter where nothing can
    # take that long.
    **dict.fromkeys(Step, _SMTP_DEFAULT),
    Step.DATA: 120.0,
    Step.TEXT: 180.0,
    Step.MESSAGE: 600.0,
    Step.QUIT: 5.0,
}

LMTP_PATIENCE: Final[Patience] = {
    # A backend is near: what takes longer is broken, and others have its mail to wait for.
    **dict.fromkeys(Step, 60.0),
    **dict.fromkeys((Step.GREETING, Step.HELLO, Step.STARTTLS, Step.HANDSHAKE, Step.AUTH), 5.0),
    Step.QUIT: 2.0,
}

DIAL_LMTP: Final = 3.0
DIAL_SMTP: Final = 30.0

IDLE_LMTP: Final = 30.0
"""How long a channel is kept for the next message."""
IDLE_SMTP: Final = 5.0


@frozen
class Terms:
    """``place`` is where to dial; ``host`` its name, for reports and logs.  ``start_tls`` is
    the context for STARTTLS, ``tls`` that of TLS from the start; ``patience`` by steps."""

    place: Endpoint
    host: str
    profile: Profile
    patience: Patience
    dial: float
    keep: float
    start_tls: Any = None
    tls: Any = None


def unverified(host: str) -> Any:
    """A context for TLS that is better than none: whoever the other side is (RFC 7435)."""
    # Only now: it takes a while to load.
    from OpenSSL.SSL import Connection
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
    from twisted.internet.ssl import CertificateOptions
    from zope.interface import implementer  # type: ignore[import-untyped]

    options = CertificateOptions()

    @implementer(IOpenSSLClientConnectionCreator)
    class Opportunistic:
        def clientConnectionForTLS(self, protocol: object) -> Connection:
            connection = Connection(options.getContext(), None)
            connection.set_app_data(protocol)
            connection.set_tlsext_host_name(host.encode("ascii"))
            return connection

    return Opportunistic()


def verified(host: str) -> Any:
    """A context for a server that must prove to be ``host``, by the system's authorities."""
    from twisted.internet.ssl import optionsForClientTLS

    return optionsForClientTLS(host)
