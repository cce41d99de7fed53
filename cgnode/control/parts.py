"""What of a node can be asked and told from outside: its parts as callables.

A node that lacks a part has None there.  Those that say so may wait, for a disk or for a
lock, and are called in threads; the others are called in the reactor's thread, and may
return a Deferred.  What must not live here: HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen

from cgnode.backend.storages import Storages
from cgnode.backend.store import Removed
from cgnode.backend.upkeep import Report, Upkeep
from cgnode.failover import FailedOver, Restored, fail_over, part_of, restore
from cgnode.following import Following
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Destination
from cgnode.frontend.sessions import Sessions
from cgnode.health import HostHealth
from cgnode.lookup import Site
from cgnode.router import Account, Router
from ldapserver.local import LocalDirectory
from ldapserver.messages import Restore

Json: TypeAlias = Mapping[str, Any]

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@frozen
class QueueCalls:
    """Called in threads.  ``changed`` is called in the reactor's thread afterwards, when
    there may be something to deliver."""

    list: Callable[[str, int, str, Destination | None], Json]
    show: Callable[[str], Json]
    counts: Callable[[], Json]
    flush: Callable[[Destination | str | None], int]
    hold: Callable[[str], None]
    release: Callable[[str], None]
    remove: Callable[[str], None]
    changed: Callable[[], None]

    @classmethod
    def of(cls, queue: MailQueue, changed: Callable[[], None]) -> QueueCalls:
        def messages(after: str, limit: int, state: str, destination: Destination | None) -> Json:
            return queue.list(after=after, limit=limit, state=state, destination=destination)

        return cls(
            messages,
            queue.show,
            queue.counts,
            queue.flush,
            queue.hold,
            queue.release,
            queue.remove,
            changed,
        )


@frozen
class SessionCalls:
    """``who``: a mapping for each session, with ``account``, ``protocol``, ``client``,
    ``host``, ``since`` (seconds since 1970) and ``session``.  ``kick`` ends those of a user
    or of a host, whichever is given, and returns how many."""

    who: Callable[[], Iterable[Json]]
    count: Callable[[], int]
    kick: Callable[[str | None, str | None], int]

    @classmethod
    def of(cls, sessions: Sessions, following: Following, default_domain: str) -> SessionCalls:
        """A user may be named as at a login."""

        def kick(user: str | None, host: str | None) -> int:
            if user is not None:
                with following.site.reading() as lookup:
                    outcome = Router(lookup, default_domain).login(user).outcome
                user = str(outcome.address) if isinstance(outcome, Account) else user
            return sessions.kick(user, host)

        return cls(sessions.who, sessions.count, kick)


@frozen
class StorageCalls:
    """Called in threads.  ``list``: a mapping for each attached storage, with ``host`` (its
    owner), ``path`` and ``away``, why it is not served.  ``attach`` takes a path, ``detach``
    an owner or a path; both return the owner."""

    list: Callable[[], Iterable[Json]]
    attach: Callable[[str], str]
    detach: Callable[[str], str]
    removed: Callable[[], Iterable[Removed]]
    put_back: Callable[[Removed], None]
    purge: Callable[[Removed], None]
    sweep: Callable[[], Report]
    adopt: Callable[[], int]

    @classmethod
    def of(cls, storages: Storages, upkeep: Upkeep) -> StorageCalls:
        return cls(
            storages.list,
            storages.attach,
            storages.detach,
            upkeep.removed,
            upkeep.put_back,
            upkeep.purge,
            lambda: upkeep.look(force=True),
            upkeep.adopt,
        )


@frozen
class FailoverCalls:
    """Called in threads."""

    fail_over: Callable[[str, str, str | None], FailedOver]
    restore: Callable[[str, str | None], Restored]

    @classmethod
    def of(cls, site: Site, directory: LocalDirectory) -> FailoverCalls:
        def come_back(host: str, domain: str | None) -> Restored:
            return restore(site, directory, Restore(host, part_of(site, domain))).result()

        def cover(host: str, sibling: str, domain: str | None) -> FailedOver:
            return fail_over(site, directory, host, sibling, domain).result()

        return cls(cover, come_back)


def hosts_of(health: HostHealth) -> Callable[[], Json]:
    """The hosts that a node watches, by name, as ``Parts.hosts`` has them."""

    def hosts() -> Json:
        return {
            each.name: {"up": each.up, "why": each.why, "seconds": round(each.seconds, 1)}
            for each in health.status()
        }

    return hosts


def _nothing() -> Json:
    return {}


@frozen
class Parts:
    """``site``: the site at a glance (``overview``), as this node knows it.  ``following``:
    how its knowledge of the directory stands.  ``hosts``: for each host that it watches,
    whether it is up.  ``ailments``: why the node can't serve now; nothing where it can."""

    name: str
    roles: tuple[str, ...]
    site: Callable[[], Json]
    ailments: Callable[[], Iterable[str]] = tuple
    following: Callable[[], Json] = _nothing
    hosts: Callable[[], Json] = _nothing
    metrics: Callable[[], str] | None = None
    queue: QueueCalls | None = None
    sessions: SessionCalls | None = None
    storages: StorageCalls | None = None
    failover: FailoverCalls | None = None
