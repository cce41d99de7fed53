"""Many deliveries at once, which share what they ask of the disk: first all texts are made
durable, then all names.  What happens to one of them does not happen to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from attrs import define, evolve

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.account import MaildirAccount, file_of
from cgnode.backend.maildir.content import IncomingFile
from cgnode.backend.maildir.disk import Disk, translated
from cgnode.backend.maildir.guard import Work
from cgnode.backend.maildir.together import Once
from cgnode.backend.store import Account, Incoming, MailStoreError


@define
class _Delivery:
    account: MaildirAccount
    file: IncomingFile
    work: Work
    place: str = ""
    failure: MailStoreError | None = None

    def flush(self) -> None:
        self.file.flush()

    def put(self) -> None:
        self.place = self.account.begin_delivery(self.file, self.work)

    def finish(self) -> None:
        with translated():
            self.work.finish()


def deliver_all(deliveries: Sequence[tuple[Account, Incoming]], disk: Disk) -> list[MailStoreError | None]:
    """Into INBOXes; of each, why not.  Those without a failure are durable."""
    texts, names = _sharing(disk), _sharing(disk)
    found = [_Delivery(_ours(account), file_of(incoming), Work(names)) for account, incoming in deliveries]
    for step in (
        _Delivery.flush,
        lambda each: each.file.seal(disk=texts),
        _Delivery.put,
        _Delivery.finish,
    ):
        for each in found:
            if each.failure is None:
                try:
                    step(each)
                except MailStoreError as error:
                    each.failure = error
    for each in found:
        if each.failure is not None and each.place:
            # Its sender will be told that it was not, and may send it again.
            with suppress(OSError):
                disks.unlink(each.place)
    return [each.failure for each in found]


def _sharing(disk: Disk) -> Disk:
    return disk if disk.together is None else evolve(disk, together=Once(disk.together))


def _ours(account: Account) -> MaildirAccount:
    if not isinstance(account, MaildirAccount):
        raise TypeError("an account of another engine")
    return account
