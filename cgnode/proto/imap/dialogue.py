"""Whose turn it is in an IMAP connection: commands one after the other, each answered
before the next is looked at (RFC 3501 section 5.5).

What lives here: reading commands, asking for their literals, passing on the messages of
APPEND, the bounds on all of it, what is said to a command that can't be, and the end of
the connection.  What the commands do is for ``login`` and ``server``.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from attrs import frozen

from cgnode.proto import sasl
from cgnode.proto.imap import codes, events, responses
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.parse import (
    Head,
    can_take_literal,
    known,
    parse,
    parse_append,
    parse_append_more,
    parse_head,
    tag_of,
)
from cgnode.proto.imap.reader import Announced, Endless, Octets, Overlong, Reader, Skipped, Whole
from cgnode.proto.imap.states import ALLOWED, State

TLS_HANDSHAKE: Final = 0x16
"""How a TLS client begins; no tag does."""

_MOST_DONE: Final = 64


@frozen
class Limits:
    """All in octets, but for the counts.  What a connection keeps is ``command`` and what
    arrived at once."""

    line: int = 65536
    """A command's text, literals apart."""
    command: int = 262144
    """Text and literals of a command; a message is not kept, and not counted."""
    before_login: int = 16384
    """Both, before log-in."""
    message: int = 64 * 1024 * 1024
    """A message that is appended (RFC 7889)."""
    literals: int = 256
    """A command's literals, in number."""
    skipped: int = 256 * 1024 * 1024
    """A literal that was refused and comes all the same (RFC 7888 section 4)."""
    bad_commands: int = 20
    """In a row."""
    failed_logins: int = 10


class Reading(Enum):
    COMMANDS = "commands"
    SASL = "a client's answer to a challenge"
    IDLE = "DONE"


@frozen
class _Append:
    """An APPEND under way.  ``waits``: its message is sent when it is asked for."""

    mailbox: str
    waits: bool


class Dialogue:
    """What the states have in common.  ``_run`` and ``_line`` are the rest."""

    def __init__(self, limits: Limits) -> None:
        self.state = State.GREETING
        self._limits = limits
        self._reader = Reader(limits.before_login, limits.skipped)
        self._ready: deque[events.Event] = deque()
        self._pending: events.Question | None = None
        self._reading = Reading.COMMANDS
        self._tag = "*"
        self._bad = 0
        self._heard = False
        self._understood = False
        self._append: _Append | None = None

    # --- input ------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what the client sent; ``next_event`` says what it means.

        What comes between STARTTLS and the handshake is dropped: whoever put it there, it
        must not be taken for what came inside TLS.
        """
        if self.state is State.LOGOUT or isinstance(self._pending, events.StartTLS):
            return
        self._reader.feed(data)

    @property
    def backlog(self) -> bool:
        """Whether to stop reading: something that has arrived waits for its turn, or for
        the shell, which may leave a message's octets where they are for a while."""
        waits = self._pending is not None or bool(self._ready)
        held = len(self._reader)
        return (held > 0 and waits) or (held > self._limits.line and self._append is not None)

    def next_event(self) -> events.Event | None:
        """What is next; None when that needs more input, or an answer."""
        while not self._ready:
            if self._pending is not None or self.state in (State.GREETING, State.LOGOUT, State.JOINED):
                return None
            if not self._step():
                return None
        return self._ready.popleft()

    def _step(self) -> bool:
        """Use some input; whether there was any to use."""
        if not self._heard:
            if self._reader.first is None:
                return False
            self._heard = True
            if self._reader.first == TLS_HANDSHAKE:
                # It could make nothing of good-bye.
                self._close(b"", "TLS where none is expected")
                return True
        if self._reading is not Reading.COMMANDS:
            return self._step_line()
        match self._reader.next():
            case None:
                return False
            case Whole() as whole:
                self._whole(whole)
            case Announced() as announced:
                self._announced(announced)
            case Octets(data, last):
                self._ready.append(events.AppendOctets(data, last))
            case Skipped() as skipped:
                self._skipped(skipped)
            case Endless():
                self._bye("that is more than would be read", codes.TOO_BIG)
        return True

    def _step_line(self) -> bool:
        most = sasl.MAX_LINE if self._reading is Reading.SASL else _MOST_DONE
        try:
            line = self._reader.line(most)
        except Overlong:
            self._reader.skip_line()
            self._line(None)
            return True
        if line is None:
            return False
        self._line(line)
        return True

    def _skipped(self, skipped: Skipped) -> None:
        if self._append is None:
            self._tag = tag_of(skipped.text)
        self._broken(Fault(skipped.reason, codes.LIMIT))

    def _whole(self, whole: Whole) -> None:
        try:
            if self._append is not None:
                self._append_ends(whole.text)
                return
            head = self._head(whole.text)
            command = parse(head, whole.text, whole.literals)
            self._understood = True
            self._run(command)
        except Fault as fault:
            self._broken(fault)

    def _announced(self, announced: Announced) -> None:
        """A literal is read only for a command that may come, where it can stand, and
        within the limits (RFC 3501 section 7.5)."""
        try:
            if self._append is not None:
                self._message(parse_append_more(announced.text, self._append.mailbox), announced, False)
                return
            head = self._head(announced.text)
            append = None
            if head.name == "APPEND":
                append = parse_append(head, announced.text, announced.literals)
            if append is not None:
                self._message(append, announced, True)
                return
            self._check_literal(announced)
            self._reader.accept()
            if announced.waits:
                self._ready.append(responses.continuation(b"OK"))
        except Fault as fault:
            self._reader.refuse()
            self._broken(fault)

    def _check_literal(self, announced: Announced) -> None:
        if announced.binary or not can_take_literal(announced.text):
            raise Fault("there can't be a literal here")
        most = self._most_command()
        if announced.size > most - self._reader.kept:
            raise Fault(f"a command may have {most} octets", codes.TOO_BIG)
        if len(announced.literals) >= self._limits.literals:
            raise Fault(f"a command may have {self._limits.literals} literals", codes.LIMIT)

    def _most_command(self) -> int:
        before = self.state is State.NOT_AUTHENTICATED
        return self._limits.before_login if before else self._limits.command

    def _head(self, text: bytes) -> Head:
        """A command's first words; raises Fault when it can't come now."""
        self._tag = tag_of(text)
        head = parse_head(text)
        if not known(head.name):
            raise Fault("the command is not known here")
        if self.state not in ALLOWED[head.name]:
            raise Fault(f"{head.name} can't come now")
        self._admit(head.name)
        return head

    # --- APPEND -----------------------------------------------------------------------

    def _message(self, append: c.Append, announced: Announced, first: bool) -> None:
        if announced.binary:
            # RFC 3516 section 4.4: octets that BODY could not give back are not taken.
            raise Fault("binary messages are not stored here", codes.UNKNOWN_CTE, bad=False)
        if not announced.size:
            raise Fault("there is no message in it", bad=False)  # RFC 3502 section 6.3.11
        if announced.size > self._limits.message:
            raise Fault("the message is too large", codes.TOO_BIG, bad=False)
        self._understood = True
        self._append = _Append(append.mailbox, announced.waits)
        size = announced.size
        self._ask(events.AppendMessage(append.mailbox, append.flags, append.date, size, first))

    def _append_ends(self, text: bytes) -> None:
        if text not in (b"", b" "):
            raise Fault("a further message is expected as a literal")
        self._append = None
        self._ask(events.AppendEnd())

    def ready(self) -> bytes:
        """The answer to AppendMessage: its octets may come."""
        assert isinstance(self._pending, events.AppendMessage), "nothing was asked"
        assert self._append is not None
        self._pending = None
        self._reader.stream()
        return responses.continuation(b"OK") if self._append.waits else b""

    # --- for the states ---------------------------------------------------------------

    def _admit(self, name: str) -> None:
        """Raise Fault for a command that is allowed in this state, and refused all the
        same: before its literals are asked for."""

    def _run(self, command: c.Command) -> None:
        """Begin a command that is allowed in this state; raises Fault."""
        raise NotImplementedError

    def _line(self, line: bytes | None) -> None:
        """A line that is no command; None for one that is too long."""
        raise NotImplementedError

    def _ask(self, question: events.Question) -> None:
        self._pending = question
        self._ready.append(question)

    # --- output -----------------------------------------------------------------------

    def _done(self, condition: bytes, text: str, code: bytes = b"") -> bytes:
        """The answer that ends the command at hand."""
        self._pending = None
        self._understood = False
        if condition == b"OK":
            self._bad = 0
        return responses.state(self._tag, condition, text, code)

    def _finish(self, text: str, code: bytes = b"") -> None:
        """``_done`` for a command that nobody is asked about."""
        self._ready.append(self._done(b"OK", text, code))

    def _broken(self, fault: Fault) -> None:
        """Say what is wrong with the command at hand; too much of it is the end."""
        if self._append is not None:
            self._append = None
            self._ready.append(events.AppendDropped())
        self._ready.append(self._done(b"BAD" if fault.bad else b"NO", str(fault), fault.code))
        if fault.bad:
            self._bad += 1
            if self._bad > self._limits.bad_commands:
                self._bye("too many bad commands", b"")

    def _bye(self, reason: str, code: bytes) -> None:
        self._close(responses.state("*", b"BYE", reason, code), reason)

    def _close(self, last_words: bytes, reason: str) -> None:
        self._ready.append(self._closed(last_words, reason))

    def _closed(self, last_words: bytes, reason: str) -> events.Closed:
        self.state = State.LOGOUT
        self._reading = Reading.COMMANDS
        self._pending = None
        self._reader.take_all()
        return events.Closed(last_words, reason)

    def no(self, text: str, code: bytes = b"") -> bytes:
        """The answer to any question: it can't be had.  Of an APPEND it may be said until
        that is answered."""
        if self._append is not None:
            self._append = None
            self._reader.refuse()
        else:
            assert self._pending is not None, "nothing was asked"
        return self._done(b"NO", text, code)

    def disconnect(self, text: str, code: bytes = b"") -> events.Closed:
        """End the connection from this side."""
        self._ready.clear()
        return self._closed(responses.state("*", b"BYE", text, code), text)
