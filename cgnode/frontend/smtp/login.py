"""Authentication in a dialogue: the core's questions to the Authenticator, its verdicts as
replies (RFC 4954 section 6); and the time that a client has for it.

What must not live here: who has which password (``authentication``), mechanisms (``sasl``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from twisted.python.failure import Failure

from cgnode.frontend.authentication import Denied, Granted, Unavailable, Verdict
from cgnode.frontend.smtp.counters import Counters
from cgnode.frontend.smtp.desk import Desk
from cgnode.net.connection import Connection
from cgnode.proto.sasl import Credentials, KeysWanted, Proven, ScramKeys
from cgnode.proto.smtp.answers import WRONG_CREDENTIALS
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.router import AccountRecord
from ldapserver.net.reactor import DelayedCall

log = logging.getLogger(__name__)

UNAVAILABLE: Final = Reply(454, "4.7.0", "authentication is not possible for now")


class Login:
    """``granted`` is called with the client's account, once it is known."""

    def __init__(
        self,
        desk: Desk,
        core: Server,
        connection: Connection,
        counters: Counters,
        granted: Callable[[AccountRecord], None],
    ) -> None:
        self._desk = desk
        self._core = core
        self._connection = connection
        self._counters = counters
        self._granted = granted
        self._timer: DelayedCall | None = None

    def expect(self, seconds: float, too_late: Callable[[], None]) -> None:
        """Unless the client is known after so long, ``too_late`` is called."""
        self._timer = self._desk.reactor.callLater(seconds, too_late)

    def stop(self) -> None:
        """The client is known, or gone."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def take(self, question: Credentials | KeysWanted | Proven, source: str) -> None:
        """``source``: the client's address."""
        authenticator = self._desk.authenticator
        match question:
            case Credentials(name, password, authzid):
                verdict = authenticator.check(name, password, authzid, source)
                verdict.addCallbacks(self._decided, self._broken, callbackArgs=(name, source))
            case Proven(name, authzid):
                verdict = authenticator.proven(name, authzid, source)
                verdict.addCallbacks(self._decided, self._broken, callbackArgs=(name, source))
            case KeysWanted(name):
                keys = authenticator.keys(name)
                if isinstance(keys, ScramKeys):
                    self._connection.answer(self._core.keys(keys))
                else:
                    self._decided(keys, name, source)

    def _decided(self, verdict: Verdict, name: str, source: str) -> None:
        if not self._connection.open:
            return
        session = self._connection.origin.session
        match verdict:
            case Granted(account):
                self.stop()
                self._counters.logins += 1
                self._granted(account)
                answer = self._core.authenticated(str(account.address))
            case Denied(reason):
                self._counters.login_failures += 1
                log.info("%s log-in from %s as %r failed: %s", session, source, name, reason)
                answer = self._core.refuse(WRONG_CREDENTIALS)
            case Unavailable(reason):
                log.warning("%s log-in from %s as %r is not possible: %s", session, source, name, reason)
                answer = self._core.refuse(UNAVAILABLE)
        self._connection.answer(answer)

    def _broken(self, failure: Failure) -> None:
        log.error("%s log-in: %s", self._connection.origin.session, failure.getTraceback())
        if self._connection.open:
            self._connection.answer(self._core.refuse(UNAVAILABLE))
