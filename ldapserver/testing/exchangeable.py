"""A directory that can be exchanged for another while it is in use, and that a test can
get in the way of."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TypeAlias

from ldapserver.directory import BindOutcome
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
        self._searches: set[Generator[bytes, None, Result]] = set()

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
        answers = self.current.search(identity, request, controls)
        self._searches.add(answers)
        try:
            result: Result | None = yield from answers
        finally:
            answers.close()
            self._searches.discard(answers)
        if result is None:
            raise LDAPError(ResultCode.UNAVAILABLE, "the directory was restored meanwhile")
        return result

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
