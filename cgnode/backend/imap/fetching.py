"""FETCH from a folder (RFC 3501 section 6.4.5): its messages, as many at a time as are little
to hold.  The next are read when these have been taken by the client.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from cgnode.backend.imap.messages import OpenFolder
from cgnode.backend.store import SEEN, Gone, How
from cgnode.backend.store import Message as Known
from cgnode.proto.imap import events
from cgnode.proto.imap.commands import Binary, BodySection
from cgnode.proto.imap.fetching import Message, Needs

MOST_OCTETS: Final = 1 << 20
"""Of contents, in one batch; a larger message is one by itself."""
_MOST: Final = {Needs.NOTHING: 500, Needs.HEADER: 100, Needs.WHOLE: 100}


@frozen
class _Chosen:
    message: Known
    newly_seen: bool = False


class Fetch:
    def __init__(self, folder: OpenFolder, question: events.FetchMessages) -> None:
        self.folder = folder
        self._question = question
        self._uids = question.uids
        self._next = 0
        self._in_parts = any(
            isinstance(item, BodySection | Binary) and item.partial is not None for item in question.items
        )

    def batch(self) -> list[Message]:
        """The next messages; none when there are no more."""
        while self._next < len(self._uids):
            chosen = self._choose()
            found = [message for each in chosen if (message := self._read(each)) is not None]
            if found:
                return found
        return []

    def _choose(self) -> list[_Chosen]:
        most, since = _MOST[self._question.needs], self._question.changed_since
        uids = self._uids[self._next : self._next + most]
        self._next += len(uids)
        chosen: list[_Chosen] = []
        octets = 0
        for message in self.folder.view.messages(uids):
            if self._question.needs is Needs.WHOLE:
                octets += message.size
                if chosen and octets > MOST_OCTETS:
                    self._next -= len(uids) - uids.index(message.uid)
                    break
            if since is None or message.modseq > since:
                chosen.append(_Chosen(message))
        return self._seen(chosen) if self._question.see else chosen

    def _seen(self, chosen: list[_Chosen]) -> list[_Chosen]:
        r"""With \Seen set where it was not."""
        unseen = [each.message.uid for each in chosen if SEEN not in each.message.flags]
        if not unseen:
            return chosen
        stored = self.folder.view.store(unseen, How.ADD, frozenset({SEEN}))
        now = {message.uid: message for message in stored.messages}
        return [
            _Chosen(now.get(each.message.uid, each.message), each.message.uid in stored.changed)
            for each in chosen
        ]

    def _read(self, chosen: _Chosen) -> Message | None:
        """None where the message has been removed."""
        known = chosen.message
        content = b""
        if self._question.needs is not Needs.NOTHING:
            try:
                content = self._content(known.uid)
            except Gone:
                return None
        return Message(
            known.uid, known.flags, known.date, known.size, known.modseq, content, chosen.newly_seen
        )

    def _content(self, uid: int) -> bytes:
        if self._question.needs is Needs.WHOLE:
            return self.folder.read(uid, keep=self._in_parts)
        with self.folder.view.open(uid) as content:
            return content.header()
