"""Following the directory: one state of what routing and logins need, and word of changes.

``Following`` is what the parts of a node use; ``LocalFollowing`` is over the node's own
directory, ``replica.RemoteFollowing`` over a copy of one elsewhere.  For each piece of
work a user takes one state, and never keeps it across turns of the reactor:

    with following.site.reading() as lookup:
        routed = Router(lookup, default_domain, own_names).route(address)
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.application.service import Service

from cgnode.lookup import Site
from cgnode.members import Override
from ldapserver.local import LocalDirectory
from ldapserver.net.reactor import Reactor
from ldapserver.net.watch import Watch


class Following(Protocol):
    """A Twisted service besides; used in the reactor's thread."""

    @property
    def site(self) -> Site:
        """As it is now; ask again each time."""
        ...

    def usable(self) -> str | None:
        """None: answers may rest on it.  Otherwise why they must be temporary errors."""
        ...

    def in_step(self) -> bool:
        """Whether changes are heard of as they happen, so that what is not known does not exist."""
        ...

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """``changed()`` is called in the reactor's thread soon (0.2 s) after any change, by
        any process; many may be one call.  Returns what ends that."""
        ...

    def status(self) -> Mapping[str, object]:
        """For operators: plain values."""
        ...


class LocalFollowing(Service):
    """The node's own directory, which is never out of date.  Stops before it is closed."""

    def __init__(
        self,
        reactor: Reactor,
        directory: LocalDirectory,
        base: str = "",
        overrides: tuple[Override, ...] = (),
    ) -> None:
        self._directory = directory
        self.site = Site(directory.core, base, overrides)
        self._watch = Watch(reactor, directory)

    def usable(self) -> str | None:
        return None

    def in_step(self) -> bool:
        return True

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        return self._watch.subscribe(changed)

    def status(self) -> Mapping[str, object]:
        return {"source": "local", "transaction": self._directory.last_transaction()}

    def stopService(self) -> None:
        super().stopService()
        self._watch.close()
