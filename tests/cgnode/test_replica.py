"""A copy of a directory elsewhere: equal to it, through all that may come between."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from cgnode.config.cluster import DirectoryAccess
from cgnode.replica import RemoteFollowing
from cgnode.router import Account, NoHost, Router
from cgnode.tables import ConfigError
from ldapserver.core import Settings
from ldapserver.messages import Rehost, Restore, Selection
from ldapserver.net.follower import Patience
from ldapserver.testing.source import Source
from ldapserver.testing.trial import DirectoryTestCase
from storage import txn as storage_txn
from tests.ldapserver.sync.following import differences, dump

reactor: Any = global_reactor

PATIENCE = Patience(heartbeat=0.5, silence=2.0, connect=2.0, first_wait=0.05, longest_wait=0.2, settle=0.1)

SITE = """\
dn: cn=servers
objectClass: cgnodeServers
cn: servers

dn: cn=be1,cn=servers
objectClass: cgnodeServer
cn: be1
serverRole: backend
serverState: active

dn: cn=be2,cn=servers
objectClass: cgnodeServer
cn: be2
serverRole: backend
serverState: active

dn: cn=a.example
objectClass: CommuniGateDomain
cn: a.example

dn: cn=b.example
objectClass: CommuniGateDomain
cn: b.example

"""

ACCOUNT = """\
dn: uid={uid},cn={domain}
objectClass: CommuniGateAccount
uid: {uid}
cn: Name of {uid}
sn: Name
mail: {uid}@{domain}
hostServer: {host}
userPassword: {{SSHA}}abcdefgh

"""


def accounts(count: int) -> str:
    return "".join(
        ACCOUNT.format(uid=f"u{i}", domain=domain, host="be1" if i % 3 else "be2")
        for domain in ("a.example", "b.example")
        for i in range(count)
    )


def sleep(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    end = reactor.seconds() + seconds
    while not condition():
        assert reactor.seconds() < end, "it does not come to pass"
        await sleep(0.02)


class ReplicaTestCase(DirectoryTestCase):
    timeout = 60
    sources: ClassVar[tuple[Source, ...]] = (SITE, accounts(30))

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.password = self.folder / "password"
        self.password.write_text(self.directory.administrator_password)
        self.time = 1e9
        self.jump = 0.0

    def follow(self, *urls: str, base: str = "", **more: Any) -> RemoteFollowing:
        access = DirectoryAccess(urls or (self.directory.url,), password_file=self.password, **more)
        following = RemoteFollowing(
            reactor,
            access,
            self.folder,
            base,
            settings=Settings(map_size=64 << 20, sync=False),
            clock=lambda: self.time + self.jump,
            steady=lambda: self.time,
            patience=PATIENCE,
            random=Random(1),
        )
        following.startService()
        self.addCleanup(self.end, following)
        return following

    async def end(self, following: RemoteFollowing) -> None:
        if following.running:
            problems = list(following._directory.check())
            await following.stopService()
            assert not problems, problems

    async def equal(self, following: RemoteFollowing, base: str = "") -> None:
        """Wait until the copy is what the directory is."""

        def missing() -> list[str]:
            return differences(dump(following._directory, base), dump(self.directory.local, base))

        await until(lambda: following.usable() is None)
        end = reactor.seconds() + 15
        while missing() and reactor.seconds() < end:
            await sleep(0.02)
        assert missing() == []

    def cut(self) -> None:
        """All connections to the directory break."""
        assert self.directory._service is not None
        self.directory._service.factory.abort()


class EqualityTest(ReplicaTestCase):
    async def test_everything_and_what_changes(self) -> None:
        following = self.follow()
        reason = following.usable()
        assert reason is not None
        assert "not copied yet" in reason
        await self.equal(following)
        with following.site.reading() as lookup:
            outcome = Router(lookup).route("u1@a.example").outcome
            assert isinstance(outcome, Account)
            assert outcome.host == "be1"
        directory = self.directory
        directory.modify("uid=u1,cn=a.example", replace={"sn": "Other", "userPassword": "{SSHA}other"})
        directory.add(
            "uid=new,cn=a.example",
            {"objectClass": "CommuniGateAccount", "uid": "new", "cn": "N", "sn": "N", "hostServer": "be2"},
        )
        directory.delete("uid=u2,cn=a.example")
        directory.rename("uid=u3,cn=a.example", "uid=moved", "cn=b.example")
        directory.rename("cn=b.example", "cn=c.example")
        await self.equal(following)
        directory.modify("uid=u1,cn=a.example", replace={"hostServer": []})
        await self.equal(following)
        with following.site.reading() as lookup:
            assert isinstance(Router(lookup).route("u1@a.example").outcome, NoHost)
        assert following.status()["following"] is True

    async def test_rehost_and_back(self) -> None:
        following = self.follow()
        await self.equal(following)
        directory = self.directory.local
        administrator = directory.core.administrator
        for request in (
            Rehost("be1", "be3"),
            Rehost("be2", "be3"),
            Restore("be1"),
            Rehost("be1", "be2", Selection("cn=a.example")),
            Rehost("be1", "be4", Selection(accounts=("u1@b.example",))),
            Restore("be1"),
            Restore("be2"),
        ):
            report = directory.bulk(administrator, request).result()
            assert report.changed, request
            await self.equal(following)

    async def test_a_part(self) -> None:
        following = self.follow(base="cn=a.example")
        await self.equal(following, "cn=a.example")
        self.directory.rename("uid=u1,cn=a.example", "uid=u1", "cn=servers")
        self.directory.delete("uid=u2,cn=a.example")
        await self.equal(following, "cn=a.example")

    async def test_word_of_changes(self) -> None:
        following = self.follow()
        await self.equal(following)
        heard: list[float] = []
        cancel = following.subscribe(lambda: heard.append(reactor.seconds()))
        began = reactor.seconds()
        self.directory.modify("cn=a.example", replace={"description": "x"})
        await until(lambda: bool(heard))
        assert heard[0] - began < 0.5
        cancel()


class TroubleTest(ReplicaTestCase):
    async def test_connections_that_break(self) -> None:
        following = self.follow()
        for i in range(5):
            self.directory.modify("cn=a.example", replace={"description": str(i)})
            self.directory.delete(f"uid=u{i},cn=a.example")
            if i % 2:
                await sleep(0.02 * i)
            self.cut()
        await self.equal(following)
        connections = following.status()["connections"]
        assert isinstance(connections, int)
        assert connections > 1

    async def test_a_history_that_is_gone(self) -> None:
        following = self.follow()
        await self.equal(following)
        await following.stopService()
        for name, value in (("CHANGES_KEPT", 5), ("_TRIM_EVERY", 1)):
            self.patch(storage_txn, name, value)
        for i in range(20):
            self.directory.modify("cn=a.example", replace={"description": str(i)})
        self.directory.delete("uid=u1,cn=a.example")
        again = self.follow()
        assert again.usable() is None
        with again.site.reading() as lookup:
            assert isinstance(Router(lookup).route("u1@a.example").outcome, Account)
        await self.equal(again)

    async def test_without_the_directory_until_it_is_too_old(self) -> None:
        first = self.follow(max_age=100.0)
        await self.equal(first)
        await first.stopService()
        url = self.directory.url
        await self.directory.stop_listening()
        self.time += 60
        following = self.follow(url, max_age=100.0)
        await until(lambda: bool(following.status()["fault"]))
        assert following.usable() is None
        assert not following.in_step()
        assert following.age == 60
        self.time += 41
        reason = following.usable()
        assert reason is not None
        assert reason.startswith("the copy of the directory is 101 s old (ldap://127.0.0.1:")
        with following.site.reading() as lookup:
            assert isinstance(Router(lookup).route("u1@a.example").outcome, Account)

    async def test_a_silent_directory_is_in_contact(self) -> None:
        following = self.follow(max_age=10.0)
        await self.equal(following)
        self.time += 20
        assert following.usable() is not None
        await until(lambda: following.usable() is None)
        assert following.in_step()

    async def test_the_time_of_day_is_set(self) -> None:
        first = self.follow(max_age=10.0)
        await self.equal(first)
        for self.jump in (86_400.0, -86_400.0):
            assert first.usable() is None
            assert first.age < 10
        await first.stopService()
        url = self.directory.url
        await self.directory.stop_listening()
        self.jump = 60.0
        following = self.follow(url, max_age=100.0)
        await until(lambda: bool(following.status()["fault"]))
        self.jump = -1e6
        assert following.usable() is None
        self.time += 101
        assert following.usable() is not None

    async def test_stopped_while_it_connects(self) -> None:
        following = self.follow("ldap://localhost:1")
        await following.stopService().addTimeout(10, reactor)

    async def test_the_next_url(self) -> None:
        following = self.follow("ldap://127.0.0.1:1", self.directory.url)
        await self.equal(following)
        assert following.status()["source"] == self.directory.url

    async def test_a_directory_that_does_not_answer(self) -> None:
        deaf = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(deaf.stopListening)
        following = self.follow(f"ldap://127.0.0.1:{deaf.getHost().port}")
        await until(lambda: "no answer" in str(following.status()["fault"]))

    async def test_a_wrong_password(self) -> None:
        self.password.write_text("wrong\n")
        following = self.follow()
        await until(lambda: "INVALID_CREDENTIALS" in str(following.status()["fault"]))
        reason = following.usable()
        assert reason is not None
        assert "INVALID_CREDENTIALS" in reason

    async def test_a_base_that_is_not_there(self) -> None:
        following = self.follow(base="o=nowhere")
        await until(lambda: "NO_SUCH_OBJECT" in str(following.status()["fault"]))

    def test_a_configuration_that_cannot_be(self) -> None:
        for access, said in (
            (DirectoryAccess(("ldap://",), password_env="NO_SUCH"), "names no host"),
            (DirectoryAccess(("ldap://h",), password_env="NO_SUCH"), "there is no variable NO_SUCH"),
            (DirectoryAccess(("ldap://h",), password_file=self.folder / "none"), "cannot read"),
            (DirectoryAccess(("ldap://h",), password_file=self.password, ca=self.folder / "none"), "ca: "),
        ):
            with pytest.raises(ConfigError) as caught:
                RemoteFollowing(reactor, access, self.folder, environ={})
            assert said in str(caught.value)
            assert str(caught.value).startswith("cluster.directory.")
