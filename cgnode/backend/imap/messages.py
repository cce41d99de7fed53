"""The folder that a session has open: the store's view of it to what a client is told.

Blocking; one method at a time.  What they raise is the store's: ``Gone`` is that the folder,
not a message of it, is there no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, assert_never

from cgnode.backend.imap.kept import Kept
from cgnode.backend.imap.replies import Reply, ok
from cgnode.backend.store import SEEN, How, View
from cgnode.proto.imap import commands as c
from cgnode.proto.imap import events
from cgnode.proto.imap.answers import Mailbox
from cgnode.proto.imap.view import Arrived, Defined, Flagged, Gone, Update

SYSTEM_FLAGS: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")

_HOW: Final = {c.Change.REPLACE: How.REPLACE, c.Change.ADD: How.ADD, c.Change.REMOVE: How.REMOVE}

Question: TypeAlias = events.StoreFlags | events.CopyMessages | events.MoveMessages | events.ExpungeMessages

News: TypeAlias = tuple[Update, ...]


class OpenFolder:
    """``changed`` is called, in whatever thread, when there may be news."""

    def __init__(self, view: View, changed: Callable[[], None], kept: Kept) -> None:
        self.view = view
        self._keywords = view.keywords
        self._kept = kept
        view.listen(changed)

    def close(self) -> None:
        self._kept.drop(self)
        self.view.close()

    def read(self, uid: int, *, keep: bool) -> bytes:
        """A message, with ``keep`` for further parts of it to come.  ``Gone``: it has been
        removed."""
        octets = self._kept.get(self, uid) if keep else None
        if octets is None:
            with self.view.open(uid) as content:
                octets = content.read()
            if keep:
                self._kept.put(self, uid, octets)
        return octets

    def mailbox(self) -> Mailbox:
        """What a client is told that opens it."""
        view = self.view
        flags = (*SYSTEM_FLAGS, *self._keywords)
        unseen = (message.uid for message in view.messages() if SEEN not in message.flags)
        return Mailbox(
            uids=tuple(view.uids),
            uid_validity=view.uidvalidity,
            uid_next=view.uidnext,
            flags=flags,
            permanent_flags=flags,
            recent=view.recent,
            first_unseen=next(unseen, 0),
            highest_modseq=view.highest_modseq,
            read_only=view.read_only,
        )

    def news(self) -> News:
        """What has happened since it was last asked, in the order that it is told in."""
        view = self.view
        if not view.poll():
            return self._defined()
        known = list(view.uids)
        changes = view.look()
        found: list[Update] = []
        gone = tuple(known.pop(number - 1) for number in changes.expunged)
        if gone:
            found.append(Gone(gone))
        if changes.exists is not None:
            found.append(Arrived(tuple(view.uids[len(known) :]), view.recent))
        found += (Flagged(each.uid, each.flags, each.modseq) for _, each in changes.updated)
        return (*self._defined(), *found)

    def _defined(self) -> News:
        """Keywords that somebody has made."""
        keywords = self.view.keywords
        if keywords == self._keywords:
            return ()
        self._keywords = keywords
        return (Defined((*SYSTEM_FLAGS, *keywords)),)


def answer(folder: OpenFolder, question: Question) -> Reply:
    view = folder.view
    match question:
        case events.StoreFlags(uids, change, flags, unchanged_since):
            stored = view.store(uids, _HOW[change], frozenset(flags), unchanged_since=unchanged_since)
            changes = [Flagged(each.uid, each.flags, each.modseq) for each in stored.messages]
            return lambda core: core.stored(changes, stored.modified)
        case events.CopyMessages(uids, mailbox):
            copied = view.copy(uids, mailbox)
            here, there = _ends(copied.pairs)
            return lambda core: core.copied(copied.uidvalidity, here, there)
        case events.MoveMessages(uids, mailbox):
            moved = view.move(uids, mailbox)
            here, there = _ends(moved.pairs)
            return lambda core: core.copied(moved.uidvalidity, here, there, view.highest_modseq)
        case events.ExpungeMessages(uids):
            view.expunge(uids)
            return ok
        case _:
            assert_never(question)


def _ends(pairs: tuple[tuple[int, int], ...]) -> tuple[list[int], list[int]]:
    return [here for here, _ in pairs], [there for _, there in pairs]
