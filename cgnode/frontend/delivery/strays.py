"""Mail that a backend refuses for now because of what one of the two does not know yet: whose
account it is, which storage is attached, what the directory says.

That is over in a moment, mostly, and nobody tells when.  So of the messages that were
refused with the same words one is tried again soon, and again; once it is through, or has
gone elsewhere, all of them go on.

What must not live here: routing, and what waits for other reasons.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from attrs import Factory, define

from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.values import Destination
from cgnode.proto.smtp import delivery
from ldapserver.net.reactor import DelayedCall, Reactor

NOT_MINE: Final = "4.1.6"
"""A backend's word (``backend.lmtp``) for: another host has that mailbox."""

_REASONS: Final = frozenset({NOT_MINE, "4.2.1", "4.3.5", "4.4.3"})
"""That, and: the storage is not attached; the account has no host; the directory is away."""

FIRST: Final = 0.25
LONGEST: Final = 5.0
"""Seconds between two tries."""

Key = tuple[Destination, str]


def words_of(results: Sequence[delivery.Result]) -> str:
    """What the host said, if it is of this kind; else ""."""
    for result in results:
        reply = result.reply
        if reply is not None and reply.temporary and reply.enhanced in _REASONS:
            return str(reply)
    return ""


@define(eq=False)
class _Group:
    """The same words of the same host."""

    numbers: OrderedDict[int, None] = Factory(OrderedDict)
    delay: float = FIRST
    timer: DelayedCall | None = None


class Strays:
    def __init__(self, reactor: Reactor, queue: MailQueue) -> None:
        self._reactor = reactor
        self._queue = queue
        self._groups: dict[Key, _Group] = {}
        self._tried: dict[int, Key] = {}
        """Those that try it for all, by their numbers."""

    def __len__(self) -> int:
        return len(self._groups)

    def refused(self, destination: Destination, number: int, words: str) -> None:
        """The message waits there now."""
        key = (destination, words)
        self._tried.pop(number, None)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        group.numbers[number] = None
        self._arm(key, group)

    def settled(self, number: int) -> None:
        """It was not refused so: neither may the others be."""
        key = self._tried.pop(number, None)
        group = None if key is None else self._groups.pop(key, None)
        if key is not None and group is not None:
            self._disarm(group)
            self._queue.wake_moved(key[0], tuple(group.numbers), lambda _: True)

    def stop(self) -> None:
        for group in self._groups.values():
            self._disarm(group)
        self._groups.clear()
        self._tried.clear()

    def _arm(self, key: Key, group: _Group) -> None:
        if group.timer is None:
            group.timer = self._reactor.callLater(group.delay, self._fire, key)
            group.delay = min(LONGEST, group.delay * 2)

    def _disarm(self, group: _Group) -> None:
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None

    def _fire(self, key: Key) -> None:
        group = self._groups[key]
        group.timer = None
        while group.numbers:
            number, _ = group.numbers.popitem(last=False)
            if self._queue.wake_moved(key[0], (number,), lambda _: True):
                self._tried[number] = key
                # In case that nothing is heard of it any more.
                self._arm(key, group)
                return
        # None of them waits there any longer.
        del self._groups[key]
        self._tried = {number: tried for number, tried in self._tried.items() if tried != key}
