"""Asking a backend whether it serves: a connection, its greeting, good-bye.

What lives here: what a greeting is.  What must not: how often, how long, and what of it
(``cgnode.health``).

Greetings come in the clear, before any STARTTLS, and tell that the program behind the
socket lives: a host that hangs still takes connections.
"""

# mypy: disallow-untyped-calls=False
# Twisted's connections are not annotated.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cgnode.members import Endpoint
from cgnode.net.connection import Connection
from cgnode.net.dial import dial, why

_GREETINGS: Final = {
    # RFC 5321 section 4.3.1, RFC 9051 section 7.1, RFC 1939 section 4.
    "lmtp": ((b"220 ", b"220-"), b"QUIT\r\n"),
    "imap": ((b"* OK", b"* PREAUTH"), b"a LOGOUT\r\n"),
    "pop3": ((b"+OK",), b"QUIT\r\n"),
}
_LONGEST: Final = 8192


class NoGreeting(Exception):
    """Why not."""


@frozen
class Greeting:
    """A server's first line, without its end."""

    line: bytes


class GreetingCore:
    """The dialogue: one line, and whatever follows is not looked at."""

    backlog = False

    def __init__(self) -> None:
        self._buffer = b""
        self._given = False

    def receive(self, data: bytes) -> None:
        if not self._given:
            self._buffer += data

    def next_event(self) -> Greeting | None:
        if self._given or (b"\n" not in self._buffer and len(self._buffer) <= _LONGEST):
            return None
        self._given = True
        line, self._buffer = self._buffer.partition(b"\n")[0], b""
        return Greeting(line.rstrip(b"\r"))


class _Probing:
    """A connection's handler; ``done`` is told "" or what is wrong, once."""

    def __init__(self, connection: Connection, protocol: str, done: Callable[[str], None]) -> None:
        self.core = GreetingCore()
        self._connection = connection
        self._wanted, self._last_words = _GREETINGS[protocol]
        self._done = done

    def begin(self) -> bytes:
        return b""

    def handle(self, event: Greeting) -> None:
        good = event.line.upper().startswith(self._wanted)
        self._done("" if good else f"greets with {event.line[:100].decode('ascii', 'replace')!r}")
        self._connection.close(self._last_words)

    def secured(self) -> None:
        """There is no TLS here."""

    def timed_out(self) -> None:
        """There is no limit of its own."""

    def lost(self, reason: str) -> None:
        self._done(f"no greeting: {reason}")


@frozen
class GreetingProbe:
    """A ``cgnode.health.Probe``; ``timeout``: seconds for the connection alone."""

    reactor: Any
    timeout: float

    def __call__(self, protocol: str, endpoint: Endpoint) -> Deferred[None]:
        connections: list[Connection] = []

        def give_up(_: object) -> None:
            dialling.cancel()
            for connection in connections:
                connection.abort()

        result: Deferred[None] = Deferred(give_up)

        def done(trouble: str) -> None:
            if result.called:
                return
            if trouble:
                result.errback(NoGreeting(trouble))
            else:
                result.callback(None)

        def make_handler(connection: Connection) -> _Probing:
            connections.append(connection)
            return _Probing(connection, protocol, done)

        def failed(failure: Failure) -> None:
            done(why(failure))

        dialling = dial(self.reactor, endpoint, make_handler, timeout=self.timeout)
        dialling.addErrback(failed)
        return result
