"""Whose mailbox it is and which host has it, as the directory says.

What must not live here: opening it (``mailboxes``), and what is done for one that is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from cgnode.backend.store import Account
from cgnode.following import Following
from cgnode.names import Address
from cgnode.router import Account as Routed
from cgnode.router import AccountRecord, NoHost, Router, told
from storage.errors import StoreError


@frozen
class Here:
    """The mailbox is in the storage of ``home``, which is to be attached here."""

    dn: str
    address: Address
    home: str


@frozen
class Elsewhere:
    """Another host has it."""

    dn: str
    address: Address
    host: str


@frozen
class Nobody:
    """There is no such account."""

    reason: str


@frozen
class Unsure:
    """Which host has it can't be said now."""

    reason: str


Place: TypeAlias = Here | Elsewhere | Nobody | Unsure


@frozen
class Hosting:
    """``name`` is this host's in the servers' table, ``own_names`` what else it is called."""

    name: str
    following: Following
    default_domain: str = ""
    own_names: frozenset[str] = frozenset()

    def find(self, user: str) -> Place:
        """Where the account is that a user name means."""
        reason = self.following.usable()
        if reason is not None:
            return Unsure(reason)
        try:
            return self._find(user)
        except StoreError as error:
            return Unsure(f"the copy of the directory: {error}")

    def hosts_of(self, home: str) -> frozenset[str]:
        """Who serves accounts whose mailboxes are in that storage, as far as it is known."""
        try:
            with self.following.site.reading() as lookup:
                loads = lookup.loads()
        except StoreError:
            return frozenset()
        covering = {host for host, load in loads.items() if load.covered.get(home)}
        own = loads.get(home)
        if own is not None and own.entries > sum(own.covered.values()):
            covering.add(home)
        return frozenset(covering)

    def _find(self, user: str) -> Place:
        with self.following.site.reading() as lookup:
            found = Router(lookup, self.default_domain, self.own_names).login(user).outcome
            match found:
                case Routed(dn, address, host) if host == self.name.lower():
                    record = lookup.record(address.local.lower(), address.domain)
                    old = record.old_host if isinstance(record, AccountRecord) else None
                    return Here(dn, address, (old or host).lower())
                case Routed(dn, address, host):
                    return Elsewhere(dn, address, host)
                case NoHost():
                    return Unsure(found.reason)
                case _:
                    return Nobody(told(found))


Opener: TypeAlias = Callable[[Here], Account]
"""Gives the mailbox of an account that is hosted here, which is made at its first use.  It
blocks, and raises MailStoreError."""
