"""A site in a fresh store for each test, checked when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from ldapserver.checking import expectation
from storage.check import check
from tests.ldapserver.ops.site import Clock, Site, open_site


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
