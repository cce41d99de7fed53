"""SEARCH over a folder (RFC 3501 section 6.4.4): which messages match, a slice of them at a
time, so that a search through all bodies keeps no thread from others.

Messages are opened only where nothing cheaper has decided, which ``matching`` sees to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import islice
from typing import Final

from cgnode.backend.imap.messages import OpenFolder
from cgnode.backend.imap.replies import Reply
from cgnode.backend.store import Gone, Message, View
from cgnode.proto.imap import events
from cgnode.proto.imap.fetching import Needs
from cgnode.proto.imap.matching import matches
from cgnode.proto.imap.mime import Part

SLICE: Final = 0.1
"""Seconds."""
_BETWEEN_LOOKS: Final = 64


class Search:
    def __init__(
        self, folder: OpenFolder, question: events.SearchMessages, now: int, clock: Callable[[], float]
    ) -> None:
        """``now`` is the date, in seconds since 1970; ``clock`` measures."""
        self.folder = folder
        self._view = folder.view
        self._question = question
        self._now = now
        self._clock = clock
        self._left = iter(question.uids)
        self._found: dict[int, int] = {}

    def go_on(self) -> Reply | None:
        """Search for a while; the answer when that is it."""
        end = self._clock() + SLICE
        while uids := list(islice(self._left, _BETWEEN_LOOKS)):
            for message in self._view.messages(uids):
                if self._matches(message):
                    self._found[message.uid] = message.modseq
            if self._clock() > end:
                return None
        found = self._found
        return lambda core: core.found(found, found)

    def _matches(self, message: Message) -> bool:
        try:
            return matches(self._question.key, _Candidate(self._view, message), self._now)
        except Gone:
            # Removed meanwhile.
            return False


class _Candidate:
    """``matching.Candidate``."""

    def __init__(self, view: View, message: Message) -> None:
        self._view = view
        self.uid = message.uid
        self.flags = message.flags
        self.date = message.date
        self.size = message.size
        self.modseq: int | None = message.modseq

    def part(self, needs: Needs) -> Part:
        if needs is Needs.WHOLE or "_whole" in self.__dict__:
            return self._whole
        return self._header

    @cached_property
    def _header(self) -> Part:
        with self._view.open(self.uid) as content:
            return Part(content.header())

    @cached_property
    def _whole(self) -> Part:
        with self._view.open(self.uid) as content:
            return Part(content.read())
