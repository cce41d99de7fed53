"""The backend's IMAP, by imaplib over sockets."""

from __future__ import annotations

import imaplib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from cgnode.backend.imap.idling import Times
from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import Quota
from tests.cgnode.backend.mailing import append, deliver, open_store, text
from tests.cgnode.backend.serving_mail import (
    PASSWORD,
    TIMEOUT,
    Serving,
    as_node,
    credential,
    ok,
    serving,
    until,
)


@pytest.fixture
def served(store: MaildirStore) -> Iterator[Serving]:
    with serving(store) as (served,):
        yield served


class Raw:
    """A connection by lines, for what imaplib does not know."""

    def __init__(self, served: Serving) -> None:
        self.socket = socket.create_connection(("127.0.0.1", served.port("imap")), TIMEOUT)
        self.file = self.socket.makefile("rwb")
        self.line()

    def send(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()

    def line(self) -> bytes:
        return self.file.readline()

    def until(self, start: bytes) -> list[bytes]:
        """Lines up to one that begins so."""
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(start):
            line = self.line()
            assert line, lines
            lines.append(line)
        return lines

    def ask(self, command: bytes) -> list[bytes]:
        self.send(b"x " + command + b"\r\n")
        return self.until(b"x ")

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def raw(served: Serving) -> Iterator[Raw]:
    """Alice's own, in INBOX."""
    raw = Raw(served)
    assert raw.ask(b"LOGIN alice " + PASSWORD.encode())[-1].startswith(b"x OK ")
    assert raw.ask(b"SELECT INBOX")[-1].startswith(b"x OK ")
    yield raw
    raw.close()


# --- log-in --------------------------------------------------------------------------------


def test_log_in_as_a_node_and_as_oneself(served: Serving) -> None:
    with served.connect() as client:
        as_node(client, "alice@example.com")
        assert "IDLE" in ok(client.capability())[0].decode().split()
    for user in ("alice", "Alice@EXAMPLE.com"):
        with served.connect() as client:
            ok(client.login(user, PASSWORD))
    assert served.reception.counters.served == 3


@pytest.mark.parametrize(
    "response",
    [
        credential("alice@example.com", b"another"),
        credential("", b"the cluster's own"),
        b"bob@example.com\0alice\0" + PASSWORD.encode(),
        b"\0alice\0wrong",
    ],
)
def test_log_ins_that_fail(served: Serving, response: bytes) -> None:
    with served.connect() as client:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.authenticate("PLAIN", lambda _: response)
        as_node(client, "alice@example.com")


@pytest.mark.parametrize("address", ["nobody@example.com", "alice@nowhere.example", "", "\r\n"])
def test_an_account_that_is_not_known_here(served: Serving, address: str) -> None:
    """A frontend knows it, and was told first; or so it may be."""
    with served.connect() as client:
        with pytest.raises(imaplib.IMAP4.error, match=r"UNAVAILABLE|AUTHENTICATIONFAILED"):
            as_node(client, address)


def test_an_account_that_is_known_in_time(served: Serving) -> None:
    known = threading.Timer(0.05, served.rehost, ("be2", "be1"))
    served.store.attach(_storage_of("be2", served))
    known.start()
    with served.connect() as client:
        as_node(client, "carol@example.com")
        ok(client.select())
    known.join()


def _storage_of(owner: str, served: Serving) -> Path:
    return Path(open_store(served.store.path("be1").parent / owner, owner).path(owner))


def test_a_client_that_does_not_log_in(served: Serving) -> None:
    reception = evolve(served.reception, patience=0.1)
    served.imap_backend = evolve(served.imap_backend, reception=reception)
    with socket.create_connection(("127.0.0.1", served.port("imap")), TIMEOUT) as client:
        lines = client.makefile("rb").readlines()
    assert lines[1:] == [b"* BYE [UNAVAILABLE] logging in took too long\r\n"]


def test_an_account_of_another_host_is_not_served(served: Serving) -> None:
    with served.connect() as client:
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            as_node(client, "carol@example.com")
    assert list(served.store.accounts()) == []


def test_a_storage_that_is_not_attached(served: Serving, alice: MaildirAccount) -> None:
    """be2 has failed, be1 covers it, and its storage is not here: that makes no new account."""
    served.rehost("be2", "be1")
    with served.connect() as client:
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            as_node(client, "carol@example.com")
    assert list(served.store.accounts()) == ["alice@example.com"]


def test_what_the_frontend_says_of_the_client(served: Serving) -> None:
    with served.connect() as client:
        client.xatom("ID", '("x-originating-ip" "192.0.2.7" "x-session-id" "abc" "x-proxy-ttl" "2")')
        as_node(client, "alice@example.com")
        (row,) = served.in_reactor(served.sessions.who)
        assert (row["client"], row["session"], row["protocol"]) == ("192.0.2.7", "abc", "imap")
    with served.connect() as client:
        client.xatom("ID", '("x-originating-ip" "192.0.2.7" "x-session-id" "abc")')
        ok(client.login("bob", PASSWORD))
        until(lambda: served.sessions.count() == 1)
        (row,) = served.in_reactor(served.sessions.who)
        assert (row["client"], row["account"]) == ("127.0.0.1", "bob@example.com")
    until(lambda: served.sessions.count() == 0)


def test_a_session_ends_when_its_account_moves(served: Serving) -> None:
    with served.imap("alice", "INBOX") as alice, served.imap("bob", "INBOX") as bob:
        served.directory.modify("uid=alice,cn=example.com", replace={"hostServer": "be2"})
        with pytest.raises(imaplib.IMAP4.abort, match=r"moved|EOF"):
            until(lambda: alice.noop()[0] != "OK")
        ok(bob.noop())


def test_kick(served: Serving) -> None:
    with served.imap() as client:
        assert served.in_reactor(lambda: served.sessions.kick("bob@example.com")) == 0
        assert served.in_reactor(lambda: served.sessions.kick("alice@example.com")) == 1
        assert client.readline() == b"* BYE [UNAVAILABLE] an administrator has ended this session\r\n"


# --- messages ------------------------------------------------------------------------------


def test_select_and_fetch(served: Serving, alice: MaildirAccount) -> None:
    deliver(alice, 1)
    deliver(alice, 2)
    with served.imap() as client:
        assert ok(client.select()) == [b"2"]
        data = ok(client.fetch("1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
        size = len(text(1))
        assert data[0] == (
            b"1 (UID 1 FLAGS (\\Recent) RFC822.SIZE %d BODY[HEADER.FIELDS (SUBJECT)] {17}" % size,
            b"Subject: test\r\n\r\n",
        )
        data = ok(client.fetch("2", "(BODY[])"))
        assert data[0][1] == text(2)
        assert b"\\Seen" in data[1]
        assert ok(client.fetch("2", "(FLAGS)")) == [b"2 (FLAGS (\\Seen \\Recent))"]
        assert ok(client.fetch("1", "(BODY.PEEK[]<0.4>)"))[0][1] == b"Mess"
        assert b'"text" "plain"' in ok(client.fetch("1", "(BODYSTRUCTURE)"))[0]
        assert b"test" in ok(client.fetch("1", "(ENVELOPE)"))[0]
        assert ok(client.uid("FETCH", "7", "(FLAGS)")) == [None]


def test_more_messages_than_a_batch(served: Serving, alice: MaildirAccount) -> None:
    for number in range(230):
        deliver(alice, number)
    with served.imap(select="INBOX") as client:
        data = ok(client.fetch("1:*", "(BODY[])"))
        assert [each[1] for each in data if isinstance(each, tuple)] == list(map(text, range(230)))
        assert len(ok(client.fetch("1:*", "(FLAGS)"))) == 230


def test_store_search_expunge(served: Serving, alice: MaildirAccount) -> None:
    for number in range(4):
        deliver(alice, number)
    with served.imap(select="INBOX") as client:
        assert b"\\Flagged" in ok(client.store("2:3", "+FLAGS", "(\\Flagged work)"))[0]
        assert ok(client.search(None, "FLAGGED")) == [b"2 3"]
        assert ok(client.search(None, "KEYWORD", "work")) == [b"2 3"]
        assert ok(client.search(None, "HEADER", "Message-ID", "<2@x>")) == [b"3"]
        assert ok(client.search(None, "BODY", "body")) == [b"1 2 3 4"]
        assert ok(client.search(None, "TEXT", "nowhere")) == [b""]
        ok(client.store("2", "+FLAGS", "\\Deleted"))
        ok(client.store("3", "-FLAGS", "\\Flagged"))
        assert ok(client.expunge()) == [b"2"]
        assert ok(client.search(None, "ALL")) == [b"1 2 3"]
        ok(client.store("1", "FLAGS", "\\Deleted"))
        ok(client.close())
        assert ok(client.select()) == [b"2"]


def test_condstore(raw: Raw, alice: MaildirAccount) -> None:
    append(alice, 1)
    append(alice, 2)
    raw.ask(b"NOOP")
    (status, done) = raw.ask(b"STATUS INBOX (HIGHESTMODSEQ)")[-2:]
    highest = int(status.split()[-1].rstrip(b")"))
    assert done.startswith(b"x OK")
    raw.ask(b"STORE 1 +FLAGS (\\Flagged)")
    found = raw.ask(b"FETCH 1:* (FLAGS) (CHANGEDSINCE %d)" % highest)
    assert [line.split()[1] for line in found[:-1]] == [b"1"]
    assert b"MODIFIED 1]" in raw.ask(b"STORE 1,2 (UNCHANGEDSINCE %d) +FLAGS (\\Seen)" % highest)[-1]


def test_append(served: Serving, alice: MaildirAccount) -> None:
    with served.imap(select="INBOX") as client:
        date = imaplib.Time2Internaldate(1_000_000_000)
        assert b"APPENDUID" in ok(client.append("INBOX", "(\\Seen)", date, text(9)))[0]
        ((head, content), _) = ok(client.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])"))
        assert b'FLAGS (\\Seen \\Recent) INTERNALDATE " 9-Sep-2001 01:46:40 +0000"' in head
        assert content == text(9)
        typ, data = client.append("Nowhere", "", "", text(9))
        assert (typ, b"TRYCREATE" in data[0]) == ("NO", True)
        ok(client.append("Sent", "", "", text(9)))
        ok(client.noop())
        assert b"(MESSAGES 1)" in ok(client.status("Sent", "(MESSAGES)"))[0]


def test_a_large_message_both_ways(served: Serving) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    message = text(1) + line * 100_000
    with served.imap(select="INBOX") as client:
        ok(client.append("INBOX", "", "", message))
        ok(client.noop())
        assert ok(client.fetch("1", "(BODY.PEEK[])"))[0][1] == message
        parts = [
            ok(client.fetch("1", f"(BODY.PEEK[]<{start}.1000000>)"))[0][1]
            for start in range(0, len(message), 1_000_000)
        ]
        assert b"".join(parts) == message


def test_several_messages_in_one_append(raw: Raw) -> None:
    raw.send(
        b"x APPEND INBOX (\\Seen) {%d+}\r\n%b {%d+}\r\n%b\r\n"
        % (len(text(1)), text(1), len(text(2)), text(2))
    )
    lines = raw.until(b"x ")
    assert b"* 2 EXISTS\r\n" in lines
    assert b" 1:2] " in lines[-1]


def test_an_append_that_is_cut_off_leaves_nothing(served: Serving, alice: MaildirAccount) -> None:
    raw = Raw(served)
    raw.ask(b"LOGIN alice " + PASSWORD.encode())
    raw.send(b"x APPEND INBOX {1000+}\r\nbeginning")
    until(lambda: len(list((served.store.path("be1") / "example.com/alice/Maildir/tmp").iterdir())))
    raw.close()
    until(lambda: not list((served.store.path("be1") / "example.com/alice/Maildir/tmp").iterdir()))
    assert alice.status("INBOX").messages == 0


def test_copy_and_move(served: Serving, alice: MaildirAccount) -> None:
    for number in range(3):
        deliver(alice, number)
    with served.imap(select="INBOX") as client:
        ok(client.copy("1:2", "Archive"))
        assert client.response("COPYUID")[1][0].endswith(b" 1:2 1:2")
        assert client.copy("1", "Nowhere")[0] == "NO"
        ok(client.uid("MOVE", "1,3", "Trash"))
        assert ok(client.search(None, "ALL")) == [b"1"]
        for folder, count in (("Archive", 2), ("Trash", 2), ("INBOX", 1)):
            assert b"(MESSAGES %d)" % count in ok(client.status(folder, "(MESSAGES)"))[0]


def test_quota(served: Serving, alice: MaildirAccount) -> None:
    with served.imap() as client:
        assert client.getquota('""')[0] == "NO"
        alice.quota = Quota(10_000)
        deliver(alice, 1)
        assert ok(client.getquotaroot("INBOX")) == [[b'INBOX ""'], [b'"" (STORAGE 1 9)']]
        typ, data = client.append("INBOX", "", "", text(1) + b"x" * 10_000)
        assert (typ, b"OVERQUOTA" in data[0]) == ("NO", True)
        ok(client.append("INBOX", "", "", text(2)))


# --- folders -------------------------------------------------------------------------------


def test_folders(served: Serving) -> None:
    with served.imap() as client:
        listed = ok(client.list())
        for name in ("Sent", "Drafts", "Trash", "Junk", "Archive"):
            assert any(b"\\" + name.encode() in row and row.endswith(name.encode()) for row in listed)
        assert len(ok(client.lsub())) >= 5
        ok(client.create('"a b/c"'))
        assert client.create('"a b/c"')[0] == "NO"
        ok(client.create("lists/"))
        ok(client.subscribe('"a b/c"'))
        assert b'(\\HasNoChildren) "/" "a b/c"' in ok(client.list())
        assert b'() "/" "a b/c"' in ok(client.lsub())
        ok(client.rename('"a b/c"', "d"))
        ok(client.select("d"))
        ok(client.unselect())
        ok(client.delete("d"))
        assert client.select("d")[0] == "NO"
        assert client.delete("INBOX")[0] == "NO"
        assert client.create("../etc")[0] == "NO"
        assert ok(client.namespace()) == [b'(("" "/")) NIL NIL']


def test_list_with_status(raw: Raw, alice: MaildirAccount) -> None:
    deliver(alice, 1)
    lines = raw.ask(b'LIST "" "%" RETURN (STATUS (MESSAGES UIDNEXT))')
    assert b"* STATUS INBOX (MESSAGES 1 UIDNEXT 2)\r\n" in lines
    assert sum(line.startswith(b"* STATUS ") for line in lines) == 6


def test_a_folder_that_is_removed_meanwhile(served: Serving) -> None:
    with served.imap() as client, served.imap() as other:
        ok(client.create("x"))
        ok(client.select("x"))
        ok(other.delete("x"))
        with pytest.raises(imaplib.IMAP4.abort):
            client.search(None, "ALL")


def test_a_folder_that_the_session_itself_removes(served: Serving) -> None:
    with served.imap() as client:
        ok(client.create("x"))
        ok(client.select("x"))
        ok(client.delete("x"))
        ok(client.noop())
        ok(client.select())


# --- other sessions ------------------------------------------------------------------------


def test_what_others_do_is_told_at_noop(served: Serving, alice: MaildirAccount) -> None:
    deliver(alice, 1)
    with served.imap(select="INBOX") as one, served.imap(select="INBOX") as two:
        deliver(alice, 2)
        ok(one.store("1", "+FLAGS", "\\Flagged"))
        ok(two.noop())
        assert two.untagged_responses["EXISTS"][-1] == b"2"
        assert b"\\Flagged" in two.untagged_responses["FETCH"][-1]
        ok(one.store("1", "+FLAGS", "\\Deleted"))
        ok(one.expunge())
        ok(two.noop())
        assert two.untagged_responses["EXPUNGE"][-1] == b"1"


def test_idle_tells_at_once(raw: Raw, served: Serving, alice: MaildirAccount) -> None:
    raw.send(b"i IDLE\r\n")
    assert raw.line().startswith(b"+ ")
    for number in range(1, 4):
        before = time.monotonic()
        deliver(alice, number)
        assert raw.until(b"* %d RECENT" % number)[0] == b"* %d EXISTS\r\n" % number
        assert time.monotonic() - before < 0.5
    with served.imap(select="INBOX") as other:
        ok(other.store("2", "+FLAGS", "\\Deleted"))
        assert raw.line().startswith(b"* 2 FETCH (UID 2 FLAGS (\\Deleted")
        ok(other.expunge())
        assert raw.line() == b"* 2 EXPUNGE\r\n"
    raw.send(b"DONE\r\n")
    assert raw.line().startswith(b"i OK ")


def test_idle_says_that_it_is_there_and_looks(served: Serving, alice: MaildirAccount) -> None:
    served.hurry(Times(still_here=0.2, look=0.1))
    raw = Raw(served)
    raw.ask(b"LOGIN alice " + PASSWORD.encode())
    raw.ask(b"SELECT INBOX")
    raw.send(b"i IDLE\r\n")
    assert raw.line().startswith(b"+ ")
    assert raw.line() == b"* OK still here\r\n"
    path = served.store.path("be1") / "example.com/alice/Maildir/new/1.strange"
    path.write_bytes(text(1))
    raw.until(b"* 1 EXISTS")
    raw.close()


def test_idle_in_a_folder_that_goes(served: Serving) -> None:
    with served.imap() as other:
        ok(other.create("x"))
        raw = Raw(served)
        raw.ask(b"LOGIN alice " + PASSWORD.encode())
        raw.ask(b"SELECT x")
        raw.send(b"i IDLE\r\n")
        raw.line()
        ok(other.delete("x"))
        assert raw.line().startswith(b"* BYE ")
        raw.close()


def test_too_long_idle(served: Serving) -> None:
    served.hurry(Times(idle=0.2))
    with served.imap() as client:
        assert client.readline() == b"* BYE idle for too long\r\n"


# --- a hard life ---------------------------------------------------------------------------


def test_pipelined(raw: Raw, alice: MaildirAccount) -> None:
    deliver(alice, 1)
    raw.send(
        b"a SELECT INBOX\r\nb FETCH 1 (UID)\r\nc STORE 1 +FLAGS (\\Seen)\r\n"
        b"d SEARCH SEEN\r\ne CLOSE\r\nf NOOP\r\n"
    )
    lines = raw.until(b"f ")
    tags = [line[:4] for line in lines if not line.startswith(b"*")]
    assert tags == [b"a OK", b"b OK", b"c OK", b"d OK", b"e OK", b"f OK"]
    assert b"* SEARCH 1\r\n" in lines


def test_a_client_that_does_not_read(raw: Raw, served: Serving, alice: MaildirAccount) -> None:
    """What it asked for is not made before it takes some of it."""
    message = text(1) + (b"0123456789" * 7 + b"\r\n") * 30_000
    for _ in range(10):
        with alice.incoming() as incoming:
            incoming.write(message)
            alice.deliver(incoming)
    raw.ask(b"NOOP")
    raw.send(b"x FETCH 1:* (BODY.PEEK[])\r\n")
    with served.imap("bob") as other:
        time.sleep(0.3)
        ok(other.noop())
    assert served.in_reactor(lambda: _said(served)) < 8 << 20
    lines = raw.until(b"x OK")
    assert sum(map(len, lines)) > 10 * len(message)


def _said(served: Serving) -> int:
    """Octets that wait in transports."""
    total = 0
    for reader in served.reactor.getWriters():
        total += len(getattr(reader, "dataBuffer", b"")) + sum(
            map(len, getattr(reader, "_tempDataBuffer", ()))
        )
    return total


def test_clients_that_vanish(served: Serving, alice: MaildirAccount) -> None:
    for number in range(300):
        deliver(alice, number)
    for _ in range(5):
        raw = Raw(served)
        raw.ask(b"LOGIN alice " + PASSWORD.encode())
        raw.ask(b"SELECT INBOX")
        raw.send(b"x FETCH 1:* (BODY.PEEK[])\r\ny SEARCH BODY nothing\r\nz IDLE\r\n")
        raw.line()
        raw.close()
    until(lambda: served.sessions.count() == 0)
    with served.imap(select="INBOX") as client:
        assert ok(client.search(None, "ALL"))[0].endswith(b" 300")


def test_many_sessions_at_once(served: Serving, alice: MaildirAccount) -> None:
    failures: list[Any] = []

    def work(number: int) -> None:
        try:
            with served.imap(select="INBOX") as client:
                for _ in range(5):
                    ok(client.append("INBOX", "", "", text(number)))
                    ok(client.noop())
                    ok(client.fetch("1:*", "(FLAGS)"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert alice.status("INBOX").messages == 40
