"""No room on the disk: a clear error, nothing half there, and what is there stays usable."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import (
    ANSWERED,
    DELETED,
    FLAGGED,
    INBOX,
    SEEN,
    How,
    MailStoreError,
    StorageFull,
    Usage,
)
from tests.cgnode.backend.mailing import (
    ALICE,
    append,
    contents,
    deliver,
    faults,
    files,
    in_memory,
    open_store,
    path_of,
    reopened,
    text,
)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """What the kernel does then is EFBIG, within a write too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_message_that_does_not_fit(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    with no_file_larger_than(100_000), alice.incoming() as incoming:
        with pytest.raises(StorageFull):
            incoming.write(b"x" * 1_000_000)
        with pytest.raises(StorageFull):
            alice.deliver(incoming)
    assert contents(alice) == {1: "a"}
    assert os.listdir(path_of(alice) / "tmp") == []
    assert alice.usage() == Usage(len(text("a")), 1)


def test_a_list_that_does_not_fit(store: MaildirStore, alice: MaildirAccount) -> None:
    for number in range(10):
        append(alice, number)
    size = (path_of(alice) / "cgnode-uids").stat().st_size
    with alice.select(INBOX) as view:
        with no_file_larger_than(size + 20):
            with pytest.raises(StorageFull):
                append(alice, "x")
            with pytest.raises(StorageFull):
                view.copy([1], INBOX)
            with pytest.raises(StorageFull):
                view.store([1], How.ADD, frozenset({"$k"}))
            assert len(files(alice)) == 10
            deliver(alice, "y")
            # It has no UID yet; all else goes on.
            assert view.look().exists is None
            view.store([1, 2], How.ADD, frozenset({DELETED}))
            view.store([3], How.ADD, frozenset({FLAGGED}))
            assert view.expunge() == (1, 2)
            assert view.look().expunged == (2, 1)
            assert [message.flags for message in view.messages([3])] == [{FLAGGED}]
            assert (path_of(alice) / "cgnode-uids").stat().st_size <= size + 20
        view.store([4], How.ADD, frozenset({SEEN}))
        alice.usage(recount=True)
        for _ in range(2):
            view._mailbox.files._recheck = 0.0
            view.look()
        assert contents(alice)[11] == "y"
    (other,) = reopened(store)
    assert contents(other.account(ALICE)) == contents(alice)
    with other.account(ALICE).select(INBOX) as theirs, alice.select(INBOX) as ours:
        assert theirs.messages() == ours.messages()


# --- at each call that could find the disk full --------------------------------------------

_CALLS = ("open", "write", "link", "rename", "mkdir", "fsync", "fdatasync")


class Full:
    """The ``at``th call that needs room, and those after it, find none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, once: bool) -> None:
        self.calls = 0
        self._at, self._once = at, once
        for name in _CALLS:
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def _failing(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if name == "open" and not int(str(arguments[1])) & os.O_CREAT:
                return real(*arguments, **named)
            self.calls += 1
            if self.calls == self._at or (self.calls > self._at and not self._once):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
            return real(*arguments, **named)

        return call


def _append(account: MaildirAccount) -> None:
    append(account, "new", "Sent", flags=[SEEN, "$k"])


def _store(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.store([1, 2], How.ADD, frozenset({ANSWERED, "$new"}))


def _copy(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.copy([1, 2, 3], "Archive")


def _move(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.move([1, 2], "Archive")


def _expunge(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.store([1], How.ADD, frozenset({DELETED}))
        view.expunge()


DEEDS = (
    deliver,
    _append,
    _store,
    _copy,
    _move,
    _expunge,
    lambda account: account.create("A/B"),
    lambda account: account.rename("Sent", "A/B"),
    lambda account: account.rename(INBOX, "Old"),
    lambda account: account.delete("Junk"),
    lambda account: account.subscribe("A"),
)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


# Where each deed is worth it: a disk that has room again at once, and one that has not.
@pytest.mark.parametrize(
    ("number", "once"), [*((number, False) for number in range(len(DEEDS))), (1, True), (4, True), (5, True)]
)
def test_full_at_any_moment(memory: Path, monkeypatch: pytest.MonkeyPatch, number: int, once: bool) -> None:
    """It happens, or there is an error; what was there is there once."""
    deed: Callable[[MaildirAccount], None] = DEEDS[number]
    for at in range(1, 100):
        store = open_store(memory / f"{number}{once}{at}")
        alice = store.account(ALICE, create=True)
        for letter in "abc":
            deliver(alice, letter)
        append(alice, "j", "Junk")
        failed = False
        with monkeypatch.context() as patch:
            full = Full(patch, at, once=once)
            try:
                deed(alice)
            except MailStoreError as error:
                failed = True
                assert isinstance(error, StorageFull)  # noqa: PT017
        # What got no UID is looked at again a second later, or now.
        store.check(ALICE)
        for account in (alice, *(other.account(ALICE) for other in reopened(store))):
            found = [
                message
                for folder in account.folders()
                if folder.exists
                for message in contents(account, folder.name).values()
            ]
            assert set("abc") - {"a"} <= {*found}
            assert "a" in found or deed is _expunge
            if deed not in (_copy,):
                assert len(found) == len({*found})
            if failed and deed in (deliver, _append, _copy):
                assert sorted(found) == ["a", "b", "c", "j"]
            account.usage(recount=True)
        assert faults(store) == []
        if full.calls < at:
            assert not failed
            return
    pytest.fail("it never ends")


def _until_full(deed: Callable[[int], object]) -> int:
    """How many times it can be done."""
    for number in range(1000):
        try:
            deed(number)
        except StorageFull:
            return number
    pytest.fail("it never fills")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_that_is_full_indeed(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k,nr_inodes=200", "none", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        store = open_store(tmp_path / "storage", sync=True)
        alice = store.account(ALICE, create=True)
        count = _until_full(lambda number: append(alice, number))
        assert list(contents(alice).values()) == list(map(str, range(count)))
        _until_full(lambda number: deliver(alice, number))
        with alice.select(INBOX) as view:
            view.store(view.uids, How.ADD, frozenset({DELETED}))
            view.expunge()
        append(alice, "x")
        assert [*contents(alice).values()][-1] == "x"
        alice.usage(recount=True)
        assert faults(store) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
