"""Lists that are cut, damaged, lost: mail never is, and no UID stands for two messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.maildir.uidlist import Damaged, UidList, ranges
from cgnode.backend.store import DELETED, FLAGGED, INBOX, SEEN, Gone, How
from tests.cgnode.backend.mailing import ALICE, append, contents, deliver, path_of, reopened


def list_of(account: MaildirAccount) -> Path:
    return path_of(account) / "cgnode-uids"


@pytest.fixture
def some(alice: MaildirAccount) -> MaildirAccount:
    for number in range(1, 5):
        append(alice, number, flags=["$k", SEEN] if number == 2 else [])
    with alice.select(INBOX) as view:
        view.store([1], How.ADD, frozenset({FLAGGED, "$later"}))
        view.store([3], How.ADD, frozenset({DELETED}))
        view.expunge()
    return alice


def again(store: MaildirStore) -> MaildirAccount:
    (other,) = reopened(store)
    return other.account(ALICE)


def test_as_text(some: MaildirAccount) -> None:
    lines = [line.split(b"\t")[1:] for line in list_of(some).read_bytes().splitlines()]
    assert [line[0] for line in lines] == [b"cgnode-uids 1", *b"+ + + + r = = -".split()]
    assert [line[1] for line in lines if line[0] == b"+"] == [b"1", b"2", b"3", b"4"]
    assert [line[5:7] for line in lines if line[0] == b"+"][1] == [b"S", b"$k"]
    assert ranges([1, 2, 3, 5, 7, 8]) == "1:3,5,7:8"
    assert ranges([]) == ""


def test_cut_anywhere_in_the_last_line(store: MaildirStore, some: MaildirAccount) -> None:
    """As by a process killed while it appends: what was before it stays."""
    path = list_of(some)
    before = path.read_bytes()
    append(some, "x")
    whole = path.read_bytes()
    first = before + whole[len(before) :].split(b"\n")[0] + b"\n"
    for length in range(len(before), len(first)):
        path.write_bytes(whole[:length])
        index = UidList(str(path), Disk(sync=False))
        assert list(index.messages) == [1, 2, 4]
        assert path.read_bytes() == before
    path.write_bytes(whole[: len(first) - 1])
    assert contents(again(store)) == {1: "1", 2: "2", 4: "4", 5: "x"}


def test_zeros_at_the_end(store: MaildirStore, some: MaildirAccount) -> None:
    """As a file system may leave them after a power failure."""
    with list_of(some).open("ab") as file:
        file.write(bytes(4096))
    uidvalidity = some.status(INBOX).uidvalidity
    account = again(store)
    assert contents(account) == {1: "1", 2: "2", 4: "4"}
    assert account.status(INBOX).uidvalidity == uidvalidity


def test_damaged_anywhere(store: MaildirStore, some: MaildirAccount) -> None:
    path = list_of(some)
    good = path.read_bytes()
    with some.select(INBOX) as view:
        uidvalidity = view.uidvalidity
    for place in range(len(good) - 1):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(Damaged):
            UidList(str(path), Disk(sync=False))
    account = again(store)
    with account.select(INBOX) as view:
        assert view.uidvalidity > uidvalidity
        assert [message.flags for message in view.messages()] == [{FLAGGED, "$later"}, {SEEN, "$k"}, set()]
    assert sorted(contents(account).values()) == ["1", "2", "4"]
    assert path.with_name("cgnode-uids.damaged").exists()


@pytest.mark.parametrize("data", [b"", b"\n", b"garbage", b"garbage\n", bytes(100), b"\0\n" * 10])
def test_no_list_at_all(store: MaildirStore, some: MaildirAccount, data: bytes) -> None:
    uidvalidity = some.status(INBOX).uidvalidity
    list_of(some).write_bytes(data)
    account = again(store)
    assert contents(account) == {1: "1", 2: "2", 3: "4"}
    assert account.status(INBOX).uidvalidity > uidvalidity


def test_lost_beneath_a_session(some: MaildirAccount) -> None:
    with some.select(INBOX) as view:
        list_of(some).unlink()
        assert view.poll()
        with pytest.raises(Gone):
            view.look()
        assert contents(some) == {1: "1", 2: "2", 3: "4"}
        with pytest.raises(Gone):
            view.store([1], How.ADD, frozenset({SEEN}))
    deliver(some, "x")
    assert len(contents(some)) == 4


def test_replaced_beneath_a_session(store: MaildirStore, some: MaildirAccount) -> None:
    with some.select(INBOX) as view:
        list_of(some).write_bytes(b"garbage\n")
        again(store).select(INBOX).close()
        with pytest.raises(Gone):
            view.look()


def test_a_line_too_many(store: MaildirStore, some: MaildirAccount) -> None:
    """A list that says a thing twice is not believed."""
    path = list_of(some)
    lines = path.read_bytes().splitlines(keepends=True)
    for line in (lines[1], lines[0]):
        path.write_bytes(b"".join(lines) + line)
        with pytest.raises(Damaged):
            UidList(str(path), Disk(sync=False))
    assert contents(again(store)) == {1: "1", 2: "2", 3: "4"}
