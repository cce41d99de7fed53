"""The mail store against a dictionary: any sequence of what sessions, deliveries, other programs
and restarts do leaves what the model says, and each session has been told of it rightly.

Two stores are open on the same folder, as two processes would have it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from time import time

import pytest
from attrs import Factory, define, evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cgnode.backend.maildir import mailbox, uidlist
from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Names
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.maildir.names import info_of, keywords_of, letters_of, system_flags, with_letters
from cgnode.backend.maildir.view import MaildirView
from cgnode.backend.store import DELETED, FLAGGED, INBOX, SEEN, Changes, Gone, How
from tests.cgnode.backend.mailing import ALICE, append, faults, in_memory, name_of, open_store, text

_NAMES = st.sampled_from([INBOX, "A", "A/B", "C.d"])
_FLAGS = st.frozensets(st.sampled_from([SEEN, FLAGGED, DELETED, "$k", "$l"]), max_size=3)
_LETTERS = st.sampled_from(["", "S", "FS", "T", "Sx"])
_PICK = st.integers(0, 1000)
_UIDS = st.lists(_PICK, min_size=1, max_size=4)


@define(frozen=True)
class Known:
    label: str
    flags: frozenset[str]


@define
class FolderModel:
    messages: dict[int, Known] = Factory(dict)
    uidnext: int = 1

    def add(self, known: Known) -> int:
        self.messages[self.uidnext] = known
        self.uidnext += 1
        return self.uidnext - 1


@define
class Session:
    """What a client knows from what it was told."""

    folder: str
    view: MaildirView
    uids: list[int]
    flags: dict[int, frozenset[str]]

    def hear(self, changes: Changes) -> None:
        for number in changes.expunged:
            del self.flags[self.uids.pop(number - 1)]
        if changes.exists is not None:
            assert changes.exists > len(self.uids)
            for uid in self.view.uids[len(self.uids) : changes.exists]:
                assert not self.uids or uid > self.uids[-1]
                self.uids.append(uid)
                self.flags[uid] = next((one.flags for one in self.view.messages([uid])), frozenset())
        for number, message in changes.updated:
            assert self.uids[number - 1] == message.uid
            self.flags[message.uid] = message.flags
        assert self.uids == list(self.view.uids)
        assert changes.recent == len(self.view.recent)


class MailStoreAgainstDictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(uidlist, "SPARE_LINES", 4)
        self.patch.setattr(mailbox, "_JOURNAL", 8)
        self.scope = ExitStack()
        self.folder = self.scope.enter_context(in_memory())
        self.stores: list[MaildirStore] = []
        self.sessions: list[Session] = []
        self.folders: dict[str, FolderModel] = {INBOX: FolderModel()}
        self.told: dict[tuple[int, int], str] = {}
        self.labels = map(str, count())
        self.dates = count(1)
        self.foreign = Names(time)
        self.restart()
        for name in self.account(0).folders():
            if name.name != INBOX:
                self.account(0).delete(name.name)

    def teardown(self) -> None:
        try:
            self.agrees()
            for store in self.stores:
                store.account(ALICE).usage(recount=True)
                assert faults(store) == []
        finally:
            self.patch.undo()
            self.scope.close()

    # --- the model ---------------------------------------------------------------

    def account(self, pick: int) -> MaildirAccount:
        return self.stores[pick % 2].account(ALICE)

    def name(self, pick: int) -> str:
        return sorted(self.folders)[pick % len(self.folders)]

    def some(self, folder: str, picks: list[int]) -> list[int]:
        known = sorted(self.folders[folder].messages)
        return list(dict.fromkeys(known[pick % len(known)] for pick in picks)) if known else []

    def agrees(self) -> None:
        """What a session sees that comes anew."""
        for store in self.stores:
            account = store.account(ALICE)
            assert {folder.name for folder in account.folders() if folder.exists} == {*self.folders}
            for name, model in self.folders.items():
                with account.select(name, read_only=True) as view:
                    found = {
                        message.uid: Known(name_of(view, message.uid), message.flags)
                        for message in view.messages()
                    }
                    assert found == model.messages
                    assert view.uidnext == model.uidnext
                    for uid in found:
                        label = self.told.setdefault((view.uidvalidity, uid), found[uid].label)
                        assert label == found[uid].label

    def there(self, session: Session) -> bool:
        """Forget a session whose folder has gone."""
        if session.folder:
            return True
        self.sessions.remove(session)
        assert session.view.poll()
        try:
            session.view.look()
        except Gone:
            session.view.close()
            return False
        raise AssertionError("it looks at what has gone")

    # --- sessions ----------------------------------------------------------------

    @rule(pick=_PICK, folder=_PICK, read_only=st.booleans())
    def select(self, pick: int, folder: int, read_only: bool) -> None:
        if len(self.sessions) > 5:
            return
        name = self.name(folder)
        view = self.account(pick).select(name, read_only=read_only)
        messages = view.messages()
        uids = [message.uid for message in messages]
        assert uids == list(self.folders[name].messages)
        self.sessions.append(Session(name, view, uids, {one.uid: one.flags for one in messages}))

    @precondition(lambda self: self.sessions)
    @rule(pick=_PICK)
    def leave(self, pick: int) -> None:
        self.sessions.pop(pick % len(self.sessions)).view.close()

    @precondition(lambda self: self.sessions)
    @rule(pick=_PICK, expunges=st.booleans())
    def look(self, pick: int, expunges: bool) -> None:
        session = self.sessions[pick % len(self.sessions)]
        if not self.there(session):
            return
        polled = session.view.poll()
        changes = session.view.look(expunges=expunges)
        assert polled or not (changes.expunged or changes.exists or changes.updated)
        session.hear(changes)
        model = self.folders[session.folder].messages
        if expunges:
            assert session.uids == list(model)
            assert session.flags == {uid: known.flags for uid, known in model.items()}
        else:
            assert set(model) <= set(session.uids)
            assert {uid: session.flags[uid] for uid in model} == {
                uid: known.flags for uid, known in model.items()
            }

    @precondition(lambda self: self.sessions)
    @rule(pick=_PICK, uids=_UIDS, how=st.sampled_from(How), flags=_FLAGS, since=st.none() | st.integers(0, 3))
    def store(self, pick: int, uids: list[int], how: How, flags: frozenset[str], since: int | None) -> None:
        session = self.sessions[pick % len(self.sessions)]
        if not self.there(session) or session.view.read_only:
            return
        model = self.folders[session.folder].messages
        wanted = self.some(session.folder, uids)
        limit = None if since is None else session.view.highest_modseq - since
        stored = session.view.store(wanted, how, flags, unchanged_since=limit)
        assert [message.uid for message in stored.messages] == [
            uid for uid in wanted if uid not in stored.modified
        ]
        assert limit is not None or not stored.modified
        for message in stored.messages:
            before = model[message.uid].flags
            after = {How.REPLACE: flags, How.ADD: before | flags, How.REMOVE: before - flags}[how]
            assert message.flags == after
            assert (message.uid in stored.changed) == (before != after)
            model[message.uid] = evolve(model[message.uid], flags=after)
            if message.uid in session.flags:
                session.flags[message.uid] = after

    @precondition(lambda self: self.sessions)
    @rule(pick=_PICK, uids=st.none() | _UIDS)
    def expunge(self, pick: int, uids: list[int] | None) -> None:
        session = self.sessions[pick % len(self.sessions)]
        if not self.there(session) or session.view.read_only:
            return
        model = self.folders[session.folder].messages
        among = None if uids is None else self.some(session.folder, uids)
        gone = session.view.expunge(among)
        doomed = [uid for uid in model if DELETED in model[uid].flags]
        assert set(gone) == set(doomed) & set(session.uids if among is None else among)
        for uid in gone:
            del model[uid]

    @precondition(lambda self: self.sessions)
    @rule(pick=_PICK, uids=_UIDS, into=_PICK, move=st.booleans())
    def transfer(self, pick: int, uids: list[int], into: int, move: bool) -> None:
        session = self.sessions[pick % len(self.sessions)]
        if not self.there(session) or (move and session.view.read_only):
            return
        source, name = self.folders[session.folder], self.name(into)
        wanted = self.some(session.folder, uids)
        copied = (session.view.move if move else session.view.copy)(wanted, name)
        assert [uid for uid, _ in copied.pairs] == wanted
        for uid, new in copied.pairs:
            assert self.folders[name].add(source.messages[uid]) == new
            if move:
                del source.messages[uid]

    @precondition(lambda self: self.sessions)
    @rule(pick=_PICK, number=_PICK)
    def read(self, pick: int, number: int) -> None:
        session = self.sessions[pick % len(self.sessions)]
        if session.folder and session.uids:
            uid = session.uids[number % len(session.uids)]
            known = self.folders[session.folder].messages.get(uid)
            try:
                assert known == Known(name_of(session.view, uid), known.flags if known else frozenset())
            except Gone:
                assert known is None

    # --- arrivals ----------------------------------------------------------------

    @rule(pick=_PICK, folder=_PICK)
    def deliver(self, pick: int, folder: int) -> None:
        name, label = self.name(folder), next(self.labels)
        account = self.account(pick)
        with account.incoming() as incoming:
            incoming.write(text(label))
            account.deliver(incoming, name)
        self.folders[name].add(Known(label, frozenset()))

    @rule(pick=_PICK, folder=_PICK, flags=_FLAGS)
    def append(self, pick: int, folder: int, flags: frozenset[str]) -> None:
        name, label = self.name(folder), next(self.labels)
        uid = append(self.account(pick), label, name, flags, date=pick * 10**6)
        assert self.folders[name].add(Known(label, flags)) == uid

    # --- other programs ----------------------------------------------------------

    def place(self, folder: str) -> Path:
        return Path(self.account(0).tree.place(folder))

    def changed(self, place: Path) -> None:
        """A file system whose clock never stands still: what hides behind that is tested elsewhere."""
        for part in ("new", "cur"):
            os.utime(place / part, (next(self.dates), next(self.dates)))

    @rule(folder=_PICK)
    def foreign_delivery(self, folder: int) -> None:
        name, label = self.name(folder), next(self.labels)
        place = self.place(name)
        unique = self.foreign()
        (place / "tmp" / unique).write_bytes(text(label).replace(b"\r\n", b"\n"))
        (place / "tmp" / unique).rename(place / "new" / unique)
        self.changed(place)
        self.folders[name].add(Known(label, frozenset()))

    def foreign_file(self, folder: int, pick: int) -> tuple[str, Path, int] | None:
        """A file of a folder, and the message in the model."""
        name = self.name(folder)
        with self.account(0).select(name, read_only=True) as view:
            uids = list(view.uids)
            if not uids:
                return None
            uid = uids[pick % len(uids)]
            found = view._mailbox.files.path(uid)
        return name, Path(found), uid

    @rule(folder=_PICK, pick=_PICK, letters=_LETTERS)
    def foreign_flags(self, folder: int, pick: int, letters: str) -> None:
        if (found := self.foreign_file(folder, pick)) is None:
            return
        name, path, uid = found
        new = with_letters(path.name, letters)
        path.rename(path.parents[1] / "cur" / new)
        self.changed(path.parents[1])
        known = self.folders[name].messages[uid]
        flags = system_flags(info_of(new)).union(keywords_of(known.flags))
        self.folders[name].messages[uid] = evolve(known, flags=flags)

    @rule(folder=_PICK, pick=_PICK)
    def foreign_deletion(self, folder: int, pick: int) -> None:
        if (found := self.foreign_file(folder, pick)) is None:
            return
        name, path, uid = found
        path.unlink()
        self.changed(path.parents[1])
        del self.folders[name].messages[uid]

    @rule(folder=_PICK)
    def lose_list(self, folder: int) -> None:
        """Its numbers go, and its keywords; nothing else."""
        name = self.name(folder)
        self.lose_sessions(name)
        (self.place(name) / uidlist.NAME).unlink(missing_ok=True)
        before = sorted(
            (known.label, letters_of(known.flags)) for known in self.folders[name].messages.values()
        )
        model = self.folders[name] = FolderModel()
        with self.account(0).select(name, read_only=True) as view:
            for message in view.messages():
                assert model.add(Known(name_of(view, message.uid), message.flags)) == message.uid
        assert before == sorted((known.label, letters_of(known.flags)) for known in model.messages.values())

    def lose_sessions(self, *names: str) -> None:
        for session in self.sessions:
            if session.folder in names:
                session.folder = ""

    # --- folders, restarts -------------------------------------------------------

    @rule(pick=_PICK, name=_NAMES)
    def create(self, pick: int, name: str) -> None:
        if name not in self.folders:
            self.account(pick).create(name)
            for level in ("A", name) if name.startswith("A/") else (name,):
                self.folders.setdefault(level, FolderModel())

    @rule(pick=_PICK, folder=_PICK)
    def delete(self, pick: int, folder: int) -> None:
        name = self.name(folder)
        if name != INBOX:
            self.account(pick).delete(name)
            self.lose_sessions(name)
            del self.folders[name]

    @rule(pick=_PICK, folder=_PICK)
    def rename(self, pick: int, folder: int) -> None:
        name, new = self.name(folder), f"N/{next(self.labels)}"
        if name == "N":
            return
        self.account(pick).rename(name, new)
        self.folders.setdefault("N", FolderModel())
        if name == INBOX:
            target = self.folders.setdefault(new, FolderModel())
            for known in self.folders[INBOX].messages.values():
                target.add(known)
            self.folders[INBOX].messages.clear()
            return
        for known_name in [one for one in self.folders if f"{one}/".startswith(f"{name}/")]:
            self.folders[new + known_name[len(name) :]] = self.folders.pop(known_name)
            self.lose_sessions(known_name)

    @rule()
    def restart(self) -> None:
        for session in self.sessions:
            session.view.close()
        self.sessions.clear()
        self.stores = [open_store(self.folder) for _ in range(2)]
        # Else they would be forgotten between two rules.
        self.kept = [store.account(ALICE, create=True) for store in self.stores]

    @rule()
    def look_anew(self) -> None:
        self.agrees()


TestMailStore = MailStoreAgainstDictionary.TestCase
MailStoreAgainstDictionary.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
