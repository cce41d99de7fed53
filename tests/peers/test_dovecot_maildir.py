"""Dovecot on the Maildirs of our store, in turns with it: each reads what the other wrote.

Dovecot's ``imap`` runs by itself here, authenticated beforehand, on a pipe: no ports, no daemon.
"""

from __future__ import annotations

import grp
import imaplib
import os
import pwd
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.store import ANSWERED, FLAGGED, INBOX, SEEN, How
from tests.cgnode.backend.mailing import ALICE, append, contents, deliver, faults, open_store, text
from tests.peers.slapd import require

IMAP = "/usr/lib/dovecot/imap"
# Dovecot refuses to be root; what it writes, root can read.
NOBODY = 65534

CONFIG = """\
base_dir={folder}/run
state_dir={folder}/state
default_internal_user={user}
default_internal_group={group}
default_login_user={user}
log_path={folder}/log
first_valid_uid=1
first_valid_gid=1
mail_uid={uid}
mail_gid={gid}
mail_location=maildir:{maildir}
mail_plugins=listescape
ssl=no
namespace inbox {{
  inbox=yes
  separator=/
}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where ``nobody`` gets too, which is not so beneath pytest's own."""
    path = Path(mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def store(folder: Path) -> Iterator[MaildirStore]:
    store = open_store(folder / "storage")
    yield store
    assert faults(store) == []


@contextmanager
def dovecot(folder: Path, account: MaildirAccount) -> Iterator[imaplib.IMAP4_stream]:
    """A session of Dovecot's with the account's mail."""
    if not shutil.which(IMAP):
        require("dovecot's imap")
    uid, gid = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    user, group = pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name
    config = folder / "dovecot.conf"
    names = {"user": user, "group": group, "uid": uid, "gid": gid}
    config.write_text(CONFIG.format(folder=folder, maildir=account.path, **names))
    give(folder, uid, gid)
    command = f"USER={user} HOME={folder} exec {IMAP} -c {shlex.quote(str(config))} 2>>{folder}/log"
    session = imaplib.IMAP4_stream(command)
    try:
        assert session.state == "AUTH"
        yield session
    finally:
        session.logout()
        session.process.wait(10)
    log = (folder / "log").read_text()
    assert not re.search("Error|Warning|Panic|Fatal", log), log


def give(folder: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        for place, _, files in os.walk(folder):
            for path in (place, *(os.path.join(place, name) for name in files)):
                os.chown(path, uid, gid)


def ok(answer: tuple[str, list[Any]]) -> list[Any]:
    assert answer[0] == "OK", answer
    return answer[1]


def fetched(session: imaplib.IMAP4_stream, uid: str, what: str) -> str:
    parts = ok(session.uid("FETCH", uid, f"({what})"))
    return b" ".join(part if isinstance(part, bytes) else b" ".join(part) for part in parts if part).decode()


def test_what_we_wrote(folder: Path, store: MaildirStore) -> None:
    alice = store.account(ALICE, create=True)
    deliver(alice, "a")
    append(alice, "b", flags=[SEEN, FLAGGED], date=1_000_000_000)
    alice.create("Entwürfe/v1.2")
    alice.subscribe("Entwürfe/v1.2")
    append(alice, "c", "Entwürfe/v1.2")
    before = contents(alice)
    with dovecot(folder, alice) as session:
        assert ok(session.select("INBOX")) == [b"2"]
        assert text("a").decode() in fetched(session, "1", "BODY.PEEK[]")
        second = fetched(session, "2", "FLAGS INTERNALDATE RFC822.SIZE")
        assert f"RFC822.SIZE {len(text('b'))}" in second
        assert {SEEN, FLAGGED} <= set(re.findall(r"\\\w+", second))
        assert imaplib.Internaldate2tuple(second.encode()) == time.localtime(1_000_000_000)
        assert b"".join(ok(session.lsub())).count(b"Entw&APw-rfe/v1.2") == 1
        names = [line.decode().rpartition('"/" ')[2].strip('"') for line in ok(session.list())]
        assert sorted(names) == sorted(
            ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "Entw&APw-rfe", "Entw&APw-rfe/v1.2"]
        )
        assert ok(session.select('"Entw&APw-rfe/v1.2"')) == [b"1"]
    assert contents(alice) == before


def test_what_dovecot_wrote(folder: Path, store: MaildirStore) -> None:
    alice = store.account(ALICE, create=True)
    for label in "abc":
        append(alice, label)
    with alice.select(INBOX) as view:
        with dovecot(folder, alice) as session:
            ok(session.select("INBOX"))
            ok(session.append("INBOX", "(\\Flagged Work)", '"09-Sep-2001 01:46:40 +0000"', text("d")))
            ok(session.uid("STORE", "2", "+FLAGS", "(\\Answered)"))
            ok(session.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
            ok(session.expunge())
            ok(session.uid("COPY", "3", "Sent"))
            ok(session.create('"Von Dovecot/n.o"'))
            ok(session.subscribe('"Von Dovecot/n.o"'))
            ok(session.unsubscribe("Junk"))
        changes = view.look()
        assert changes.expunged == (1,)
        assert changes.exists == 3
        ((number, message),) = changes.updated
        assert number == 1
        assert message.flags == {ANSWERED}
        assert list(view.uids) == [2, 3, 4]
        (new,) = view.messages([4])
        assert (new.date, new.size) == (1_000_000_000, len(text("d")))
        assert new.flags == {FLAGGED, "Work"}
    assert contents(alice) == {2: "b", 3: "c", 4: "d"}
    assert contents(alice, "Sent") == {1: "c"}
    found = {one.name: one for one in alice.folders()}
    assert found["Von Dovecot/n.o"].exists
    assert found["Von Dovecot/n.o"].subscribed
    assert not found["Junk"].subscribed


def test_both_at_once(folder: Path, store: MaildirStore) -> None:
    alice = store.account(ALICE, create=True)
    deliver(alice, "a")
    with alice.select(INBOX) as view, dovecot(folder, alice) as session:
        assert ok(session.select("INBOX")) == [b"1"]
        for number in range(5):
            deliver(alice, number)
            append(alice, f"x{number}")
            give(folder, *owner(folder))
            ok(session.noop())
            view.look()
            uid = view.uids[-1]
            view.store([uid], How.ADD, frozenset({SEEN, "$ours"}))
            ok(session.uid("STORE", "1", "+FLAGS" if number % 2 else "-FLAGS", "(\\Draft)"))
            ok(session.noop())
        assert ok(session.select("INBOX")) == [b"11"]
        ok(session.uid("STORE", "1:5", "+FLAGS", "(\\Deleted)"))
        ok(session.expunge())
        # Beneath a change of ours the last one might hide, for some seconds.
        assert store.check(ALICE) == []
        assert len(view.look().expunged) == 5
        assert sum("$ours" in message.flags for message in view.messages()) >= 2
    assert len(contents(alice)) == 6


def owner(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_uid, found.st_gid
