"""A directory for other people's tests: real, empty or filled, gone afterwards.

    from ldapserver.testing import EphemeralDirectory

    with EphemeralDirectory(LDIF).serve() as directory:
        connection = ldap.initialize(directory.url)

Without ``serve`` there is no listener: its methods call the directory itself.  Under a
reactor that runs in the test's own thread it is ``listen(reactor)`` instead of
``serve()``, and ``ldapserver.testing.trial.DirectoryTestCase`` does that for
twisted.trial.  For pytest there are the fixtures ``ldap_directory`` and
``ldap_directory_factory`` (``ldapserver.pytest_plugin``).
"""

from __future__ import annotations

from ldapserver.testing.ephemeral import EphemeralDirectory, Image
from ldapserver.testing.source import Source, Values

__all__ = ["EphemeralDirectory", "Image", "Source", "Values"]
