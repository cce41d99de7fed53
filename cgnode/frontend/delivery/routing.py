"""Where an envelope's address is delivered: the Router's outcomes as routes of the queue.

What lives here: which outcome is which route, and answers that are kept until the next
change of the directory.  What must not: what follows from a route.

A group becomes its recipients, in the message itself, when it is routed for delivery: so
who is in it twice, or beside it, gets one copy, and each member has a fate of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, assert_never

from cgnode.following import Following
from cgnode.frontend.queue.values import (
    Defer,
    Deliver,
    Destination,
    Due,
    Expand,
    Kind,
    Reason,
    Refuse,
    Route,
)
from cgnode.frontend.smtp.addresses import route_mail
from cgnode.names import Address as Name
from cgnode.proto.smtp.address import Address, parse_address
from cgnode.proto.smtp.reply import Reply
from cgnode.router import Account, Group, Loop, NoHost, Outcome, Remote, Router, Unknown
from storage.errors import StoreError

log = logging.getLogger(__name__)

# Answers that are kept.
_MOST_KEPT: Final = 20_000


class Routing:
    """``default_domain`` is where names without one are, ``own_names`` what this server is
    called.  ``relay``: where all goes that is not for here; None: to its own domain."""

    def __init__(
        self,
        following: Following,
        default_domain: str,
        own_names: frozenset[str],
        relay: Destination | None = None,
    ) -> None:
        self._following = following
        self._default_domain = default_domain
        self._own_names = own_names
        self._relay = relay
        self._known: dict[Address, Route] = {}
        self._destinations: dict[tuple[Kind, str], Destination] = {}

    def forget(self) -> None:
        """The directory has changed."""
        self._known.clear()

    def routes(self, due: Due) -> Mapping[int, Route]:
        return {index: self.route(address) for index, address in due.recipients}

    def route(self, address: Address, fresh: bool = False) -> Route:
        """``fresh``: whatever was known before."""
        away = self._following.usable()
        if away is not None:
            return _defer("4.4.3", f"the directory is away: {away}")
        route = None if fresh else self._known.get(address)
        if route is None:
            try:
                route = self._ask(address)
            except StoreError as error:
                log.error("the copy of the directory can't be read: %s", error)
                return _defer("4.4.3", "the directory can't be read")
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[address] = route
        if isinstance(route, Refuse) and not self._following.in_step():
            # What was added while the directory is away is not known here.
            return _defer("4.4.3", "the directory is away")
        return route

    def _ask(self, address: Address) -> Route:
        with self._following.site.reading() as lookup:
            outcome = route_mail(Router(lookup, self._default_domain, self._own_names), address)
        return self._route(address, outcome)

    def _route(self, asked: Address, outcome: Outcome) -> Route:
        match outcome:
            case Account(_, name, host):
                return Deliver(self._destination(Kind.BACKEND, host.lower()), _address(name))
            case Remote(name):
                relay = self._relay or self._destination(Kind.REMOTE, name.domain)
                # The sender's spelling, where it is its own address.
                address = asked if asked.domain.lower() == name.domain else _address(name)
                return Deliver(relay, address)
            case Group():
                return self._expanded(outcome)
            case Unknown():
                return Refuse(Reason(Reply(550, "5.1.1", "no such user here")))
            case NoHost():
                log.error("%s: mail waits: %s", outcome.dn, outcome.reason)
                return _defer("4.3.5", "the mailbox has no server for now")
            case Loop(_, reason):
                log.warning("%s: mail waits: a loop: %s", asked, reason)
                return _defer("4.4.6", "the address leads back to itself")
            case _:
                assert_never(outcome)

    def _expanded(self, group: Group) -> Route:
        found: list[Address] = []
        for single in group.recipients:
            match single:
                case Account(_, name) | NoHost(_, name) | Remote(name):
                    found.append(_address(name))
                case Unknown(text, reason) | Loop(text, reason):
                    try:
                        found.append(parse_address(text))
                    except ValueError:
                        log.warning(
                            "%s: a member that is no address: %.80s (%s)", group.address, text, reason
                        )
                case _:
                    assert_never(single)
        if not found:
            return Refuse(Reason(Reply(550, "5.1.1", "a group without members")))
        return Expand(tuple(found))

    def _destination(self, kind: Kind, name: str) -> Destination:
        """One value for each, so that comparing is cheap."""
        found = self._destinations.get((kind, name))
        if found is None:
            if len(self._destinations) >= _MOST_KEPT:
                self._destinations.clear()
            found = self._destinations[kind, name] = Destination(kind, name)
        return found


def _address(name: Name) -> Address:
    return Address(name.local, name.domain)


def _defer(enhanced: str, text: str) -> Defer:
    return Defer(Reason(Reply(451, enhanced, text)))
