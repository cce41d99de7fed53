"""A POP3 server's core: log-in, states, maildrop, and what it must survive."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
from attrs import evolve

from cgnode.proto import sasl
from cgnode.proto.pop3 import events
from cgnode.proto.pop3.login import Limits, LoginServer, Settings
from cgnode.proto.pop3.server import Server
from cgnode.proto.pop3.vocabulary import ALLOWED, AUTH, SYSTEM_PERMANENT, SYSTEM_TEMPORARY, State

from .pop3_shell import OPEN, Shell, logged_in
from .splitting import same_when_split

STRICT = Settings(mechanisms=sasl.MECHANISMS, start_tls=True)
PLAIN = base64.b64encode(b"\0alice\0secret")
LETTER = b"Subject: x\r\n\r\none\r\n.two\r\n.\r\nthree\r\n"


def lines(sent: bytes) -> list[bytes]:
    return sent.split(b"\r\n")[:-1]


def conversation(data: bytes, settings: Settings = OPEN, *contents: bytes) -> bytes:
    """What is said to this, which is the same wherever it is cut."""

    def run(pieces: Sequence[bytes]) -> tuple[bytes, object]:
        shell = Shell(contents, settings)
        return shell.feed(*pieces), shell.closed

    return same_when_split(run, data)[0]


def inside(data: bytes, *contents: bytes) -> list[bytes]:
    sent = conversation(b"USER alice\r\nPASS secret\r\n" + data, OPEN, *contents or (LETTER, b"b\r\n"))
    return lines(sent)[2:]


# --- log-in ------------------------------------------------------------------------------


def test_user_and_pass() -> None:
    sent = conversation(b"user alice\r\nPaSS secret\r\nstat\r\n", OPEN, LETTER)
    assert lines(sent) == [b"+OK now the password", b"+OK logged in", b"+OK 1 %d" % len(LETTER)]


def test_blanks_are_of_the_password() -> None:
    core = LoginServer(OPEN)
    core.begin()
    core.receive(b"USER alice\r\nPASS  a b \r\n")
    core.next_event()
    assert core.next_event() == sasl.Credentials("alice", b" a b ")


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"PASS secret", b"-ERR first the name"),
        (b"USER", b"-ERR a name is expected"),
        (b"USER \xff", b"-ERR a name is UTF-8"),
        (b"USER alice\r\nPASS guess", b"-ERR [AUTH] log-in failed"),
        (b"USER alice\r\nPASS", b"-ERR [AUTH] log-in failed"),
        (b"USER busy\r\nPASS x", b"-ERR [IN-USE] another session has it"),
        (b"USER alice\r\nPASS x\r\nPASS secret", b"-ERR first the name"),
        (b"AUTH PLAIN\r\n*", b"-ERR cancelled by the client"),
        (b"AUTH PLAIN !", b"-ERR not a message of the mechanism"),
        (b"AUTH PLAIN a b", b"-ERR the mechanism is not known here"),
        (b"AUTH PLAIN\r\n" + b"A" * 13_000, b"-ERR not a message of the mechanism"),
        (b"AUTH CRAM-MD5", b"-ERR the mechanism is not known here"),
        (b"APOP a b", b"-ERR the command is not known here"),
        (b"STAT", b"-ERR STAT can't come now"),
        (b"XCLIENT ADDR=x", b"-ERR the command is not known here"),
        (b"\xff\xfe", b"-ERR the command is not known here"),
        (b"", b"-ERR the command is not known here"),
        (b"NO\rOP", b"-ERR there is a CR or LF within the line"),
        (b"x" * 13_000, b"-ERR the line is too long"),
    ],
)
def test_log_ins_refused(data: bytes, answer: bytes) -> None:
    sent = conversation(data + b"\r\nQUIT\r\n")
    assert lines(sent)[-2:] == [answer, b"+OK good-bye"]


def test_auth() -> None:
    assert lines(conversation(b"AUTH PLAIN " + PLAIN + b"\r\n")) == [b"+OK logged in"]
    assert lines(conversation(b"AUTH plain\r\n" + PLAIN + b"\r\n")) == [b"+ ", b"+OK logged in"]
    sent = conversation(b"AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\nSTAT\r\n")
    assert lines(sent) == [b"+ VXNlcm5hbWU6", b"+ UGFzc3dvcmQ6", b"+OK logged in", b"+OK 0 0"]
    assert lines(conversation(b"AUTH\r\n")) == [
        b"+OK these are they",
        *(m.encode() for m in OPEN.mechanisms),
        b".",
    ]


def test_scram_until_the_proof() -> None:
    shell = Shell()
    first = base64.b64encode(b"n,,n=alice,r=nonce")
    challenge = shell.feed(b"AUTH SCRAM-SHA-256 " + first + b"\r\n")
    server_first = base64.b64decode(challenge.removeprefix(b"+ "))
    nonce = server_first.split(b",")[0]
    final = b"c=biws," + nonce + b",p=" + base64.b64encode(bytes(32))
    shell.hold = events.ProofFailed
    assert shell.feed(base64.b64encode(final) + b"\r\n") == b""
    assert shell.core.no("log-in failed", AUTH) == b"-ERR [AUTH] log-in failed\r\n"


def test_a_log_in_given_up_after_it_was_accepted() -> None:
    class Closing(sasl.Exchange):
        def accept(self) -> sasl.Challenge | sasl.Succeeded:
            self._closing = True
            return sasl.Challenge(b"last")

    shell = Shell([LETTER])
    shell.hold = sasl.Credentials
    shell.feed(b"AUTH PLAIN\r\n", PLAIN + b"\r\n")
    core = shell.core
    core._exchange = Closing(sasl.PLAIN)
    assert isinstance(core, Server)
    assert core.accept(shell.drops) == b"+ bGFzdA==\r\n"
    assert shell.feed(b"*\r\n") == b"-ERR cancelled by the client\r\n"
    assert shell.seen[-1] == events.LoginDropped()
    assert core.state is State.AUTHORIZATION


def test_no_password_in_clear_text() -> None:
    sent = conversation(b"USER alice\r\nAUTH PLAIN\r\nCAPA\r\n", STRICT)
    assert lines(sent) == [
        b"-ERR passwords need TLS here",
        b"-ERR passwords need TLS here",
        b"+OK these are they",
        b"TOP",
        b"UIDL",
        b"PIPELINING",
        b"RESP-CODES",
        b"AUTH-RESP-CODE",
        b"SASL SCRAM-SHA-256",
        b"STLS",
        b".",
    ]


def test_capabilities_inside() -> None:
    assert inside(b"CAPA\r\n")[1:] == [
        b"TOP",
        b"UIDL",
        b"PIPELINING",
        b"RESP-CODES",
        b"AUTH-RESP-CODE",
        b"IMPLEMENTATION cgnode",
        b"USER",
        b"SASL PLAIN LOGIN SCRAM-SHA-256",
        b".",
    ]


# --- TLS ---------------------------------------------------------------------------------


def test_what_stands_behind_stls_is_never_executed() -> None:
    shell = Shell(settings=STRICT)
    assert shell.feed(b"STLS\r\nUSER alice\r\nPASS secret\r\n") == b"+OK begin TLS now\r\n"
    assert shell.feed(b"PASS secret\r\n") == b"-ERR first the name\r\n"
    assert shell.feed(b"STLS\r\n") == b"-ERR TLS can't be started here\r\n"
    assert b"USER\r\n" in shell.feed(b"CAPA\r\n")


def test_what_was_said_before_tls_is_forgotten() -> None:
    shell = Shell()
    shell.feed(b"USER alice\r\nSTLS\r\n")
    assert shell.feed(b"PASS secret\r\n") == b"-ERR first the name\r\n"


def test_what_comes_before_the_handshake_is_dropped() -> None:
    core = LoginServer(STRICT)
    core.begin()
    core.receive(b"STLS\r\nQU")
    assert isinstance(core.next_event(), events.StartTLS)
    core.receive(b"IT\r\n")
    core.tls_started()
    assert core.next_event() is None
    core.receive(b"AUTH X\r\n")
    assert core.next_event() == b"-ERR the mechanism is not known here\r\n"


def test_a_tls_client_on_a_plain_port_gets_no_words() -> None:
    shell = Shell()
    assert shell.feed(b"\x16\x03\x01") == b""
    assert shell.closed == events.Closed(b"", "TLS where none is expected")


# --- proxies -----------------------------------------------------------------------------


def test_xclient() -> None:
    shell = Shell(trusted=True)
    assert shell.sent == b"+OK [XCLIENT] POP3 server ready\r\n"
    assert shell.feed(b"XCLIENT ADDR=192.0.2.1 port=5 SESSION=a=b\r\nXCLIENT x\r\n") == (
        b"+OK\r\n-ERR NAME=value is expected\r\n"
    )
    assert shell.seen == [events.Forwarded((("ADDR", "192.0.2.1"), ("PORT", "5"), ("SESSION", "a=b")))]


def frontend(pieces: Sequence[bytes]) -> tuple[bytes, bytes, bool]:
    shell = Shell(core=LoginServer(OPEN))
    sent = shell.feed(*pieces)
    return sent, shell.core.unread(), shell.joined


def test_a_frontend_gives_back_what_is_for_the_backend() -> None:
    outcome = same_when_split(frontend, b"USER alice\r\nPASS secret\r\nSTAT\r\nRE")
    assert outcome == (b"+OK now the password\r\n+OK logged in\r\n", b"STAT\r\nRE", True)


def test_a_frontend_says_that_the_backend_is_away() -> None:
    core = LoginServer(OPEN)
    core.begin()
    core.receive(b"USER alice\r\nPASS x\r\n" * 20)
    for _ in range(20):
        core.next_event()
        core.next_event()
        assert core.no("try later", SYSTEM_TEMPORARY) == b"-ERR [SYS/TEMP] try later\r\n"


# --- the maildrop ------------------------------------------------------------------------


def test_listings() -> None:
    size = len(LETTER)
    assert inside(b"STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 1\r\nNOOP\r\n") == [
        b"+OK 2 %d" % (size + 3),
        b"+OK 2 messages (%d octets)" % (size + 3),
        b"1 %d" % size,
        b"2 3",
        b".",
        b"+OK 2 3",
        b"+OK 2 messages (%d octets)" % (size + 3),
        b"1 uid1",
        b"2 uid2",
        b".",
        b"+OK 1 uid1",
        b"+OK",
    ]


def test_deleting() -> None:
    assert inside(b"DELE 1\r\nDELE 1\r\nRETR 1\r\nLIST 1\r\nSTAT\r\nUIDL\r\nRSET\r\nSTAT\r\n") == [
        b"+OK message 1 is marked",
        b"-ERR the message is marked as deleted",
        b"-ERR the message is marked as deleted",
        b"-ERR the message is marked as deleted",
        b"+OK 1 3",
        b"+OK 1 messages (3 octets)",
        b"2 uid2",
        b".",
        b"+OK",
        b"+OK 2 %d" % (len(LETTER) + 3),
    ]


@pytest.mark.parametrize("argument", [b"", b"0", b"3", b"-1", b"x", b"1 2", b"99999999999", b"\xb2"])
def test_messages_that_there_are_not(argument: bytes) -> None:
    for command in (b"RETR", b"DELE"):
        (answer,) = inside(command + b" " + argument + b"\r\n")
        assert answer in (b"-ERR there is no such message", b"-ERR a number is expected")


def test_update() -> None:
    shell = logged_in(LETTER, b"x\r\n", b"y\r\n")
    assert shell.feed(b"DELE 3\r\nDELE 1\r\nRETR 2\r\nTOP 2 0\r\nQUIT\r\nNOOP\r\n").endswith(
        b"+OK good-bye\r\n"
    )
    assert shell.seen[-2:] == [events.Update((0, 2), (1,)), events.Closed(b"", "")]


def test_an_update_that_fails_ends_all_the_same() -> None:
    shell = logged_in(LETTER)
    shell.hold = events.Update
    shell.feed(b"DELE 1\r\nQUIT\r\n")
    assert shell.core.no("not all are removed") == b"-ERR [SYS/TEMP] not all are removed\r\n"
    shell.run()
    assert shell.closed is not None


def test_a_message_that_can_not_be_read() -> None:
    shell = logged_in(LETTER)
    shell.hold = events.Retrieve
    shell.feed(b"RETR 1\r\nSTAT\r\n")
    assert shell.core.no("it is gone", SYSTEM_PERMANENT) == b"-ERR [SYS/PERM] it is gone\r\n"
    assert shell.core.next_event() == b"+OK 1 %d\r\n" % len(LETTER)


# --- messages on their way out -----------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 65536])
@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (LETTER, b"Subject: x\r\n\r\none\r\n..two\r\n..\r\nthree\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"", b".\r\n"),
        (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
        (b"no end", b"no end\r\n.\r\n"),
        (b"...\r\n", b"....\r\n.\r\n"),
        (b"bare\n.\nline feeds", b"bare\r\n..\r\nline feeds\r\n.\r\n"),
    ],
)
def test_dots_do_not_depend_on_where_pieces_end(content: bytes, sent: bytes, piece: int) -> None:
    shell = logged_in(content, piece=piece)
    assert shell.feed(b"RETR 1\r\n") == b"+OK the message follows\r\n" + sent


@pytest.mark.parametrize("piece", [1, 2, 3, 65536])
@pytest.mark.parametrize(
    ("count", "sent"),
    [
        (0, b"Subject: x\r\n\r\n"),
        (1, b"Subject: x\r\n\r\none\r\n"),
        (3, b"Subject: x\r\n\r\none\r\n..two\r\n..\r\n"),
        (99, b"Subject: x\r\n\r\none\r\n..two\r\n..\r\nthree\r\n"),
    ],
)
def test_top(count: int, sent: bytes, piece: int) -> None:
    shell = logged_in(LETTER, piece=piece)
    assert shell.feed(b"TOP 1 %d\r\n" % count) == b"+OK the message follows\r\n" + sent + b".\r\n"
    assert isinstance(shell.core, Server)
    assert not shell.core.enough


@pytest.mark.parametrize("content", [b"", b"A: b", b"A: b\r\n", b"\r\n", b"\n\nx\n"])
def test_top_of_odd_messages(content: bytes) -> None:
    shell = logged_in(content, piece=1)
    assert shell.feed(b"TOP 1 5\r\n").endswith(b".\r\n")
    assert shell.feed(b"NOOP\r\n") == b"+OK\r\n"


def test_top_needs_both_numbers() -> None:
    assert inside(b"TOP 1\r\nTOP 1 x\r\nTOP 3 1\r\n") == [
        b"-ERR a number is expected",
        b"-ERR a number is expected",
        b"-ERR there is no such message",
    ]


def test_what_is_not_wanted_is_not_read() -> None:
    shell = logged_in(b"A: b\r\n\r\n" + b"x\r\n" * 100_000, piece=100)
    shell.hold = events.Retrieve
    shell.feed(b"TOP 1 2\r\n")
    core = shell.core
    assert isinstance(core, Server)
    core.content(b"A: b\r\n\r\nx\r\n")
    too_early = core.enough
    assert core.content(b"x\r\nx\r\nx\r\n") == b"x\r\n"
    assert (too_early, core.enough) == (False, True)
    assert core.content_end() == b".\r\n"


# --- turns, states and bounds ------------------------------------------------------------


@pytest.mark.parametrize("state", [State.AUTHORIZATION, State.TRANSACTION])
@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_the_table_of_states(name: str, state: State) -> None:
    shell = logged_in(LETTER) if state is State.TRANSACTION else Shell(trusted=True)
    arguments = {"USER": b" alice", "XCLIENT": b" A=b", "TOP": b" 1 1", "RETR": b" 1", "DELE": b" 1"}
    sent = shell.feed(name.encode() + arguments.get(name, b"") + b"\r\n")
    assert sent.startswith(b"-ERR %b can't come now" % name.encode()) is (state not in ALLOWED[name])


def test_commands_wait_for_log_in() -> None:
    shell = Shell([LETTER])
    shell.hold = sasl.Credentials
    shell.feed(b"USER alice\r\nPASS secret\r\nSTAT\r\n")
    assert lines(shell.sent)[1:] == [b"+OK now the password"]
    waiting = shell.core.backlog
    shell.answer(shell.held[0])
    shell.run()
    assert (waiting, shell.core.backlog) == (True, False)
    assert lines(shell.sent)[2:] == [b"+OK logged in", b"+OK 1 %d" % len(LETTER)]


def test_too_many_bad_commands() -> None:
    shell = Shell(settings=evolve(OPEN, limits=Limits(bad_commands=2)))
    assert shell.feed(b"X\r\n" * 10).count(b"-ERR") == 3
    assert shell.closed == events.Closed(b"", "too many bad commands")


@pytest.mark.parametrize("attempt", [b"AUTH PLAIN !\r\n", b"AUTH PLAIN\r\n!\r\n", b"PASS x\r\n"])
def test_too_many_attempts_that_are_none(attempt: bytes) -> None:
    shell = Shell(settings=evolve(OPEN, limits=Limits(bad_commands=5)))
    assert shell.feed(attempt * 20).count(b"-ERR") == 6
    assert shell.closed is not None


def test_too_many_failed_log_ins() -> None:
    shell = Shell(settings=evolve(OPEN, limits=Limits(failed_logins=2)))
    sent = shell.feed(b"USER alice\r\nPASS x\r\n" * 5)
    assert sent.count(b"[AUTH]") == 2
    assert shell.closed is not None


def test_good_bye_from_this_side() -> None:
    shell = logged_in(LETTER)
    assert shell.core.disconnect("the maildrop moves") == events.Closed(b"", "the maildrop moves")
    assert shell.feed(b"STAT\r\n") == b""
    waiting = Shell()
    waiting.hold = sasl.Credentials
    waiting.feed(b"USER alice\r\nPASS secret\r\n")
    closed = waiting.core.disconnect("it takes too long\r\n+OK", SYSTEM_TEMPORARY)
    assert closed.last_words == b"-ERR [SYS/TEMP] it takes too long +OK\r\n"


def test_good_bye_amid_a_message() -> None:
    shell = logged_in(LETTER)
    shell.hold = events.Retrieve
    shell.feed(b"RETR 1\r\n")
    assert isinstance(shell.core, Server)
    shell.core.content(b"abc")
    assert shell.core.disconnect("it can't be read", SYSTEM_TEMPORARY).last_words == b""
