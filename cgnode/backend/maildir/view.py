"""A folder as one session sees it, ``store.View``: its sequence numbers, its \\Recent, and what it
has been told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cgnode.backend.maildir.content import FileContent
from cgnode.backend.maildir.mailbox import Mailbox
from cgnode.backend.maildir.names import checked_flags
from cgnode.backend.store import DELETED, Changes, Copied, Criteria, How, Message, Stored

if TYPE_CHECKING:
    from cgnode.backend.maildir.account import MaildirAccount


class MaildirView:
    def __init__(self, account: MaildirAccount, mailbox: Mailbox, *, read_only: bool) -> None:
        """With the account held."""
        self.read_only = read_only
        self.position = 0
        self.callback: Callable[[], None] | None = None
        self._account = account
        self._mailbox = mailbox
        self._own: dict[int, int] = {}
        self._waiting: set[int] = set()
        self._recent: set[int] = set()
        mailbox.join(self)
        self._uids = list(mailbox.index.messages)
        self._learn_recent()
        self._note_numbers()

    def _learn_recent(self) -> None:
        self._recent.update(self._mailbox.unclaimed() if self.read_only else self._mailbox.claim())

    def _note_numbers(self) -> None:
        index = self._mailbox.index
        self.uidvalidity = index.uidvalidity
        self.uidnext = index.uidnext
        self.highest_modseq = index.modseq

    @property
    def uids(self) -> Sequence[int]:
        return self._uids

    @property
    def recent(self) -> frozenset[int]:
        return frozenset(self._recent)

    @property
    def keywords(self) -> tuple[str, ...]:
        return tuple(sorted(self._mailbox.index.keywords.values()))

    # --- what has changed ----------------------------------------------------------------

    def look(self, *, expunges: bool = True) -> Changes:
        with self._account.work() as work:
            self._mailbox.refresh(work)
            fresh = self._mailbox.since(self) | self._waiting
            self._learn_recent()
            changes = self._take(fresh, expunges) if fresh else Changes(recent=len(self._recent))
            self._note_numbers()
            return changes

    def _take(self, fresh: set[int], expunges: bool) -> Changes:
        messages = self._mailbox.index.messages
        last = self._uids[-1] if self._uids else 0
        gone = {uid for uid in fresh if uid not in messages and self._number(uid)}
        expunged: tuple[int, ...] = ()
        if expunges:
            expunged = tuple(sorted(map(self._number, gone), reverse=True))
            self._uids = [uid for uid in self._uids if uid not in gone]
            self._recent -= gone
            gone = set()
        self._waiting = gone
        come = sorted(uid for uid in fresh if uid in messages and uid > last)
        self._uids += come
        updated = [
            (self._number(uid), messages[uid])
            for uid in sorted(fresh)
            if uid in messages and uid <= last and self._own.pop(uid, None) != messages[uid].modseq
        ]
        exists = len(self._uids) if come else None
        return Changes(expunged, exists, len(self._recent), tuple(updated))

    def _number(self, uid: int) -> int:
        """A sequence number, 0 for what the session has not been told of."""
        place = bisect_left(self._uids, uid)
        return place + 1 if place < len(self._uids) and self._uids[place] == uid else 0

    def poll(self) -> bool:
        mailbox = self._mailbox
        return self.position < mailbox.index.journal_end or bool(self._waiting) or mailbox.files.is_stale()

    def listen(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback

    # --- reading -------------------------------------------------------------------------

    def messages(self, uids: Iterable[int] | None = None) -> list[Message]:
        known = self._mailbox.index.messages
        found = (known.get(uid) for uid in (self._uids if uids is None else uids))
        return [message for message in found if message is not None]

    def find(self, criteria: Criteria) -> list[int]:
        return [message.uid for message in self.messages() if _meets(message, criteria)]

    def open(self, uid: int) -> FileContent:
        with self._account.work():
            return self._mailbox.open(uid)

    # --- changing ------------------------------------------------------------------------

    def store(
        self, uids: Iterable[int], how: How, flags: frozenset[str], *, unchanged_since: int | None = None
    ) -> Stored:
        flags = checked_flags(flags)
        with self._account.work() as work:
            self._writable().refresh(work)
            stored = self._mailbox.store(uids, how, flags, unchanged_since)
            for message in stored.messages:
                if message.uid in stored.changed:
                    self._own[message.uid] = message.modseq
            self._mailbox.announce(work, self)
            return stored

    def expunge(self, uids: Iterable[int] | None = None) -> tuple[int, ...]:
        with self._account.work() as work:
            self._writable().refresh(work)
            messages = self._mailbox.index.messages
            among = self._uids if uids is None else uids
            doomed = [uid for uid in among if uid in messages and DELETED in messages[uid].flags]
            gone = self._account.expunge(self._mailbox, doomed, work)
            self._mailbox.announce(work, self)
            return gone

    def _writable(self) -> Mailbox:
        if self.read_only:
            raise ValueError("the folder was selected for reading")
        return self._mailbox

    def copy(self, uids: Iterable[int], folder: str) -> Copied:
        return self._account.transfer(self._mailbox, uids, folder, move=False)

    def move(self, uids: Iterable[int], folder: str) -> Copied:
        return self._account.transfer(self._writable(), uids, folder, move=True)

    def close(self) -> None:
        self.callback = None
        self._mailbox.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _meets(message: Message, criteria: Criteria) -> bool:
    return (
        criteria.flagged <= message.flags
        and not criteria.unflagged & message.flags
        and (criteria.since is None or message.date >= criteria.since)
        and (criteria.before is None or message.date < criteria.before)
        and (criteria.larger is None or message.size > criteria.larger)
        and (criteria.smaller is None or message.size < criteria.smaller)
        and (criteria.modseq is None or message.modseq >= criteria.modseq)
    )
