"""The server's side of SMTP, submission and LMTP, sans I/O: bytes in, events out; answers
in, bytes out.

What lives here: whose turn it is, what a command changes, errors and their bound.  What
must not: sockets, clocks, accounts, queues, files; text and tables, which the modules
beside this one have.

While an event waits for its answer, and from STARTTLS until the handshake is done, no
further command is read.
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import Final, assert_never

from cgnode.proto import sasl
from cgnode.proto.lines import LineFault, LineReader
from cgnode.proto.sasl import (
    Challenge,
    Credentials,
    Exchange,
    Failed,
    KeysWanted,
    Proven,
    ScramKeys,
    Step,
    Succeeded,
)
from cgnode.proto.smtp import answers, commands
from cgnode.proto.smtp.commands import Refused
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.events import (
    Closed,
    Event,
    Hello,
    MessageAbort,
    MessageBegin,
    MessageEnd,
    Question,
    StartTLS,
    XClient,
)
from cgnode.proto.smtp.message import Intake
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.standing import Standing
from cgnode.proto.smtp.states import TRANSITIONS, VERBS, Limits, Service, State, Verb

TLS_HANDSHAKE: Final = 0x16
"""How a TLS client begins; no command does."""

# Known to the standards, and not to be had here.
_OBSOLETE: Final = frozenset({"EXPN", "TURN", "ATRN", "ETRN", "SEND", "SOML", "SAML"})
# Who says this has mistaken us for another, or was made to by somebody else.
_STRANGERS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT"})
# What changes so much that its answer has to be awaited (RFC 2920 section 3.1).
_LAST_IN_GROUP: Final = frozenset({Verb.HELO, Verb.EHLO, Verb.LHLO, Verb.DATA, Verb.AUTH})
# What brings no message nearer.
_IDLE: Final = frozenset(
    {Verb.HELO, Verb.EHLO, Verb.LHLO, Verb.RSET, Verb.NOOP, Verb.VRFY, Verb.HELP, Verb.XCLIENT}
)

_SENDER_OK: Final = answers.SENDER_OK.encode()
_RECIPIENT_OK: Final = answers.RECIPIENT_OK.encode()

_NO_LIMITS_GIVEN: Final = Limits()
_NO_MAIL: Final = Mail(None)


class Server:
    """The state of one connection.

    ``secure`` says that it has TLS from the start; ``identity`` who the client is, if
    that is known without AUTH (by its certificate).
    """

    def __init__(
        self,
        service: Service,
        limits: Limits = _NO_LIMITS_GIVEN,
        *,
        secure: bool = False,
        identity: str = "",
        randomness: sasl.Randomness = secrets.token_bytes,
    ) -> None:
        self.service = service
        self.state = State.START
        self.client = Standing(service, limits, secure, identity)
        self._limits = limits
        self._rules = service.rules
        self._randomness = randomness
        self._lines = LineReader(max(sasl.MAX_LINE, limits.command_line), service.newlines)
        self._touched = False
        self._question: Question | None = None
        self._ready: deque[Event] = deque()
        """Events that follow one that has been returned."""
        self._mail = _NO_MAIL
        self._recipients: list[Recipient] = []
        self._intake: Intake | None = None
        self._dropping: tuple[int, Reply] | None = None
        """How much is left of a chunk that is not wanted, and its answer."""
        self._exchange: Exchange | None = None
        self._granted = ""
        self._errors = self._auth_failures = self._idle = self._transactions = 0

    # --- input ------------------------------------------------------------------------

    def begin(self) -> bytes:
        """The greeting.  ``disconnect`` instead, to turn the client away."""
        return self.client.greeting().encode()

    def receive(self, data: bytes) -> None:
        """Take what the client sent; ``next_event`` says what it means.  What comes in
        clear behind STARTTLS is dropped."""
        if not data or self.state in (State.TLS, State.CLOSED):
            return
        if not self._touched:
            self._touched = True
            if data[0] == TLS_HANDSHAKE:
                # It could make nothing of a reply.
                self._close(b"", "TLS where none is expected")
                return
        self._lines.feed(data)

    @property
    def backlog(self) -> bool:
        """Something has arrived that has to wait: no more should be read."""
        return self._question is not None and self._lines.buffered > 0

    def next_event(self) -> Event | None:
        """What is next to be done; None when that needs more input, or an answer."""
        if self._ready:
            return self._ready.popleft()
        if self._question is not None:
            return None
        state = self.state
        if state is State.TEXT:
            return self._read_text()
        if state is State.CHUNK:
            return self._read_chunk()
        if state is State.TLS or state is State.CLOSED:
            return None
        return self._read_line() if self._dropping is None else self._drop(*self._dropping)

    def _read_line(self) -> Event | None:
        line = self._lines.next_line()
        if line is None:
            return None
        try:
            return self._response(line) if self.state is State.AUTH else self._command(line)
        except Refused as refused:
            return self._error(refused.reply)

    # --- commands ---------------------------------------------------------------------

    def _command(self, line: bytes | LineFault) -> Event | None:
        if isinstance(line, LineFault):
            return self._error(answers.LINE_FAULTS[line])
        word, argument = commands.split_command(line)
        verb = VERBS.get(word)
        if len(line) + 2 > self._limits.command_line and verb is not Verb.AUTH:
            return self._error(answers.LINE_FAULTS[LineFault.TOO_LONG])
        if verb is None:
            return self._unknown(word)
        if self.service.strict_turns and verb in _LAST_IN_GROUP and self._lines.buffered:
            return self._end(Reply(554, "5.5.0", "sent on before the answer"))
        target = TRANSITIONS[self.state][verb]
        refusal = self.client.refusal(verb) or (target if isinstance(target, Reply) else None)
        if verb is Verb.BDAT:
            return self._chunk(argument, refusal)
        if refusal is None and argument and verb in commands.WITHOUT_ARGUMENT:
            refusal = Reply(501, "5.5.4", f"{verb.value} has no argument")
        if refusal is not None:
            return self._error(refusal)
        if verb in _IDLE:
            self._idle += 1
            if self._idle > self._limits.idle_commands:
                return self._end(Reply(421, "4.7.0", "too many commands without mail"))
        return self._in_turn(verb, argument)

    def _in_turn(self, verb: Verb, argument: str) -> Event | None:
        match verb:
            case Verb.HELO | Verb.EHLO | Verb.LHLO:
                return self._ask(Hello(verb, commands.parse_hello(argument)))
            case Verb.MAIL:
                return self._sender(commands.parse_mail(argument, self.client.mail_parameters))
            case Verb.RCPT:
                return self._recipient(argument)
            case Verb.DATA:
                return self._ask(MessageBegin(self._mail, tuple(self._recipients)))
            case Verb.RSET:
                state = State.START if self.state is State.START else State.READY
                abort = MessageAbort("reset by the client") if self._forget(state) else None
                return self._followed_by(abort, answers.OK.encode())
            case Verb.NOOP:
                return answers.OK.encode()
            case Verb.VRFY:
                return answers.NOT_SAID.encode()
            case Verb.HELP:
                return answers.HELP.encode()
            case Verb.QUIT:
                self._close(answers.GOOD_BYE.encode(), "")
                return self._ready.popleft()
            case Verb.AUTH:
                return self._authenticate(*commands.parse_auth(argument))
            case Verb.STARTTLS:
                self.state = State.TLS
                self._lines.clear()
                return StartTLS(answers.TLS_READY.encode())
            case Verb.XCLIENT:
                return self._ask(commands.parse_xclient(argument, self.client.proxied))
            case Verb.BDAT:
                raise AssertionError("its octets come in any case: _chunk")
            case _:
                assert_never(verb)

    def _unknown(self, word: str) -> Event:
        if word in _STRANGERS:
            return self._end(Reply(521, "5.7.0", "this is a mail server"))
        return self._error(answers.NOT_HERE if word in _OBSOLETE else answers.UNKNOWN)

    def _sender(self, mail: Mail) -> Event:
        limits = self._limits
        if limits.transactions and self._transactions >= limits.transactions:
            return self._end(Reply(421, "4.7.0", "too many messages in one connection"))
        if (mail.parameters.size or 0) > limits.message_size:
            return self._error(answers.TOO_BIG)
        return self._ask(mail)

    def _recipient(self, argument: str) -> Event:
        known = self.client.recipient_parameters
        recipient = commands.parse_recipient(argument, known, self._mail.parameters.utf8)
        if len(self._recipients) >= self._limits.recipients:
            # No error: the others may come in another transaction.
            return answers.TOO_MANY.encode()
        return self._ask(recipient)

    # --- a message's text -------------------------------------------------------------

    def _read_text(self) -> Event | None:
        if not self._lines.buffered:
            return None
        intake = self._message
        event, rest = intake.feed_dotted(self._lines.take_all())
        if rest is None:
            return event
        self._lines.put_back(rest)
        return self._followed_by(event, self._ended(intake))

    def _chunk(self, argument: str, refusal: Reply | None) -> Event | None:
        """BDAT: the octets follow, whatever the answer will be."""
        announced = commands.parse_chunk(argument)
        if announced is None:
            return self._end(Reply(521, "5.5.4", "syntax: BDAT count [LAST]"))
        size, last = announced
        if refusal is not None:
            return self._drop(size, refusal)
        intake = self._intake
        if intake is None:
            intake = Intake(self.service, self._limits)
            if intake.begin_chunk(size, last) is not None:  # too big, and nobody need know
                self._forget(State.READY)
                return self._drop(size, answers.TOO_BIG)
            self._intake = intake
            return self._ask(MessageBegin(self._mail, tuple(self._recipients)))
        self.state = State.CHUNK
        return intake.begin_chunk(size, last) or self._read_chunk()

    def _read_chunk(self) -> Event | None:
        intake = self._message
        data = self._lines.take(intake.chunk_left)
        if intake.chunk_left and not data:
            return None
        event = intake.feed_chunk(data)
        if intake.chunk_left:
            return event
        if intake.last_chunk or intake.refusal is not None:
            return self._followed_by(event, self._ended(intake))
        self.state = State.CHUNKS
        taken = Reply(250, "2.0.0", f"{intake.size} octets so far")
        return self._followed_by(event, taken.encode())

    def _ended(self, intake: Intake) -> Event:
        """What is to be done about a message that has come, or failed."""
        if intake.refusal is None:
            return self._ask(MessageEnd(intake.size))
        last = self.state is State.TEXT or intake.last_chunk
        times = len(self._recipients) if last and self._rules.reply_per_recipient else 1
        self._forget(State.READY)
        return intake.refusal.encode() * (times - 1) + self._error(intake.refusal)

    def _drop(self, size: int, reply: Reply) -> Event | None:
        """``size`` octets are not wanted; then comes the answer."""
        size -= len(self._lines.take(size))
        self._dropping = (size, reply) if size else None
        return None if size else self._error(reply)

    @property
    def _message(self) -> Intake:
        assert self._intake is not None, "no message was begun"
        return self._intake

    # --- authentication ---------------------------------------------------------------

    def _authenticate(self, mechanism: str, initial: bytes | None) -> Event:
        if mechanism not in self.service.mechanisms:
            return self._error(answers.NO_MECHANISM)
        self._exchange = Exchange(mechanism, self._randomness)
        return self._step(self._exchange.begin(initial))

    def _response(self, line: bytes | LineFault) -> Event:
        """A line that is not a command, but answers a challenge."""
        if isinstance(line, LineFault):
            return self._not_authenticated(answers.AUTH_LINE_FAULTS[line])
        return self._step(self._running.take(line))

    def _step(self, step: Step) -> Event:
        match step:
            case Challenge():
                self.state = State.AUTH
                return b"334 " + step.text + b"\r\n"
            case Credentials() | KeysWanted() | Proven():
                return self._ask(step)
            case Failed(failure):
                return self._not_authenticated(answers.AUTH_FAILURES[failure])
            case Succeeded():
                self.client.identity = self._granted
                self._end_exchange()
                return answers.LOGGED_IN.encode()
            case _:
                assert_never(step)

    def _not_authenticated(self, reply: Reply) -> bytes:
        self._end_exchange()
        if reply.permanent:
            self._auth_failures += 1
            if self._auth_failures >= self._limits.auth_failures:
                self._end_after(Reply(421, "4.7.0", "too many failed authentications"))
        return self._error(reply)

    def _end_exchange(self) -> None:
        self._exchange = None
        self._granted = ""
        self.state = State.READY

    @property
    def _running(self) -> Exchange:
        assert self._exchange is not None, "no authentication was begun"
        return self._exchange

    # --- answers ----------------------------------------------------------------------
    # An answer to a question that the connection's end has overtaken says nothing.

    def accept(self, reply: Reply | None = None) -> bytes:
        """Hello, XClient, Mail, Recipient, MessageBegin: granted.  ``reply`` instead of
        the usual one, for Mail and Recipient."""
        question, self._question = self._question, None
        match question:
            case Hello(verb, name):
                self.client.hello, self.client.extended = name, verb is not Verb.HELO
                if self._forget(State.READY):
                    self._ready.append(MessageAbort("reset by the client"))
                return self.client.answer_to_hello().encode()
            case XClient():
                self.client.now_proxying(question)
                self.state = State.START
                return self.client.greeting().encode()
            case Mail():
                self._mail = question
                self._transactions += 1
                self.state = State.MAIL
                return _SENDER_OK if reply is None else reply.encode()
            case Recipient():
                self._recipients.append(question)
                self.state = State.RCPT
                return _RECIPIENT_OK if reply is None else reply.encode()
            case MessageBegin():
                if self._intake is not None:
                    self.state = State.CHUNK
                    return b""
                self._intake = Intake(self.service, self._limits)
                self.state = State.TEXT
                return answers.GO_AHEAD
            case _:
                return self._wrong_answer(question)

    def refuse(self, reply: Reply) -> bytes:
        """Any question but MessageEnd: not granted.  A 421 ends the connection."""
        question, self._question = self._question, None
        if question is None or isinstance(question, MessageEnd):
            return self._wrong_answer(question)
        left = 0
        if isinstance(question, MessageBegin):
            left = 0 if self._intake is None else self._intake.chunk_left
            self._intake = None
            self._forget(State.READY)
        if reply.code == 421:
            self._close(b"", reply.text)
            return reply.encode()
        if left:
            self._dropping = (left, reply)
            return b""
        if isinstance(question, Credentials | KeysWanted | Proven):
            return self._not_authenticated(reply)
        return self._error(reply) if reply.permanent and self._rules.counts_refusals else reply.encode()

    def authenticated(self, identity: str) -> bytes:
        """Credentials, Proven: right, and the client is ``identity`` now."""
        question, self._question = self._question, None
        if not isinstance(question, Credentials | Proven) or not identity:
            return self._wrong_answer(question)
        self._granted = identity
        return self._said(self._step(self._running.accept()))

    def keys(self, keys: ScramKeys) -> bytes:
        """KeysWanted: here they are."""
        question, self._question = self._question, None
        if not isinstance(question, KeysWanted):
            return self._wrong_answer(question)
        return self._said(self._step(self._running.keys(keys)))

    def finish(self, *replies: Reply) -> bytes:
        """MessageEnd: what became of it; in LMTP for each recipient, in their order."""
        question, self._question = self._question, None
        wanted = len(self._recipients) if self._rules.reply_per_recipient else 1
        if not isinstance(question, MessageEnd) or len(replies) != wanted:
            return self._wrong_answer(question)
        self._intake = None
        self._forget(State.READY)
        if any(reply.positive for reply in replies):
            self._errors = self._idle = 0
        if any(reply.code == 421 for reply in replies):
            self._close(b"", "closed with the answer to a message")
        return b"".join(reply.encode() for reply in replies)

    def _wrong_answer(self, question: Question | None) -> bytes:
        if self.state is State.CLOSED:
            return b""
        self._question = question
        raise TypeError(f"no answer to {question}")

    def starttls_done(self, identity: str = "", xclient: bool | None = None) -> None:
        """The handshake is done, and what was said before it forgotten (RFC 3207 section
        4.2).  ``identity`` and ``xclient``: who the client is by its certificate, and
        whether XCLIENT is offered to it."""
        if self.state is State.CLOSED:
            return
        if self.state is not State.TLS:
            raise TypeError("no handshake was awaited")
        self.client.now_secure(identity, xclient)
        self.state = State.START

    def disconnect(self, reply: Reply) -> Closed:
        """End the connection from this side, whatever is under way; a message that was
        begun is to be forgotten."""
        self.close()
        return Closed(reply.encode(), reply.text)

    def close(self) -> None:
        """End it without a word: the client has gone.  A message that was begun is to be
        forgotten."""
        self.state = State.CLOSED
        self._question = None
        self._ready.clear()
        self._lines.clear()
        self._recipients = []
        self._intake = self._dropping = self._exchange = None

    # --- the parts --------------------------------------------------------------------

    def _ask(self, question: Question) -> Question:
        self._question = question
        return question

    def _followed_by(self, first: Event | None, second: Event) -> Event:
        if first is None:
            return second
        self._ready.appendleft(second)
        return first

    @staticmethod
    def _said(event: Event) -> bytes:
        assert isinstance(event, bytes), "a step that asks again"
        return event

    def _forget(self, state: State) -> bool:
        """The transaction, if there is one, is over.  Whether a message was under way."""
        begun = self._intake is not None and self._intake.refusal is None
        self._mail = _NO_MAIL
        self._recipients = []
        self._intake = None
        self.state = state
        return begun

    def _error(self, reply: Reply) -> bytes:
        """The answer to what the client did wrong, which is counted."""
        self._errors += 1
        if self._errors > self._limits.errors:
            self._end_after(Reply(421, "4.7.0", "too many errors"))
        return reply.encode()

    def _end(self, reply: Reply) -> Event:
        self._end_after(reply)
        return self._ready.popleft()

    def _end_after(self, reply: Reply) -> None:
        """The end, behind what is being said."""
        if self.state is not State.CLOSED:
            self._close(reply.encode(), reply.text)

    def _close(self, last_words: bytes, reason: str) -> None:
        begun = self._forget(State.CLOSED)
        self.close()
        if begun:
            self._ready.append(MessageAbort(reason or "given up by the client"))
        self._ready.append(Closed(last_words, reason))
