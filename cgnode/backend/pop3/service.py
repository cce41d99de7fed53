"""What all POP3 sessions of a backend have in common."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from cgnode.backend.pop3.session import Pop3Session
from cgnode.backend.sessions.login import Reception
from cgnode.net.connection import Connection, Origin
from cgnode.proto import sasl
from cgnode.proto.pop3.login import Limits, Settings
from ldapserver.net.reactor import Reactor

MECHANISMS: Final = (sasl.PLAIN, sasl.LOGIN)


@frozen
class Times:
    """In seconds.  ``idle`` is how long a client may be silent behind log-in (RFC 1939 section
    3 has no less than 600)."""

    idle: float = 600.0


@frozen
class Pop3Backend:
    """``make`` is for a listener.  ``pool``: threads for the store, bounded; ``tls``: the
    context for STLS, if that is offered; ``clear_text``: passwords may come without TLS also
    from other machines."""

    reactor: Reactor
    pool: Any
    reception: Reception
    tls: Any = None
    clear_text: bool = False
    hostname: str = ""
    times: Times = Times()
    limits: Limits = Limits()

    def make(self, connection: Connection) -> Pop3Session:
        return Pop3Session(self, connection)

    def settings(self, origin: Origin) -> Settings:
        return Settings(
            mechanisms=MECHANISMS,
            start_tls=self.tls is not None,
            clear_text=self.clear_text or origin.loopback,
            greeting=f"{self.hostname} POP3 ready".lstrip(),
            limits=self.limits,
        )
