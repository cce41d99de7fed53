from __future__ import annotations

import os
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import DELETED, INBOX, How, OverQuota, Quota, Usage
from tests.cgnode.backend.mailing import ALICE, BOB, append, contents, deliver, files, path_of, reopened, text

SIZE = len(text(1))


def noted(account: MaildirAccount) -> list[str]:
    return Path(account.path, "maildirsize").read_text().splitlines()


def test_size(alice: MaildirAccount) -> None:
    alice.quota = Quota(size=2 * SIZE)
    deliver(alice, 1)
    append(alice, 2, "Sent")
    assert alice.usage() == Usage(2 * SIZE, 2)
    with pytest.raises(OverQuota):
        deliver(alice, 3)
    with pytest.raises(OverQuota):
        append(alice, 3)
    assert contents(alice) == {1: "1"}
    alice.quota = Quota(size=3 * SIZE)
    deliver(alice, 3)
    assert not os.listdir(path_of(alice) / "tmp")


def test_messages(alice: MaildirAccount) -> None:
    alice.quota = Quota(messages=1)
    deliver(alice, 1)
    with pytest.raises(OverQuota):
        deliver(alice, 2)
    with alice.select(INBOX) as view:
        view.store([1], How.ADD, frozenset({DELETED}))
        view.expunge()
    deliver(alice, 3)
    assert alice.usage() == Usage(SIZE, 1)


def test_one_recipient_of_two(store: MaildirStore, alice: MaildirAccount) -> None:
    bob = store.account(BOB, create=True)
    alice.quota = Quota(messages=0)
    with alice.incoming() as incoming:
        incoming.write(text("a"))
        with pytest.raises(OverQuota):
            alice.deliver(incoming)
        bob.deliver(incoming)
    assert contents(bob) == {1: "a"}


def test_the_file(store: MaildirStore, alice: MaildirAccount) -> None:
    alice.quota = Quota(size=1000, messages=10)
    deliver(alice, 1)
    deliver(alice, 2)
    assert noted(alice) == ["1000S,10C", "0 0", f"{SIZE} 1", f"{SIZE} 1"]
    (other,) = reopened(store)
    theirs = other.account(ALICE)
    theirs.quota = alice.quota
    assert theirs.usage() == Usage(2 * SIZE, 2)


@pytest.mark.parametrize(
    "data", ["", "1000S,10C\nx y\n", "1000S,10C\n1\n", "7S\n1 1\n", "1000S,10C\n" + "1 1\n" * 2000, "\0"]
)
def test_a_file_that_makes_no_sense(alice: MaildirAccount, data: str) -> None:
    alice.quota = Quota(size=1000, messages=10)
    deliver(alice, 1)
    Path(alice.path, "maildirsize").write_text(data)
    deliver(alice, 2)
    assert alice.usage() == Usage(2 * SIZE, 2)


def test_counted_before_it_refuses(alice: MaildirAccount) -> None:
    """Somebody else deleted messages and did not say so."""
    alice.quota = Quota(messages=3)
    for number in range(3):
        deliver(alice, number)
    for file in files(alice):
        file.unlink()
    deliver(alice, "x")
    assert alice.usage() == Usage(SIZE, 1)


def test_not_counted_for_each_refusal(alice: MaildirAccount) -> None:
    alice.quota = Quota(messages=0)
    with pytest.raises(OverQuota):
        deliver(alice)
    before = os.stat(Path(alice.path, "maildirsize")).st_ino
    for _ in range(3):
        with pytest.raises(OverQuota):
            deliver(alice)
    assert os.stat(Path(alice.path, "maildirsize")).st_ino == before


def test_kept_up_by_all_that_changes_it(alice: MaildirAccount) -> None:
    alice.quota = Quota(size=10**6, messages=1000)
    deliver(alice, 1)
    append(alice, 2)
    with alice.select(INBOX) as view:
        view.copy([1, 2], "Archive")
        view.move([1], "Trash")
        view.store([2], How.ADD, frozenset({DELETED}))
        view.expunge()
    assert alice.usage() == Usage(3 * SIZE, 3)
    with alice.maildrop() as drop:
        drop.quit([])
    alice.rename("Archive", "Old")
    alice.delete("Old")
    assert alice.usage() == Usage(SIZE, 1)
    assert alice.usage() == alice.usage(recount=True)
