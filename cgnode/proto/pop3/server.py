"""A POP3 server behind log-in: the maildrop (RFC 1939 sections 5 to 7).

What lives here: message numbers, what is marked as deleted, listings, and messages on
their way out, dot-stuffed.  What must not: how messages are kept.  Until QUIT nothing
that is marked is gone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cgnode.proto import sasl
from cgnode.proto.lines import DotStuffer
from cgnode.proto.pop3 import events
from cgnode.proto.pop3.login import LoginServer, Settings
from cgnode.proto.pop3.vocabulary import SYSTEM_TEMPORARY, Fault, State, err, multi_line, ok

_MOST_DIGITS: Final = 10


class Drop(Protocol):
    """A message of the maildrop: ``size`` as it is sent, ``uidl`` as RFC 1939 section 7
    has it."""

    @property
    def size(self) -> int: ...
    @property
    def uidl(self) -> str: ...


class _Top:
    """The header, the blank line, and so many lines of the body."""

    def __init__(self, lines: int) -> None:
        self._left = lines
        self._in_header = True
        self._blank = True
        """Nothing but CR has been seen of the line at hand."""
        self.enough = False

    def feed(self, data: bytes) -> bytes:
        """As much of ``data`` as is wanted."""
        start = 0
        while not self.enough:
            end = data.find(b"\n", start)
            line = data[start : end if end >= 0 else len(data)]
            self._blank = self._blank and not line.strip(b"\r")
            if end < 0:
                return data
            start = end + 1
            if not self._in_header:
                self._left -= 1
            elif self._blank:
                self._in_header = False
            self._blank = True
            self.enough = not self._in_header and self._left <= 0
        return data[:start]


class Server(LoginServer):
    """One connection to a maildrop."""

    def __init__(
        self,
        settings: Settings,
        secure: bool = False,
        trusted: bool = False,
        randomness: sasl.Randomness = secrets.token_bytes,
    ) -> None:
        super().__init__(settings, secure, trusted, randomness)
        self._drops: Sequence[Drop] = ()
        self._deleted: set[int] = set()
        self._retrieved: set[int] = set()
        self._stuffer: DotStuffer | None = None
        self._top: _Top | None = None

    def accept(self, drops: Sequence[Drop] = ()) -> bytes:
        """The answer to Credentials and Proven: the maildrop is open."""
        self._drops = drops
        return self._grant()

    def _entered(self) -> events.Event:
        self.state = State.TRANSACTION
        return events.LoggedIn()

    # --- commands ---------------------------------------------------------------------

    def _run(self, name: str, argument: bytes) -> None:
        if self.state is not State.TRANSACTION or name == "CAPA":
            super()._run(name, argument)
            return
        match name:
            case "STAT":
                count, size = self._sums()
                self._say(ok(f"{count} {size}"))
            case "LIST":
                self._list(argument, lambda drop: str(drop.size))
            case "UIDL":
                self._list(argument, lambda drop: drop.uidl)
            case "RETR":
                self._ask(events.Retrieve(self._place(argument), None))
            case "TOP":
                number, _, lines = argument.partition(b" ")
                self._ask(events.Retrieve(self._place(number), _number(lines)))
            case "DELE":
                place = self._place(argument)
                self._deleted.add(place)
                self._say(ok(f"message {place + 1} is marked"))
            case "NOOP":
                self._say(ok())
            case "RSET":
                self._deleted.clear()
                self._say(ok())
            case "QUIT":
                self._ask(events.Update(tuple(sorted(self._deleted)), tuple(sorted(self._retrieved))))
            case _:
                raise AssertionError("a command of another state")

    def _sums(self) -> tuple[int, int]:
        sizes = [drop.size for place, drop in enumerate(self._drops) if place not in self._deleted]
        return len(sizes), sum(sizes)

    def _list(self, argument: bytes, said: Callable[[Drop], str]) -> None:
        if argument:
            place = self._place(argument)
            self._say(ok(f"{place + 1} {said(self._drops[place])}"))
            return
        count, size = self._sums()
        lines = (
            f"{place + 1} {said(drop)}"
            for place, drop in enumerate(self._drops)
            if place not in self._deleted
        )
        self._say(multi_line(f"{count} messages ({size} octets)", lines))

    def _place(self, argument: bytes) -> int:
        place = _number(argument) - 1
        if not 0 <= place < len(self._drops):
            raise Fault("there is no such message")
        if place in self._deleted:
            raise Fault("the message is marked as deleted")
        return place

    # --- answers ----------------------------------------------------------------------

    def content(self, data: bytes) -> bytes:
        """A piece of the message, in answer to Retrieve."""
        question = self._pending
        assert isinstance(question, events.Retrieve), "nothing was asked"
        said = b""
        if self._stuffer is None:
            self._stuffer = DotStuffer()
            self._top = None if question.lines is None else _Top(question.lines)
            said = ok("the message follows")
        return said + self._stuffer.feed(data if self._top is None else self._top.feed(data))

    @property
    def enough(self) -> bool:
        """Whether the client wants no more of the message than it has been given."""
        return self._top is not None and self._top.enough

    def content_end(self) -> bytes:
        """The message's end."""
        said = self.content(b"") if self._stuffer is None else b""
        question = self._pending
        assert isinstance(question, events.Retrieve)
        assert self._stuffer is not None
        if question.lines is None:
            self._retrieved.add(question.place)
        said += self._stuffer.finish()
        self._stuffer = self._top = self._pending = None
        return said

    def updated(self) -> bytes:
        """The answer to Update: what was marked is gone."""
        assert isinstance(self._pending, events.Update), "nothing was asked"
        self._close(b"", "")
        return ok("good-bye")

    def no(self, text: str, code: str = SYSTEM_TEMPORARY) -> bytes:
        """The answer to any question: it can't be had.  A message that has begun can only
        be broken off, with ``disconnect``."""
        if self.state is not State.TRANSACTION:
            return super().no(text, code)
        assert self._pending is not None, "nothing was asked"
        assert self._stuffer is None, "the message has begun"
        if isinstance(self._pending, events.Update):
            # RFC 1939 section 6: it ends all the same.
            self._close(b"", text)
        self._pending = None
        return err(text, code)

    def disconnect(self, text: str, code: str = "") -> events.Closed:
        if self._stuffer is not None:
            # Amid a message a word would be the message's.
            self._pending = None
        return super().disconnect(text, code)


def _number(argument: bytes) -> int:
    digits = argument.strip()
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise Fault("a number is expected")
    return int(digits)
