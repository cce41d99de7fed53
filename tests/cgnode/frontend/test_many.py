"""Many messages: the memory they take, and the time a start takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from cgnode.frontend.queue.message import Message, new_message
from cgnode.frontend.queue.policy import Limits
from cgnode.frontend.queue.spool import Spool
from cgnode.frontend.queue.values import Clock, Envelope, Reason
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.reply import Reply

COUNT = 50_000
DELAYED = Reason(Reply(450, "4.2.1", "mailbox busy"), "be3.cluster.example")


def fill(folder: Path, count: int) -> None:
    """As if that many had been received, and each tried once."""
    clock = Clock()
    spool = Spool.open(folder, Limits(), Random(), lambda: False)
    spool.load(clock)
    for start in range(0, count, 200):
        spool.keep([(_message(spool, clock, number), b"x" * 500) for number in range(start, start + 200)])
    spool.close()


def _message(spool: Spool, clock: Clock, number: int) -> Message:
    sender = Address(f"sender{number}", f"d{number % 500}.example")
    recipient = Recipient(Address(f"account{number}", f"customer{number % 50}.example"))
    envelope = Envelope(Mail(sender), (recipient,), f"192.0.2.{number % 250}", f"fe1-{number:x}")
    message = new_message(spool.number(clock.wall()), 500, False, envelope, clock)
    message.addressees[0].attempts = 1
    message.addressees[0].reason = DELAYED
    return message


def test_fifty_thousand(tmp_path: Path) -> None:
    fill(tmp_path, COUNT)
    command = (sys.executable, "-m", "tests.cgnode.frontend.test_many", str(tmp_path))
    child = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = json.loads(child.stdout)
    assert measured["messages"] == COUNT
    assert measured["octets each"] < 2500, measured
    assert measured["delayed"] == COUNT
    assert measured["octets each, waiting"] < 2500, measured
    # Seconds, where others use the machine as well.
    assert measured["start"] < 20, measured
    assert measured["route"] < 20, measured


def measure(folder: Path) -> dict[str, Any]:
    from attrs import evolve

    from cgnode.frontend.queue.mailqueue import MailQueue
    from cgnode.frontend.queue.policy import Policy
    from tests.cgnode.frontend.world import BE1, REPORTER, by_domain, route

    before = _resident()
    begin = time.perf_counter()
    queue = MailQueue.open(folder, REPORTER, policy=evolve(Policy(), pace=1e9))
    measured: dict[str, Any] = {"start": round(time.perf_counter() - begin, 2)}
    measured["messages"] = queue.counts()["messages"]
    measured["octets each"] = (_resident() - before) // COUNT
    queue.down(BE1)
    begin = time.perf_counter()
    route(queue, lambda address: by_domain(Address(address.local, "be1.example")))
    measured["route"] = round(time.perf_counter() - begin, 2)
    measured["delayed"] = queue.counts()["destinations"][0]["delayed"]
    measured["octets each, waiting"] = (_resident() - before) // COUNT
    queue.close()
    return measured


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
