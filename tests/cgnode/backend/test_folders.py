from __future__ import annotations

import os
from pathlib import Path

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import (
    INBOX,
    BadName,
    Folder,
    FolderExists,
    Gone,
    NoSuchFolder,
    NotForInbox,
)
from tests.cgnode.backend.mailing import ALICE, append, contents, deliver, reopened
from tests.cgnode.backend.test_names import HOSTILE

FIRST = ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]


def names(account: MaildirAccount) -> list[str]:
    return [folder.name for folder in account.folders() if folder.exists]


def everything(path: str) -> list[str]:
    return sorted(
        os.path.join(folder, name) for folder, *found in os.walk(path) for names in found for name in names
    )


def test_what_an_account_begins_with(alice: MaildirAccount) -> None:
    folders = alice.folders()
    assert [folder.name for folder in folders] == FIRST
    assert all(folder.exists and folder.subscribed for folder in folders)
    assert {folder.name: folder.special_use for folder in folders if folder.special_use} == {
        "Archive": "\\Archive",
        "Drafts": "\\Drafts",
        "Junk": "\\Junk",
        "Sent": "\\Sent",
        "Trash": "\\Trash",
    }


def test_create(alice: MaildirAccount) -> None:
    alice.create("Entwürfe/日本 語/v1.2")
    assert {"Entwürfe", "Entwürfe/日本 語", "Entwürfe/日本 語/v1.2"} <= {*names(alice)}
    for taken in ("Entwürfe", "Entwürfe/日本 語/v1.2", "INBOX", "iNbOx"):
        with pytest.raises(FolderExists):
            alice.create(taken)
    alice.create("inbox/Kid")
    assert "INBOX/Kid" in names(alice)
    assert append(alice, "a", "Inbox/Kid") == 1
    assert contents(alice, "INBOX/Kid") == {1: "a"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(alice: MaildirAccount, name: str) -> None:
    """They do nothing, in any place that takes a name."""
    append(alice, "a")
    before = everything(os.path.dirname(alice.path))
    with alice.select(INBOX) as view:
        for attempt in (
            alice.create,
            alice.delete,
            alice.select,
            alice.status,
            alice.subscribe,
            alice.unsubscribe,
            lambda name: alice.rename(name, "New"),
            lambda name: alice.rename("Sent", name),
            lambda name: alice.rename(INBOX, name),
            lambda name: deliver(alice, "b", name),
            lambda name: append(alice, "b", name),
            lambda name: view.copy([1], name),
            lambda name: view.move([1], name),
        ):
            with pytest.raises(BadName):
                attempt(name)
    assert everything(os.path.dirname(alice.path)) == before


@pytest.mark.parametrize(
    "name", [".hidden", "...", "..x", "a\\b", "~", "~root", "&", "&-", "*", "%", '"', "a:b", "cur"]
)
def test_odd_names(alice: MaildirAccount, name: str) -> None:
    before = {*everything(alice.path)}
    alice.create(name)
    alice.subscribe(name)
    append(alice, "a", name)
    assert Folder(name, True, True, None) in alice.folders()
    made = {os.path.relpath(path, alice.path) for path in everything(alice.path) if path not in before}
    assert {
        path.split("/")[0][0] for path in made - {"cgnode-uidvalidity", "maildirsize", "cgnode-lock"}
    } == {"."}
    alice.rename(name, "plain")
    assert contents(alice, "plain") == {1: "a"}


def test_delete(alice: MaildirAccount) -> None:
    alice.create("A/B")
    append(alice, "a", "A")
    append(alice, "b", "A/B")
    with alice.select("A") as view:
        alice.delete("A")
        with pytest.raises(Gone):
            view.look()
        with pytest.raises(Gone):
            view.open(1)
        assert view.poll()
    assert Folder("A", False, False, None) in alice.folders()
    assert contents(alice, "A/B") == {1: "b"}
    for attempt in (alice.select, alice.delete, lambda name: alice.rename(name + "/C", "X")):
        with pytest.raises(NoSuchFolder):
            attempt("A")
    with pytest.raises(NotForInbox):
        alice.delete("inbox")
    assert alice.usage().messages == 1
    assert not [name for name in os.listdir(alice.path) if name.startswith("cgnode-removed")]


def test_the_same_name_again(store: MaildirStore, alice: MaildirAccount) -> None:
    seen = set()
    for _ in range(3):
        alice.create("A")
        append(alice, "a", "A")
        seen.add(alice.status("A").uidvalidity)
        alice.delete("A")
    assert len(seen) == 3
    (other,) = reopened(store)
    other.account(ALICE).create("A")
    assert other.account(ALICE).status("A").uidvalidity > max(seen)


def test_uidvalidity_without_its_file(alice: MaildirAccount) -> None:
    first = alice.status("Sent").uidvalidity
    path = Path(alice.path, "cgnode-uidvalidity")
    for damaged in (b"", b"x\n", None):
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        alice.create("A")
        assert alice.status("A").uidvalidity > first
        alice.delete("A")


def test_rename(alice: MaildirAccount) -> None:
    alice.create("A/B/C")
    alice.create("AB")
    for name in ("A", "A/B", "A/B/C", "AB"):
        append(alice, name.replace("/", "."), name)
    alice.select("A/B").close()
    status = alice.status("A/B")
    with alice.select("A/B") as view:
        alice.rename("A", "X/Y")
        with pytest.raises(Gone):
            view.look()
    assert {*names(alice)} == {*FIRST, "AB", "X", "X/Y", "X/Y/B", "X/Y/B/C"}
    assert contents(alice, "X/Y/B") == {1: "A.B"}
    assert alice.status("X/Y/B") == status
    alice.rename("X/Y/B", "A")
    assert contents(alice, "A/C") == {1: "A.B.C"}


def test_renames_that_can_not_be(alice: MaildirAccount) -> None:
    alice.create("A/B")
    alice.create("C/B")
    for old, new, error in (
        ("A", "C", FolderExists),
        ("A", "inbox", NotForInbox),
        ("A", "A", NotForInbox),
        ("A", "A/B/C", NotForInbox),
        ("Nowhere", "D", NoSuchFolder),
        ("INBOX", "A", FolderExists),
        ("A", "x" * 253, BadName),
    ):
        with pytest.raises(error):
            alice.rename(old, new)
    alice.delete("C")
    with pytest.raises(FolderExists):
        alice.rename("A", "C")
    assert {*names(alice)} == {*FIRST, "A", "A/B", "C/B"}


def test_rename_of_a_level_that_is_no_folder(alice: MaildirAccount) -> None:
    alice.create("A/B")
    alice.delete("A")
    alice.rename("A", "C")
    assert {*names(alice)} == {*FIRST, "C/B"}


def test_rename_of_inbox(alice: MaildirAccount) -> None:
    alice.create("INBOX/Kid")
    append(alice, "a")
    deliver(alice, "b")
    with alice.select(INBOX) as view:
        alice.rename("inbox", "Old/Mail")
        assert view.look().expunged == (2, 1)
        deliver(alice, "c")
        assert view.look().exists == 1
    assert contents(alice, "Old/Mail") == {1: "a", 2: "b"}
    assert contents(alice) == {3: "c"}
    assert "INBOX/Kid" in names(alice)


def test_a_rename_that_was_cut_short(store: MaildirStore, alice: MaildirAccount) -> None:
    alice.create("A/B")
    append(alice, "a", "A/B")
    note = Path(alice.path, "cgnode-renaming")
    note.write_text(".A\t.X\n")
    os.rename(Path(alice.path, ".A"), Path(alice.path, ".X"))
    (other,) = reopened(store)
    assert contents(other.account(ALICE), "X/B") == {1: "a"}
    assert not note.exists()


@pytest.mark.parametrize("note", ["", "x", ".A\t../../x", ".A/../..\t.B", "\t", ".Sent\t.Trash"])
def test_a_note_that_makes_no_sense(alice: MaildirAccount, note: str) -> None:
    Path(alice.path, "cgnode-renaming").write_text(note)
    assert names(alice) == FIRST


def test_subscriptions(store: MaildirStore, alice: MaildirAccount) -> None:
    alice.create("A.b/C")
    alice.subscribe("A.b/C")
    alice.subscribe("Not/There")
    alice.unsubscribe("Sent")
    alice.unsubscribe("Sent")
    alice.unsubscribe("inbox")
    (other,) = reopened(store)
    for account in (alice, other.account(ALICE)):
        found = {folder.name: folder for folder in account.folders()}
        assert found["A.b/C"].subscribed
        assert found["Not/There"] == Folder("Not/There", False, True, None)
        assert not found["Sent"].subscribed
        assert not found["INBOX"].subscribed
    alice.subscribe("Inbox")
    assert alice.folders()[0].subscribed


def test_subscriptions_of_others(alice: MaildirAccount) -> None:
    path = Path(alice.path, "subscriptions")
    path.write_bytes(b"Sent\nLists.Python\nEntw&APw-rfe\n..\n\xff\nINBOX\n\n")
    assert [folder.name for folder in alice.folders() if folder.subscribed] == [
        "INBOX",
        "Entwürfe",
        "Lists/Python",
        "Sent",
    ]
    alice.subscribe("Junk")
    assert path.read_bytes() == b"V\t2\n\nEntw&APw-rfe\nINBOX\nJunk\nLists\tPython\nSent\n"
