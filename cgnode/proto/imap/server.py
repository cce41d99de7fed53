"""A server behind log-in: mailboxes and messages (RFC 3501 sections 6.3 and 6.4).

What lives here: each command to a question with UIDs for numbers, each answer to its
responses, and when the client is told what else has happened.  What must not: how
messages are kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from cgnode.proto import sasl
from cgnode.proto.imap import answers, codes, events, responses
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.dialogue import Reading
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.fetching import Message, Response, needs, sets_seen
from cgnode.proto.imap.login import BEFORE_LOGIN, LoginServer, Settings
from cgnode.proto.imap.parse_search import UnknownCharset
from cgnode.proto.imap.states import State
from cgnode.proto.imap.view import Flagged, Update, View

CAPABILITIES: Final = (
    *BEFORE_LOGIN,
    "BINARY",
    "CHILDREN",
    "CONDSTORE",
    "ENABLE",
    "ESEARCH",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "MOVE",
    "MULTIAPPEND",
    "NAMESPACE",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "SEARCHRES",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "UIDPLUS",
    "UNSELECT",
    "WITHIN",
)
"""All that ``Server`` can do, with a shell that answers; APPENDLIMIT comes on top."""


class Server(LoginServer):
    """One connection to mailboxes whose names have ``delimiter`` between their levels."""

    def __init__(
        self,
        settings: Settings,
        secure: bool = False,
        delimiter: str = "/",
        randomness: sasl.Randomness = secrets.token_bytes,
    ) -> None:
        super().__init__(settings, secure, randomness)
        self._granted = settings.capabilities or (*CAPABILITIES, f"APPENDLIMIT={settings.limits.message}")
        self._delimiter = delimiter
        self._view: View | None = None
        self._condstore = False
        self._command: c.Command | None = None
        self._failure: Fault | None = None

    def _entered(self) -> events.Event:
        self.state = State.AUTHENTICATED
        self._reader.most_text = self._limits.line
        return events.LoggedIn()

    @property
    def selected_mailbox(self) -> str | None:
        return None if self._view is None else self._view.name

    # --- commands ---------------------------------------------------------------------

    def _run(self, command: c.Command) -> None:
        self._command = command
        self._failure = None
        match command:
            case c.Select():
                self._select(command)
            case c.Noop() if self.state is not State.NOT_AUTHENTICATED:
                self._ask(command)
            case c.Create() | c.Delete() | c.Rename() | c.Subscribe() | c.Unsubscribe():
                self._ask(command)
            case c.Lsub() | c.GetQuota() | c.GetQuotaRoot():
                self._ask(command)
            case c.List():
                self._list(command)
            case c.Status():
                if c.StatusItem.HIGHESTMODSEQ in command.items:
                    self._mind_modseqs()
                self._ask(command)
            case c.Namespace():
                self._ready.append(responses.namespace("", self._delimiter))
                self._finish("these are they")
            case c.Enable(names):
                self._enable(names)
            case c.Idle():
                self._reading = Reading.IDLE
                self._ready.append(responses.continuation(b"idling") + self._tell())
                self._ready.append(events.IdleBegun())
            case _:
                if self._view is None or isinstance(command, c.Capability | c.Id | c.Logout):
                    if isinstance(command, c.Logout):
                        self._view = None
                    super()._run(command)
                else:
                    self._run_inside(command, self._view)

    def _run_inside(self, command: c.Command, view: View) -> None:
        """The commands of a mailbox that is open."""
        match command:
            case c.Check():
                self._ask(command)
            case c.Close():
                self._ask(events.Leave(expunge=not view.read_only))
            case c.Unselect():
                self._ask(events.Leave(expunge=False))
            case c.Expunge(numbers):
                _check_writable(view)
                uids = None if numbers is None else view.resolve(numbers, uid=True)
                self._ask_about(uids, events.ExpungeMessages(uids))
            case c.Search():
                key = view.key(command.key)
                modseqs = answers.wants_modseq(key)
                if modseqs:
                    self._need_modseqs(view)
                self._ask(events.SearchMessages(view.candidates(key), key, modseqs))
            case c.Fetch(numbers, items, uid, since):
                if c.Item.MODSEQ in items:
                    self._need_modseqs(view)
                uids = view.resolve(numbers, uid)
                see = sets_seen(items) and not view.read_only
                self._ask_about(uids, events.FetchMessages(uids, items, needs(items), see, since))
            case c.Store(numbers, change, flags, _, uid, since):
                _check_writable(view)
                if since is not None:
                    self._need_modseqs(view)
                uids = view.resolve(numbers, uid)
                self._ask_about(uids, events.StoreFlags(uids, change, flags, since))
            case c.Copy(numbers, mailbox, uid):
                uids = view.resolve(numbers, uid)
                self._ask_about(uids, events.CopyMessages(uids, mailbox))
            case c.Move(numbers, mailbox, uid):
                _check_writable(view)
                uids = view.resolve(numbers, uid)
                self._ask_about(uids, events.MoveMessages(uids, mailbox))
            case _:
                raise AssertionError("a command of another state")

    def _ask_about(self, uids: tuple[int, ...] | None, question: events.Question) -> None:
        """Ask, unless it is about no messages."""
        if uids == ():
            self._finish("there are no such messages")
        else:
            self._ask(question)

    def _select(self, command: c.Select) -> None:
        if self._view is not None:
            self._ready.append(responses.state("*", b"OK", "the last mailbox is closed", codes.CLOSED))
        # RFC 3501 section 6.3.1: none is open from here on, whatever comes of it.
        self._view = None
        self.state = State.AUTHENTICATED
        if command.condstore:
            self._mind_modseqs()
        self._ask(command)

    def _list(self, command: c.List) -> None:
        if command.patterns == ("",) and not command.extended:
            # RFC 3501 section 6.3.8: what is asked for is the delimiter.
            root = responses.Listed("", ("\\Noselect",))
            self._ready.append(responses.listed(root, self._delimiter))
            self._finish("that is it")
        else:
            self._ask(command)

    def _enable(self, names: tuple[str, ...]) -> None:
        known = [name for name in names if name == "CONDSTORE" and name in self._granted]
        if known:
            self._mind_modseqs()
        self._ready.append(responses.enabled(known[:1]))
        self._finish("enabled")

    def _mind_modseqs(self) -> None:
        """RFC 7162 section 3.1: the client minds mod-sequences from here on."""
        if not self._condstore:
            self._condstore = True
            highest = None if self._view is None else self._view.highest_modseq
            if highest is not None:
                code = codes.highest_modseq(highest)
                self._ready.append(responses.state("*", b"OK", "highest mod-sequence", code))

    def _need_modseqs(self, view: View) -> None:
        if view.highest_modseq is None:
            # RFC 7162 section 3.1.2.2.
            raise Fault("the mailbox has no mod-sequences")
        self._mind_modseqs()

    def _line(self, line: bytes | None) -> None:
        if self._reading is not Reading.IDLE:
            super()._line(line)
            return
        self._ready.append(events.IdleEnded())
        self._reading = Reading.COMMANDS
        if line is not None and line.upper() == b"DONE":
            self._finish("idled")
        else:
            self._broken(Fault("DONE is expected"))

    # --- what else has happened -------------------------------------------------------

    def update(self, *updates: Update) -> bytes:
        """What has happened in the mailbox that is open, whoever did it.  The client is
        told when it may be: at once while it idles."""
        if self._view is None or self.state is not State.SELECTED:
            return b""
        for update in updates:
            self._view.note(update)
        return self._tell() if self._reading is Reading.IDLE else b""

    def still_here(self) -> bytes:
        """Something to say every two minutes, lest somebody in between takes an idle
        connection for a dead one; b"" where nothing may be said."""
        if self._reading is not Reading.IDLE:
            return b""
        return responses.state("*", b"OK", "still here")

    def _tell(self) -> bytes:
        if self._view is None:
            return b""
        # RFC 3501 section 7.4.1: not while a command is answered that has numbers in it,
        # and one that was not understood may have been that.
        match self._command:
            case c.Search() | c.Fetch() | c.Store():
                expunge = self._command.uid
            case _:
                expunge = self._understood
        return self._view.tell(expunge, self._condstore)

    def _done(self, condition: bytes, text: str, code: bytes = b"") -> bytes:
        told = self._tell()
        self._command = None
        return told + super()._done(condition, text, code)

    def _broken(self, fault: Fault) -> None:
        if isinstance(fault, UnknownCharset) and fault.saves and self._view is not None:
            self._view.saved = ()
        super()._broken(fault)

    # --- answers ----------------------------------------------------------------------

    def ok(self, text: str = "done", code: bytes = b"") -> bytes:
        """The answer to every question that has no other."""
        question = self._pending
        assert question is not None, "nothing was asked"
        assert not isinstance(question, _ANSWERED_OTHERWISE), "that has an answer of its own"
        match question:
            case events.Leave():
                self._view = None
                self.state = State.AUTHENTICATED
            case events.FetchMessages():
                if self._failure is not None:
                    return self._done(b"NO", str(self._failure), self._failure.code)
                code = code or self._issued(question.uids)
        return self._done(b"OK", text, code)

    def no(self, text: str, code: bytes = b"") -> bytes:
        """The answer to any question: it can't be had."""
        search = self._command
        if isinstance(search, c.Search) and search.results and c.Result.SAVE in search.results:
            self._opened.saved = ()  # RFC 5182 section 2.1
        return super().no(text, code)

    def appended(self, uid_validity: int, uids: Iterable[int]) -> bytes:
        """The answer to AppendEnd."""
        assert isinstance(self._pending, events.AppendEnd), "nothing was asked"
        return self._done(b"OK", "appended", codes.append_uid(uid_validity, uids))

    def selected(self, mailbox: answers.Mailbox) -> bytes:
        """The answer to Select."""
        question = self._pending
        assert isinstance(question, c.Select), "nothing was asked"
        view = View(
            question.mailbox,
            question.read_only or mailbox.read_only,
            mailbox.uids,
            mailbox.recent,
            mailbox.highest_modseq,
        )
        said = answers.selected(mailbox, view)
        said += self._done(b"OK", "opened", codes.READ_ONLY if view.read_only else codes.READ_WRITE)
        self._view = view
        self.state = State.SELECTED
        return said

    def listed(self, rows: Iterable[responses.Listed]) -> bytes:
        """The answer to List and Lsub; ``listing`` chooses the rows."""
        question = self._pending
        assert isinstance(question, c.List | c.Lsub), "nothing was asked"
        said: list[bytes] = []
        for row in rows:
            if isinstance(question, c.Lsub):
                said.append(responses.listed(row, self._delimiter, b"LSUB"))
                continue
            said.append(responses.listed(row, self._delimiter))
            if question.status and row.status is not None:
                said.append(responses.status(row.name, question.status, row.status))
        return b"".join(said) + self._done(b"OK", "these are they")

    def status(self, values: responses.StatusValues) -> bytes:
        """The answer to Status."""
        question = self._pending
        assert isinstance(question, c.Status), "nothing was asked"
        said = responses.status(question.mailbox, question.items, values)
        return said + self._done(b"OK", "that is it")

    def quota(self, *roots: responses.Quota) -> bytes:
        """The answer to GetQuota, and to GetQuotaRoot."""
        question = self._pending
        assert isinstance(question, c.GetQuota | c.GetQuotaRoot), "nothing was asked"
        said = b"".join(map(responses.quota, roots))
        if isinstance(question, c.GetQuotaRoot):
            said = responses.quota_root(question.mailbox, (root.root for root in roots)) + said
        return said + self._done(b"OK", "that is it")

    def found(self, uids: Iterable[int], modseqs: Mapping[int, int] | None = None) -> bytes:
        """The answer to SearchMessages: UIDs ascending."""
        question, search = self._pending, self._command
        assert isinstance(question, events.SearchMessages), "nothing was asked"
        assert isinstance(search, c.Search)
        matching: Sequence[int] = tuple(uids)
        if search.results is not None and c.Result.SAVE in search.results:
            self._opened.saved = answers.chosen(search.results, matching)
        known = (modseqs or {}) if question.modseqs else None
        said = answers.found(self._tag, search, self._opened, matching, known)
        return said + self._done(b"OK", "searched", self._issued(question.uids))

    def fetched(self, message: Message) -> Iterator[bytes]:
        """Of the answer to FetchMessages one message: octets to send, all of them before
        the next one's."""
        question = self._pending
        assert isinstance(question, events.FetchMessages), "nothing was asked"
        view = self._opened
        number = view.number(message.uid)
        if not number:
            return iter(())
        flags = view.flags(message.uid, message.flags)
        try:
            response = Response(number, question.items, message, flags, self._condstore)
        except Fault as fault:
            self._failure = fault
            return iter(())
        if response.tells_flags:
            view.told(message.uid)
        return response.pieces()

    def stored(self, changes: Iterable[Flagged], modified: Iterable[int] = ()) -> bytes:
        """The answer to StoreFlags: flags as they are now; ``modified`` are the UIDs of
        those that ``unchanged_since`` has kept from it."""
        question, store = self._pending, self._command
        assert isinstance(question, events.StoreFlags), "nothing was asked"
        assert isinstance(store, c.Store)
        view = self._opened
        said = answers.stored(view, changes, store.uid, not store.silent, self._condstore)
        kept = [uid if store.uid else view.number(uid) for uid in sorted(modified)]
        code = codes.modified(kept) if kept else self._issued(question.uids)
        return said + self._done(b"OK", "stored", code)

    def copied(
        self,
        uid_validity: int,
        source: Sequence[int],
        made: Sequence[int],
        highest_modseq: int | None = None,
    ) -> bytes:
        """The answer to CopyMessages and MoveMessages: the UIDs of what was there, and in
        the same order of what was made, both ascending.  ``highest_modseq`` of the open
        mailbox, which a move has changed."""
        question = self._pending
        assert isinstance(question, events.CopyMessages | events.MoveMessages), "nothing was asked"
        code = codes.copy_uid(uid_validity, source, made) if source else b""
        if isinstance(question, events.CopyMessages):
            return self._done(b"OK", "copied", code)
        # RFC 6851 section 4.3: before the client is told that they are gone.
        said = responses.state("*", b"OK", "moved", code) if code else b""
        after = b"" if highest_modseq is None else codes.highest_modseq(highest_modseq)
        return said + self._done(b"OK", "moved", after)

    @property
    def _opened(self) -> View:
        assert self._view is not None, "no mailbox is open"
        return self._view

    def _issued(self, uids: Iterable[int]) -> bytes:
        """RFC 5530: what the client named may be gone."""
        return codes.EXPUNGE_ISSUED if self._opened.lacks(uids) else b""


_ANSWERED_OTHERWISE: Final = (
    events.StartTLS,
    events.AppendMessage,
    events.AppendEnd,
    events.SearchMessages,
    events.StoreFlags,
    events.CopyMessages,
    events.MoveMessages,
    events.ProofFailed,
    sasl.Credentials,
    sasl.KeysWanted,
    sasl.Proven,
    c.Select,
    c.List,
    c.Lsub,
    c.Status,
    c.GetQuota,
    c.GetQuotaRoot,
)


def _check_writable(view: View) -> None:
    if view.read_only:
        raise Fault("the mailbox is open to be read", bad=False)
