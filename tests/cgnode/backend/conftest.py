from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from tests.cgnode.backend.mailing import ALICE, faults, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MaildirStore]:
    """An empty one that must be sound at the end of the test."""
    store = open_store(tmp_path / "storage")
    yield store
    assert faults(store) == []


@pytest.fixture
def alice(store: MaildirStore) -> MaildirAccount:
    return store.account(ALICE, create=True)
