"""What all IMAP sessions of a backend have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen

from cgnode.backend.imap.idling import Times
from cgnode.backend.imap.kept import Kept
from cgnode.backend.imap.session import ImapSession
from cgnode.backend.sessions.login import Reception
from cgnode.net.connection import Connection, Origin
from cgnode.proto import sasl
from cgnode.proto.imap.dialogue import Limits
from cgnode.proto.imap.login import Settings
from ldapserver.net.reactor import Reactor

MECHANISMS: Final = (sasl.PLAIN, sasl.LOGIN)


@frozen
class ImapBackend:
    """``make`` is for a listener.  ``pool``: threads for the store, bounded; ``clock``: the
    date, in seconds since 1970; ``tls``: the context for STARTTLS, if that is offered;
    ``clear_text``: passwords may come without TLS also from other machines."""

    reactor: Reactor
    pool: Any
    reception: Reception
    clock: Callable[[], float]
    tls: Any = None
    clear_text: bool = False
    hostname: str = ""
    times: Times = Times()
    limits: Limits = Limits()
    kept: Kept = field(factory=Kept)

    def make(self, connection: Connection) -> ImapSession:
        return ImapSession(self, connection)

    def settings(self, origin: Origin) -> Settings:
        return Settings(
            mechanisms=MECHANISMS,
            start_tls=self.tls is not None,
            clear_text=self.clear_text or origin.loopback,
            greeting=f"{self.hostname} IMAP ready".lstrip(),
            limits=self.limits,
        )
