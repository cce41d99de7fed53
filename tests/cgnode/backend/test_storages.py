"""Which storages a backend serves, and that nobody else serves them meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.storages import FILE, Storages
from cgnode.backend.store import MailStoreError, NoSuchAccount, StorageAway, StorageUnusable
from tests.cgnode.backend.mailing import ALICE, BOB, contents, deliver

DISK = Disk(sync=False)
Opener = Callable[..., Storages]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens a backend's storages, as its process does."""
    found = []

    def open_storages(
        name: str = "be1", *configured: Path, hosts: Callable[[str], Collection[str]] | None = None
    ) -> Storages:
        (tmp_path / name).mkdir(exist_ok=True)
        storages = Storages(tmp_path / name, name, configured, DISK, hosts)
        found.append(storages)
        storages.open()
        return storages

    yield open_storages
    for storages in found:
        storages.close()


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """The storage of be3, with mail for bob, which nobody serves."""
    path = tmp_path / "be3" / "storage"
    path.parent.mkdir()
    deliver(MaildirStore.open(path, "be3", DISK).account(BOB, create=True), "old")
    return path


def states(storages: Storages) -> list[tuple[str, str, bool]]:
    return [(each["host"], each["kind"], not each["away"]) for each in storages.list()]


def test_its_own(tmp_path: Path, opened: Opener) -> None:
    storages = opened()
    assert states(storages) == [("be1", "own", True)]
    assert json.loads((tmp_path / "be1" / FILE).read_text()) == {"own": True, "attached": []}
    deliver(storages.store.account(ALICE, home="be1", create=True))
    storages.close()
    again = opened()
    assert again.homes == ("be1",)
    assert len(contents(again.store.account(ALICE))) == 1


def test_attached_until_it_is_detached(tmp_path: Path, opened: Opener, failed: Path) -> None:
    storages = opened()
    assert storages.attach(failed) == "be3"
    assert storages.attach(str(failed) + "/") == "be3"
    assert storages.homes == ("be1", "be3")
    bob = storages.store.account(BOB, home="be3")
    deliver(bob, "new")
    storages.close()
    again = opened()
    assert states(again) == [("be1", "own", True), ("be3", "attached", True)]
    assert sorted(contents(again.store.account(BOB, home="be3")).values()) == ["new", "old"]
    assert again.detach("BE3") == "be3"
    assert again.homes == ("be1",)
    with pytest.raises(StorageAway):
        again.store.account(BOB, home="be3")
    again.attach(failed)
    assert again.detach(str(failed)) == "be3"
    with pytest.raises(StorageAway, match="no storage be3"):
        again.detach("be3")
    again.close()
    assert states(opened()) == [("be1", "own", True)]


def test_one_process_to_a_storage(tmp_path: Path, opened: Opener, failed: Path) -> None:
    """A returning host finds its storage in use, is there without it, and has it when it is free."""
    covering = opened("be1")
    covering.attach(failed)
    other = opened("be2")
    with pytest.raises(StorageAway, match="in use by process"):
        other.attach(failed)
    assert states(other) == [("be2", "own", True)]
    with pytest.raises(StorageAway):
        other.attach(tmp_path / "be1" / "storage")
    returned = opened("be3")
    assert states(returned) == [("be3", "own", False)]
    assert "in use" in returned.list()[0]["away"]
    with pytest.raises(StorageAway):
        returned.store.account(BOB, home="be3", create=True)
    assert returned.retry()
    covering.detach("be3")
    assert not returned.retry()
    assert list(contents(returned.store.account(BOB, home="be3")).values()) == ["old"]
    with pytest.raises(StorageAway):
        covering.attach(failed)


def test_who_starts_again_takes_nothing_from_who_serves_the_accounts(opened: Opener, failed: Path) -> None:
    """Failover from be3 to be2, from both to be1, and back: nobody is quicker than its owner."""
    places = {"be3": ["be3"]}

    def hosts(owner: str) -> list[str]:
        return places.get(owner, [])

    first = opened("be2", hosts=hosts)
    first.attach(failed)  # before the failover
    first.close()
    first = opened("be2", hosts=hosts)
    assert states(first) == [("be2", "own", True), ("be3", "attached", False)]
    assert first.list()[1]["away"] == "the accounts of be3 are on be3 now"
    places["be3"] = ["be2"]
    assert not first.retry()
    first.close()
    # While be2 is starting again, be3 comes back.
    returned = opened("be3", hosts=hosts)
    assert returned.list()[0]["away"] == "the accounts of be3 are on be2 now"
    second = opened("be1", hosts=hosts)
    second.attach(failed)
    places["be3"] = ["be1"]
    first = opened("be2", hosts=hosts)
    second.close()
    assert first.retry()
    assert returned.retry()
    places["be3"] = ["be3"]
    assert first.retry()
    assert not returned.retry()
    assert first.detach("be3") == "be3"
    # Whose accounts are nowhere has its own.
    places.clear()
    returned.close()
    assert states(opened("be3", hosts=hosts)) == [("be3", "own", True)]


def test_what_is_configured(tmp_path: Path, opened: Opener, failed: Path) -> None:
    storages = opened("be1", failed, failed)
    assert states(storages) == [("be1", "own", True), ("be3", "configured", True)]
    with pytest.raises(StorageAway, match="by its configuration"):
        storages.detach("be3")
    with pytest.raises(StorageAway, match="by its configuration"):
        storages.detach("be1")


def test_a_disk_that_is_not_mounted(tmp_path: Path, opened: Opener, failed: Path) -> None:
    """Nothing is made in its place, and it is served when it is there."""
    storages = opened()
    deliver(storages.store.account(ALICE, create=True))
    storages.attach(failed)
    storages.close()
    for path in (failed, tmp_path / "be1" / "storage"):
        path.rename(path.with_name("unmounted"))
        path.mkdir()
    again = opened()
    assert states(again) == [("be1", "own", False), ("", "attached", False)]
    for home in ("be1", "be3"):
        with pytest.raises(StorageAway):
            again.store.account(ALICE, home=home, create=True)
    with pytest.raises(StorageAway):
        again.store.account(ALICE, create=True)
    for path in (failed, tmp_path / "be1" / "storage"):
        path.rmdir()
        path.with_name("unmounted").rename(path)
    assert not again.retry()
    assert again.homes == ("be1", "be3")
    assert len(contents(again.store.account(ALICE, home="be1"))) == 1


def test_no_storages(tmp_path: Path, opened: Opener, failed: Path) -> None:
    storages = opened()
    with pytest.raises(StorageUnusable):
        storages.attach(tmp_path / "nowhere")
    with pytest.raises(StorageUnusable):
        storages.attach(tmp_path)
    namesake = tmp_path / "namesake"
    MaildirStore.open(namesake, "be1", DISK)
    with pytest.raises(StorageUnusable, match="own name"):
        storages.attach(namesake)
    storages.attach(failed)
    copy = tmp_path / "copy"
    shutil.copytree(failed, copy)
    with pytest.raises(MailStoreError, match="is attached as the storage of be3"):
        storages.attach(copy)
    assert states(storages) == [("be1", "own", True), ("be3", "attached", True)]
    with pytest.raises(NoSuchAccount):
        storages.store.account(ALICE)


def test_another_servers_folder(tmp_path: Path, opened: Opener, failed: Path) -> None:
    storages = Storages(failed.parent, "be4", (), DISK)
    with pytest.raises(StorageUnusable, match="is the storage of be3"):
        storages.open()


def test_a_damaged_list(tmp_path: Path, opened: Opener) -> None:
    opened().close()
    for text in ("", "[]", "{}", '{"own": 1, "attached": 7}'):
        (tmp_path / "be1" / FILE).write_text(text)
        with pytest.raises(StorageUnusable, match="damaged"):
            opened()
