"""Delivery to Postfix's smtp-sink, as a smart host and as a backend of another make."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from attrs import evolve

from cgnode.config import FrontendConfig
from cgnode.frontend.queue.policy import Policy
from cgnode.members import BackendLogin, Endpoint, Override
from tests.cgnode.frontend import world
from tests.cgnode.frontend.delivery.site import FakeFollowing, SiteCase, reactor, until
from tests.peers.slapd import require

SINK = "/usr/sbin/smtp-sink"
MESSAGES = 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sink:
    """What came is in files of ``folder``, which Postfix's unprivileged user may write."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.folder = Path(mkdtemp())
        self.folder.chmod(0o777)

    @property
    def messages(self) -> list[bytes]:
        return [path.read_bytes() for path in self.folder.iterdir()]

    @contextmanager
    def running(self, *options: str) -> Iterator[None]:
        user = ("-u", "nobody") if not os.geteuid() else ()
        dump = ("-d", f"{self.folder}/%M.")
        command = (SINK, *user, *dump, *options, f"inet:127.0.0.1:{self.port}", "100")
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            self._wait(process)
            yield
        finally:
            process.kill()
            process.communicate()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.02)
        raise AssertionError("it does not listen")


class SmtpSinkTest(SiteCase):
    policy = Policy(minimum_delay=0.1, maximum_delay=0.3)

    def setUp(self) -> None:
        require(SINK)
        super().setUp()
        self.sink = Sink(free_port())
        self.addCleanup(shutil.rmtree, self.sink.folder)
        config = FrontendConfig()
        place = Endpoint("127.0.0.1", self.sink.port)
        self.smart = evolve(config, smtp=evolve(config.smtp, smart_host=place))

    def send_many(self, address: str) -> None:
        for number in range(MESSAGES):
            self.send(address, text=b"Subject: %d\r\n\r\n.dot\r\n" % number)

    def subjects(self) -> set[bytes]:
        lines = (line for text in self.sink.messages for line in text.splitlines())
        return {line.rstrip() for line in lines if line.startswith(b"Subject: ")}

    async def all_arrive(self) -> None:
        await self.emptied(20)
        await until(lambda: len(self.subjects()) == MESSAGES, 5)
        assert len(self.sink.messages) == MESSAGES
        assert all(b"\n.dot" in text.replace(b"\r", b"") for text in self.sink.messages)

    async def test_a_smart_host(self) -> None:
        with self.sink.running():
            self.start(self.smart)
            self.send_many("bob@far.example")
            await self.all_arrive()

    async def test_one_that_refuses_everything_for_now(self) -> None:
        with self.sink.running("-r", "RCPT"):
            self.start(self.smart)
            message = self.send("bob@far.example")
            await until(lambda: message in world.states(self.queue) and self.reason(message))
            assert "4" in self.reason(message)
        with self.sink.running():
            await self.emptied()

    def reason(self, message: str) -> str:
        return str(self.queue.show(message)["to"][0].get("reason", ""))

    async def test_one_that_disconnects(self) -> None:
        with self.sink.running("-q", "DATA"):
            self.start(self.smart)
            message = self.send("bob@far.example")
            await until(lambda: self.reason(message))
        with self.sink.running():
            await self.emptied()
            assert len(self.sink.messages) == 1

    async def test_a_backend_of_another_make(self) -> None:
        login = Override("be9", addresses={"lmtp": Endpoint("127.0.0.1", self.sink.port)})
        override = evolve(login, login=BackendLogin("password"))
        self.following = FakeFollowing(reactor, self.directory.local, "", (override,))
        self.following.startService()
        self.addCleanup(self.following.stopService)
        self.add_account("alice", "be9")
        with self.sink.running("-L"):
            self.start()
            self.send_many("alice@example.com")
            await self.all_arrive()
