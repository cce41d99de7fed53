"""What one search may cost: time, entries looked at in vain, and turns of others."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from ldapserver.results import LDAPError, ResultCode

# Entries looked at, with an ordinary filter, between two chances for others.
_TURN = 200


@define
class Budget:
    """What one search may still do; ``spend`` raises when it is too much.

    ``weight`` is what it costs to look at an entry, 1 for ordinary filters.
    """

    time_left: Callable[[], float]
    look_through: int
    weight: int = 1
    looked_at: int = 0
    in_vain: int = 0
    _spent: int = 0

    def spend(self, matched: bool) -> bool:
        """Count an entry that was looked at; True when it is time for a pause."""
        self.looked_at += 1
        if not matched:
            self.in_vain += 1
            if self.look_through and self.in_vain * self.weight > self.look_through:
                raise LDAPError(
                    ResultCode.ADMIN_LIMIT_EXCEEDED,
                    f"looked at {self.in_vain} entries in vain; the search needs an index",
                )
        return self.go_on()

    def go_on(self) -> bool:
        """Count a step that is no look at an entry; True like ``spend``."""
        self._spent += self.weight
        if self._spent < _TURN:
            return False
        self._spent = 0
        if self.time_left() <= 0:
            raise LDAPError(ResultCode.TIME_LIMIT_EXCEEDED)
        return True
