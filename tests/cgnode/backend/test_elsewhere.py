"""Log-ins at a backend for an account of another one."""

from __future__ import annotations

import imaplib
import poplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgnode.backend.maildir.engine import MaildirStore
from tests.cgnode.backend.mailing import faults, open_store, text
from tests.cgnode.backend.serving_mail import PASSWORD, Serving, as_node, log_in_pop3, ok, serving, until


@pytest.fixture
def two(store: MaildirStore, tmp_path: Path) -> Iterator[tuple[Serving, ...]]:
    other = open_store(tmp_path / "other", "be2")
    with serving(store, other) as hosts:
        yield hosts
    assert faults(other) == []


def test_imap_is_passed_on(two: tuple[Serving, ...]) -> None:
    be1, be2 = two
    with be1.connect() as client:
        client.xatom("ID", '("x-originating-ip" "192.0.2.7" "x-session-id" "abc")')
        as_node(client, "carol@example.com")
        ok(client.append("INBOX", "", "", text(1)))
        assert ok(client.select()) == [b"1"]
        assert ok(client.fetch("1", "(BODY[])"))[0][1] == text(1)
        (row,) = be2.in_reactor(be2.sessions.who)
        assert (row["client"], row["session"]) == ("192.0.2.7", "abc")
        (row,) = be1.in_reactor(be1.sessions.who)
        assert (row["client"], row["state"], row["host"]) == ("192.0.2.7", "joined", "be2")
    until(lambda: be1.sessions.count() + be2.sessions.count() == 0)
    assert list(be1.store.accounts()) == []
    assert list(be2.store.accounts()) == ["carol@example.com"]
    assert be1.reception.counters.passed_on == 1


def test_with_the_own_password(two: tuple[Serving, ...]) -> None:
    with two[0].connect() as client:
        ok(client.login("carol", PASSWORD))
        ok(client.select())


def test_pop3_is_passed_on(two: tuple[Serving, ...]) -> None:
    be1, be2 = two
    with be2.imap("carol") as client:
        ok(client.append("INBOX", "", "", text(1)))
    pop3 = be1.connect_pop3()
    pop3._shortcmd("XCLIENT ADDR=192.0.2.7 SESSION=abc")  # type: ignore[attr-defined]
    log_in_pop3(pop3, "carol@example.com")
    assert pop3.retr(1)[1] == text(1).splitlines()
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        be1.pop3("carol")
    pop3.quit()
    until(lambda: be1.sessions.count() + be2.sessions.count() == 0)


def test_not_round_and_round(two: tuple[Serving, ...]) -> None:
    """A session that has come too far, as where two hosts take each other for the right one."""
    with two[0].connect() as client:
        client.xatom("ID", '("x-proxy-ttl" "0")')
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            as_node(client, "carol@example.com")


def test_it_follows_the_account(two: tuple[Serving, ...]) -> None:
    be1, _ = two
    with be1.imap("carol", "INBOX") as client:
        be1.rehost("be2", "be1")
        with pytest.raises(imaplib.IMAP4.abort):
            until(lambda: client.noop()[0] != "OK")
    with be1.connect() as client, pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        as_node(client, "carol@example.com")
    be1.store.attach(be1.store.path("be1").parent / "other")
    with be1.imap("carol", "INBOX") as client:
        ok(client.noop())
