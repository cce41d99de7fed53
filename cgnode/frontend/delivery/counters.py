"""What has happened since the start, in numbers, for ``metrics`` to read."""

from __future__ import annotations

from attrs import define


@define
class Counters:
    """``delivered``, ``deferred``, ``failed`` and ``expanded`` count recipients; ``reports``
    are messages to senders, ``untold`` failures that nobody is told of.  ``channels`` were
    opened, ``open`` are now, ``reused`` counts attempts on one that was there.  ``strays``
    are answers that an account is another host's, or the like."""

    attempts: int = 0
    delivered: int = 0
    relayed: int = 0
    deferred: int = 0
    failed: int = 0
    unreachable: int = 0
    expanded: int = 0
    strays: int = 0
    reports: int = 0
    untold: int = 0
    channels: int = 0
    open: int = 0
    reused: int = 0
