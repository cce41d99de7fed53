"""What is asked of a reactor here, as types: Twisted's interfaces say it to zope only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class DelayedCall(Protocol):
    def cancel(self) -> None: ...
    def active(self) -> bool: ...


class Reactor(Protocol):
    """Every POSIX reactor of Twisted's has it.  Ports and transports ask for more."""

    def callLater(self, delay: float, call: Callable[..., object], /, *args: object) -> DelayedCall: ...
    def callFromThread(self, call: Callable[..., object], /, *args: object) -> None: ...
    def seconds(self) -> float: ...
