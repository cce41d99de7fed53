"""A connection to a destination, and its dialogue: a message after the other.

What lives here: how a dialogue's events are carried out, text that is sent as fast as it
is taken, time limits for each step.  What must not: which message, and what becomes of it.

A channel is told of a message by ``send`` and answers by ``Owner.sent``, always and once;
in that call it may be given the next one, if it is ``ready``.
"""

# mypy: disallow-untyped-calls=False
# Twisted's failures are not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, assert_never

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cgnode.frontend.delivery.terms import Terms
from cgnode.frontend.queue.errors import QueueError
from cgnode.frontend.queue.spool import Content
from cgnode.frontend.queue.values import Destination
from cgnode.net.connection import Connection
from cgnode.proto.smtp.client import Client, Closed, Done, Ready, StartTLS, TextWanted
from cgnode.proto.smtp.client import Event as ClientEvent
from cgnode.proto.smtp.delivery import Result
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.opening import Step
from cgnode.proto.smtp.reply import Reply

log = logging.getLogger(__name__)

_PIECE: Final = 64 << 10


class Unopened(Exception):
    """There was no channel.  ``reply`` is what the host said, if it spoke; ``handshake``:
    it was TLS that failed."""

    def __init__(self, reason: str, reply: Reply | None = None, handshake: bool = False) -> None:
        super().__init__(reason)
        self.reply = reply
        self.handshake = handshake


class Owner(Protocol):
    def made(self, channel: Channel) -> None:
        """It is there, but not open yet."""

    def sent(self, channel: Channel, job: Any, results: Sequence[Result], reason: str) -> None:
        """What became of the message.  ``reason``: why the connection ended, if it did."""

    def gone(self, channel: Channel) -> None:
        """It is closed; the last call."""


class Reading(Protocol):
    """Reads a piece of what is large in another thread."""

    def __call__(self, read: Callable[[], bytes], /) -> Deferred[bytes]: ...


@define(eq=False)
class _Text:
    """A message's, on its way."""

    job: Any
    content: Content
    begun: bool = False
    waiting: bool = False
    """A piece of it is being read."""


class _More:
    """The event of ours: the connection takes more text."""


_MORE: Final = _More()


class Channel:
    """The handler of a connection, and its core too: between the client's events it puts
    those of text to be sent."""

    def __init__(
        self,
        connection: Connection,
        destination: Destination,
        terms: Terms,
        owner: Owner,
        reading: Reading,
    ) -> None:
        self.destination = destination
        self.terms = terms
        self.messages = 0
        """That were sent on it."""
        self.opened: Deferred[Channel] = Deferred()
        self._connection = connection
        self._owner = owner
        self._reading = reading
        self._client = Client(terms.profile, connection.origin.secure)
        self._text: _Text | None = None
        self._limit = 0.0
        self._gone = False
        self._finished = ""
        """Why there is no going on."""

    @property
    def core(self) -> Channel:
        return self

    @property
    def ready(self) -> bool:
        """A message may be sent."""
        return self._client.step is Step.READY and self._text is None and not self._gone

    @property
    def session(self) -> str:
        return self._connection.origin.session

    @property
    def extensions(self) -> Any:
        return self._client.extensions

    # --- a message ---------------------------------------------------------------------

    def send(self, job: Any, mail: Mail, recipients: Sequence[Recipient], content: Content) -> None:
        """ValueError for an address that no command can carry."""
        data = self._client.send(mail, recipients)
        self.messages += 1
        self._text = _Text(job, content)
        self._limit_to(Step.MAIL)
        self._connection.answer(data)

    def keep(self) -> None:
        """Wait for the next message, for a while."""
        self._limit = self.terms.keep
        self._connection.idle(self.terms.keep)

    def quit(self) -> None:
        """Say good-bye, if there is no message on the way."""
        if self.ready:
            self._limit_to(Step.QUIT)
            self._connection.answer(self._client.quit())

    def abort(self, reason: str) -> None:
        """End it at once."""
        self._connection.abort(reason)

    # --- the core ----------------------------------------------------------------------

    @property
    def backlog(self) -> bool:
        return False

    def receive(self, data: bytes) -> None:
        self._client.receive(data)

    def next_event(self) -> ClientEvent | _More | None:
        event = self._client.next_event()
        if event is None and self._client.step is Step.TEXT:
            text = self._text
            return _MORE if text is not None and not text.waiting else None
        return event

    # --- the handler -------------------------------------------------------------------

    def begin(self) -> bytes:
        self._limit_to(Step.GREETING)
        return b""

    def handle(self, event: ClientEvent | _More) -> None:
        match event:
            case Done(results):
                self._done(results)
            case TextWanted():
                self._limit_to(Step.TEXT)
            case _More():
                self._send_more()
            case Ready():
                self._limit_to(Step.MAIL)
                self.opened.callback(self)
            case StartTLS():
                self._connection.start_tls(self.terms.start_tls)
            case Closed():
                self._close(event)
            case bytes():
                self._connection.answer(event)
            case _:
                assert_never(event)

    def secured(self) -> None:
        self._limit_to(Step.HELLO)
        self._connection.answer(self._client.starttls_done())

    def timed_out(self) -> None:
        if self.ready:
            self.quit()
            return
        self._end(f"no answer within {self._limit:g} s ({self._client.step.name})")
        self._connection.abort(self._finished)

    def lost(self, reason: str) -> None:
        self._gone = True
        self._end(reason)
        if not self.opened.called:
            self.opened.errback(Failure(Unopened(self._finished)))
        self._owner.gone(self)

    # --- within ------------------------------------------------------------------------

    def _send_more(self) -> None:
        text = self._text
        assert text is not None
        self._limit_to(Step.TEXT, anew=text.begun)
        if text.content.here:
            self._put(text, text.content.read(_PIECE))
        else:
            text.waiting = True
            read = self._reading(lambda: text.content.read(_PIECE))
            read.addCallbacks(self._was_read, self._was_not_read, callbackArgs=(text,))

    def _was_read(self, piece: bytes, text: _Text) -> None:
        text.waiting = False
        if text is self._text:
            self._put(text, piece)

    def _was_not_read(self, failure: Failure) -> None:
        log.error("%s a message can't be read: %s", self.session, failure.value)
        if not failure.check(QueueError):
            log.error("%s", failure.getTraceback())
        self._connection.abort("the message can't be read")

    def _put(self, text: _Text, piece: bytes) -> None:
        data = self._client.text(piece)
        if not text.content.left:
            data += self._client.end_of_text()
            self._limit_to(Step.MESSAGE, anew=text.begun)
        text.begun = True
        self._connection.answer(data)

    def _done(self, results: Sequence[Result]) -> None:
        text, self._text = self._text, None
        assert text is not None
        text.content.close()
        if self._client.step is not Step.CLOSED:
            self._limit_to(Step.MAIL)
        self._owner.sent(self, text.job, results, self._finished)

    def _close(self, closed: Closed) -> None:
        self._finished = self._finished or closed.reason
        if not self.opened.called:
            said = f": {closed.reply}" if closed.reply is not None else ""
            self.opened.errback(Failure(Unopened(f"{closed.reason}{said}", closed.reply)))
        self._connection.close(reason=closed.reason)

    def _end(self, reason: str) -> None:
        """The dialogue is over; what it still has to say is heard."""
        self._finished = self._finished or reason
        handshake = self._client.step is Step.HANDSHAKE
        self._client.disconnected(self._finished)
        while (event := self._client.next_event()) is not None:
            if isinstance(event, Done):
                self._done(event.results)
            elif isinstance(event, Closed) and not self.opened.called:
                self.opened.errback(Failure(Unopened(self._finished, event.reply, handshake)))

    def _limit_to(self, step: Step, anew: bool = False) -> None:
        """The time limit of a step; ``anew``: it counts from now on, and not from what came
        last."""
        seconds = self.terms.patience[step]
        if anew or seconds != self._limit:
            self._limit = seconds
            self._connection.idle(seconds)
