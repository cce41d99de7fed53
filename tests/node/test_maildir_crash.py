"""``kill -9`` at any moment of the mail store's work: what was acknowledged is there exactly once,
and no UID ever stands for another message.

First at every call to the system that the work makes, one after the other; then at random,
several processes at work on one account.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import sleep
from types import FrameType

import pytest

from cgnode.backend.maildir import uidlist
from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.store import DELETED, FLAGGED, INBOX, SEEN, How, Quota
from tests.cgnode.backend.mailing import (
    ALICE,
    BOB,
    append,
    deliver,
    faults,
    in_memory,
    name_of,
    open_store,
)
from tests.storage.processes import ROOT, command, line

State = dict[str, dict[int, tuple[str, frozenset[str]]]]


def state(account: MaildirAccount) -> State:
    """By folders, what has which UID; looking on is all it does."""
    found: State = {}
    for folder in account.folders():
        if folder.exists:
            with account.select(folder.name, read_only=True) as view:
                found[folder.name] = {
                    message.uid: (name_of(view, message.uid), message.flags) for message in view.messages()
                }
    return found


def labels(found: State) -> list[str]:
    return sorted(label for messages in found.values() for label, _ in messages.values())


# --- at every call -------------------------------------------------------------------------


def _deliver(account: MaildirAccount) -> None:
    deliver(account, "new")


def _look(account: MaildirAccount) -> None:
    account.select(INBOX).close()


def _append(account: MaildirAccount) -> None:
    append(account, "new", "Sent", flags=[SEEN, "$k"])


def _store(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.store(view.uids, How.ADD, frozenset({FLAGGED, "$new"}))


def _copy(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.copy(view.uids, "Archive")


def _move(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.move(view.uids, "Archive")


def _expunge(account: MaildirAccount) -> None:
    with account.select(INBOX) as view:
        view.store([1, 2], How.ADD, frozenset({DELETED}))
        view.expunge()


def _maildrop(account: MaildirAccount) -> None:
    with account.maildrop() as drop:
        drop.quit([1], [2])


def _rename(account: MaildirAccount) -> None:
    account.rename("Sent", "Old/Sent")


def _empty_inbox(account: MaildirAccount) -> None:
    account.rename(INBOX, "Old")


def _create(account: MaildirAccount) -> None:
    account.create("New/Folder")
    append(account, "new", "New/Folder")


def _delete(account: MaildirAccount) -> None:
    account.delete("Junk")


def _compact(account: MaildirAccount) -> None:
    uidlist.SPARE_LINES = -1000
    with account.select(INBOX) as view:
        view.store([1], How.ADD, frozenset({FLAGGED}))


def _rebuild(account: MaildirAccount) -> None:
    os.unlink(Path(account.path, "cgnode-uids"))
    account.select(INBOX).close()


DEEDS: dict[Callable[[MaildirAccount], None], tuple[set[str], set[str]]] = {
    # What may come, and what may go.
    _deliver: ({"new"}, set()),
    _look: (set(), set()),
    _append: ({"new"}, set()),
    _store: (set(), set()),
    _copy: ({"a", "b", "c"}, set()),
    _move: (set(), set()),
    _expunge: (set(), {"a", "b"}),
    _maildrop: (set(), {"a"}),
    _rename: (set(), set()),
    _empty_inbox: (set(), set()),
    _create: ({"new"}, set()),
    _delete: (set(), {"j"}),
    _compact: (set(), set()),
    _rebuild: (set(), set()),
}


# Before each of these, all that came before can be seen; what else happens changes nothing.
_CALLS = frozenset({"write", "flush", "truncate", "ftruncate", "utime"}).union(
    {"rename", "replace", "link", "unlink", "mkdir", "rmdir"}
)


def killed_at(call: int, deed: Callable[[], object]) -> bool:
    """Do it in a child that dies before its ``call``th call that changes something; whether it died."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 9)
        return os.waitstatus_to_exitcode(status) == 9
    left = call

    def watch(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event == "c_call" and getattr(argument, "__name__", "") in _CALLS:
            left -= 1
            if not left:
                os._exit(9)

    try:
        sys.setprofile(watch)
        deed()
        os._exit(0)
    except BaseException:
        sys.setprofile(None)
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def opened(folder: Path) -> MaildirAccount:
    account = open_store(folder).account(ALICE)
    account.quota = Quota(size=10**9)
    return account


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """What a killed process leaves is the same there."""
    with in_memory() as folder:
        yield folder


@pytest.fixture(scope="module")
def template(memory: Path) -> tuple[Path, State]:
    folder = memory / "template"
    open_store(folder).account(ALICE, create=True)
    account = opened(folder)
    account.delete("Drafts")
    account.delete("Trash")
    for label in ("a", "b"):
        append(account, label, flags=["$k"])
    append(account, "s", "Sent")
    append(account, "j", "Junk")
    before = state(account)
    # This one has no UID yet.
    deliver(account, "c")
    return folder, before


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__[1:])
def test_killed_at_every_call(
    memory: Path, template: tuple[Path, State], deed: Callable[[MaildirAccount], None]
) -> None:
    come, go = DEEDS[deed]
    before = template[1]
    for call in range(1, 200):
        folder = memory / f"{deed.__name__}{call}"
        shutil.copytree(template[0], folder)
        died = killed_at(call, lambda folder=folder: deed(opened(folder)))  # type: ignore[misc]
        store = open_store(folder)
        account = store.account(ALICE)
        after = state(account)
        found = labels(after)
        # Nothing is lost, nothing is there twice but what a copy doubles.
        assert {*"abcjs"} - go <= {*found} <= {*"abcjs"} | come
        assert all(found.count(label) <= (2 if deed is _copy else 1) for label in found)
        if not died:
            assert {*found} == ({*"abcjs"} | come) - go
        # What had a UID in a folder has it still, or is not there.
        for name, messages in before.items() if deed is not _rebuild else ():
            for uid, (label, _) in messages.items():
                assert after.get(name, {}).get(uid, (label, None))[0] == label
        # And so it goes on.
        new = append(account, "later")
        assert new > max(before[INBOX])
        assert new not in after[INBOX]
        account.usage(recount=True)
        assert store.check(ALICE) == []
        if not died:
            return
    pytest.fail("it never ends")


def test_an_account_is_made_whole_or_not(memory: Path) -> None:
    for call in range(1, 200):
        path = memory / f"made{call}"
        died = killed_at(call, lambda path=path: open_store(path).account(BOB, create=True))  # type: ignore[misc]
        store = open_store(path)
        assert list(store.accounts()) in ([], [BOB])
        bob = store.account(BOB, create=True)
        deliver(bob, "a")
        assert len(bob.folders()) == 6
        assert all(folder.subscribed for folder in bob.folders())
        assert store.check(BOB) == []
        if not died:
            return
    pytest.fail("it never ends")


# --- at random -----------------------------------------------------------------------------


class Heard:
    """What children have said, in all their lives."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.unsure: set[str] = set()
        self.gone: set[str] = set()
        self.uids: dict[tuple[int, int], str] = {}

    def hear(self, text: str) -> None:
        said = json.loads(text)
        come, go = set(said.get("come", ())), set(said.get("go", ()))
        match said["word"]:
            case "begin":
                self.unsure |= come | go
                self.here -= go
            case "done":
                self.unsure -= come | go
                self.here |= come
                self.gone |= go
            case "seen":
                self.stands_for(said["uidvalidity"], said["uid"], said["label"])

    def stands_for(self, uidvalidity: int, uid: int, label: str) -> None:
        assert self.uids.setdefault((uidvalidity, uid), label) == label


def killed_at_random(folder: Path, random: Random, heard: Heard, start: int) -> None:
    children = [
        subprocess.Popen(
            command("tests.cgnode.backend.crashing_mail", folder, f"{name}{start}", start),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "xy"
    ]
    try:
        first = [line(child) for child in children]
        sleep(0.05 + random.random() * 0.3)
    finally:
        for child in children:
            child.kill()
    for child, begun in zip(children, first, strict=True):
        heard.hear(begun)
        with child:
            # What it was killed within saying, it did not say.
            for text in child.communicate()[0].splitlines(keepends=True):
                if text.endswith("\n"):
                    heard.hear(text)


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    heard = Heard()
    folder = tmp_path / "storage"
    open_store(folder).account(ALICE, create=True)
    for start in range(3):
        killed_at_random(folder, random, heard, start)
        store = open_store(folder)
        account = store.account(ALICE)
        found = labels(state(account))
        assert len(found) == len({*found})
        assert heard.here <= {*found}
        assert {*found} <= heard.here | heard.unsure
        assert not heard.gone & {*found}
        for name, messages in state(account).items():
            for uid, (label, _) in messages.items():
                heard.stands_for(account.status(name).uidvalidity, uid, label)
        account.usage(recount=True)
        assert faults(store) == []
        # Which of the doubtful it is shows now.
        heard.here, heard.unsure = {*found}, set()
    assert heard.gone
