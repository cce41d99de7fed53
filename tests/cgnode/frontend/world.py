"""A queue to try things with: a clock that stands still, a shell's part, a checker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, evolve

from cgnode.frontend.bounce import Reporter
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.message import Message, Stage
from cgnode.frontend.queue.policy import Limits, Policy
from cgnode.frontend.queue.schedule import Schedule
from cgnode.frontend.queue.values import (
    Attempt,
    Clock,
    Deliver,
    Delivered,
    Destination,
    Due,
    Envelope,
    Kind,
    Permanent,
    Reason,
    Result,
    Route,
    Temporary,
)
from cgnode.proto.smtp.address import Address, parse_address
from cgnode.proto.smtp.envelope import Mail, MailParameters, Recipient, RecipientParameters
from cgnode.proto.smtp.reply import Reply

BE1 = Destination(Kind.BACKEND, "be1")
BE2 = Destination(Kind.BACKEND, "be2")
FAR = Destination(Kind.REMOTE, "far.example")

BUSY = Reason(Reply(450, "4.2.1", "mailbox busy"), "be1")
GONE = Reason(Reply(550, "5.1.1", "no such user"), "be1")
REFUSED = Reason(Reply(451, "4.4.1", "connection refused"))

SMALL = Limits(inline=1000, segment=16 << 10, free=0, patience=0.0)
TEXT = b"From: a@here.example\r\nSubject: hello\r\n\r\nHello.\r\n"
REPORTER = Reporter("fe1.example")


@define
class Time:
    """Stands still until it is moved; ``jump`` moves the wall's clock alone."""

    now: float = 1000.0
    wall: float = 1_700_000_000.0

    def move(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def jump(self, seconds: float) -> None:
        self.wall += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.now)


def recipient(text: str, parameters: RecipientParameters | None = None) -> Recipient:
    return Recipient(parse_address(text), parameters or RecipientParameters())


def envelope(
    *to: str | Recipient,
    sender: str = "a@here.example",
    parameters: MailParameters | None = None,
    **fields: Any,
) -> Envelope:
    mail = Mail(parse_address(sender) if sender else None, parameters or MailParameters())
    return Envelope(mail, tuple(recipient(one) if isinstance(one, str) else one for one in to), **fields)


def send(queue: MailQueue, *to: str | Recipient, text: bytes = TEXT, **fields: Any) -> str:
    """Received and accepted."""
    reception = queue.receive(len(text))
    for start in range(0, len(text), 700):
        reception.write(text[start : start + 700])
    return queue.commit(reception, envelope(*to, **fields)).result(10)


def text_of(queue: MailQueue, message_id: str) -> bytes:
    return b"".join(queue.content(message_id).chunks())


# --- a shell's part --------------------------------------------------------------------


def by_domain(address: Address) -> Route:
    """be1.example is at be1; everything else is far."""
    name = address.domain.removesuffix(".example")
    return Deliver(Destination(Kind.BACKEND, name)) if name in ("be1", "be2") else Deliver(FAR)


def route(queue: MailQueue, router: Callable[[Address], Route] = by_domain, limit: int = 100) -> list[Due]:
    """All that is due, routed."""
    routed: list[Due] = []
    while listed := queue.due(limit):
        for due in listed:
            queue.routed(due, {index: router(address) for index, address in due.recipients})
        routed += listed
    return routed


def attempts(queue: MailQueue) -> list[Attempt]:
    """As many as are allowed now."""
    begun: list[Attempt] = []
    while (attempt := queue.next_attempt()) is not None:
        begun.append(attempt)
    return begun


def all_of(attempt: Attempt, result: Result) -> Mapping[int, Result]:
    return {target.index: result for target in attempt.targets}


def deliver(
    queue: MailQueue, router: Callable[[Address], Route] = by_domain, result: Result | None = None
) -> list[tuple[str, Destination, tuple[str, ...]]]:
    """Route and deliver everything that can be; what was delivered where and to whom."""
    done: list[tuple[str, Destination, tuple[str, ...]]] = []
    while route(queue, router) or queue.counts()["destinations"]:
        begun = attempts(queue)
        for attempt in begun:
            queue.report(attempt, all_of(attempt, result or Delivered()))
            addresses = tuple(str(target.recipient.address) for target in attempt.targets)
            done.append((attempt.id, attempt.destination, addresses))
        if not begun:
            break
    return done


def busy(attempt: Attempt) -> Mapping[int, Result]:
    return all_of(attempt, Temporary(BUSY))


def gone(attempt: Attempt) -> Mapping[int, Result]:
    return all_of(attempt, Permanent(GONE))


def ids(queue: MailQueue, **filters: Any) -> list[str]:
    return [shown["id"] for shown in queue.list(**filters)["messages"]]


def states(queue: MailQueue) -> dict[str, str]:
    return {shown["id"]: shown["state"] for shown in queue.list()["messages"]}


# --- the checker -----------------------------------------------------------------------


@contextmanager
def opened(folder: Path, time: Time, **settings: Any) -> Iterator[MailQueue]:
    """A queue, which is checked when it is done with."""
    limits = settings.pop("limits", SMALL)
    settings.setdefault("random", Random(1))
    queue = MailQueue.open(folder, REPORTER, clock=time.clock, limits=limits, **settings)
    try:
        yield queue
        check(queue)
    finally:
        queue.close()


def policy(**changes: Any) -> Policy:
    return evolve(Policy(), **changes)


def check(queue: MailQueue) -> None:
    """Every invariant of the tables, and of the log's accounts of them."""
    with queue._lock:
        table = queue._table
        check_schedule(queue._schedule)
        assert not table.touched
        assert not table.ended
        assert queue._recipients == sum(len(message.addressees) for message in table.messages.values())
        log = queue._spool._log
        live = Counter(message.place.segment for message in table.messages.values())
        assert {number: segment.live for number, segment in log._segments.items() if segment.live} == live
        assert log._live == sum(message.place.octets for message in table.messages.values())


def check_schedule(schedule: Schedule) -> None:
    table = schedule.table
    for number, message in table.messages.items():
        assert message.number == number
        _check_message(schedule, message)
    for line in (table.fresh, table.woken, table.held, table.notices):
        assert all(table.messages.get(number) is message for number, message in line.items())
    assert not table.fresh.keys() & table.woken.keys()
    active = Counter(id(running.lane) for running in schedule._running.values())
    for lane in table.lanes:
        assert table.lanes.find(lane.destination) is lane
        assert table.lanes.of_key(lane.key) is lane
        assert lane.active == active[id(lane)]
        for line, stage in ((lane.ready, Stage.READY), (lane.waiting, Stage.DELAYED)):
            for message in line.values():
                assert any(a.stage is stage and a.lane is lane for a in message.addressees)
                assert table.here(message)
        if lane.ready and lane.active < lane.allowed:
            assert lane.in_line
            assert lane in table.lanes._line


def _check_message(schedule: Schedule, message: Message) -> None:
    table, number = schedule.table, message.number
    stages = {addressee.stage for addressee in message.addressees}
    assert (Stage.DUE in stages) == (number in table.fresh or number in table.woken)
    assert (number in table.held) == message.hold
    assert Stage.HELD not in stages or message.hold
    for addressee in message.addressees:
        lane = addressee.lane
        if addressee.stage in (Stage.READY, Stage.DELAYED):
            assert lane is not None
            assert table.lanes.find(lane.destination) is lane
            assert number in (lane.ready if addressee.stage is Stage.READY else lane.waiting)
        if addressee.stage is Stage.DELAYED:
            assert message.timer < inf
            assert message.timer <= addressee.next_try
        assert (addressee.stage is Stage.DONE) == bool(addressee.outcome)
        assert not addressee.owed or addressee.stage is Stage.DONE
    if not message.busy and not message.telling:
        # What could not be told waits for its timer instead.
        assert message.owing == (number in table.notices) or message.timer < inf
        assert message.owing or not message.done
