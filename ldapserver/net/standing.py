"""The searches of one connection that go on with what changes (RFC 4533 section 3.4).

Between changes they wait here and cost nothing; ``take`` gives those that have something
to tell, as searches like others.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from ldapserver.directory import Directory, Standing
from ldapserver.messages import Result
from ldapserver.net.watch import Watch
from ldapserver.session import Operation
from storage.errors import StoreError


class StandingSearches:
    """``changed`` is called when there may be something to tell."""

    def __init__(self, directory: Directory, watch: Watch, changed: Callable[[], None]) -> None:
        self._directory = directory
        self._watch = watch
        self._changed = changed
        # None while it tells.
        self._searches: dict[Operation, Standing | None] = {}
        self._end_watching: Callable[[], None] | None = None

    def __contains__(self, operation: Operation) -> bool:
        return operation in self._searches

    def __len__(self) -> int:
        return len(self._searches)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._searches)

    def put(self, operation: Operation, standing: Standing) -> None:
        """Have it wait for the next change, which may be there already."""
        if self._end_watching is None:
            self._end_watching = self._watch.subscribe(self._changed)
        self._searches[operation] = standing
        if self._number() != standing.number:
            self._changed()

    def take(self) -> Iterator[tuple[Operation, Generator[bytes, None, Result | Standing]]]:
        if not self._searches:
            return
        number = self._number()
        for operation, standing in list(self._searches.items()):
            if standing is not None and standing.number != number:
                self._searches[operation] = None
                yield operation, standing.changes()

    def drop(self, operation: Operation) -> None:
        """It has ended, if it was one of these."""
        self._searches.pop(operation, None)
        if not self._searches:
            self.clear()

    def clear(self) -> None:
        self._searches.clear()
        if self._end_watching is not None:
            self._end_watching()
            self._end_watching = None

    def _number(self) -> int:
        """-1, which calls for a look that then tells what is wrong."""
        try:
            return self._directory.last_transaction()
        except StoreError:
            return -1
