"""Which recipients are taken: those whose account is hosted here, in a storage that is attached.

What lives here: the directory's word, as an answer.  What must not: mailboxes, quotas.

Frontends have routed an address before they bring mail for it.  So what is not this
host's is an error of somebody's knowledge, theirs or ours, and temporary: whoever gets it
routes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from attrs import field, frozen

from cgnode.backend.remembered import Remembered
from cgnode.backend.sessions.hosting import Here, Hosting
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.reply import Reply
from cgnode.router import Account, AccountRecord, NoHost, Router, Unknown, told
from storage.errors import StoreError

NOT_MINE: Final = "4.1.6"
"""The enhanced code of an answer that says: route again, somebody else has that mailbox."""

DIRECTORY_AWAY: Final = "4.4.3"
UNKNOWN: Final = Reply(550, "5.1.1", "no such mailbox here")


def not_mine(who: str) -> Reply:
    return Reply(450, NOT_MINE, f"not mine: {who}")


def storage_away(home: str) -> Reply:
    return Reply(451, "4.2.1", f"the storage of {home} is not attached here")


@frozen
class Recipients:
    """``homes`` are the owners of the storages that are attached."""

    hosting: Hosting
    homes: Callable[[], Iterable[str]]
    _remembered: Remembered[Here | Reply] = field(factory=Remembered, init=False)

    def find(self, address: Address) -> Here | Reply:
        reason = self.hosting.following.usable()
        if reason is not None:
            return Reply(451, DIRECTORY_AWAY, f"the directory is away: {reason}")
        try:
            found = self._remembered.get(self.hosting.following.site, str(address), self._find)
        except StoreError as error:
            return Reply(451, DIRECTORY_AWAY, f"the directory can't be read: {error}")
        if found is UNKNOWN and not self.hosting.following.in_step():
            return Reply(451, DIRECTORY_AWAY, "not known here, and the directory is away")
        if isinstance(found, Here) and found.home not in self.homes():
            return storage_away(found.home)
        return found

    def _find(self, address: str) -> Here | Reply:
        hosting = self.hosting
        with hosting.following.site.reading() as lookup:
            found = Router(lookup, hosting.default_domain, hosting.own_names).route(address).outcome
            match found:
                case Account(dn, owner, host) if host == hosting.name.lower():
                    record = lookup.record(owner.local.lower(), owner.domain)
                    old = record.old_host if isinstance(record, AccountRecord) else None
                    return Here(dn, owner, (old or host).lower())
                case Account(_, _, host):
                    return not_mine(f"{host} has it")
                case NoHost():
                    return Reply(451, "4.3.5", found.reason)
                case Unknown():
                    return UNKNOWN
                case _:
                    return not_mine(told(found))

    def find_account(self, place: Here) -> Reply | None:
        """Why mail for an account that was found is not taken any more."""
        found = self.find(Address(place.address.local, place.address.domain))
        if isinstance(found, Reply):
            # It was known a moment ago: if it has gone, the sender should hear so by routing.
            return found if found.temporary else not_mine("it has gone")
        return None if found == place else not_mine("it has changed")
