"""Synchronising together: threads that wait for the disk at the same time wait for one call of it.

``fsync`` costs the disk a commit each time, also where a hundred wait for it side by side.
``syncfs`` (Linux) commits all that has been written to a file system at once, and tells
(since Linux 5.8) whether writing anything of it back has failed since the descriptor that
it is called with was opened.  Who comes while a call runs waits for the next, which
begins after what it has written.

Where somebody else writes much to the same file system we would wait for that, too; so
after a call that took long it is ``fsync`` again for a while.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import time
from collections.abc import Callable
from threading import Condition, Lock
from typing import Final, Protocol

from attrs import define, field

_LONG: Final = 0.5
_WHILE: Final = 30.0
_OLDEST: Final = (5, 8)


def _find_syncfs() -> Callable[[int], int] | None:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if platform.system() != "Linux" or release is None or tuple(map(int, release.groups())) < _OLDEST:
        return None
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None


_SYNCFS: Final = _find_syncfs()


def syncfs(descriptor: int) -> None:
    """Raises OSError."""
    assert _SYNCFS is not None
    if _SYNCFS(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@define(eq=False)
class _FileSystem:
    """``descriptor`` is kept, so that no failure goes by between two calls.  Calls are counted:
    ``begun`` and ``done``, with the failures of the last ones."""

    descriptor: int
    users: int = 0
    condition: Condition = field(factory=Condition)
    begun: int = 0
    done: int = 0
    slow_until: float = 0.0
    failures: dict[int, OSError] = field(factory=dict)


class Sharing(Protocol):
    def sync(self, descriptor: int, /) -> bool: ...


@define
class Once:
    """For things that have all been written before the first of them is synchronised."""

    _shared: Sharing
    _done: dict[int, OSError | None] = field(factory=dict)

    def sync(self, descriptor: int, /) -> bool:
        device = os.fstat(descriptor).st_dev
        if device in self._done:
            failure = self._done[device]
            if failure is not None:
                raise OSError(*failure.args)
            return True
        try:
            shared = self._shared.sync(descriptor)
        except OSError as error:
            self._done[device] = error
            raise
        if shared:
            self._done[device] = None
        return shared


class Together:
    """For file systems that are held; all may be called in any thread."""

    def __init__(
        self,
        how: Callable[[int], None] | None = syncfs if _SYNCFS else None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._how = how
        self._clock = clock
        self._lock = Lock()
        self._systems: dict[int, _FileSystem] = {}

    def hold(self, folder: str) -> int:
        """From now on, that of ``folder``; what ``release`` is to be told.  Raises OSError."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        device = os.fstat(descriptor).st_dev
        with self._lock:
            known = self._systems.get(device)
            if known is None:
                known = self._systems[device] = _FileSystem(descriptor)
            else:
                os.close(descriptor)
            known.users += 1
        return device

    def release(self, device: int) -> None:
        """As many times as held.  Nothing is open there then, so that the disk may go."""
        with self._lock:
            system = self._systems[device]
            system.users -= 1
            if not system.users:
                del self._systems[device]
                with system.condition:
                    system.condition.wait_for(lambda: system.begun == system.done)
                    os.close(system.descriptor)
                    system.descriptor = -1

    def sync(self, descriptor: int, /) -> bool:
        """Make durable what has been written to the file system of ``descriptor``; false where it is
        better done otherwise.  Raises OSError."""
        how, system = self._how, self._systems.get(os.fstat(descriptor).st_dev)
        if how is None or system is None or self._clock() < system.slow_until:
            return False
        with system.condition:
            # One that runs may have begun before the last of what is to be made durable.
            wanted = system.begun + 1
            system.condition.wait_for(lambda: system.done >= wanted or system.begun == system.done)
            if system.done >= wanted:
                if wanted in system.failures:
                    raise OSError(*system.failures[wanted].args)
                return True
            system.begun = wanted
        self._call(system, how, wanted)
        return True

    def _call(self, system: _FileSystem, how: Callable[[int], None], number: int) -> None:
        began = self._clock()
        failure: OSError | None = None
        try:
            how(system.descriptor)
        except OSError as error:
            failure = error
        now = self._clock()
        with system.condition:
            system.done = number
            system.slow_until = now + _WHILE if now - began > _LONG else 0.0
            # Whoever waits for it has looked long before there are so many more.
            system.failures.pop(number - 100, None)
            if failure is not None:
                system.failures[number] = failure
            system.condition.notify_all()
        if failure is not None:
            raise failure
