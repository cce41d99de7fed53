"""The server's tables: every state with every verb, as it is written there."""

from __future__ import annotations

import base64
from itertools import product

import pytest
from attrs import evolve

from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.proto.smtp.states import RULES, TRANSITIONS, VERBS, Role, State, Verb
from tests.cgnode.proto.smtp.shells import LMTP, SMTP, SUBMISSION, Answers, ServerShell

EVERYTHING = evolve(SUBMISSION, role=Role.SMTP, xclient=True)

WAY = {
    State.START: b"",
    State.READY: b"EHLO x\r\n",
    State.MAIL: b"EHLO x\r\nMAIL FROM:<a@b>\r\n",
    State.RCPT: b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
    State.CHUNKS: b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nx",
}

LINE = {
    Verb.HELO: b"HELO x",
    Verb.EHLO: b"EHLO x",
    Verb.LHLO: b"LHLO x",
    Verb.MAIL: b"MAIL FROM:<a@b>",
    Verb.RCPT: b"RCPT TO:<c@d>",
    Verb.DATA: b"DATA",
    Verb.BDAT: b"BDAT 10",
    Verb.RSET: b"RSET",
    Verb.NOOP: b"NOOP",
    Verb.VRFY: b"VRFY a",
    Verb.HELP: b"HELP",
    Verb.QUIT: b"QUIT",
    Verb.AUTH: b"AUTH PLAIN",
    Verb.STARTTLS: b"STARTTLS",
    Verb.XCLIENT: b"XCLIENT ADDR=192.0.2.1",
}


@pytest.mark.parametrize(("state", "verb"), list(product(TRANSITIONS, Verb)))
def test_transitions(state: State, verb: Verb) -> None:
    lmtp = verb is Verb.LHLO
    server = Server(evolve(LMTP, mechanisms=("PLAIN",)) if lmtp else EVERYTHING)
    shell = ServerShell(server, Answers(tls=False)).begin()
    shell.feed(WAY[state].replace(b"EHLO", b"LHLO") if lmtp else WAY[state])
    assert server.state is state
    before = len(shell.codes)
    shell.feed(LINE[verb] + b"\r\n")
    target = TRANSITIONS[state][verb]
    if isinstance(target, Reply):
        if verb is Verb.BDAT:
            assert len(shell.codes) == before  # until its octets have come
            shell.feed(b"0123456789")
        assert shell.codes[before:] == [target.code]
        assert server.state is state
    else:
        assert server.state is target
        assert not [code for code in shell.codes[before:] if code >= 400]


def test_the_table_is_whole() -> None:
    assert set(VERBS.values()) == set(Verb)
    for transitions in TRANSITIONS.values():
        assert set(transitions) == set(Verb)
    targets = {
        target
        for transitions in TRANSITIONS.values()
        for target in transitions.values()
        if isinstance(target, State)
    }
    assert targets | {State.CHUNKS} == set(State)


def test_no_command_is_read_in_the_other_states() -> None:
    assert set(State) - set(TRANSITIONS) == {State.AUTH, State.TEXT, State.CHUNK, State.TLS, State.CLOSED}


@pytest.mark.parametrize("role", Role)
def test_roles(role: Role) -> None:
    service = {Role.SMTP: SMTP, Role.SUBMISSION: SUBMISSION, Role.LMTP: LMTP}[role]
    rules = RULES[role]
    for verb in (Verb.HELO, Verb.EHLO, Verb.LHLO):
        shell = ServerShell(Server(service)).begin()
        shell.feed(LINE[verb] + b"\r\n")
        assert shell.replies[0].endswith(f" {rules.protocol}")
        assert shell.codes[1] == (250 if verb in rules.hellos else 500)
        if verb in rules.hellos and verb is not Verb.HELO:
            offered = {line[4:].split(" ")[0] for line in shell.replies[2:]}
            assert set(rules.extensions) | {"SIZE"} <= offered
            assert ("DSN" in offered) is (role is not Role.LMTP)
            shell.feed(b"MAIL FROM:<a@b>\r\n")
            assert shell.codes[2] == (530 if rules.auth_required else 250)
            shell.feed(b"AUTH PLAIN " + base64.b64encode(b"\0alice\0secret") + b"\r\n")
            assert shell.codes[3] == (235 if rules.auth_required else 502)
