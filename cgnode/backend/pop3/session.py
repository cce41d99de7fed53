"""One POP3 connection of the backend: the core's events to jobs in threads, their results to
the client.

A message goes out as it is read, a block when the one before it has been taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

from attrs import frozen

from cgnode.backend.sessions.entrance import told_by_xclient
from cgnode.backend.sessions.gate import Gate
from cgnode.backend.sessions.hosting import Here
from cgnode.backend.sessions.lane import Lane
from cgnode.backend.sessions.login import Login, Refusal
from cgnode.backend.store import Content, Gone, InUse, Maildrop, MailStoreError
from cgnode.destinations import Proto
from cgnode.net.connection import Connection
from cgnode.proto import sasl
from cgnode.proto.pop3 import events
from cgnode.proto.pop3.server import Server
from cgnode.proto.pop3.vocabulary import AUTH, IN_USE, SYSTEM_TEMPORARY

if TYPE_CHECKING:
    from cgnode.backend.pop3.service import Pop3Backend

log = logging.getLogger(__name__)

BLOCK: Final = 1 << 18
"""Octets of a message that are read at once."""

_REFUSALS: Final[Mapping[Refusal, tuple[str, str]]] = {
    Refusal.WRONG: ("log-in failed", AUTH),
    Refusal.UNAVAILABLE: ("the maildrop can't be had now, try later", SYSTEM_TEMPORARY),
    Refusal.IN_USE: ("another session has the maildrop", IN_USE),
}

_T = TypeVar("_T")


@frozen
class _Failed:
    """Of a job: what to say, and its code."""

    text: str
    code: str = SYSTEM_TEMPORARY


@frozen
class _Block:
    """Some of a message's octets, up to ``end``."""

    data: bytes
    end: int
    last: bool


class Pop3Session:
    """A ``net.connection.Handler``, and ``sessions.login.Entering``."""

    def __init__(self, backend: Pop3Backend, connection: Connection) -> None:
        origin = connection.origin
        self._backend = backend
        self._connection = connection
        # Anybody may say who the client is; it is believed of who has the cluster's credential.
        self._server = Server(backend.settings(origin), secure=origin.secure, trusted=True)
        self.core = Gate(self._server)
        self._lane = Lane(backend.reactor, backend.pool, self._broken)
        self._login = Login(backend.reception, Proto.POP3, connection, self)
        self._drop: Maildrop | None = None
        self._content: Content | None = None
        """These two are the lane's."""
        self._over = False
        self._told = 0

    # --- for the connection ---------------------------------------------------------------

    def begin(self) -> bytes:
        self._connection.idle(self._backend.times.idle)
        return self._server.begin()

    def secured(self) -> None:
        self._server.tls_started()

    def timed_out(self) -> None:
        """RFC 1939 section 3: no word, and nothing is removed."""
        if self._lane.busy or (self.core.busy and self.core.told != self._told):
            self._told = self.core.told
            self._connection.idle(self._backend.times.idle)
        else:
            self.end("idle for too long", "")

    def lost(self, reason: str) -> None:
        self._over = True
        self._login.over(reason)
        self._lane.close(self._let_go)

    def _let_go(self) -> None:
        """In a thread, as the last job."""
        self._close_content()
        if self._drop is not None:
            self._drop.close()
        self._drop = None

    def end(self, reason: str, code: str = SYSTEM_TEMPORARY) -> None:
        if not self._over:
            closed = self._server.disconnect(reason, code)
            self._close(b"" if self.core.busy else closed.last_words, reason)

    def _close(self, last_words: bytes, reason: str) -> None:
        self._over = True
        reason = reason or "logged out"
        self._login.over(reason)
        self._connection.close(last_words, reason)

    def _broken(self) -> None:
        self.end("internal error")

    # --- events ---------------------------------------------------------------------------

    def handle(self, event: Any) -> None:
        match event:
            case events.Closed(last_words, reason):
                self._close(last_words, reason)
            case events.StartTLS(said):
                self._connection.start_tls(self._backend.tls, said)
            case events.Forwarded(fields):
                self._login.told = told_by_xclient(fields, self._login.told)
            case sasl.Credentials():
                self._login.admit(event)
            case sasl.KeysWanted() | sasl.Proven() | events.ProofFailed():
                # By mechanisms that are not offered here.
                self.refuse(Refusal.WRONG)
            case events.LoggedIn():
                self._logged_in()
            case events.LoginDropped() | events.Joined():
                pass
            case events.Retrieve() | events.Update():
                assert self._drop is not None, "nobody is logged in"
                self._mail(self._drop, event)
            case _:
                raise AssertionError(event)

    def _mail(self, drop: Maildrop, event: events.Retrieve | events.Update) -> None:
        match event:
            case events.Retrieve(place):
                uid = drop.messages[place].uid
                self._run(lambda: self._first(drop, uid), self._send)
            case events.Update(deleted, retrieved):
                gone = [drop.messages[place].uid for place in deleted]
                seen = [drop.messages[place].uid for place in retrieved]
                self._run(lambda: self._update(drop, gone, seen), self._updated)
            case _:
                assert_never(event)

    def _update(self, drop: Maildrop, deleted: list[int], seen: list[int]) -> None:
        """In a thread.  When the client hears of it, its next session may have begun."""
        try:
            drop.quit(deleted, seen)
        finally:
            drop.close()
            self._drop = None

    def _updated(self, _: None) -> None:
        self._connection.answer(self._server.updated())

    # --- log-in ---------------------------------------------------------------------------

    def enter(self, place: Here) -> None:
        def job() -> Maildrop | _Failed:
            try:
                self._drop = self._backend.reception.opener(place).maildrop()
            except InUse as error:
                return _Failed(str(error), IN_USE)
            except MailStoreError as error:
                return _Failed(str(error) or type(error).__name__)
            return self._drop

        def told(found: Maildrop | _Failed) -> None:
            if self._over:
                return
            if isinstance(found, _Failed):
                refusal = Refusal.IN_USE if found.code == IN_USE else Refusal.UNAVAILABLE
                self._login.failed(refusal, found.text)
            else:
                self._login.entered()
                self._connection.answer(self._server.accept(found.messages))

        self._lane.run(job, told)

    def welcome(self, capabilities: tuple[str, ...]) -> None:
        self._connection.answer(self._server.accept())

    def refuse(self, refusal: Refusal) -> None:
        self._connection.answer(self._server.no(*_REFUSALS[refusal]))

    def _logged_in(self) -> None:
        if self._login.joins:
            self._over = True
            self._login.join(self._server.unread())

    # --- a message ------------------------------------------------------------------------

    def _first(self, drop: Maildrop, uid: int) -> _Block:
        """In a thread."""
        self._content = content = drop.open(uid)
        return self._block(content, 0)

    def _block(self, content: Content, offset: int) -> _Block:
        """In a thread."""
        data = content.read(offset, BLOCK)
        return _Block(data, offset + len(data), not data or offset + len(data) >= content.size)

    def _send(self, block: _Block) -> None:
        over = False

        def pieces() -> Iterator[bytes]:
            nonlocal over
            yield self._server.content(block.data)
            over = block.last or self._server.enough
            if over:
                yield self._server.content_end()

        def sent() -> None:
            content = self._content
            assert content is not None, "a message is being sent"
            if over:
                self._lane.run(self._close_content, _nothing)
            else:
                self._run(lambda: self._block(content, block.end), self._send, begun=True)

        self.core.say(pieces(), sent)
        self._connection.answer()

    def _close_content(self) -> None:
        """In a thread."""
        content, self._content = self._content, None
        if content is not None:
            content.close()

    # --- jobs -----------------------------------------------------------------------------

    def _run(self, job: Callable[[], _T], then: Callable[[_T], None], *, begun: bool = False) -> None:
        """Have it done in a thread, and go on with what comes of it; or say why not.  Of an
        answer that has ``begun`` that can't be said."""

        def told(found: _T | _Failed) -> None:
            if self._over:
                return
            if not isinstance(found, _Failed):
                then(found)
            elif begun:
                self.end(found.text)
            else:
                self._connection.answer(self._server.no(found.text, found.code))

        self._lane.run(lambda: self._careful(job), told)

    def _careful(self, job: Callable[[], _T]) -> _T | _Failed:
        """In a thread."""
        session = self._login.client.session
        try:
            return job()
        except Gone as error:
            log.info("%s %s", session, error)
            return _Failed("that is not there any more")
        except MailStoreError as error:
            log.error("%s %s: %s", session, type(error).__name__, error)
            return _Failed("the mail can't be had now, try later")
        except Exception:
            log.exception("%s internal error", session)
            return _Failed("internal error")


def _nothing(_: None) -> None:
    """That was all."""
