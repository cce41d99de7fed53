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

NOT_MINE: Final = "4.1.6"
"""A backend's word (``backend.lmtp``) for: another host has that mailbox."""

CUT: Final = Reply(451, "4.4.2", "the connection ended before the message was taken")
UNANSWERED: Final = Reply(451, "4.4.2", "the connection ended before the answer; it may have arrived")


def heard_nothing(results: Sequence[delivery.Result]) -> bool:
    """Of none of them the host has said a word."""
    return all(result.reply is None for result in results)


def was_sent(results: Sequence[delivery.Result]) -> bool:
    """All of the message: it may have arrived."""
    return any(result.outcome is Outcome.UNKNOWN for result in results)


def is_stray(results: Sequence[delivery.Result]) -> bool:
    return any(result.reply is not None and result.reply.enhanced == NOT_MINE for result in results)


def result_of(result: delivery.Result, destination: Destination, host: str, dsn: bool) -> Result:
    """``dsn``: the host reports to senders itself, where they want to hear."""
    match result.outcome:
        case Outcome.DELIVERED:
            if destination.kind is Kind.BACKEND:
                return _IN_THE_MAILBOX
            return _THEIRS if dsn else _RELAYED
        case Outcome.TEMPORARY:
            return Temporary(_reason(result, host, CUT))
        case Outcome.PERMANENT:
            return Permanent(_reason(result, host, CUT))
        case Outcome.NOT_SENT:
            return Temporary(_reason(result, host, CUT))
        case Outcome.UNKNOWN:
            return Temporary(_reason(result, host, UNANSWERED))


def _reason(result: delivery.Result, host: str, ours: Reply) -> Reason:
    if result.reply is None:
        return Reason(ours)
    if result.outcome is Outcome.NOT_SENT and not result.reply.temporary:
        # A last word that was not about this message.
        return Reason(Reply(451, "4.4.2", f"ended by: {result.reply}"), host)
    return Reason(result.reply, host)


_IN_THE_MAILBOX: Final = Delivered(Duty.OURS_DELIVERED)
_RELAYED: Final = Delivered(Duty.OURS_RELAYED)
_THEIRS: Final = Delivered(Duty.THEIRS)
