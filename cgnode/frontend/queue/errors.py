"""The queue's family of errors; the texts are for an operator, not for a client."""

from __future__ import annotations

import errno

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class QueueError(Exception):
    """Something the queue could not do; a sender is told 451."""


class QueueFull(QueueError):
    """No room on the disk, or a bound of the configuration is reached; a sender is told
    452.  Nothing that was accepted is lost."""


class QueueBroken(QueueError):
    """The disk failed to keep what it had taken.  What it holds is not known any more, so
    the queue neither takes nor gives anything until it is opened again."""


class QueueBusy(QueueError):
    """Another process has the spool."""


class QueueUnusable(QueueError):
    """Not a spool, one of a later format, or one that can't be read."""


class UnknownMessage(QueueError):
    """No message of that id is queued."""


def translate(error: OSError, doing: str) -> QueueError:
    """The error of the queue's for one of the system's."""
    text = f"{doing}: {error.strerror or error}"
    return QueueFull(text) if error.errno in _FULL else QueueError(text)
