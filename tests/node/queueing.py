"""A mail queue at work until it is killed: ``python -m tests.node.queueing FOLDER LIFE``.

It prints ``+ID LABEL`` when a message is durable, ``-ID`` when one is delivered, ``!ID`` when
one has failed, ``?ID CHILD`` when its sender is told of that.  Labels are the messages' texts'
beginnings.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from threading import Lock

from attrs import evolve

from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Clock, Delivered, Permanent, Reported, Temporary
from tests.cgnode.frontend.world import BUSY, GONE, REPORTER, SMALL, all_of, attempts, envelope, policy, route

LIMITS = evolve(SMALL, segment=64 << 10, patience=0.01)
POLICY = policy(first_concurrency=10, minimum_delay=0.01, maximum_delay=0.02)
_AT_ONCE = 8
_printing = Lock()


def text_of(label: str, size: int) -> bytes:
    """All of it can be told from the label."""
    return label.encode() + b"\r\n" + b"0123456789" * (size // 10)


def say(text: str) -> None:
    with _printing:
        print(text, flush=True)


def _accepted(label: str, future: Future[str]) -> None:
    say(f"+{future.result()} {label}")


def _told(future: Future[Reported]) -> None:
    reported = future.result()
    say(f"?{reported.id} {' '.join(reported.reports)}")


def accept(queue: MailQueue, label: str, random: Random) -> Future[str]:
    size = random.choice((0, 200, 900, 5000))
    text = text_of(f"{label}-{size}", size)
    reception = queue.receive(len(text))
    for start in range(0, len(text), 700):
        reception.write(text[start : start + 700])
    hosts = random.choice((["be1"], ["be2"], ["be1", "be2"]))
    future = queue.commit(reception, envelope(*(f"u@{host}.example" for host in hosts)))
    future.add_done_callback(partial(_accepted, f"{label}-{size}"))
    return future


def deliver(queue: MailQueue, random: Random) -> None:
    """Some arrive, some fail for now or for good; the reports to senders stay."""
    route(queue)
    for attempt in attempts(queue):
        result = random.choice((Delivered(), Temporary(BUSY), Permanent(GONE)))
        if attempt.mail.sender is None:
            result = Temporary(BUSY)
        queue.report(attempt, all_of(attempt, result))
        if isinstance(result, Delivered) and len(attempt.targets) == 1:
            say(f"-{attempt.id} {attempt.targets[0].recipient.address}")
        elif isinstance(result, Permanent):
            say(f"!{attempt.id}")
    while (future := queue.notify()) is not None:
        future.add_done_callback(_told)


def main(folder: Path, life: int) -> None:
    random = Random(life)
    queue = MailQueue.open(folder, REPORTER, clock=Clock(), random=random, policy=POLICY, limits=LIMITS)
    assert not queue.problems, queue.problems
    waiting: list[Future[str]] = []
    for number in count():
        waiting.append(accept(queue, f"{life}.{number}", random))
        if len(waiting) == _AT_ONCE:
            waiting.pop(0).result(10)
        if number % 5 == 0:
            deliver(queue, random)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
