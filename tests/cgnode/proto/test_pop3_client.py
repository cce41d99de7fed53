"""A proxy's log-in at a POP3 backend: the dialogues, and what kind each failure is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cgnode.proto.pop3.client import Event, Failed, Plan, Preamble, Ready, Step
from cgnode.proto.pop3.events import Forwarded
from cgnode.proto.pop3.login import Settings
from cgnode.proto.preamble import Account, StartTLS, Trouble

from .pop3_shell import Shell
from .splitting import same_when_split

PLAN = Plan(Account("alice", b"secret"))
USER_PASS = Plan(Account("alice", b"secret"), user_pass=True)
MASTER = Plan(
    Account("cluster", b"x", "alice"), forwarded=(("ADDR", "192.0.2.1"), ("SESSION", "a b"), ("TTL", "4"))
)
AUTH = b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"


def dialogue(plan: Plan, *answers: bytes) -> list[Event]:
    """What the preamble says to these, the last of them wherever it is cut."""

    def replay(last: Sequence[bytes]) -> list[Event]:
        made = Preamble(plan)
        events: list[Event] = []
        for piece in (*answers[:-1], *last):
            made.receive(piece)
            while (event := made.next_event()) is not None:
                events.append(event)
                if isinstance(event, StartTLS):
                    made.tls_started()
        return events

    return same_when_split(replay, answers[-1])


def test_auth_plain() -> None:
    assert dialogue(PLAN, b"+OK hello\r\n", b"+OK in\r\n") == [AUTH, Ready()]


def test_user_and_pass() -> None:
    events = dialogue(USER_PASS, b"+OK\r\n", b"+OK\r\n", b"+OK in\r\n")
    assert events == [b"USER alice\r\n", b"PASS secret\r\n", Ready()]


def test_xclient_and_master_user() -> None:
    events = dialogue(MASTER, b"+OK [XCLIENT] Dovecot ready.\r\n", b"+OK\r\n", b"+OK in\r\n")
    said = b"AUTH PLAIN YWxpY2UAY2x1c3RlcgB4\r\n"
    assert events == [b"XCLIENT ADDR=192.0.2.1 TTL=4\r\n" + said, Ready()]
    assert dialogue(MASTER, b"+OK ready [XCLIENT]\r\n") == [said]


def test_stls() -> None:
    plan = Plan(PLAN.account, start_tls=True)
    assert dialogue(plan, b"+OK\r\n", b"+OK go\r\n") == [b"STLS\r\n", StartTLS(), AUTH]
    made = Preamble(plan)
    made.receive(b"+OK\r\n")
    made.next_event()
    made.receive(b"+OK go\r\n+OK in\r\n")
    failed = made.next_event()
    assert isinstance(failed, Failed)
    assert failed.trouble is Trouble.PROTOCOL


def test_a_long_password_goes_in_a_line_of_its_own() -> None:
    plan = Plan(Account("alice", b"x" * 300))
    first, second = dialogue(plan, b"+OK\r\n", b"+ \r\n")
    assert first == b"AUTH PLAIN\r\n"
    assert isinstance(second, bytes)
    assert len(second) > 400


def test_what_is_not_of_the_log_in_is_unread() -> None:
    made = Preamble(PLAN)
    made.receive(b"+OK\r\n")
    made.next_event()
    made.receive(b"+OK in\r\n+OK 2 3")
    assert made.next_event() == Ready()
    assert made.backlog
    made.receive(b"00\r\n")
    assert made.next_event() is None
    assert made.unread() == b"+OK 2 300\r\n"


@pytest.mark.parametrize(
    ("plan", "answers", "trouble", "step", "code"),
    [
        (PLAN, (b"-ERR busy\r\n",), Trouble.TEMPORARY, Step.GREETING, ""),
        (PLAN, (b"* OK imap\r\n",), Trouble.PROTOCOL, Step.GREETING, ""),
        (PLAN, (b"x" * 9000 + b"\r\n",), Trouble.PROTOCOL, Step.GREETING, ""),
        (PLAN, (b"+OK\r\n", b"-ERR no\r\n"), Trouble.REFUSED, Step.AUTH, ""),
        (PLAN, (b"+OK\r\n", b"-ERR [AUTH] no\r\n"), Trouble.REFUSED, Step.AUTH, "AUTH"),
        (PLAN, (b"+OK\r\n", b"-ERR [sys/temp] no\r\n"), Trouble.TEMPORARY, Step.AUTH, "SYS/TEMP"),
        (PLAN, (b"+OK\r\n", b"-ERR [IN-USE] no\r\n"), Trouble.IN_USE, Step.AUTH, "IN-USE"),
        (PLAN, (b"+OK\r\n", b"+ \r\n"), Trouble.PROTOCOL, Step.AUTH, ""),
        (USER_PASS, (b"+OK\r\n", b"-ERR no\r\n"), Trouble.REFUSED, Step.USER, ""),
        (USER_PASS, (b"+OK\r\n", b"+OK\r\n", b"-ERR no\r\n"), Trouble.REFUSED, Step.PASS, ""),
        (MASTER, (b"+OK [XCLIENT]\r\n", b"-ERR no\r\n"), Trouble.PROTOCOL, Step.XCLIENT, ""),
        (Plan(PLAN.account, start_tls=True), (b"+OK\r\n", b"-ERR no\r\n"), Trouble.PROTOCOL, Step.STLS, ""),
        (Plan(Account("a", b"x\ny"), user_pass=True), (b"+OK\r\n",), Trouble.REFUSED, Step.GREETING, ""),
        (Plan(Account("", b"x")), (b"+OK\r\n",), Trouble.REFUSED, Step.GREETING, ""),
        (Plan(Account("a", b"x", "b"), user_pass=True), (b"+OK\r\n",), Trouble.PROTOCOL, Step.GREETING, ""),
    ],
)
def test_failures(plan: Plan, answers: tuple[bytes, ...], trouble: Trouble, step: Step, code: str) -> None:
    failed = dialogue(plan, *answers)[-1]
    assert isinstance(failed, Failed)
    assert (failed.trouble, failed.step, failed.code) == (trouble, step, code)


def test_a_server_that_goes_away() -> None:
    made = Preamble(PLAN)
    assert made.connection_lost() == Failed(Trouble.TEMPORARY, Step.GREETING, "", "no answer to greeting")


@pytest.mark.parametrize(
    "plan", [PLAN, USER_PASS, Plan(PLAN.account, True, forwarded=(("ADDR", "192.0.2.1"),))]
)
def test_our_own_server(plan: Plan) -> None:
    back = Shell([b"x\r\n"], Settings(clear_text=not plan.start_tls, start_tls=True), trusted=True)
    made = Preamble(plan)
    made.receive(back.sent)
    last: Event | None = None
    while (event := made.next_event()) is not None:
        last = event
        if isinstance(event, bytes):
            made.receive(back.feed(event))
        elif isinstance(event, StartTLS):
            made.tls_started()
    assert last == Ready()
    assert (Forwarded((("ADDR", "192.0.2.1"),)) in back.seen) is bool(plan.forwarded)
