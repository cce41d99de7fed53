"""An account: its folders, deliveries, quota.  The engine's face for one account, ``store.Account``.

One object per account and process, so that its sessions see the same mailboxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.content import IncomingFile
from cgnode.backend.maildir.disk import Disk, translated
from cgnode.backend.maildir.folders import FolderTree
from cgnode.backend.maildir.guard import Guard, Work
from cgnode.backend.maildir.mailbox import Arrival, Mailbox
from cgnode.backend.maildir.maildrop import MaildirMaildrop
from cgnode.backend.maildir.names import checked_flags, folder_name, sized
from cgnode.backend.maildir.tracking import TrackedFolder, make_parts
from cgnode.backend.maildir.usage import UsageFile, counted
from cgnode.backend.maildir.view import MaildirView
from cgnode.backend.store import (
    DELETED,
    INBOX,
    SEEN,
    Appended,
    Copied,
    Folder,
    Gone,
    Incoming,
    MailStoreError,
    New,
    Quota,
    Status,
    StorageFailed,
    Usage,
)


class MaildirAccount:
    def __init__(self, address: str, home: str, path: str, disk: Disk) -> None:
        self.address = address
        self.home = home
        self.path = path
        self.quota = Quota()
        self.guard = Guard(path, disk)
        self.tree = FolderTree(path, disk)
        self._usage = UsageFile(path, disk)
        self._disk = disk
        self._mailboxes: dict[str, Mailbox] = {}

    def work(self) -> AbstractContextManager[Work]:
        return self.guard.work()

    # --- messages that come in -----------------------------------------------------------

    def incoming(self) -> IncomingFile:
        with translated():
            try:
                return IncomingFile(self.path, self._disk)
            except FileNotFoundError:
                self._repair(self.path)
                return IncomingFile(self.path, self._disk)

    def _repair(self, folder: str) -> None:
        """Make ``new``, ``cur`` and ``tmp`` where somebody took one away, but no folder."""
        if self.guard.gone or not disks.is_directory(folder):
            raise Gone(f"{self.address} has been removed or renamed")
        make_parts(folder, self._disk)

    def deliver(self, incoming: Incoming, folder: str = INBOX) -> None:
        file = file_of(incoming)
        file.seal()
        folder = folder_name(folder)
        target = None
        try:
            with self.work() as work:
                target = self._arrive(file, folder, work)
        except MailStoreError:
            # Its sender will be told that it was not, and may send it again.
            if target is not None:
                with suppress(OSError):
                    disks.unlink(target)
            raise

    def begin_delivery(self, file: IncomingFile, work: Work) -> str:
        """Put a message, which is durable, into INBOX; delivered once ``work`` is done.  Its place, from
        where it is to be taken away should that fail."""
        with translated(), self.guard.hold():
            return self._arrive(file, INBOX, work)

    def _arrive(self, file: IncomingFile, folder: str, work: Work) -> str:
        """With the account held."""
        place = self.tree.place(folder)
        self._usage.check(self.quota, file.size, 1, self.tree.places)
        path = f"{place}/new/{sized(self._disk.unique(), file.size, file.size)}"
        self._link(file, path, place)
        try:
            work.sync_directory(f"{place}/new")
            self._usage.add(file.size, 1)
            if (mailbox := self._mailboxes.get(folder)) is not None:
                mailbox.arrived(work)
        except BaseException:
            disks.unlink(path)
            raise
        return path

    def _link(self, file: IncomingFile, path: str, place: str) -> None:
        try:
            self._disk.link(file.path, path, f"{self.path}/tmp")
        except FileNotFoundError:
            self._repair(place)
            self._disk.link(file.path, path, f"{self.path}/tmp")

    def append(self, folder: str, messages: Sequence[New]) -> Appended:
        arrivals = []
        for new in messages:
            file = file_of(new.incoming)
            file.seal(new.date)
            flags = checked_flags(new.flags)
            arrivals.append(Arrival(flags, file.date(), file.size, file.size, self._placing(file)))
        with self.work() as work:
            mailbox = self.mailbox(folder, work)
            size = sum(arrival.octets for arrival in arrivals)
            self._usage.check(self.quota, size, len(arrivals), self.tree.places)
            uids = mailbox.receive(arrivals, work)
            self._usage.add(size, len(arrivals))
            mailbox.announce(work)
            return Appended(mailbox.index.uidvalidity, tuple(uid for uid in uids if uid is not None))

    def _placing(self, file: IncomingFile) -> Callable[[str], None]:
        def put(target: str) -> None:
            try:
                self._disk.link(file.path, target, f"{self.path}/tmp")
            except FileNotFoundError:
                raise StorageFailed("a message was thrown away before it was stored") from None

        return put

    def transfer(self, source: Mailbox, uids: Iterable[int], folder: str, *, move: bool) -> Copied:
        """Copy or move messages; those that are there."""
        with self.work() as work:
            source.refresh(work)
            target = self.mailbox(folder, work)
            there = [uid for uid in dict.fromkeys(uids) if uid in source.index.messages]
            moved: set[int] | None = set() if move else None
            departures = [source.departure(uid, moved) for uid in there]
            size = sum(arrival.octets for arrival in departures)
            if not move:
                self._usage.check(self.quota, size, len(there), self.tree.places)
            try:
                got = target.receive(departures, work, each=move)
            finally:
                if moved:
                    source.forget(sorted(moved), work)
                    source.announce(work)
                target.announce(work)
            if not move:
                self._usage.add(size, len(there))
            pairs = tuple((uid, new) for uid, new in zip(there, got, strict=True) if new is not None)
            return Copied(target.index.uidvalidity, pairs)

    def expunge(self, mailbox: Mailbox, uids: Iterable[int], work: Work) -> tuple[int, ...]:
        """Remove messages, with the account held; those that were there."""
        gone, octets = mailbox.expunge(uids, work)
        if gone:
            self._usage.add(-octets, -len(gone))
        return tuple(gone)

    # --- folders -------------------------------------------------------------------------

    def mailbox(self, folder: str, work: Work) -> Mailbox:
        """With the account held.  Raises NoSuchFolder."""
        folder = folder_name(folder)
        known = self._mailboxes.get(folder)
        if known is not None:
            try:
                known.refresh(work)
                return known
            except Gone:
                self._lose(folder, work)
        place = self.tree.place(folder)
        if folder == INBOX:
            self._repair(place)
            self.tree.sweep()
        mailbox = Mailbox(TrackedFolder(place, self._disk, self.tree.new_uidvalidity), self._disk)
        mailbox.refresh(work)
        self._mailboxes[folder] = mailbox
        return mailbox

    def _lose(self, folder: str, work: Work) -> None:
        """The folder is none, or another one, from now on."""
        if (mailbox := self._mailboxes.pop(folder, None)) is not None:
            mailbox.files.gone = True
            work.tell(mailbox.callbacks())

    def select(self, folder: str, *, read_only: bool = False) -> MaildirView:
        with self.work() as work:
            mailbox = self.mailbox(folder, work)
            return MaildirView(self, mailbox, read_only=read_only)

    def status(self, folder: str) -> Status:
        with self.work() as work:
            mailbox = self.mailbox(folder, work)
            index = mailbox.index
            found = index.messages.values()
            return Status(
                messages=len(found),
                recent=len(mailbox.unclaimed()),
                unseen=sum(SEEN not in message.flags for message in found),
                deleted=sum(DELETED in message.flags for message in found),
                size=sum(message.size for message in found),
                uidnext=index.uidnext,
                uidvalidity=index.uidvalidity,
                highest_modseq=index.modseq,
            )

    def folders(self) -> list[Folder]:
        with self.work():
            return self.tree.folders()

    def create(self, folder: str) -> None:
        with self.work():
            self.tree.create(folder_name(folder))

    def delete(self, folder: str) -> None:
        folder = folder_name(folder)
        with self.work() as work:
            self.tree.delete(folder)
            self._usage.forget()
            self._lose(folder, work)

    def rename(self, folder: str, new: str) -> None:
        folder, new = folder_name(folder), folder_name(new)
        if folder == INBOX:
            self._empty_inbox(new)
            return
        with self.work() as work:
            for moved in self.tree.rename(folder, new):
                self._lose(moved, work)

    def _empty_inbox(self, new: str) -> None:
        with self.work() as work:
            self.tree.create(new)
            inbox = self.mailbox(INBOX, work)
        self.transfer(inbox, list(inbox.index.messages), new, move=True)

    def subscribe(self, folder: str) -> None:
        with self.work():
            self.tree.subscribe(folder)

    def unsubscribe(self, folder: str) -> None:
        with self.work():
            self.tree.unsubscribe(folder)

    # --- the rest ------------------------------------------------------------------------

    def usage(self, *, recount: bool = False) -> Usage:
        with self.work():
            if recount:
                return self.recount()
            return self._usage.read(self.quota, self.tree.places())

    def recount(self) -> Usage:
        """With the account held."""
        return self._usage.count(self.quota, self.tree.places())

    def measure(self) -> tuple[Usage, Usage]:
        """With the account held: what is noted, and what there is."""
        return self._usage.read(self.quota, self.tree.places()), counted(self.tree.places())

    def maildrop(self) -> MaildirMaildrop:
        return MaildirMaildrop(self)

    def leave(self) -> None:
        """The account has been removed, renamed, or is not ours any more: so all who use it find."""
        self.guard.close()
        for mailbox in list(self._mailboxes.values()):
            mailbox.files.gone = True
            for callback in mailbox.callbacks():
                callback()


def file_of(incoming: Incoming) -> IncomingFile:
    if not isinstance(incoming, IncomingFile):
        raise TypeError("a message is delivered by the engine that it was written with")
    return incoming
