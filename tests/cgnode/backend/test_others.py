"""Other programs at work in the same Maildir: they deliver, rename and delete as Maildir has it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgnode.backend.maildir import scan
from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.disk import Disk
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import DELETED, FLAGGED, INBOX, SEEN, Changes, Gone, How, NoSuchFolder
from tests.cgnode.backend.mailing import (
    ALICE,
    BOB,
    append,
    contents,
    deliver,
    files,
    name_of,
    open_store,
    path_of,
    reopened,
    see,
    text,
)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[tuple[MaildirStore, list[float]]]:
    """A store whose clock is another one than the files', hours ahead: no change hides."""
    ahead = [10_000.0]
    clock = Disk().clock
    store = MaildirStore.open(tmp_path / "late", "be1", Disk(sync=False, clock=lambda: clock() + ahead[0]))
    yield store, ahead
    assert store.check(ALICE) == []


def put(account: MaildirAccount, name: str, data: bytes, folder: str = INBOX, part: str = "new") -> Path:
    path = path_of(account, folder) / part / name
    path.write_bytes(data)
    return path


def flag(file: Path, letters: str) -> Path:
    return file.rename(file.parents[1] / "cur" / f"{file.name.partition(':')[0]}:2,{letters}")


def test_a_delivery(alice: MaildirAccount) -> None:
    with alice.select(INBOX) as view:
        put(alice, "1700000000.V1I2M3.host", b"A: b\n\nbare\nlines\r\nhere\n")
        assert view.poll()
        assert view.look().exists == 1
        (message,) = view.messages()
        with view.open(1) as content:
            assert content.read() == b"A: b\r\n\r\nbare\r\nlines\r\nhere\r\n"
            assert content.read(3, 4) == b"b\r\n\r"
            assert content.size == message.size
        assert view.copy([1], "Archive").pairs == ((1, 1),)
        view.move([1], "Junk")
    with alice.select("Archive") as view:
        assert view.messages()[0].size == message.size


def test_sizes_that_names_tell(alice: MaildirAccount) -> None:
    data = b"A: b\n\nc\n"
    put(alice, f"1700000001.a.host,S={len(data)},W={len(data) + 3}", data)
    put(alice, f"1700000002.b.host,S={len(data)}", data)
    put(alice, "1700000004.d.host,W=99", data)
    with alice.select(INBOX) as view:
        assert [message.size for message in view.messages()][:2] == [len(data) + 3] * 2
        assert {message.size for message in view.messages()} == {len(data) + 3}
    for file in files(alice):
        if "W=99" in file.name:
            file.unlink()


def test_in_the_order_of_their_age(alice: MaildirAccount) -> None:
    for name in ("1700000010.x.host", "1700000009.M9P1.host", "1700000009.M10P1.host", "99.x.host", "odd"):
        put(alice, name, text(name))
    os.utime(path_of(alice) / "new" / "odd", (1700000005, 1700000005))
    assert list(contents(alice).values()) == [
        "99.x.host",
        "odd",
        "1700000009.M9P1.host",
        "1700000009.M10P1.host",
        "1700000010.x.host",
    ]


def test_what_is_no_message(alice: MaildirAccount) -> None:
    secret = path_of(alice).parent / "secret"
    secret.write_bytes(b"top secret")
    (path_of(alice) / "cur" / "1.link").symlink_to(secret)
    (path_of(alice) / "new" / "1.folder").mkdir()
    (path_of(alice) / "new" / ".hidden").write_bytes(b"x")
    os.mkfifo(path_of(alice) / "new" / "1.fifo")
    deliver(alice, "a")
    assert contents(alice) == {1: "a"}
    alice.usage(recount=True)


def test_names_that_leave_no_room_for_flags(alice: MaildirAccount) -> None:
    put(alice, "1." + "x" * 250, text("a"))
    put(alice, "2." + "ä" * 115 + ":2,S", text("b"), part="cur")
    with alice.select(INBOX) as view:
        assert [name_of(view, uid) for uid in view.uids] == ["a", "b"]
        view.store(view.uids, How.ADD, frozenset({FLAGGED}))
        assert [message.flags for message in view.messages()] == [{FLAGGED}, {FLAGGED, SEEN}]


def test_a_file_that_becomes_a_link(alice: MaildirAccount) -> None:
    append(alice, "a")
    (file,) = files(alice)
    with alice.select(INBOX) as view:
        file.unlink()
        file.symlink_to("/etc/passwd")
        with pytest.raises(Exception, match="symbolic"):
            view.open(1)
        file.unlink()
    alice.usage(recount=True)


def test_strange_names(alice: MaildirAccount) -> None:
    names = [b"1.with space", b"2.tab\there", b"3.new\nline", b"4.%41", b"5.\xff\xfe", b"6." + b"x" * 210]
    for name in names:
        Path(os.fsdecode(os.fsencode(path_of(alice) / "new") + b"/" + name)).write_bytes(text(name[0]))
    assert len(contents(alice)) == 6
    with alice.select(INBOX) as view:
        see(view, *view.uids)
        assert view.copy(view.uids, "Junk").pairs == tuple((uid, uid) for uid in range(1, 7))
    with alice.maildrop() as drop:
        uidls = [message.uidl for message in drop.messages]
        assert len(set(uidls)) == 6
        assert all(uidl.isascii() and uidl.isprintable() and 1 <= len(uidl) <= 70 for uidl in uidls)


def test_flags(alice: MaildirAccount) -> None:
    append(alice, "a", flags=["$k"])
    deliver(alice, "b")
    with alice.select(INBOX) as view:
        before = view.highest_modseq
        flag(files(alice)[0], "FS")
        (updated,) = view.look().updated
        assert updated[0] == 1
        assert updated[1].flags == {FLAGGED, SEEN, "$k"}
        assert updated[1].modseq > before
        (path,) = (file for file in files(alice) if ":2,FS" in file.name)
        # Between a look and a change.
        flag(path, "RSab")
        view.store([1], How.ADD, frozenset({DELETED}))
        assert sorted(file.name.partition(":2,")[2] for file in files(alice)) == ["", "RSTab"]


def test_flags_while_nobody_looked(store: MaildirStore, alice: MaildirAccount) -> None:
    append(alice, "a", flags=["$k"])
    with alice.select(INBOX) as view:
        before = view.highest_modseq
    flag(files(alice)[0], "R")
    (other,) = reopened(store)
    with other.account(ALICE).select(INBOX) as view:
        (message,) = view.messages()
        assert message.flags == {"\\Answered", "$k"}
        assert message.modseq > before


def test_a_delivery_that_is_read_elsewhere(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    with alice.select(INBOX, read_only=True) as view:
        flag(files(alice)[0], "S")
        assert [message.flags for _, message in view.look().updated] == [{SEEN}]
        assert name_of(view, 1) == "a"


def test_deletions(alice: MaildirAccount) -> None:
    for number in range(4):
        append(alice, number)
    with alice.select(INBOX) as view:
        files(alice)[1].unlink()
        files(alice)[2].unlink()
        with pytest.raises(Gone):
            view.open(2)
        assert [message.uid for message in view.store([1, 2, 3], How.ADD, frozenset({SEEN})).messages] == [
            1,
            3,
        ]
        assert view.copy([2, 3], "Junk").pairs == ((3, 1),)
        assert view.move([1, 4], "Junk").pairs == ((1, 2),)
        assert view.look().expunged == (4, 2, 1)
    alice.usage(recount=True)


def test_deletions_beneath_an_operation(alice: MaildirAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the look that each begins with."""
    for number in range(8):
        append(alice, number)
    paths = files(alice)
    signature = scan.signature(str(path_of(alice)))
    with alice.select(INBOX) as view, monkeypatch.context() as patch:
        patch.setattr(scan, "signature", lambda _: signature)
        for path in paths[:5]:
            path.unlink()
        for path in paths[5:7]:
            flag(path, "S")
        assert view.copy([1, 6], "Junk").pairs == ((6, 2),)
        assert view.move([2, 7], "Junk").pairs == ((7, 4),)
        assert [message.uid for message in view.store([3, 6], How.ADD, frozenset({FLAGGED})).messages] == [6]
        view.store([8], How.ADD, frozenset({DELETED}))
        flag(paths[7].with_name(paths[7].name + "T"), "ST")
        assert view.expunge() == (8,)
    assert contents(alice) == {6: "5"}
    assert contents(alice, "Junk") == {2: "5", 4: "6"}
    alice.usage(recount=True)


def test_a_name_that_changes_while_the_folder_is_read(
    alice: MaildirAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be missing from what is read, though the file never was away."""
    for number in range(3):
        append(alice, number)
    real = os.listdir
    reads = 0

    def listdir(path: str) -> list[str]:
        nonlocal reads
        found = sorted(real(path))
        if path.endswith("/cur"):
            reads += 1
            return found[1:] if reads == 1 else found
        return found

    with alice.select(INBOX) as view:
        os.utime(path_of(alice) / "cur", (1, 1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", listdir)
            assert view.look() == Changes(recent=3)
        assert reads == 2
    assert len(contents(alice)) == 3


def test_two_files_of_one_name(alice: MaildirAccount) -> None:
    append(alice, "a")
    (file,) = files(alice)
    put(alice, file.name.replace(":2,", ":2,S"), text("b"), part="cur")
    put(alice, file.name, text("c"))
    with alice.select(INBOX) as view:
        assert sorted(name_of(view, uid) for uid in view.uids) == ["a", "b", "c"]
        assert name_of(view, 1) == "a"
    alice.usage(recount=True)


def test_one_file_of_two_names(alice: MaildirAccount) -> None:
    """As of a program that links and then unlinks, killed in between."""
    deliver(alice, "a")
    with alice.select(INBOX, read_only=True) as view:
        (file,) = files(alice)
        os.link(file, file.parents[1] / "cur" / f"{file.name}:2,S")
        assert view.look().exists is None
        assert name_of(view, 1) == "a"
    assert contents(alice) == {1: "a"}
    assert len(files(alice)) == 1
    alice.usage(recount=True)


def test_what_hides_in_a_moment(late: tuple[MaildirStore, list[float]]) -> None:
    """A file system whose clock stands still, or a change between ours: found a little later."""
    store, ahead = late
    alice = store.account(ALICE, create=True)
    append(alice, "a")
    folder = path_of(alice)
    with alice.select(INBOX) as view:
        dates = [(folder / part).stat().st_mtime_ns for part in ("new", "cur")]
        put(alice, "1.x", text("b"), part="cur")
        for part, date in zip(("new", "cur"), dates, strict=True):
            os.utime(folder / part, ns=(date, date))
        assert view.look().exists is None
        ahead[0] += 11
        assert view.poll()
        assert view.look().exists == 2


def test_a_folder_made_by_another(alice: MaildirAccount) -> None:
    for part in ("new", "cur", "tmp"):
        (Path(alice.path) / ".Made.There" / part).mkdir(parents=True)
    put(alice, "1.x", text("a"), "Made/There")
    assert contents(alice, "Made/There") == {1: "a"}
    assert "Made/There" in [folder.name for folder in alice.folders()]


def test_a_folder_removed_by_another(store: MaildirStore, alice: MaildirAccount) -> None:
    with alice.select("Sent") as view:
        shutil.rmtree(path_of(alice, "Sent"))
        assert view.poll()
        with pytest.raises(Gone):
            view.look()
        with pytest.raises(NoSuchFolder):
            alice.select("Sent")
        alice.create("Sent")
        with pytest.raises(Gone):
            see(view, 1)
    with alice.select("Sent") as view:
        assert view.look().exists is None


def test_links_out_of_the_account(store: MaildirStore, alice: MaildirAccount) -> None:
    bob = store.account(BOB, create=True)
    deliver(bob, "secret", "Sent")
    (Path(alice.path) / ".Stolen").symlink_to(path_of(bob, "Sent"))
    assert "Stolen" not in [folder.name for folder in alice.folders()]
    with pytest.raises(NoSuchFolder):
        alice.select("Stolen")
    with pytest.raises(NoSuchFolder):
        deliver(alice, "x", "Stolen")


def test_another_process_of_ours(store: MaildirStore, alice: MaildirAccount) -> None:
    (other,) = reopened(store)
    theirs = other.account(ALICE)
    for number in range(3):
        append(alice, number)
    with alice.select(INBOX) as here, theirs.select(INBOX) as there:
        assert here.recent == {1, 2, 3}
        assert there.recent == set()
        there.store([2], How.ADD, frozenset({SEEN, "$k"}))
        assert here.poll()
        ((number, message),) = here.look().updated
        assert (number, message.flags) == (2, frozenset({SEEN, "$k"}))
        assert append(alice, "x") == 4
        assert there.look().exists == 4
        there.move([1], "Junk")
        assert here.look().expunged == (1,)
        # The list is written anew, which must not be taken for its going on.
        for _ in range(400):
            there.store([3], How.ADD, frozenset({FLAGGED}))
            there.store([3], How.REMOVE, frozenset({FLAGGED}))
        there.store([3], How.ADD, frozenset({FLAGGED}))
        deliver(theirs, "y")
        there.look()
        changes = here.look()
        assert changes.exists == 4
        assert [number for number, _ in changes.updated] == [2]
        assert [message.flags for message in here.messages()] == [
            message.flags for message in there.messages()
        ]
        assert here.highest_modseq == there.highest_modseq
        theirs.delete("Junk")
        with pytest.raises(NoSuchFolder):
            alice.select("Junk")


def test_another_process_beneath_an_open(store: MaildirStore, alice: MaildirAccount) -> None:
    """What is looked for in vain has perhaps been expunged there, and others have come."""
    (other,) = reopened(store)
    theirs = other.account(ALICE)
    deliver(alice, "a")
    with alice.select(INBOX, read_only=True) as here, theirs.select(INBOX) as there:
        there.store([1], How.ADD, frozenset({DELETED}))
        there.expunge()
        append(theirs, "b")
        with pytest.raises(Gone):
            here.open(1)
        assert here.look().expunged == (1,)
        assert list(here.uids) == [2]
    assert contents(theirs) == {2: "b"}


def test_another_process_expunges_what_is_new(store: MaildirStore, alice: MaildirAccount) -> None:
    (other,) = reopened(store)
    theirs = other.account(ALICE)
    deliver(alice, "a")
    with alice.select(INBOX, read_only=True) as here:
        with theirs.select(INBOX, read_only=True) as there:
            there.copy([1], "Junk")
        with theirs.maildrop() as drop:
            drop.quit([1])
        deliver(alice, "b")
        changes = here.look()
        assert (changes.expunged, changes.exists) == ((1,), 1)
        deliver(theirs, "c")
        assert here.look().exists == 2


def test_keywords_of_dovecot(alice: MaildirAccount) -> None:
    (path_of(alice) / "dovecot-keywords").write_text("0 $Work\n1 Junk\nx y\n99 z\n")
    put(alice, "1.x:2,Sab", text("a"), part="cur")
    put(alice, "2.x:2,c", text("b"), part="cur")
    with alice.select(INBOX) as view:
        assert [message.flags for message in view.messages()] == [{SEEN, "$Work", "Junk"}, set()]
        view.store([1], How.REMOVE, frozenset({"Junk"}))
        assert view.messages()[0].flags == {SEEN, "$Work"}


def test_a_whole_maildir_taken_over(tmp_path: Path, store: MaildirStore) -> None:
    folder = tmp_path / "storage" / "example.com" / "carol" / "Maildir"
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir(parents=True)
    (folder / "cur" / "1.x:2,FS").write_bytes(text("a"))
    carol = store.account("carol@example.com")
    assert contents(carol) == {1: "a"}
    assert [item.name for item in carol.folders()] == [INBOX]
    assert open_store(tmp_path / "storage").account("carol@example.com").usage().messages == 1
