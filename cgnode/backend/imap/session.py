"""One IMAP connection of the backend: the core's events to jobs in threads, their replies to
the client, and word of changes while it idles.

What lives here: whose answer goes where and when, and how a session begins and ends.  What
must not: what a question costs the store (the modules beside this one).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import frozen

from cgnode.backend.imap import folders, messages, replies
from cgnode.backend.imap.appending import Appending
from cgnode.backend.imap.fetching import Fetch
from cgnode.backend.imap.idling import Idling
from cgnode.backend.imap.messages import News, OpenFolder
from cgnode.backend.imap.replies import Reply
from cgnode.backend.imap.searching import Search
from cgnode.backend.sessions.entrance import told_by_id
from cgnode.backend.sessions.gate import Gate
from cgnode.backend.sessions.hosting import Here
from cgnode.backend.sessions.lane import Lane
from cgnode.backend.sessions.login import Login, Refusal
from cgnode.backend.store import Account, Gone, MailStoreError
from cgnode.destinations import Proto
from cgnode.net.connection import Connection
from cgnode.proto import sasl
from cgnode.proto.imap import codes, events
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.fetching import Message
from cgnode.proto.imap.server import Server

if TYPE_CHECKING:
    from cgnode.backend.imap.service import ImapBackend

log = logging.getLogger(__name__)

_REFUSALS: Final[Mapping[Refusal, Reply]] = {
    Refusal.WRONG: replies.no("log-in failed", codes.AUTHENTICATION_FAILED),
    Refusal.UNAVAILABLE: replies.no("the mailbox can't be had now, try later", codes.UNAVAILABLE),
    Refusal.IN_USE: replies.no("the mailbox is in use", codes.IN_USE),
}
_OF_LOGIN: Final = ("AUTH=", "SASL-IR", "STARTTLS", "LOGINDISABLED")

_T = TypeVar("_T")


@frozen
class _Failed:
    """Of a job.  Without a reply there is nothing to go on with."""

    reply: Reply | None


class ImapSession:
    """A ``net.connection.Handler``, and ``sessions.login.Entering``."""

    def __init__(self, backend: ImapBackend, connection: Connection) -> None:
        origin = connection.origin
        self._backend = backend
        self._connection = connection
        self._server = Server(backend.settings(origin), secure=origin.secure)
        self.core = Gate(self._server)
        self._lane = Lane(backend.reactor, backend.pool, self._broken)
        self._login = Login(backend.reception, Proto.IMAP, connection, self)
        self._idling = Idling(backend.reactor, backend.times, self._look, self._still_here)
        self._account: Account | None = None
        self._appending: Appending | None = None
        self._folder: OpenFolder | None = None
        """These three are the lane's."""
        self._over = False
        self._told = 0

    # --- for the connection ---------------------------------------------------------------

    def begin(self) -> bytes:
        self._connection.idle(self._backend.times.idle)
        return self._server.begin()

    def secured(self) -> None:
        self._server.tls_started()

    def timed_out(self) -> None:
        """A client that is waiting, or that still takes what it asked for, is not idle."""
        if self._lane.busy or (self.core.busy and self.core.told != self._told):
            self._told = self.core.told
            self._connection.idle(self._backend.times.idle)
        else:
            self.end("idle for too long", b"")

    def lost(self, reason: str) -> None:
        self._over = True
        self._idling.end()
        self._login.over(reason)
        self._lane.close(self._let_go)

    def _let_go(self) -> None:
        """In a thread, as the last job."""
        if self._appending is not None:
            self._appending.drop()
        if self._folder is not None:
            self._folder.close()
        self._folder = self._account = None

    def end(self, reason: str, code: bytes = codes.UNAVAILABLE) -> None:
        """Good-bye from this side."""
        if not self._over:
            closed = self._server.disconnect(reason, code)
            # Amid a message it would be taken for some of that.
            self._close(b"" if self.core.busy else closed.last_words, reason)

    def _close(self, last_words: bytes, reason: str) -> None:
        self._over = True
        self._idling.end()
        reason = reason or "logged out"
        self._login.over(reason)
        self._connection.close(last_words, reason)

    def _broken(self) -> None:
        self.end("internal error", codes.SERVER_BUG)

    # --- events ---------------------------------------------------------------------------

    def handle(self, event: Any) -> None:
        match event:
            case events.Closed(last_words, reason):
                self._close(last_words, reason)
            case events.StartTLS(said):
                self._connection.start_tls(self._backend.tls, said)
            case events.Identified(fields):
                self._login.told = told_by_id(fields, self._login.told)
            case sasl.Credentials():
                self._login.admit(event)
            case sasl.KeysWanted() | sasl.Proven() | events.ProofFailed():
                # By mechanisms that are not offered here.
                self.refuse(Refusal.WRONG)
            case events.LoggedIn():
                self._logged_in()
            case events.LoginDropped() | events.Joined():
                pass
            case events.IdleBegun():
                self._idling.begin()
            case events.IdleEnded():
                self._idling.end()
            case _:
                assert self._account is not None, "nobody is logged in"
                self._mail(self._account, event)

    def _mail(self, account: Account, event: Any) -> None:
        match event:
            case c.Noop() | c.Check():
                self._ask(lambda: replies.ok)
            case c.Select():
                self._run(lambda: self._select(account, event), self._answer)
            case events.AppendMessage() | events.AppendOctets() | events.AppendEnd() | events.AppendDropped():
                self._append(self._appending or Appending(account), event)
            case (
                events.Leave()
                | events.FetchMessages()
                | events.SearchMessages()
                | events.StoreFlags()
                | events.CopyMessages()
                | events.MoveMessages()
                | events.ExpungeMessages()
            ):
                assert self._folder is not None, "no folder is open"
                self._messages(self._folder, event)
            case _:
                limit = self._backend.limits.message
                self._ask(lambda: folders.answer(account, event, limit))

    def _messages(self, folder: OpenFolder, event: Any) -> None:
        match event:
            case events.Leave(expunge):
                self._run(lambda: self._leave(folder, expunge=expunge), self._answer)
            case events.FetchMessages():
                self._fetch(Fetch(folder, event))
            case events.SearchMessages():
                now = int(self._backend.clock())
                self._search(Search(folder, event, now, self._backend.reactor.seconds))
            case _:
                target = isinstance(event, events.CopyMessages | events.MoveMessages)
                self._ask(lambda: messages.answer(folder, event), folder, target=target)

    # --- log-in ---------------------------------------------------------------------------

    def enter(self, place: Here) -> None:
        def job() -> str:
            """Why not."""
            try:
                self._account = self._backend.reception.opener(place)
            except MailStoreError as error:
                return str(error) or type(error).__name__
            return ""

        def told(failure: str) -> None:
            if failure:
                self._login.failed(Refusal.UNAVAILABLE, failure)
            else:
                self._login.entered()
                self._answer(Server.accept)

        self._run(job, told)

    def welcome(self, capabilities: tuple[str, ...]) -> None:
        # Some go on to say how to log in.
        offered = [name for name in capabilities if not name.startswith(_OF_LOGIN)]
        self._answer(lambda core: core.accept(offered))

    def refuse(self, refusal: Refusal) -> None:
        self._answer(_REFUSALS[refusal])

    def _logged_in(self) -> None:
        if self._login.joins:
            self._over = True
            self._login.join(self._server.unread())

    # --- jobs -----------------------------------------------------------------------------

    def _run(self, job: Callable[[], _T], then: Callable[[_T], None], *, target: bool = False) -> None:
        """Have it done in a thread, and go on with what comes of it; or say why not."""

        def told(found: _T | _Failed) -> None:
            if self._over:
                return
            if not isinstance(found, _Failed):
                then(found)
                return
            self.core.held = False
            if found.reply is None:
                self.end("the mailbox is not what it was", b"")
            else:
                self._answer(found.reply)

        self._lane.run(lambda: self._careful(job, target=target), told)

    def _careful(self, job: Callable[[], _T], *, target: bool) -> _T | _Failed:
        """In a thread."""
        session = self._login.client.session
        try:
            return job()
        except Gone as error:
            log.info("%s %s", session, error)
            return _Failed(None)
        except MailStoreError as error:
            return _Failed(replies.refusal(error, session, target=target))
        except Exception:
            return _Failed(replies.broken(session))

    def _ask(
        self, job: Callable[[], Reply], folder: OpenFolder | None = None, *, target: bool = False
    ) -> None:
        """Answer with what comes of it, and tell what else has happened.  ``folder``: what the
        question is about, which must be there still."""

        def work() -> tuple[Reply, News]:
            return job(), self._news(must=folder is not None)

        def told(found: tuple[Reply, News]) -> None:
            reply, news = found
            self._server.update(*news)
            self._answer(reply)

        self._run(work, told, target=target)

    def _answer(self, reply: Reply) -> None:
        self._connection.answer(reply(self._server))

    def _news(self, *, must: bool) -> News:
        """In a thread.  A client that has removed the folder which it has open is not thrown out
        for that before it asks for something in it."""
        if self._folder is None:
            return ()
        try:
            return self._folder.news()
        except Gone:
            if must:
                raise
        except MailStoreError as error:
            log.error("%s %s: %s", self._login.client.session, type(error).__name__, error)
        return ()

    # --- folders, in threads --------------------------------------------------------------

    def _select(self, account: Account, question: c.Select) -> Reply:
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        view = account.select(question.mailbox, read_only=question.read_only)
        self._folder = OpenFolder(view, self._idling.changed, self._backend.kept)
        mailbox = self._folder.mailbox()
        return lambda core: core.selected(mailbox)

    def _leave(self, folder: OpenFolder, *, expunge: bool) -> Reply:
        if expunge:
            folder.view.expunge()
        folder.close()
        self._folder = None
        return replies.ok

    # --- long answers ---------------------------------------------------------------------

    def _fetch(self, fetch: Fetch) -> None:
        self._run(fetch.batch, lambda found: self._fetched(fetch, found))

    def _fetched(self, fetch: Fetch, found: list[Message]) -> None:
        if found:
            self.core.say(self._pieces(found), lambda: self._fetch(fetch))
            self._connection.answer()
        else:
            self._ask(lambda: replies.ok, fetch.folder)

    def _pieces(self, found: list[Message]) -> Iterator[bytes]:
        for message in found:
            yield from self._server.fetched(message)

    def _search(self, search: Search) -> None:
        def told(reply: Reply | None) -> None:
            if reply is None:
                self._search(search)
            else:
                self._ask(lambda: reply, search.folder)

        self._run(search.go_on, told)

    # --- APPEND ---------------------------------------------------------------------------

    def _append(self, appending: Appending, event: Any) -> None:
        self._appending = appending
        match event:
            case events.AppendMessage():
                self._ask(lambda: appending.begin(event), target=True)
            case events.AppendOctets(data):
                # What comes behind it is looked at when it has been written.
                self.core.held = True
                self._run(lambda: appending.write(data), self._written)
            case events.AppendEnd():
                self._ask(appending.end, target=True)
            case _:
                self._run(appending.drop, lambda _: None)

    def _written(self, _: None) -> None:
        self.core.held = False
        self._connection.answer()

    # --- IDLE -----------------------------------------------------------------------------

    def _look(self) -> None:
        def told(news: News) -> None:
            self._connection.answer(self._server.update(*news))
            self._idling.looked()

        self._run(lambda: self._news(must=True), told)

    def _still_here(self) -> None:
        self._connection.answer(self._server.still_here())
