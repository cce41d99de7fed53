"""A mail store in memory, and a shell that answers an IMAP core from it: what a backend
does, without files, threads and sockets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from cgnode.proto import sasl
from cgnode.proto.imap import codes, events
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.answers import Mailbox
from cgnode.proto.imap.fetching import Message, Needs
from cgnode.proto.imap.listing import Folder, choose, choose_subscribed
from cgnode.proto.imap.login import LoginServer, Settings
from cgnode.proto.imap.matching import matches
from cgnode.proto.imap.mime import Part
from cgnode.proto.imap.responses import Quota, Resource
from cgnode.proto.imap.server import Server
from cgnode.proto.imap.view import Arrived, Flagged, Gone, Update

NOW = 1_700_000_000
USER, PASSWORD = "alice", b"secret"
SALT = b"salt of scram keys"
KEYS = sasl.scram_keys(PASSWORD.decode(), SALT, 4096)

OPEN = Settings(clear_text=True, start_tls=True)

HELLO = b"From: Bob <bob@example.com>\r\nTo: alice@example.com\r\nSubject: Hello\r\n\r\nHow are you?\r\n"


@frozen
class Stored:
    uid: int
    flags: frozenset[str]
    date: int
    modseq: int
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def part(self, needs: Needs) -> Part:
        return Part(self.content)


class Box:
    def __init__(self) -> None:
        self.messages: dict[int, Stored] = {}
        self.uid_next = 1
        self.uid_validity = 7
        self.modseq = 1
        self.recent: set[int] = set()
        self.shells: list[Shell] = []

    def add(self, content: bytes, flags: Sequence[str] = (), date: int = NOW) -> int:
        uid = self.uid_next
        self.uid_next += 1
        self.modseq += 1
        self.messages[uid] = Stored(uid, frozenset(flags), date, self.modseq, content)
        taken = False
        for shell in self.shells:
            shell.tell(Arrived((uid,), frozenset() if taken else frozenset((uid,))))
            taken = True
        if not taken:
            self.recent.add(uid)
        return uid

    def remove(self, uids: Sequence[int]) -> None:
        gone = tuple(uid for uid in uids if self.messages.pop(uid, None))
        self.recent.difference_update(gone)
        self.modseq += 1
        for shell in self.shells:
            shell.tell(Gone(gone))

    def flag(self, uid: int, flags: frozenset[str], by: Shell | None = None) -> Stored:
        self.modseq += 1
        changed = evolve(self.messages[uid], flags=flags, modseq=self.modseq)
        self.messages[uid] = changed
        for shell in self.shells:
            if shell is not by:
                shell.tell(Flagged(uid, flags, self.modseq))
        return changed


class Store:
    """One account."""

    def __init__(self) -> None:
        self.boxes = {"INBOX": Box(), "Sent": Box(), "a b/c": Box()}
        self.subscribed = {"INBOX", "Sent"}
        self.uses = {"Sent": ("\\Sent",)}


class Shell:
    """Runs one core; ``sent`` is what the client gets."""

    def __init__(
        self,
        store: Store | None = None,
        settings: Settings = OPEN,
        core: LoginServer | None = None,
        randomness: Callable[[int], bytes] = bytes,
    ) -> None:
        self.store = store or Store()
        self.core = core or Server(settings, randomness=randomness)
        self.sent = b""
        self.seen: list[events.Event] = []
        self.closed: events.Closed | None = None
        self.joined = False
        self.tls = 0
        self.box: Box | None = None
        self.incoming: list[tuple[events.AppendMessage, bytearray]] = []
        self.held: list[events.Event] = []
        self.hold: type[object] | None = None
        """Questions of this kind are kept in ``held`` and wait."""
        self.sent += self.core.begin()

    def tell(self, *updates: Update) -> None:
        assert isinstance(self.core, Server)
        self.sent += self.core.update(*updates)

    def feed(self, *pieces: bytes) -> bytes:
        """What the client is sent for this."""
        before = len(self.sent)
        for piece in pieces:
            self.core.receive(piece)
            self.run()
        return self.sent[before:]

    def run(self) -> None:
        while (event := self.core.next_event()) is not None:
            if isinstance(event, bytes):
                self.sent += event
            else:
                self.seen.append(event)
                if self.hold is not None and isinstance(event, self.hold):
                    self.held.append(event)
                else:
                    self.answer(event)

    def answer(self, event: events.Event) -> None:
        core = self.core
        match event:
            case events.Closed(last_words):
                self.sent += last_words
                self.closed = event
                self._leave()
            case events.StartTLS(answer):
                self.sent += answer
                self.tls += 1
                core.tls_started()
            case sasl.Credentials(user, password):
                right = (user, password) == (USER, PASSWORD)
                self.sent += core.accept() if right else core.no("log-in failed", codes.AUTHENTICATION_FAILED)
            case sasl.KeysWanted(user):
                self.sent += core.keys(KEYS if user == USER else sasl.decoy_keys(b"x", user, 4096))
            case sasl.Proven():
                self.sent += core.accept()
            case events.ProofFailed():
                self.sent += core.no("log-in failed", codes.AUTHENTICATION_FAILED)
            case events.Joined():
                self.joined = True
            case (
                events.Identified()
                | events.LoggedIn()
                | events.LoginDropped()
                | events.IdleBegun()
                | events.IdleEnded()
            ):
                pass
            case _:
                assert isinstance(core, Server)
                self._mailboxes(core, event)

    def _leave(self) -> None:
        if self.box is not None:
            self.box.shells.remove(self)
        self.box = None

    def _mailboxes(self, core: Server, event: events.Event) -> None:
        boxes = self.store.boxes
        match event:
            case c.Noop() | c.Check():
                self.sent += core.ok()
            case c.Select(name):
                self._leave()
                if name in boxes:
                    self._open(core, boxes[name], event.read_only)
                else:
                    self.sent += core.no("no such mailbox", codes.NONEXISTENT)
            case c.Create(name) if name in boxes:
                self.sent += core.no("it is there", codes.ALREADY_EXISTS)
            case c.Create(name):
                boxes[name] = Box()
                self.sent += core.ok("created")
            case c.Delete(name) | c.Rename(name) | c.Status(name) if name not in boxes:
                self.sent += core.no("no such mailbox", codes.NONEXISTENT)
            case c.Delete(name):
                del boxes[name]
                self.sent += core.ok("deleted")
            case c.Rename(name, to):
                boxes[to] = boxes.pop(name)
                self.sent += core.ok("renamed")
            case c.Subscribe(name):
                self.store.subscribed.add(name)
                self.sent += core.ok()
            case c.Unsubscribe(name):
                self.store.subscribed.discard(name)
                self.sent += core.ok()
            case c.List():
                folders = [Folder(name, self.store.uses.get(name, ())) for name in boxes]
                rows = choose(event, folders, self.store.subscribed, "/")
                self.sent += core.listed(
                    evolve(row, status=self._status(boxes[row.name])) if row.name in boxes else row
                    for row in rows
                )
            case c.Lsub():
                self.sent += core.listed(choose_subscribed(event, self.store.subscribed, "/"))
            case c.Status(name):
                self.sent += core.status(self._status(boxes[name]))
            case c.GetQuota(root) if root:
                self.sent += core.no("no such quota root", codes.NONEXISTENT)
            case c.GetQuota() | c.GetQuotaRoot():
                self.sent += core.quota(Quota(b"", (Resource("STORAGE", 10, 512),)))
            case events.AppendMessage() | events.AppendOctets() | events.AppendEnd() | events.AppendDropped():
                self._append(core, event)
            case _:
                assert self.box is not None
                self._messages(core, event, self.box)

    def _open(self, core: Server, box: Box, read_only: bool) -> None:
        unseen = [uid for uid, message in box.messages.items() if "\\Seen" not in message.flags]
        self.sent += core.selected(
            Mailbox(
                tuple(box.messages),
                box.uid_validity,
                box.uid_next,
                recent=frozenset(box.recent),
                first_unseen=min(unseen, default=0),
                highest_modseq=box.modseq,
            )
        )
        if not read_only:
            box.recent.clear()
        self.box = box
        box.shells.append(self)

    def _status(self, box: Box) -> dict[c.StatusItem, int | None]:
        messages = box.messages.values()
        return {
            c.StatusItem.MESSAGES: len(messages),
            c.StatusItem.RECENT: len(box.recent),
            c.StatusItem.UIDNEXT: box.uid_next,
            c.StatusItem.UIDVALIDITY: box.uid_validity,
            c.StatusItem.UNSEEN: sum("\\Seen" not in message.flags for message in messages),
            c.StatusItem.SIZE: sum(message.size for message in messages),
            c.StatusItem.HIGHESTMODSEQ: box.modseq,
            c.StatusItem.APPENDLIMIT: None,
        }

    def _append(self, core: Server, event: events.Event) -> None:
        match event:
            case events.AppendMessage(mailbox):
                if mailbox not in self.store.boxes:
                    self.sent += core.no("no such mailbox", codes.TRY_CREATE)
                    return
                self.incoming.append((event, bytearray()))
                self.sent += core.ready()
            case events.AppendOctets(data, last):
                head, octets = self.incoming[-1]
                octets += data
                assert last == (len(octets) == head.size)
                if b"DISK FULL" in octets:
                    self.incoming.clear()
                    self.sent += core.no("no room", codes.OVER_QUOTA)
            case events.AppendDropped():
                self.incoming.clear()
            case events.AppendEnd():
                box = self.store.boxes[self.incoming[0][0].mailbox]
                uids = [
                    box.add(bytes(octets), head.flags, head.date or NOW) for head, octets in self.incoming
                ]
                self.incoming.clear()
                self.sent += core.appended(box.uid_validity, uids)

    def _messages(self, core: Server, event: events.Event, box: Box) -> None:
        match event:
            case events.Leave(expunge):
                self._leave()
                if expunge:
                    box.remove([uid for uid, m in box.messages.items() if "\\Deleted" in m.flags])
                self.sent += core.ok()
            case events.ExpungeMessages(uids):
                deleted = {uid for uid, m in box.messages.items() if "\\Deleted" in m.flags}
                box.remove(sorted(deleted if uids is None else deleted.intersection(uids)))
                self.sent += core.ok()
            case events.SearchMessages(uids, key):
                found = [uid for uid in uids if uid in box.messages and matches(key, box.messages[uid], NOW)]
                self.sent += core.found(found, {uid: box.messages[uid].modseq for uid in found})
            case events.FetchMessages():
                self._fetch(core, event, box)
            case events.StoreFlags():
                self._store(core, event, box)
            case events.CopyMessages(uids, mailbox) | events.MoveMessages(uids, mailbox):
                if mailbox not in self.store.boxes:
                    self.sent += core.no("no such mailbox", codes.TRY_CREATE)
                    return
                there = [uid for uid in uids if uid in box.messages]
                target = self.store.boxes[mailbox]
                made = [
                    target.add(box.messages[uid].content, tuple(box.messages[uid].flags)) for uid in there
                ]
                if isinstance(event, events.MoveMessages):
                    box.remove(there)
                    self.sent += core.copied(target.uid_validity, there, made, box.modseq)
                else:
                    self.sent += core.copied(target.uid_validity, there, made)
            case _:
                raise AssertionError(event)

    def _fetch(self, core: Server, event: events.FetchMessages, box: Box) -> None:
        for uid in event.uids:
            message = box.messages.get(uid)
            if message is None or (event.changed_since and message.modseq <= event.changed_since):
                continue
            newly = event.see and "\\Seen" not in message.flags
            if newly:
                message = box.flag(uid, message.flags | {"\\Seen"}, self)
            content = b""
            match event.needs:
                case Needs.HEADER:
                    content = message.content[: Part(message.content).body]
                case Needs.WHOLE:
                    content = message.content
            known = Message(uid, message.flags, message.date, message.size, message.modseq, content, newly)
            self.sent += b"".join(core.fetched(known))
        self.sent += core.ok()

    def _store(self, core: Server, event: events.StoreFlags, box: Box) -> None:
        changes: list[Flagged] = []
        modified: list[int] = []
        for uid in event.uids:
            message = box.messages.get(uid)
            if message is None:
                continue
            if event.unchanged_since is not None and message.modseq > event.unchanged_since:
                modified.append(uid)
                continue
            flags = {
                c.Change.REPLACE: frozenset(event.flags),
                c.Change.ADD: message.flags | frozenset(event.flags),
                c.Change.REMOVE: message.flags - frozenset(event.flags),
            }[event.change]
            message = box.flag(uid, flags, self)
            changes.append(Flagged(uid, flags, message.modseq))
        self.sent += core.stored(changes, modified)


def logged_in(store: Store | None = None, select: str = "") -> Shell:
    shell = Shell(store)
    assert b"x OK " in shell.feed(b"x LOGIN alice secret\r\n")
    if select:
        assert b"x OK " in shell.feed(b"x SELECT %b\r\n" % select.encode())
    return shell


def with_messages(*contents: bytes, select: str = "INBOX") -> Shell:
    """Logged in, with these in INBOX."""
    store = Store()
    for content in contents or (HELLO, HELLO, HELLO):
        store.boxes["INBOX"].add(content)
    return logged_in(store, select)


def lines(sent: bytes) -> list[bytes]:
    return sent.split(b"\r\n")[:-1]


def tagged(sent: bytes, tag: bytes = b"a") -> bytes:
    """The answer with this tag, of which there must be one."""
    (answer,) = re.findall(rb"^%b (.*)\r\n" % re.escape(tag), sent, re.MULTILINE)
    return bytes(answer)
