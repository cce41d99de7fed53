"""``kill -9`` in the midst of a queue's work: everything acknowledged is there, whole; what
was delivered is not delivered again; a sender is told of a failure once.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random
from time import sleep

import pytest
from attrs import define, field

from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Delivered
from tests.cgnode.frontend import world
from tests.cgnode.frontend.world import REPORTER, all_of, attempts, check, route
from tests.node.queueing import LIMITS, text_of
from tests.storage.processes import running


@define
class Heard:
    """What the killed have said: labels by ids; what arrived where; what failed; the
    reports that were made, by the messages they are about."""

    accepted: dict[str, str] = field(factory=dict)
    delivered: set[tuple[str, str]] = field(factory=set)
    failed: set[str] = field(factory=set)
    reports: dict[str, str] = field(factory=dict)

    def hear(self, text: str) -> None:
        message_id, _, rest = text[1:].partition(" ")
        match text[0]:
            case "+":
                self.accepted[message_id] = rest
            case "-":
                assert (message_id, rest) not in self.delivered, "twice"
                self.delivered.add((message_id, rest))
            case "!":
                self.failed.add(message_id)
            case _:
                for report in rest.split():
                    self.reports[report] = message_id


def killed(folder: Path, life: int, random: Random, heard: Heard) -> None:
    """Let a child do its work for a while, and kill it in the midst of it."""
    with running("tests.node.queueing", folder, life) as child:
        assert child.stdout is not None
        said = [child.stdout.readline()]
        assert said[0], "it died"
        sleep(0.05 + random.random() * 0.3)
        child.kill()
        said += _rest(child)
    for text in said:
        # What it was killed within saying, it did not say.
        if text.endswith("\n"):
            heard.hear(text.rstrip("\n"))


def _rest(child: subprocess.Popen[str]) -> list[str]:
    assert child.stdout is not None
    return child.stdout.read().splitlines(keepends=True)


def all_listed(queue: MailQueue) -> set[str]:
    found: set[str] = set()
    after = ""
    while True:
        listed = queue.list(after=after)
        found.update(shown["id"] for shown in listed["messages"])
        if "next" not in listed:
            return found
        after = listed["next"]


def verify(queue: MailQueue, heard: Heard) -> None:
    assert queue.problems == []
    check(queue)
    there = all_listed(queue)
    for message_id, label in heard.accepted.items():
        if message_id in there:
            assert world.text_of(queue, message_id) == text_of(label, int(label.rpartition("-")[2]))
            shown = queue.show(message_id)["to"]
            states = {one["address"]: one["state"] for one in shown}
            assert all(states[to] == "delivered" for of, to in heard.delivered if of == message_id)
        else:
            # It has ended, and not without a reason.
            ends = any(of == message_id for of, _ in heard.delivered) or message_id in heard.failed
            assert ends or message_id in heard.reports.values()
    for report, about in heard.reports.items():
        assert report in there, "a report is never delivered here"
        assert f"X-Queue-Id: {about}".encode() in world.text_of(queue, report)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_work(tmp_path: Path, seed: int) -> None:
    random, heard = Random(seed), Heard()
    for life in range(3):
        killed(tmp_path, 10 * seed + life, random, heard)
        queue = MailQueue.open(tmp_path, REPORTER, limits=LIMITS)
        try:
            verify(queue, heard)
        finally:
            queue.close()
    assert len(heard.accepted) > 20
    arrived = drained(tmp_path)
    # What had arrived before does not arrive again.
    assert not arrived & heard.delivered
    assert len(arrived) + len(heard.delivered) > 0


def drained(folder: Path) -> set[tuple[str, str]]:
    """Everything that is left arrives, once."""
    found: list[tuple[str, str]] = []
    queue = MailQueue.open(folder, REPORTER, limits=LIMITS, policy=world.policy(pace=1e6))
    try:
        while route(queue, limit=1000) or queue.notices or queue.counts()["messages"]:
            for attempt in attempts(queue):
                found += [(attempt.id, str(target.recipient.address)) for target in attempt.targets]
                queue.report(attempt, all_of(attempt, Delivered()))
            while (future := queue.notify()) is not None:
                future.result(10)
    finally:
        queue.close()
    assert len(found) == len(set(found))
    return set(found)
