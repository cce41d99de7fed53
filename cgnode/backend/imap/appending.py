"""APPEND (RFC 3501 section 6.3.11, RFC 3502): messages on their way in, written to the disk as
they arrive, and added together at the end.

Blocking; one method at a time.  What they raise is the store's.
"""

from __future__ import annotations

from contextlib import suppress

from cgnode.backend.imap.folders import exists
from cgnode.backend.imap.replies import Reply
from cgnode.backend.store import Account, MailStoreError, New, NoSuchFolder, OverQuota
from cgnode.proto.imap import events


class Appending:
    """The messages of one APPEND."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._mailbox = ""
        self._messages: list[New] = []

    def begin(self, question: events.AppendMessage) -> Reply:
        """Say no before the message comes, where that can be said."""
        account = self._account
        if question.first:
            self.drop()
            self._mailbox = question.mailbox
            if not exists(account, question.mailbox):
                raise NoSuchFolder(question.mailbox)
        self._check(question.size)
        incoming = account.incoming()
        self._messages.append(New(incoming, frozenset(question.flags), question.date))
        return lambda core: core.ready()

    def _check(self, size: int) -> None:
        account, most = self._account, self._account.quota.size
        if most is None:
            return
        size += sum(message.incoming.size for message in self._messages)
        # What was counted once may be out of date; what is counted now is not.
        if any(account.usage(recount=again).size + size <= most for again in (False, True)):
            return
        raise OverQuota(f"{size} octets more")

    def write(self, data: bytes) -> None:
        self._messages[-1].incoming.write(data)

    def end(self) -> Reply:
        try:
            appended = self._account.append(self._mailbox, self._messages)
        finally:
            self.drop()
        return lambda core: core.appended(appended.uidvalidity, appended.uids)

    def drop(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            with suppress(MailStoreError, OSError):
                message.incoming.close()
