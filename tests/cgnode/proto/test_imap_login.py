"""A server until log-in: what is advertised when, STARTTLS, LOGIN, AUTHENTICATE, the
states, the turns, the bounds, and a frontend's joining."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import pytest
from attrs import evolve

from cgnode.proto import sasl
from cgnode.proto.imap import codes, events
from cgnode.proto.imap.dialogue import Limits
from cgnode.proto.imap.login import LoginServer, Settings
from cgnode.proto.imap.parse import NAMES
from cgnode.proto.imap.server import CAPABILITIES, Server
from cgnode.proto.imap.states import ALLOWED, State

from .imap_shell import KEYS, OPEN, Shell, Store, lines, logged_in, tagged
from .splitting import same_when_split

ALL = (sasl.PLAIN, sasl.LOGIN, sasl.SCRAM_SHA_256)
STRICT = Settings(mechanisms=ALL, start_tls=True)
PLAIN = base64.b64encode(b"\0alice\0secret")


def conversation(data: bytes, settings: Settings = OPEN) -> bytes:
    """What is said to this, which is the same wherever it is cut."""

    def run(pieces: Sequence[bytes]) -> tuple[bytes, object]:
        shell = Shell(Store(), settings)
        return shell.feed(*pieces), shell.closed

    return same_when_split(run, data)[0]


# --- what is advertised ------------------------------------------------------------------


def test_capabilities_before_log_in() -> None:
    shell = Shell(settings=STRICT)
    assert shell.sent == (
        b"* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS AUTH=SCRAM-SHA-256 LOGINDISABLED]"
        b" IMAP server ready\r\n"
    )
    sent = shell.feed(b"a STARTTLS\r\n", b"b CAPABILITY\r\n")
    assert b"* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256\r\n" in sent


def test_capabilities_after_log_in_are_in_the_tagged_ok() -> None:
    shell = Shell()
    answer = tagged(shell.feed(b"a LOGIN alice secret\r\n"))
    names = answer.removeprefix(b"OK [CAPABILITY ").partition(b"]")[0].decode().split()
    assert set(names) == {*CAPABILITIES, "APPENDLIMIT=67108864"}
    assert lines(shell.feed(b"a CAPABILITY\r\n"))[0] == b"* CAPABILITY " + " ".join(names).encode()


def test_capabilities_can_be_others() -> None:
    core = LoginServer(STRICT, secure=True)
    core.begin()
    core.receive(b"a LOGIN u p\r\n")
    assert core.next_event() == sasl.Credentials("u", b"p")
    assert core.accept(("IMAP4rev1", "X-BACKEND")) == b"a OK [CAPABILITY IMAP4rev1 X-BACKEND] logged in\r\n"
    assert core.next_event() == events.Joined()


# --- in every state ----------------------------------------------------------------------


@pytest.mark.parametrize("state", ["before", "after", "inside"])
def test_what_is_answered_in_every_state(state: str) -> None:
    shell = Shell() if state == "before" else logged_in(select="INBOX" if state == "inside" else "")
    for command in (b"CAPABILITY", b"NOOP", b"ID NIL", b'ID ("Name" "x" "empty" NIL)'):
        assert tagged(shell.feed(b"a %b\r\n" % command)).startswith(b"OK ")
    assert shell.seen[-1] == events.Identified(((b"name", b"x"),))
    assert b'* ID ("name" "cgnode")\r\n' in shell.sent
    sent = shell.feed(b"a LOGOUT\r\nb NOOP\r\n")
    assert sent == b"* BYE good-bye\r\na OK logged out\r\n"
    assert shell.closed == events.Closed(sent, "")
    assert shell.feed(b"b NOOP\r\n") == b""


ARGUMENTS = {
    "ID": b" NIL",
    "AUTHENTICATE": b" PLAIN " + PLAIN,
    "LOGIN": b" alice secret",
    "ENABLE": b" CONDSTORE",
    "APPEND": b" INBOX {1+}\r\nx",
    "LIST": b' "" *',
    "LSUB": b' "" *',
    "RENAME": b" Sent B",
    "STATUS": b" INBOX (MESSAGES)",
    "GETQUOTA": b' ""',
    "IDLE": b"\r\nDONE",
    "COPY": b" * Sent",
    "MOVE": b" * Sent",
    "FETCH": b" * FLAGS",
    "STORE": b" * FLAGS ()",
    "SEARCH": b" ALL",
    "UID COPY": b" * Sent",
    "UID MOVE": b" * Sent",
    "UID FETCH": b" * FLAGS",
    "UID STORE": b" * FLAGS ()",
    "UID SEARCH": b" ALL",
    "UID EXPUNGE": b" *",
    "CREATE": b" New",
} | dict.fromkeys(("DELETE", "EXAMINE", "GETQUOTAROOT", "SELECT", "SUBSCRIBE", "UNSUBSCRIBE"), b" Sent")


def test_the_table_has_every_command() -> None:
    assert set(ALLOWED) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("state", [State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED])
def test_the_table_of_states(name: str, state: State) -> None:
    if state is State.NOT_AUTHENTICATED:
        shell = Shell()
    else:
        shell = logged_in(select="INBOX" if state is State.SELECTED else "")
    assert shell.core.state is state
    sent = shell.feed(b"a %b%b\r\n" % (name.encode(), ARGUMENTS.get(name, b"")))
    assert tagged(sent).startswith(b"OK " if state in ALLOWED[name] else b"BAD ")


# --- STARTTLS ----------------------------------------------------------------------------


def test_what_stands_behind_starttls_is_never_executed() -> None:
    shell = Shell()
    sent = shell.feed(b"a STARTTLS\r\nb LOGIN alice secret\r\nc NOOP\r\n")
    assert sent == b"a OK begin TLS now\r\n"
    assert shell.tls == 1
    assert shell.core.state is State.NOT_AUTHENTICATED
    assert shell.feed(b"d NOOP\r\n") == b"d OK nothing done\r\n"


@pytest.mark.parametrize("rest", [b"b LOGIN alice secret\r\n", b"b NO", b"b LOGIN {5+}\r\nali"])
def test_what_comes_before_the_handshake_is_dropped_too(rest: bytes) -> None:
    core = Server(STRICT)
    core.begin()
    core.receive(b"a STARTTLS\r\n" + rest)
    assert isinstance(core.next_event(), events.StartTLS)
    core.receive(rest)
    assert core.next_event() is None
    core.tls_started()
    core.receive(b"c NOOP\r\n")
    assert core.next_event() == b"c OK nothing done\r\n"


def test_starttls_once_and_only_where_it_is_offered() -> None:
    shell = Shell()
    shell.feed(b"a STARTTLS\r\n")
    assert tagged(shell.feed(b"a STARTTLS\r\n")).startswith(b"BAD")
    assert tagged(Shell(settings=Settings()).feed(b"a STARTTLS\r\n")).startswith(b"BAD")


def test_bad_commands_before_tls_are_forgotten() -> None:
    shell = Shell(settings=evolve(STRICT, limits=Limits(bad_commands=2)))
    shell.feed(b"a X\r\na X\r\na STARTTLS\r\n", b"a X\r\na X\r\n")
    assert shell.closed is None


def test_a_tls_client_on_a_plain_port_gets_no_words() -> None:
    shell = Shell()
    assert shell.feed(b"\x16\x03\x01\x02") == b""
    assert shell.closed == events.Closed(b"", "TLS where none is expected")


# --- passwords ---------------------------------------------------------------------------


def test_no_password_in_clear_text_nor_is_it_asked_for() -> None:
    sent = conversation(b"a LOGIN {5}\r\nb LOGIN x y\r\nc AUTHENTICATE PLAIN\r\n", STRICT)
    assert sent == b"".join(
        b"%b NO [PRIVACYREQUIRED] passwords need TLS here\r\n" % tag for tag in (b"a", b"b", b"c")
    )


def test_login() -> None:
    sent = conversation(b'a LOGIN "alice" {6}\r\nsecret\r\nb CHECK\r\n')
    assert lines(sent)[0] == b"+ OK"
    assert tagged(sent).startswith(b"OK [CAPABILITY ")
    assert tagged(sent, b"b").startswith(b"BAD ")


@pytest.mark.parametrize(
    "arguments", [b"alice guess", b'alice ""', b'"" x', b'"\xff" x', b"bob secret", b"a {1+}\r\n\0"]
)
def test_login_refused(arguments: bytes) -> None:
    sent = conversation(b"a LOGIN %b\r\n" % arguments)
    assert sent == b"a NO [AUTHENTICATIONFAILED] log-in failed\r\n"


def test_authenticate_plain() -> None:
    with_challenge = conversation(b"a AUTHENTICATE PLAIN\r\n" + PLAIN + b"\r\n")
    assert lines(with_challenge)[0] == b"+ "
    at_once = conversation(b"a AUTHENTICATE plain " + PLAIN + b"\r\n")
    assert with_challenge == b"+ \r\n" + at_once
    assert tagged(at_once).startswith(b"OK ")


def test_authenticate_login() -> None:
    sent = conversation(b"a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n")
    assert lines(sent)[:2] == [b"+ VXNlcm5hbWU6", b"+ UGFzc3dvcmQ6"]
    assert tagged(sent).startswith(b"OK ")


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"PLAIN\r\n*", b"BAD cancelled by the client"),
        (b"LOGIN\r\nYWxpY2U=\r\n*", b"BAD cancelled by the client"),
        (b"PLAIN\r\n!!", b"BAD not a message of the mechanism"),
        (b"PLAIN =", b"BAD not a message of the mechanism"),
        (b"PLAIN " + base64.b64encode(b"x\0y"), b"BAD not a message of the mechanism"),
        (b"PLAIN\r\n" + b"A" * 13_000, b"BAD not a message of the mechanism"),
        (b"PLAIN " + base64.b64encode(b"\0alice\0guess"), b"NO [AUTHENTICATIONFAILED] log-in failed"),
        (b"CRAM-MD5", b"NO the mechanism is not known here"),
    ],
)
def test_authenticate_refused(data: bytes, answer: bytes) -> None:
    sent = conversation(b"a AUTHENTICATE " + data + b"\r\nb NOOP\r\n")
    assert tagged(sent) == answer
    assert tagged(sent, b"b") == b"OK nothing done"


def test_sasl_lines_of_12_kib() -> None:
    password = b"x" * 9000
    core = LoginServer(STRICT, secure=True)
    core.begin()
    core.receive(b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0u\0" + password) + b"\r\n")
    assert core.next_event() == sasl.Credentials("u", password)


# --- SCRAM -------------------------------------------------------------------------------


def scram_final(first_bare: bytes, server_first: bytes, right: bool) -> bytes:
    nonce = server_first.split(b",")[0][2:]
    unproven = b"c=biws,r=" + nonce
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", KEYS.salt, KEYS.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signed = b",".join((first_bare, server_first, unproven))
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return unproven + b",p=" + base64.b64encode(proof if right else bytes(32))


def scram(shell: Shell, right: bool = True) -> bytes:
    """What is said to a client's proof."""
    bare = b"n=alice,r=nonce"
    challenge = shell.feed(b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(b"n,," + bare) + b"\r\n")
    server_first = base64.b64decode(lines(challenge)[-1].removeprefix(b"+ "))
    return shell.feed(base64.b64encode(scram_final(bare, server_first, right)) + b"\r\n")


def test_scram() -> None:
    shell = Shell(settings=STRICT)
    sent = scram(shell)
    assert base64.b64decode(sent.removeprefix(b"+ ")).startswith(b"v=")
    assert tagged(shell.feed(b"\r\n")).startswith(b"OK [CAPABILITY ")
    assert shell.seen == [sasl.KeysWanted("alice"), sasl.Proven("alice"), events.LoggedIn()]


def test_scram_with_a_wrong_proof() -> None:
    shell = Shell(settings=STRICT)
    shell.hold = events.ProofFailed
    assert scram(shell, right=False) == b""
    assert shell.held == [events.ProofFailed("alice")]
    assert shell.feed(b"b NOOP\r\n") == b""
    shell.sent = shell.core.no("log-in failed", codes.AUTHENTICATION_FAILED)
    shell.run()
    assert lines(shell.sent) == [b"a NO [AUTHENTICATIONFAILED] log-in failed", b"b OK nothing done"]


def test_scram_given_up_at_the_end() -> None:
    shell = Shell(settings=STRICT)
    scram(shell)
    assert tagged(shell.feed(b"*\r\n")) == b"BAD cancelled by the client"
    assert shell.seen[-1] == events.LoginDropped()
    assert shell.core.state is State.NOT_AUTHENTICATED


def test_scram_with_channel_binding() -> None:
    first = base64.b64encode(b"p=tls-unique,,n=alice,r=x")
    sent = conversation(b"a AUTHENTICATE SCRAM-SHA-256 " + first + b"\r\n", STRICT)
    assert tagged(sent) == b"NO [CANNOT] the client wants what is not offered"


# --- joining -----------------------------------------------------------------------------


def frontend(*pieces: bytes) -> tuple[bytes, bytes, bool]:
    shell = Shell(core=LoginServer(Settings(("IMAP4rev1", "IDLE"), clear_text=True)))
    sent = shell.feed(*pieces)
    assert isinstance(shell.core, LoginServer)
    return sent, shell.core.unread(), shell.joined


def test_a_frontend_gives_back_what_is_for_the_backend() -> None:
    data = b"a ID NIL\r\nb LOGIN alice {6+}\r\nsecret\r\nc SELECT INBOX\r\nd FETCH 1 {3+}\r\nx"
    sent, unread, joined = same_when_split(lambda pieces: frontend(*pieces), data)
    assert joined
    assert unread == b"c SELECT INBOX\r\nd FETCH 1 {3+}\r\nx"
    assert tagged(sent, b"b") == b"OK [CAPABILITY IMAP4rev1 IDLE] logged in"


def test_a_frontend_says_that_the_backend_is_away() -> None:
    core = LoginServer(STRICT, secure=True)
    core.begin()
    for _ in range(30):
        core.receive(b"a LOGIN u p\r\n")
        core.next_event()
        assert core.no("try later", codes.UNAVAILABLE) == b"a NO [UNAVAILABLE] try later\r\n"
        assert core.next_event() is None  # it is not the client's fault


# --- turns and bounds --------------------------------------------------------------------


def test_commands_wait_for_log_in() -> None:
    shell = Shell()
    shell.hold = sasl.Credentials
    assert shell.feed(b"a LOGIN alice secret\r\nb SELECT INBOX\r\n") == b""
    waiting = shell.core.backlog
    shell.feed(b"c NOOP\r\n")
    shell.hold = None
    shell.answer(shell.held[0])
    shell.run()
    assert (waiting, shell.core.backlog) == (True, False)
    assert [line[:1] for line in lines(shell.sent)[-2:]] == [b"b", b"c"]
    assert tagged(shell.sent, b"b").startswith(b"OK [READ-WRITE]")


def test_a_partial_command_is_no_backlog() -> None:
    shell = logged_in()
    shell.feed(b"a CREATE {100000}\r\n" + b"x" * 90_000)
    assert not shell.core.backlog


def test_too_many_bad_commands() -> None:
    shell = Shell(settings=Settings(limits=Limits(bad_commands=3)))
    sent = shell.feed(b"a X\r\n\r\nb Y\r\nc NOOP\r\n" + b"d X\r\n" * 5)
    assert lines(sent)[-2:] == [b"d BAD the command is not known here", b"* BYE too many bad commands"]
    assert sent.count(b"d BAD") == 4
    assert shell.closed is not None


@pytest.mark.parametrize("attempt", [b"a AUTHENTICATE PLAIN =\r\n", b"a AUTHENTICATE PLAIN\r\n*\r\n"])
def test_too_many_attempts_that_are_none(attempt: bytes) -> None:
    shell = Shell(settings=evolve(OPEN, limits=Limits(bad_commands=5)))
    assert shell.feed(attempt * 20).count(b"a BAD") == 6
    assert shell.closed is not None


def test_too_many_failed_log_ins() -> None:
    shell = Shell(settings=Settings(clear_text=True, limits=Limits(failed_logins=2)))
    sent = shell.feed(b"a LOGIN alice x\r\nb LOGIN alice y\r\nc LOGIN alice secret\r\n")
    assert lines(sent)[2:] == [b"* BYE too many failed log-ins"]


@pytest.mark.parametrize("literal", [b"{20000}", b"{20000+}"])
def test_literals_before_log_in_are_small(literal: bytes) -> None:
    shell = Shell()
    sent = shell.feed(b"a LOGIN " + literal + b"\r\n")
    assert sent == b"a BAD [TOOBIG] a command may have 16384 octets\r\n"


def test_literals_are_asked_for_only_where_they_can_be() -> None:
    for command in (b"SELECT ", b"NOSUCH ", b"LOGIN", b'LOGIN "', b"LOGIN alice"):
        sent = Shell().feed(b"a " + command + b"{3}\r\n")
        assert tagged(sent).startswith(b"BAD ")
        assert b"+" not in sent


def test_too_large_a_literal_that_comes_all_the_same() -> None:
    shell = Shell(settings=Settings(limits=Limits(skipped=1000)))
    sent = shell.feed(b"a LOGIN {1001+}\r\n")
    assert sent == b"* BYE [TOOBIG] that is more than would be read\r\n"


def test_too_many_literals() -> None:
    shell = Shell()
    sent = shell.feed(b"a LOGIN {0+}\r\n" + b" {0+}\r\n" * 300 + b"\r\nb NOOP\r\n")
    assert b"a BAD [LIMIT] a command may have 256 literals\r\n" in sent
    assert tagged(sent, b"b") == b"OK nothing done"


def test_command_lines() -> None:
    shell = logged_in()
    name = b"x" * 65_000
    assert tagged(shell.feed(b'a CREATE "' + name + b'"\r\n')).startswith(b"OK")
    assert (
        tagged(shell.feed(b"a CREATE " + name + name + b"\r\n"))
        == b"BAD [LIMIT] the command line is too long"
    )
    assert tagged(shell.feed(b"a NOOP\r\n")).startswith(b"OK")
    assert tagged(Shell().feed(b"a LOGIN " + name + b" x\r\n")) == b"BAD [LIMIT] the command line is too long"


def test_eight_bits() -> None:
    sent = conversation(b"\xff\xfe NOOP\r\na \xc3\xa4\r\nb NOOP \x80\r\n\xa0\r\n\x00\r\nc NOOP\r\n")
    assert [line[:5] for line in lines(sent)] == [b"* BAD", b"a BAD", b"b BAD", b"* BAD", b"* BAD", b"c OK "]


def test_good_bye_from_this_side() -> None:
    shell = logged_in()
    assert isinstance(shell.core, Server)
    closed = shell.core.disconnect("the mailbox moves", codes.UNAVAILABLE)
    assert closed == events.Closed(b"* BYE [UNAVAILABLE] the mailbox moves\r\n", "the mailbox moves")
    assert shell.feed(b"a NOOP\r\n") == b""
