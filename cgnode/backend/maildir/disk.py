"""The machine beneath the store: durable files, unique names, the clock; and its errors.

``translated`` is where an ``OSError`` becomes the store's.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Final

from attrs import define, field, frozen

from cgnode.backend.maildir.together import Sharing
from cgnode.backend.store import StorageFailed, StorageFull

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Of a file system without hard links, or another one; or of a file that has too many.
_NO_LINK: Final = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
_BLOCK: Final = 1 << 18
# The Maildir specification's: what is older and unfinished, nobody will finish.
_ABANDONED: Final = 36 * 3600
READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"{error.strerror or error}: {error.filename or 'a file of the store'}"
        raise (StorageFull if is_full(error) else StorageFailed)(text) from error


def is_full(error: OSError) -> bool:
    return error.errno in _NO_ROOM


def _host_name() -> str:
    """As the Maildir specification wants it within a file's name."""
    name = socket.gethostname() or "localhost"
    for char in "/:,":
        name = name.replace(char, f"\\{ord(char):03o}")
    return name


@define
class Names:
    """Unique ones for Maildir files: time, process, a count, and chance for hosts of one name."""

    _clock: Callable[[], float]
    _host: str = field(factory=_host_name)
    _chance: str = field(factory=lambda: secrets.token_hex(4))
    _count: count[int] = field(factory=count)

    def __call__(self) -> str:
        seconds, micro = divmod(int(self._clock() * 1_000_000), 1_000_000)
        return f"{seconds}.M{micro:06}P{os.getpid()}Q{next(self._count)}R{self._chance}.{self._host}"


@frozen
class Disk:
    """How an engine writes.  ``sync=False`` gives durability away (for tests whose data dies with them);
    with ``together``, threads that wait for a disk share what it does."""

    sync: bool = True
    clock: Callable[[], float] = time.time
    unique: Callable[[], str] = field(factory=lambda: Names(time.time))
    together: Sharing | None = None

    def sync_directory(self, path: str) -> None:
        if self.sync:
            self._sync_path(path, os.O_DIRECTORY, os.fsync)

    def sync_data(self, path: str) -> None:
        """Of a file: what it holds, as long as it is."""
        if self.sync:
            self._sync_path(path, 0, os.fdatasync)

    def sync_open(self, descriptor: int) -> None:
        if self.sync:
            self._sync(descriptor, os.fsync)

    def _sync_path(self, path: str, flags: int, how: Callable[[int], None]) -> None:
        descriptor = os.open(path, READ | flags)
        try:
            self._sync(descriptor, how)
        finally:
            os.close(descriptor)

    def _sync(self, descriptor: int, how: Callable[[int], None]) -> None:
        if self.together is None or not self.together.sync(descriptor):
            how(descriptor)

    def create(self, path: str) -> int:
        """A new file, open for writing."""
        return os.open(path, _CREATE, 0o600)

    def write_new(self, path: str, data: bytes) -> None:
        """A new durable file, but for its name."""
        descriptor = self.create(path)
        try:
            write_all(descriptor, data)
            self.sync_open(descriptor)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)

    def replace(self, path: str, data: bytes, aside: str) -> None:
        """Make or replace a file, durably, at once for all who look; ``aside`` is a folder for a while."""
        new = os.path.join(aside, self.unique())
        self.write_new(new, data)
        try:
            os.rename(new, path)
        except BaseException:
            os.unlink(new)
            raise
        self.sync_directory(os.path.dirname(path))

    def make_directory(self, path: str) -> None:
        """Not durable until the one it is in has been synchronised."""
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)

    def link(self, source: str, target: str, aside: str) -> None:
        """A second name for a file, or where there can be none, a copy; never over another file."""
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._copy(source, target, aside)

    def _copy(self, source: str, target: str, aside: str) -> None:
        new = os.path.join(aside, self.unique())
        with open(source, "rb", opener=lambda path, _: os.open(path, READ)) as file:
            descriptor = self.create(new)
            try:
                while data := file.read(_BLOCK):
                    write_all(descriptor, data)
                date = os.stat(file.fileno()).st_mtime_ns
                os.utime(descriptor, ns=(date, date))
                self.sync_open(descriptor)
                if os.path.lexists(target):
                    raise FileExistsError(errno.EEXIST, "is there already", target)
                os.rename(new, target)
            except BaseException:
                os.unlink(new)
                raise
            finally:
                os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append(path: str, data: bytes, size: int) -> os.stat_result:
    """To a file of ``size`` octets; all or nothing, as far as the disk lets."""
    descriptor = os.open(path, _APPEND)
    try:
        write_all(descriptor, data)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
    else:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def read_small(path: str, limit: int = 1 << 26) -> bytes | None:
    """A small file; None where there is none."""
    try:
        descriptor = os.open(path, READ)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        return file.read(limit)


def is_directory(path: str) -> bool:
    """Of its own right: a symbolic link would lead out of the account."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def unlink(path: str) -> bool:
    """Whether there was a file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def listdir(path: str) -> list[str]:
    """Nothing where there is no such folder."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_abandoned(path: str, now: float) -> bool:
    """Not by its date, which may be a message's."""
    try:
        return now - os.lstat(path).st_ctime > _ABANDONED
    except FileNotFoundError:
        return False
