"""A directory that can be exchanged for another while it is in use, and that a test can
get in the way of."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TypeAlias

from attrs import frozen

from ldapserver.directory import BindOutcome, Standing
from ldapserver.identity import ANONYMOUS, Identity, Peer
from ldapserver.local import LocalDirectory
from ldapserver.messages import (
    BindRequest,
    BulkReport,
    BulkRequest,
    CompareRequest,
    Control,
    ExtendedRequest,
    Request,
    Result,
    SearchRequest,
    WriteRequest,
)
from ldapserver.results import LDAPError, ResultCode

Intercept: TypeAlias = Callable[[Identity, Request], None]
"""Hears of every request before it is carried out; raises LDAPError to refuse it."""


def _let_pass(identity: Identity, request: Request) -> None:
    pass


class ExchangeableDirectory:
    """``directory.Directory`` by the ``current`` one."""

    def __init__(self, current: LocalDirectory) -> None:
        self.current = current
        self.intercept: Intercept = _let_pass
        self._searches: set[Generator[bytes, None, Result | Standing]] = set()

    def exchange(self, successor: LocalDirectory) -> None:
        """Searches that are under way end with an error; the former directory is closed."""
        for answers in list(self._searches):
            answers.close()
        former, self.current = self.current, successor
        former.close()

    def look_up(self, identity: Identity, request: SearchRequest) -> tuple[list[bytes], Result] | None:
        # Whom ``intercept`` lets through is asked once, in ``search``.
        return self.current.look_up(identity, request) if self.intercept is _let_pass else None

    def search(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result]:
        self.intercept(identity, request)
        result = yield from self._unless_exchanged(self.current.search(identity, request, controls))
        assert isinstance(result, Result)
        return result

    def synchronise(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result | Standing]:
        self.intercept(identity, request)
        answers = self.current.synchronise(identity, request, controls)
        return self._standing((yield from self._unless_exchanged(answers)))

    def _standing(self, outcome: Result | Standing) -> Result | Standing:
        return outcome if isinstance(outcome, Result) else _Standing(self, self.current, outcome)

    def _unless_exchanged(
        self, answers: Generator[bytes, None, Result | Standing]
    ) -> Generator[bytes, None, Result | Standing]:
        self._searches.add(answers)
        try:
            result: Result | Standing | None = yield from answers
        finally:
            answers.close()
            self._searches.discard(answers)
        if result is None:
            raise _exchanged()
        return result

    def last_transaction(self) -> int:
        return self.current.last_transaction()

    def on_commit(self, notice: Callable[[], None]) -> Callable[[], None]:
        return self.current.on_commit(notice)

    def compare(self, identity: Identity, request: CompareRequest, controls: tuple[Control, ...]) -> Result:
        self.intercept(identity, request)
        return self.current.compare(identity, request, controls)

    def bind(self, request: BindRequest, peer: Peer) -> BindOutcome | Future[BindOutcome]:
        self.intercept(ANONYMOUS, request)
        return self.current.bind(request, peer)

    def write(
        self, identity: Identity, request: WriteRequest, controls: tuple[Control, ...]
    ) -> Future[Result]:
        self.intercept(identity, request)
        return self.current.write(identity, request, controls)

    def extended(
        self, identity: Identity, request: ExtendedRequest, controls: tuple[Control, ...], peer: Peer
    ) -> Result | Future[Result]:
        self.intercept(identity, request)
        return self.current.extended(identity, request, controls, peer)

    def bulk(self, identity: Identity, request: BulkRequest) -> Future[BulkReport]:
        return self.current.bulk(identity, request)


@frozen
class _Standing:
    """A search that goes on, as long as its directory is there."""

    directory: ExchangeableDirectory
    asked: LocalDirectory
    standing: Standing

    @property
    def number(self) -> int:
        return self.standing.number

    def changes(self) -> Generator[bytes, None, Result | Standing]:
        if self.directory.current is not self.asked:
            raise _exchanged()
        answers = self.standing.changes()
        return self.directory._standing((yield from self.directory._unless_exchanged(answers)))


def _exchanged() -> LDAPError:
    return LDAPError(ResultCode.UNAVAILABLE, "the directory was restored meanwhile")
