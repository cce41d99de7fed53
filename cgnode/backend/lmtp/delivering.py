"""Into mailboxes, durably, or the replies that say why not.  Everything here blocks, and is
called in threads.

Each recipient's copy is a file of its own, since it names the recipient.  What waits
together is made durable together (``lanes``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from attrs import frozen

from cgnode.backend.lmtp.letter import Letter
from cgnode.backend.lmtp.recipients import not_mine, storage_away
from cgnode.backend.sessions.hosting import Here, Opener
from cgnode.backend.store import (
    Account,
    Gone,
    Incoming,
    MailStoreError,
    NoSuchAccount,
    OverQuota,
    StorageAway,
    StorageFull,
    Usage,
)
from cgnode.proto.smtp.reply import Reply

log = logging.getLogger(__name__)

DELIVERED: Final = Reply(250, "2.1.5", "delivered")
FULL_MAILBOX: Final = Reply(452, "4.2.2", "the mailbox is full")
NEVER_FITS: Final = Reply(552, "5.2.2", "the message is larger than the mailbox may be")
NO_ROOM: Final = Reply(452, "4.3.1", "no room on the disk; try again later")
FAILED: Final = Reply(451, "4.3.0", "the message could not be stored; try again later")


@frozen
class Task:
    """A copy for ``place``: ``header`` goes above the text."""

    place: Here
    header: bytes
    letter: Letter


DeliverAll: TypeAlias = Callable[[Sequence[tuple[Account, Incoming]]], list[MailStoreError | None]]


def deliver_batch(open_account: Opener, deliver_all: DeliverAll, tasks: Sequence[Task]) -> list[Reply]:
    """A reply to each.  Never raises."""
    replies: list[Reply | None] = [None] * len(tasks)
    ready: list[tuple[int, Account, Incoming]] = []
    try:
        for number, task in enumerate(tasks):
            try:
                account = open_account(task.place)
                incoming = account.incoming()
                ready.append((number, account, incoming))
                _write(incoming, task)
            except Exception as error:
                replies[number] = failure(task.place, error)
        sound = [each for each in ready if replies[each[0]] is None]
        results = _all([(account, incoming) for _, account, incoming in sound], deliver_all)
        for (number, account, incoming), result in zip(sound, results, strict=True):
            replies[number] = _answer(tasks[number], account, incoming, result, open_account)
    finally:
        for _, _, incoming in ready:
            with suppress(MailStoreError, OSError):
                incoming.close()
    return [reply or FAILED for reply in replies]


def _write(incoming: Incoming, task: Task) -> None:
    incoming.write(task.header)
    for piece in task.letter.pieces():
        incoming.write(piece)


def _all(
    deliveries: Sequence[tuple[Account, Incoming]], deliver_all: DeliverAll
) -> Sequence[Exception | None]:
    try:
        return deliver_all(deliveries)
    except Exception as error:
        return [error] * len(deliveries)


def _answer(
    task: Task, account: Account, incoming: Incoming, error: Exception | None, open_account: Opener
) -> Reply:
    match error:
        case None:
            return DELIVERED
        case OverQuota():
            return _over(account, incoming.size)
        case Gone():
            # Renamed or set aside in just that moment: what there is now, opening it again tells.
            return _deliver_again(task, open_account)
        case _:
            return failure(task.place, error)


def _deliver_again(task: Task, open_account: Opener) -> Reply:
    try:
        account = open_account(task.place)
        with account.incoming() as incoming:
            _write(incoming, task)
            account.deliver(incoming)
    except Exception as error:
        return failure(task.place, error)
    return DELIVERED


def room(open_account: Opener, place: Here, size: int) -> Reply | None:
    """Why there is none for a message of at least ``size`` octets.  Never raises."""
    try:
        account = open_account(place)
        if _fits(account, account.usage(), size) or _fits(account, account.usage(recount=True), size):
            return None
        return _over(account, size)
    except Exception as error:
        return failure(place, error)


def _fits(account: Account, usage: Usage, size: int) -> bool:
    quota = account.quota
    return (quota.size is None or usage.size + max(size, 1) <= quota.size) and (
        quota.messages is None or usage.messages < quota.messages
    )


def _over(account: Account, size: int) -> Reply:
    """Who empties a mailbox can be helped; nobody can with a message that it could never hold."""
    most = account.quota.size
    return NEVER_FITS if most is not None and size > most else FULL_MAILBOX


def failure(place: Here, error: Exception) -> Reply:
    """Clients are told what they can do, the log what it is."""
    match error:
        case StorageFull() | OverQuota():
            log.error("no room for the mail of %s: %s", place.address, error)
            return NO_ROOM
        case StorageAway():
            log.error("mail for %s has to wait: %s", place.address, error)
            return storage_away(place.home)
        case NoSuchAccount():
            # Since the recipient was taken.  Who routes again, learns it.
            log.info("mail for %s goes back: %s", place.address, error)
            return not_mine("it has gone")
        case MailStoreError():
            log.error("mail for %s has to wait: %s: %s", place.address, type(error).__name__, error)
        case _:
            log.error("delivering to %s failed", place.address, exc_info=error)
    return FAILED
