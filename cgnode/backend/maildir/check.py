"""What must be true of an account on the disk, each thing looked at itself; run after every test,
and by operators.

What a crash or another program may leave, and a look sets right, is no fault; so each folder
is looked at first, thoroughly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cgnode.backend.maildir import scan, uidlist
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.guard import Work
from cgnode.backend.maildir.mailbox import Mailbox
from cgnode.backend.maildir.names import from_disk_name, info_of, letters_of, stated_sizes, system_flags
from cgnode.backend.maildir.uidlist import Damaged, UidList
from cgnode.backend.store import INBOX, MailStoreError, Message, Problem

if TYPE_CHECKING:
    from cgnode.backend.maildir.account import MaildirAccount


def check_account(account: MaildirAccount, disk: Disk, *, repair: bool) -> list[Problem]:
    """All faults.  With ``repair``, damaged lists are made anew, leftovers destroyed, usage counted."""
    with account.work() as work:
        found = [*_leftovers(account, repair), *_unspeakable(account)]
        uidvalidities: dict[int, str] = {}
        for name in [INBOX, *account.tree.names()]:
            damage = _damage(account.tree.place(name), disk)
            if damage is not None:
                found.append(Problem(name, damage, repair))
                if not repair:
                    continue
            try:
                mailbox = _look(account, name, work)
                found += [Problem(name, text) for text in _folder(mailbox, disk)]
            except (MailStoreError, OSError) as error:
                found.append(Problem(name, f"can't be looked at: {error}"))
                continue
            other = uidvalidities.setdefault(mailbox.index.uidvalidity, name)
            if other != name:
                found.append(Problem(name, f"has the UIDVALIDITY of {other}"))
        found += _usage(account, repair)
        return found


def _look(account: MaildirAccount, name: str, work: Work) -> Mailbox:
    mailbox = account.mailbox(name, work)
    mailbox.refresh(work, thorough=True)
    return mailbox


def _leftovers(account: MaildirAccount, repair: bool) -> list[Problem]:
    found = [Problem(path, "was begun and never finished", repair) for path in account.tree.leftovers()]
    if repair:
        account.tree.sweep()
    return found


def _unspeakable(account: MaildirAccount) -> Iterator[Problem]:
    """Folders that nobody can select."""
    for place in account.tree.places():
        name = os.path.basename(place)
        if place != account.path and from_disk_name(name) is None:
            yield Problem(repr(name), "is no name that a folder can have: nobody can select it")


def _damage(place: str, disk: Disk) -> str | None:
    try:
        UidList(f"{place}/{uidlist.NAME}", disk)
    except FileNotFoundError:
        return None
    except Damaged as error:
        return str(error)
    return None


def _folder(mailbox: Mailbox, disk: Disk) -> Iterator[str]:
    index = mailbox.index
    written = UidList(f"{mailbox.folder}/{uidlist.NAME}", disk)
    if not index.waiting and _state(written) != _state(index):
        yield "its list does not say what this process knows"
    if any(message.modseq > index.modseq for message in index.messages.values()):
        yield "a message has a mod-sequence above the highest"
    if list(index.messages) != sorted(index.messages) or index.uidnext <= max(index.messages, default=0):
        yield "its UIDs do not ascend to UIDNEXT"
    found, twins = scan.listing(mailbox.folder)
    for place in twins:
        yield f"{place}: another file has the same name but for flags"
    for base, place in found.items():
        uid = index.uids.get(base)
        if uid is not None:
            yield from _message(mailbox.folder, place, index.messages[uid])
            if mailbox.files.place(uid) != place:
                yield f"{place}: taken to be at {mailbox.files.place(uid)}"
        elif scan.meet(mailbox.folder, base, place, {}) is not None:
            yield f"{place}: not in the list"
    for base in index.uids.keys() - found.keys():
        yield f"{base}: in the list, but there is no file"


def _state(index: UidList) -> tuple[object, ...]:
    numbers = index.uidvalidity, index.uidnext, index.modseq, index.recent
    return (*numbers, index.messages, index.bases, index.uids)


def _message(folder: str, place: str, message: Message) -> Iterator[str]:
    found = os.lstat(f"{folder}/{place}")
    octets, size = stated_sizes(place.partition("/")[2].partition(":")[0])
    wire = scan.wire_size(f"{folder}/{place}")
    if octets not in (None, found.st_size):
        yield f"{place}: its name says {octets} octets, the file has {found.st_size}"
    if size not in (None, wire) or message.size != wire:
        yield f"{place}: its name says a size of {size}, the list of {message.size}, it is of {wire}"
    if message.date != int(found.st_mtime):
        yield f"{place}: is of {int(found.st_mtime)}, the list says of {message.date}"
    if letters_of(message.flags) != letters_of(system_flags(info_of(place))):
        yield f"{place}: the list has its flags as {letters_of(message.flags) or 'none'}"


def _usage(account: MaildirAccount, repair: bool) -> Iterator[Problem]:
    known, counted = account.measure()
    if known != counted:
        text = f"{known.size} octets in {known.messages} messages noted, there are {counted.size} in "
        yield Problem("maildirsize", f"{text}{counted.messages}", repair)
        if repair:
            account.recount()
