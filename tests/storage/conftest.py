from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.store import Store
from tests.storage import world


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store that must be sound at the end of the test."""
    store = Store.open(tmp_path / "store", sync=False)
    world.describe(store)
    yield store
    faults = world.faults(store)
    store.close()
    assert not faults
