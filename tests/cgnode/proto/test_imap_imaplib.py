"""The server's core as Python's own client sees it."""

from __future__ import annotations

import imaplib
from typing import Any

import pytest

from .imap_shell import HELLO, Shell, Store


class Client(imaplib.IMAP4):
    """An IMAP4 whose connection is a shell in memory."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._read = 0
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        pass

    def read(self, size: int) -> bytes:
        data = self.shell.sent[self._read : self._read + size]
        assert len(data) == size, "the client waits for ever"
        self._read += size
        return data

    def readline(self) -> bytes:
        return self.read(self.shell.sent.index(b"\n", self._read) + 1 - self._read)

    def send(self, data: Any) -> None:
        self.shell.feed(bytes(data))

    def shutdown(self) -> None:
        pass


@pytest.fixture
def client() -> Client:
    made = Client(Shell(Store()))
    made.login("alice", "secret")
    return made


def test_a_day_with_imaplib(client: Client) -> None:
    assert "ENABLE" not in client.capabilities  # before log-in
    client.capabilities = tuple(client.capability()[1][0].decode().split())
    assert "IDLE" in client.capabilities
    assert client.create('"Some \\"folder\\""')[0] == "OK"
    assert client.append("INBOX", "(\\Flagged)", '"17-Jul-2024 02:44:25 +0000"', HELLO)[0] == "OK"
    kind, answers = client.append("Nowhere", "", "", HELLO)
    assert kind == "NO"
    assert b"TRYCREATE" in answers[0]
    assert client.select("INBOX") == ("OK", [b"1"])
    assert client.response("UIDVALIDITY") == ("UIDVALIDITY", [b"7"])
    kind, data = client.fetch("1", "(FLAGS BODY[])")
    assert kind == "OK"
    assert isinstance(data[0], tuple)
    assert data[0][1] == HELLO
    assert client.search(None, "FROM", '"bob"') == ("OK", [b"1"])
    assert client.search("UTF-8", "SUBJECT", '"hell"') == ("OK", [b"1"])
    assert client.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
    assert client.copy("1", "Sent")[0] == "OK"
    assert client.uid("MOVE", "1", "Sent")[0] == "OK"
    assert client.expunge() == ("OK", [b"1"])  # what MOVE has told
    assert client.status("Sent", "(MESSAGES UNSEEN)") == ("OK", [b"Sent (MESSAGES 2 UNSEEN 0)"])
    kind, rows = client.list()
    assert kind == "OK"
    assert rows[0] == b'(\\HasNoChildren) "/" INBOX'
    assert client.lsub()[1] == [b'() "/" INBOX', b'() "/" Sent']
    assert client.namespace()[1] == [b'(("" "/")) NIL NIL']
    assert client.getquotaroot("INBOX")[0] == "OK"
    assert client.noop()[0] == "OK"
    assert client.check()[0] == "OK"
    assert client.close()[0] == "OK"
    assert client.unsubscribe("Sent")[0] == "OK"
    assert client.rename("Sent", "Gone")[0] == "OK"
    assert client.delete("Gone")[0] == "OK"
    assert client.enable("CONDSTORE")[0] == "OK"
    assert client.logout()[0] == "BYE"
    assert client.shell.closed is not None


def test_authenticate() -> None:
    client = Client(Shell(Store()))
    assert client.authenticate("PLAIN", lambda challenge: b"\0alice\0secret")[0] == "OK"


def test_a_wrong_password() -> None:
    client = Client(Shell(Store()))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login("alice", "guess")
