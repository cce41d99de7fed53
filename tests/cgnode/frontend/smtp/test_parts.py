"""Header fields on their way, rates, the hand-over between threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cgnode.frontend.queue.errors import QueueError, QueueFull
from cgnode.frontend.smtp.addresses import route_mail
from cgnode.frontend.smtp.rates import Rates
from cgnode.frontend.smtp.settling import Settling
from cgnode.frontend.smtp.terms import Terms
from cgnode.frontend.smtp.trace import Header, Source, date, protocol, received, received_from
from cgnode.names import Address as Name
from cgnode.proto.smtp.address import Address
from cgnode.router import DomainAlias, DomainRecord, Outcome, Record, Remote, Router, Unknown

ADD = (b"Date: now\r\n", b"Message-ID: <1@here>\r\n")
BOTH = b"Date: now\r\nMessage-ID: <1@here>\r\n"


def through(text: bytes, complete: bool = True, pieces: tuple[int, ...] = ()) -> tuple[bytes, Header]:
    header = Header(ADD if complete else None)
    places = sorted({0, len(text), *(place for place in pieces if place < len(text))})
    out = [header.feed(text[a:b]) for a, b in itertools.pairwise(places)]
    return b"".join(out) + header.finish(), header


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Subject: x\r\n\r\nbody\r\n", b"Subject: x\r\n" + BOTH + b"\r\nbody\r\n"),
        (b"\r\nbody\r\n", BOTH + b"\r\nbody\r\n"),
        (b"", BOTH),
        (b"Subject: x\r\n", b"Subject: x\r\n" + BOTH),
        (b"Subject: x", b"Subject: x\r\n" + BOTH),
        (b"body\r\nmore\r\n", BOTH + b"\r\nbody\r\nmore\r\n"),
        (b"body", BOTH + b"\r\nbody"),
        (
            b"Subject: x\r\n folded\r\n\r\nDate: body\r\n",
            b"Subject: x\r\n folded\r\n" + BOTH + b"\r\nDate: body\r\n",
        ),
        (b"DATE : x\r\n\r\n", b"DATE : x\r\n" + ADD[1] + b"\r\n"),
        (
            b"A: b\r\n Date: x\r\nmessage-id: <2>\r\n\r\n",
            b"A: b\r\n Date: x\r\nmessage-id: <2>\r\n" + ADD[0] + b"\r\n",
        ),
        (b"Date: a\r\nMessage-Id: b\r\nbody\r\n", b"Date: a\r\nMessage-Id: b\r\nbody\r\n"),
    ],
)
def test_what_is_missing_is_added(text: bytes, expected: bytes) -> None:
    for place in range(len(text) + 1):
        assert through(text, pieces=(place,))[0] == expected
    assert through(text, pieces=tuple(range(len(text))))[0] == expected


_LINE = st.sampled_from(
    [
        b"Received: a",
        b"received : b",
        b" Received: c",
        b"Date: d",
        b"",
        b"body",
        b":",
        b"X:",
        b"Message-ID: m",
        b"\r",
    ]
)


@given(
    st.lists(_LINE).map(lambda lines: b"".join(line + b"\r\n" for line in lines)),
    st.booleans(),
    st.lists(st.integers(0, 100)).map(tuple),
)
@example(b"X", False, ())
def test_wherever_it_is_cut(text: bytes, complete: bool, pieces: tuple[int, ...]) -> None:
    whole, header = through(text, complete)
    cut, other = through(text, complete, pieces)
    assert cut == whole
    assert other.hops == header.hops
    if text.endswith(b"\n") and not complete:
        assert whole == text


def test_hops() -> None:
    text = b"Received: a\r\nreceived: b\r\n Received: c\r\nX-Received: d\r\n\r\nReceived: e\r\n"
    assert through(text)[1].hops == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source("a.example", "192.0.2.1"), "a.example ([192.0.2.1])"),
        (Source("a.example", "::ffff:192.0.2.1"), "a.example ([192.0.2.1])"),
        (Source("[192.0.2.9]", "2001:db8::1"), "[192.0.2.9] ([IPv6:2001:db8::1])"),
        (Source("a b", "192.0.2.1"), "[192.0.2.1] ([192.0.2.1])"),
        (Source("a:b", "192.0.2.1"), "[192.0.2.1] (HELO a:b; [192.0.2.1])"),
        (Source("x)\r\nEvil:", "192.0.2.1", "b)c"), "[192.0.2.1] ([192.0.2.1])"),
        (Source("a.example", "", "b.example"), "a.example (b.example [unknown])"),
    ],
)
def test_where_it_comes_from(source: Source, expected: str) -> None:
    assert received_from(source, "mx") == f"Received: from {expected}\r\n\tby mx (cgnode)"


def test_received() -> None:
    second = 1_700_000_000
    assert date(second) == "Tue, 14 Nov 2023 22:13:20 +0000"
    only = Address("j\u00f6", "example.com")
    assert b"for <" not in received("R", "ESMTP", "1", "s", only, second)
    assert "for <j\u00f6@example.com>".encode() in received("R", "UTF8SMTP", "1", "s", only, second)
    assert protocol(False, True, True, True) == "SMTP"
    assert protocol(True, True, True, True) == "UTF8SMTPSA"
    assert protocol(True, False, True, False) == "ESMTPS"


# --- rates -------------------------------------------------------------------------------


def test_a_minutes_worth_at_once_and_no_more() -> None:
    rates = Rates(3)
    assert [rates.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert rates.take("b", 0.0)
    assert not rates.take("a", 19.0)
    assert rates.take("a", 21.0)
    assert not rates.take("a", 21.0)


def test_no_rate() -> None:
    assert all(Rates(0).take("a", 0.0) for _ in range(100))


def test_who_is_quiet_is_forgotten() -> None:
    rates = Rates(1)
    for number in range(10_001):
        rates.take(f"client {number}", number * 1.0)
    assert len(rates._buckets) < 100


# --- settling ----------------------------------------------------------------------------


def test_many_are_settled_at_once() -> None:
    calls: list[Callable[[], None]] = []
    times: list[int] = []
    settled: list[QueueError | None] = []
    settling = Settling(calls.append, lambda: times.append(len(settled)))
    futures: list[Future[str]] = [Future() for _ in range(4)]
    for future in futures:
        settling.wait(future, settled.append)
    futures[0].set_result("1")
    futures[1].set_exception(QueueFull("full"))
    futures[2].set_exception(ValueError("a mistake"))
    assert settled == []
    (call,) = calls
    call()
    assert [type(each) for each in settled] == [type(None), QueueFull, QueueError]
    assert times == [3]
    futures[3].set_exception(QueueFull("full"))
    calls[1]()
    assert len(settled) == 4
    assert times == [3]


def test_one_callers_mistake_is_not_everybodys() -> None:
    calls: list[Callable[[], None]] = []
    settled: list[QueueError | None] = []
    settling = Settling(calls.append, lambda: None)
    first: Future[str] = Future()
    second: Future[str] = Future()

    def mistaken(_: QueueError | None) -> None:
        raise ValueError("a mistake")

    settling.wait(first, mistaken)
    settling.wait(second, settled.append)
    first.set_result("1")
    second.set_result("2")
    calls[0]()
    assert settled == [None]


# --- terms, addresses --------------------------------------------------------------------


def test_trusted_networks() -> None:
    terms = Terms("mx", xclient=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert terms.trusts("192.0.2.1")
    assert terms.trusts("::ffff:192.0.2.1")
    assert terms.trusts("2001:db8::1%eth0")
    assert not terms.trusts("192.0.3.1")
    assert not terms.trusts("")
    assert not Terms("mx").trusts("192.0.2.1")


class Ours:
    """One domain."""

    def domain(self, name: str) -> DomainRecord | DomainAlias | None:
        return DomainRecord(name) if name == "xn--bcher-kva.example" else None

    def record(self, name: str, domain: str) -> Record | None:
        return None

    def is_member(self, name: str) -> bool:
        return name == "be1"


@pytest.mark.parametrize(
    ("local", "domain", "expected"),
    [
        ("j\u00f6", "b\u00fccher.example", Unknown),
        ("j", "b\u00fccher.example", Unknown),
        ("j\u00f6", "be1", Unknown),
        ("j\u00f6", "elsewhere.example", Remote(Name("j\u00f6", "elsewhere.example"))),
        ("j", "\u00e4.example", Remote(Name("j", "xn--4ca.example"))),
        ("j", "a..\u00e4", Unknown),
    ],
)
def test_beyond_ascii(local: str, domain: str, expected: Outcome | type[Outcome]) -> None:
    found = route_mail(Router(Ours()), Address(local, domain))
    assert found == expected if not isinstance(expected, type) else isinstance(found, expected)
