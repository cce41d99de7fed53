"""Who may work on an account: one thread of one process at a time, for moments.

What a piece of work leaves to be done when others may go on is in its ``Work``: what is
to be synchronised (so that threads which wait for the disk wait together) and who is to be
told.  Only after that has it happened, for whoever asked for it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Final, Protocol

from attrs import Factory, define, field

from cgnode.backend.maildir.disk import Disk, translated
from cgnode.backend.store import Gone

LOCK: Final = "cgnode-lock"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_FEW_TIMES: Final = 100
_PATIENCE: Final = 10.0


class Durable(Protocol):
    def sync(self) -> None: ...


@define
class Work:
    """What is still to be done: directories first, then lists, then telling."""

    _disk: Disk
    _directories: dict[str, None] = field(factory=dict)
    _lists: list[Durable] = Factory(list)
    _listeners: list[Callable[[], None]] = Factory(list)

    def sync_directory(self, path: str) -> None:
        self._directories[path] = None

    def sync_list(self, durable: Durable) -> None:
        if not any(durable is known for known in self._lists):
            self._lists.append(durable)

    def tell(self, listeners: list[Callable[[], None]]) -> None:
        self._listeners += listeners

    def finish(self) -> None:
        try:
            for path in self._directories:
                self._disk.sync_directory(path)
            for durable in self._lists:
                # One that is gone by now has nothing to tell any more.
                with suppress(FileNotFoundError):
                    durable.sync()
        finally:
            for listener in dict.fromkeys(self._listeners):
                listener()


class Guard:
    """The lock of the account in the folder ``path``: of threads, and a file's for processes."""

    def __init__(self, path: str, disk: Disk) -> None:
        self._disk = disk
        self._file = os.path.join(path, LOCK)
        self._lock = RLock()
        self._held = False
        self.gone = False

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Hold the account; then do what the work has left.  Not within itself.

        Raises Gone when there is no such account any more.
        """
        work = Work(self._disk)
        with translated():
            with self.hold():
                yield work
            work.finish()

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            if self._held:
                raise RuntimeError("work within work")
            descriptor = self._take()
            self._held = True
            try:
                yield
            finally:
                self._held = False
                os.close(descriptor)

    def close(self) -> None:
        """Nobody works here from now on; waits for who does, but for a disk that hangs not long."""
        waited = self._lock.acquire(timeout=_PATIENCE)
        self.gone = True
        if waited:
            self._lock.release()

    def _take(self) -> int:
        for _ in range(_FEW_TIMES):
            if self.gone:
                break
            try:
                descriptor = os.open(self._file, _FLAGS, 0o600)
            except (FileNotFoundError, NotADirectoryError):
                break
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_file(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            # The account was renamed or removed while we waited.
            os.close(descriptor)
        raise Gone("the account has been removed or renamed")

    def _is_file(self, descriptor: int) -> bool:
        ours = os.fstat(descriptor)
        try:
            found = os.lstat(self._file)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino)
