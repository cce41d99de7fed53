"""The backend's POP3, by poplib over sockets."""

from __future__ import annotations

import poplib
import time
from collections.abc import Iterator

import pytest
from attrs import evolve

from cgnode.backend.maildir.account import MaildirAccount
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.pop3.service import Times
from cgnode.backend.store import DELETED, SEEN, How
from tests.cgnode.backend.mailing import append, contents, deliver, reopened, text
from tests.cgnode.backend.serving_mail import PASSWORD, Serving, log_in_pop3, serving, until


@pytest.fixture
def served(store: MaildirStore) -> Iterator[Serving]:
    with serving(store) as (served,):
        yield served


def test_log_in(served: Serving, alice: MaildirAccount) -> None:
    deliver(alice)
    client = served.connect_pop3()
    assert client.getwelcome().startswith(b"+OK [XCLIENT] ")
    assert {"TOP", "UIDL", "SASL", "PIPELINING", "RESP-CODES"} <= set(client.capa())
    client.user("alice")
    client.pass_(PASSWORD)
    assert client.stat() == (1, len(text(1)))
    client.quit()
    client = served.pop3()
    assert client.stat()[0] == 1
    client.quit()
    client = served.connect_pop3()
    client.user("alice")
    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
        client.pass_("wrong")
    client.close()
    with pytest.raises(poplib.error_proto, match=r"-ERR \[SYS/TEMP\]"):
        served.pop3("carol")
    with pytest.raises(poplib.error_proto, match=r"-ERR \[SYS/TEMP\]"):
        served.pop3("nobody")


def test_what_is_there(served: Serving, alice: MaildirAccount) -> None:
    for number in range(3):
        deliver(alice, number)
    client = served.pop3()
    assert client.retr(2)[1] == text(1).splitlines()
    assert client.top(3, 0)[1] == [b"Message-ID: <2@x>", b"Subject: test", b""]
    assert client.list()[1] == [b"%d %d" % (place, len(text(1))) for place in (1, 2, 3)]
    uidls = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(uidls)) == 3
    with pytest.raises(poplib.error_proto):
        client.retr(4)
    client.dele(1)
    client.quit()
    assert contents(alice) == {2: "1", 3: "2"}
    with alice.select("INBOX", read_only=True) as view:
        assert [message.uid for message in view.messages() if SEEN in message.flags] == [2]
    client = served.pop3()
    assert [line.split()[1] for line in client.uidl()[1]] == uidls[1:]
    client.close()


def test_uidls_stay_where_the_storage_is_served_by_another_host(
    served: Serving, alice: MaildirAccount
) -> None:
    deliver(alice)
    client = served.pop3()
    (uidl,) = client.uidl()[1]
    client.quit()
    (other,) = reopened(served.store)
    with other.account("alice@example.com", home="be1").maildrop() as drop:
        assert [f"1 {each.uidl}".encode() for each in drop.messages] == [uidl]


def test_without_quit_nothing_goes(served: Serving, alice: MaildirAccount) -> None:
    deliver(alice)
    client = served.pop3()
    client.dele(1)
    client.close()
    until(lambda: served.sessions.count() == 0)
    assert contents(alice) == {1: "1"}


def test_one_session_at_a_time(served: Serving) -> None:
    client = served.pop3()
    with pytest.raises(poplib.error_proto, match=r"-ERR \[IN-USE\]"):
        served.pop3()
    served.pop3("bob").quit()
    client.close()
    until(lambda: served.sessions.count() == 0)
    served.pop3().quit()


def test_dots_and_a_large_message(served: Serving, alice: MaildirAccount) -> None:
    body = (b".\r\n..two\r\n" + b"x" * 70 + b"\r\n") * 20_000
    with alice.incoming() as incoming:
        incoming.write(b"Subject: dots\r\n\r\n" + body)
        alice.deliver(incoming)
    client = served.pop3()
    assert client.retr(1)[1] == [b"Subject: dots", b"", *body.splitlines()]
    assert client.top(1, 2)[1] == [b"Subject: dots", b"", b".", b"..two"]
    client._putcmd("RETR 1")  # type: ignore[attr-defined]
    client._putcmd("NOOP")  # type: ignore[attr-defined]
    assert client._getlongresp()[1] == [b"Subject: dots", b"", *body.splitlines()]  # type: ignore[attr-defined]
    assert client._getresp().startswith(b"+OK")  # type: ignore[attr-defined]
    client.quit()


def test_a_message_that_has_gone(served: Serving, alice: MaildirAccount) -> None:
    append(alice, 1)
    append(alice, 2)
    client = served.pop3()
    with alice.select("INBOX") as view:
        view.store([1], How.ADD, frozenset({DELETED}))
        view.expunge()
    with pytest.raises(poplib.error_proto, match="not there any more"):
        client.retr(1)
    assert client.retr(2)[1] == text(2).splitlines()
    client.quit()


def test_who_it_is(served: Serving) -> None:
    client = served.connect_pop3()
    client._shortcmd("XCLIENT ADDR=192.0.2.9 PORT=4711 SESSION=xyz TTL=1")  # type: ignore[attr-defined]
    log_in_pop3(client, "alice@example.com")
    (row,) = served.in_reactor(served.sessions.who)
    assert (row["protocol"], row["client"], row["session"]) == ("pop3", "192.0.2.9", "xyz")
    served.in_reactor(lambda: served.sessions.kick())
    with pytest.raises((poplib.error_proto, OSError)):
        client.noop()
    client.close()


def test_a_user_is_not_believed(served: Serving) -> None:
    client = served.connect_pop3()
    client._shortcmd("XCLIENT ADDR=192.0.2.9 SESSION=xyz")  # type: ignore[attr-defined]
    client.user("bob")
    client.pass_(PASSWORD)
    (row,) = served.in_reactor(served.sessions.who)
    assert (row["client"], row["account"]) == ("127.0.0.1", "bob@example.com")
    assert row["session"] != "xyz"
    client.quit()


def test_too_long_idle(served: Serving, alice: MaildirAccount) -> None:
    deliver(alice)
    served.pop3_backend = evolve(served.pop3_backend, times=Times(idle=0.2))
    client = served.pop3()
    client.dele(1)
    time.sleep(0.3)
    with pytest.raises((poplib.error_proto, OSError)):
        client.quit()
    client.close()
    assert contents(alice) == {1: "1"}
