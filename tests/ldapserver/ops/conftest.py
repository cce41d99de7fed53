"""A site in a fresh store for each test, checked when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from ldapserver.checking import expectation
from ldapserver.core import Core, Settings
from storage.check import check
from storage.store import Store
from tests.ldapserver.ops.site import ADMINISTRATOR_PASSWORD, Clock, Site


def open_site(path: Path, clock: Clock) -> Site:
    store = Store.open(path, sync=False, map_size=1 << 26, clock=clock)
    return Site(Core(store, Settings(administrator_password=ADMINISTRATOR_PASSWORD)), clock)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the site in it, made once to be copied."""
    path = tmp_path_factory.mktemp("site") / "store"
    site = open_site(path, Clock())
    site.fill()
    site.core.store.close()
    return path


@pytest.fixture
def site(filled: Path, tmp_path: Path) -> Iterator[Site]:
    site = open_site(copytree(filled, tmp_path / "store"), Clock())
    yield site
    with site.core.store.snapshot() as snapshot:
        assert list(check(snapshot, expectation(site.core, snapshot))) == []
    site.core.store.close()
