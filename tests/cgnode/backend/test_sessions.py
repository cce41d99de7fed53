"""What the sessions of IMAP and POP3 are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cgnode.backend import store as errors
from cgnode.backend.imap import kept
from cgnode.backend.imap.idling import Idling, Times
from cgnode.backend.imap.kept import Kept
from cgnode.backend.imap.replies import refusal
from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.sessions.entrance import Client, told_by_id, told_by_xclient
from cgnode.backend.sessions.gate import Gate
from cgnode.backend.sessions.lane import Lane
from cgnode.destinations import HOPS
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.server import Server
from tests.cgnode.backend.mailing import deliver, text
from tests.cgnode.backend.serving_mail import ok, serving
from tests.cgnode.proto.imap_shell import logged_in

# --- lane ----------------------------------------------------------------------------------


class Pool:
    """A thread pool whose jobs are done when a test says so."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def callInThreadWithCallback(self, told: Callable[[bool, Any], None], job: Callable[[], Any]) -> None:
        def run() -> None:
            try:
                result = job()
            except Exception:
                told(False, Failure())  # type: ignore[no-untyped-call]
            else:
                told(True, result)

        self.jobs.append(run)

    def work(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()


class Here(Clock):
    """A reactor with one thread."""

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        call(*args)


def make_lane() -> tuple[Lane, Pool, list[object]]:
    pool, told = Pool(), list[object]()
    return Lane(Here(), pool, lambda: told.append("broken")), pool, told


def test_a_lane_does_one_after_the_other() -> None:
    lane, pool, told = make_lane()
    lane.run(lambda: 1, told.append)
    lane.run(lambda: 2, told.append)
    assert (len(pool.jobs), lane.busy) == (1, True)
    pool.work()
    assert (told, lane.busy) == ([1, 2], False)


def test_a_lane_that_is_closed_ends_with_the_last(caplog: pytest.LogCaptureFixture) -> None:
    lane, pool, told = make_lane()
    lane.run(lambda: told.append("begun"), told.append)
    lane.run(lambda: told.append("waiting"), told.append)
    lane.close(lambda: told.append("last"))
    lane.run(lambda: told.append("late"), told.append)
    pool.work()
    assert told == ["begun", "last"]


def test_a_job_that_fails_breaks_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    lane, pool, told = make_lane()
    lane.run(lambda: 1 // 0, told.append)
    lane.run(lambda: 0, lambda number: told.append(1 // number))
    lane.run(lambda: 2, told.append)
    pool.work()
    assert told == ["broken", "broken", 2]
    assert "ZeroDivisionError" in caplog.text


# --- gate ----------------------------------------------------------------------------------


class Events:
    def __init__(self, *waiting: object) -> None:
        self.waiting = list(waiting)
        self.backlog = False

    def receive(self, data: bytes, /) -> None:
        self.waiting.append(data)

    def next_event(self) -> object | None:
        return self.waiting.pop(0) if self.waiting else None


def test_a_gate_says_its_pieces_first() -> None:
    gate, told = Gate(Events("a", "b")), list[str]()
    assert gate.next_event() == "a"
    gate.say(iter([b"1", b"2"]), lambda: gate.say(iter([b"3"]), lambda: told.append("done")))
    assert (gate.next_event(), gate.busy) == (b"1", True)
    assert [gate.next_event() for _ in range(4)] == [b"2", b"3", "b", None]
    assert (told, gate.busy, gate.told) == (["done"], False, 3)


def test_a_gate_that_is_held() -> None:
    gate = Gate(Events("a"))
    gate.held = True
    assert gate.next_event() is None
    gate.held = False
    assert gate.next_event() == "a"


# --- what is kept of large messages --------------------------------------------------------


def test_kept_is_bounded() -> None:
    size = kept.LEAST
    cache = Kept(3 * size)
    owners = [object() for _ in range(4)]
    for owner in owners[:3]:
        cache.put(owner, 1, bytes(size))
    assert cache.get(owners[0], 1) is not None
    cache.put(owners[3], 1, bytes(size))
    assert [cache.get(owner, 1) is not None for owner in owners] == [True, False, True, True]
    cache.put(owners[0], 2, bytes(size))
    assert cache.get(owners[0], 1) is None
    cache.put(owners[0], 3, bytes(size - 1))
    assert cache.get(owners[0], 3) is None
    cache.put(owners[0], 4, bytes(4 * size))
    assert cache.get(owners[0], 4) is None
    for owner in owners:
        cache.drop(owner)
    assert (cache._octets, cache._messages) == (0, {})


# --- IDLE ----------------------------------------------------------------------------------


def test_idling() -> None:
    reactor, done = Here(), list[str]()
    idling = Idling(
        reactor, Times(still_here=120, look=50), lambda: done.append("look"), lambda: done.append("here")
    )
    idling.changed()
    assert done == []
    idling.begin()
    idling.changed()
    idling.changed()
    assert done == ["look"]
    idling.looked()
    assert done == ["look", "look"]
    idling.looked()
    reactor.pump([50, 50, 20])
    assert done == ["look"] * 3 + ["here"]
    idling.end()
    idling.looked()
    idling.changed()
    reactor.pump([500])
    assert (len(done), reactor.getDelayedCalls()) == (4, [])


# --- what frontends say --------------------------------------------------------------------


def test_what_is_told_of_a_client() -> None:
    client = Client("10.0.0.1", 99, "s1")
    told = told_by_id(
        ((b"x-originating-ip", b"2001:db8::1"), (b"x-originating-port", b"4711"), (b"x-proxy-ttl", b"2")),
        client,
    )
    assert told == Client("2001:db8::1", 4711, "s1", 2)
    fields = (("ADDR", "a b"), ("PORT", "٤"), ("SESSION", "s\r\n2"), ("TTL", "-1"))
    assert told_by_xclient(fields, client) == client
    assert told_by_xclient((("TTL", "999"),), client).hops == HOPS


# --- failures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NoSuchFolder("x"), b"NO [NONEXISTENT] "),
        (errors.FolderExists("x"), b"NO [ALREADYEXISTS] "),
        (errors.NotForInbox("x"), b"NO [CANNOT] "),
        (errors.BadName("x"), b"NO [CANNOT] "),
        (errors.OverQuota("x"), b"NO [OVERQUOTA] "),
        (errors.StorageFull("x"), b"NO [UNAVAILABLE] "),
        (errors.StorageFailed("x"), b"NO [UNAVAILABLE] "),
        (errors.StorageAway("x"), b"NO [UNAVAILABLE] "),
    ],
)
def test_failures_of_the_store(error: errors.MailStoreError, code: bytes) -> None:
    shell = logged_in()
    shell.hold = c.Create
    shell.feed(b"x CREATE y\r\n")
    assert isinstance(shell.core, Server)
    assert refusal(error, "s1")(shell.core).startswith(b"x " + code)


def test_a_disk_that_fails(
    store: MaildirStore, alice: MaildirAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(alice, 1)
    with serving(store) as (served,), served.imap(select="INBOX") as client:
        error: list[Exception] = [errors.StorageFull("no room")]

        def full(*args: object) -> None:
            raise error[0]

        monkeypatch.setattr(MaildirAccount, "append", full)
        monkeypatch.setattr(MaildirAccount, "create", full)
        monkeypatch.setattr(MaildirAccount, "status", full)
        kind, data = client.append("INBOX", "", "", text(2))
        assert (kind, data[0][:13]) == ("NO", b"[UNAVAILABLE]")
        kind, data = client.create("x")
        assert (kind, data[0][:13]) == ("NO", b"[UNAVAILABLE]")
        error[0] = RuntimeError("a fault of ours")
        kind, data = client.status("Sent", "(MESSAGES)")
        assert (kind, data[0][:11]) == ("NO", b"[SERVERBUG]")
        assert ok(client.fetch("1", "(BODY.PEEK[])"))[0][1] == text(1)
