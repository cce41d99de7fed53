"""A dialogue of lines, as small as can be: what comes back is what was said.

``STARTTLS`` begins TLS, ``QUIT`` ends, ``LATER x`` is answered when the test says so,
``MANY n`` by n KiB, ``FAIL`` is a bug of ours.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from cgnode.net.connection import Connection


class Lines:
    def __init__(self) -> None:
        self._buffer = b""
        self.waiting: deque[str | bytes] = deque()
        self.asked = False
        self.backlog = False

    def receive(self, data: bytes) -> None:
        self._buffer += data

    def next_event(self) -> object | None:
        if self.waiting:
            return self.waiting.popleft()
        if self.asked or b"\n" not in self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        word = line.decode().strip()
        if word.split(" ")[0] in ("STARTTLS", "QUIT", "LATER", "FAIL", "MANY"):
            self.asked = word.startswith("LATER")
            return word
        return word.encode() + b"\n"

    def answered(self) -> bytes:
        self.asked = False
        return b"done\n"

    def forget(self) -> None:
        self._buffer = b""


class Echo:
    """The handler."""

    def __init__(self, connection: Connection, context: Any = None, greeting: bytes = b"hello\n") -> None:
        self.connection = connection
        self.core = Lines()
        self._context = context
        self._greeting = greeting
        self.lost_because: list[str] = []
        self.secure = False
        self.made = 0
        connection.idle(30.0)

    def begin(self) -> bytes:
        return self._greeting

    def handle(self, event: str) -> None:
        match event.split(" "):
            case ["STARTTLS"]:
                self.connection.start_tls(self._context, b"go\n")
            case ["QUIT"]:
                self.connection.close(b"bye\n")
            case ["LATER", _]:
                pass
            case ["MANY", number]:
                for _ in range(int(number)):
                    self.core.waiting.append(b"m" * 1024)
            case _:
                raise RuntimeError("a bug of ours")

    def secured(self) -> None:
        self.core.forget()
        self.secure = True

    def timed_out(self) -> None:
        self.connection.close(b"too slow\n")

    def lost(self, reason: str) -> None:
        self.lost_because.append(reason)


class Silent:
    """A handler whose core only listens."""

    def __init__(self) -> None:
        self.core = self
        self.heard = b""
        self.backlog = False

    def receive(self, data: bytes) -> None:
        self.heard += data

    def next_event(self) -> object | None:
        return None

    def begin(self) -> bytes:
        return b""

    def handle(self, event: object) -> None:
        raise AssertionError(event)

    def secured(self) -> None:
        raise AssertionError

    def timed_out(self) -> None:
        raise AssertionError

    def lost(self, reason: str) -> None:
        """It is only told while nothing is joined."""
