"""The POP3 core as Python's own client sees it."""

from __future__ import annotations

import io
import poplib
from typing import Any

import pytest

from .pop3_shell import Shell

LETTER = b"Subject: x\r\n\r\n.one\r\n.\r\ntwo\r\n"


class Reader(io.RawIOBase):
    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._read = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        end = self.shell.sent.index(b"\n", self._read) + 1
        line, self._read = self.shell.sent[self._read : end], end
        return line


class Socket:
    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def makefile(self, mode: str) -> Reader:
        return Reader(self.shell)

    def sendall(self, data: bytes) -> None:
        self.shell.feed(data)

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


class Client(poplib.POP3):
    """A POP3 whose connection is a shell in memory."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        super().__init__("memory")

    def _create_socket(self, timeout: float) -> Any:
        return Socket(self._shell)


def test_a_day_with_poplib() -> None:
    shell = Shell([LETTER, b"A: b\r\n\r\nbody\r\n"])
    client = Client(shell)
    assert client.capa()["SASL"] == ["PLAIN", "LOGIN", "SCRAM-SHA-256"]
    client.user("alice")
    assert client.pass_("secret") == b"+OK logged in"
    assert client.stat() == (2, len(LETTER) + 14)
    assert client.list()[1] == [b"1 %d" % len(LETTER), b"2 14"]
    assert client.uidl()[1] == [b"1 uid1", b"2 uid2"]
    assert client.uidl(2) == b"+OK 2 uid2"
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == LETTER
    assert client.top(1, 1)[1] == [b"Subject: x", b"", b".one"]
    client.dele(1)
    with pytest.raises(poplib.error_proto, match="marked"):
        client.retr(1)
    client.rset()
    client.noop()
    client.dele(2)
    assert client.quit() == b"+OK good-bye"
    assert shell.closed is not None


def test_a_wrong_password() -> None:
    client = Client(Shell())
    client.user("alice")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        client.pass_("guess")
