"""A copy of a directory elsewhere: equal to it, through all that may come between."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred

from cgnode.config.cluster import DirectoryAccess
from cgnode.replica import RemoteFollowing
from cgnode.router import Account, NoHost, Router
from ldapserver.core import Settings
from ldapserver.messages import Rehost, Restore, Selection
from ldapserver.net.follower import Patience
from ldapserver.testing.source import Source
from ldapserver.testing.trial import DirectoryTestCase
from ldapserver.transfer import export_ldif
from io import BytesIO

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


def dump(directory: Any) -> list[str]:
    """All entries with their past, in an order of names."""
    out = BytesIO()
    export_ldif(directory, out)
    return sorted(out.getvalue().decode().split("\n\n"))


class ReplicaTestCase(DirectoryTestCase):
    sources: ClassVar[tuple[Source, ...]] = (SITE, accounts(30))

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "password").write_text(self.directory.administrator_password)

    def follow(self, *urls: str, base: str = "", **more: Any) -> RemoteFollowing:
        access = DirectoryAccess(
            urls or (self.directory.url,), password_file=self.folder / "password", **more
        )
        settings = Settings(map_size=64 << 20, sync=False)
        following = RemoteFollowing(
            reactor, access, self.folder, base, settings=settings, patience=PATIENCE, random=Random(1)
        )
        following.startService()
        self.addCleanup(self.end, following)
        return following

    async def end(self, following: RemoteFollowing) -> None:
        if following.running:
            problems = list(following._directory.check())
            await following.stopService()
            assert not problems, problems

    async def equal(self, following: RemoteFollowing) -> None:
        """Wait until the copy is what the directory is."""
        await until(lambda: following.usable() is None)
        try:
            await until(lambda: dump(following._directory) == dump(self.directory.local))
        except AssertionError:
            assert dump(following._directory) == dump(self.directory.local)


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
