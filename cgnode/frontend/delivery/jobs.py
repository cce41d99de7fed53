"""An attempt of the queue's as what is sent on a channel.

What must not live here: channels, results.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from cgnode.frontend.queue.values import Attempt, Kind, Result
from cgnode.proto.smtp.envelope import Mail, MailParameters, Recipient


@frozen(eq=False)
class Job:
    """``indexes``: the queue's, for each recipient that is sent."""

    attempt: Attempt
    mail: Mail
    recipients: tuple[Recipient, ...]
    indexes: tuple[tuple[int, ...], ...]


def job_of(attempt: Attempt) -> Job:
    """Who is meant twice, by two names, is sent it once."""
    given = attempt.mail.parameters
    # Not by ``evolve``, which takes longer than all the rest.
    sized = MailParameters(attempt.size, given.body, given.utf8, given.ret, given.envid)
    mail = Mail(attempt.mail.sender, sized)
    targets = attempt.targets
    if len(targets) == 1:
        return Job(attempt, mail, (targets[0].recipient,), ((targets[0].index,),))
    # Whether case matters in a local part that is not ours, its owner says.
    fold = attempt.destination.kind is Kind.BACKEND
    found: dict[tuple[str, str], tuple[Recipient, list[int]]] = {}
    for target in targets:
        address = target.recipient.address
        key = (address.local.lower() if fold else address.local, address.domain.lower())
        found.setdefault(key, (target.recipient, []))[1].append(target.index)
    recipients = tuple(recipient for recipient, _ in found.values())
    return Job(attempt, mail, recipients, tuple(tuple(indexes) for _, indexes in found.values()))


def all_of(attempt: Attempt, result: Result) -> Mapping[int, Result]:
    return {target.index: result for target in attempt.targets}
