"""What became of a message, recipient by recipient, as a client can tell (RFC 5321
section 4.2.5, RFC 2033 section 4.2).

What lives here: the bookkeeping of one transaction's answers.  What must not: the
dialogue that they come from.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from cgnode.proto.smtp.envelope import Recipient
from cgnode.proto.smtp.reply import Reply


class Outcome(Enum):
    """All but UNKNOWN are certain: there, trying again may deliver twice, and not trying
    may lose the message."""

    DELIVERED = "taken by the other side"
    TEMPORARY = "refused for now"
    PERMANENT = "refused for good"
    NOT_SENT = "not taken: the connection ended before all of it was sent"
    UNKNOWN = "all of it was sent, and the connection ended before the answer"


@frozen
class Result:
    """``reply`` is the other side's word, or ours in the form of its; None when the
    connection ended without one."""

    recipient: Recipient
    outcome: Outcome
    reply: Reply | None


def outcome_of(reply: Reply) -> Outcome:
    if reply.positive:
        return Outcome.DELIVERED
    return Outcome.TEMPORARY if reply.temporary else Outcome.PERMANENT


class Delivery:
    """One transaction's recipients.  RCPT's answers decide which are in; the message's
    settle these.

    ``sent``: the end of the message's text has been given out to be sent.
    """

    __slots__ = ("_answered", "_recipients", "_settled", "accepted", "sent")

    def __init__(self, recipients: tuple[Recipient, ...]) -> None:
        self._recipients = recipients
        self._answered = 0
        self._settled: dict[int, tuple[Outcome, Reply | None]] = {}
        self.accepted: list[int] = []
        """Positions of the recipients that are in, and not settled."""
        self.sent = False

    def answer_recipient(self, reply: Reply) -> None:
        """The answer to the next RCPT."""
        position = self._answered
        self._answered += 1
        if not reply.positive:
            self._settle(position, outcome_of(reply), reply)
        elif position not in self._settled:
            self.accepted.append(position)

    def answer_message(self, reply: Reply, every: bool) -> None:
        """The answer to the message: for ``every`` recipient that is in, or the next one."""
        count = len(self.accepted) if every else 1
        for position in self.accepted[:count]:
            self._settle(position, outcome_of(reply), reply)
        del self.accepted[:count]

    def refuse(self, reply: Reply) -> None:
        """The answer to all that are not settled is no."""
        for position in range(len(self._recipients)):
            self._settle(position, outcome_of(reply), reply)
        self.accepted = []

    def cut(self, reply: Reply | None) -> None:
        """The connection has ended; ``reply`` was its last word."""
        for position in self.accepted if self.sent else ():
            self._settle(position, Outcome.UNKNOWN, reply)
        for position in range(len(self._recipients)):
            self._settle(position, Outcome.NOT_SENT, reply)
        self.accepted = []

    def _settle(self, position: int, outcome: Outcome, reply: Reply | None) -> None:
        self._settled.setdefault(position, (outcome, reply))

    def results(self) -> tuple[Result, ...]:
        """Of all recipients, in their order, once all are settled."""
        settled = self._settled
        return tuple(Result(recipient, *settled[place]) for place, recipient in enumerate(self._recipients))
