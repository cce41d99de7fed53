"""Deliveries that share the disk: each is there, and what fails is one's own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.maildir.together import Together
from cgnode.backend.store import (
    Account,
    Gone,
    Incoming,
    MailStoreError,
    OverQuota,
    Quota,
    StorageFailed,
    StorageFull,
)
from tests.cgnode.backend.mailing import ALICE, BOB, contents, faults, files, text

CAROL = "carol@example.com"


class Syncs:
    """Counts the disk's calls; ``fail`` makes the one with that number fail."""

    def __init__(self) -> None:
        self.count = 0
        self.fail = 0
        self.before: Callable[[int], None] = lambda number: None

    def __call__(self, descriptor: int) -> None:
        self.count += 1
        self.before(self.count)
        if self.count == self.fail:
            raise OSError(errno.EIO, "broken")


@pytest.fixture
def syncs(tmp_path: Path) -> Syncs:
    return Syncs()


@pytest.fixture
def store(tmp_path: Path, syncs: Syncs) -> MaildirStore:
    together = Together(syncs)
    together.hold(str(tmp_path))
    store = MaildirStore.open(tmp_path / "storage", "be1", Disk(together=together))
    for address in (ALICE, BOB, CAROL):
        store.account(address, create=True)
    syncs.count = 0
    return store


def written(account: Account, label: str) -> Incoming:
    incoming = account.incoming()
    incoming.write(text(label))
    return incoming


def deliver(store: MaildirStore, *accounts: Account) -> list[type[MailStoreError] | None]:
    pairs = [(account, written(account, f"m{number}")) for number, account in enumerate(accounts)]
    try:
        return [None if error is None else type(error) for error in store.deliver_all(pairs)]
    finally:
        for _, incoming in pairs:
            incoming.close()


def opened(store: MaildirStore) -> list[MaildirAccount]:
    return [store.account(address) for address in (ALICE, BOB, CAROL)]


def test_two_calls_for_all(store: MaildirStore, syncs: Syncs) -> None:
    alice, bob, carol = opened(store)
    told: list[str] = []
    with alice.select("INBOX") as view:
        view.listen(lambda: told.append(f"after {syncs.count}"))
        syncs.count = 0
        assert deliver(store, alice, bob, alice, carol) == [None] * 4
        assert told == ["after 2"] * 2
    assert syncs.count == 2
    assert sorted(contents(alice).values()) == ["m0", "m2"]
    assert list(contents(carol).values()) == ["m3"]
    assert deliver(store) == []
    assert faults(store) == []


def test_names_come_when_texts_are_durable(store: MaildirStore, syncs: Syncs) -> None:
    alice, bob, _ = opened(store)
    seen: list[int] = []
    syncs.before = lambda number: seen.append(len(files(alice)) + len(files(bob)))
    assert deliver(store, alice, bob) == [None, None]
    assert seen == [0, 2]


@pytest.mark.parametrize("call", [1, 2])
def test_a_disk_that_fails(store: MaildirStore, syncs: Syncs, call: int) -> None:
    """Nobody's is there then, since nobody was told that it is."""
    alice, bob, _ = opened(store)
    syncs.fail = call
    assert deliver(store, alice, bob) == [StorageFailed, StorageFailed]
    assert files(alice) + files(bob) == []
    assert deliver(store, alice, bob) == [None, None]


def test_each_its_own(store: MaildirStore, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, carol = opened(store)
    bob.quota = Quota(messages=0)
    assert deliver(store, alice, bob, carol) == [None, OverQuota, None]
    store.rename(CAROL, "caro@example.com")
    found = [(account, written(alice, "n")) for account in (carol, alice)]
    results = store.deliver_all(found)
    assert [error and type(error) for error in results] == [Gone, None]
    link = os.link

    def full(source: str, target: str, **options: bool) -> None:
        if "/alice/" in target:
            raise OSError(errno.ENOSPC, "full")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", full)
    assert deliver(store, alice, store.account("caro@example.com")) == [StorageFull, None]
    monkeypatch.undo()
    for _, incoming in found:
        incoming.close()
    assert len(files(alice)) == 2
    assert faults(store) == []
