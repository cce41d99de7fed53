"""The server's dialogues: each as a client's whole input, whole and in pieces."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest
from attrs import evolve

from cgnode.proto.lines import Newlines
from cgnode.proto.sasl import PLAIN, Credentials
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.answers import OK
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
from cgnode.proto.smtp.events import (
    Chunk,
    Closed,
    Event,
    Hello,
    MessageAbort,
    MessageBegin,
    MessageEnd,
    StartTLS,
    XClient,
)
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.proto.smtp.states import Limits, Service, State, Verb
from tests.cgnode.proto.smtp.shells import (
    KEYS,
    LMTP,
    SMTP,
    SUBMISSION,
    Answers,
    Message,
    ServerShell,
    serve,
)
from tests.cgnode.proto.splitting import same_when_split
from tests.cgnode.proto.test_sasl import ScramClient

ALICE, BOB = Address("alice", "example.com"), Address("bob", "example.com")
TO_ALICE, TO_BOB = Recipient(ALICE), Recipient(BOB)
MESSAGE = b"Subject: hello\r\n\r\n.dots\r\n..\r\nend\r\n"
STUFFED = b"Subject: hello\r\n\r\n..dots\r\n...\r\nend\r\n.\r\n"
ENVELOPE = b"MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
EHLO = b"EHLO client.example.com\r\n"
LHLO = b"LHLO client.example.com\r\n"
PLAIN_SECRET = b"AUTH PLAIN " + base64.b64encode(b"\0alice\0secret") + b"\r\n"

LIMITS = Limits()

Heard = tuple[bytes, list[Message], list[Event], State]


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def dialogue(
    service: Service,
    data: bytes,
    limits: Limits = LIMITS,
    answers: Answers | None = None,
) -> ServerShell:
    """The end of a dialogue that is the same wherever its input was cut."""

    def run(pieces: Sequence[bytes]) -> Heard:
        shell = serve(service, pieces, limits, answers)
        return shell.said, shell.messages, shell.events, shell.server.state

    same_when_split(run, data, most_cuts=60)
    return serve(service, (data,), limits, answers)


def codes(
    service: Service, data: bytes, limits: Limits = LIMITS, answers: Answers | None = None
) -> list[int]:
    """Of the replies behind the greeting."""
    return dialogue(service, data, limits, answers).codes[1:]


# --- messages --------------------------------------------------------------------------


def test_a_message() -> None:
    shell = dialogue(SMTP, EHLO + ENVELOPE + b"DATA\r\n" + STUFFED + b"QUIT\r\n")
    assert shell.codes == [220, 250, 250, 250, 354, 250, 221]
    assert shell.replies[0] == "220 mx.example.com ESMTP"
    assert shell.messages == [Message(Mail(ALICE), (TO_BOB,), MESSAGE)]
    assert shell.closed == Closed(b"221 2.0.0 good bye\r\n", "")
    assert shell.server.state is State.CLOSED
    assert shell.server.client.hello == "client.example.com"


def test_several_messages_and_the_null_sender() -> None:
    again = b"mail from:<>\r\nrcpt to:<ALICE@example.com>\r\nrcpt to:<bob@example.com>\r\ndata\r\n.\r\n"
    shell = dialogue(SMTP, b"helo x\r\n" + again + again)
    assert shell.codes[2:] == [250, 250, 250, 354, 250] * 2
    assert not shell.server.client.extended
    recipients = (Recipient(Address("ALICE", "example.com")), TO_BOB)
    assert shell.messages == [Message(Mail(None), recipients, b"")] * 2


def test_one_bad_recipient_of_two() -> None:
    shell = dialogue(
        SMTP,
        EHLO
        + b"MAIL FROM:<a@b>\r\nRCPT TO:<nobody@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
        + b"DATA\r\nx\r\n.\r\n",
    )
    assert shell.codes[2:] == [250, 550, 250, 354, 250]
    assert shell.messages[0].recipients == (TO_BOB,)


def test_no_good_recipient() -> None:
    data = EHLO + b"MAIL FROM:<a@b>\r\nRCPT TO:<nobody@example.com>\r\nDATA\r\nRSET\r\n"
    assert codes(SMTP, data) == [250, 250, 550, 503, 250]


def test_a_reply_for_each_recipient_in_lmtp() -> None:
    stored = {"bob@example.com": Reply(452, "4.2.2", "mailbox full")}
    shell = dialogue(
        LMTP,
        LHLO
        + b"MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.com>\r\nRCPT TO:<nobody@example.com>\r\n"
        + b"RCPT TO:<bob@example.com>\r\nDATA\r\n"
        + STUFFED
        + b"QUIT\r\n",
        answers=Answers(stored=stored),
    )
    assert shell.codes == [220, 250, 250, 250, 550, 250, 354, 250, 452, 221]
    assert shell.replies[0] == "220 be1.example.com LMTP"
    assert shell.messages[0].recipients == (TO_ALICE, TO_BOB)


def test_parameters_are_carried() -> None:
    shell = dialogue(
        SMTP,
        EHLO
        + "MAIL FROM:<käthe@example.com> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n".encode()
        + b"RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+40x@example.com\r\n"
        + "RCPT TO:<jürgen@exämple.com>\r\n".encode()
        + b"DATA\r\n.\r\n",
    )
    assert set(shell.codes[2:]) == {250, 354}
    assert shell.messages == [
        Message(
            Mail(
                Address("käthe", "example.com"),
                MailParameters(100, Body.EIGHT_BIT, True, Return.HEADERS, "a+b"),
            ),
            (
                Recipient(
                    BOB,
                    RecipientParameters(
                        frozenset({Notify.SUCCESS, Notify.DELAY}),
                        OriginalRecipient("rfc822", "bob@x@example.com"),
                    ),
                ),
                Recipient(Address("jürgen", "exämple.com")),
            ),
            b"",
        )
    ]


def test_the_shell_refuses() -> None:
    refused = Answers(senders={"alice@example.com": Reply(550, "5.7.1", "not yours")})
    assert codes(SMTP, EHLO + ENVELOPE, answers=refused) == [250, 550, 503]
    full = Answers(begin=Reply(452, "4.3.1", "no room"))
    assert codes(SMTP, EHLO + ENVELOPE + b"DATA\r\n" + ENVELOPE, answers=full) == [
        250,
        250,
        250,
        452,
        250,
        250,
    ]
    assert codes(SMTP, EHLO + EHLO, answers=Answers(hello=Reply(550, "5.7.1", "go away"))) == [550, 550]


def test_421_of_the_shell_is_the_end() -> None:
    bye = Reply(421, "4.3.2", "closing")
    for answers in (
        Answers(hello=bye),
        Answers(senders={"alice@example.com": bye}),
        Answers(recipients={"bob@example.com": bye}),
        Answers(begin=bye),
        Answers(stored={"bob@example.com": bye}),
    ):
        for data in (b"DATA\r\n.\r\n", b"BDAT 3 LAST\r\nab\n"):
            shell = dialogue(SMTP, EHLO + ENVELOPE + data + b"NOOP\r\n", answers=answers)
            assert shell.codes[-1] == 421
            assert shell.codes.count(421) == 1
            assert shell.closed is not None
            assert shell.text is None


# --- turns -----------------------------------------------------------------------------


def waits(server: Server) -> bool:
    return server.backlog


def test_commands_wait_for_the_answer_before() -> None:
    server = Server(SMTP)
    server.receive(EHLO + ENVELOPE + b"DATA\r\n" + STUFFED + b"QUIT\r\n")
    assert server.next_event() == Hello(Verb.EHLO, "client.example.com")
    assert server.next_event() is None
    assert waits(server)
    server.receive(b"")
    assert server.next_event() is None
    assert b"PIPELINING" in server.accept()
    assert server.next_event() == Mail(ALICE)
    assert server.next_event() is None
    assert server.accept(Reply(250, "2.1.0", "fine")) == b"250 2.1.0 fine\r\n"
    assert server.next_event() == TO_BOB
    assert server.next_event() is None
    server.accept(Reply(251, "2.1.5", "forwarded"))
    assert server.next_event() == MessageBegin(Mail(ALICE), (TO_BOB,))
    assert server.next_event() is None
    assert server.accept() == b"354 go ahead\r\n"
    assert not waits(server)
    assert server.next_event() == Chunk(MESSAGE)
    assert server.next_event() == MessageEnd(len(MESSAGE))
    assert server.next_event() is None
    assert waits(server)
    assert server.finish(OK) == b"250 2.0.0 ok\r\n"
    assert isinstance(server.next_event(), Closed)
    assert server.next_event() is None


ANSWERS: list[Callable[[Server], object]] = [
    Server.accept,
    lambda server: server.refuse(OK),
    lambda server: server.finish(OK),
    lambda server: server.authenticated("alice"),
    lambda server: server.keys(KEYS["alice"]),
    Server.starttls_done,
]


def test_answers_to_other_questions_are_our_mistakes() -> None:
    server = Server(SUBMISSION)
    for answer in ANSWERS:
        with pytest.raises(TypeError):
            answer(server)
    server.receive(EHLO + PLAIN_SECRET + ENVELOPE + b"DATA\r\n.\r\n")
    for question, right in (
        (Hello, [0, 1]),
        (Credentials, [1, 3]),
        (Mail, [0, 1]),
        (Recipient, [0, 1]),
        (MessageBegin, [0, 1]),
        (MessageEnd, [2]),
    ):
        assert isinstance(server.next_event(), question)
        for place, answer in enumerate(ANSWERS):
            if place not in right:
                with pytest.raises(TypeError):
                    answer(server)
        with pytest.raises(TypeError):
            server.finish(OK, OK)
        assert server.next_event() is None
        ANSWERS[right[-1] if question is Credentials else right[0]](server)
    assert server.next_event() is None


def test_answers_that_come_too_late_say_nothing() -> None:
    server = Server(SUBMISSION)
    server.receive(EHLO)
    server.next_event()
    server.close()
    for answer in ANSWERS:
        assert not answer(server)
    assert server.state is State.CLOSED


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nBDAT 2\r\nxx", [503, 503, 503, 503]),
        (EHLO + b"RCPT TO:<a@b>\r\nDATA\r\n", [250, 503, 503]),
        (EHLO + b"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n", [250, 250, 503, 503]),
        (EHLO + ENVELOPE + b"STARTTLS\r\nEHLO x\r\nRCPT TO:<a@b>\r\n", [250, 250, 250, 503, 250, 503]),
        (EHLO + ENVELOPE + b"RSET\r\nDATA\r\n", [250, 250, 250, 250, 503]),
        (
            EHLO + ENVELOPE + b"NOOP\r\nVRFY x\r\nHELP\r\nDATA\r\n.\r\n",
            [250, 250, 250, 250, 252, 214, 354, 250],
        ),
        (b"NOOP x\r\nRSET\r\nMAIL FROM:<a@b>\r\n", [250, 250, 503]),
    ],
)
def test_out_of_turn(data: bytes, wanted: list[int]) -> None:
    assert codes(SMTP, data) == wanted


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", 500),
        (b" ", 500),
        (b"XYZZY", 500),
        (b"LHLO x", 500),
        (b"EXPN x", 502),
        (b"ETRN x", 502),
        (b"AUTH PLAIN", 502),
        (b"EHLO", 501),
        (b"EHLO two names", 501),
        (b"EHLO " + b"x" * 256, 501),
        (b"EHLO k\xc3\xa4the", 501),
        (b"EHLO [IPv6:::1]", 250),
        (b"DATA x", 503),
        (b"RSET x", 501),
        (b"QUIT x", 501),
        (b"STARTTLS x", 501),
        (b"NOOP  ", 250),
        (b"noop", 250),
        (b"NO\x00OP", 500),
        (b"NOOP\t", 500),
        (b"\xff\xfe", 500),
        (b"N\xc3\xb6OP", 500),
        (b"NOOP \xff", 500),
        (b"NOOP a\rb", 500),
        (b"NOOP " + b"x" * 2041, 250),
        (b"NOOP " + b"x" * 2042, 500),
        (b"NOOP " + b"x" * 20000, 500),
        (b"MAIL FROM:<a@b> ", 250),
        (b"MAIL FROM: <a@b>", 250),
        (b"MAIL FROM:a@b", 501),
        (b"MAIL FROM:<a@b", 501),
        (b"MAIL FROM:<a@b>x", 501),
        (b"MAIL FROM <a@b>", 501),
        (b"MAIL", 501),
        (b"MAIL TO:<a@b>", 501),
        (b"MAIL FROM:<a b@c>", 501),
        (b"MAIL FROM:<postmaster>", 501),
        (b"MAIL FROM:<k\xc3\xa4the@b>", 553),
        (b"MAIL FROM:<k\xc3\xa4the@b> SMTPUTF8", 250),
        (b"MAIL FROM:<k\xe4the@b> SMTPUTF8", 500),
        (b"MAIL FROM:<a@b> SIZE=10240001", 552),
        (b"MAIL FROM:<a@b> SIZE=99999999999999999999", 552),
        (b"MAIL FROM:<a@b> SIZE=10240000", 250),
        (b"MAIL FROM:<a@b> SIZE=x", 501),
        (b"MAIL FROM:<a@b> FOO=x", 555),
        (b"MAIL FROM:<a@b> AUTH=<>", 555),
        (b"XCLIENT ADDR=192.0.2.1", 550),
        (b"BDAT", 521),
        (b"BDAT x", 521),
        (b"BDAT -1", 521),
        (b"BDAT 1 LAST x", 521),
        (b"BDAT 9999999999999999999", 521),
        (b"BDAT 0", 503),
        (b"GET / HTTP/1.1", 521),
    ],
)
def test_single_lines(line: bytes, code: int) -> None:
    assert codes(SMTP, EHLO + line + b"\r\n")[1] == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"RCPT TO:<>", 501),
        (b"RCPT TO:<postmaster>", 250),
        (b"RCPT TO:<@x,@y:a@b>", 250),
        (b'RCPT TO:<"a b"@[192.0.2.1]>', 250),
        (b"RCPT TO:<a@b> NOTIFY=NEVER", 250),
        (b"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", 501),
        (b"RCPT TO:<a@b> SIZE=1", 555),
        (b"RCPT TO:<k\xc3\xa4the@b>", 553),
        (b"RCPT TO:<a@b\x00>", 500),
        (b"RCPT TO:<alice>", 501),
    ],
)
def test_recipient_lines(line: bytes, code: int) -> None:
    assert codes(SMTP, EHLO + b"MAIL FROM:<>\r\n" + line + b"\r\n")[2] == code


def test_dsn_is_not_offered_in_lmtp() -> None:
    data = LHLO + b"MAIL FROM:<a@b> RET=FULL\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b> NOTIFY=NEVER\r\n"
    shell = dialogue(LMTP, data)
    assert shell.codes[1:] == [250, 555, 250, 555]
    assert "250-DSN" not in shell.replies


def test_helo_and_ehlo_are_not_lmtp() -> None:
    assert codes(LMTP, b"HELO x\r\nEHLO x\r\nLHLO x\r\n") == [500, 500, 250]


def test_line_feeds_alone() -> None:
    data = (EHLO + ENVELOPE).replace(b"\r\n", b"\n")
    assert codes(SMTP, data) == [250, 250, 250]
    refusing = evolve(SMTP, newlines=Newlines.REFUSE)
    assert codes(refusing, data) == []
    assert codes(refusing, data + b"\r\nNOOP\r\n") == [500, 250]


def test_sending_on_before_an_answer_that_has_to_be_awaited() -> None:
    strict = evolve(SMTP, strict_turns=True)
    shell = serve(strict, [EHLO + ENVELOPE])
    assert shell.codes == [220, 554]
    assert shell.closed is not None
    shell = serve(strict, [EHLO, ENVELOPE + b"DATA\r\n", STUFFED + ENVELOPE + b"DATA\r\n", STUFFED])
    assert shell.codes == [220, 250, 250, 250, 354, 250, 250, 250, 354, 250]
    assert serve(strict, [EHLO, ENVELOPE + b"DATA\r\nx"]).codes[-1] == 554


def test_tls_on_the_plain_port() -> None:
    shell = dialogue(SMTP, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n")
    assert shell.closed == Closed(b"", "TLS where none is expected")
    assert codes(SMTP, EHLO + b"\x16\r\n") == [250, 500]


# --- texts and their faults ------------------------------------------------------------


@pytest.mark.parametrize("service", [SMTP, LMTP])
@pytest.mark.parametrize("newlines", Newlines)
@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"])
def test_nothing_is_smuggled(service: Service, newlines: Newlines, end: bytes) -> None:
    hello = LHLO if service is LMTP else EHLO
    inner = b"MAIL FROM:<m@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\ninner\r\n"
    shell = dialogue(
        evolve(service, newlines=newlines),
        hello + ENVELOPE + b"DATA\r\nouter" + end + inner + b".\r\nNOOP\r\n",
    )
    taken = newlines is Newlines.NORMALISE
    assert shell.codes[1:] == [250, 250, 250, 354, 250 if taken else 554, 250]
    assert len(shell.messages) == taken
    assert shell.text is None


def test_long_lines_are_the_messages_fault() -> None:
    limits = Limits(text_line=100)
    text = b"x" * 200 + b"\r\nRSET\r\n" + b"y" * 200 + b"\r\n.\r\n"
    shell = dialogue(SMTP, EHLO + ENVELOPE + b"DATA\r\n" + text + ENVELOPE + b"DATA\r\nok\r\n.\r\n", limits)
    assert shell.codes[1:] == [250, 250, 250, 354, 554, 250, 250, 354, 250]
    assert [message.text for message in shell.messages] == [b"ok\r\n"]
    shell = dialogue(SMTP, EHLO + ENVELOPE + b"BDAT 200 LAST\r\n" + b"x" * 200 + b"NOOP\r\n", limits)
    assert shell.codes[1:] == [250, 250, 250, 554, 250]


def test_big_messages() -> None:
    limits = Limits(message_size=10)
    envelope = b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\n"
    fits, over = b"12345678\r\n.\r\n", b"123456789\r\n" * 50 + b".\r\n"
    shell = dialogue(SMTP, EHLO + envelope + b"DATA\r\n" + over + envelope + b"DATA\r\n" + fits, limits)
    assert shell.codes[1:] == [250, 250, 250, 250, 354, 552, 250, 250, 250, 354, 250]
    shell = dialogue(LMTP, LHLO + envelope + b"DATA\r\n" + over + envelope + b"DATA\r\n" + fits, limits)
    assert shell.codes[1:] == [250, 250, 250, 250, 354, 552, 552, 250, 250, 250, 354, 250, 250]
    assert shell.replies.count("250-SIZE 10") == 1 or "250 SIZE 10" in shell.replies


def test_a_message_that_fails_is_aborted_at_once() -> None:
    server = Server(SMTP, Limits(message_size=10))
    shell = ServerShell(server).begin()
    shell.feed(EHLO + ENVELOPE + b"DATA\r\n" + b"12345\r\n" * 3)
    assert shell.events[-1] == MessageAbort("message too big")
    before = shell.said
    shell.feed(b"more\r\n" * 1000)
    assert (shell.said, shell.events[-1]) == (before, MessageAbort("message too big"))
    shell.feed(b"\r\n.\r\n")
    assert shell.codes[-1] == 552


# --- chunks ----------------------------------------------------------------------------


def test_chunks() -> None:
    data = b"BDAT 7\r\n.\r\n..\r\nNOOP\r\nBDAT 0\r\nBDAT 5 LAST\r\nabc\r\n"
    shell = dialogue(SMTP, EHLO + ENVELOPE + data + b"NOOP\r\n")
    assert shell.codes[1:] == [250, 250, 250, 250, 250, 250, 250, 250]
    assert shell.messages[0].text == b".\r\n..\r\nabc\r\n"


def test_a_chunk_with_commands_in_it() -> None:
    inner = b"QUIT\r\nMAIL FROM:<a@b>\r\n.\r\n"
    data = ENVELOPE + b"bdat %d last\r\n" % len(inner) + inner + b"NOOP\r\n"
    shell = dialogue(SMTP, EHLO + data)
    assert shell.codes[1:] == [250, 250, 250, 250, 250]
    assert shell.messages[0].text == inner


def test_an_empty_message_in_chunks() -> None:
    shell = dialogue(SMTP, EHLO + ENVELOPE + b"BDAT 0 LAST\r\n" + ENVELOPE + b"BDAT 2\r\nx\rBDAT 0 LAST\r\n")
    assert shell.codes[1:] == [250, 250, 250, 250, 250, 250, 250, 250]
    assert [message.text for message in shell.messages] == [b"", b"x "]


def test_chunks_in_lmtp() -> None:
    envelope = b"MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\n"
    shell = dialogue(LMTP, LHLO + envelope + b"BDAT 1\r\nxBDAT 1 LAST\r\ny")
    assert shell.codes[1:] == [250, 250, 250, 250, 250, 250, 250]
    assert shell.messages[0].text == b"xy"
    limits = Limits(message_size=3)
    shell = dialogue(LMTP, LHLO + envelope + b"BDAT 1\r\nxBDAT 3 LAST\r\nyyyNOOP\r\n", limits)
    assert shell.codes[1:] == [250, 250, 250, 250, 250, 552, 552, 250]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"BDAT 2\r\nxxDATA\r\n", [250, 503]),
        (b"BDAT 2\r\nxxMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", [250, 503, 503]),
        (b"BDAT 2\r\nxxRSET\r\nBDAT 2 LAST\r\nxx", [250, 250, 503]),
        (b"BDAT 2\r\nxxEHLO x\r\nNOOP\r\n", [250, 250, 250]),
        (b"BDAT 2\r\nxxQUIT\r\n", [250, 221]),
        (b"BDAT 2\r\nxxSTARTTLS\r\nAUTH PLAIN\r\n", [250, 503, 502]),
        (b"BDAT 2\r\nxxBDAT y\r\n", [250, 521]),
        (b"BDAT 2 LAST\r\nxxBDAT 2 LAST\r\nxxNOOP\r\n", [250, 503, 250]),
    ],
)
def test_chunks_out_of_turn(data: bytes, wanted: list[int]) -> None:
    shell = dialogue(SMTP, EHLO + ENVELOPE + data)
    assert shell.codes[4:] == wanted


def test_octets_of_a_refused_chunk_are_no_commands() -> None:
    inner = b"QUIT\r\n" * 10
    chunk = b"BDAT %d LAST\r\n" % len(inner) + inner
    assert codes(SMTP, chunk + EHLO + chunk + b"NOOP\r\n") == [503, 250, 503, 250]
    full = Answers(begin=Reply(452, "4.3.1", "no room"))
    shell = dialogue(SMTP, EHLO + ENVELOPE + chunk + chunk + ENVELOPE, answers=full)
    assert shell.codes[1:] == [250, 250, 250, 452, 503, 250, 250]
    shell = dialogue(SMTP, EHLO + ENVELOPE + chunk + b"NOOP\r\n", Limits(message_size=20))
    assert shell.codes[1:] == [250, 250, 250, 552, 250]
    assert not any(isinstance(event, MessageBegin | MessageAbort) for event in shell.events)


def test_a_chunk_that_is_too_big_for_what_is_left() -> None:
    data = ENVELOPE + b"BDAT 8\r\n12345678BDAT 3\r\n123BDAT 1 LAST\r\n1" + ENVELOPE
    shell = dialogue(SMTP, EHLO + data, Limits(message_size=10))
    assert shell.codes[1:] == [250, 250, 250, 250, 552, 503, 250, 250]
    assert MessageAbort("message too big") in shell.events
    assert not shell.messages


# --- TLS -------------------------------------------------------------------------------


def test_starttls_forgets_everything() -> None:
    shell = serve(SMTP, [EHLO, b"STARTTLS\r\n", b"MAIL FROM:<a@b>\r\n", EHLO + b"STARTTLS\r\n"])
    assert shell.codes == [220, 250, 220, 503, 250, 503]
    assert shell.said.count(b"STARTTLS") == 1
    assert shell.server.client.secure


def test_what_comes_in_clear_behind_starttls_is_dropped() -> None:
    answers = Answers(tls=False)
    for rest in (b"", b"NOOP\r\n", b"MAIL FROM:<a@b>\r\nQUIT\r\n", b"half a li"):
        server = Server(SMTP)
        shell = ServerShell(server, answers).begin()
        shell.feed(EHLO + b"STARTTLS\r\n" + rest)
        shell.feed(b"EHLO evil\r\n")
        assert shell.codes == [220, 250, 220]
        assert server.state is State.TLS
        assert not server.backlog
        server.starttls_done()
        shell.feed(b"NOOP\r\nMAIL FROM:<a@b>\r\n")
        assert shell.codes[3:] == [250, 503]
        assert server.client.hello == ""


def test_authentication_before_tls_is_forgotten() -> None:
    server = Server(SUBMISSION)
    shell = ServerShell(server).begin()
    shell.feed(EHLO + PLAIN_SECRET + b"STARTTLS\r\n")
    assert shell.codes[-1] == 220
    shell.feed(EHLO + b"MAIL FROM:<alice@example.com>\r\n")
    assert shell.codes[-1] == 530
    assert server.client.identity == ""


def test_tls_may_be_required() -> None:
    service = evolve(SUBMISSION, tls_required=True)
    shell = serve(
        service, [EHLO + PLAIN_SECRET + b"MAIL FROM:<a@b>\r\nVRFY x\r\nSTARTTLS\r\n", EHLO + PLAIN_SECRET]
    )
    assert shell.codes == [220, 250, 538, 530, 530, 220, 250, 235]
    assert [line[4:8] for line in shell.replies].count("AUTH") == 1


def test_starttls_where_there_is_none() -> None:
    assert codes(LMTP, LHLO + b"STARTTLS\r\n") == [250, 502]
    server = Server(SMTP, secure=True)
    shell = ServerShell(server).begin()
    shell.feed(EHLO + b"STARTTLS\r\n")
    assert shell.codes == [220, 250, 503]
    assert b"STARTTLS" not in shell.said


def test_identity_by_certificate() -> None:
    service = evolve(LMTP, start_tls=True, auth_required=True, tls_required=True)
    server = Server(service)
    shell = ServerShell(server, Answers(tls=False)).begin()
    shell.feed(LHLO + b"MAIL FROM:<a@b>\r\nSTARTTLS\r\n")
    server.starttls_done("fe1.example.com", xclient=True)
    shell.feed(LHLO + b"MAIL FROM:<a@b>\r\n")
    assert shell.codes == [220, 250, 530, 220, 250, 250]
    assert "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in shell.replies


# --- authentication --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (b"AUTH PLAIN " + b64(b"\0alice\0secret"), [235]),
        (b"auth plain " + b64(b"\0alice\0secret"), [235]),
        (b"AUTH PLAIN\r\n" + b64(b"\0alice\0secret"), [334, 235]),
        (b"AUTH PLAIN\r\n*\r\nNOOP", [334, 501, 250]),
        (b"AUTH PLAIN =", [501]),
        (b"AUTH PLAIN ???", [501]),
        (b"AUTH PLAIN\r\nNOOP\r\nNOOP", [334, 501, 250]),
        (b"AUTH PLAIN\r\n\r\nNOOP", [334, 501, 250]),
        (b"AUTH PLAIN " + b64(b"\0alice\0wrong"), [535]),
        (b"AUTH LOGIN\r\n" + b64(b"alice") + b"\r\n" + b64(b"secret"), [334, 334, 235]),
        (b"AUTH LOGIN " + b64(b"alice") + b"\r\n" + b64(b"secret"), [334, 235]),
        (b"AUTH LOGIN\r\n" + b64(b"alice") + b"\r\n*", [334, 334, 501]),
        (b"AUTH CRAM-MD5", [504]),
        (b"AUTH", [501]),
        (b"AUTH PLAIN a b", [501]),
        (b"AUTH PLAIN\r\na\rb\r\nNOOP", [334, 501, 250]),
        (PLAIN_SECRET + PLAIN_SECRET[:-2], [235, 503]),
        (ENVELOPE + PLAIN_SECRET + ENVELOPE + PLAIN_SECRET[:-2], [530, 503, 235, 250, 250, 503]),
        (b"VRFY alice", [530]),
    ],
)
def test_authentication(lines: bytes, wanted: list[int]) -> None:
    assert codes(SUBMISSION, EHLO + lines + b"\r\n")[1:] == wanted


def test_capabilities_change_with_authentication() -> None:
    shell = dialogue(SUBMISSION, EHLO + PLAIN_SECRET + EHLO)
    offers = [line for line in shell.replies if "AUTH " in line]
    assert offers == ["250 AUTH PLAIN LOGIN SCRAM-SHA-256"]
    assert shell.server.client.identity == "alice"


def test_lines_of_authentication_may_be_long() -> None:
    long = b64(b"\0alice\0" + b"x" * 9000)
    assert len(long) > 12000
    assert codes(SUBMISSION, EHLO + b"AUTH PLAIN " + long + b"\r\n")[1:] == [535]
    assert codes(SUBMISSION, EHLO + b"AUTH PLAIN\r\n" + long + b"\r\n")[1:] == [334, 535]
    longer = b"x" * 12289
    assert codes(SUBMISSION, EHLO + b"AUTH PLAIN\r\n" + longer + b"\r\nNOOP\r\n")[1:] == [334, 500, 250]
    assert codes(SUBMISSION, EHLO + b"AUTH PLAIN " + longer + b"\r\nNOOP\r\n")[1:] == [500, 250]


def test_scram() -> None:
    client = ScramClient("alice", "secret")
    server_first = b"r=clientnonce%b,s=%b,i=4096" % (b64(b"r" * 18), b64(b"salt" * 4))
    final = b64(client.final(server_first))
    shell = dialogue(
        SUBMISSION, EHLO + b"AUTH SCRAM-SHA-256 " + b64(client.first()) + b"\r\n" + final + b"\r\n\r\n"
    )
    assert shell.codes[2:] == [334, 334, 235]
    assert base64.b64decode(shell.replies[-3][4:]) == server_first
    assert client.verified(base64.b64decode(shell.replies[-2][4:]))
    assert shell.server.client.identity == "alice"
    nobody = b64(ScramClient("nobody", "x").first())
    assert codes(SUBMISSION, EHLO + b"AUTH SCRAM-SHA-256\r\n" + nobody + b"\r\n" + final + b"\r\n")[1:] == [
        334,
        334,
        535,
    ]


def test_a_temporary_failure_is_no_wrong_password() -> None:
    server = Server(SUBMISSION, Limits(auth_failures=1))
    server.receive(EHLO + PLAIN_SECRET)
    assert isinstance(server.next_event(), Hello)
    server.accept()
    assert isinstance(server.next_event(), Credentials)
    assert server.refuse(Reply(454, "4.7.0", "later")) == b"454 4.7.0 later\r\n"
    assert server.state is State.READY
    assert server.next_event() is None


# --- XCLIENT ---------------------------------------------------------------------------


def test_xclient() -> None:
    service = evolve(SMTP, xclient=True)
    shell = dialogue(
        service,
        b"XCLIENT NAME=spike+2Eexample.com ADDR=192.0.2.1 PORT=1234 PROTO=ESMTP\r\n"
        + EHLO
        + b"xclient helo=spike name=[unavailable] addr=IPV6:2001:db8::1 LOGIN=alice"
        + b" DESTADDR=192.0.2.9 DESTPORT=25\r\n"
        + b"MAIL FROM:<>\r\n"
        + EHLO
        + b"MAIL FROM:<>\r\nXCLIENT ADDR=192.0.2.1\r\n",
    )
    assert shell.codes == [220, 220, 250, 220, 503, 250, 250, 503]
    first = XClient("spike.example.com", ip_address("192.0.2.1"), 1234, "ESMTP")
    assert shell.events[0] == first
    assert shell.server.client.proxied == evolve(
        first,
        name="",
        address=ip_address("2001:db8::1"),
        helo="spike",
        login="alice",
        destination=ip_address("192.0.2.9"),
        destination_port=25,
    )


@pytest.mark.parametrize(
    "arguments",
    [b"", b"ADDR", b"ADDR=", b"ADDR=x", b"PORT=70000", b"PORT=x", b"FOO=x", b"NAME=a NAME=b", b"NAME=+1"],
)
def test_malformed_xclient(arguments: bytes) -> None:
    assert codes(evolve(SMTP, xclient=True), b"XCLIENT " + arguments + b"\r\n") == [501]


def test_xclient_forgets_who_logged_in() -> None:
    service = evolve(SUBMISSION, xclient=True)
    shell = dialogue(
        service, EHLO + PLAIN_SECRET + b"XCLIENT ADDR=192.0.2.1\r\n" + EHLO + b"MAIL FROM:<>\r\n"
    )
    assert shell.codes[2:] == [235, 220, 250, 530]


# --- bounds ----------------------------------------------------------------------------


def test_errors() -> None:
    limits = Limits(errors=3)
    shell = dialogue(SMTP, b"X\r\nY\r\nZ\r\n" + EHLO + b"RCPT\r\nNOOP\r\n", limits)
    assert shell.codes[1:] == [500, 500, 500, 250, 503, 421]
    assert shell.closed is not None
    assert shell.closed.reason == "too many errors"
    message = EHLO + ENVELOPE + b"DATA\r\n.\r\n"
    shell = dialogue(SMTP, (b"X\r\nY\r\n" + message) * 3, limits)
    assert shell.closed is None


def test_refused_recipients_are_errors_but_in_lmtp() -> None:
    limits = Limits(errors=3)
    recipients = b"MAIL FROM:<>\r\n" + b"RCPT TO:<nobody@example.com>\r\n" * 5
    assert codes(SMTP, EHLO + recipients, limits) == [250, 250, 550, 550, 550, 550, 421]
    assert codes(LMTP, LHLO + recipients, limits) == [250, 250, 550, 550, 550, 550, 550]
    later = Answers(recipients={"nobody@example.com": Reply(451, "4.3.0", "later")})
    assert codes(SMTP, EHLO + recipients, limits, later) == [250, 250, 451, 451, 451, 451, 451]


def test_failed_authentications() -> None:
    wrong = b"AUTH PLAIN " + b64(b"\0alice\0wrong") + b"\r\n"
    shell = dialogue(SUBMISSION, EHLO + wrong * 5, Limits(auth_failures=3))
    assert shell.codes[2:] == [535, 535, 535, 421]


def test_idle_commands() -> None:
    limits = Limits(idle_commands=3)
    shell = dialogue(SMTP, EHLO + b"NOOP\r\nRSET\r\n" + ENVELOPE + b"DATA\r\n.\r\n" + b"NOOP\r\n" * 5, limits)
    assert shell.codes[-4:] == [250, 250, 250, 421]


def test_recipients() -> None:
    limits = Limits(recipients=2, errors=0)
    recipients = b"MAIL FROM:<>\r\n" + b"RCPT TO:<bob@example.com>\r\n" * 4 + b"DATA\r\n.\r\n"
    shell = dialogue(SMTP, EHLO + recipients, limits)
    assert shell.codes[2:] == [250, 250, 250, 452, 452, 354, 250]
    assert len(shell.messages[0].recipients) == 2


def test_transactions() -> None:
    limits = Limits(transactions=2)
    shell = dialogue(SMTP, EHLO + (ENVELOPE + b"RSET\r\n") * 3, limits)
    assert shell.codes[2:] == [250, 250, 250, 250, 250, 250, 421]


def test_memory_is_bounded_while_an_answer_is_awaited() -> None:
    server = Server(SMTP)
    server.receive(EHLO)
    assert isinstance(server.next_event(), Hello)
    assert not waits(server)
    server.receive(b"N")
    assert waits(server)


# --- the end ---------------------------------------------------------------------------


def test_disconnecting_and_disconnected() -> None:
    for end in (lambda server: server.disconnect(Reply(421, "4.3.2", "closing")), Server.close):
        shell = serve(SMTP, [EHLO + ENVELOPE + b"DATA\r\nhalf a mess"])
        closed = end(shell.server)
        assert closed is None or closed.last_words == b"421 4.3.2 closing\r\n"
        shell.server.receive(b"age\r\n.\r\n")
        assert shell.server.next_event() is None
        assert shell.server.state is State.CLOSED


def test_turning_a_client_away() -> None:
    server = Server(SMTP)
    assert server.disconnect(Reply(554, "5.7.1", "no")).last_words == b"554 5.7.1 no\r\n"
    server.receive(EHLO)
    assert server.next_event() is None


def test_the_end_in_the_middle_of_chunks_aborts() -> None:
    shell = dialogue(SMTP, EHLO + ENVELOPE + b"BDAT 3\r\nabcQUIT\r\n")
    assert shell.events[-2:] == [
        MessageAbort("given up by the client"),
        Closed(b"221 2.0.0 good bye\r\n", ""),
    ]


def test_plain_alone_may_be_offered() -> None:
    shell = serve(evolve(SUBMISSION, mechanisms=(PLAIN,)), [EHLO + b"AUTH LOGIN\r\n"])
    assert "250 AUTH PLAIN" in shell.replies
    assert shell.codes[-1] == 504
    assert StartTLS(b"") not in shell.events
