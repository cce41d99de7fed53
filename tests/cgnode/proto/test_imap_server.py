"""A server behind log-in: mailboxes, messages, and what a client is told when."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import pytest

from cgnode.proto.imap import codes, events
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.answers import Mailbox
from cgnode.proto.imap.dialogue import Limits
from cgnode.proto.imap.fetching import Message, Needs
from cgnode.proto.imap.login import Settings
from cgnode.proto.imap.server import Server
from cgnode.proto.imap.states import State
from cgnode.proto.imap.view import Arrived, Defined, Flagged, Gone

from .imap_shell import HELLO, Box, Shell, Store, lines, logged_in, tagged, with_messages
from .splitting import same_when_split


def filled() -> Store:
    store = Store()
    for _ in range(3):
        store.boxes["INBOX"].add(HELLO)
    return store


def inside(data: bytes, select: str = "INBOX") -> bytes:
    """What is said to this in a mailbox of three messages, wherever it is cut."""

    def run(pieces: Sequence[bytes]) -> bytes:
        return logged_in(filled(), select).feed(*pieces)

    return same_when_split(run, data, 60)


def untagged(sent: bytes) -> list[bytes]:
    return [line[2:] for line in lines(sent) if line.startswith(b"* ")]


# --- SELECT ------------------------------------------------------------------------------


def test_select() -> None:
    assert lines(inside(b"a SELECT inbox\r\n", "")) == [
        b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
        b"* 3 EXISTS",
        b"* 3 RECENT",
        b"* OK [UNSEEN 1] first unseen",
        b"* OK [UIDVALIDITY 7] UIDs valid",
        b"* OK [UIDNEXT 4] next UID",
        b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags that stay",
        b"* OK [HIGHESTMODSEQ 4] highest mod-sequence",
        b"a OK [READ-WRITE] opened",
    ]


def test_examine_and_what_it_forbids() -> None:
    shell = logged_in(filled())
    sent = shell.feed(b"a EXAMINE INBOX\r\n")
    assert b"* OK [PERMANENTFLAGS ()]" in sent
    assert tagged(sent) == b"OK [READ-ONLY] opened"
    for command in (b"STORE 1 FLAGS ()", b"EXPUNGE", b"UID EXPUNGE 1", b"MOVE 1 Sent"):
        assert tagged(shell.feed(b"a %b\r\n" % command)) == b"NO the mailbox is open to be read"
    assert b"FLAGS" not in shell.feed(b"a FETCH 1 BODY[]\r\n")
    shell.feed(b"a CLOSE\r\n")
    assert shell.seen[-1] == events.Leave(expunge=False)


def test_a_failed_select_leaves_none_open() -> None:
    sent = inside(b"a SELECT Nowhere\r\nb FETCH 1 FLAGS\r\n")
    assert lines(sent) == [
        b"* OK [CLOSED] the last mailbox is closed",
        b"a NO [NONEXISTENT] no such mailbox",
        b"b BAD FETCH can't come now",
    ]


def test_names_with_spaces_and_quotes() -> None:
    sent = inside(b'a SELECT "a b/c"\r\nb CREATE "q\\"\\\\"\r\nc LIST "" *\r\nd SELECT &-\r\n')
    assert tagged(sent).startswith(b"OK")
    assert b'* LIST (\\HasNoChildren) "/" "a b/c"\r\n' in sent
    assert b'* LIST (\\HasNoChildren) "/" "q\\"\\\\"\r\n' in sent
    assert tagged(sent, b"d") == b"NO [NONEXISTENT] no such mailbox"


def test_pipelined_select_and_fetch() -> None:
    shell = logged_in(filled())
    shell.hold = c.Select
    assert shell.feed(b"a SELECT INBOX\r\nb FETCH 1 UID\r\n") == b""
    shell.hold = None
    shell.answer(shell.held[0])
    shell.run()
    assert lines(shell.sent)[-2:] == [b"* 1 FETCH (UID 1)", b"b OK done"]


# --- FETCH -------------------------------------------------------------------------------


def test_fetch() -> None:
    sent = inside(b"a FETCH 2 (FLAGS UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n")
    assert sent == (
        b"* 2 FETCH (FLAGS (\\Recent) UID 2 RFC822.SIZE %d INTERNALDATE"
        b' "14-Nov-2023 22:13:20 +0000" BODY[HEADER.FIELDS (SUBJECT)] {18}\r\nSubject: Hello\r\n\r\n)\r\n'
        b"a OK done\r\n" % len(HELLO)
    )


def test_a_partial_fetch_has_the_octets_that_it_names() -> None:
    sent = inside(
        b"a FETCH 1 BODY.PEEK[]<0.4>\r\nb FETCH 1 BODY.PEEK[]<500.4>\r\nc FETCH 1 BODY.PEEK[]<7.9999>\r\n"
    )
    assert b"* 1 FETCH (BODY[]<0> {4}\r\nFrom)\r\n" in sent
    assert b"* 1 FETCH (BODY[]<500> {0}\r\n)\r\n" in sent
    rest = HELLO[7:]
    assert b"* 1 FETCH (BODY[]<7> {%d}\r\n%b)\r\n" % (len(rest), rest) in sent


def test_the_parts_of_a_message_that_has_none() -> None:
    sent = inside(
        b"a FETCH 1 (BODY.PEEK[1] BODY.PEEK[2] BODY.PEEK[2]<0.4> BODY.PEEK[1.1] BODY.PEEK[1.MIME])\r\n"
    )
    assert sent.startswith(
        b"* 1 FETCH (BODY[1] {14}\r\nHow are you?\r\n BODY[2] NIL BODY[2]<0> NIL BODY[1.1] NIL BODY[1.MIME] {"
    )


def test_fetching_sets_seen_and_tells() -> None:
    sent = inside(b"a FETCH 1 BODY[]<0.1>\r\nb FETCH 1 RFC822.TEXT\r\nc FETCH 1 FLAGS\r\n")
    assert sent.startswith(b"* 1 FETCH (BODY[]<0> {1}\r\nF FLAGS (\\Seen \\Recent))\r\na OK")
    assert b"* 1 FETCH (RFC822.TEXT {14}\r\nHow are you?\r\n)\r\nb OK" in sent
    assert b"* 1 FETCH (FLAGS (\\Seen \\Recent))\r\nc OK" in sent


def test_sets_cost_what_the_mailbox_holds() -> None:
    tracemalloc.start()
    sent = inside(b"a FETCH 1:4294967295 UID\r\nb UID FETCH 1:4294967295,5:4294967294 (FLAGS)\r\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert untagged(sent)[:3] == [b"1 FETCH (UID 1)", b"2 FETCH (UID 2)", b"3 FETCH (UID 3)"]
    assert len(untagged(sent)) == 6
    assert peak < 2_000_000


def test_numbers_that_there_are_not() -> None:
    for command in (b"FETCH 4 UID", b"FETCH 1:3,4 UID", b"FETCH 4:5 UID", b"SEARCH 4", b"COPY 9 Sent"):
        assert tagged(inside(b"a %b\r\n" % command)).startswith(b"BAD there is no message")
    assert tagged(inside(b"a UID FETCH 4:9 UID\r\n")) == b"OK there are no such messages"
    assert untagged(inside(b"a UID FETCH 99:* UID\r\n")) == [b"3 FETCH (UID 3)"]
    empty = logged_in(select="INBOX")
    for command in (b"FETCH 1:* UID", b"FETCH * UID", b"UID FETCH 1:* UID", b"STORE * FLAGS ()"):
        assert tagged(empty.feed(b"a %b\r\n" % command)) == b"OK there are no such messages"
    assert tagged(empty.feed(b"a FETCH 2 UID\r\n")).startswith(b"BAD")


def test_what_a_fetch_needs() -> None:
    shell = with_messages()
    for items, needs in (
        (b"FAST", Needs.NOTHING),
        (b"ENVELOPE", Needs.HEADER),
        (b"BODY[HEADER]", Needs.HEADER),
        (b"BODY.PEEK[HEADER.FIELDS (To)]", Needs.HEADER),
        (b"BODY", Needs.WHOLE),
        (b"BODY.PEEK[1]", Needs.WHOLE),
        (b"BINARY.SIZE[1]", Needs.WHOLE),
        (b"RFC822.TEXT", Needs.WHOLE),
    ):
        shell.feed(b"a FETCH 1 %b\r\n" % items)
        question = shell.seen[-1]
        assert isinstance(question, events.FetchMessages)
        assert question.needs is needs
        assert question.see is (items in (b"BODY[HEADER]", b"RFC822.TEXT"))


def test_only_what_the_client_knows_is_told() -> None:
    shell = with_messages()
    shell.hold = events.FetchMessages
    shell.feed(b"a FETCH 1 UID\r\n")
    assert isinstance(shell.core, Server)
    assert shell.core.selected_mailbox == "INBOX"
    assert list(shell.core.fetched(Message(99, frozenset(), 0, 0))) == []
    assert shell.core.ok() == b"a OK done\r\n"


def test_an_unknown_encoding() -> None:
    shell = with_messages(b"Content-Transfer-Encoding: x-uu\r\n\r\nabc\r\n")
    assert lines(shell.feed(b"a FETCH 1 BINARY.PEEK[1]\r\n")) == [
        b"a NO [UNKNOWN-CTE] the part's encoding is not known here"
    ]


def test_binary() -> None:
    shell = with_messages(b"Content-Transfer-Encoding: base64\r\n\r\nAGEB\r\n", HELLO)
    sent = shell.feed(b"a FETCH 1:2 (BINARY.SIZE[1] BINARY.PEEK[1] BINARY.PEEK[1]<1.1> BINARY.PEEK[9])\r\n")
    assert (
        b"* 1 FETCH (BINARY.SIZE[1] 3 BINARY[1] ~{3}\r\n\0a\1 BINARY[1]<1> ~{1}\r\na BINARY[9] NIL)\r\n"
        in sent
    )
    assert b"BINARY.SIZE[1] 14 BINARY[1] {14}\r\nHow are you?\r\n" in sent


def test_a_large_message_comes_in_pieces() -> None:
    shell = with_messages(HELLO + b"x" * 1_000_000)
    shell.hold = events.FetchMessages
    shell.feed(b"a FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT])\r\n")
    assert isinstance(shell.core, Server)
    stored = shell.store.boxes["INBOX"].messages[1]
    message = Message(1, stored.flags, 0, stored.size, 1, stored.content)
    pieces = list(shell.core.fetched(message))
    assert max(map(len, pieces)) < 140_000
    assert len(b"".join(pieces)) > 2_000_000


# --- STORE, EXPUNGE, COPY, MOVE ----------------------------------------------------------


def test_store() -> None:
    sent = inside(
        b"a STORE 1:2 +FLAGS ($x \\Deleted)\r\nb UID STORE 2 -FLAGS.SILENT \\deleted\r\n"
        b"c STORE 3 FLAGS.SILENT ()\r\n"
    )
    assert lines(sent) == [
        b"* 1 FETCH (FLAGS (\\Deleted $x \\Recent))",
        b"* 2 FETCH (FLAGS (\\Deleted $x \\Recent))",
        b"a OK stored",
        b"b OK stored",
        b"c OK stored",
    ]


def test_expunge() -> None:
    sent = inside(
        b"a STORE 1,3 +FLAGS.SILENT \\Deleted\r\nb UID EXPUNGE 2:3\r\nc EXPUNGE\r\nd FETCH 1 UID\r\n"
    )
    assert lines(sent) == [
        b"a OK stored",
        b"* 3 EXPUNGE",
        b"b OK done",
        b"* 1 EXPUNGE",
        b"c OK done",
        b"* 1 FETCH (UID 2)",
        b"d OK done",
    ]


def test_close_and_unselect() -> None:
    shell = with_messages()
    shell.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\n")
    assert shell.feed(b"b UNSELECT\r\n") == b"b OK done\r\n"
    assert len(shell.store.boxes["INBOX"].messages) == 3
    shell.feed(b"c SELECT INBOX\r\n")
    assert shell.feed(b"d CLOSE\r\n") == b"d OK done\r\n"
    assert len(shell.store.boxes["INBOX"].messages) == 2
    assert shell.core.state is State.AUTHENTICATED


def test_copy_and_move() -> None:
    sent = inside(b"a COPY 1:2 Sent\r\nb UID MOVE 1,3 Sent\r\nc COPY 1 Nowhere\r\nd UID COPY 77 Nowhere\r\n")
    assert lines(sent) == [
        b"a OK [COPYUID 7 1:2 1:2] copied",
        b"* OK [COPYUID 7 1,3 3:4] moved",
        b"* 1 EXPUNGE",
        b"* 2 EXPUNGE",
        b"b OK [HIGHESTMODSEQ 5] moved",
        b"c NO [TRYCREATE] no such mailbox",
        b"d OK there are no such messages",
    ]


# --- APPEND ------------------------------------------------------------------------------


def test_append_without_flags_to_another_mailbox() -> None:
    sent = inside(b"a APPEND Sent {%d}\r\n%b\r\nb STATUS Sent (MESSAGES SIZE)\r\n" % (len(HELLO), HELLO))
    assert lines(sent) == [
        b"+ OK",
        b"a OK [APPENDUID 7 1] appended",
        b"* STATUS Sent (MESSAGES 1 SIZE %d)" % len(HELLO),
        b"b OK that is it",
    ]


def test_append_to_the_open_mailbox() -> None:
    sent = inside(b'a APPEND {5+}\r\ninbox (\\Seen) " 1-Jan-2024 00:00:00 +0000" {3+}\r\nx\r\n\r\n')
    assert lines(sent) == [b"* 4 EXISTS", b"* 4 RECENT", b"a OK [APPENDUID 7 4] appended"]


@pytest.mark.parametrize("literal", [b"{24}", b"{24+}"])
def test_append_to_a_missing_one(literal: bytes) -> None:
    hidden = b"x LOGOUT\r\n" * 2 + b"\r\n\r\n" if literal.endswith(b"+}") else b""
    shell = logged_in()
    sent = shell.feed(
        b"a APPEND Nowhere " + literal + b"\r\n" + hidden[:24] + b"\r\n" * bool(hidden) + b"b NOOP\r\n"
    )
    assert lines(sent) == [b"a NO [TRYCREATE] no such mailbox", b"b OK done"]


def test_several_messages_at_once() -> None:
    sent = inside(b"a APPEND Sent {1+}\r\nx (\\Seen) {2+}\r\nyz {0003}\r\nabc\r\nb NOOP\r\n")
    assert lines(sent) == [b"+ OK", b"a OK [APPENDUID 7 1:3] appended", b"b OK done"]


@pytest.mark.parametrize(
    ("rest", "answer"),
    [
        (b" x\r\n", b"BAD a further message is expected as a literal"),
        (b" (\\Seen)\r\n", b"BAD a further message is expected as a literal"),
        (b" {0+}\r\n\r\n", b"NO there is no message in it"),
        (b" ~{1+}\r\n\0\r\n", b"NO [UNKNOWN-CTE] binary messages are not stored here"),
        (b" {99999999}\r\n", b"NO [TOOBIG] the message is too large"),
        (b" " + b"x" * 70_000 + b"\r\n", b"BAD [LIMIT] the command line is too long"),
    ],
)
def test_a_further_message_that_is_none_undoes_all(rest: bytes, answer: bytes) -> None:
    shell = logged_in()
    sent = shell.feed(b"a APPEND Sent {1+}\r\nx" + rest + b"b NOOP\r\n")
    assert lines(sent) == [b"a " + answer, b"b OK done"]
    assert isinstance(shell.seen[-2], events.AppendDropped)
    assert not shell.store.boxes["Sent"].messages


@pytest.mark.parametrize(
    ("literal", "answer"),
    [
        (b"{0}", b"NO there is no message in it"),
        (b"~{5}", b"NO [UNKNOWN-CTE] binary messages are not stored here"),
        (b"{67108865}", b"NO [TOOBIG] the message is too large"),
        (b"x {1}", b"BAD the message is expected as a literal"),
    ],
)
def test_messages_that_are_not_taken_are_not_asked_for(literal: bytes, answer: bytes) -> None:
    assert logged_in().feed(b"a APPEND Sent " + literal + b"\r\n") == b"a " + answer + b"\r\n"


def test_a_disk_that_fills_up_amid_a_message() -> None:
    sent = inside(b"a APPEND Sent {40+}\r\nDISK FULL\r\nx LOGOUT\r\n1234567890abcdefgh\r\nb NOOP\r\n")
    assert lines(sent) == [b"a NO [OVERQUOTA] no room", b"b OK done"]


def test_messages_are_not_kept() -> None:
    core = Server(Settings(clear_text=True, limits=Limits(message=10**9)))
    core.begin()
    core.receive(b"a LOGIN u p\r\nb APPEND x {100000000}\r\n")
    core.next_event()
    core.accept()
    assert [type(core.next_event()) for _ in range(2)] == [events.LoggedIn, events.AppendMessage]
    assert core.ready() == b"+ OK\r\n"
    block = b"x" * 65536
    tracemalloc.start()
    for _ in range(500):
        core.receive(block)
        event = core.next_event()
        assert isinstance(event, events.AppendOctets)
        assert core.next_event() is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_message_that_the_shell_leaves_for_a_while_stops_the_reading() -> None:
    shell = logged_in()
    shell.feed(b"a APPEND Sent {200000}\r\n")
    core = shell.core
    core.receive(b"x" * 60_000)
    few = core.backlog
    core.receive(b"x" * 60_000)
    assert (few, core.backlog) == (False, True)


def test_sets_in_searches_cost_what_is_written() -> None:
    store = Store()
    for _ in range(20_000):
        store.boxes["INBOX"].add(b"\r\n")
    shell = logged_in(store, "INBOX")
    shell.hold = events.SearchMessages
    text = b" ".join(b"OR %d:* UID %d:20000" % (number, number) for number in range(1, 300))
    tracemalloc.start()
    shell.feed(b"a SEARCH " + text + b"\r\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(shell.held) == 1
    assert peak < 4_000_000


# --- SEARCH ------------------------------------------------------------------------------


def test_search() -> None:
    sent = inside(
        b"a SEARCH 2:* UNSEEN\r\nb UID SEARCH NOT 1 NEW\r\nc SEARCH DELETED\r\n"
        b"d SEARCH CHARSET KOI8-R ALL\r\ne SEARCH FROM {3+}\r\nbob (SUBJECT hell)\r\n"
    )
    assert lines(sent) == [
        b"* SEARCH 2 3",
        b"a OK searched",
        b"* SEARCH 2 3",
        b"b OK searched",
        b"* SEARCH",
        b"c OK searched",
        b"d NO [BADCHARSET (US-ASCII UTF-8)] the charset is not known here",
        b"* SEARCH 1 2 3",
        b"e OK searched",
    ]


def test_search_with_return() -> None:
    sent = inside(
        b"a SEARCH RETURN (MIN MAX COUNT ALL) ALL\r\nb UID SEARCH RETURN () 1,3\r\n"
        b"c SEARCH RETURN (COUNT MIN) DELETED\r\n"
    )
    assert untagged(sent) == [
        b'ESEARCH (TAG "a") MIN 1 MAX 3 ALL 1:3 COUNT 3',
        b'ESEARCH (TAG "b") UID ALL 1,3',
        b'ESEARCH (TAG "c") COUNT 0',
    ]


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        (b"SAVE", [1, 2, 3]),
        (b"SAVE MIN", [1]),
        (b"MAX SAVE", [3]),
        (b"SAVE MIN MAX", [1, 3]),
        (b"SAVE MIN COUNT", [1, 2, 3]),
        (b"SAVE ALL MAX", [1, 2, 3]),
    ],
)
def test_saved_results(options: bytes, saved: list[int]) -> None:
    """RFC 5182 section 2.4."""
    shell = with_messages()
    sent = shell.feed(b"a SEARCH RETURN (%b) ALL\r\n" % options)
    assert len(lines(sent)) == (1 if options == b"SAVE" else 2)
    assert untagged(shell.feed(b"b FETCH $ UID\r\n")) == [b"%d FETCH (UID %d)" % (uid, uid) for uid in saved]


def test_when_saved_results_go_away() -> None:
    shell = with_messages()
    saved = b"UID SEARCH RETURN (COUNT) $"

    def count() -> bytes:
        return untagged(shell.feed(b"a %b\r\n" % saved))[-1].rpartition(b" ")[2]

    assert count() == b"0"
    shell.feed(b"a SEARCH RETURN (SAVE) 1:2\r\n")
    assert count() == b"2"
    shell.feed(b"a SEARCH CHARSET X ALL\r\n", b"a SEARCH RETURN (SAVE) NOSUCH\r\n")
    assert count() == b"2"
    shell.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\na EXPUNGE\r\n")
    assert count() == b"1"
    shell.feed(b"a SEARCH RETURN (SAVE) CHARSET X ALL\r\n")
    assert count() == b"0"
    shell.feed(b"a SEARCH RETURN (SAVE) ALL\r\n")
    assert count() == b"2"
    shell.feed(b"a SELECT INBOX\r\n")
    assert count() == b"0"


def test_a_saving_search_that_fails_saves_nothing() -> None:
    shell = with_messages()
    shell.feed(b"a SEARCH RETURN (SAVE) ALL\r\n")
    shell.hold = events.SearchMessages
    shell.feed(b"a SEARCH RETURN (SAVE) ALL\r\n")
    assert isinstance(shell.core, Server)
    shell.core.no("no time", codes.LIMIT)
    shell.hold = None
    assert tagged(shell.feed(b"a FETCH $ UID\r\n")) == b"OK there are no such messages"


# --- CONDSTORE ---------------------------------------------------------------------------


def test_condstore() -> None:
    shell = with_messages()
    assert untagged(shell.feed(b"a FETCH 1 (MODSEQ)\r\n")) == [
        b"OK [HIGHESTMODSEQ 4] highest mod-sequence",
        b"1 FETCH (MODSEQ (2))",
    ]
    assert untagged(shell.feed(b"a UID STORE 2 (UNCHANGEDSINCE 3) +FLAGS.SILENT \\Seen\r\n")) == [
        b"2 FETCH (UID 2 MODSEQ (5))"
    ]
    sent = shell.feed(b"a STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS \\Flagged\r\n")
    assert tagged(sent) == b"OK [MODIFIED 2] stored"
    assert untagged(sent)[0] == b"1 FETCH (FLAGS (\\Flagged \\Recent) MODSEQ (6))"
    assert untagged(shell.feed(b"a UID FETCH 1:* FLAGS (CHANGEDSINCE 5)\r\n")) == [
        b"1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) MODSEQ (6))",
        b"3 FETCH (UID 3 FLAGS (\\Flagged \\Recent) MODSEQ (7))",
    ]
    assert untagged(shell.feed(b"a SEARCH MODSEQ 6\r\n")) == [b"SEARCH 1 3 (MODSEQ 7)"]
    assert untagged(shell.feed(b"a SEARCH RETURN (MIN) NOT NOT MODSEQ 6\r\n")) == [
        b'ESEARCH (TAG "a") MIN 1 MODSEQ 6'
    ]
    assert untagged(shell.feed(b"a SEARCH MODSEQ 99\r\n")) == [b"SEARCH"]


@pytest.mark.parametrize(
    "command",
    [b"ENABLE CONDSTORE", b"SELECT INBOX (CONDSTORE)", b"STATUS Sent (HIGHESTMODSEQ)", b"SEARCH MODSEQ 1"],
)
def test_what_makes_a_client_mind_mod_sequences(command: bytes) -> None:
    shell = with_messages()
    assert b"HIGHESTMODSEQ 4" in shell.feed(b"a %b\r\n" % command)
    assert b"HIGHESTMODSEQ" not in shell.feed(b"a ENABLE CONDSTORE\r\n")
    assert untagged(shell.feed(b"a STORE 1 FLAGS.SILENT ()\r\n")) == [b"1 FETCH (MODSEQ (5))"]


def test_a_mailbox_without_mod_sequences() -> None:
    core = Server(Settings(clear_text=True))
    core.begin()
    core.receive(b"a LOGIN u p\r\nb SELECT x\r\nc FETCH 1 MODSEQ\r\nd FETCH 1 UID (CHANGEDSINCE 1)\r\n")
    core.receive(b"e SEARCH MODSEQ 1\r\nf STORE 1 (UNCHANGEDSINCE 1) FLAGS ()\r\n")
    core.next_event()
    core.accept()
    core.next_event()
    assert isinstance(core.next_event(), c.Select)
    assert b"* OK [NOMODSEQ] " in core.selected(Mailbox((1,), 1, 2))
    for tag in (b"c", b"d", b"e", b"f"):
        assert core.next_event() == tag + b" BAD the mailbox has no mod-sequences\r\n"


# --- what else happens -------------------------------------------------------------------


def two() -> tuple[Shell, Shell]:
    """Two sessions in one mailbox."""
    store = filled()
    return logged_in(store, "INBOX"), logged_in(store, "INBOX")


def test_changes_reach_the_other_session() -> None:
    one, other = two()
    one.feed(b"a STORE 2 +FLAGS (\\Flagged)\r\nb STORE 1 +FLAGS \\Deleted\r\nc EXPUNGE\r\n")
    one.feed(b"d APPEND INBOX {1+}\r\nx\r\n")
    assert lines(other.feed(b"a NOOP\r\n")) == [
        b"* 1 EXPUNGE",
        b"* 3 EXISTS",
        b"* 0 RECENT",
        b"* 1 FETCH (UID 2 FLAGS (\\Flagged))",
        b"a OK done",
    ]


def test_expunge_waits_while_numbers_are_in_use() -> None:
    one, other = two()
    one.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\nb EXPUNGE\r\n")
    for command in (b"FETCH 1:3 UID", b"STORE 1:2 FLAGS ()", b"SEARCH ALL", b"FETCH 9 UID", b"FETCH x"):
        assert b"EXPUNGE\r\n" not in other.feed(b"a %b\r\n" % command)
    assert lines(other.feed(b"a FETCH 1:2 UID\r\n")) == [
        b"* 2 FETCH (UID 2)",
        b"a OK [EXPUNGEISSUED] done",
    ]
    assert tagged(other.feed(b"a SEARCH ALL\r\n")) == b"OK [EXPUNGEISSUED] searched"
    assert tagged(other.feed(b"a STORE 1 FLAGS ()\r\n")) == b"OK [EXPUNGEISSUED] stored"
    assert lines(other.feed(b"a UID FETCH 2 UID\r\n")) == [b"* 2 FETCH (UID 2)", b"* 1 EXPUNGE", b"a OK done"]


@pytest.mark.parametrize(
    "command",
    [
        b"NOOP",
        b"CHECK",
        b"UID SEARCH ALL",
        b"UID STORE 2 FLAGS.SILENT ()",
        b"COPY 2 Sent",
        b'LIST "" ""',
        b"CREATE x",
    ],
)
def test_commands_that_tell_of_expunged_messages(command: bytes) -> None:
    one, other = two()
    one.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\nb EXPUNGE\r\n")
    assert b"* 1 EXPUNGE\r\n" in other.feed(b"a %b\r\n" % command)


def test_nothing_is_said_unasked() -> None:
    one, other = two()
    before = other.sent
    one.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\nb EXPUNGE\r\n")
    assert other.sent == before


def test_nothing_is_told_of_the_last_mailbox() -> None:
    one, other = two()
    other.hold = c.Select
    other.feed(b"a SELECT Sent\r\n")
    one.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\nb EXPUNGE\r\n")
    other.answer(other.held[0])
    assert b"EXPUNGE" not in other.feed(b"b NOOP\r\n")


def test_come_and_gone() -> None:
    shell = with_messages()
    shell.tell(Arrived((4, 5), frozenset((4, 5))), Gone((4,)), Flagged(4, frozenset(), 9))
    shell.tell(Arrived((5,)), Gone((1, 77)))
    assert lines(shell.feed(b"a NOOP\r\n")) == [b"* 1 EXPUNGE", b"* 3 EXISTS", b"* 3 RECENT", b"a OK done"]


def test_new_keywords_are_told() -> None:
    shell = with_messages()
    shell.tell(Defined(("\\Seen", "$x")))
    assert lines(shell.feed(b"a NOOP\r\n")) == [b"* FLAGS (\\Seen $x)", b"a OK done"]
    assert lines(shell.feed(b"a NOOP\r\n")) == [b"a OK done"]


def test_many_expunged_at_once() -> None:
    store = Store()
    for _ in range(20_000):
        store.boxes["INBOX"].add(b"\r\n", ("\\Deleted",))
    shell = logged_in(store, "INBOX")
    sent = shell.feed(b"a UID EXPUNGE 1:10000,10002:20000\r\nb FETCH * UID\r\n")
    assert sent.count(b"* 1 EXPUNGE\r\n") == 10_000
    assert sent.count(b"* 2 EXPUNGE\r\n") == 9_999
    assert b"* 1 FETCH (UID 10001)\r\n" in sent


# --- IDLE --------------------------------------------------------------------------------


def test_idle() -> None:
    one, other = two()
    one.feed(b"a STORE 2 +FLAGS.SILENT \\Flagged\r\n")
    assert lines(other.feed(b"a IDLE\r\n")) == [b"+ idling", b"* 2 FETCH (UID 2 FLAGS (\\Flagged))"]
    assert isinstance(other.core, Server)
    assert other.core.still_here() == b"* OK still here\r\n"
    before = len(other.sent)
    one.feed(b"a STORE 1 +FLAGS.SILENT \\Deleted\r\nb EXPUNGE\r\n")
    assert lines(other.sent[before:]) == [
        b"* 1 FETCH (UID 1 FLAGS (\\Deleted))",
        b"* 1 EXPUNGE",
    ]
    assert other.feed(b"done\r\nb NOOP\r\n") == b"a OK idled\r\nb OK done\r\n"
    assert other.core.still_here() == b""
    assert events.IdleBegun() in other.seen
    assert events.IdleEnded() in other.seen


@pytest.mark.parametrize("line", [b"x", b"", b"DONE x", b"b NOOP", b"y" * 5000])
def test_idle_that_ends_with_something_else(line: bytes) -> None:
    sent = inside(b"a IDLE\r\n" + line + b"\r\nc NOOP\r\n")
    assert lines(sent) == [b"+ idling", b"a BAD DONE is expected", b"c OK done"]


def test_good_bye_while_idling() -> None:
    shell = with_messages()
    shell.feed(b"a IDLE\r\n")
    assert isinstance(shell.core, Server)
    assert (
        shell.core.disconnect("be back", codes.UNAVAILABLE).last_words == b"* BYE [UNAVAILABLE] be back\r\n"
    )
    assert shell.core.update(Gone((1,))) == shell.core.still_here() == b""


def test_idle_without_a_mailbox() -> None:
    assert lines(logged_in().feed(b"a IDLE\r\nDONE\r\n")) == [b"+ idling", b"a OK idled"]


# --- LIST, STATUS, QUOTA -----------------------------------------------------------------


def test_list() -> None:
    sent = inside(
        b'a LIST "" ""\r\nb LIST "" %\r\nc LIST (SUBSCRIBED) "" * RETURN (STATUS (MESSAGES))\r\n'
        b'd LSUB "" S%\r\n'
    )
    assert lines(sent) == [
        b'* LIST (\\Noselect) "/" ""',
        b"a OK that is it",
        b'* LIST (\\HasNoChildren) "/" INBOX',
        b'* LIST (\\HasNoChildren \\Sent) "/" Sent',
        b'* LIST (\\Noselect \\HasChildren) "/" "a b"',
        b"b OK these are they",
        b'* LIST (\\HasNoChildren \\Subscribed) "/" INBOX',
        b"* STATUS INBOX (MESSAGES 3)",
        b'* LIST (\\HasNoChildren \\Sent \\Subscribed) "/" Sent',
        b"* STATUS Sent (MESSAGES 0)",
        b"c OK these are they",
        b'* LSUB () "/" Sent',
        b"d OK these are they",
    ]


def test_status_and_quota() -> None:
    sent = inside(
        b"a STATUS Sent (UIDNEXT APPENDLIMIT UNSEEN)\r\nb STATUS Nowhere (MESSAGES)\r\n"
        b'c GETQUOTAROOT INBOX\r\nd GETQUOTA ""\r\ne GETQUOTA x\r\nf NAMESPACE\r\n'
    )
    assert lines(sent) == [
        b"* STATUS Sent (UIDNEXT 1 APPENDLIMIT NIL UNSEEN 0)",
        b"a OK that is it",
        b"b NO [NONEXISTENT] no such mailbox",
        b'* QUOTAROOT INBOX ""',
        b'* QUOTA "" (STORAGE 10 512)',
        b"c OK that is it",
        b'* QUOTA "" (STORAGE 10 512)',
        b"d OK that is it",
        b"e NO [NONEXISTENT] no such quota root",
        b'* NAMESPACE (("" "/")) NIL NIL',
        b"f OK these are they",
    ]


def test_mailboxes_made_and_removed() -> None:
    sent = inside(
        b"a CREATE New\r\nb CREATE New\r\nc RENAME New &AOQ-\r\nd SUBSCRIBE &AOQ-\r\ne DELETE &AOQ-\r\n"
        b"f DELETE &AOQ-\r\ng UNSUBSCRIBE Sent\r\nh ENABLE X\r\n"
    )
    assert [line[:4] for line in lines(sent)] == [
        b"a OK",
        b"b NO",
        b"c OK",
        b"d OK",
        b"e OK",
        b"f NO",
        b"g OK",
        b"* EN",
        b"h OK",
    ]


def test_the_whole_session_wherever_it_is_cut() -> None:
    data = (
        b'a LOGIN alice {6+}\r\nsecret\r\nb ID ("name" {1+}\r\nx)\r\nc SELECT INBOX\r\n'
        b"d APPEND INBOX (\\Seen) {%d}\r\n%b\r\ne FETCH 4 (FLAGS ENVELOPE BODY.PEEK[TEXT])\r\n"
        b"f IDLE\r\nDONE\r\n"
        b"g SEARCH RETURN (SAVE) ALL\r\nh STORE $ +FLAGS (\\Deleted)\r\ni EXPUNGE\r\nj LOGOUT\r\n"
    ) % (len(HELLO), HELLO)

    def run(pieces: Sequence[bytes]) -> tuple[bytes, object]:
        shell = Shell(filled())
        return shell.feed(*pieces), shell.closed

    sent, closed = same_when_split(run, data, 150)
    assert closed is not None
    assert [
        tagged(sent, tag)[:2] for tag in (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i", b"j")
    ] == [b"OK"] * 10
    assert not Box().messages
