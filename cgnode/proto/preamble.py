"""What a proxy's log-in at a backend has in common in IMAP and POP3.

What lives here: who logs in, and what kinds of failure there are.  What must not: either
protocol.
"""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen


@frozen
class Account:
    """Who logs in, and as whom: with an ``authzid``, ``user`` is a master user or the
    cluster's own credential."""

    user: str
    password: bytes = field(repr=False)
    authzid: str = ""


class Trouble(Enum):
    """What kind of failure it is, for what the client is told and whether to try again."""

    REFUSED = "the server does not take these credentials"
    IN_USE = "another session has the maildrop"
    TEMPORARY = "the server can't serve now"
    PROTOCOL = "the server said what can't be, or lacks what the plan needs"


@frozen
class StartTLS:
    """Begin the handshake and verify who it is; then ``tls_started``."""
