"""From a queued message to what its sender is to be told of it.

What lives here: which fates are news.  What must not: how they are put (``bounce``).
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from cgnode.frontend.bounce import Action, Fate, Original
from cgnode.frontend.queue.message import Addressee, Message, Outcome, Stage
from cgnode.frontend.queue.values import Reason
from cgnode.proto.smtp.address import Address

_ACTIONS: Final = {
    Outcome.DELIVERED: Action.DELIVERED,
    Outcome.RELAYED: Action.RELAYED,
    Outcome.FAILED: Action.FAILED,
    Outcome.EXPANDED: Action.EXPANDED,
}


@frozen
class News:
    """``owed``: the recipients whose outcomes are told.  ``warned``: a delay is."""

    message: Message
    owed: tuple[int, ...]
    warned: bool
    original: Original

    @property
    def failed(self) -> tuple[tuple[Address, Reason], ...]:
        fates = self.original.fates
        return tuple(
            (fate.recipient.address, fate.reason)
            for fate in fates
            if fate.action is Action.FAILED and fate.reason is not None
        )


def news(message: Message, lifetime: float) -> News:
    owed = tuple(index for index, addressee in enumerate(message.addressees) if addressee.owed)
    settled = (message.addressees[index] for index in owed)
    fates = [Fate(a.recipient, _ACTIONS[a.outcome], a.reason) for a in settled]
    if message.warn:
        until = message.arrival + lifetime
        waiting = (a for a in message.addressees if a.stage is Stage.DELAYED)
        fates += [Fate(a.recipient, Action.DELAYED, why(a), until) for a in waiting]
    original = Original(message.id, message.mail, message.arrival, message.size, tuple(fates))
    return News(message, owed, message.warn, original)


def why(addressee: Addressee) -> Reason | None:
    """Why it is not delivered: its own last failure, or its destination's."""
    if addressee.reason is not None or addressee.lane is None:
        return addressee.reason
    return addressee.lane.reason
