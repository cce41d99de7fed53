"""One client's log-in, whichever its protocol: who it is, its host, and the joining of the two.

What lives here: the order of things, the bounds on them, and the log of how it ended.  What
must not: a protocol's words (``imap``, ``pop3``).

A question of the core is answered once, and not after the connection has ended (``_over``).
Nothing of this outlives the log-in: once joined, a session is its two sockets and an entry
in ``sessions``.
"""

from __future__ import annotations

import logging
from enum import Enum
from ipaddress import ip_address
from typing import Any, Final

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cgnode.config.common import Network
from cgnode.config.frontend import LoginLimits
from cgnode.deadlines import Deadlines
from cgnode.destinations import Proto, Unreached, Wanted, Why
from cgnode.frontend.authentication import Authenticator, Denied, Granted, Unavailable, Verdict
from cgnode.frontend.sessions import Session, Sessions
from cgnode.joining import Joining, Reached, Reaching
from cgnode.net.connection import Connection
from cgnode.net.join import join
from cgnode.proto import sasl
from cgnode.router import AccountRecord
from ldapserver.net.reactor import Reactor

log = logging.getLogger(__name__)


class Refusal(Enum):
    """What a client is told; the values are labels in logs and metrics."""

    WRONG = "auth_failed"
    UNAVAILABLE = "temp_failed"
    IN_USE = "in_use"
    TOO_MANY = "too_many_sessions"


@define
class Counters:
    logins: int = 0
    refused: dict[str, int] = field(factory=dict)
    """By label: a ``Refusal``'s or a ``Why``'s."""
    dropped: int = 0
    """Clients that went before they were logged in."""

    def count(self, label: str) -> None:
        self.refused[label] = self.refused.get(label, 0) + 1


@frozen
class Parts:
    """What the log-ins of a frontend have in common.  ``tls`` is the context that clients
    see, if there is one; ``clear_text``: passwords may come without, from anywhere;
    ``trusted`` networks may say who the client is."""

    reactor: Reactor
    authenticator: Authenticator
    joining: Joining
    sessions: Sessions
    limits: LoginLimits = LoginLimits()
    tls: Any = None
    clear_text: bool = False
    trusted: tuple[Network, ...] = ()
    counters: Counters = field(factory=Counters)
    time: Deadlines = field(init=False)

    @time.default
    def _time(self) -> Deadlines:
        return Deadlines(self.reactor, self.limits.time)

    def trusts(self, address: str) -> bool:
        if not self.trusted:
            return False
        try:
            host = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(host in network for network in self.trusted)


class Login:
    """A handler of one connection, as far as the protocols agree."""

    PROTO: Proto

    __slots__ = (
        "_connection",
        "_name",
        "_origin",
        "_over",
        "_parts",
        "_password",
        "_reached",
        "_reaching",
        "_session",
    )

    def __init__(self, parts: Parts, connection: Connection) -> None:
        self._parts = parts
        self._connection = connection
        self._origin = connection.origin
        self._over = False
        self._name = ""
        self._password = b""
        self._session: Session | None = None
        self._reaching: Reaching | None = None
        self._reached: Reached | None = None
        parts.time.start(self._too_slow)

    # --- the protocol's ---------------------------------------------------------------

    def _accept(self, reached: Reached) -> bytes:
        """The core's answer to who may be here."""
        raise NotImplementedError

    def _refuse(self, refusal: Refusal) -> bytes:
        """The core's answer to who may not, or not now."""
        raise NotImplementedError

    def _keys(self, keys: sasl.ScramKeys) -> bytes:
        raise NotImplementedError

    def _goodbye(self, text: str) -> bytes:
        """The core's last words from this side."""
        raise NotImplementedError

    def _unread(self) -> bytes:
        """What the client has sent behind its log-in."""
        raise NotImplementedError

    # --- who it is --------------------------------------------------------------------

    def _check(self, asked: sasl.Credentials) -> None:
        self._name, self._password = asked.authcid, asked.password
        source = self._origin.client
        self._await(
            self._parts.authenticator.check(asked.authcid, asked.password, asked.authzid, source=source)
        )

    def _give_keys(self, asked: sasl.KeysWanted) -> None:
        self._name = asked.authcid
        keys = self._parts.authenticator.keys(asked.authcid)
        if isinstance(keys, Unavailable):
            self._judge(keys)
        else:
            self._connection.answer(self._keys(keys))

    def _check_proven(self, asked: sasl.Proven) -> None:
        source = self._origin.client
        self._await(self._parts.authenticator.proven(asked.authcid, asked.authzid, source=source))

    def _disproved(self, authcid: str) -> None:
        self._await(self._parts.authenticator.disproved(authcid, source=self._origin.client))

    def _await(self, verdict: Deferred[Verdict]) -> None:
        verdict.addCallbacks(self._judge, self._broken)

    def _broken(self, failure: Failure) -> None:
        log.error("%s the check of a log-in failed:\n%s", self._origin.session, failure.getTraceback())
        if not self._over:
            self._say(Refusal.UNAVAILABLE, Refusal.UNAVAILABLE.value, "internal error")

    def _judge(self, verdict: Verdict) -> None:
        if self._over:
            return
        match verdict:
            case Granted(account):
                self._admit(account)
            case Denied(reason):
                self._say(Refusal.WRONG, Refusal.WRONG.value, reason)
            case Unavailable(reason):
                self._say(Refusal.UNAVAILABLE, Refusal.UNAVAILABLE.value, reason)

    # --- its host ---------------------------------------------------------------------

    def _admit(self, account: AccountRecord) -> None:
        self._session = self._parts.sessions.admit(account, self.PROTO, self._origin)
        password, self._password = self._password, b""
        if self._session is None:
            self._say(Refusal.TOO_MANY, Refusal.TOO_MANY.value, "too many sessions from there")
            return
        self._session.stop = self._stop
        wanted = Wanted(self.PROTO, account, self._origin, password)
        reaching = self._parts.joining.reach(wanted, self._arrived)
        if self._reached is None and self._session is not None:
            self._reaching = reaching

    def _arrived(self, result: Reached | Unreached) -> None:
        self._reaching = None
        if isinstance(result, Unreached):
            self._leave()
            self._say(_REFUSALS.get(result.why, Refusal.UNAVAILABLE), result.why.value, result.reason)
            return
        result.lost = self._backend_lost
        self._reached = result
        self._connection.answer(self._accept(result))

    def _backend_lost(self, reason: str) -> None:
        """Between its welcome and ours."""
        self._stop("the mailbox has become unavailable; connect again")

    def _drop(self) -> None:
        """The client does not want it any more, though it may go on here."""
        reaching, self._reaching = self._reaching, None
        if reaching is not None:
            reaching.cancel()
        reached, self._reached = self._reached, None
        if reached is not None:
            reached.lost = None
            reached.connection.close()
        self._leave()

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.leave()

    # --- the two as one ---------------------------------------------------------------

    def _join(self) -> None:
        """The client has been told that it is logged in."""
        session, reached = self._session, self._reached
        self._session = self._reached = None
        self._end()
        if session is None or reached is None:
            self._connection.abort("the mailbox is gone")
            return
        reached.lost = None
        log.info(
            "%s %s login %s from %s as %s, on %s",
            self._origin.session,
            self.PROTO.value,
            session.account,
            self._origin.client,
            self._name,
            reached.host,
        )
        self._parts.counters.logins += 1
        joined = join(self._connection, reached.connection, session.leave, self._unread(), reached.unread())
        session.begin(reached.host, joined)

    # --- the end ----------------------------------------------------------------------

    def _say(self, refusal: Refusal, label: str, reason: str) -> None:
        self._parts.counters.count(label)
        log.log(
            # That a backend doesn't take our credential is for the operator to see to.
            logging.WARNING if label == Why.REFUSED.value else logging.INFO,
            # What the client makes up stands behind its address, which is not taken from there.
            "%s %s login from %s refused: %s: %s: %s",
            self._origin.session,
            self.PROTO.value,
            self._origin.client,
            self._name,
            label,
            reason,
        )
        self._password = b""
        self._connection.answer(self._refuse(refusal))

    def _too_slow(self) -> None:
        self._stop("logging in took too long")

    def _stop(self, text: str) -> None:
        """End it from this side."""
        if not self._over:
            self._connection.close(self._goodbye(text), text)
            self._end()
            self._drop()

    def _close(self, last_words: bytes, reason: str) -> None:
        """The core has ended it."""
        self._end()
        self._connection.close(last_words, reason)
        self._drop()

    def _end(self) -> None:
        self._over = True
        self._parts.time.stop(self._too_slow)

    def timed_out(self) -> None:
        self._stop("nothing was said for too long")

    def lost(self, reason: str) -> None:
        if not self._over:
            self._parts.counters.dropped += 1
            log.info("%s %s gone before log-in: %s", self._origin.session, self.PROTO.value, reason)
            self._end()
        self._drop()

    # --- a proxy's word for the client ------------------------------------------------

    def _forwarded(self, client: str, port: str, session: str) -> None:
        """What a peer that is trusted says; what is no address is left out."""
        try:
            address = str(ip_address(client))
        except ValueError:
            return
        number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
        named = session if session.isascii() and session.isalnum() and len(session) <= 64 else ""
        self._origin = evolve(
            self._origin, client=address, client_port=number, session=named or self._origin.session
        )


_REFUSALS: Final = {Why.PASSWORD_REFUSED: Refusal.WRONG, Why.IN_USE: Refusal.IN_USE}
