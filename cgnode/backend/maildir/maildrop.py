"""INBOX for POP3, ``store.Maildrop``: a list that stays as it is, and one session at a time.

The lock is a file's, so the kernel drops it with the process; it is only between POP3
sessions (RFC 1939 section 8 wants no more), IMAP goes on beside it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from cgnode.backend.maildir.content import FileContent
from cgnode.backend.maildir.disk import translated
from cgnode.backend.maildir.names import uidl_of
from cgnode.backend.store import INBOX, SEEN, Drop, Gone, How, InUse

if TYPE_CHECKING:
    from cgnode.backend.maildir.account import MaildirAccount

LOCK: Final = "cgnode-pop3"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class MaildirMaildrop:
    def __init__(self, account: MaildirAccount) -> None:
        """Raises InUse."""
        self._account = account
        self._lock: int | None = _lock(f"{account.path}/{LOCK}")
        try:
            with account.work() as work:
                self._mailbox = account.mailbox(INBOX, work)
                index = self._mailbox.index
                self.messages: Sequence[Drop] = tuple(
                    Drop(uid, message.size, uidl_of(index.bases[uid]))
                    for uid, message in index.messages.items()
                )
        except BaseException:
            self.close()
            raise

    def open(self, uid: int) -> FileContent:
        with self._account.work():
            return self._mailbox.open(uid)

    def quit(self, deleted: Iterable[int], seen: Iterable[int] = ()) -> None:
        with self._account.work() as work:
            self._mailbox.refresh(work)
            self._account.expunge(self._mailbox, deleted, work)
            self._mailbox.store(seen, How.ADD, frozenset({SEEN}), None)
            self._mailbox.announce(work)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lock(path: str) -> int:
    with translated():
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            raise Gone("the account has been removed or renamed") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InUse("another POP3 session has this maildrop") from None
        return descriptor
