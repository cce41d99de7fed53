"""The client's side of SMTP and LMTP, sans I/O: when a connection has been opened, one
message after the other (RFC 5321, RFC 2033; pipelined by RFC 2920).

What lives here: the dialogue.  What must not: where to connect, when to try again, what
to do about a refusal; sockets, clocks, files.

The shell gives ``receive`` what came and calls ``next_event`` until that is None.  After
``Ready`` it may ``send`` an envelope; on ``TextWanted`` it gives the text to ``text``,
piece by piece, and calls ``end_of_text``; ``Done`` has the results, and the next message
may be sent.  When the connection has ended, or taken too long, it calls ``disconnected``
and then again ``next_event`` until that is None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, assert_never

from attrs import evolve, frozen

from cgnode.proto.lines import DotStuffer
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.delivery import Delivery, Result
from cgnode.proto.smtp.envelope import (
    Mail,
    Recipient,
    format_mail_parameters,
    format_recipient_parameters,
)
from cgnode.proto.smtp.opening import Dialect, Move, Opened, Opening, Profile, Refused, Say, Secure, Step
from cgnode.proto.smtp.reply import MalformedReply, Reply, ReplyReader


@frozen
class StartTLS:
    """Begin the handshake: ``starttls_done``, or ``disconnected``."""


@frozen
class Ready:
    """The other side is there, and has these extensions: what stands behind each keyword."""

    extensions: Mapping[str, str]


@frozen
class TextWanted:
    """The message's text may be sent."""


@frozen
class Done:
    """What became of the message.  Another may be sent, unless ``Closed`` comes next."""

    results: tuple[Result, ...]


@frozen
class Closed:
    """The end: close.  ``step`` is where it came, and ``reply`` what the other side said,
    if that is why; ``reason`` is for the log, "" after QUIT."""

    step: Step
    reason: str
    reply: Reply | None = None


Event: TypeAlias = bytes | StartTLS | Ready | TextWanted | Done | Closed
"""``bytes`` is to be sent."""

_CLOSING: Final = 421
_GO_AHEAD: Final = 354
_TOO_BIG: Final = Reply(552, "5.3.4", "bigger than the other side takes")
_NEEDS_UTF8: Final = Reply(553, "5.6.7", "needs SMTPUTF8, which the other side has not")
_QUIT: Final = b"QUIT\r\n"


class Client:
    """The state of one connection.  ``secure`` says that it has TLS from the start."""

    def __init__(self, profile: Profile, secure: bool = False) -> None:
        self._opening = Opening(profile, secure)
        self._lmtp = profile.dialect is Dialect.LMTP
        self._replies = ReplyReader()
        self._awaited: deque[Step] = deque([Step.GREETING])
        """What the next replies are to."""
        self._resting = Step.CLOSED
        """The step, where no reply is awaited."""
        self._commands: deque[Say] = deque()
        """What is to be said after the answers to what was said."""
        self._ready: deque[Event] = deque()
        self._delivery: Delivery | None = None
        self._stale = False
        """A transaction may be open that will not be finished."""
        self._stuffer = DotStuffer()
        self._last_word: Reply | None = None
        self._gone = ""
        """Why the connection has ended."""

    @property
    def step(self) -> Step:
        return self._awaited[0] if self._awaited else self._resting

    @property
    def secure(self) -> bool:
        return self._opening.secure

    @property
    def extensions(self) -> Mapping[str, str]:
        return self._opening.extensions

    # --- input ------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self.step is not Step.CLOSED:
            self._replies.feed(data)

    def disconnected(self, reason: str = "disconnected") -> None:
        """The connection has ended, whoever ended it."""
        self._gone = reason

    def next_event(self) -> Event | None:
        """What is next to be done; None when that needs a reply, or the shell."""
        while not self._ready and self.step is not Step.CLOSED:
            if self.step is Step.HANDSHAKE:
                # An answer to nothing that TLS protects (CVE-2011-0411, the other way).
                reply, reason = None, "clear text behind STARTTLS" if self._replies.buffered else ""
            else:
                reply, reason = self._next_reply()
            if reply is not None:
                self._take(reply)
            elif reason or self._gone:
                self._fail(reason or self._gone)
            else:
                return None
        return self._ready.popleft() if self._ready else None

    def _next_reply(self) -> tuple[Reply | None, str]:
        try:
            return self._replies.next_reply(), ""
        except MalformedReply as malformed:
            return None, f"malformed reply: {malformed}"

    def _take(self, reply: Reply) -> None:
        step = self.step
        if not self._awaited:
            self._unasked(reply)
            return
        self._awaited.popleft()
        match step:
            case Step.RSET | Step.MAIL | Step.RCPT | Step.DATA | Step.MESSAGE:
                self._answered(step, reply)
            case Step.QUIT:
                self._close(Closed(step, "", reply))
            case _:
                self._move(self._opening.answered(step, reply), step, reply)

    def _unasked(self, reply: Reply) -> None:
        """A good-bye, mostly; while the text is being sent, a refusal too."""
        if self._delivery is not None and not reply.positive:
            self._delivery.answer_message(reply, every=True)
        self._fail("closed by the other side" if reply.code == _CLOSING else "unexpected reply", reply)

    def _move(self, move: Move, step: Step, reply: Reply) -> None:
        match move:
            case Say(awaited, line):
                self._awaited.append(awaited)
                self._ready.append(line)
            case Secure():
                self._resting = Step.HANDSHAKE
                if not self._replies.buffered:
                    self._ready.append(StartTLS())
            case Opened():
                self._resting = Step.READY
                self._ready.append(Ready(self.extensions))
            case Refused(reason):
                if reply.code != _CLOSING:
                    self._ready.append(_QUIT)
                self._fail(reason, reply, step)
            case _:
                assert_never(move)

    def starttls_done(self) -> bytes:
        """The handshake is done, and the certificate the right one."""
        if self.step is Step.CLOSED or self._replies.buffered:
            return b""  # the next event says why, or has
        if self.step is not Step.HANDSHAKE:
            raise TypeError("no handshake was awaited")
        say = self._opening.secured()
        self._awaited.append(say.step)
        return say.line

    # --- a message --------------------------------------------------------------------

    def send(self, mail: Mail, recipients: Sequence[Recipient]) -> bytes:
        """Begin a transaction.  ValueError for an address that no command can carry."""
        if self.step is not Step.READY or not recipients:
            raise TypeError("not ready for a message, or nobody to send it to")
        if any(not address.ascii for address in _addresses(mail, recipients)):
            mail = evolve(mail, parameters=evolve(mail.parameters, utf8=True))
        commands = self._transaction(mail, recipients)
        self._delivery = Delivery(tuple(recipients))
        refusal = self._refusal(mail)
        if refusal is not None:
            self._delivery.refuse(refusal)
            self._finish(self._delivery, stale=self._stale)
            return b""
        if self._stale:
            commands.appendleft(Say(Step.RSET, b"RSET\r\n"))
        self._stale = False
        self._last_word = None
        self._commands = commands
        return self._say_next()

    def text(self, data: bytes) -> bytes:
        """The next piece of the message: lines, however they end.  Nothing is sent of it
        when the connection has ended meanwhile."""
        if self.step is Step.CLOSED:
            return b""
        if self.step is not Step.TEXT:
            raise TypeError("no text was wanted")
        return self._stuffer.feed(data)

    def end_of_text(self) -> bytes:
        """All of the message has been given."""
        delivery = self._delivery
        if self.step is Step.CLOSED:
            return b""
        if self.step is not Step.TEXT or delivery is None:
            raise TypeError("no text was wanted")
        delivery.sent = True
        self._resting = Step.READY
        self._awaited.extend([Step.MESSAGE] * (len(delivery.accepted) if self._lmtp else 1))
        return self._stuffer.finish()

    def quit(self) -> bytes:
        """Say good-bye, between messages."""
        if self.step is Step.CLOSED:
            return b""
        if self.step is not Step.READY:
            raise TypeError("not between messages")
        self._awaited.append(Step.QUIT)
        return _QUIT

    def _refusal(self, mail: Mail) -> Reply | None:
        """Why this need not be tried: the other side has said what it does not take."""
        if mail.parameters.utf8 and "SMTPUTF8" not in self.extensions:
            return _NEEDS_UTF8
        most = self.extensions.get("SIZE", "")
        if most.isdecimal() and len(most) <= 20 and 0 < int(most) < (mail.parameters.size or 0):
            return _TOO_BIG
        return None

    def _transaction(self, mail: Mail, recipients: Sequence[Recipient]) -> deque[Say]:
        extensions = self.extensions
        sender = "" if mail.sender is None else mail.sender
        words = [(Step.MAIL, f"MAIL FROM:<{sender}>{format_mail_parameters(mail.parameters, extensions)}")]
        for recipient in recipients:
            parameters = format_recipient_parameters(recipient.parameters, extensions, mail.parameters.utf8)
            words.append((Step.RCPT, f"RCPT TO:<{recipient.address}>{parameters}"))
        words.append((Step.DATA, "DATA"))
        return deque(Say(step, _line(text)) for step, text in words)

    def _say_next(self) -> bytes:
        """All of the commands where they may be pipelined, else the next one."""
        commands = self._commands
        count = len(commands) if "PIPELINING" in self.extensions else 1
        said = [commands.popleft() for _ in range(min(count, len(commands)))]
        self._awaited.extend(say.step for say in said)
        return b"".join(say.line for say in said)

    def _answered(self, step: Step, reply: Reply) -> None:
        """A reply to a transaction's command, or to the text."""
        delivery = self._delivery
        assert delivery is not None, "commands of a transaction are said in one"
        expected = reply.code == _GO_AHEAD if step is Step.DATA else reply.code < 300
        if reply.positive and not expected:
            self._fail("unexpected reply", reply, step)
            return
        match step:
            case Step.MAIL:
                self._stale = reply.positive
                if not reply.positive:
                    delivery.refuse(reply)
            case Step.RCPT:
                delivery.answer_recipient(reply)
            case Step.DATA if reply.positive:
                self._want_text(delivery)
            case Step.DATA | Step.MESSAGE:
                delivery.answer_message(reply, every=step is Step.DATA or not self._lmtp)
        if reply.code == _CLOSING:
            self._last_word = reply
        # In LMTP, the answers for other recipients are in the same segment, probably.
        more = step is Step.MESSAGE and self._awaited
        if self._last_word is not None and not more:
            self._fail("closed by the other side", self._last_word, step)
        elif step is Step.RSET and not reply.positive:
            self._fail("RSET refused", reply, step)
        elif not self._awaited and self.step not in (Step.TEXT, Step.CLOSED):
            self._go_on(step, delivery)

    def _want_text(self, delivery: Delivery) -> None:
        if not delivery.accepted:
            self._fail("go-ahead for a message without recipients")
            return
        self._resting = Step.TEXT
        self._stuffer = DotStuffer()
        self._ready.append(TextWanted())

    def _go_on(self, step: Step, delivery: Delivery) -> None:
        """Nothing is awaited: say what comes next, if it can still be of use."""
        commands = self._commands
        if step is Step.MAIL and not self._stale:
            commands.clear()
        if commands and commands[0].step is Step.DATA and not delivery.accepted:
            commands.clear()
        if commands:
            self._ready.append(self._say_next())
        else:
            self._finish(delivery, stale=self._stale and step is not Step.MESSAGE)

    def _finish(self, delivery: Delivery, stale: bool) -> None:
        self._ready.append(Done(delivery.results()))
        self._delivery = None
        self._stale = stale
        self._resting = Step.READY

    # --- the end ----------------------------------------------------------------------

    def _fail(self, reason: str, reply: Reply | None = None, step: Step | None = None) -> None:
        if self._delivery is not None:
            self._delivery.cut(reply or self._last_word)
            self._ready.append(Done(self._delivery.results()))
            self._delivery = None
        step = step or self.step
        self._close(Closed(step, "" if step is Step.QUIT else reason, reply))

    def _close(self, closed: Closed) -> None:
        self._awaited.clear()
        self._commands.clear()
        self._replies.clear()
        self._resting = Step.CLOSED
        self._ready.append(closed)


def _addresses(mail: Mail, recipients: Sequence[Recipient]) -> list[Address]:
    sender = [] if mail.sender is None else [mail.sender]
    return sender + [recipient.address for recipient in recipients]


def _line(text: str) -> bytes:
    """A command.  Addresses come from queues and configurations too: none of them may
    end a line."""
    if not text.isprintable():
        raise ValueError("an address with control characters")
    return text.encode() + b"\r\n"
