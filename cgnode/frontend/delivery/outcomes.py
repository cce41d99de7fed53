"""What a host said of a message, as the queue takes it.

What lives here: from a dialogue's results to the queue's.  What must not: what is done
about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cgnode.frontend.queue.values import (
    Delivered,
    Destination,
    Duty,
    Kind,
    Permanent,
    Reason,
    Result,
    Temporary,
)
from cgnode.proto.smtp import delivery
from cgnode.proto.smtp.delivery import Outcome
from cgnode.proto.smtp.reply import Reply

CUT: Final = Reply(451, "4.4.2", "the connection ended before the message was taken")
UNANSWERED: Final = Reply(451, "4.4.2", "the connection ended before the answer; it may have arrived")


_CLOSING: Final = 421


def was_cut(results: Sequence[delivery.Result]) -> bool:
    """Of none of them the host has said a word, but that it goes."""
    return all(result.reply is None or result.reply.code == _CLOSING for result in results)


def was_sent(results: Sequence[delivery.Result]) -> bool:
    """All of the message: it may have arrived."""
    return any(result.outcome is Outcome.UNKNOWN for result in results)


def result_of(result: delivery.Result, destination: Destination, host: str, dsn: bool) -> Result:
    """``dsn``: the host reports to senders itself, where they want to hear."""
    match result.outcome:
        case Outcome.DELIVERED:
            if destination.kind is Kind.BACKEND:
                return _IN_THE_MAILBOX
            return _THEIRS if dsn else _RELAYED
        case Outcome.PERMANENT:
            return Permanent(reason_of(result, host))
        case Outcome.TEMPORARY | Outcome.NOT_SENT | Outcome.UNKNOWN:
            return Temporary(reason_of(result, host))


def reason_of(result: delivery.Result, host: str) -> Reason:
    """Why it was not delivered."""
    if result.reply is None:
        return Reason(UNANSWERED if result.outcome is Outcome.UNKNOWN else CUT)
    if result.outcome is Outcome.NOT_SENT and not result.reply.temporary:
        # A last word that was not about this message.
        return Reason(Reply(451, "4.4.2", f"ended by: {result.reply}"), host)
    return Reason(result.reply, host)


_IN_THE_MAILBOX: Final = Delivered(Duty.OURS_DELIVERED)
_RELAYED: Final = Delivered(Duty.OURS_RELAYED)
_THEIRS: Final = Delivered(Duty.THEIRS)
