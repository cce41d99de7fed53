from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from threading import Thread

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import (
    INBOX,
    SEEN,
    BadName,
    Gone,
    New,
    NoSuchFolder,
    OverQuota,
    Quota,
    StorageFailed,
    Usage,
)
from tests.cgnode.backend.mailing import (
    ALICE,
    BOB,
    append,
    contents,
    deliver,
    files,
    open_store,
    path_of,
    text,
)


def test_a_delivery(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    (file,) = files(alice)
    assert file.parent.name == "new"
    assert file.read_bytes() == text("a")
    assert f",S={len(text('a'))},W={len(text('a'))}" in file.name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(path_of(alice) / "tmp") == []
    assert contents(alice) == {1: "a"}


def test_into_a_folder(alice: MaildirAccount) -> None:
    deliver(alice, "a", "Junk")
    deliver(alice, "b", "inbox")
    assert contents(alice, "Junk") == {1: "a"}
    assert contents(alice) == {1: "b"}
    with pytest.raises(NoSuchFolder):
        deliver(alice, "c", "Junk/More")
    with pytest.raises(BadName):
        deliver(alice, "c", "../x")


def test_in_order(alice: MaildirAccount) -> None:
    for number in range(20):
        deliver(alice, number)
    assert list(contents(alice).values()) == list(map(str, range(20)))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"\n\n\r\n\n", b"\r\n\r\n\r\n\r\n"),
        (b"\ra\r\r\n\n\r", b"\ra\r\r\n\r\n\r"),
        (b"", b""),
        (b"no end", b"no end"),
        (b"\0\xff\r\n", b"\0\xff\r\n"),
    ],
)
def test_line_ends(alice: MaildirAccount, given: bytes, kept: bytes, size: int) -> None:
    with alice.incoming() as incoming:
        for start in range(0, len(given), size):
            incoming.write(given[start : start + size])
        assert incoming.size == len(kept)
        alice.deliver(incoming)
    with alice.select(INBOX) as view, view.open(1) as content:
        assert content.read() == kept
        assert content.size == view.messages()[0].size == len(kept)


def test_thrown_away(alice: MaildirAccount) -> None:
    with alice.incoming() as incoming:
        incoming.write(b"x" * 1_000_000)
    assert files(alice) == []
    assert os.listdir(path_of(alice) / "tmp") == []
    incoming.close()


def test_to_several_accounts(store: MaildirStore, alice: MaildirAccount) -> None:
    bob = store.account(BOB, create=True)
    with alice.incoming() as incoming:
        incoming.write(text("a"))
        alice.deliver(incoming)
        bob.deliver(incoming)
        bob.deliver(incoming, "Junk")
        with pytest.raises(ValueError, match="grow"):
            incoming.write(b"more")
    assert contents(alice) == contents(bob) == contents(bob, "Junk") == {1: "a"}
    assert files(alice)[0].stat().st_nlink == 3
    with bob.select(INBOX) as view:
        view.expunge()
        view.move([1], "Trash")
    assert contents(alice) == {1: "a"}


def test_where_there_are_no_links(
    store: MaildirStore, alice: MaildirAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    bob = store.account(BOB, create=True)
    with alice.incoming() as incoming:
        incoming.write(text("a"))
        alice.deliver(incoming)
        bob.deliver(incoming)
    append(alice, "b", date=1_000_000_000)
    assert contents(alice) == {1: "a", 2: "b"}
    with alice.select(INBOX) as view:
        assert view.copy([2], "Archive").pairs == ((2, 1),)
    with alice.select("Archive") as view:
        assert view.messages()[0].date == 1_000_000_000
    assert contents(bob) == {1: "a"}
    assert os.listdir(path_of(alice) / "tmp") == []


def test_many_at_once(store: MaildirStore, alice: MaildirAccount) -> None:
    def some(start: int) -> None:
        for number in range(start, start + 10):
            deliver(alice, number)
            append(alice, number + 1000, "Sent")

    threads = [Thread(target=some, args=(start * 10,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, contents(alice).values())) == list(range(80))
    assert sorted(map(int, contents(alice, "Sent").values())) == list(range(1000, 1080))
    assert alice.usage() == alice.usage(recount=True)


def test_synchronised_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, then the folder it is in; and the list before a UID is told."""
    calls: list[str] = []
    account = open_store(tmp_path / "storage", sync=True).account(ALICE, create=True)

    def noting(descriptor: int) -> None:
        calls.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), account.path))

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(os, "fdatasync", noting)
    deliver(account)
    assert [call.partition("/")[0] for call in calls] == ["tmp", "new"]
    calls.clear()
    with account.select(INBOX):
        assert calls[-1] == "cgnode-uids"
    calls.clear()
    append(account, "b")
    assert [call.partition("/")[0] for call in calls] == ["tmp", "cur", "cgnode-uids"]
    calls.clear()
    deliver(account, "c", "Junk")
    assert [call.partition("/")[2] for call in calls][1:] == ["new"]


def test_append(alice: MaildirAccount) -> None:
    with alice.incoming() as first, alice.incoming() as second:
        first.write(text("a"))
        second.write(text("b"))
        done = alice.append("Sent", [New(first, frozenset({"\\seen", "$Work"}), 1_000_000_000), New(second)])
    assert done.uids == (1, 2)
    with alice.select("Sent") as view:
        assert view.uidvalidity == done.uidvalidity
        a, b = view.messages()
    assert a.flags == {SEEN, "$Work"}
    assert a.date == 1_000_000_000
    assert abs(b.date - time.time()) < 60
    assert b.flags == frozenset()
    with pytest.raises(NoSuchFolder):
        append(alice, "c", "Nowhere")
    with pytest.raises(BadName):
        append(alice, "c", flags=["a b"])


def test_append_of_nothing(alice: MaildirAccount) -> None:
    assert alice.append(INBOX, []).uids == ()


def test_all_or_none_are_appended(alice: MaildirAccount) -> None:
    alice.quota = Quota(messages=2)
    with alice.incoming() as one, alice.incoming() as two, alice.incoming() as three:
        with pytest.raises(OverQuota):
            alice.append("Sent", [New(one), New(two), New(three)])
        os.unlink(three.path)
        with pytest.raises(StorageFailed, match="thrown away"):
            alice.append("Sent", [New(one), New(three)])
    assert contents(alice, "Sent") == {}
    assert alice.usage() == Usage(0, 0)


def test_an_account_that_goes(store: MaildirStore, alice: MaildirAccount) -> None:
    deliver(alice)
    with alice.incoming() as incoming:
        store.remove(ALICE)
        with pytest.raises(Gone):
            alice.deliver(incoming)
    with pytest.raises(Gone):
        alice.incoming()
    assert not (Path(alice.path).parent).exists()


def test_a_folder_without_its_parts(alice: MaildirAccount) -> None:
    for part in ("new", "cur", "tmp"):
        (path_of(alice) / part).rmdir()
        (path_of(alice, "Sent") / part).rmdir()
    deliver(alice, "a")
    deliver(alice, "b", "Sent")
    assert contents(alice) == {1: "a"}
    assert contents(alice, "Sent") == {1: "b"}


def test_what_is_left_in_tmp(tmp_path: Path) -> None:
    now = [time.time()]
    store = MaildirStore.open(tmp_path / "storage", "be1", Disk(sync=False, clock=lambda: now[0]))
    alice = store.account(ALICE, create=True)
    left = path_of(alice) / "tmp" / "1.x"
    left.write_bytes(b"x")
    os.utime(left, (1, 1))
    alice.select(INBOX).close()
    assert left.exists()
    now[0] += 37 * 3600
    store.account(ALICE, create=True).rename(INBOX, "Old")
    alice.delete("Old")
    assert not left.exists()
