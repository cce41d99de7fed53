from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import INBOX, SEEN, Gone, InUse, Usage
from tests.cgnode.backend.mailing import (
    ALICE,
    append,
    contents,
    deliver,
    open_store,
    path_of,
    reopened,
    see,
    text,
)


def test_a_session(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    deliver(alice, "b")
    append(alice, "c")
    with alice.maildrop() as drop:
        assert [message.size for message in drop.messages] == [len(text("a"))] * 3
        with drop.open(drop.messages[1].uid) as content:
            assert content.read() == text("b")
        deliver(alice, "d")
        assert len(drop.messages) == 3
        drop.quit([drop.messages[0].uid], [drop.messages[1].uid])
    assert contents(alice) == {2: "b", 3: "c", 4: "d"}
    with alice.select(INBOX) as view:
        assert [SEEN in message.flags for message in view.messages()] == [True, False, False]
        assert view.recent == {2, 3, 4}
    assert alice.usage() == Usage(3 * len(text("a")), 3)


def test_without_quit(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    with alice.maildrop():
        pass
    assert contents(alice) == {1: "a"}


def test_one_at_a_time(store: MaildirStore, alice: MaildirAccount) -> None:
    (other,) = reopened(store)
    with alice.maildrop() as drop:
        with pytest.raises(InUse):
            alice.maildrop()
        with pytest.raises(InUse):
            other.account(ALICE).maildrop()
        append(alice, "a")  # IMAP is not concerned
        drop.quit([])
        with pytest.raises(InUse):
            alice.maildrop()
    with other.account(ALICE).maildrop() as drop:
        assert len(drop.messages) == 1
    alice.maildrop().close()


def test_beside_imap(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    deliver(alice, "b")
    with alice.select(INBOX) as view:
        with alice.maildrop() as drop:
            view.move([1], "Trash")
            with pytest.raises(Gone):
                drop.open(1)
            drop.quit([1, 2])
        assert view.look().expunged == (2, 1)


def test_uidls_stay(tmp_path: Path, store: MaildirStore, alice: MaildirAccount) -> None:
    """On another host, and when the list was lost."""
    for number in range(3):
        deliver(alice, number)
    with alice.maildrop() as drop:
        before = [message.uidl for message in drop.messages]
    assert len(set(before)) == 3
    with alice.select(INBOX) as view:
        see(view, 1)
    shutil.copytree(tmp_path / "storage", tmp_path / "elsewhere")
    there = open_store(tmp_path / "own", "be2")
    there.attach(tmp_path / "elsewhere")
    (path_of(alice) / "cgnode-uids").unlink()
    for account in (alice, there.account(ALICE)):
        with account.maildrop() as drop:
            assert [message.uidl for message in drop.messages] == before


def test_of_an_account_that_is_gone(store: MaildirStore, alice: MaildirAccount) -> None:
    drop = alice.maildrop()
    store.remove(ALICE)
    with pytest.raises(Gone):
        drop.quit([])
    drop.close()
    with pytest.raises(Gone):
        alice.maildrop()
