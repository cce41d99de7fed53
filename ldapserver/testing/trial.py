"""For twisted.trial: a directory on the reactor that runs the tests."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from ldapserver.testing.ephemeral import EphemeralDirectory
from ldapserver.testing.source import Source


class DirectoryMixin:
    """Gives each test a ``directory`` that listens and is closed and checked afterwards.

    ``sources`` fill it.  A test case that has a ``setUp`` of its own calls this one's.
    """

    sources: ClassVar[tuple[Source, ...]] = ()
    directory: EphemeralDirectory

    def setUp(self: Any) -> None:
        super().setUp()  # type: ignore[misc]
        self.directory = EphemeralDirectory(*self.sources)
        self.addCleanup(self._close)
        self.directory.listen(reactor)

    def _close(self) -> Deferred[None]:
        return self.directory.stop_listening().addCallback(lambda _: self.directory.close())


class DirectoryTestCase(DirectoryMixin, TestCase):
    """A trial test case with a directory."""
