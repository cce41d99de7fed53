"""A proxy's log-in at a backend: the dialogues, and what kind each failure is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cgnode.proto import sasl
from cgnode.proto.imap import client
from cgnode.proto.imap.client import Event, Failed, Plan, Preamble, Ready, Step
from cgnode.proto.imap.events import StartTLS as ServerStartTLS
from cgnode.proto.imap.login import LoginServer, Settings
from cgnode.proto.preamble import Account, StartTLS, Trouble

from .imap_shell import Shell, tagged
from .splitting import same_when_split

ALICE = Account("alice", b"secret")
PLAN = Plan(ALICE)
GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] hello\r\n"
MASTER = Plan(
    Account("cluster", b"x", "alice"),
    identity=(("x-originating-ip", "192.0.2.1"), ("x-session-id", 'a"b'), ("long", "ä" * 2000)),
)


def dialogue(plan: Plan, *answers: bytes) -> list[Event]:
    """What the preamble says to these, each of them wherever it is cut."""

    def run(pieces: Sequence[bytes], made: Preamble) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            made.receive(piece)
            while (event := made.next_event()) is not None:
                events.append(event)
                if isinstance(event, StartTLS):
                    made.tls_started()
        return events

    def replay(last: Sequence[bytes]) -> list[Event]:
        made = Preamble(plan)
        return [event for pieces in ([one] for one in answers[:-1]) for event in run(pieces, made)] + run(
            last, made
        )

    return same_when_split(replay, answers[-1])


def failure(plan: Plan, *answers: bytes) -> tuple[Trouble, Step, str]:
    failed = dialogue(plan, *answers)[-1]
    assert isinstance(failed, Failed)
    return failed.trouble, failed.step, failed.code


def test_the_shortest_way() -> None:
    assert dialogue(PLAN, GREETING) == [b"L AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n"]
    events = dialogue(PLAN, GREETING, b"L OK [CAPABILITY IMAP4rev1 IDLE] in\r\n* 1 EXISTS\r\n")
    assert events[1:] == [Ready(("IMAP4rev1", "IDLE"))]


def test_what_is_not_of_the_log_in_is_unread() -> None:
    preamble = Preamble(PLAN)
    preamble.receive(GREETING)
    preamble.next_event()
    preamble.receive(b"* ID NIL\r\nL OK [CAPABILITY X] in\r\n* BYE soon\r\n* x")
    assert preamble.next_event() == Ready(("X",))
    assert preamble.next_event() is None
    assert preamble.backlog
    preamble.receive(b"y")
    assert preamble.unread() == b"* BYE soon\r\n* xy"


def test_a_server_that_says_little() -> None:
    events = dialogue(
        PLAN,
        b"* OK hello\r\n",
        b"* CAPABILITY IMAP4rev1 auth=plain\r\nC OK\r\n",
        b"+ \r\n",
        b"L OK in\r\n",
        b"* CAPABILITY IMAP4rev1 IDLE\r\nD OK done\r\n",
    )
    assert events == [
        b"C CAPABILITY\r\n",
        b"L AUTHENTICATE PLAIN\r\n",
        b"AGFsaWNlAHNlY3JldA==\r\n",
        b"D CAPABILITY\r\n",
        Ready(("IMAP4rev1", "IDLE")),
    ]


def test_master_user_and_where_the_client_came_from() -> None:
    (said,) = dialogue(MASTER, GREETING)
    assert said == (
        b'I ID ("x-originating-ip" "192.0.2.1" "x-session-id" "a\\"b" "long" "%b")\r\n'
        b"L AUTHENTICATE PLAIN YWxpY2UAY2x1c3RlcgB4\r\n" % (b"?" * 1024)
    )
    for answer in (b"* ID NIL\r\nI OK\r\n", b"I BAD what?\r\n"):
        assert dialogue(MASTER, GREETING, answer + b"L OK [CAPABILITY X]\r\n")[-1] == Ready(("X",))
    without = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n"
    assert dialogue(MASTER, without) == [b"L AUTHENTICATE PLAIN\r\n"]


def test_login() -> None:
    plan = Plan(Account('al"ice', b"se\\cret"), login=True)
    events = dialogue(plan, b"* OK [CAPABILITY IMAP4rev1] x\r\n", b"L OK [CAPABILITY X] in\r\n")
    assert events == [b'L LOGIN "al\\"ice" "se\\\\cret"\r\n', Ready(("X",))]


def test_starttls() -> None:
    plan = Plan(ALICE, start_tls=True)
    events = dialogue(plan, GREETING, b"S OK go\r\n", b"* CAPABILITY AUTH=PLAIN SASL-IR\r\nC OK\r\n")
    assert events == [
        b"S STARTTLS\r\n",
        StartTLS(),
        b"C CAPABILITY\r\n",
        b"L AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n",
    ]


def test_data_behind_starttls_is_fatal() -> None:
    preamble = Preamble(Plan(ALICE, start_tls=True))
    preamble.receive(GREETING)
    preamble.next_event()
    preamble.receive(b"S OK go\r\nC OK [CAPABILITY AUTH=PLAIN] x\r\n")
    failed = preamble.next_event()
    assert isinstance(failed, Failed)
    assert failed.trouble is Trouble.PROTOCOL
    assert preamble.next_event() is None


TLS = Plan(ALICE, start_tls=True)


@pytest.mark.parametrize(
    ("plan", "answers", "expected"),
    [
        (PLAN, (b"* BYE [UNAVAILABLE] full\r\n",), (Trouble.TEMPORARY, Step.GREETING, "UNAVAILABLE")),
        (PLAN, (b"* PREAUTH hello\r\n",), (Trouble.PROTOCOL, Step.GREETING, "")),
        (PLAN, (b"220 smtp\r\n",), (Trouble.PROTOCOL, Step.GREETING, "")),
        (PLAN, (b"* CAPABILITY X\r\n",), (Trouble.PROTOCOL, Step.GREETING, "")),
        (PLAN, (b"x" * 70_000,), (Trouble.PROTOCOL, Step.GREETING, "")),
        (PLAN, (b"\x00\xff\r\n",), (Trouble.PROTOCOL, Step.GREETING, "")),
        (PLAN, (b"* OK\r\n", b"C BAD what?\r\n"), (Trouble.PROTOCOL, Step.CAPABILITY, "")),
        (PLAN, (b"* OK\r\n", b"C OK\r\n"), (Trouble.PROTOCOL, Step.AUTHENTICATE, "")),
        (PLAN, (GREETING, b"L NO no\r\n"), (Trouble.REFUSED, Step.AUTHENTICATE, "")),
        (
            PLAN,
            (GREETING, b"L NO [AUTHENTICATIONFAILED] no\r\n"),
            (Trouble.REFUSED, Step.AUTHENTICATE, "AUTHENTICATIONFAILED"),
        ),
        (
            PLAN,
            (GREETING, b"l no [unavailable] x\r\nL no [unavailable] x\r\n"),
            (Trouble.PROTOCOL, Step.AUTHENTICATE, ""),
        ),
        (
            PLAN,
            (GREETING, b"L no [Unavailable] x\r\n"),
            (Trouble.TEMPORARY, Step.AUTHENTICATE, "Unavailable"),
        ),
        (PLAN, (GREETING, b"L NO [LIMIT] x\r\n"), (Trouble.TEMPORARY, Step.AUTHENTICATE, "LIMIT")),
        (
            PLAN,
            (GREETING, b"L NO [PRIVACYREQUIRED] x\r\n"),
            (Trouble.PROTOCOL, Step.AUTHENTICATE, "PRIVACYREQUIRED"),
        ),
        (PLAN, (GREETING, b"L BAD x\r\n"), (Trouble.PROTOCOL, Step.AUTHENTICATE, "")),
        (PLAN, (GREETING, b"* BYE x\r\n"), (Trouble.TEMPORARY, Step.AUTHENTICATE, "")),
        (PLAN, (GREETING, b"+ \r\n"), (Trouble.PROTOCOL, Step.AUTHENTICATE, "")),
        (PLAN, (GREETING, b"Q OK x\r\n"), (Trouble.PROTOCOL, Step.AUTHENTICATE, "")),
        (PLAN, (GREETING, b"* 1 EXISTS\r\n" * 300), (Trouble.PROTOCOL, Step.AUTHENTICATE, "")),
        (PLAN, (GREETING, b"L OK in\r\n", b"D NO x\r\n"), (Trouble.PROTOCOL, Step.CAPABILITY_AFTER, "")),
        (TLS, (GREETING, b"S NO x\r\n"), (Trouble.PROTOCOL, Step.STARTTLS, "")),
        (Plan(Account("", b"x")), (GREETING,), (Trouble.REFUSED, Step.AUTHENTICATE, "")),
        (Plan(Account("a", b"x\0y")), (GREETING,), (Trouble.REFUSED, Step.AUTHENTICATE, "")),
        (Plan(Account("ä", b"x"), login=True), (GREETING,), (Trouble.REFUSED, Step.AUTHENTICATE, "")),
        (Plan(Account("a", b"x", "b"), login=True), (GREETING,), (Trouble.PROTOCOL, Step.AUTHENTICATE, "")),
    ],
)
def test_failures(plan: Plan, answers: tuple[bytes, ...], expected: tuple[Trouble, Step, str]) -> None:
    assert failure(plan, *answers) == expected


def test_a_server_that_goes_away() -> None:
    preamble = Preamble(PLAN)
    preamble.receive(GREETING)
    preamble.next_event()
    assert preamble.connection_lost() == Failed(
        Trouble.TEMPORARY, Step.AUTHENTICATE, "", "no answer to authenticate"
    )
    assert preamble.next_event() is None


def test_passwords_are_in_no_repr() -> None:
    assert "secret" not in repr(PLAN)


@pytest.mark.parametrize("settings", [Settings(clear_text=True, start_tls=True), Settings(start_tls=True)])
@pytest.mark.parametrize("start_tls", [False, True])
def test_our_own_server(settings: Settings, start_tls: bool) -> None:
    """A client in front, a frontend's core, a preamble, a backend's core."""
    front = LoginServer(Settings(clear_text=True))
    front.begin()
    front.receive(b"a LOGIN alice secret\r\nb SELECT INBOX\r\n")
    credentials = front.next_event()
    assert isinstance(credentials, sasl.Credentials)
    back = Shell(settings=settings)
    preamble = Preamble(
        Plan(
            Account(credentials.authcid, credentials.password),
            start_tls,
            identity=(("x-originating-ip", "192.0.2.1"),),
        )
    )
    preamble.receive(back.sent)
    ready: Event | None = None
    while (event := preamble.next_event()) is not None:
        ready = event
        if isinstance(event, bytes):
            preamble.receive(back.feed(event))
        elif isinstance(event, StartTLS):
            preamble.tls_started()
    if not start_tls and not settings.clear_text:
        assert isinstance(ready, Failed)
        return
    assert isinstance(ready, Ready)
    assert (ServerStartTLS in map(type, back.seen)) is start_tls
    answer = front.accept(ready.capabilities)
    assert b"CONDSTORE" in answer
    assert tagged(back.feed(preamble.unread() + front.unread()), b"b").startswith(b"OK")


def test_steps_have_names_for_the_log() -> None:
    assert {step.value for step in client.Step} >= {"greeting", "authenticate"}
