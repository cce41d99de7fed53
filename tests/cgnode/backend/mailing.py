"""What the mail store's tests say often."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import INBOX, SEEN, Account, How, New, View

ALICE = "alice@example.com"
BOB = "bob@example.com"


def open_store(path: Path, owner: str = "be1", *, sync: bool = False) -> MaildirStore:
    return MaildirStore.open(path, owner, Disk(sync=sync))


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder in memory where there is such: for what is done very often, and does not need a disk."""
    folder = Path(mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def text(number: int | str) -> bytes:
    return b"Message-ID: <%b@x>\r\nSubject: test\r\n\r\nbody\r\n" % str(number).encode()


def deliver(account: Account, number: int | str = 1, folder: str = INBOX) -> None:
    with account.incoming() as incoming:
        incoming.write(text(number))
        account.deliver(incoming, folder)


def append(
    account: Account,
    number: int | str = 1,
    folder: str = INBOX,
    flags: Iterable[str] = (),
    date: int | None = None,
) -> int:
    with account.incoming() as incoming:
        incoming.write(text(number))
        (uid,) = account.append(folder, [New(incoming, frozenset(flags), date)]).uids
    return uid


def name_of(view: View, uid: int) -> str:
    """What ``text`` was given."""
    with view.open(uid) as content:
        return content.header().split(b"<")[1].split(b"@")[0].decode()


def contents(account: Account, folder: str = INBOX) -> dict[int, str]:
    with account.select(folder, read_only=True) as view:
        return {uid: name_of(view, uid) for uid in view.uids}


def see(view: View, *uids: int) -> None:
    view.store(uids, How.ADD, frozenset({SEEN}))


def path_of(account: MaildirAccount, folder: str = INBOX) -> Path:
    return Path(account.tree.place(folder))


def files(account: MaildirAccount, folder: str = INBOX) -> list[Path]:
    place = path_of(account, folder)
    return sorted(place / part / name for part in ("new", "cur") for name in os.listdir(place / part))


def faults(store: MaildirStore) -> list[str]:
    """Of all accounts, as this process knows them and as another would."""
    found = []
    for storage in [store, *reopened(store)]:
        for home in storage.homes:
            for address in storage.accounts(home):
                problems = storage.check(address, home=home)
                found += [f"{address}: {problem.place}: {problem.text}" for problem in problems]
    return found


def reopened(store: MaildirStore) -> list[MaildirStore]:
    """As after a restart, each storage by itself."""
    return [open_store(store.path(home), home) for home in store.homes]
