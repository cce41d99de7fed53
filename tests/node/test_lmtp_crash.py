"""``kill -9`` of a backend while it takes mail: what it has answered for is there, once; what it
has not may be there, and is brought again by whoever has it."""

from __future__ import annotations

import smtplib
from itertools import count
from pathlib import Path
from random import Random
from subprocess import Popen
from threading import Lock, Thread

import pytest

from tests.cgnode.backend.hosted import SECRET
from tests.cgnode.backend.mailing import ALICE, BOB, contents, faults, open_store, text
from tests.storage.processes import line, running

SENDERS = 6


class Sender(Thread):
    """Brings one message after the other, until the connection is cut."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__()
        self._port, self._name = port, name
        self.lock = Lock()
        self.begun: list[str] = []
        self.taken: list[tuple[str, str]] = []

    def run(self) -> None:
        try:
            client = smtplib.LMTP("127.0.0.1", self._port, local_hostname="fe1.example", timeout=20)
            client.ehlo()
            client.login("cluster", SECRET.decode())
            for number in count():
                self._bring(client, f"{self._name}.{number}")
        except (OSError, smtplib.SMTPException):
            return

    def _bring(self, client: smtplib.LMTP, label: str) -> None:
        client.mail(f"{label}@x.example")  # what ``contents`` finds first
        for address in (ALICE, BOB):
            client.rcpt(address)
        client.putcmd("data")
        assert client.getreply()[0] == 354
        self.begun.append(label)
        client.send(text(label) + b".\r\n")
        for address in (ALICE, BOB):
            if client.getreply()[0] == 250:
                self.taken.append((label, address))


def kill_amid(backend: Popen[str], senders: list[Sender], wanted: int) -> None:
    for sender in senders:
        sender.start()
    while sum(len(sender.taken) for sender in senders) < wanted and any(map(Thread.is_alive, senders)):
        senders[0].join(0.005)
    backend.kill()
    for sender in senders:
        sender.join(30)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_answered_for_is_there(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    begun: list[str] = []
    taken: list[tuple[str, str]] = []
    for life in range(3):
        with running("tests.node.lmtp_backend", tmp_path) as backend:
            port = int(line(backend))
            senders = [Sender(port, f"{life}.{each}") for each in range(SENDERS)]
            kill_amid(backend, senders, random.randrange(1, 150))
        begun += [label for sender in senders for label in sender.begun]
        taken += [each for sender in senders for each in sender.taken]
    assert taken
    store = open_store(tmp_path / "storage")
    for address in (ALICE, BOB):
        there = sorted(contents(store.account(address)).values())
        assert len(there) == len(set(there))
        assert set(there) <= set(begun)
        assert {label for label, to in taken if to == address} <= set(there)
    assert faults(store) == []
