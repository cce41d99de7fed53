"""Answers of the directory that are asked for again and again, remembered for as long as nothing
in it changes: by its transaction's number, so that no answer outlives its state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import define, field, frozen

from cgnode.lookup import Site

T = TypeVar("T")

_MOST = 10_000


@frozen
class _State(Generic[T]):
    site: Site | None = None
    number: int = -1
    answers: dict[str, T] = field(factory=dict)


@define
class Remembered(Generic[T]):
    """May be used in any thread."""

    _state: _State[T] = field(factory=_State)

    def get(self, site: Site, key: str, find: Callable[[str], T]) -> T:
        """What ``find`` says of ``key``, from this state of the store or a later one."""
        number = site.core.store.last_transaction()
        state = self._state
        if state.number != number or state.site is not site or len(state.answers) >= _MOST:
            state = self._state = _State(site, number)
        elif key in state.answers:
            return state.answers[key]
        found = state.answers[key] = find(key)
        return found
