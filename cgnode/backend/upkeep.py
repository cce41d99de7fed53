"""Mailboxes follow the directory: one of an account that is gone is set aside, one of an account
with another name takes that name.

What lives here: when to look, and what a look concludes.  What must not: destroying
anything, which ``purge`` does when an operator says so.

An account must be missing twice, ``grace`` seconds apart, in a directory that can be relied
on and is not empty; and where too many mailboxes would go at once, none goes before an
operator has had a look.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services and its thread pool are not annotated.

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from cgnode.backend.mailboxes import Mailboxes, owner_by_identity, owner_of
from cgnode.backend.storages import Storages
from cgnode.backend.store import MailStore, MailStoreError, Removed
from cgnode.following import Following
from ldapserver.net.reactor import DelayedCall, Reactor

log = logging.getLogger(__name__)

_BATCH: Final = 200
# Mailboxes that may be set aside in one look: this many, or this part of all.
_FEW: Final = 20
_PART: Final = 0.1
# A look takes no more than this part of the time.
_SHARE: Final = 0.05


@define
class Report:
    """What a look has found; ``suspicious``: why nothing was set aside."""

    mailboxes: int = 0
    renamed: int = 0
    set_aside: int = 0
    waiting: int = 0
    suspicious: str = ""
    failed: list[str] = field(factory=list)


class Upkeep:
    """Everything here blocks, and is called in threads, one look at a time."""

    def __init__(
        self,
        following: Following,
        store: MailStore,
        mailboxes: Mailboxes,
        grace: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._following = following
        self._store = store
        self._mailboxes = mailboxes
        self._grace = grace
        self._clock = clock
        self._missing: dict[tuple[str, str], float] = {}

    def look(self, *, force: bool = False) -> Report:
        """``force``: an operator has had a look, and however many are gone are gone."""
        report = Report()
        reason = self._unreliable()
        if reason:
            # A site that begins has nothing that could be lost.
            report.suspicious = reason if self._has_any() else ""
            return report
        missing: list[tuple[str, str]] = []
        for home in self._store.homes:
            try:
                missing += [(home, address) for address in self._of(home, report)]
            except MailStoreError as error:
                report.failed.append(f"the storage of {home}: {error}")
        now = self._clock()
        self._missing = {each: self._missing.get(each, now) for each in missing}
        due = [each for each in missing if force or now - self._missing[each] >= self._grace]
        report.waiting = len(missing) - len(due)
        if len(missing) > max(_FEW, report.mailboxes * _PART) and not force:
            report.suspicious = (
                f"{len(missing)} of {report.mailboxes} mailboxes have no account any more; if that is so,"
                " say 'cgctl mailbox sweep'"
            )
            return report
        for home, address in due:
            self._set_aside(home, address, report)
        return report

    def _unreliable(self) -> str:
        reason = self._following.usable()
        if reason is not None:
            return f"the directory is away: {reason}"
        with self._following.site.reading() as lookup:
            if next(iter(lookup.domain_entries()), None) is None:
                return "the directory is empty"
        return ""

    def _has_any(self) -> bool:
        return any(next(iter(self._store.accounts(home)), None) is not None for home in self._store.homes)

    def _of(self, home: str, report: Report) -> Iterator[str]:
        """The mailboxes of a storage without an account."""
        addresses = self._store.accounts(home)
        while batch := list(islice(addresses, _BATCH)):
            report.mailboxes += len(batch)
            for address in batch:
                if self._is_missing(home, address, report):
                    yield address
            # Others have the interpreter, too.
            time.sleep(0.001)

    def _is_missing(self, home: str, address: str, report: Report) -> bool:
        known = self._store.identity(address, home=home)
        with self._following.site.reading() as lookup:
            owner = owner_of(lookup, address)
            if owner is not None and (not known or known == owner.identity):
                if not known and owner.home == home:
                    self._store.identify(address, owner.identity, home=home)
                return False
            other = owner_by_identity(lookup, known) if known else None
        if other is None or other.home != home:
            # An account of the same name that was made anew shows itself at its first use.
            return owner is None and other is None
        try:
            report.renamed += self._mailboxes.follow_name(address, other, home)
        except MailStoreError as error:
            report.failed.append(f"{address}: {error}")
        return False

    def _set_aside(self, home: str, address: str, report: Report) -> None:
        with self._following.site.reading() as lookup:
            if owner_of(lookup, address) is not None:
                return
        try:
            removed = self._store.remove(address, home=home)
        except MailStoreError as error:
            report.failed.append(f"{address}: {error}")
            return
        self._missing.pop((home, address), None)
        report.set_aside += 1
        log.info("%s has been removed; its mailbox is set aside as %s", address, removed.name)

    # --- for operators ----------------------------------------------------------------------

    def removed(self) -> list[Removed]:
        return self._store.removed()

    def put_back(self, removed: Removed) -> None:
        """Raises MailStoreError: there must be an account of its name."""
        self._mailboxes.put_back(removed)
        log.warning("the mailbox %s is that of %s again", removed.name, removed.address)

    def adopt(self) -> int:
        """Mailboxes are of the accounts that have their names now; how many."""
        return self._mailboxes.adopt()

    def purge(self, removed: Removed) -> None:
        """Destroy it."""
        self._store.purge(removed)
        log.warning("the mailbox %s of %s was destroyed", removed.name, removed.address)


@frozen
class Times:
    """In seconds: ``settle`` from a change to a look, ``retry`` between two attempts at storages
    that are away."""

    settle: float = 2.0
    retry: float = 1.0


class UpkeepService(Service):
    """Looks when the directory has changed, and tries for storages that are away; in threads of
    ``pool``.  The first look is at the start, since much may have changed while nobody was here."""

    def __init__(
        self,
        reactor: Reactor,
        pool: Any,
        following: Following,
        upkeep: Upkeep,
        storages: Storages,
        times: Times | None = None,
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._following = following
        self._upkeep = upkeep
        self._storages = storages
        self._times = times or Times()
        self._unsubscribe: Callable[[], None] | None = None
        self._next: DelayedCall | None = None
        self._trying: DelayedCall | None = None
        self._busy = 0
        self._looking = False
        self._again = False
        self._away = False
        self._stopped: Deferred[None] | None = None
        self._suspicion = ""
        self.report = Report()
        """Of the last look."""

    def startService(self) -> None:
        super().startService()
        self._unsubscribe = self._following.subscribe(self.changed)
        self._trying = self._reactor.callLater(self._times.retry, self._try_storages)
        self.changed()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for call in (self._next, self._trying):
            if call is not None:
                call.cancel()
        self._next = self._trying = None
        if not self._busy:
            return succeed(None)
        self._stopped = Deferred()
        return self._stopped

    def changed(self) -> None:
        """Something may be to be done, soon; and storages may be ours to serve from now on."""
        if self._away and self._trying is not None:
            self._trying.cancel()
            self._try_storages()
        if self._looking:
            self._again = True
        elif self._next is None:
            self._later(self._times.settle)

    def _later(self, seconds: float) -> None:
        if self.running:
            self._next = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        self._next = None
        self._looking, self._again = True, False
        began = self._reactor.seconds()
        self._in_thread(self._upkeep.look, lambda report: self._looked(report, began))

    def _looked(self, report: Report | None, began: float) -> None:
        self._looking = False
        if report is not None:
            self.report = report
            if report.suspicious and report.suspicious != self._suspicion:
                log.error("no mailbox is set aside: %s", report.suspicious)
            for failure in report.failed:
                log.error("upkeep: %s", failure)
            self._suspicion = report.suspicious
        if self._again or (report is not None and report.waiting):
            self._later(max(self._times.settle, (self._reactor.seconds() - began) / _SHARE))

    def _try_storages(self) -> None:
        self._trying = None

        def tried(away: bool | None) -> None:
            self._away = bool(away)
            if self.running:
                self._trying = self._reactor.callLater(self._times.retry, self._try_storages)

        self._in_thread(self._storages.retry, tried)

    def _in_thread(self, job: Callable[[], Any], told: Callable[[Any], None]) -> None:
        """``told`` gets None from a job that failed, which is our fault."""
        self._busy += 1

        def done(success: bool, result: Any) -> None:
            self._reactor.callFromThread(self._done, success, result, told)

        self._pool.callInThreadWithCallback(done, job)

    def _done(self, success: bool, result: Any, told: Callable[[Any], None]) -> None:
        self._busy -= 1
        if not success:
            log.error("upkeep failed: %s", result.getTraceback())
        told(result if success else None)
        if self._stopped is not None and not self._busy:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)
