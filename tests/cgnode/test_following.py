"""Following the node's own directory: changes by this process and by others are heard of."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from cgnode.following import Following, LocalFollowing
from cgnode.router import Account, Router, Unknown
from ldapserver.local import LocalDirectory
from ldapserver.testing.source import Source
from ldapserver.testing.trial import DirectoryTestCase

reactor: Any = global_reactor

SOON = 0.2
"""Seconds within which a change must be heard of, and some for a busy machine."""

SITE = """\
dn: cn=servers
objectClass: cgnodeServers
cn: servers

dn: cn=be1,cn=servers
objectClass: cgnodeServer
cn: be1
serverRole: backend
serverState: active

dn: cn=example.com
objectClass: CommuniGateDomain
cn: example.com

"""

ALICE = {
    "objectClass": "CommuniGateAccount",
    "uid": "alice",
    "cn": "Alice",
    "sn": "Alice",
    "hostServer": "be1",
}

OTHER = """\
import sys
from pathlib import Path
from ldapserver.local import LocalDirectory
from ldapserver.messages import AddRequest, Attribute
directory = LocalDirectory.open(Path(sys.argv[1]))
add = AddRequest("cn=other.example", (Attribute("objectClass", (b"CommuniGateDomain",)),))
directory.write(directory.core.administrator, add, ()).result()
directory.close()
"""


def sleep(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


class Heard:
    """Counts calls, and lets a test wait for the next."""

    def __init__(self) -> None:
        self.count = 0
        self._next: Deferred[None] = Deferred()

    def __call__(self) -> None:
        self.count += 1
        last, self._next = self._next, Deferred()
        last.callback(None)

    def next(self, timeout: float = 5.0) -> Deferred[None]:
        self._next.addTimeout(timeout, reactor)
        return self._next


class LocalFollowingTest(DirectoryTestCase):
    sources: ClassVar[tuple[Source, ...]] = (SITE,)

    def setUp(self) -> None:
        super().setUp()
        self.following = LocalFollowing(reactor, self.directory.local)
        self.following.startService()
        self.addCleanup(self.following.stopService)

    async def test_routing_over_it(self) -> None:
        following: Following = self.following
        assert following.usable() is None
        with following.site.reading() as lookup:
            assert isinstance(Router(lookup).route("alice@example.com").outcome, Unknown)
        self.directory.add("uid=alice,cn=example.com", ALICE)
        with following.site.reading() as lookup:
            assert isinstance(Router(lookup).route("alice@example.com").outcome, Account)
        assert following.status()["source"] == "local"

    async def test_a_change_is_heard_of_soon(self) -> None:
        heard = Heard()
        self.following.subscribe(heard)
        began = reactor.seconds()
        self.directory.add("uid=alice,cn=example.com", ALICE)
        await heard.next()
        assert reactor.seconds() - began < SOON
        assert heard.count == 1
        await sleep(0.25)
        assert heard.count == 1

    async def test_many_commits_are_few_calls(self) -> None:
        heard = Heard()
        self.following.subscribe(heard)
        for number in range(50):
            self.directory.modify("cn=example.com", replace={"description": str(number)})
        await heard.next()
        await sleep(0)
        assert 1 <= heard.count < 10

    async def test_the_end_of_a_subscription(self) -> None:
        ended, other = Heard(), Heard()
        cancels: list[Callable[[], None]] = []

        def end_the_other() -> None:
            cancels[1]()
            ended()

        cancels.append(self.following.subscribe(end_the_other))
        cancels.append(self.following.subscribe(other))
        self.directory.modify("cn=example.com", replace={"description": "1"})
        await ended.next()
        cancels[0]()
        cancels[0]()
        self.directory.modify("cn=example.com", replace={"description": "2"})
        await sleep(SOON)
        assert (ended.count, other.count) == (1, 0)
        again = Heard()
        self.following.subscribe(again)
        await sleep(SOON)
        assert again.count == 0
        self.directory.modify("cn=example.com", replace={"description": "3"})
        await again.next()

    async def test_one_listener_that_fails_is_not_the_others_loss(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        heard = Heard()
        self.following.subscribe(fail)
        self.following.subscribe(heard)
        self.directory.modify("cn=example.com", replace={"description": "1"})
        await heard.next()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1


class OtherProcessTest(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.directory = LocalDirectory.open(self.folder)
        self.following = LocalFollowing(reactor, self.directory)
        self.following.startService()

    def tearDown(self) -> None:
        self.following.stopService()
        self.directory.close()

    async def test_what_another_process_writes(self) -> None:
        heard = Heard()
        self.following.subscribe(heard)
        command = ["-P", "-c", OTHER, str(self.folder)]
        done = getProcessOutputAndValue(sys.executable, command, env=None, reactor=reactor)
        await heard.next(30.0)
        with self.following.site.reading() as lookup:
            assert lookup.domain("other.example") is not None
        _, errors, status = await done
        assert status == 0, errors
