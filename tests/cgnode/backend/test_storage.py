from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from threading import Thread

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import (
    INBOX,
    AccountExists,
    BadName,
    Gone,
    MailStore,
    NoSuchAccount,
    Removed,
    StorageAway,
    StorageFailed,
    StorageUnusable,
)
from tests.cgnode.backend.mailing import ALICE, BOB, append, contents, deliver, faults, open_store, reopened


def test_the_interface(store: MaildirStore) -> None:
    plain: MailStore = store
    account = plain.account(ALICE, create=True)
    assert (account.address, account.home) == (ALICE, "be1")
    assert plain.homes == ("be1",)


def test_the_marker(tmp_path: Path) -> None:
    open_store(tmp_path / "a")
    assert (tmp_path / "a" / "cgnode-storage").read_text() == "cgnode mail storage, format 1\nowner be1\n"
    assert os.listdir(tmp_path / "a") == ["cgnode-storage"]
    open_store(tmp_path / "a")
    with pytest.raises(StorageUnusable, match="of be1, not of be2"):
        open_store(tmp_path / "a", "be2")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged"),
        (b"x\ny\n", "damaged"),
        (b"cgnode mail storage, format 1\n", "damaged"),
        (b"cgnode mail storage, format 2\nowner be1\nmore\n", "format 2, not 1"),
        (b"\xff\n", "damaged"),
        (b"cgnode mail storage, format 1\nowner ../x\n", "damaged"),
    ],
)
def test_markers_that_are_none(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "cgnode-storage").write_bytes(data)
    with pytest.raises(StorageUnusable, match=reason):
        open_store(tmp_path)


def test_owners(tmp_path: Path) -> None:
    assert open_store(tmp_path / "a", "BE1.Example").homes == ("be1.example",)
    assert open_store(tmp_path / "a", "be1.example").account(ALICE, home="Be1.Example", create=True).home
    for owner in ("", "a b", "../x", "a\nb"):
        with pytest.raises(BadName):
            open_store(tmp_path / "b", owner)


def test_folders_that_are_no_storages(tmp_path: Path, store: MaildirStore) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(StorageUnusable, match="holds something else"):
        open_store(tmp_path / "other")
    for path in (tmp_path / "other", tmp_path / "nowhere", tmp_path / "other" / "file"):
        with pytest.raises(StorageUnusable, match="not a storage"):
            store.attach(path)
    with pytest.raises(StorageFailed):
        open_store(tmp_path / "other" / "file")


def test_accounts(store: MaildirStore) -> None:
    with pytest.raises(NoSuchAccount):
        store.account(ALICE)
    alice = store.account("ALICE@Example.COM", create=True)
    assert alice is store.account(ALICE)
    assert alice.address == ALICE
    store.account(BOB, create=True)
    store.account("z@be1", create=True)
    assert list(store.accounts()) == ["z@be1", ALICE, BOB]
    for address in ("alice", "../../x@example.com", "x@../..", "a/../b@example.com"):
        for attempt in (store.account, store.remove, store.disk_usage, store.check):
            with pytest.raises(BadName):
                attempt(address)
        with pytest.raises(BadName):
            store.account(address, create=True)
        with pytest.raises(BadName):
            store.rename(ALICE, address)


def test_what_a_storage_holds_of_an_account(store: MaildirStore, alice: MaildirAccount) -> None:
    """No path that leads anywhere: it works wherever it is."""
    append(alice, "a", flags=["$k"])
    alice.create("A/B")
    for folder, _, names in os.walk(alice.path):
        for name in names:
            assert str(store.path("be1")).encode() not in Path(folder, name).read_bytes()


def test_created_by_many_at_once(tmp_path: Path) -> None:
    stores = [open_store(tmp_path / "storage") for _ in range(4)]
    found: list[str] = []

    def one(store: MaildirStore, number: int) -> None:
        deliver(store.account(ALICE, create=True), number)
        found.append(ALICE)

    threads = [Thread(target=one, args=(stores[number % 4], number)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(contents(stores[0].account(ALICE))) == 16
    assert os.listdir(tmp_path / "storage" / "example.com") == ["alice"]
    assert faults(stores[0]) == []


def test_set_aside(store: MaildirStore, alice: MaildirAccount) -> None:
    append(alice, "a")
    with alice.select(INBOX) as view:
        told: list[bool] = []
        view.listen(lambda: told.append(True))
        removed = store.remove(ALICE)
        assert told
        assert view.poll()
        with pytest.raises(Gone):
            view.look()
    assert (removed.address, removed.home) == (ALICE, "be1")
    assert abs(removed.date - time.time()) < 60
    assert store.removed() == [removed]
    with pytest.raises(NoSuchAccount):
        store.remove(ALICE)
    assert contents(store.account(ALICE, create=True)) == {}
    with pytest.raises(AccountExists):
        store.put_back(removed)
    other = store.remove(ALICE)
    assert sorted(store.removed(), key=lambda one: one.name) == sorted(
        [removed, other], key=lambda one: one.name
    )
    store.purge(other)
    assert store.removed() == [removed]
    store.put_back(removed)
    assert store.removed() == []
    assert contents(store.account(ALICE)) == {1: "a"}
    with pytest.raises(NoSuchAccount):
        store.purge(removed)


def test_hostile_things_to_purge(store: MaildirStore, alice: MaildirAccount) -> None:
    for name in ("..", "../../example.com/alice", "alice", "alice.20200101T000000Z", "bob.20200101T000000Z"):
        for attempt in (store.purge, store.put_back):
            with pytest.raises(NoSuchAccount):
                attempt(Removed(ALICE, name, 0, "be1"))
    with pytest.raises(BadName):
        store.purge(Removed("../x", "x", 0, "be1"))
    assert Path(alice.path).exists()


def test_a_link_that_was_set_aside(tmp_path: Path, store: MaildirStore, alice: MaildirAccount) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    Path(alice.path, "link").symlink_to(precious)
    store.purge(store.remove(ALICE))
    assert (precious / "file").exists()


def test_rename(store: MaildirStore, alice: MaildirAccount) -> None:
    append(alice, "a")
    status = alice.status(INBOX)
    store.account(BOB, create=True)
    with pytest.raises(AccountExists):
        store.rename(ALICE, BOB)
    with pytest.raises(NoSuchAccount):
        store.rename("nobody@example.com", "x@example.com")
    with alice.select(INBOX) as view:
        store.rename(ALICE, "Anna@new.example")
        with pytest.raises(Gone):
            view.look()
    with pytest.raises(NoSuchAccount):
        store.account(ALICE)
    anna = store.account("anna@new.example")
    assert contents(anna) == {1: "a"}
    assert anna.status(INBOX).uidvalidity == status.uidvalidity
    with pytest.raises(Gone):
        deliver(alice, "b")


def test_renamed_by_another_process(store: MaildirStore, alice: MaildirAccount) -> None:
    (other,) = reopened(store)
    other.rename(ALICE, BOB)
    with pytest.raises(Gone):
        deliver(alice, "b")
    assert store.account(BOB).status(INBOX).messages == 0
    with pytest.raises(NoSuchAccount):
        store.account(ALICE)


# --- several storages --------------------------------------------------------------------


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """The storage of a host that is no more."""
    be3 = open_store(tmp_path / "be3", "be3")
    append(be3.account(BOB, create=True), "a", flags=["$k"])
    shutil.move(tmp_path / "be3", tmp_path / "moved")
    return tmp_path / "moved"


def test_attach(store: MaildirStore, alice: MaildirAccount, failed: Path) -> None:
    with pytest.raises(StorageAway):
        store.account(BOB, home="be3", create=True)
    assert store.attach(failed) == "be3"
    assert store.attach(failed) == "be3"
    assert store.homes == ("be1", "be3")
    bob = store.account(BOB)
    assert (bob.home, contents(bob)) == ("be3", {1: "a"})
    assert bob is store.account(BOB, home="be3")
    with pytest.raises(NoSuchAccount):
        store.account(BOB, home="be1")
    with pytest.raises(NoSuchAccount):
        store.account(ALICE, home="be3")
    assert sorted(store.accounts()) == [ALICE, BOB]
    assert list(store.accounts("be3")) == [BOB]
    with bob.select(INBOX) as view:
        store.detach("be3")
        with pytest.raises(Gone):
            view.look()
        assert view.poll()
    with pytest.raises(Gone):
        deliver(bob)
    with pytest.raises(StorageAway):
        store.account(BOB, home="be3")
    with pytest.raises(NoSuchAccount):
        store.account(BOB)
    with pytest.raises(StorageAway):
        store.detach("be3")
    with pytest.raises(StorageAway):
        store.detach("be1")
    store.attach(failed)
    assert contents(store.account(BOB)) == {1: "a"}


def test_new_accounts_of_a_failed_host(store: MaildirStore, failed: Path) -> None:
    store.attach(failed)
    assert store.account("new@example.com", create=True).home == "be1"
    assert store.account("old@example.com", home="be3", create=True).home == "be3"


def test_an_account_in_two_storages(store: MaildirStore, failed: Path) -> None:
    """Such as one that was created before its storage came: nobody guesses."""
    deliver(store.account(BOB, create=True), "b")
    store.attach(failed)
    with pytest.raises(StorageAway, match="several"):
        store.account(BOB)
    assert contents(store.account(BOB, home="be1")) == {1: "b"}
    assert contents(store.account(BOB, home="be3")) == {1: "a"}
    with pytest.raises(AccountExists):
        store.rename(BOB, BOB, home="be1")


def test_two_storages_of_one_owner(tmp_path: Path, store: MaildirStore, failed: Path) -> None:
    store.attach(failed)
    shutil.copytree(failed, tmp_path / "copy")
    with pytest.raises(StorageAway):
        store.attach(tmp_path / "copy")


def test_removal_where_an_account_is_kept(store: MaildirStore, failed: Path) -> None:
    store.attach(failed)
    removed = store.remove(BOB)
    assert removed.home == "be3"
    assert (failed / ".removed" / "example.com" / removed.name / "Maildir").is_dir()
    store.put_back(removed)
    assert contents(store.account(BOB)) == {1: "a"}


# --- upkeep ------------------------------------------------------------------------------


def test_disk_usage(store: MaildirStore, alice: MaildirAccount) -> None:
    before = store.disk_usage(ALICE)
    with alice.incoming() as incoming:
        incoming.write(b"x" * 100_000)
        alice.deliver(incoming)
    assert 100_000 <= store.disk_usage(ALICE) - before < 200_000
    with alice.select(INBOX) as view:
        view.copy([1], "Archive")
    assert store.disk_usage(ALICE) - before < 200_000
    with pytest.raises(NoSuchAccount):
        store.disk_usage(BOB)


def test_what_creating_left_behind(tmp_path: Path) -> None:
    now = [time.time()]
    own = MaildirStore.open(tmp_path / "own", "be1", Disk(sync=False, clock=lambda: now[0]))
    other = open_store(tmp_path / "other", "be2")
    other.account(ALICE, create=True)
    left = tmp_path / "other" / "example.com" / ".new.x"
    (left / "Maildir").mkdir(parents=True)
    assert list(other.accounts()) == [ALICE]
    own.attach(tmp_path / "other")
    assert left.exists()
    own.detach("be2")
    now[0] += 40 * 3600
    own.attach(tmp_path / "other")
    assert not left.exists()
    assert list(own.accounts()) == [ALICE]
