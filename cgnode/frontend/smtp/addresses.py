"""Whom mail is taken for, and whose sender it may have: the Router's answers as replies.

What lives here: which outcome of routing is which reply, before a message has come.  What
must not: where mail is delivered, since each delivery routes anew; the dialogue.

An account without a usable host is a temporary failure.  One whose host is down is not:
its mail waits in the queue.  While the directory can't be asked, what is known goes on,
and what is not known may only be not known yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from cgnode import names
from cgnode.lookup import Site
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.reply import Reply
from cgnode.router import (
    Account,
    Group,
    Loop,
    NoHost,
    Outcome,
    Remote,
    Router,
    Unknown,
)
from storage.errors import StoreError

_log = logging.getLogger(__name__)

NO_SUCH_USER: Final = Reply(550, "5.1.1", "no such user here")
NO_RELAYING: Final = Reply(550, "5.7.1", "relaying denied")
LOOP: Final = Reply(550, "5.4.6", "the address leads back to itself")
NO_HOST: Final = Reply(451, "4.3.5", "the mailbox has no server for now")
DIRECTORY_AWAY: Final = Reply(451, "4.4.3", "the directory is away; try again later")
NOT_YOURS: Final = Reply(553, "5.7.1", "not an address of yours")

# Answers that are kept until the next change of the directory.
_MOST_KEPT: Final = 20_000


class Directory(Protocol):
    """What is known of the site (``following.Following``)."""

    @property
    def site(self) -> Site: ...

    def usable(self) -> str | None:
        """Why nothing that is known counts any more; None while it does."""
        ...


Answer: TypeAlias = Reply | None
"""None: taken."""


class Addresses:
    """``default_domain`` is where names without one are, ``own_names`` what this server is
    called.  ``in_step``: changes of the directory are heard of, so that what is not known
    is not there."""

    def __init__(
        self,
        directory: Directory,
        default_domain: str,
        own_names: frozenset[str] = frozenset(),
        in_step: Callable[[], bool] = lambda: True,
    ) -> None:
        self._directory = directory
        self._default_domain = default_domain
        self._own_names = own_names
        self._in_step = in_step
        self._taken: dict[Address, bool] = {}
        """Recipients that are taken, and whether only of those who may relay."""
        self._owned: set[tuple[Address, str]] = set()
        """Senders, and whose they are."""

    def forget(self) -> None:
        """The directory has changed."""
        self._taken.clear()
        self._owned.clear()

    def complete(self, address: Address) -> Address:
        """<Postmaster> with its domain (RFC 5321 section 4.5.1)."""
        return address if address.domain else Address(address.local, self._default_domain)

    def recipient(self, address: Address, relay: bool) -> Answer:
        """Whether mail for it is taken; ``relay``: the client is one of ours."""
        if self._directory.usable() is not None:
            return DIRECTORY_AWAY
        relaying = self._taken.get(address)
        if relaying is None:
            outcome = self._routed(address)
            if isinstance(outcome, Reply):
                return outcome
            refusal = _refusal(address, outcome)
            if refusal is not None:
                return self._unless_away(refusal)
            relaying = isinstance(outcome, Remote) and not outcome.forwarded
            if len(self._taken) >= _MOST_KEPT:
                self._taken.clear()
            self._taken[address] = relaying
        return self._unless_away(NO_RELAYING) if relaying and not relay else None

    def sender(self, address: Address, account: str) -> Answer:
        """Whether it is an address of the account with this DN, or an alias of it.  A
        forwarder that leads there is not."""
        if self._directory.usable() is not None:
            return DIRECTORY_AWAY
        if (address, account) in self._owned:
            return None
        try:
            with self._directory.site.reading() as lookup:
                found = Router(lookup, self._default_domain, self._own_names).login(str(address)).outcome
        except StoreError as error:
            return self._failed(error)
        if not (isinstance(found, Account | NoHost) and found.dn == account):
            return self._unless_away(NOT_YOURS)
        if len(self._owned) >= _MOST_KEPT:
            self._owned.clear()
        self._owned.add((address, account))
        return None

    def _unless_away(self, refusal: Reply) -> Reply:
        """What was added while the directory is away is not known here."""
        return refusal if refusal.temporary or self._in_step() else DIRECTORY_AWAY

    def _routed(self, address: Address) -> Outcome | Reply:
        try:
            with self._directory.site.reading() as lookup:
                return route_mail(Router(lookup, self._default_domain, self._own_names), address)
        except StoreError as error:
            return self._failed(error)

    @staticmethod
    def _failed(error: StoreError) -> Reply:
        _log.error("the copy of the directory can't be read: %s", error)
        return DIRECTORY_AWAY


def route_mail(router: Router, address: Address) -> Outcome:
    """An envelope's address, routed.  The names of accounts and domains here are ASCII, so
    what goes beyond that is nobody here; elsewhere it may be somebody (RFC 6531)."""
    if address.ascii:
        return router.route(str(address)).outcome
    domain = _ascii_domain(address.domain)
    if domain is None:
        return Unknown(str(address), "not a domain")
    if address.local.isascii():
        return router.route(str(Address(address.local, domain))).outcome
    lookup = router.lookup
    if lookup.domain(domain) is None and domain not in router.own_names and not lookup.is_member(domain):
        return Remote(names.Address(address.local, domain))
    return Unknown(str(address), "names here are ASCII")


def _ascii_domain(domain: str) -> str | None:
    try:
        return domain.encode("idna").decode().lower()
    except UnicodeError:
        return None


def _refusal(address: Address, outcome: Outcome) -> Answer:
    match outcome:
        case Account() | Remote() | Group():
            return None
        case NoHost():
            _log.warning("mail for %s is refused for now: %s", address, outcome.reason)
            return NO_HOST
        case Unknown():
            return NO_SUCH_USER
        case Loop(_, reason):
            _log.warning("mail for %s is refused: %s", address, reason)
            return LOOP
