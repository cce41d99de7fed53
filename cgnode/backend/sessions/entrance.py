"""Who is let in at a backend: a frontend, by the cluster's credential, for any account; and a
user, by the user's own.

What must not live here: how passwords are kept, and how a protocol says no.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hmac
import re
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, TypeAlias, assert_never

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, succeed

from cgnode.backend.sessions.hosting import Elsewhere, Here, Hosting, Nobody, Unsure
from cgnode.destinations import CLUSTER as CLUSTER
from cgnode.destinations import HOPS
from cgnode.frontend.authentication import Authenticator, Denied, Granted, Unavailable
from cgnode.proto import sasl
from ldapserver.net.reactor import Reactor


@frozen
class Client:
    """Who is at the far end, as a frontend tells.  ``hops``: how many proxies
    may follow."""

    address: str
    port: int
    session: str
    hops: int = HOPS


@frozen
class Admitted:
    """``cluster``: by the cluster's credential, so that what was said of the client is so."""

    place: Here | Elsewhere
    cluster: bool


Verdict: TypeAlias = Admitted | Nobody | Unsure


@frozen
class Entrance:
    """``authenticator`` is for users who come to this backend by themselves; None lets in
    frontends only.  A wrong cluster credential is answered ``delay`` seconds later.
    ``patience``: seconds in which an account that a node takes to be here may become so,
    since the node may have heard of it first."""

    reactor: Reactor
    hosting: Hosting
    secret: bytes = field(repr=False)
    authenticator: Authenticator | None = None
    delay: float = 2.0
    patience: float = 0.5

    def admit(self, credentials: sasl.Credentials, source: str) -> Deferred[Verdict]:
        """``source`` is the peer's address."""
        if credentials.authcid == CLUSTER and credentials.authzid:
            return self._admit_node(credentials)
        if self.authenticator is None:
            return self._later(Nobody("only frontends are let in here"))
        checked = self.authenticator.check(
            credentials.authcid, credentials.password, credentials.authzid, source
        )
        return checked.addCallback(self._admit_user)

    def _admit_node(self, credentials: sasl.Credentials) -> Deferred[Verdict]:
        if not self.secret or not hmac.compare_digest(credentials.password, self.secret):
            return self._later(Nobody("wrong cluster credential"))
        place = self.hosting.find(credentials.authzid)
        if isinstance(place, Here):
            return succeed(Admitted(place, True))
        return _Waiting(self.hosting, credentials.authzid).wait(self.reactor, self.patience)

    def _later(self, verdict: Verdict) -> Deferred[Verdict]:
        answer: Deferred[Verdict] = Deferred()
        self.reactor.callLater(self.delay, answer.callback, verdict)
        return answer

    def _admit_user(self, found: Granted | Denied | Unavailable) -> Verdict:
        match found:
            case Granted(account):
                place = self.hosting.find(str(account.address))
                return place if isinstance(place, Nobody | Unsure) else Admitted(place, False)
            case Denied(reason):
                return Nobody(reason)
            case Unavailable(reason):
                return Unsure(reason)
            case _:
                assert_never(found)


class _Waiting:
    """For the directory to say that an account is here."""

    def __init__(self, hosting: Hosting, user: str) -> None:
        self._hosting = hosting
        self._user = user
        self._done: Deferred[Verdict] = Deferred()

    def wait(self, reactor: Reactor, seconds: float) -> Deferred[Verdict]:
        self._timer = reactor.callLater(seconds, self._finish)
        self._cancel = self._hosting.following.subscribe(self._look)
        return self._done

    def _look(self) -> None:
        if isinstance(self._hosting.find(self._user), Here):
            self._timer.cancel()
            self._finish()

    def _finish(self) -> None:
        self._cancel()
        place = self._hosting.find(self._user)
        match place:
            case Here() | Elsewhere():
                self._done.callback(Admitted(place, True))
            case Nobody(reason):
                # A node knows it, and so its client has the right password.
                self._done.callback(Unsure(f"{reason}, as far as is known here"))
            case Unsure():
                self._done.callback(place)
            case _:
                assert_never(place)


# --- what frontends say of clients ---------------------------------------------------------

_NUMBER: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_SESSION: Final = re.compile(r"[!-~]{1,64}")


def told_by_id(fields: tuple[tuple[bytes, bytes], ...], client: Client) -> Client:
    """IMAP's ID, with the names that Dovecot's proxies use, in lower case."""
    given = {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in fields}
    return _told(
        client,
        given.get("x-originating-ip"),
        given.get("x-originating-port"),
        given.get("x-session-id"),
        given.get("x-proxy-ttl"),
    )


def told_by_xclient(fields: tuple[tuple[str, str], ...], client: Client) -> Client:
    """POP3's XCLIENT, with Dovecot's names, in capitals."""
    given = dict(fields)
    return _told(client, given.get("ADDR"), given.get("PORT"), given.get("SESSION"), given.get("TTL"))


def _told(
    client: Client, address: str | None, port: str | None, session: str | None, hops: str | None
) -> Client:
    """What is no such value is left as it was."""
    with suppress(ValueError):
        client = evolve(client, address=str(ip_address(address or "")), port=0)
    if port and _NUMBER.fullmatch(port):
        client = evolve(client, port=int(port))
    if session and _SESSION.fullmatch(session):
        client = evolve(client, session=session)
    if hops and _NUMBER.fullmatch(hops):
        client = evolve(client, hops=min(int(hops), HOPS))
    return client
