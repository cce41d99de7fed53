"""When the service looks, and that it goes on trying for storages that are away."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from cgnode import accounts
from cgnode.backend.mailboxes import Mailboxes
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.storages import Storages
from cgnode.backend.upkeep import Report, Times, Upkeep, UpkeepService
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.backend.hosted import HOST, StillFollowing, make_site
from tests.cgnode.backend.mailing import ALICE, BOB

reactor: Any = global_reactor
DISK = Disk(sync=False)


def pause(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await pause(0.01)
    raise AssertionError("it did not come to be")


class UpkeepServiceTests(TestCase):
    def setUp(self) -> None:
        self.directory = EphemeralDirectory()
        self.addCleanup(self.directory.close)
        self.site = make_site(self.directory)
        self.following = StillFollowing(self.site)
        self.folder = Path(self.mktemp())
        (self.folder / "be1").mkdir(parents=True)
        self.pool = ThreadPool(0, 4)
        self.pool.start()
        self.addCleanup(self.pool.stop)
        self.storages = Storages(self.folder / "be1", HOST, (), DISK)
        self.storages.open()
        self.addCleanup(self.storages.close)
        store = self.store = self.storages.store
        mailboxes = Mailboxes(self.following, store, None, lambda: 0.0)
        upkeep = self.upkeep = Upkeep(self.following, store, mailboxes, 0.2)
        times = Times(settle=0.05, retry=0.05)
        self.service = UpkeepService(reactor, self.pool, self.following, upkeep, self.storages, times)

    def start(self) -> None:
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def addresses(self) -> list[str]:
        return list(self.store.accounts())

    async def test_follows(self) -> None:
        for address in (ALICE, BOB):
            self.store.account(address, home=HOST, create=True)
        self.start()
        await until(lambda: bool(self.store.identity(BOB, home=HOST)))
        accounts.rename_account(self.site, ALICE, "alicia@example.com")
        self.following.change()
        await until(lambda: "alicia@example.com" in self.addresses())
        accounts.remove_account(self.site, BOB)
        self.following.change()
        # It looks again by itself, when the grace has passed.
        await until(lambda: self.addresses() == ["alicia@example.com"])
        assert [each.address for each in self.store.removed()] == [BOB]

    async def test_a_directory_that_is_away(self) -> None:
        self.store.account(ALICE, home=HOST, create=True)
        accounts.remove_account(self.site, ALICE)
        self.following.away = "never loaded"
        self.start()
        await until(lambda: "never loaded" in self.service.report.suspicious)
        await pause(0.3)
        assert self.addresses() == [ALICE]
        self.following.away = None
        self.following.change()
        await until(lambda: self.addresses() == [])

    async def test_a_storage_that_comes_free(self) -> None:
        (self.folder / "be3").mkdir()
        returned = Storages(self.folder / "be3", "be3", (), DISK)
        returned.open()
        path = self.folder / "be3" / "storage"
        self.storages.close()
        again = Storages(self.folder / "be1", HOST, (path,), DISK)
        again.open()
        self.addCleanup(again.close)
        self.service._storages = again
        self.start()
        await pause(0.2)
        assert again.homes == (HOST,)
        returned.close()
        await until(lambda: again.homes == (HOST, "be3"))

    async def test_stopping_amid_a_look(self) -> None:
        begun, going_on = Event(), Event()
        look = self.upkeep.look

        def look_slowly() -> Report:
            begun.set()
            going_on.wait(10)
            return look()

        self.patch(self.upkeep, "look", look_slowly)
        self.service.startService()
        await until(begun.is_set)
        stopped = self.service.stopService()
        assert not stopped.called
        going_on.set()
        await stopped
        await self.service.stopService()
