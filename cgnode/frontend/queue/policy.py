"""What an operator says of the queue: its bounds and its habits.

Apart from ``values``, so that reading a configuration loads no more than this.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Limits:
    """Octets and numbers.  A message of up to ``inline`` octets is kept in memory while it
    is received, and in the log; a bigger one in a file of its own.  ``free`` is what new
    messages must leave of the disk's room; several segments of the log, so that it can
    move what is in the way of giving room back.  ``patience`` is how many seconds the disk
    may be spared a sync that nobody waits for."""

    inline: int = 64 << 10
    segment: int = 16 << 20
    free: int = 64 << 20
    messages: int = 500_000
    recipients: int = 2_000_000
    patience: float = 0.05


@frozen
class Policy:
    """Seconds and numbers: how often is tried, for how long, how many at a time.

    ``cohort``: a destination whose attempts all failed, so many times as many as were
    allowed at once, is dead for a while.  ``pace``: messages per second that are routed
    again after a host came up, or after a start.  ``warn_after``: when a sender is told of
    a delay; None: never.
    """

    minimum_delay: float = 300.0
    maximum_delay: float = 4000.0
    lifetime: float = 5 * 86400.0
    warn_after: float | None = None
    concurrency: int = 20
    first_concurrency: int = 5
    all_attempts: int = 400
    recipients: int = 100
    cohort: float = 1.0
    pace: float = 1000.0
