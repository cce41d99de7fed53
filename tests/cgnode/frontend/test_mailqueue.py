"""The queue as a shell has it, on a disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from attrs import evolve

from cgnode.frontend.queue.errors import (
    QueueBroken,
    QueueBusy,
    QueueError,
    QueueFull,
    QueueUnusable,
    UnknownMessage,
)
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Deliver, Delivered, Expand, Permanent, Reported, Route, Temporary
from cgnode.proto.smtp.address import Address, parse_address
from cgnode.proto.smtp.envelope import (
    Body,
    MailParameters,
    Notify,
    OriginalRecipient,
    RecipientParameters,
    Return,
)
from tests.cgnode.frontend.world import (
    BE1,
    BE2,
    BUSY,
    GONE,
    REFUSED,
    REPORTER,
    SMALL,
    TEXT,
    Time,
    attempts,
    busy,
    by_domain,
    check,
    deliver,
    envelope,
    gone,
    ids,
    opened,
    policy,
    recipient,
    route,
    send,
    states,
    text_of,
)

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\n" * 1000


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def queue(tmp_path: Path, time: Time) -> Iterator[MailQueue]:
    with opened(tmp_path, time) as made:
        yield made


def tell(queue: MailQueue) -> list[Reported]:
    told: list[Reported] = []
    while (future := queue.notify()) is not None:
        told.append(future.result(10))
    return told


def larges(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "large"))


# --- accepted is accepted --------------------------------------------------------------


@pytest.mark.parametrize("text", [b"", TEXT, LARGE])
def test_accepted_then_delivered(queue: MailQueue, tmp_path: Path, text: bytes) -> None:
    message_id = send(queue, "u@be1.example", "v@be1.example", "w@far.example", text=text)
    assert text_of(queue, message_id) == text
    assert bool(larges(tmp_path)) == (text is LARGE)
    assert len(deliver(queue)) == 2
    assert not ids(queue)
    with pytest.raises(UnknownMessage):
        queue.content(message_id)


def test_it_comes_back_after_a_restart(tmp_path: Path, time: Time) -> None:
    parameters = MailParameters(body=Body.EIGHT_BIT, utf8=True, ret=Return.HEADERS, envid="e1")
    dsn = RecipientParameters(frozenset({Notify.FAILURE, Notify.DELAY}), OriginalRecipient("rfc822", "o@x"))
    to = ("u@be1.example", recipient("v@be2.example", dsn))
    with opened(tmp_path, time) as queue:
        small = send(queue, *to, parameters=parameters, client="10.0.0.1", session="s1")
        large = send(queue, *to, text=LARGE, sender="")
        before = [queue.show(small), queue.show(large)]
    time.move(100)
    with opened(tmp_path, time) as queue:
        assert [queue.show(small), queue.show(large)] == before
        assert text_of(queue, small) == TEXT
        assert text_of(queue, large) == LARGE
        assert not queue.problems
        route(queue)
        attempt = next(attempt for attempt in attempts(queue) if attempt.destination == BE2)
        assert attempt.mail.parameters == parameters
        assert attempt.targets[0].recipient == to[1]
        assert attempt.size == len(TEXT)


def test_what_was_done_stays_done(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        kept = send(queue, "u@be1.example", "v@be2.example")
        send(queue, "w@be1.example", text=LARGE)
        route(queue)
        for attempt in attempts(queue):
            queue.report(attempt, busy(attempt) if attempt.destination == BE2 else {0: Delivered()})
    time.move(1)
    with opened(tmp_path, time) as queue:
        assert ids(queue) == [kept]
        delivered, delayed = queue.show(kept)["to"]
        assert (delivered["state"], delayed["state"]) == ("delivered", "ready")
        assert (delayed["attempts"], delayed["reason"]) == (1, "be1 said: 450 4.2.1 mailbox busy")
        assert deliver(queue) == [(kept, BE2, ("v@be2.example",))]
        assert not larges(tmp_path)


def test_what_was_not_accepted_is_not_there(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        for text in (TEXT, LARGE):
            aborted = queue.receive()
            aborted.write(text)
            aborted.abort()
            with pytest.raises(QueueError):
                aborted.write(b"more")
            with pytest.raises(QueueError):
                queue.commit(aborted, envelope("u@be1.example")).result(10)
        assert not larges(tmp_path)
        lost = queue.receive()
        lost.write(LARGE)  # the process is killed now
        assert larges(tmp_path) == [lost.id]
    with opened(tmp_path, time) as queue:
        assert not ids(queue)
        assert not larges(tmp_path)


def test_twice_committed_is_once_accepted(queue: MailQueue, tmp_path: Path) -> None:
    for text in (TEXT, LARGE):
        reception = queue.receive()
        reception.write(text)
        message_id = queue.commit(reception, envelope("u@be1.example")).result(10)
        with pytest.raises(QueueError):
            queue.commit(reception, envelope("u@be1.example")).result(10)
        reception.abort()
        assert text_of(queue, message_id) == text
    assert len(ids(queue)) == 2


def test_many_receive_at_once(queue: MailQueue, tmp_path: Path) -> None:
    def receive(number: int) -> tuple[str, bytes]:
        text = b"%d\r\n" % number * (500 if number % 10 == 0 else 1)
        return send(queue, f"u{number}@be1.example", text=text), text

    with ThreadPoolExecutor(16) as pool:
        accepted = dict(pool.map(receive, range(200)))
    assert len(accepted) == 200
    assert all(text_of(queue, message_id) == text for message_id, text in accepted.items())
    assert len(deliver(queue)) == 200
    assert not ids(queue)


def test_ids_are_not_given_twice(tmp_path: Path, time: Time) -> None:
    """Whatever the clock says, and though nothing is left of the messages."""
    seen: set[str] = set()
    for _ in range(5):
        with opened(tmp_path, time) as queue:
            for _ in range(60):
                message_id = send(queue, "u@be1.example", text=b"x" * 900)
                assert message_id not in seen
                seen.add(message_id)
            deliver(queue)
        time.jump(-3600)


def test_content_outlives_its_message(queue: MailQueue) -> None:
    for text in (TEXT, LARGE):
        content = queue.content(message_id := send(queue, "u@be1.example", text=text))
        queue.remove(message_id)
        for _ in range(3):
            send(queue, "x@be1.example")  # a sync, and its upkeep
        with content:
            assert content.read(10**9) == text


# --- who has the spool -----------------------------------------------------------------


def test_one_process_has_it(queue: MailQueue, tmp_path: Path, time: Time) -> None:
    with pytest.raises(QueueBusy):
        with opened(tmp_path, time):
            pass


def test_what_is_no_folder(tmp_path: Path, time: Time) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueUnusable):
        with opened(tmp_path / "file", time):
            pass


def test_entries_of_a_later_program_are_not_passed_over(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        queue._spool._log.append(b'[{"k":"new","n":1}]')
    for _ in range(2):  # and the spool is not kept locked
        with pytest.raises(QueueUnusable, match="later program"):
            with opened(tmp_path, time):
                pass


def test_a_lost_content_is_held_for_an_operator(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        message_id = send(queue, "u@be1.example", text=LARGE)
    (tmp_path / "large" / message_id).unlink()
    with opened(tmp_path, time) as queue:
        assert states(queue) == {message_id: "held"}
        [problem] = queue.problems
        assert "missing" in problem
        with pytest.raises(QueueError):
            queue.content(message_id)
        queue.remove(message_id)


def test_closed(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        reception = queue.receive()
    with pytest.raises(QueueError, match="closed"):
        queue.commit(reception, envelope("u@be1.example")).result(10)


# --- room ------------------------------------------------------------------------------


def test_room_is_given_back(queue: MailQueue, tmp_path: Path) -> None:
    """Though something old stays for long."""
    old = send(queue, "u@be1.example", hold=True)
    old_large = send(queue, "u@be1.example", text=LARGE, hold=True)
    for _ in range(30):
        for _ in range(20):
            send(queue, "u@be1.example", text=b"x" * 900)
        deliver(queue)
    send(queue, "u@be1.example")
    assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) < 12 * SMALL.segment
    assert text_of(queue, old) == TEXT
    assert text_of(queue, old_large) == LARGE


def test_moving_keeps_what_is_known(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        kept = send(queue, "u@be1.example", "v@be2.example", parameters=MailParameters(envid="e1"))
        route(queue)
        for attempt in attempts(queue):
            queue.report(attempt, {0: Delivered()} if attempt.destination == BE1 else busy(attempt))
        before = queue.show(kept)
        for _ in range(200):
            send(queue, "u@be1.example", text=b"x" * 900)
            deliver(queue)
        assert not list((tmp_path / "log").glob("*01.log"))
        assert queue.show(kept) == before
    with opened(tmp_path, time) as queue:
        assert queue.show(kept)["to"][0]["state"] == "delivered"
        assert queue.show(kept)["envid"] == "e1"


def test_bounds(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time, limits=evolve(SMALL, messages=3, recipients=5)) as queue:
        send(queue, "a@be1.example")
        send(queue, "a@be1.example", "b@be1.example", "c@be1.example", "d@be1.example")
        with pytest.raises(QueueFull):
            queue.receive()
        deliver(queue)
        for _ in range(3):
            send(queue, "a@be1.example")
        with pytest.raises(QueueFull):
            queue.receive()


def test_what_must_stay_free(tmp_path: Path, time: Time) -> None:
    disk = os.statvfs(tmp_path)
    with opened(tmp_path, time, limits=evolve(SMALL, free=disk.f_blocks * disk.f_frsize)) as queue:
        with pytest.raises(QueueFull):
            queue.receive()
    with opened(tmp_path, time) as queue:
        queue.receive()
        with pytest.raises(QueueFull):
            queue.receive(2**62)


def test_a_broken_disk_stops_everything(tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = MailQueue.open(tmp_path, REPORTER, clock=time.clock, limits=SMALL)
    first = send(queue, "u@be1.example")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", _broken)
        with pytest.raises(QueueBroken):
            send(queue, "v@be1.example")
    assert isinstance(queue.failure, QueueBroken)
    with pytest.raises(QueueBroken):
        send(queue, "w@be1.example")
    route(queue)
    assert queue.next_attempt() is None
    queue.close()
    with opened(tmp_path, time) as queue:
        assert ids(queue)[0] == first


def _broken(descriptor: int) -> None:
    raise OSError(5, "Input/output error")


# --- results ---------------------------------------------------------------------------


def test_news_are_mail(queue: MailQueue) -> None:
    message_id = send(queue, "u@be1.example", "v@be1.example", sender="a@be2.example")
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, {0: Permanent(GONE), 1: Delivered()})
    assert queue.notices == 1
    assert states(queue) == {message_id: "ready"}
    [told] = tell(queue)
    assert (told.id, told.sender) == (message_id, recipient("a@be2.example").address)
    assert [(str(address), reason) for address, reason in told.failed] == [("u@be1.example", GONE)]
    assert ids(queue) == list(told.reports)
    [report] = told.reports
    assert b"Final-Recipient: rfc822; u@be1.example\r\n" in text_of(queue, report)
    shown = queue.show(report)
    assert (shown["sender"], shown["to"][0]["address"]) == ("", "a@be2.example")
    assert deliver(queue) == [(report, BE2, ("a@be2.example",))]
    check(queue)


def test_news_are_told_once_however_it_ends(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        message_id = send(queue, "u@be1.example", "v@be2.example", text=LARGE)
        route(queue)
        for attempt in attempts(queue):
            queue.report(attempt, gone(attempt) if attempt.destination == BE1 else busy(attempt))
    with opened(tmp_path, time) as queue:  # before anything was told
        assert queue.notices == 0, "it goes another round first"
        queue.down(BE2)
        route(queue)
        [told] = tell(queue)
    with opened(tmp_path, time) as queue:
        assert ids(queue) == [message_id, *told.reports]
        queue.down(BE2)
        route(queue)
        assert queue.notices == 0


def test_a_failed_report_is_dropped(queue: MailQueue) -> None:
    send(queue, "u@be1.example", sender="a@be2.example")
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, gone(attempt))
    [told] = tell(queue)
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, gone(attempt))
    [dropped] = tell(queue)
    assert (dropped.id, dropped.sender, dropped.reports) == (told.reports[0], None, ())
    assert len(dropped.failed) == 1
    assert not ids(queue)


def test_who_wants_no_news_has_none(queue: MailQueue) -> None:
    send(queue, recipient("u@be1.example", RecipientParameters(frozenset({Notify.NEVER}))))
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, gone(attempt))
    [told] = tell(queue)
    assert not told.reports
    assert told.failed
    assert not ids(queue)


def test_a_success_is_reported_when_asked_for(queue: MailQueue) -> None:
    success = RecipientParameters(frozenset({Notify.SUCCESS}))
    send(queue, recipient("u@be1.example", success))
    deliver(queue)
    [told] = tell(queue)
    assert not told.failed
    assert b"Action: delivered\r\n" in text_of(queue, told.reports[0])


def test_a_delay_is_told_and_remembered(tmp_path: Path, time: Time) -> None:
    settings = {"policy": policy(warn_after=3600.0)}
    with opened(tmp_path, time, **settings) as queue:
        message_id = send(queue, "u@be1.example")
        queue.down(BE1)
        route(queue)
        time.move(3700)
        route(queue)
        [told] = tell(queue)
        assert b"Will-Retry-Until: " in text_of(queue, told.reports[0])
        assert b"4.4.1 the destination is down" in text_of(queue, told.reports[0])
        queue.remove(told.reports[0])
    with opened(tmp_path, time, **settings) as queue:
        assert queue.show(message_id)["warned"]
        queue.down(BE1)
        route(queue)
        time.move(3700)
        route(queue)
        assert not tell(queue)


def test_too_old(queue: MailQueue, time: Time) -> None:
    queue.down(BE1)
    send(queue, "u@be1.example")
    route(queue)
    time.move(5 * 86400)
    route(queue)
    [told] = tell(queue)
    assert b"Status: 4.4.7\r\n" in text_of(queue, told.reports[0])


def test_age_goes_on_while_nothing_runs(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        message_id = send(queue, "u@be1.example")
    time.move(6 * 86400)
    with opened(tmp_path, time) as queue:
        route(queue)
        [attempt] = attempts(queue)
        queue.report(attempt, busy(attempt))
        assert queue.notices == 1
        assert queue.show(message_id)["to"][0]["state"] == "failed"


def test_a_wall_clock_that_jumps_ages_nobody(queue: MailQueue, time: Time) -> None:
    send(queue, "u@be1.example")
    for jump in (10 * 365 * 86400, -20 * 365 * 86400):
        time.jump(jump)
        route(queue)
        [attempt] = attempts(queue)
        queue.report(attempt, busy(attempt))
        assert queue.notices == 0
        wait = queue.next_event()
        assert wait is not None
        assert 0 < wait <= 4000
        time.move(wait)


def test_what_can_not_be_told_is_told_later(
    queue: MailQueue, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = send(queue, "u@be1.example")
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, gone(attempt))

    def fail(*_: object) -> Iterator[object]:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patched:
        patched.setattr("cgnode.frontend.bounce.reports", fail)
        future = queue.notify()
        assert future is not None
        with pytest.raises(RuntimeError):
            future.result(10)
    check(queue)
    assert queue.notify() is None
    time.move(61)
    route(queue)
    [told] = tell(queue)
    assert told.id == message_id


def test_removed_while_its_sender_is_told(queue: MailQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    message_id = send(queue, "u@be1.example")
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, gone(attempt))
    compose = queue._compose

    def remove_first(news: object) -> object:
        composed = compose(news)  # type: ignore[arg-type]
        queue.remove(message_id)
        return composed

    monkeypatch.setattr(queue, "_compose", remove_first)
    [told] = tell(queue)
    assert not told.reports
    assert not ids(queue)


def test_a_dead_host_and_its_return(queue: MailQueue, time: Time) -> None:
    for number in range(10):
        send(queue, f"u{number}@be1.example")
    route(queue)
    for attempt in attempts(queue):
        queue.unreachable(attempt, REFUSED)
    [lane] = queue.counts()["destinations"]
    assert (lane["condition"], lane["ready"], lane["delayed"], lane["active"]) == ("dead", 0, 10, 0)
    assert lane["reason"] == "451 4.4.1 connection refused"
    assert queue.wake(BE1) == 10
    assert len(deliver(queue)) == 10


def test_moved_accounts(queue: MailQueue) -> None:
    queue.down(BE1, BUSY)
    for number in range(10):
        send(queue, f"u{number}@be1.example")
    route(queue)
    assert queue.wake_where(lambda address: address.local == "u3") == 1
    assert len(deliver(queue, lambda _: Deliver(BE2))) == 1
    assert queue.counts()["destinations"][0]["reason"] == "be1 said: 450 4.2.1 mailbox busy"


def test_waiting_has_an_end_that_is_known(queue: MailQueue, time: Time) -> None:
    assert queue.next_event() is None
    send(queue, "u@be1.example")
    assert queue.next_event() == 0
    route(queue)
    [attempt] = attempts(queue)
    assert queue.next_event() is None
    queue.report(attempt, busy(attempt))
    wait = queue.next_event()
    assert wait is not None
    assert 300 <= wait <= 360
    time.move(wait)
    assert queue.next_event() == 0


# --- operators -------------------------------------------------------------------------


def test_list_and_show(queue: MailQueue, time: Time) -> None:
    held = send(queue, "u@be1.example", hold=True)
    delayed = send(queue, "u@be1.example", "v@be1.example")
    route(queue)
    [attempt] = attempts(queue)
    queue.report(attempt, busy(attempt))
    active = send(queue, "u@be2.example")
    route(queue)
    attempts(queue)
    ready = send(queue, "u@be2.example", sender="")
    assert states(queue) == {held: "held", delayed: "delayed", active: "active", ready: "ready"}
    assert ids(queue, state="delayed") == [delayed]
    assert ids(queue, destination=BE2) == [active]
    assert ids(queue, after=delayed) == [active, ready]
    page = queue.list(limit=3)
    assert [shown["id"] for shown in page["messages"]] == [held, delayed, active]
    assert page["next"] == active
    last = queue.list(after=page["next"], limit=3)
    assert [shown["id"] for shown in last["messages"]] == [ready]
    assert "next" not in last
    [shown] = queue.list(state="delayed")["messages"]
    assert shown == {
        "id": delayed,
        "state": "delayed",
        "sender": "a@here.example",
        "recipients": 2,
        "pending": 2,
        "size": len(TEXT),
        "arrival": "2023-11-14T22:13:20Z",
        "till": shown["till"],
    }
    assert "2023-11-14T22:18:20Z" <= shown["till"] <= "2023-11-14T22:19:30Z"
    details = queue.show(delayed)["to"][0]
    assert (details["address"], details["destination"], details["attempts"]) == (
        "u@be1.example",
        "backend:be1",
        1,
    )
    counts = queue.counts()
    assert (counts["messages"], counts["held"], counts["routing"], counts["recipients"]) == (4, 1, 1, 5)
    assert counts["room"]
    assert counts["unsaved"] == 0
    assert {lane["destination"] for lane in counts["destinations"]} == {"backend:be1", "backend:be2"}


def test_hold_release_flush_remove(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        first, second, third = (send(queue, "u@be1.example") for _ in range(3))
        queue.hold(first)
        queue.remove(second)
        route(queue)
        [attempt] = attempts(queue)
        queue.report(attempt, busy(attempt))
    with opened(tmp_path, time) as queue:
        assert states(queue) == {first: "held", third: "ready"}
        queue.release(first)
        route(queue)
        for attempt in attempts(queue):
            queue.report(attempt, busy(attempt))
        assert set(states(queue).values()) == {"delayed"}
        assert queue.flush(first) == 1
        assert [message_id for message_id, _, _ in deliver(queue)] == [first]
        assert queue.flush(BE1) == 1
        assert states(queue) == {third: "ready"}
        assert queue.flush() == 0
        deliver(queue)
    with opened(tmp_path, time) as queue:
        assert not ids(queue)


@pytest.mark.parametrize("message_id", ["1f", "", "nothing"])
def test_what_is_not_there(queue: MailQueue, message_id: str) -> None:
    operations = (queue.show, queue.hold, queue.release, queue.remove, queue.content)
    for operation in operations:
        with pytest.raises(UnknownMessage):
            operation(message_id)
    if message_id:
        with pytest.raises(UnknownMessage):
            queue.flush(message_id)


def test_results_that_come_late(queue: MailQueue) -> None:
    message_id = send(queue, "u@be1.example")
    route(queue)
    [attempt] = attempts(queue)
    queue.remove(message_id)
    queue.report(attempt, {0: Delivered()})
    assert not queue.due()


def test_syncs_are_shared(queue: MailQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, go = [], Event()
    fdatasync = os.fdatasync

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        assert go.wait(10)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    receptions = [queue.receive() for _ in range(10)]
    for reception in receptions:
        reception.write(b"x" * 100)
    futures = [queue.commit(reception, envelope("u@be1.example")) for reception in receptions]
    go.set()
    assert len({future.result(10) for future in futures}) == 10
    assert len(syncs) <= 2


# --- groups ----------------------------------------------------------------------------


def by_group(address: Address) -> Route:
    """all@here.example are two; who is in it is at be1."""
    if address.local == "all":
        return Expand((parse_address("U@be1.example"), parse_address("v@be1.example")))
    return by_domain(address)


def test_a_group_takes_its_place_for_good(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        message = send(queue, "all@here.example", "u@be1.example")
        route(queue, by_group)
        route(queue, by_group)
        shown = [(one["address"], one["state"]) for one in queue.show(message)["to"]]
        expected = [("all@here.example", "expanded"), ("u@be1.example", "ready"), ("v@be1.example", "ready")]
        assert shown == expected, "who is there already is not there twice"
        assert queue.counts()["recipients"] == 3
        [attempt] = attempts(queue)
        one, two = attempt.targets
        queue.report(attempt, {one.index: Delivered(), two.index: Temporary(BUSY)})
    for _ in range(2):
        with opened(tmp_path, time) as queue:
            states = [one["state"] for one in queue.show(message)["to"]]
            assert states == ["expanded", "delivered", "ready"]
            assert queue.counts()["recipients"] == 3
    with opened(tmp_path, time) as queue:
        assert deliver(queue) == [(message, BE1, ("v@be1.example",))]


def test_a_group_outlives_the_move_of_its_message(tmp_path: Path, time: Time) -> None:
    with opened(tmp_path, time) as queue:
        message = send(queue, "all@here.example")
        route(queue, by_group)
        route(queue, by_group)
        with queue._lock:
            queue._spool.move(queue._find(message))
    with opened(tmp_path, time) as queue:
        assert deliver(queue, by_group) == [(message, BE1, ("U@be1.example", "v@be1.example"))]


def test_a_group_among_itself_has_an_end(queue: MailQueue) -> None:
    def in_circles(address: Address) -> Route:
        return Expand((parse_address("a@here.example"), parse_address("b@here.example")))

    send(queue, "a@here.example")
    for _ in range(4):
        route(queue, in_circles)
    assert not ids(queue)


def test_the_success_of_a_group_is_told_once(queue: MailQueue) -> None:
    notify = RecipientParameters(frozenset({Notify.SUCCESS}))
    send(queue, recipient("all@here.example", notify))
    delivered = deliver(queue, by_group)
    assert len(delivered) == 1
    future = queue.notify()
    assert future is not None
    [report] = future.result(10).reports
    assert b"Action: expanded" in text_of(queue, report)
    assert queue.notify() is None


def test_only_what_has_moved_goes_on(queue: MailQueue) -> None:
    queue.down(BE1)
    moved, stays = send(queue, "u@be1.example"), send(queue, "v@be1.example")
    route(queue)
    assert queue.waited_for() == (BE1,)
    numbers = queue.waiting(BE1)
    assert len(numbers) == 2
    assert queue.wake_moved(BE1, numbers, lambda address: address.local == "u") == 1
    assert deliver(queue, lambda _: Deliver(BE2)) == [(moved, BE2, ("u@be1.example",))]
    assert ids(queue) == [stays]
    assert queue.wake_moved(BE2, numbers, lambda _: True) == 0


def test_there_is_word_of_work(queue: MailQueue) -> None:
    told = Event()
    queue.on_work(told.set)
    message = send(queue, "u@be1.example", hold=True)
    assert told.wait(10)
    called: list[int] = []
    queue.on_work(lambda: called.append(1))
    queue.release(message)
    queue.flush()
    queue.wake(BE1)
    assert len(called) == 3
