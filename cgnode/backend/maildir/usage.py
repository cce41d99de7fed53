"""How much an account holds: ``maildirsize``, as the Maildir++ quota has it, which Dovecot,
Courier and others that deliver beside us keep up too.

The first line is the quota, ``1000S,10C``; each other line is octets and messages that came
or, with a minus, went.  Whoever adds or removes a message appends a line; anybody may count
anew.  So it may be off, by those who do not know it and by crashes, and it is counted again
before a message is refused for it.  Called with the account held.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from attrs import define

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.names import stated_sizes
from cgnode.backend.store import OverQuota, Quota, Usage

NAME: Final = "maildirsize"
# The specification's: longer or older is to be counted anew.
_LONGEST: Final = 5120
_OLD: Final = 15 * 60


@define
class UsageFile:
    """Of the account in the folder ``path``; ``folders`` are to be counted."""

    path: str
    _disk: Disk

    def check(self, quota: Quota, size: int, messages: int, folders: Callable[[], Iterable[str]]) -> None:
        """Raise OverQuota where so much more is too much."""
        if quota.size is None and quota.messages is None:
            return
        usage = self.read(quota, folders())
        if not _fits(usage, quota, size, messages) and self._is_worth_counting():
            usage = self.count(quota, folders())
        if not _fits(usage, quota, size, messages):
            raise OverQuota(f"{usage.size} octets in {usage.messages} messages, {size} in {messages} more")

    def read(self, quota: Quota, folders: Iterable[str]) -> Usage:
        data = disks.read_small(f"{self.path}/{NAME}", _LONGEST + 1)
        if data is not None and len(data) <= _LONGEST:
            lines = data.split(b"\n")
            try:
                pairs = [tuple(map(int, line.split())) for line in lines[1:] if line]
                if lines[0] == _header(quota) and all(len(pair) == 2 for pair in pairs):
                    return Usage(sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs))
            except ValueError:
                pass
        return self.count(quota, folders)

    def count(self, quota: Quota, folders: Iterable[str]) -> Usage:
        """From the names of the files, most of which tell their size."""
        usage = counted(folders)
        data = b"%b\n%d %d\n" % (_header(quota), usage.size, usage.messages)
        new = f"{self.path}/tmp/{self._disk.unique()}"
        try:
            descriptor = self._disk.create(new)
            try:
                disks.write_all(descriptor, data)
            finally:
                os.close(descriptor)
            os.rename(new, f"{self.path}/{NAME}")
        except OSError as error:
            disks.unlink(new)
            if not disks.is_full(error):
                raise
        return usage

    def add(self, size: int, messages: int) -> None:
        """What came, or went; where that can't be written, all is to be counted anew."""
        path = f"{self.path}/{NAME}"
        try:
            length = os.stat(path).st_size
            if length > _LONGEST:
                self.forget()
            else:
                disks.append(path, b"%d %d\n" % (size, messages), length)
        except FileNotFoundError:
            pass
        except OSError:
            self.forget()

    def forget(self) -> None:
        disks.unlink(f"{self.path}/{NAME}")

    def _is_worth_counting(self) -> bool:
        """Whether it is not the result of a recent count, and no more."""
        try:
            with open(f"{self.path}/{NAME}", "rb") as file:
                age = self._disk.clock() - os.fstat(file.fileno()).st_mtime
                return age > _OLD or file.read(_LONGEST).count(b"\n") > 2
        except FileNotFoundError:
            return True


def counted(folders: Iterable[str]) -> Usage:
    size = messages = 0
    for folder in folders:
        for part in ("new", "cur"):
            with os.scandir(f"{folder}/{part}") as found:
                for entry in found:
                    octets, _ = stated_sizes(entry.name.partition(":")[0])
                    if octets is None:
                        try:
                            octets = entry.stat(follow_symlinks=False).st_size
                        except FileNotFoundError:
                            continue
                    size += octets
                    messages += 1
    return Usage(size, messages)


def _header(quota: Quota) -> bytes:
    return b"%dS,%dC" % (quota.size or 0, quota.messages or 0)


def _fits(usage: Usage, quota: Quota, size: int, messages: int) -> bool:
    return (quota.size is None or usage.size + size <= quota.size) and (
        quota.messages is None or usage.messages + messages <= quota.messages
    )
