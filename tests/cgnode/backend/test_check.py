"""The check itself: a sound account passes everywhere else; here each fault is found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import INBOX
from tests.cgnode.backend.mailing import ALICE, append, contents, files, path_of, reopened


@pytest.fixture
def some(alice: MaildirAccount) -> MaildirAccount:
    for number in range(3):
        append(alice, number)
    append(alice, "s", "Sent")
    return alice


def _list(account: MaildirAccount) -> Path:
    return path_of(account) / "cgnode-uids"


def _damage_list(account: MaildirAccount) -> None:
    _list(account).write_bytes(b"x" + _list(account).read_bytes())


def _change_usage(account: MaildirAccount) -> None:
    Path(account.path, "maildirsize").write_text("0S,0C\n7 7\n")


def _change_content(account: MaildirAccount) -> None:
    file = files(account)[0]
    date = file.stat().st_mtime
    with file.open("ab") as opened:
        opened.write(b"more")
    os.utime(file, (date, date))


def _change_date(account: MaildirAccount) -> None:
    os.utime(files(account)[0], (1, 1))


def _share_uidvalidity(account: MaildirAccount) -> None:
    _list(account).write_bytes(b"")
    for part in ("new", "cur"):
        for file in (path_of(account) / part).iterdir():
            file.unlink()
    data = (path_of(account, "Sent") / "cgnode-uids").read_bytes()
    _list(account).write_bytes(data.splitlines(keepends=True)[0])


def _make_folder(account: MaildirAccount) -> None:
    for part in ("new", "cur", "tmp"):
        Path(account.path, ".\xe4\xf6", part).mkdir(parents=True)


@pytest.mark.parametrize(
    ("fault", "place", "words", "repaired"),
    [
        (_damage_list, INBOX, "does not begin as a list does", True),
        (_change_usage, "maildirsize", "7 octets in 7 messages noted", True),
        (_change_content, INBOX, "octets, the file has", False),
        (_change_date, INBOX, "is of 1, the list says of", False),
        (_share_uidvalidity, "Sent", "has the UIDVALIDITY of INBOX", False),
        (_make_folder, "'.äö'", "nobody can select it", False),
    ],
)
def test_faults(
    store: MaildirStore,
    some: MaildirAccount,
    fault: Callable[[MaildirAccount], None],
    place: str,
    words: str,
    repaired: bool,
) -> None:
    fault(some)
    (other,) = reopened(store)
    problems = other.check(ALICE)
    assert any(problem.place == place and words in problem.text for problem in problems), problems
    assert not any(problem.repaired for problem in problems)
    (other,) = reopened(store)
    problems = [problem for problem in other.check(ALICE, repair=True) if problem.place == place]
    assert any(words in problem.text and problem.repaired == repaired for problem in problems)
    if repaired:
        assert store.check(ALICE) == []
        assert len(contents(some)) == 3
    else:
        store.purge(store.remove(ALICE))
