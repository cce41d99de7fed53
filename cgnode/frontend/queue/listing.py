"""The queue as operators see it, in values that JSON has.

What lives here: what is shown.  What must not: any change.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from math import inf
from typing import Any

from attrs import frozen

from cgnode.frontend.queue.lane import Lane
from cgnode.frontend.queue.message import Addressee, Message, Stage, id_of, number_of
from cgnode.frontend.queue.table import Table
from cgnode.frontend.queue.telling import why
from cgnode.frontend.queue.values import Destination

Json = dict[str, Any]

_STATES = {
    Stage.DUE: "ready",
    Stage.ROUTING: "ready",
    Stage.READY: "ready",
    Stage.ACTIVE: "active",
    Stage.DELAYED: "delayed",
    Stage.HELD: "held",
}
# What a message is said to be, when its recipients are several of these.
_ORDER = ("active", "ready", "delayed", "held")
# In one call, so that the queue does not stand still for it.
_MOST_LOOKED_AT = 20_000


@frozen
class Listing:
    """``epoch``: the wall time at which the monotonic clock was 0."""

    _table: Table
    _epoch: float

    def messages(self, after: str, limit: int, state: str, destination: Destination | None) -> Json:
        numbers = sorted(self._table.messages)
        start = bisect_right(numbers, number_of(after)) if after else 0
        shown: list[Json] = []
        last = len(numbers)
        for position in range(start, len(numbers)):
            if len(shown) >= limit or position - start >= _MOST_LOOKED_AT:
                last = position
                break
            message = self._table.messages[numbers[position]]
            if (not state or _state(message) == state) and _at(message, destination):
                shown.append(self._summary(message))
        listed: Json = {"messages": shown}
        if last < len(numbers):
            listed["next"] = id_of(numbers[last - 1]) if last > start else after
        return listed

    def _summary(self, message: Message) -> Json:
        pending = [a for a in message.addressees if a.stage is not Stage.DONE]
        state = _state(message)
        shown: Json = {
            "id": message.id,
            "state": state,
            "sender": "" if message.mail.sender is None else str(message.mail.sender),
            "recipients": len(message.addressees),
            "pending": len(pending),
            "size": message.size,
            "arrival": _date(message.arrival),
        }
        if state == "delayed":
            till = min((a.next_try for a in pending if a.stage is Stage.DELAYED), default=inf)
            shown["till"] = self._till(till)
        return shown

    def details(self, message: Message) -> Json:
        parameters = message.mail.parameters
        return self._summary(message) | {
            "client": message.client,
            "session": message.session,
            "hold": message.hold,
            "warned": message.warned,
            "body": None if parameters.body is None else parameters.body.value,
            "smtputf8": parameters.utf8,
            "ret": None if parameters.ret is None else parameters.ret.value,
            "envid": parameters.envid or None,
            "to": [self._recipient(addressee) for addressee in message.addressees],
        }

    def _recipient(self, addressee: Addressee) -> Json:
        parameters = addressee.recipient.parameters
        shown: Json = {"address": str(addressee.address), "attempts": addressee.attempts}
        if addressee.stage is Stage.DONE:
            shown["state"] = addressee.outcome.name.lower()
        else:
            shown["state"] = _STATES[addressee.stage]
        if addressee.stage is Stage.DELAYED:
            shown["till"] = self._till(addressee.next_try)
        if addressee.lane is not None:
            shown["destination"] = str(addressee.lane.destination)
        if addressee.goal is not None:
            shown["as"] = str(addressee.goal)
        reason = why(addressee)
        if reason is not None:
            shown["reason"] = str(reason)
        if parameters.notify:
            shown["notify"] = sorted(notify.value for notify in parameters.notify)
        if parameters.orcpt is not None:
            shown["orcpt"] = f"{parameters.orcpt.type};{parameters.orcpt.address}"
        return shown

    def counts(self) -> Json:
        """``routing``: messages that wait for their turn to be routed.  A message with
        recipients at several destinations counts at each."""
        return {
            "messages": len(self._table.messages),
            "routing": len(self._table.fresh) + len(self._table.woken),
            "held": len(self._table.held),
            "destinations": [self._lane(lane) for lane in self._table.lanes],
        }

    def _lane(self, lane: Lane) -> Json:
        shown: Json = {
            "destination": str(lane.destination),
            "condition": lane.condition.value,
            "active": lane.active,
            "ready": len(lane.ready),
            "delayed": len(lane.waiting),
        }
        if lane.reason is not None:
            shown["reason"] = str(lane.reason)
        if lane.retry_at < inf:
            shown["retry"] = self._till(lane.retry_at)
        return shown

    def _till(self, when: float) -> str | None:
        """None: until its destination is back."""
        return None if when == inf else _date(self._epoch + when)


def _state(message: Message) -> str:
    states = {_STATES.get(addressee.stage) for addressee in message.addressees}
    # Where all is done, the sender is being told.
    return next((name for name in _ORDER if name in states), "ready")


def _at(message: Message, destination: Destination | None) -> bool:
    """It has recipients that wait for the destination, or are tried there."""
    return destination is None or any(
        addressee.lane is not None and addressee.lane.destination == destination
        for addressee in message.addressees
    )


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
