"""The log-in of one session: who comes, whether the mailbox is here, and the way to where it
is instead; and that the session is known (``frontend.sessions``) until it is over.

What must not live here: either protocol's words, which are the ``Entering``'s.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from enum import Enum
from typing import Final, Protocol, assert_never

from attrs import define, evolve, field, frozen
from twisted.python.failure import Failure

from cgnode.backend.sessions.entrance import Admitted, Client, Entrance, Verdict
from cgnode.backend.sessions.hosting import Elsewhere, Here, Nobody, Opener, Unsure
from cgnode.destinations import Proto, Unreached, Wanted, Why
from cgnode.frontend.sessions import Session, Sessions
from cgnode.joining import Joining, Reached, Reaching
from cgnode.net.connection import Connection
from cgnode.net.join import join
from cgnode.proto import sasl
from cgnode.router import AccountRecord
from ldapserver.net.reactor import DelayedCall

log = logging.getLogger(__name__)


class Refusal(Enum):
    """What a client is told."""

    WRONG = "auth_failed"
    UNAVAILABLE = "temp_failed"
    IN_USE = "in_use"


_REFUSALS: Final = {Why.PASSWORD_REFUSED: Refusal.WRONG, Why.IN_USE: Refusal.IN_USE}


@define
class Counters:
    """Of log-ins."""

    served: int = 0
    passed_on: int = 0
    denied: int = 0
    unavailable: int = 0


@frozen
class Reception:
    """What the log-ins of all sessions have in common.  ``joining`` is the way to other hosts;
    without it their accounts are refused.  ``patience``: seconds for a client to log in."""

    entrance: Entrance
    opener: Opener
    sessions: Sessions
    joining: Joining | None = None
    patience: float = 60.0
    counters: Counters = field(factory=Counters)


class Entering(Protocol):
    """The session that somebody logs in to."""

    def enter(self, place: Here) -> None:
        """Open what is here, then call ``Login.entered`` or ``Login.failed``."""

    def welcome(self, capabilities: tuple[str, ...]) -> None:
        """Tell the client that it is logged in, to a host that can do this."""

    def refuse(self, refusal: Refusal) -> None:
        """Say no, and let it try again."""

    def end(self, reason: str) -> None: ...


class Login:
    def __init__(
        self, reception: Reception, protocol: Proto, connection: Connection, session: Entering
    ) -> None:
        origin = connection.origin
        self.client = Client(origin.client, origin.client_port, origin.session)
        """As far as it is known for sure."""
        self.told = self.client
        """As the peer says; true if it is a node."""
        self._reception = reception
        self._protocol = protocol
        self._connection = connection
        self._session = session
        self._over = False
        self._user = ""
        self._password = b""
        self._entry: Session | None = None
        self._reaching: Reaching | None = None
        self._reached: Reached | None = None
        self._timer: DelayedCall | None = reception.entrance.reactor.callLater(
            reception.patience, session.end, "logging in took too long"
        )

    # --- who it is ------------------------------------------------------------------------

    def admit(self, credentials: sasl.Credentials) -> None:
        user = credentials.authzid or credentials.authcid
        self._user = user if user.isprintable() and len(user) <= 200 else ascii(user[:200])
        self._password = b"" if credentials.authzid else credentials.password
        admitted = self._reception.entrance.admit(credentials, self._connection.origin.client)
        admitted.addCallback(self._decide).addErrback(self._broken)

    def _decide(self, verdict: Verdict) -> None:
        if self._over:
            return
        match verdict:
            case Admitted(place, cluster):
                if cluster:
                    self.client = self.told
                self._admitted(place)
            case Nobody(reason):
                self._refuse(Refusal.WRONG, reason)
            case Unsure(reason):
                self._refuse(Refusal.UNAVAILABLE, reason)
            case _:
                assert_never(verdict)

    def _admitted(self, place: Here | Elsewhere) -> None:
        client = self.client
        origin = evolve(
            self._connection.origin,
            client=client.address,
            client_port=client.port,
            session=client.session,
        )
        host = place.host if isinstance(place, Elsewhere) else self._reception.entrance.hosting.name.lower()
        account = AccountRecord(place.dn, place.address, host)
        self._entry = self._reception.sessions.admit(account, self._protocol, origin)
        password, self._password = self._password, b""
        if self._entry is None:
            self._refuse(Refusal.UNAVAILABLE, "too many sessions")
            return
        self._entry.stop = self._session.end
        if isinstance(place, Here):
            self._session.enter(place)
        elif self._reception.joining is None:
            self._refuse(Refusal.UNAVAILABLE, f"the mailbox is on {place.host}")
        else:
            wanted = Wanted(self._protocol, account, origin, password, client.hops)
            reaching = self._reception.joining.reach(wanted, self._arrived)
            if self._reached is None and self._entry is not None:
                self._reaching = reaching

    # --- how it went ----------------------------------------------------------------------

    def entered(self) -> None:
        """The mailbox is open."""
        self._stop_waiting()
        self._reception.counters.served += 1
        self._log("login of %s", self._user)

    def failed(self, refusal: Refusal, reason: str) -> None:
        """The mailbox could not be opened."""
        if not self._over:
            self._refuse(refusal, reason)

    def _refuse(self, refusal: Refusal, reason: str) -> None:
        counters = self._reception.counters
        if refusal is Refusal.WRONG:
            counters.denied += 1
        else:
            counters.unavailable += 1
        self._log("login of %s refused: %s: %s", self._user, refusal.value, reason)
        self._leave()
        self._session.refuse(refusal)

    def _broken(self, failure: Failure) -> None:
        log.error("%s log-in: %s", self.client.session, failure.getTraceback())
        if not self._over:
            self._session.end("internal error")

    # --- another host ---------------------------------------------------------------------

    def _arrived(self, result: Reached | Unreached) -> None:
        self._reaching = None
        if isinstance(result, Unreached):
            self._refuse(_REFUSALS.get(result.why, Refusal.UNAVAILABLE), result.reason)
            return
        result.lost = lambda _: self._session.end("the mailbox has become unavailable")
        self._reached = result
        self._session.welcome(result.capabilities)

    @property
    def joins(self) -> bool:
        """Whether the client is with another host, once it has been told."""
        return self._reached is not None

    def join(self, unread: bytes) -> None:
        """It has been told.  The other host is told what is ``unread``; this session is no more."""
        reached, entry = self._reached, self._entry
        assert reached is not None, "there is nobody to be joined to"
        assert entry is not None, "who is joined is known"
        self._over = True
        self._stop_waiting()
        self._reached = self._entry = None
        reached.lost = None
        self._reception.counters.passed_on += 1
        self._log("login of %s passed on to %s", self._user, reached.host)
        joined = join(self._connection, reached.connection, entry.leave, unread, reached.unread())
        entry.begin(reached.host, joined)

    # --- the end --------------------------------------------------------------------------

    def over(self, reason: str) -> None:
        """The connection is gone."""
        self._over = True
        self._stop_waiting()
        if self._entry is not None:
            self._log("session of %s ended: %s", self._user, reason)
        self._leave()
        reaching, self._reaching = self._reaching, None
        if reaching is not None:
            reaching.cancel()
        reached, self._reached = self._reached, None
        if reached is not None:
            reached.lost = None
            reached.connection.close()

    def _stop_waiting(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _leave(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            entry.leave()

    def _log(self, text: str, *values: object) -> None:
        """The client's address first: no name that it makes up is taken for our words."""
        client = self.client
        log.info(f"%s %s from %s: {text}", client.session, self._protocol.value, client.address, *values)
