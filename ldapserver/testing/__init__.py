"""A directory for other people's tests: real, empty or filled, gone afterwards.

    from ldapserver.testing import EphemeralDirectory

    with EphemeralDirectory(LDIF).serve() as directory:
        connection = ldap.initialize(directory.url)

Without ``serve`` there is no listener: its methods call the directory itself.  Under a
reactor that runs in the test's own thread it is ``listen(reactor)`` instead of
``serve()``, and ``DirectoryTestCase`` does that for twisted.trial.  For pytest there are
the fixtures ``ldap_directory`` and ``ldap_directory_factory`` (``ldapserver.pytest_plugin``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldapserver.testing.ephemeral import EphemeralDirectory, Image
from ldapserver.testing.source import Source, Values

if TYPE_CHECKING:
    from ldapserver.testing.trial import DirectoryMixin, DirectoryTestCase

__all__ = ["DirectoryMixin", "DirectoryTestCase", "EphemeralDirectory", "Image", "Source", "Values"]


def __getattr__(name: str) -> object:
    """What is trial's is imported when it is asked for: it brings Twisted and its reactor,
    which a test with pytest alone can do without."""
    if name == "DirectoryMixin":
        from ldapserver.testing.trial import DirectoryMixin

        return DirectoryMixin
    if name == "DirectoryTestCase":
        from ldapserver.testing.trial import DirectoryTestCase

        return DirectoryTestCase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
