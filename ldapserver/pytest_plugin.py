"""pytest fixtures: ``ldap_directory``, ``ldap_directory_factory``.

    @pytest.mark.ldap_directory("dn: o=example ...")
    def test_lookup(ldap_directory):
        ldap_directory.serve()
        ...

The marker's arguments are what ``EphemeralDirectory`` takes.  What is imported here is
imported at the start of every pytest session of whoever has this package, so nothing
is until a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ldapserver.testing import EphemeralDirectory

MARKER = "ldap_directory(*sources, **settings): what the fixture ldap_directory is made with"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def ldap_directory_factory() -> Iterator[Callable[..., EphemeralDirectory]]:
    """Makes directories as ``EphemeralDirectory`` does; closes and checks them after the test."""
    from ldapserver.testing import EphemeralDirectory

    with ExitStack() as stack:

        def make(*sources: Any, **settings: Any) -> EphemeralDirectory:
            return stack.enter_context(EphemeralDirectory(*sources, **settings))

        yield make


@pytest.fixture
def ldap_directory(
    request: pytest.FixtureRequest, ldap_directory_factory: Callable[..., EphemeralDirectory]
) -> EphemeralDirectory:
    """A directory for one test; empty, or made as its marker ``ldap_directory`` says."""
    marker = request.node.get_closest_marker("ldap_directory")
    if marker is None:
        return ldap_directory_factory()
    return ldap_directory_factory(*marker.args, **marker.kwargs)
