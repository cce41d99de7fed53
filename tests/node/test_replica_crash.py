"""A directory that is killed while it is written to, and what follows it."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Event
from typing import Any, TypeVar

import ldap3
from ldap3.core.exceptions import LDAPException
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cgnode.config.cluster import DirectoryAccess
from cgnode.folder import STORE
from cgnode.replica import RemoteFollowing
from ldapserver.core import Settings
from ldapserver.local import LocalDirectory
from ldapserver.net.follower import Patience
from tests.cgnode.test_replica import sleep, until
from tests.ldapserver.sync.following import differences, dump
from tests.node.running import RunningNode, running_node

reactor: Any = global_reactor
T = TypeVar("T")

PATIENCE = Patience(heartbeat=0.5, silence=5.0, first_wait=0.05, longest_wait=0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write(node: RunningNode, random: Random, ended: Event) -> None:
    """Change things until the node is gone."""
    with contextlib.suppress(LDAPException, OSError), node.connection() as connection:
        while not ended.is_set():
            name = f"cn=d{random.randrange(30)}"
            match random.randrange(4):
                case 0:
                    connection.add(name, "CommuniGateDomain")
                case 1:
                    connection.delete(name)
                case 2:
                    connection.modify_dn(name, f"cn=d{random.randrange(30)}")
                case _:
                    value = str(random.random())
                    connection.modify(name, {"description": [(ldap3.MODIFY_REPLACE, [value])]})


class CrashTest(TestCase):
    timeout = 90

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.node_folder = self.folder / "node"
        self.port = free_port()

    def follow(self) -> RemoteFollowing:
        secret = self.node_folder / "admin.secret"
        access = DirectoryAccess((f"ldap://127.0.0.1:{self.port}",), password_file=secret)
        settings = Settings(map_size=64 << 20, sync=False)
        following = RemoteFollowing(
            reactor, access, self.folder, settings=settings, patience=PATIENCE, random=Random(1)
        )
        following.startService()
        return following

    async def live(self, following: RemoteFollowing | None, seed: int) -> RemoteFollowing:
        """One life of the node, under load, to its violent end."""
        # It may be back before the node has said that it runs.
        began = 0 if following is None else following.status()["connections"]
        life = running_node(self.node_folder, f"--ldap=127.0.0.1:{self.port}")
        node = await in_thread(life.__enter__)
        ended = Event()
        try:
            load = in_thread(lambda: write(node, Random(seed), ended))
            following = following or self.follow()
            await until(lambda: following.status()["connections"] != began, 30)
            await sleep(0.3)
            node.process.send_signal(signal.SIGKILL)
            await load
        finally:
            ended.set()
            await in_thread(lambda: life.__exit__(None, None, None))
        return following

    async def test_kill_and_again(self) -> None:
        following: RemoteFollowing | None = None
        for seed in range(3):
            following = await self.live(following, seed)
        assert following is not None
        with running_node(self.node_folder, f"--ldap=127.0.0.1:{self.port}"):
            store = LocalDirectory.open(self.node_folder / STORE)
            try:
                await until(lambda: not differences(dump(following._directory), dump(store)), 30)
                assert len(dump(store)) > 3
            finally:
                store.close()
        assert list(following._directory.check()) == []
        await following.stopService()


def in_thread(function: Callable[[], T]) -> Deferred[T]:
    done: Deferred[T] = deferToThread(function)
    return done
