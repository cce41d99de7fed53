"""What a server's dialogue allows when, and how the three roles differ: tables
(RFC 5321 section 4.1.4, RFC 2033 section 4, RFC 6409 section 4).

What lives here: verbs, states, transitions, roles; what a listener offers, and bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen

from cgnode.proto.lines import Newlines
from cgnode.proto.smtp.reply import Reply


class Verb(Enum):
    HELO = "HELO"
    EHLO = "EHLO"
    LHLO = "LHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    HELP = "HELP"
    QUIT = "QUIT"
    AUTH = "AUTH"
    STARTTLS = "STARTTLS"
    XCLIENT = "XCLIENT"

    __hash__ = object.__hash__  # in C: each command is looked up several times


VERBS: Final[Mapping[str, Verb]] = {verb.value: verb for verb in Verb}


class State(Enum):
    START = "nobody has said hello"
    READY = "between transactions"
    MAIL = "a transaction with a sender"
    RCPT = "a transaction with recipients"
    CHUNKS = "a transaction with chunks of its message, and more to come"
    AUTH = "lines are an authentication's"
    TEXT = "input is a message's text up to the dot"
    CHUNK = "input is a chunk's octets"
    TLS = "the handshake is awaited"
    CLOSED = "nothing is heard and nothing is said"

    __hash__ = object.__hash__


_NO_HELLO: Final = Reply(503, "5.5.1", "say hello first")
_NO_MAIL: Final = Reply(503, "5.5.1", "no MAIL yet")
_NO_RECIPIENT: Final = Reply(503, "5.5.1", "no valid recipients")
_NESTED: Final = Reply(503, "5.5.1", "a transaction is under way")
_MIXED: Final = Reply(503, "5.5.1", "chunks of a message are under way")

_ANYWHERE: Final[Mapping[Verb, State]] = {
    Verb.HELO: State.READY,
    Verb.EHLO: State.READY,
    Verb.LHLO: State.READY,
    Verb.QUIT: State.CLOSED,
}


def _staying(state: State) -> Mapping[Verb, State]:
    return {Verb.NOOP: state, Verb.VRFY: state, Verb.HELP: state}


_TRANSACTION: Final[Mapping[Verb, State | Reply]] = {
    **_ANYWHERE,
    Verb.MAIL: _NESTED,
    Verb.RSET: State.READY,
    Verb.AUTH: _NESTED,  # RFC 4954 section 4
    Verb.STARTTLS: _NESTED,
    Verb.XCLIENT: _NESTED,
}

TRANSITIONS: Final[Mapping[State, Mapping[Verb, State | Reply]]] = {
    State.START: {
        **_ANYWHERE,
        **_staying(State.START),
        Verb.MAIL: _NO_HELLO,
        Verb.RCPT: _NO_HELLO,
        Verb.DATA: _NO_HELLO,
        Verb.BDAT: _NO_HELLO,
        Verb.RSET: State.START,
        Verb.AUTH: _NO_HELLO,
        Verb.STARTTLS: _NO_HELLO,
        Verb.XCLIENT: State.START,
    },
    State.READY: {
        **_ANYWHERE,
        **_staying(State.READY),
        Verb.MAIL: State.MAIL,
        Verb.RCPT: _NO_MAIL,
        Verb.DATA: _NO_MAIL,
        Verb.BDAT: _NO_MAIL,
        Verb.RSET: State.READY,
        Verb.AUTH: State.AUTH,
        Verb.STARTTLS: State.TLS,
        Verb.XCLIENT: State.START,
    },
    State.MAIL: {
        **_TRANSACTION,
        **_staying(State.MAIL),
        Verb.RCPT: State.RCPT,
        Verb.DATA: _NO_RECIPIENT,
        Verb.BDAT: _NO_RECIPIENT,
    },
    State.RCPT: {
        **_TRANSACTION,
        **_staying(State.RCPT),
        Verb.RCPT: State.RCPT,
        Verb.DATA: State.TEXT,
        Verb.BDAT: State.CHUNK,
    },
    State.CHUNKS: {
        **_TRANSACTION,
        **_staying(State.CHUNKS),
        Verb.RCPT: _MIXED,
        Verb.DATA: _MIXED,  # RFC 3030 section 2
        Verb.BDAT: State.CHUNK,
    },
}
"""Where a command leads once it is granted, or the answer to it out of its turn.  In the
states that are not here no command is read."""


class Role(Enum):
    SMTP = "mail from other servers"
    SUBMISSION = "mail from its authors"
    LMTP = "delivery into mailboxes"


@frozen
class Rules:
    """How roles differ.

    ``counts_refusals``: refused recipients are errors, as of one who tries out addresses.
    ``reply_per_recipient``: of a message, once it has come (RFC 2033 section 4.2).
    """

    protocol: str
    hellos: frozenset[Verb]
    extensions: tuple[str, ...]
    auth_required: bool
    counts_refusals: bool
    reply_per_recipient: bool


_BASIC: Final = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING")

RULES: Final[Mapping[Role, Rules]] = {
    Role.SMTP: Rules(
        protocol="ESMTP",
        hellos=frozenset({Verb.HELO, Verb.EHLO}),
        extensions=(*_BASIC, "DSN"),
        auth_required=False,
        counts_refusals=True,
        reply_per_recipient=False,
    ),
    Role.SUBMISSION: Rules(
        protocol="ESMTP",
        hellos=frozenset({Verb.HELO, Verb.EHLO}),
        extensions=(*_BASIC, "DSN"),
        auth_required=True,
        counts_refusals=True,
        reply_per_recipient=False,
    ),
    # No DSN: who delivers here reports, and this side sends no mail of its own.
    Role.LMTP: Rules(
        protocol="LMTP",
        hellos=frozenset({Verb.LHLO}),
        extensions=_BASIC,
        auth_required=False,
        counts_refusals=False,
        reply_per_recipient=True,
    ),
}


@frozen
class Service:
    """What one listener offers.

    ``clear_auth``: authentication is on offer without TLS too.  ``auth_required``: mail
    is taken from nobody unknown, whatever the role's rule.  ``strict_turns``: who sends
    on before an answer that has to be awaited is cut off.
    """

    role: Role
    hostname: str
    start_tls: bool = False
    tls_required: bool = False
    mechanisms: tuple[str, ...] = ()
    clear_auth: bool = False
    auth_required: bool = False
    xclient: bool = False
    newlines: Newlines = Newlines.NORMALISE
    strict_turns: bool = False

    @property
    def rules(self) -> Rules:
        return RULES[self.role]


@frozen
class Limits:
    """Bounds of one connection.

    ``errors`` are counted since the last message that was taken, as are ``idle_commands``,
    those that bring no message nearer; ``transactions`` 0 is any number.  ``text_line``
    is far over RFC 5321's 1000 octets, since mail in practice is: to refuse such lines is
    left to who can't take them.
    """

    message_size: int = 10_240_000
    recipients: int = 1000
    errors: int = 20
    auth_failures: int = 3
    idle_commands: int = 100
    transactions: int = 0
    command_line: int = 2048
    text_line: int = 65_536
