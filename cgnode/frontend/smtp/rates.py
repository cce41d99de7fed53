"""How many messages a minute: a bucket for each address or account.

What lives here: plain arithmetic of times that are passed in.
"""

from __future__ import annotations

from typing import Final

_MINUTE: Final = 60.0
_MOST: Final = 10_000


class Rates:
    """At most ``rate`` a minute for each key, and a minute's worth at once; 0: any number."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}
        """What is left, and when that was."""
        self._most = _MOST

    def take(self, key: str, now: float) -> bool:
        """One more; False when that is too many."""
        if not self._rate:
            return True
        left, at = self._buckets.get(key, (float(self._rate), now))
        left = min(float(self._rate), left + (now - at) * self._rate / _MINUTE)
        taken = left >= 1.0
        self._buckets[key] = (left - 1.0 if taken else left, now)
        if len(self._buckets) > self._most:
            self._forget(now)
        return taken

    def _forget(self, now: float) -> None:
        """Buckets that are full again say nothing."""
        self._buckets = {key: (left, at) for key, (left, at) in self._buckets.items() if now - at < _MINUTE}
        # However many there are, to look at all of them is rare.
        self._most = max(_MOST, 2 * len(self._buckets))
