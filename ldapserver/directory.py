"""What a session, a tool or a test asks of a directory: the seam between the protocol
and what answers it.

``local.LocalDirectory`` answers from a store.  Wrappers of the same interface add
cross-cutting work.  Nothing here knows sockets or reactors: what takes time is a
``concurrent.futures.Future`` (or, for a search, a generator that hands back control).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Protocol

from attrs import frozen

from ldapserver.identity import Identity, Peer
from ldapserver.messages import (
    BindRequest,
    BulkReport,
    BulkRequest,
    CompareRequest,
    Control,
    ExtendedRequest,
    Result,
    SearchRequest,
    WriteRequest,
)


@frozen
class Limits:
    """Bounds on what one client may ask for; 0 is no limit.

    Sizes are octets, times seconds.  ``look_through`` counts the entries that a search
    without a usable index may examine; the administrator is not bound by it.
    """

    max_message: int = 4 * 1024 * 1024
    max_message_anonymous: int = 256 * 1024
    filter_depth: int = 100
    size_limit: int = 0
    time_limit: int = 3600
    look_through: int = 20_000
    connections: int = 10_000
    pending_per_connection: int = 100
    idle_timeout: int = 0
    stall_timeout: int = 60


@frozen
class BindOutcome:
    """A bind's answer, and who the connection is afterwards (anonymous after a failure)."""

    result: Result
    identity: Identity


class Standing(Protocol):
    """A search that goes on with what changes (RFC 4533).  ``number`` is the transaction up
    to which its client was told."""

    @property
    def number(self) -> int: ...

    def changes(self) -> Generator[bytes, None, Result | Standing]:
        """What has changed since, yielded as by ``Directory.search``; it returns the search
        again, or the Result with which it is over."""
        ...


class Directory(Protocol):
    def look_up(self, identity: Identity, request: SearchRequest) -> tuple[list[bytes], Result] | None:
        """The whole answer to a search without controls that costs next to nothing: the
        tails that ``search`` would yield, and its Result.  None: ``search`` must be asked.

        Raises LDAPError.
        """
        ...

    def search(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result]:
        """Yield what follows the messageID of each answer's LDAPMessage; return the Result.

        ``b""`` is yielded now and then in long work so that others get a turn.  The
        generator holds a snapshot: exhaust it or ``close()`` it.  Raises LDAPError.
        """
        ...

    def synchronise(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result | Standing]:
        """``search`` for one with a sync request control."""
        ...

    def last_transaction(self) -> int:
        """The number of the last change by any process."""
        ...

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call ``notice()``, which is quick and does not raise, after this process's changes,
        in any thread.  Returns what ends that."""
        ...

    def compare(self, identity: Identity, request: CompareRequest, controls: tuple[Control, ...]) -> Result:
        """COMPARE_TRUE or COMPARE_FALSE; raises LDAPError."""
        ...

    def bind(self, request: BindRequest, peer: Peer) -> BindOutcome | Future[BindOutcome]:
        """Never raises for wrong credentials; a Future where a password hash takes long."""
        ...

    def write(
        self, identity: Identity, request: WriteRequest, controls: tuple[Control, ...]
    ) -> Future[Result]:
        """Done once durable; fails with LDAPError."""
        ...

    def extended(
        self, identity: Identity, request: ExtendedRequest, controls: tuple[Control, ...], peer: Peer
    ) -> Result | Future[Result]:
        """Raises (or fails with) LDAPError; PROTOCOL_ERROR for an unknown OID."""
        ...

    def bulk(self, identity: Identity, request: BulkRequest) -> Future[BulkReport]:
        """One transaction; done once durable; fails with LDAPError."""
        ...
