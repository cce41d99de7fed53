from __future__ import annotations

from threading import Thread

import pytest

from cgnode.backend.maildir import mailbox
from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import (
    ANSWERED,
    DELETED,
    FLAGGED,
    INBOX,
    SEEN,
    BadName,
    Changes,
    Criteria,
    Gone,
    How,
    NoSuchFolder,
    OverQuota,
    Quota,
    Usage,
)
from tests.cgnode.backend.mailing import ALICE, append, contents, deliver, files, name_of, reopened, see, text


@pytest.fixture
def five(alice: MaildirAccount) -> MaildirAccount:
    for number in range(1, 6):
        append(alice, number)
    return alice


def test_an_empty_folder(alice: MaildirAccount) -> None:
    with alice.select(INBOX) as view:
        assert list(view.uids) == []
        assert view.messages() == []
        assert view.uidnext == 1
        assert view.look() == Changes()
    with pytest.raises(NoSuchFolder):
        alice.select("Nowhere")


def test_what_is_told_of_messages(alice: MaildirAccount) -> None:
    append(alice, "a", flags=[SEEN, "$x"], date=1_000_000_000)
    with alice.select(INBOX) as view:
        (message,) = view.messages()
    assert message.size == len(text("a"))
    assert (message.uid, message.date) == (1, 1_000_000_000)
    assert message.flags == {SEEN, "$x"}
    assert message.modseq == view.highest_modseq


def test_octets(alice: MaildirAccount) -> None:
    data = b"A: b\r\nC: d\r\n\r\n" + bytes(range(256)) * 3000
    data = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    with alice.incoming() as incoming:
        incoming.write(data)
        alice.deliver(incoming)
    with alice.select(INBOX) as view, view.open(1) as content:
        assert content.read() == b"".join(content.chunks()) == data
        assert content.read(0, 4) == b"A: b"
        assert content.read(5, 0) == b""
        assert content.read(len(data) - 3, 10) == data[-3:]
        assert content.read(len(data) + 5, 10) == b""
        assert content.header() == b"A: b\r\nC: d\r\n\r\n"
        assert content.header(8) == b"A: b\r\nC:"


@pytest.mark.parametrize(
    ("message", "header"),
    [
        (b"\r\nbody", b"\r\n"),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"", b""),
        (b"A: " + b"x" * 20000 + b"\r\n\r\nbody", b"A: " + b"x" * 20000 + b"\r\n\r\n"),
        *((b"A" * (8192 - n) + b"\r\n\r\nbody", b"A" * (8192 - n) + b"\r\n\r\n") for n in range(5)),
    ],
)
def test_headers(alice: MaildirAccount, message: bytes, header: bytes) -> None:
    with alice.incoming() as incoming:
        incoming.write(message)
        alice.deliver(incoming)
    with alice.select(INBOX) as view, view.open(1) as content:
        assert content.header() == header


def test_flags(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        stored = view.store([1, 2, 99], How.ADD, frozenset({"\\SEEN", "$a"}))
        assert [message.uid for message in stored.messages] == [1, 2]
        assert stored.changed == {1, 2}
        assert {message.flags for message in stored.messages} == {frozenset({SEEN, "$a"})}
        again = view.store([1, 3], How.ADD, frozenset({SEEN}))
        assert again.changed == {3}
        assert [message.uid for message in again.messages] == [1, 3]
        view.store([1], How.REMOVE, frozenset({SEEN}))
        view.store([2], How.REPLACE, frozenset({FLAGGED}))
        assert [set(message.flags) for message in view.messages()] == [
            {"$a"},
            {FLAGGED},
            {SEEN},
            set(),
            set(),
        ]
        assert view.keywords == ("$a",)
        assert view.look() == Changes(recent=5)
    names = [file.name.partition(":")[2] for file in files(five)]
    assert sorted(names) == ["2,", "2,", "2,", "2,F", "2,S"]


def test_keywords_in_any_case(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        view.store([1], How.ADD, frozenset({"$Work"}))
        assert view.store([2], How.ADD, frozenset({"$WORK"})).messages[0].flags == {"$Work"}
        assert view.store([1], How.REMOVE, frozenset({"$work"})).messages[0].flags == set()
    append(five, "x", flags=["$wORK"])
    with five.select(INBOX) as view:
        assert view.messages([6])[0].flags == {"$Work"}


def test_no_end_of_keywords(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        for number in range(10):
            view.store([1], How.REPLACE, frozenset(f"$k{number}.{count}" for count in range(50)))
        with pytest.raises(BadName, match="500 keywords"):
            view.store([2], How.ADD, frozenset({"$more"}))
        with pytest.raises(BadName, match="500 keywords"):
            append(five, "x", flags=["$more"])
        assert view.store([2], How.ADD, frozenset({"$k1.1", SEEN})).changed == {2}


def test_unchanged_since(five: MaildirAccount) -> None:
    with five.select(INBOX) as one, five.select(INBOX) as two:
        known = one.highest_modseq
        see(two, 2, 3)
        stored = one.store([1, 2, 3], How.ADD, frozenset({FLAGGED}), unchanged_since=known)
        assert stored.modified == (2, 3)
        assert stored.changed == {1}
        assert [message.uid for message in stored.messages] == [1]
        assert stored.messages[0].modseq > known
        assert one.find(Criteria(modseq=known + 1)) == [1, 2, 3]


def test_mod_sequences_only_rise(store: MaildirStore, five: MaildirAccount) -> None:
    last = 0
    with five.select(INBOX) as view:
        for number in range(10):
            view.store([number % 5 + 1], How.ADD, frozenset({f"$k{number}"}))
            view.look()
            assert view.highest_modseq > last
            last = view.highest_modseq
    (other,) = reopened(store)
    with other.account(ALICE).select(INBOX) as view:
        assert view.highest_modseq == last


def test_changes_reach_other_sessions(five: MaildirAccount) -> None:
    with five.select(INBOX) as one, five.select(INBOX) as two:
        see(one, 2)
        ((number, message),) = two.look().updated
        assert number == 2
        assert message.flags == {SEEN}
        assert one.look() == Changes(recent=5)
        one.store([1, 4], How.ADD, frozenset({DELETED}))
        assert one.expunge() == (1, 4)
        append(five, "x")
        see(one, 5)
        changes = two.look()
        assert changes.expunged == (4, 1)
        assert changes.exists == 4
        assert [number for number, _ in changes.updated] == [3]
        assert list(two.uids) == [2, 3, 5, 6]
        assert one.look() == Changes((4, 1), 4, 3)
        assert two.look() == Changes(recent=1)


def test_expunges_that_wait(five: MaildirAccount) -> None:
    with five.select(INBOX) as one, five.select(INBOX) as two:
        one.store([2], How.ADD, frozenset({DELETED}))
        one.expunge()
        deliver(five, "x")
        changes = two.look(expunges=False)
        assert changes.expunged == ()
        assert changes.exists == 6
        assert list(two.uids) == [1, 2, 3, 4, 5, 6]
        assert two.messages([2]) == []
        with pytest.raises(Gone):
            two.open(2)
        see(one, 3)
        assert two.poll()
        changes = two.look()
        assert changes.expunged == (2,)
        assert changes.exists is None
        assert [number for number, _ in changes.updated] == [2]


def test_who_is_told(five: MaildirAccount) -> None:
    told: list[str] = []
    with five.select(INBOX) as one, five.select(INBOX) as two, five.select("Sent") as sent:
        one.listen(lambda: told.append("one"))
        two.listen(lambda: told.append("two"))
        sent.listen(lambda: told.append("sent"))
        see(one, 1)
        assert told == ["two"]
        assert two.poll()
        two.look()
        assert not two.poll()
        told.clear()
        deliver(five, "x")
        assert told == ["one", "two"]
        one.look()
        told.clear()
        one.copy([1], "Sent")
        assert told == ["sent"]
        told.clear()
        two.listen(None)
        one.move([1], "Sent")
        assert sorted(told) == ["one", "sent"]


def test_recent(alice: MaildirAccount) -> None:
    deliver(alice, "a")
    assert alice.status(INBOX).recent == 1
    with alice.select(INBOX, read_only=True) as view:
        assert view.recent == {1}
    assert files(alice)[0].parent.name == "new"
    with alice.select(INBOX) as one, alice.select(INBOX) as two:
        assert one.recent == {1}
        assert two.recent == set()
        assert files(alice)[0].parent.name == "cur"
        deliver(alice, "b")
        assert two.look() == Changes(exists=2, recent=1)
        assert one.look() == Changes(exists=2, recent=1)
        assert two.recent == {2}
        assert one.recent == {1}
    assert alice.status(INBOX).recent == 0


def test_recent_is_not_forgotten(store: MaildirStore, alice: MaildirAccount) -> None:
    deliver(alice, "a")
    alice.select(INBOX).close()
    (other,) = reopened(store)
    with other.account(ALICE).select(INBOX) as view:
        assert view.recent == set()


def test_expunge(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        view.store([1, 2, 3], How.ADD, frozenset({DELETED}))
        assert view.expunge([2, 4]) == (2,)
        with view.open(3) as content:
            assert view.expunge() == (1, 3)
            assert content.read() == text(3)
        assert view.look().expunged == (3, 2, 1)
        assert view.expunge() == ()
        assert view.uidnext == 6
    assert contents(five) == {4: "4", 5: "5"}
    assert five.usage() == Usage(2 * len(text(4)), 2)


def test_uids_are_not_used_again(store: MaildirStore, five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        view.store([4, 5], How.ADD, frozenset({DELETED}))
        view.expunge()
    (other,) = reopened(store)
    assert append(other.account(ALICE), "x") == 6


def test_copy(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        view.store([2], How.ADD, frozenset({SEEN, "$k"}))
        copied = view.copy([3, 2, 99, 2], "Archive")
        assert copied.pairs == ((3, 1), (2, 2))
        assert view.look() == Changes(recent=5)
        dates = [message.date for message in view.messages([3, 2])]
    with five.select("Archive") as archive:
        assert copied.uidvalidity == archive.uidvalidity
        assert archive.messages()[1].flags == {SEEN, "$k"}
        assert [message.date for message in archive.messages()] == dates
        assert archive.recent == {1, 2}
        with pytest.raises(NoSuchFolder):
            archive.copy([1], "Nowhere")
    assert contents(five, "Archive") == {1: "3", 2: "2"}


def test_copy_within_a_folder(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        assert view.copy([1, 2], "inbox").pairs == ((1, 6), (2, 7))
        assert view.look().exists == 7
        assert view.move([1], INBOX).pairs == ((1, 8),)
        assert view.look() == Changes((1,), 7, 7)
        assert [name_of(view, uid) for uid in view.uids] == ["2", "3", "4", "5", "1", "2", "1"]


def test_a_copy_that_is_too_much(five: MaildirAccount) -> None:
    five.quota = Quota(messages=6)
    with five.select(INBOX) as view:
        with pytest.raises(OverQuota):
            view.copy([1, 2], "Archive")
        assert contents(five, "Archive") == {}
        view.copy([1], "Archive")
        view.move([2, 3], "Archive")
    assert contents(five, "Archive") == {1: "1", 2: "2", 3: "3"}


def test_move(five: MaildirAccount) -> None:
    with five.select(INBOX) as view, five.select("Trash") as trash:
        view.store([2], How.ADD, frozenset({ANSWERED, "$k"}))
        assert view.move([4, 2, 99], "Trash").pairs == ((4, 1), (2, 2))
        assert view.look().expunged == (4, 2)
        assert trash.look() == Changes(exists=2, recent=2)
        assert trash.messages([2])[0].flags == {ANSWERED, "$k"}
        assert trash.move([1], INBOX).pairs == ((1, 6),)
    assert contents(five) == {1: "1", 3: "3", 5: "5", 6: "4"}
    assert five.usage() == five.usage(recount=True)


def test_reading_only(five: MaildirAccount) -> None:
    with five.select(INBOX, read_only=True) as view:
        assert view.read_only
        for change in (lambda: see(view, 1), view.expunge, lambda: view.move([1], "Trash")):
            with pytest.raises(ValueError, match="for reading"):
                change()
        view.copy([1], "Trash")
    assert contents(five, "Trash") == {1: "1"}


def test_find(alice: MaildirAccount) -> None:
    append(alice, 1, flags=[SEEN], date=100)
    append(alice, 22222, flags=[SEEN, "$k"], date=200)
    append(alice, 3, date=300)
    size = len(text(1))
    with alice.select(INBOX) as view:
        for criteria, uids in {
            Criteria(): [1, 2, 3],
            Criteria(flagged=frozenset({SEEN})): [1, 2],
            Criteria(flagged=frozenset({SEEN}), unflagged=frozenset({"$k"})): [1],
            Criteria(since=200): [2, 3],
            Criteria(before=200): [1],
            Criteria(larger=size): [2],
            Criteria(smaller=size): [],
            Criteria(smaller=size + 1): [1, 3],
            Criteria(modseq=view.highest_modseq): [3],
        }.items():
            assert view.find(criteria) == uids


def test_status(alice: MaildirAccount) -> None:
    append(alice, 1, flags=[SEEN])
    append(alice, 2, flags=[DELETED])
    status = alice.status(INBOX)
    assert (status.messages, status.unseen, status.deleted, status.recent) == (2, 1, 1, 2)
    assert status.size == 2 * len(text(1))
    assert status.uidnext == 3
    with alice.select(INBOX) as view:
        assert (status.uidvalidity, status.highest_modseq) == (view.uidvalidity, view.highest_modseq)


def test_a_session_that_has_not_looked_for_long(
    five: MaildirAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "_JOURNAL", 10)
    with five.select(INBOX) as one, five.select(INBOX) as two:
        for _ in range(5):
            one.store(one.uids, How.ADD, frozenset({SEEN}))
            one.store(one.uids, How.REMOVE, frozenset({SEEN}))
            one.look()
        assert [number for number, _ in two.look().updated] == [1, 2, 3, 4, 5]
        see(one, 1)
        assert [number for number, _ in two.look().updated] == [1]
        assert one.look() == Changes(recent=5)


def test_a_list_does_not_grow_for_ever(five: MaildirAccount) -> None:
    with five.select(INBOX) as view:
        for _ in range(1000):
            view.store([1], How.ADD, frozenset({FLAGGED}))
            view.store([1], How.REMOVE, frozenset({FLAGGED}))
        uidvalidity = view.uidvalidity
    assert (files(five)[0].parents[1] / "cgnode-uids").stat().st_size < 40_000
    with five.select(INBOX) as view:
        assert view.uidvalidity == uidvalidity
        assert list(view.uids) == [1, 2, 3, 4, 5]


def test_many_sessions_at_once(store: MaildirStore, five: MaildirAccount) -> None:
    """In threads of two processes, so to speak; in the end all see the same, and nothing twice."""
    (other,) = reopened(store)
    theirs = other.account(ALICE)
    failures: list[BaseException] = []

    def work(account: MaildirAccount, number: int) -> None:
        try:
            with account.select(INBOX) as view, account.select("Archive") as archive:
                for count in range(12):
                    append(account, f"{number}.{count}")
                    view.look(expunges=bool(count % 2))
                    some = view.uids[number::4]
                    view.store(some, list(How)[count % 3], frozenset({FLAGGED, f"$k{number}"}))
                    view.copy(some[:1], "Junk") if count % 4 == 0 else view.move(some[:1], "Archive")
                    archive.look()
                    archive.store(archive.uids[-1:], How.ADD, frozenset({SEEN}))
                    archive.poll()
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=work, args=((five, theirs)[number % 2], number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = [*contents(five).values(), *contents(five, "Archive").values()]
    assert sorted(found) == sorted([*"12345", *(f"{n}.{count}" for n in range(4) for count in range(12))])
    for name in (INBOX, "Archive", "Junk"):
        assert contents(five, name) == contents(theirs, name)
        assert five.status(name) == theirs.status(name)
    five.usage(recount=True)
