"""The client's dialogues: what it makes of a server's words, whole and in pieces."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest
from attrs import evolve

from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.client import Client, Closed, Done, Ready, StartTLS, TextWanted
from cgnode.proto.smtp.delivery import Outcome, Result
from cgnode.proto.smtp.envelope import (
    Body,
    Mail,
    MailParameters,
    Notify,
    OriginalRecipient,
    Recipient,
    RecipientParameters,
    Return,
)
from cgnode.proto.smtp.events import XClient
from cgnode.proto.smtp.opening import Dialect, Login, Profile, Step, Tls
from cgnode.proto.smtp.reply import Reply
from tests.cgnode.proto.smtp.shells import ClientShell, Job
from tests.cgnode.proto.splitting import same_when_split

SMTP = Profile(Dialect.SMTP, "fe1.example.com")
LMTP = Profile(Dialect.LMTP, "fe1.example.com")

ALICE, BOB, CAROL = (Recipient(Address(name, "example.com")) for name in ("alice", "bob", "carol"))
FROM_DAVE = Mail(Address("dave", "example.org"))
ONE = Job(FROM_DAVE, (ALICE,), b"one\r\n.\r\n")
TWO = Job(FROM_DAVE, (ALICE, BOB), b"two")
THREE = Job(FROM_DAVE, (ALICE, BOB, CAROL), b"three\n")

GREETING = b"220 mx ESMTP\r\n"
PLAIN_EHLO = b"250 mx\r\n"
PIPELINING = b"250-mx\r\n250-PIPELINING\r\n250 SIZE 1000\r\n"
OK = b"250 2.0.0 ok\r\n"
GO = b"354 go\r\n"
BYE = b"221 bye\r\n"

DELIVERED, TEMPORARY, PERMANENT = Outcome.DELIVERED, Outcome.TEMPORARY, Outcome.PERMANENT
NOT_SENT, UNKNOWN = Outcome.NOT_SENT, Outcome.UNKNOWN

Heard = tuple[bytes, list[tuple[Result, ...]], Closed | None]


def run_client(
    profile: Profile, pieces: Sequence[bytes], jobs: Sequence[Job] = (), secure: bool = False
) -> tuple[ClientShell, bytes]:
    shell = ClientShell(Client(profile, secure), list(jobs))
    said = shell.pump()
    for piece in pieces:
        said += shell.feed(piece)
    return shell, said


def talk(profile: Profile, heard: bytes, *jobs: Job, secure: bool = False) -> tuple[ClientShell, bytes]:
    """What the client says and finds out, the same wherever ``heard`` was cut."""

    def run(pieces: Sequence[bytes]) -> Heard:
        shell, said = run_client(profile, pieces, jobs, secure)
        return said, shell.results, shell.closed

    same_when_split(run, heard, most_cuts=60)
    return run_client(profile, (heard,), jobs, secure)


def outcomes(shell: ClientShell) -> list[list[Outcome]]:
    return [[result.outcome for result in results] for results in shell.results]


# --- messages --------------------------------------------------------------------------


def test_a_message_step_by_step() -> None:
    shell, said = talk(SMTP, GREETING + PLAIN_EHLO + OK * 2 + GO + OK + BYE, ONE)
    assert said == (
        b"EHLO fe1.example.com\r\nMAIL FROM:<dave@example.org>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
        b"one\r\n..\r\n.\r\nQUIT\r\n"
    )
    assert shell.results == [(Result(ALICE, DELIVERED, Reply(250, "2.0.0", "ok")),)]
    assert shell.closed == Closed(Step.QUIT, "", Reply(221, "", "bye"))


def test_step_by_step_waits_for_each_answer() -> None:
    shell, _ = run_client(SMTP, [GREETING], [TWO])
    steps = [shell.client.step]
    for heard, said in (
        (PLAIN_EHLO, b"MAIL FROM:<dave@example.org>\r\n"),
        (OK, b"RCPT TO:<alice@example.com>\r\n"),
        (OK, b"RCPT TO:<bob@example.com>\r\n"),
        (OK, b"DATA\r\n"),
        (GO, b"two\r\n.\r\n"),
        (OK, b"QUIT\r\n"),
    ):
        assert shell.feed(heard) == said
        steps.append(shell.client.step)
    assert steps == [Step.HELLO, Step.MAIL, Step.RCPT, Step.RCPT, Step.DATA, Step.MESSAGE, Step.QUIT]


def test_pipelined_in_one_group() -> None:
    shell, said = run_client(SMTP, [GREETING + PIPELINING], [TWO])
    assert said.endswith(
        b"MAIL FROM:<dave@example.org>\r\n"
        b"RCPT TO:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
    )
    assert shell.feed(OK * 3 + GO) == b"two\r\n.\r\n"
    assert shell.feed(OK) == b"QUIT\r\n"
    assert outcomes(shell) == [[DELIVERED, DELIVERED]]


def test_several_messages() -> None:
    shell, said = talk(SMTP, GREETING + PIPELINING + (OK * 2 + GO + OK) * 3 + BYE, ONE, ONE, ONE)
    assert outcomes(shell) == [[DELIVERED]] * 3
    assert b"RSET" not in said


def test_results_per_recipient() -> None:
    no = b"550 5.1.1 no\r\n"
    later = b"451 4.3.0 later\r\n"
    for hello in (PLAIN_EHLO, PIPELINING):
        shell, said = talk(SMTP, GREETING + hello + OK + no + OK + later + GO + OK + BYE, THREE)
        assert outcomes(shell) == [[PERMANENT, DELIVERED, TEMPORARY]]
        assert said.endswith(b"DATA\r\nthree\r\n.\r\nQUIT\r\n")
        assert shell.results[0][0].reply == Reply(550, "5.1.1", "no")


def test_results_per_recipient_after_the_text_in_lmtp() -> None:
    full = b"452 4.2.2 full\r\n"
    shell, said = talk(LMTP, GREETING + PIPELINING + OK * 4 + GO + OK + full + OK + BYE, THREE)
    assert said.startswith(b"LHLO fe1.example.com\r\n")
    assert outcomes(shell) == [[DELIVERED, TEMPORARY, DELIVERED]]
    no = b"550 no\r\n"
    shell, _ = talk(LMTP, GREETING + PIPELINING + OK + OK + no + OK + GO + full + OK + BYE, THREE)
    assert outcomes(shell) == [[TEMPORARY, PERMANENT, DELIVERED]]


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (b"552 5.3.4 too big\r\n", PERMANENT),
        (b"452 4.3.1 no room\r\n", TEMPORARY),
    ],
)
@pytest.mark.parametrize("profile", [SMTP, LMTP])
def test_the_message_is_refused(answers: bytes, outcome: Outcome, profile: Profile) -> None:
    count = 2 if profile is LMTP else 1
    shell, _ = talk(profile, GREETING + PIPELINING + OK * 3 + GO + answers * count + BYE, TWO)
    assert outcomes(shell) == [[outcome, outcome]]


def test_mail_is_refused() -> None:
    no = b"550 5.7.1 not from you\r\n"
    shell, said = talk(SMTP, GREETING + PLAIN_EHLO + no + OK * 2 + GO + OK + BYE, TWO, ONE)
    assert outcomes(shell) == [[PERMANENT, PERMANENT], [DELIVERED]]
    assert b"RSET" not in said
    shell, said = talk(SMTP, GREETING + PIPELINING + no + b"503 x\r\n" * 3 + OK * 2 + GO + OK + BYE, TWO, ONE)
    assert outcomes(shell) == [[PERMANENT, PERMANENT], [DELIVERED]]
    assert {result.reply for result in shell.results[0]} == {Reply(550, "5.7.1", "not from you")}


def test_all_recipients_are_refused() -> None:
    no = b"550 no\r\n"
    shell, said = talk(SMTP, GREETING + PLAIN_EHLO + OK + no * 2 + OK * 3 + GO + OK + BYE, TWO, ONE)
    assert outcomes(shell) == [[PERMANENT, PERMANENT], [DELIVERED]]
    assert said.count(b"DATA") == 1
    assert b"RCPT TO:<bob@example.com>\r\nRSET\r\nMAIL" in said
    shell, said = talk(
        SMTP, GREETING + PIPELINING + OK + no * 2 + b"503 x\r\n" + OK * 3 + GO + OK + BYE, TWO, ONE
    )
    assert outcomes(shell) == [[PERMANENT, PERMANENT], [DELIVERED]]
    assert b"DATA\r\nRSET\r\nMAIL" in said


def test_a_go_ahead_for_nobody() -> None:
    shell, said = talk(SMTP, GREETING + PIPELINING + OK + b"550 no\r\n" * 2 + GO, TWO)
    assert outcomes(shell) == [[PERMANENT, PERMANENT]]
    assert shell.closed is not None
    assert said.endswith(b"DATA\r\n")


def test_data_is_refused() -> None:
    for hello in (PLAIN_EHLO, PIPELINING):
        heard = GREETING + hello + OK + b"550 no\r\n" + OK + b"451 later\r\n" + OK * 3 + GO + OK + BYE
        shell, said = talk(SMTP, heard, TWO, ONE)
        assert outcomes(shell) == [[PERMANENT, TEMPORARY], [DELIVERED]]
        assert said.count(b"RSET") == 1


def test_rset_is_refused() -> None:
    heard = GREETING + PIPELINING + OK + b"550 no\r\n503 no\r\n" + b"500 what?\r\n"
    shell, _ = talk(SMTP, heard, ONE, ONE)
    assert outcomes(shell) == [[PERMANENT], [NOT_SENT]]
    assert shell.closed == Closed(Step.RSET, "RSET refused", Reply(500, "", "what?"))


def test_parameters() -> None:
    mail = Mail(
        None, MailParameters(size=10, body=Body.EIGHT_BIT, ret=Return.HEADERS, envid="a b", auth="ignored")
    )
    original = OriginalRecipient("rfc822", "a+b@x")
    recipient = Recipient(
        Address("a b", "[192.0.2.1]"), RecipientParameters(frozenset({Notify.FAILURE}), original)
    )
    everything = b"250-mx\r\n250-8bitmime\r\n250-Size\r\n250-DSN\r\n250 SMTPUTF8\r\n"
    _, said = talk(SMTP, GREETING + everything + OK * 2 + GO + OK + BYE, Job(mail, (recipient,)))
    assert (
        b'\r\nMAIL FROM:<> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=a+20b\r\nRCPT TO:<"a b"@[192.0.2.1]>' in said
    )
    assert b" NOTIFY=FAILURE ORCPT=rfc822;a+2Bb@x\r\n" in said
    _, said = talk(SMTP, GREETING + PLAIN_EHLO + OK * 2 + GO + OK + BYE, Job(mail, (recipient,)))
    assert b'\r\nMAIL FROM:<>\r\nRCPT TO:<"a b"@[192.0.2.1]>\r\nDATA\r\n' in said


def test_what_the_other_side_does_not_take_is_not_tried() -> None:
    big = Job(Mail(None, MailParameters(size=1001)), (ALICE, BOB))
    shell, said = talk(SMTP, GREETING + PIPELINING + BYE, big)
    assert outcomes(shell) == [[PERMANENT, PERMANENT]]
    assert said == b"EHLO fe1.example.com\r\nQUIT\r\n"
    foreign = Job(FROM_DAVE, (ALICE, Recipient(Address("käthe", "example.com"))))
    shell, said = talk(SMTP, GREETING + PIPELINING + BYE, foreign)
    assert outcomes(shell) == [[PERMANENT, PERMANENT]]
    assert b"MAIL" not in said
    shell, said = talk(SMTP, GREETING + b"250-mx\r\n250 SMTPUTF8\r\n" + OK * 3 + GO + OK + BYE, foreign)
    assert b"MAIL FROM:<dave@example.org> SMTPUTF8\r\n" in said
    assert "RCPT TO:<käthe@example.com>\r\n".encode() in said


@pytest.mark.parametrize(
    "address", [Address("a\r\nRSET", "x"), Address("a", "x\r\n"), Address("a", "x>\x00")]
)
def test_no_address_ends_a_line(address: Address) -> None:
    client = Client(SMTP)
    client.receive(GREETING + PLAIN_EHLO)
    while not isinstance(client.next_event(), Ready):
        pass
    for mail, recipient in ((Mail(address), ALICE), (FROM_DAVE, Recipient(address))):
        with pytest.raises(ValueError, match="control"):
            client.send(mail, [recipient])
    assert client.step is Step.READY


def test_calls_out_of_turn_are_our_mistakes() -> None:
    client = Client(SMTP)
    calls: list[Callable[[], bytes]] = [
        lambda: client.send(FROM_DAVE, [ALICE]),
        lambda: client.text(b""),
        client.end_of_text,
        client.quit,
        client.starttls_done,
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    client.disconnected()
    while client.next_event() is not None:
        pass
    assert [call() for call in calls[1:]] == [b""] * 4
    with pytest.raises(TypeError):
        calls[0]()


# --- opening ---------------------------------------------------------------------------


def test_capabilities() -> None:
    shell, _ = talk(
        SMTP, GREETING + b"250-mx at your service\r\n250-size 10\r\n250-AUTH PLAIN LOGIN\r\n250 Dsn\r\n"
    )
    assert shell.ready == Ready({"SIZE": "10", "AUTH": "PLAIN LOGIN", "DSN": ""})


def test_helo() -> None:
    _, said = talk(SMTP, GREETING + b"502 what?\r\n250 mx\r\n" + OK * 2 + GO + OK + BYE, ONE)
    assert said.startswith(
        b"EHLO fe1.example.com\r\nHELO fe1.example.com\r\nMAIL FROM:<dave@example.org>\r\n"
    )
    shell, said = talk(LMTP, GREETING + b"500 what?\r\n")
    assert said == b"LHLO fe1.example.com\r\nQUIT\r\n"
    assert shell.closed == Closed(Step.HELLO, "hello refused", Reply(500, "", "what?"))


@pytest.mark.parametrize(
    ("heard", "step"),
    [
        (b"554 no\r\n", Step.GREETING),
        (b"421 busy\r\n", Step.GREETING),
        (b"250 odd\r\n", Step.GREETING),
        (GREETING + b"451 later\r\n", Step.HELLO),
        (GREETING + b"550 no\r\n550 no\r\n", Step.PLAIN_HELLO),
    ],
)
def test_turned_away(heard: bytes, step: Step) -> None:
    shell, said = talk(SMTP, heard)
    assert shell.closed is not None
    assert shell.closed.step is step
    assert shell.closed.reply is not None
    assert said.endswith(b"QUIT\r\n") is (shell.closed.reply.code != 421)
    assert shell.client.step is Step.CLOSED


TLS = b"250-mx\r\n250 STARTTLS\r\n"
READY_FOR_TLS = b"220 go\r\n"


@pytest.mark.parametrize("tls", [Tls.OFFERED, Tls.REQUIRED])
def test_starttls(tls: Tls) -> None:
    shell, said = run_client(
        evolve(SMTP, tls=tls), [GREETING + TLS, READY_FOR_TLS, TLS, OK * 2 + GO + OK + BYE], [ONE]
    )
    assert said.startswith(b"EHLO fe1.example.com\r\nSTARTTLS\r\nEHLO fe1.example.com\r\nMAIL")
    assert shell.client.secure
    assert outcomes(shell) == [[DELIVERED]]


def test_starttls_refused_or_not_offered() -> None:
    refused = b"454 4.7.0 no\r\n"
    for heard in (GREETING + TLS + refused, GREETING + PLAIN_EHLO):
        shell, _ = talk(evolve(SMTP, tls=Tls.OFFERED), heard + OK * 2 + GO + OK + BYE, ONE)
        assert outcomes(shell) == [[DELIVERED]]
        shell, said = talk(evolve(SMTP, tls=Tls.REQUIRED), heard)
        assert shell.closed is not None
        assert "STARTTLS" in shell.closed.reason
        assert b"MAIL" not in said
    shell, said = talk(evolve(SMTP, tls=Tls.NEVER), GREETING + TLS + OK * 2 + GO + OK + BYE, ONE)
    assert b"STARTTLS" not in said


@pytest.mark.parametrize("late", [False, True])
def test_clear_text_behind_starttls(late: bool) -> None:
    """Answers that TLS does not protect are not taken for answers to what it does."""
    client = Client(evolve(SMTP, tls=Tls.REQUIRED))
    injected = b"250-mx\r\n250 AUTH PLAIN\r\n"
    client.receive(GREETING + TLS)
    while client.next_event() is not None:
        pass
    client.receive(READY_FOR_TLS + (b"" if late else injected))
    event = client.next_event()
    if late:
        assert event == StartTLS()
        client.receive(injected)
        assert client.starttls_done() == b""
        event = client.next_event()
    assert isinstance(event, Closed)
    assert event.reason == "clear text behind STARTTLS"


AUTH = b"250-mx\r\n250 AUTH LOGIN PLAIN\r\n"
WITH_LOGIN = evolve(LMTP, login=Login("fe1", b"secret", "alice"))


def test_login() -> None:
    _, said = talk(WITH_LOGIN, GREETING + AUTH + b"235 ok\r\n" + BYE, secure=True)
    message = base64.b64encode(b"alice\0fe1\0secret")
    assert said == b"LHLO fe1.example.com\r\nAUTH PLAIN " + message + b"\r\nQUIT\r\n"
    assert "secret" not in repr(WITH_LOGIN)
    _, said = talk(evolve(WITH_LOGIN, clear_login=True), GREETING + AUTH + b"235 ok\r\n" + BYE)
    assert message in said


@pytest.mark.parametrize(
    ("heard", "secure", "reason"),
    [
        (GREETING + AUTH, False, "no TLS, and so no login"),
        (GREETING + PLAIN_EHLO, True, "AUTH PLAIN is not offered"),
        (GREETING + AUTH + b"535 5.7.8 no\r\n", True, "refused in AUTH"),
        (GREETING + AUTH + b"334 \r\n", True, "refused in AUTH"),
    ],
)
def test_no_login(heard: bytes, secure: bool, reason: str) -> None:
    shell, said = talk(WITH_LOGIN, heard, ONE, secure=secure)
    assert shell.closed is not None
    assert shell.closed.reason == reason
    assert not shell.results
    assert secure or b"AUTH" not in said


def test_xclient() -> None:
    real = XClient("", ip_address("2001:db8::1"), 1234, helo="a b")
    profile = evolve(LMTP, xclient=real)
    offer = b"250-mx\r\n250 XCLIENT ADDR Port HELO TTL\r\n"
    _, said = talk(profile, GREETING + offer + GREETING + offer + BYE)
    assert said == (
        b"LHLO fe1.example.com\r\nXCLIENT ADDR=IPV6:2001:db8::1 PORT=1234 HELO=a+20b\r\n"
        b"LHLO fe1.example.com\r\nQUIT\r\n"
    )
    _, said = talk(profile, GREETING + PIPELINING + BYE)
    assert b"XCLIENT" not in said
    shell, _ = talk(profile, GREETING + offer + b"550 5.7.0 no\r\n")
    assert shell.closed is not None
    assert shell.closed.step is Step.XCLIENT


def test_a_long_xclient_takes_several_commands() -> None:
    profile = evolve(LMTP, xclient=XClient("n" * 255, ip_address("192.0.2.1"), helo="h" * 255))
    offer = b"250-mx\r\n250 XCLIENT NAME ADDR HELO\r\n"
    _, said = talk(profile, GREETING + offer + GREETING * 2 + offer + BYE)
    lines = said.split(b"\r\n")
    assert [line.split(b" ")[0] for line in lines] == [b"LHLO", b"XCLIENT", b"XCLIENT", b"LHLO", b"QUIT", b""]
    assert all(len(line) <= 510 for line in lines)


def test_tls_then_xclient_then_login() -> None:
    profile = evolve(WITH_LOGIN, tls=Tls.REQUIRED, xclient=XClient(address=ip_address("192.0.2.1")))
    tls = b"250-mx\r\n250-STARTTLS\r\n250 XCLIENT ADDR\r\n"
    offer = b"250-mx\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR\r\n"
    pieces = [GREETING + tls, READY_FOR_TLS, offer, GREETING + offer + b"235 ok\r\n" + BYE]
    _, said = run_client(profile, pieces)
    verbs = [line.split(b" ")[0] for line in said.split(b"\r\n")]
    assert verbs == [b"LHLO", b"STARTTLS", b"LHLO", b"XCLIENT", b"LHLO", b"AUTH", b"QUIT", b""]


# --- the other side goes ---------------------------------------------------------------

DIALOGUES = {
    "smtp": (SMTP, GREETING + PIPELINING + OK * 2 + b"550 no\r\n" + OK + GO + OK),
    "step by step": (SMTP, GREETING + PLAIN_EHLO + OK * 2 + b"550 no\r\n" + OK + GO + OK),
    "lmtp": (LMTP, GREETING + PIPELINING + OK * 2 + b"550 no\r\n" + OK + GO + OK * 2),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_disconnected_at_every_octet(name: str) -> None:
    """Certain is only what was said; unknown only what could have been."""
    profile, heard = DIALOGUES[name]
    sent = heard.index(GO) + len(GO)
    first = sent + len(OK)
    for place in range(len(heard)):
        shell, _ = run_client(profile, [heard[:place]], [THREE])
        shell.disconnect()
        assert shell.client.step is Step.CLOSED
        assert shell.closed is not None
        assert shell.closed.reason == "disconnected"
        if place < len(GREETING) + len(PLAIN_EHLO if name == "step by step" else PIPELINING):
            assert not shell.results
            continue
        refused = place >= heard.index(b"550") + len(b"550 no\r\n")
        expected = [NOT_SENT, PERMANENT if refused else NOT_SENT, NOT_SENT]
        if place >= sent:
            expected = [UNKNOWN, PERMANENT, UNKNOWN]
        if place >= first:
            expected = [DELIVERED, PERMANENT, UNKNOWN]  # in LMTP only: there is more to come
        assert outcomes(shell) == [expected], place
        for result in shell.results[0]:
            assert (result.reply is None) is (result.outcome in (NOT_SENT, UNKNOWN))


@pytest.mark.parametrize("name", DIALOGUES)
def test_421_in_every_step(name: str) -> None:
    profile, heard = DIALOGUES[name]
    lines = heard.splitlines(keepends=True)
    starts = [place for place, line in enumerate(lines) if not (place and lines[place - 1][3:4] == b"-")]
    for place in starts:
        talked = b"".join(lines[:place]) + b"421 4.3.2 closing\r\n"
        shell, _ = talk(profile, talked, THREE)
        if shell.closed is None:  # in LMTP, the answers to the others may still come
            assert name == "lmtp"
            shell.disconnect()
        assert shell.closed is not None
        for results in shell.results:
            assert all(result.reply is not None for result in results)
            found = [result.outcome for result in results]
            assert TEMPORARY in found or name == "lmtp"
            assert (UNKNOWN in found) is (
                place > lines.index(GO) and name == "lmtp" and DELIVERED not in found
            )


def test_421_for_each_recipient_in_lmtp() -> None:
    closing = b"421 4.3.2 closing\r\n"
    shell, _ = talk(LMTP, GREETING + PIPELINING + OK * 3 + GO + closing * 2, TWO)
    assert outcomes(shell) == [[TEMPORARY, TEMPORARY]]
    assert shell.closed == Closed(Step.MESSAGE, "closed by the other side", Reply(421, "4.3.2", "closing"))


@pytest.mark.parametrize("name", DIALOGUES)
@pytest.mark.parametrize(
    "nonsense", [b"what?\r\n", b"250-a\r\n550 b\r\n", b"299\x00x\r\n", b"x" * 5000, b"334 \r\n"]
)
def test_nonsense_in_every_step(name: str, nonsense: bytes) -> None:
    profile, heard = DIALOGUES[name]
    lines = heard.splitlines(keepends=True)
    for place, line in enumerate(lines):
        if place and lines[place - 1][3:4] == b"-":
            continue
        shell, _ = run_client(profile, [b"".join(lines[:place]) + nonsense, b""], [THREE])
        shell.feed(line)
        shell.disconnect()
        assert shell.closed is not None
        assert len(shell.results) <= 1
        for results in shell.results:
            assert len(results) == 3


def test_a_refusal_while_the_text_is_sent() -> None:
    for word, outcome in (
        (b"552 5.3.4 too big\r\n", PERMANENT),
        (b"421 closing\r\n", TEMPORARY),
        (OK, NOT_SENT),
    ):
        client = Client(SMTP)
        client.receive(GREETING + PLAIN_EHLO)
        while not isinstance(client.next_event(), Ready):
            pass
        client.send(FROM_DAVE, [ALICE])
        client.receive(OK * 2 + GO)
        while not isinstance(client.next_event(), TextWanted):
            pass
        assert client.text(b"a long ") == b"a long "
        client.receive(word)
        done, closed = client.next_event(), client.next_event()
        assert isinstance(done, Done)
        assert done.results[0].outcome is outcome
        assert isinstance(closed, Closed)
        assert closed.step is Step.TEXT


def test_an_unexpected_word_between_messages() -> None:
    for word in (b"421 idle for too long\r\n", OK):
        client = Client(SMTP)
        client.receive(GREETING + PLAIN_EHLO + word)
        events = list(iter(client.next_event, None))
        assert isinstance(events[-1], Closed)
        assert events[-1].step is Step.READY


def test_a_time_limit_is_a_disconnection() -> None:
    shell, _ = run_client(SMTP, [GREETING])
    shell.client.disconnected("timed out in EHLO")
    shell.pump()
    assert shell.closed == Closed(Step.HELLO, "timed out in EHLO")


def test_a_handshake_that_fails() -> None:
    client = Client(evolve(SMTP, tls=Tls.REQUIRED))
    client.receive(GREETING + TLS)
    while client.next_event() is not None:
        pass
    client.receive(READY_FOR_TLS)
    assert client.next_event() == StartTLS()
    assert client.next_event() is None
    client.disconnected("not the right certificate")
    assert client.next_event() == Closed(Step.HANDSHAKE, "not the right certificate")
    assert client.next_event() is None
