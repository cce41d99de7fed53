"""The mail queue against a dictionary: random mail, results, operators, restarts, clocks.

What must hold: what was accepted is there until its fate is settled, and no longer; no
recipient is tried who is done, or held; each failure is told once; in the end everything
arrives.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from random import Random

from attrs import define, field, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from cgnode.frontend.queue import frames
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import (
    Attempt,
    Defer,
    Deliver,
    Delivered,
    Destination,
    Expand,
    Kind,
    Permanent,
    Refuse,
    Reported,
    Result,
    Route,
    Temporary,
)
from cgnode.proto.smtp.address import Address, parse_address
from cgnode.proto.smtp.envelope import Notify, RecipientParameters
from tests.cgnode.frontend.world import (
    BUSY,
    GONE,
    REFUSED,
    REPORTER,
    SMALL,
    Time,
    check,
    policy,
    recipient,
    send,
    text_of,
)

DAY = 86400.0
POLICY = policy(lifetime=5 * DAY, first_concurrency=2, concurrency=3, recipients=2, all_attempts=6, pace=50.0)
HOSTS = ("be1", "be2", "be3")
ADDRESSES = [f"{user}@{host}.example" for host in HOSTS for user in ("u", "v")]
MEMBERS = ("v@be1.example", "w@be2.example", "w@be3.example")
SENDERS = ("", "u@be1.example", "v@be3.example")
SUCCESS = RecipientParameters(frozenset({Notify.SUCCESS, Notify.FAILURE}))
NEVER = RecipientParameters(frozenset({Notify.NEVER}))
FAILURE = RecipientParameters(frozenset({Notify.FAILURE}))
PARAMETERS = (RecipientParameters(), SUCCESS, NEVER)


# delivered, temporary, permanent; "u": the destination could not be reached; else no result
RESULTS = st.lists(st.sampled_from("dtpu"), min_size=3, max_size=3)


MEANING: dict[str, Result] = {"d": Delivered(), "t": Temporary(BUSY), "p": Permanent(GONE)}


@frozen
class Letter:
    to: list[tuple[str, RecipientParameters]]
    sender: str
    size: int
    hold: bool


RECIPIENTS = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(PARAMETERS))
LETTERS = st.lists(
    st.builds(
        Letter,
        to=st.lists(RECIPIENTS, min_size=1, max_size=5),
        sender=st.sampled_from(SENDERS),
        size=st.sampled_from([0, 100, 900, 3000]),
        hold=st.sampled_from([False] * 5 + [True]),
    ),
    max_size=3,
)


@frozen
class Begun:
    """An attempt, with the life that it was begun in: tokens begin anew in each."""

    life: int
    attempt: Attempt


@define
class Expected:
    """A message that should be there.  ``owed``: successes to be told of."""

    sender: str
    text: bytes
    accepted: float
    to: list[str]
    wants: list[RecipientParameters]
    held: bool = False
    pending: set[int] = field(factory=set)
    active: set[int] = field(factory=set)
    failed: set[int] = field(factory=set)
    owed: set[int] = field(factory=set)

    @property
    def there(self) -> bool:
        return bool(self.pending or self.failed or self.owed)


def destination(host: str) -> Destination:
    return Destination(Kind.BACKEND, host)


class Queue(RuleBasedStateMachine):
    attempts: Bundle[Begun] = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="queue-"))
        self.time = Time()
        self.model: dict[str, Expected] = {}
        self.homes = {host: host for host in HOSTS}
        self.down: set[str] = set()
        self.life = 0
        # No message is older than the time that went by, and the jumps ahead that were made.
        self.jumps = 0.0
        self.running: set[tuple[int, int]] = set()
        self.open()

    def open(self) -> None:
        self.queue = MailQueue.open(
            self.folder, REPORTER, clock=self.time.clock, random=Random(1), policy=POLICY, limits=SMALL
        )
        assert not self.queue.problems
        for host in self.down:
            self.queue.down(destination(host))

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.queue.close()
            shutil.rmtree(self.folder)

    # --- mail --------------------------------------------------------------------------

    def receive(self, letter: Letter) -> None:
        text = b"%d\r\n" % len(self.model) + b"x" * letter.size
        recipients = [recipient(*one) for one in letter.to]
        message_id = send(self.queue, *recipients, text=text, sender=letter.sender, hold=letter.hold)
        assert message_id not in self.model
        wants = [parameters for _, parameters in letter.to]
        pending = set(range(len(wants)))
        to = [address for address, _ in letter.to]
        self.model[message_id] = Expected(letter.sender, text, self.time.now, to, wants, letter.hold, pending)

    @rule(size=st.sampled_from([100, 3000]), abort=st.booleans())
    def receive_in_vain(self, size: int, abort: bool) -> None:
        reception = self.queue.receive()
        reception.write(b"x" * size)
        if abort:
            reception.abort()

    # --- routing and attempts ----------------------------------------------------------

    def route_for(self, address: Address) -> Route:
        home = self.homes[address.domain.removesuffix(".example")]
        match home:
            case "nowhere":
                return Defer(REFUSED)
            case "unknown":
                return Refuse(GONE)
            case "group":
                return Expand(tuple(parse_address(member) for member in MEMBERS))
            case _:
                return Deliver(destination(home), address)

    def turn(self, limit: int) -> None:
        for due in self.queue.due(limit):
            routes = {index: self.route_for(address) for index, address in due.recipients}
            expected = self.model[due.id]
            for index, route in routes.items():
                assert index in expected.pending
                if isinstance(route, Refuse) and not expected.held:
                    expected.pending.discard(index)
                    expected.failed.add(index)
                elif isinstance(route, Expand) and not expected.held:
                    self.expand(expected, index)
            self.queue.routed(due, routes)

    def expand(self, expected: Expected, index: int) -> None:
        expected.pending.discard(index)
        wants = expected.wants[index]
        if wants == SUCCESS and expected.sender:
            expected.owed.add(index)
        for member in MEMBERS:
            if member not in expected.to:
                expected.pending.add(len(expected.to))
                expected.to.append(member)
                expected.wants.append(FAILURE if wants == SUCCESS else wants)

    @rule(target=attempts, mail=LETTERS, results=RESULTS, ended=st.integers(0, 6))
    def work(self, mail: list[Letter], results: list[str], ended: int) -> MultipleResults[Begun]:
        return self.go_on(mail, results, ended)

    def go_on(self, mail: list[Letter], results: list[str], ended: int) -> MultipleResults[Begun]:
        """Mail comes in; all that can be routed and begun, is; some of it ends."""
        for letter in mail:
            self.receive(letter)
        self.turn(20)
        begun: list[Attempt] = []
        while (attempt := self.queue.next_attempt()) is not None:
            self.begun(attempt)
            begun.append(attempt)
        for position, attempt in enumerate(begun[:ended]):
            letters = [results[position % 3], results[(position + 1) % 3]]
            if letters[0] == "u":
                self.unreachable(Begun(self.life, attempt))
            else:
                self.end(Begun(self.life, attempt), letters)
        return multiple(*(Begun(self.life, attempt) for attempt in begun[ended:]))

    @rule(target=attempts, mail=LETTERS, results=RESULTS)
    def work_off(self, mail: list[Letter], results: list[str]) -> MultipleResults[Begun]:
        return self.go_on(mail, results, 100)

    @rule(target=attempts, mail=LETTERS, results=RESULTS, seconds=st.sampled_from([400.0, 4000.0]))
    def work_later(self, mail: list[Letter], results: list[str], seconds: float) -> MultipleResults[Begun]:
        self.time.move(seconds)
        return self.go_on(mail, results, 2)

    def begun(self, attempt: Attempt) -> None:
        expected = self.model[attempt.id]
        assert not expected.held
        assert attempt.destination.name not in self.down
        assert 1 <= len(attempt.targets) <= POLICY.recipients
        for target in attempt.targets:
            assert target.index in expected.pending, "it was done"
            assert target.index not in expected.active, "it is being tried"
            expected.active.add(target.index)
        self.running.add((self.life, attempt.token))
        assert len(self.running) <= POLICY.all_attempts
        assert text_of(self.queue, attempt.id) == expected.text

    @rule(begun=consumes(attempts), results=RESULTS)
    def end(self, begun: Begun, results: list[str]) -> None:
        life, attempt = begun.life, begun.attempt
        if life != self.life:
            return  # it was cut off by a restart
        self.running.discard((life, attempt.token))
        given: dict[int, Result] = {}
        expected = self.model.get(attempt.id)
        for target, letter in zip(attempt.targets, results, strict=False):
            index = target.index
            if letter != "u":
                given[index] = MEANING[letter]
            if expected is None:
                continue
            expected.active.discard(index)
            if letter == "d":
                expected.pending.discard(index)
                if expected.wants[index] == SUCCESS and expected.sender:
                    expected.owed.add(index)
            elif letter == "p":
                expected.pending.discard(index)
                expected.failed.add(index)
        self.queue.report(attempt, given)
        self.forget(attempt.id)

    @rule(begun=consumes(attempts))
    def unreachable(self, begun: Begun) -> None:
        life, attempt = begun.life, begun.attempt
        if life == self.life:
            self.running.discard((life, attempt.token))
            if attempt.id in self.model:
                self.model[attempt.id].active -= {target.index for target in attempt.targets}
            self.queue.unreachable(attempt, REFUSED)

    def forget(self, message_id: str) -> None:
        expected = self.model.get(message_id)
        if expected is not None and not expected.there:
            del self.model[message_id]

    # --- telling -----------------------------------------------------------------------

    @rule()
    def tell(self) -> None:
        while (future := self.queue.notify()) is not None:
            self.told(future.result(10))

    def told(self, reported: Reported) -> None:
        expected = self.model[reported.id]
        failures = len(reported.failed)
        if failures > len(expected.failed):
            # Some have grown too old.
            assert self.time.now - expected.accepted + self.jumps >= POLICY.lifetime
            late = self.expired(reported.id, expected)
            expected.pending -= late
            expected.failed |= late
        assert failures == len(expected.failed)
        wanted = any(expected.wants[index] != NEVER for index in expected.failed)
        assert len(reported.reports) == (bool(expected.sender and wanted) + bool(expected.owed))
        expected.failed.clear()
        expected.owed.clear()
        self.forget(reported.id)
        for report in reported.reports:
            text = text_of(self.queue, report)
            assert b"Content-Type: multipart/report" in text
            to = [self.queue.show(report)["to"][0]["address"]]
            self.model[report] = Expected("", text, self.time.now, to, [NEVER], pending={0})

    def expired(self, message_id: str, expected: Expected) -> set[int]:
        """Which are done by now of those that we have pending."""
        if message_id not in {shown["id"] for shown in self.queue.list()["messages"]}:
            return set(expected.pending)
        shown = self.queue.show(message_id)["to"]
        return {index for index in expected.pending if shown[index]["state"] == "failed"}

    # --- time, destinations, crashes ---------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 30.0, 40_000.0]), jump=st.sampled_from([0, -1e8, 3600.0, 2 * DAY]))
    def wait(self, seconds: float, jump: float) -> None:
        self.time.move(seconds)
        self.time.jump(jump)
        self.jumps += abs(jump)

    @rule(host=st.sampled_from(HOSTS), home=st.sampled_from((*HOSTS, *HOSTS, "nowhere", "unknown", "group")))
    def move(self, host: str, home: str) -> None:
        """Accounts move, and the queue hears of it."""
        self.homes[host] = home
        self.queue.wake_where(lambda address: address.domain == f"{host}.example")

    @rule(host=st.sampled_from(HOSTS), up=st.booleans())
    def go_down_or_up(self, host: str, up: bool) -> None:
        if up:
            self.down.discard(host)
            self.queue.wake(destination(host))
        else:
            self.down.add(host)
            self.queue.down(destination(host))

    @rule(torn=st.integers(0, 60))
    def crash(self, torn: int) -> None:
        """Nothing is said or written at the end; something may be half written."""
        self.queue.close()
        if torn:
            newest = self.queue._spool._log._current
            assert newest is not None
            room = newest.capacity - newest.end
            begun = frames.encode(b'[{"k":"end","n":1}]' * 3, (b"x" * 500,), newest.salt)
            with newest.path.open("r+b") as file:
                file.seek(newest.end)
                file.write(begun[: min(torn, room)])
        self.life += 1
        self.running.clear()
        for expected in self.model.values():
            expected.active.clear()
        self.open()

    # --- operators ---------------------------------------------------------------------

    def pick(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from(sorted(self.model))) if self.model else None

    @rule(data=st.data(), what=st.sampled_from(["hold", "release", "remove", "flush"]))
    def operate(self, data: st.DataObject, what: str) -> None:
        message_id = self.pick(data)
        if message_id is None:
            return
        match what:
            case "hold":
                self.queue.hold(message_id)
                self.model[message_id].held = True
            case "release":
                self.queue.release(message_id)
                self.model[message_id].held = False
            case "remove":
                self.queue.remove(message_id)
                del self.model[message_id]
            case _:
                self.queue.flush(message_id)

    # --- what must hold ----------------------------------------------------------------

    @invariant()
    def all_is_there(self) -> None:
        check(self.queue)
        listed = self.queue.list()["messages"]
        assert {shown["id"] for shown in listed} == set(self.model)
        for shown in listed:
            expected = self.model[shown["id"]]
            assert shown["pending"] <= len(expected.pending)
            assert shown["sender"] == expected.sender

    def drain(self) -> None:
        """When all is well again, everything arrives."""
        self.homes = {host: host for host in HOSTS}
        self.down.clear()
        self.crash(0)
        for message_id, expected in self.model.items():
            if expected.held:
                self.queue.release(message_id)
                expected.held = False
        for _ in range(100):
            if not self.model:
                break
            self.turn(1000)
            while (attempt := self.queue.next_attempt()) is not None:
                self.begun(attempt)
                self.end(Begun(self.life, attempt), ["d", "d"])
            self.tell()
            self.time.move(10)
        assert not self.model
        self.all_is_there()
        for _ in range(3):
            send(self.queue, ADDRESSES[0], text=b"")
        assert not os.listdir(self.folder / "large")


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=20, stateful_step_count=40)
