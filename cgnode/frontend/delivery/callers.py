"""From a destination to a channel: whom to call, on what terms, and who is next when one
does not answer.

What lives here: the ways to each kind of destination.  What must not: messages.
"""

# mypy: disallow-untyped-calls=False
# Twisted's failures are not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from typing import Any, Final, assert_never

from attrs import evolve, field, frozen
from twisted.internet.error import ConnectError
from twisted.python.failure import Failure

from cgnode.config import SmtpConfig
from cgnode.following import Following
from cgnode.frontend.delivery.channel import Channel, Owner, Reading, Unopened
from cgnode.frontend.delivery.exchangers import (
    TO_OURSELVES,
    NoMail,
    NotKnown,
    Resolver,
    addresses,
    exchangers,
)
from cgnode.frontend.delivery.terms import (
    DIAL_LMTP,
    DIAL_SMTP,
    IDLE_LMTP,
    IDLE_SMTP,
    LMTP_PATIENCE,
    SMTP_PATIENCE,
    SUBMISSIONS,
    Terms,
    unverified,
    verified,
)
from cgnode.frontend.queue.values import Destination, Kind
from cgnode.listeners import is_loopback
from cgnode.members import Endpoint
from cgnode.net.connection import Connection
from cgnode.net.dial import dial, why
from cgnode.proto.smtp.opening import Dialect, Login, Profile, Tls
from storage.errors import StoreError

log = logging.getLogger(__name__)

CLUSTER: Final = "cluster"
"""Who a node is to a backend; its password is the cluster's secret."""


@frozen
class Ourselves:
    """This node as a client.  ``tls`` gives the client context for a member's name, or None;
    ``clear_text``: members beyond this machine may be spoken to without TLS.  ``own_names``
    are hosts that are us."""

    hostname: str
    secret: bytes = field(repr=False)
    tls: Callable[[str], Any]
    clear_text: bool
    own_names: frozenset[str]
    smtp: SmtpConfig
    mx_port: int = 25


class Callers:
    def __init__(
        self,
        reactor: Any,
        following: Following,
        ourselves: Ourselves,
        resolver: Resolver,
        random: Random,
        owner: Owner,
        reading: Reading,
    ) -> None:
        self._reactor = reactor
        self._following = following
        self._ourselves = ourselves
        self._resolver = resolver
        self._random = random
        self._owner = owner
        self._reading = reading
        self._backends: dict[str, Terms | None] = {}
        self._us: tuple[frozenset[str], frozenset[Endpoint]] | None = None

    def forget(self) -> None:
        """The directory has changed."""
        self._backends.clear()
        self._us = None

    async def call(self, destination: Destination) -> Channel:
        """Raises Unopened, or NoMail: never."""
        match destination.kind:
            case Kind.BACKEND:
                return await self._call(destination, self._backend(destination.name))
            case Kind.REMOTE if self._ourselves.smtp.smart_host is not None:
                return await self._call(destination, self._smart_host(self._ourselves.smtp.smart_host))
            case Kind.REMOTE:
                return await self._call_domain(destination)
            case Kind.NOWHERE:
                raise Unopened("nowhere to go")
            case _:
                assert_never(destination.kind)

    # --- one host ----------------------------------------------------------------------

    async def _call(self, destination: Destination, terms: Terms) -> Channel:
        try:
            return await self._open(destination, terms)
        except Unopened as failure:
            if terms.profile.tls is not Tls.OFFERED or not failure.handshake:
                raise
            log.info("%s: no TLS with %s (%s); going on without", destination, terms.host, failure)
            plain = evolve(terms, profile=evolve(terms.profile, tls=Tls.NEVER), start_tls=None)
            return await self._open(destination, plain)

    async def _open(self, destination: Destination, terms: Terms) -> Channel:
        def make(connection: Connection) -> Channel:
            channel = Channel(connection, destination, terms, self._owner, self._reading)
            self._owner.made(channel)
            return channel

        try:
            connection = await dial(self._reactor, terms.place, make, timeout=terms.dial, tls=terms.tls)
        except (ConnectError, OSError, ValueError) as error:
            raise Unopened(f"{terms.host} ({terms.place}): {why(Failure(error))}") from error
        channel = connection.handler
        assert isinstance(channel, Channel), "it is made before the connection is given"
        try:
            await channel.opened
        except Unopened as failure:
            raise Unopened(f"{terms.host}: {failure}", failure.reply, failure.handshake) from failure
        return channel

    # --- terms -------------------------------------------------------------------------

    def _backend(self, host: str) -> Terms:
        """Raises Unopened."""
        if host not in self._backends:
            try:
                with self._following.site.reading() as lookup:
                    member = lookup.member(host)
            except StoreError as error:
                raise Unopened(f"the directory can't be read: {error}") from error
            place = None if member is None else member.addresses.get("lmtp")
            ours = member is None or member.login.kind == "cluster"
            self._backends[host] = None if place is None else self._backend_terms(host, place, ours)
        terms = self._backends[host]
        if terms is None:
            raise Unopened(f"{host} has no address for lmtp in the servers' table")
        return terms

    def _backend_terms(self, host: str, place: Endpoint, ours: bool) -> Terms:
        us = self._ourselves
        near = is_loopback(place.host)
        # Servers of other makes on this machine have no certificate of the cluster's.
        context = None if near and not ours else us.tls(host)
        clear = context is None and (near or us.clear_text)
        # It is not for the other side to choose: who cuts STARTTLS out reads along.
        tls = Tls.NEVER if clear else Tls.REQUIRED
        if tls is Tls.REQUIRED and context is None:
            reason = f"{host} is not on this machine, and there is no certificate of the cluster's"
            log.error("%s", reason)
            raise Unopened(reason)
        # Servers of other makes let those in that they know by address.
        login = Login(CLUSTER, us.secret) if ours else None
        profile = Profile(Dialect.LMTP, us.hostname, tls, login, clear_login=near or us.clear_text)
        return Terms(place, host, profile, LMTP_PATIENCE, DIAL_LMTP, IDLE_LMTP, start_tls=context)

    def _smart_host(self, place: Endpoint) -> Terms:
        """With a password, the host must prove who it is.  Raises Unopened."""
        us, login = self._ourselves, None
        if us.smtp.smart_host_password_file is not None:
            try:
                password = us.smtp.smart_host_password_file.read_bytes().rstrip(b"\r\n")
            except OSError as error:
                raise Unopened(f"cannot read the smart host's password: {error}") from error
            login = Login(us.smtp.smart_host_user, password)
        near = is_loopback(place.host)
        profile = Profile(Dialect.SMTP, us.hostname, Tls.OFFERED, login, clear_login=near)
        context: Any = None
        if login is not None and not near:
            profile = evolve(profile, tls=Tls.REQUIRED)
            context = verified(place.host)
        elif near:
            profile = evolve(profile, tls=Tls.NEVER)
        else:
            context = unverified(place.host)
        terms = Terms(place, place.host, profile, SMTP_PATIENCE, DIAL_SMTP, IDLE_SMTP, start_tls=context)
        if place.port != SUBMISSIONS:
            return terms
        profile = evolve(profile, tls=Tls.NEVER)
        return evolve(terms, profile=profile, start_tls=None, tls=context or unverified(place.host))

    # --- domains -----------------------------------------------------------------------

    async def _call_domain(self, destination: Destination) -> Channel:
        """Raises Unopened, NoMail."""
        domain = destination.name
        if domain.startswith("["):
            return await self._call(destination, self._exchanger_terms(domain, _literal(domain)))
        names, own_places = self._whoever_we_are()
        last: Unopened | NoMail = NoMail(TO_OURSELVES)
        try:
            hosts = await exchangers(self._resolver, domain, names, self._random)
        except NotKnown as error:
            raise Unopened(str(error)) from error
        for exchanger in hosts:
            try:
                places = await addresses(self._resolver, exchanger, self._random)
            except NotKnown as error:
                last = Unopened(str(error))
                continue
            terms = [self._exchanger_terms(exchanger.name, place) for place in places]
            if any(each.place in own_places for each in terms):
                break  # what comes behind us is no nearer
            for each in terms:
                try:
                    return await self._call(destination, each)
                except Unopened as failure:
                    last = failure
        raise last

    def _whoever_we_are(self) -> tuple[frozenset[str], frozenset[Endpoint]]:
        """Names and places of the cluster, where mail for others would only come back."""
        if self._us is None:
            names, places = set(self._ourselves.own_names), set[Endpoint]()
            try:
                with self._following.site.reading() as lookup:
                    members = lookup.members()
            except StoreError as error:
                raise Unopened(f"the directory can't be read: {error}") from error
            for member in members:
                place = member.addresses.get("smtp")
                names.add(member.name)
                if place is not None:
                    names.add(place.host)
                    places.add(place)
            self._us = frozenset(names), frozenset(places)
        return self._us

    def _exchanger_terms(self, name: str, address: str) -> Terms:
        us = self._ourselves
        literal = name.startswith("[")
        profile = Profile(Dialect.SMTP, us.hostname, Tls.NEVER if literal else Tls.OFFERED)
        place = Endpoint(address, us.mx_port)
        context = None if literal else unverified(name)
        return Terms(place, name, profile, SMTP_PATIENCE, DIAL_SMTP, IDLE_SMTP, start_tls=context)


def _literal(domain: str) -> str:
    inside = domain[1:-1]
    inside = inside[5:] if inside[:5].lower() == "ipv6:" else inside
    try:
        return str(ip_address(inside))
    except ValueError:
        raise Unopened(f"{domain} is no address") from None
