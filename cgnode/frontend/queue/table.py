"""All queued messages, and the lines they stand in.

What lives here: the tables, and the moves that every part of the schedule makes.  What
must not: when and why a move is made (``schedule``, ``waking``).

- A message with DUE recipients is in ``fresh`` or in ``woken``; with READY or DELAYED
  ones, in the ``ready`` or ``waiting`` of their lanes; with HELD ones, in ``held``.
- What must be written down is left in ``touched`` (indexes of recipients) and ``ended``
  until it has been.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from math import inf
from random import Random
from typing import Final

from attrs import evolve

from cgnode.frontend.queue.lane import Lane, Lanes
from cgnode.frontend.queue.message import Addressee, Message, Outcome, Stage
from cgnode.frontend.queue.policy import Policy
from cgnode.frontend.queue.timers import Timers, backoff
from cgnode.frontend.queue.values import Reason
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import Notify, Recipient
from cgnode.proto.smtp.reply import Reply

DOWN: Final = Reason(Reply(451, "4.4.1", "the destination is down"))
_MAX_REASON: Final = 1000


class Table:
    def __init__(self, policy: Policy, random: Random) -> None:
        self.policy = policy
        self.messages: dict[int, Message] = {}
        self.held: dict[int, Message] = {}
        self.fresh: OrderedDict[int, Message] = OrderedDict()
        self.woken: OrderedDict[int, Message] = OrderedDict()
        self.notices: OrderedDict[int, Message] = OrderedDict()
        self.touched: dict[int, set[int]] = {}
        self.ended: dict[int, Message] = {}
        self.lanes = Lanes(policy)
        self.timers = Timers(self._stands, self._standing)
        self._random = random

    def here(self, message: Message) -> bool:
        return self.messages.get(message.number) is message

    def touch(self, message: Message, *indexes: int) -> None:
        self.touched.setdefault(message.number, set()).update(indexes)

    # --- lines -------------------------------------------------------------------------

    def line_up(self, message: Message, waking: bool = False) -> None:
        """Into the line for routing, if it has recipients that are DUE."""
        if message.number in self.fresh:
            return
        if not any(addressee.stage is Stage.DUE for addressee in message.addressees):
            return
        if waking:
            self.woken[message.number] = message
        else:
            self.woken.pop(message.number, None)
            self.fresh[message.number] = message

    def unlist(self, message: Message, lanes: Iterable[Lane]) -> None:
        """Take it out of those lanes in which it has nobody any more."""
        ready = {a.lane for a in message.addressees if a.stage is Stage.READY}
        waiting = {a.lane for a in message.addressees if a.stage is Stage.DELAYED}
        for lane in lanes:
            if lane not in ready:
                lane.ready.pop(message.number, None)
            if lane not in waiting:
                lane.waiting.pop(message.number, None)
            self.lanes.tidy(lane)

    def settle(self, message: Message) -> None:
        """If none of its recipients is on the move: tell its sender what there is to be
        told, then let it end when all are done."""
        if message.busy or message.telling or not self.here(message):
            return
        if message.owing:
            self.notices.setdefault(message.number, message)
        elif message.done:
            self.end(message)

    def end(self, message: Message) -> None:
        number = message.number
        for table in (self.messages, self.held, self.fresh, self.woken, self.notices):
            table.pop(number, None)
        self.touched.pop(number, None)
        self.ended[number] = message

    # --- recipients --------------------------------------------------------------------

    def finish(
        self, message: Message, index: int, outcome: Outcome, reason: Reason | None, ours: bool = True
    ) -> None:
        """Its fate is settled.  ``ours``: if a success is to be reported, that is our duty."""
        addressee = message.addressees[index]
        addressee.stage = Stage.DONE
        addressee.outcome = outcome
        addressee.reason = _bounded(reason) if reason is not None else None
        addressee.lane = None
        wanted = Notify.SUCCESS in addressee.recipient.parameters.notify and message.mail.sender is not None
        # A failure is always noticed, if only so that a log can say that nobody is told.
        addressee.owed = outcome is Outcome.FAILED or (ours and wanted)
        self.touch(message, index)

    def expand(self, message: Message, index: int, recipients: Iterable[Address]) -> None:
        """It is done; these are recipients in its place (RFC 3461 section 5.2.7.3: a success
        is reported of the whole, not of each)."""
        parameters = message.addressees[index].recipient.parameters
        if Notify.SUCCESS in parameters.notify:
            notify = parameters.notify - {Notify.SUCCESS} or frozenset({Notify.NEVER})
            parameters = evolve(parameters, notify=notify)
        # By both names; and what was expanded does not come again, so this has an end.
        known = {_who(a.address) for a in message.addressees}
        known |= {_who(a.goal) for a in message.addressees if a.goal is not None}
        fresh: list[Addressee] = []
        for address in recipients:
            if _who(address) not in known:
                known.add(_who(address))
                fresh.append(Addressee(Recipient(address, parameters)))
        message.addressees += tuple(fresh)
        self.finish(message, index, Outcome.EXPANDED, None)

    def delay(self, message: Message, index: int, reason: Reason, now: float) -> None:
        """It failed for now: again later, or never when its time is over."""
        addressee = message.addressees[index]
        addressee.attempts += 1
        addressee.reason = reason = _bounded(reason)
        if self.expired(message, now):
            self.finish(message, index, Outcome.FAILED, reason)
            return
        self.touch(message, index)
        if message.hold:
            addressee.stage = Stage.HELD
            return
        self.park(message, addressee)
        addressee.next_try = now + backoff(self.policy, addressee.attempts, self._random)

    def park(self, message: Message, addressee: Addressee) -> None:
        """It waits for its lane's destination: no attempt was made, none is counted."""
        assert addressee.lane is not None
        addressee.stage = Stage.DELAYED
        addressee.next_try = inf
        addressee.lane.waiting[message.number] = message

    # --- time --------------------------------------------------------------------------

    def expired(self, message: Message, now: float) -> bool:
        return now >= message.born + self.policy.lifetime

    def look(self, message: Message, now: float) -> None:
        """Its timer has come: what is over, what is due?"""
        message.timer = inf
        expired = self.expired(message, now)
        lanes: set[Lane] = set()
        for index, addressee in enumerate(message.addressees):
            lane = addressee.lane
            if addressee.stage is not Stage.DELAYED or lane is None:
                continue
            if expired:
                self.finish(message, index, Outcome.FAILED, addressee.reason or lane.reason or DOWN)
            elif addressee.next_try <= now:
                addressee.stage = Stage.DUE
            else:
                message.warn = message.warn or self._warn_at(message) <= now
                continue
            lanes.add(lane)
        self.unlist(message, lanes)
        self.line_up(message)
        self.settle(message)
        self.arm(message)

    def arm(self, message: Message) -> None:
        """Set its timer, if it waits for something."""
        when = inf
        for addressee in message.addressees:
            if addressee.stage is Stage.DELAYED:
                when = min(when, addressee.next_try, message.born + self.policy.lifetime)
        if when < inf:
            self.look_at(message, min(when, self._warn_at(message)))

    def look_at(self, message: Message, when: float) -> None:
        """Look at the message then, if not before."""
        if when < message.timer and self.here(message):
            message.timer = when
            self.timers.push(when, message.number, len(self.messages))

    def _warn_at(self, message: Message) -> float:
        """When its sender is to be told that it is delayed."""
        if self.policy.warn_after is None or message.warned or message.warn or message.mail.sender is None:
            return inf
        return message.born + self.policy.warn_after

    def _stands(self, when: float, number: int) -> bool:
        message = self.messages.get(number)
        return message is not None and message.timer == when

    def _standing(self) -> Iterator[tuple[float, int]]:
        return ((m.timer, number) for number, m in self.messages.items() if m.timer < inf)


def _who(address: Address) -> tuple[str, str]:
    """Equal for what may be the same mailbox."""
    return address.local.lower(), address.domain.lower()


def _bounded(reason: Reason) -> Reason:
    """Hosts may say much."""
    reply = reason.reply
    if len(reply.text) <= _MAX_REASON:
        return reason
    return Reason(Reply(reply.code, reply.enhanced, reply.text[:_MAX_REASON]), reason.host)
