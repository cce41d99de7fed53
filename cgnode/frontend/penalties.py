"""Failed log-ins cost time: who fails and fails waits before the next attempt is looked at.

What lives here: who failed when, by address and by account.  What must not: the waiting.

Each failure is answered late, which slows down whoever tries one after the other.  This is
for who tries many at a time: after ``FREE`` failures with no success and no pause between
them, an address or account is held.  Behind one address there may be very many users, and
so the mistakes of a few of them do not hold it.
"""

from __future__ import annotations

from typing import Final

FREE: Final = 5
MOST: Final = 100_000
"""Keys that are remembered; from so many on the oldest are forgiven early."""


class Penalties:
    """``delay``: seconds that a failure counts."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._failures: dict[str, tuple[float, int]] = {}
        """Until when, and how many; in the order of time, since all count equally long."""

    def left(self, now: float, *keys: str) -> float:
        """Seconds until an attempt may be looked at."""
        if not self._failures:
            return 0.0
        self._forgive(now)
        found = (self._failures.get(key, (now, 0)) for key in keys)
        return max((until - now for until, count in found if count >= FREE), default=0.0)

    def failed(self, now: float, *keys: str) -> None:
        """Keys that are empty are nobody's."""
        self._forgive(now)
        failures = self._failures
        for key in filter(None, keys):
            # Behind all others, so that the order stays.
            _, count = failures.pop(key, (now, 0))
            failures[key] = now + self._delay, count + 1
        while len(failures) > MOST:
            del failures[next(iter(failures))]

    def succeeded(self, key: str) -> None:
        if self._failures:
            self._failures.pop(key, None)

    def _forgive(self, now: float) -> None:
        over = []
        for key, (until, _) in self._failures.items():
            if until > now:
                break
            over.append(key)
        for key in over:
            del self._failures[key]
