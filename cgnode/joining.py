"""Logging in at an account's host, so that a client's connection can be joined to it.

What lives here: the attempts, how long each step of them may take, and when another one is
worth it.  What must not: where they go (``destinations``), what the client is told, and the
pump behind it (``net.join``).

Used by frontends for every log-in, and by a backend for an account that is elsewhere.
"""

# mypy: disallow-untyped-calls=False
# Twisted's reactor is not annotated.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, assert_never, cast

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.python.failure import Failure

from cgnode.deadlines import Deadlines
from cgnode.destinations import Destinations, Preamble, Target, Unreached, Wanted, Why, preamble
from cgnode.net.connection import Connection
from cgnode.net.dial import dial, why
from cgnode.proto.imap import client as imap
from cgnode.proto.pop3 import client as pop3
from cgnode.proto.preamble import StartTLS, Trouble

RECONNECTS: Final = 3
PAUSE: Final = 1.0

_STAYED: Final = (Why.IN_USE, Why.PROTOCOL)
"""What a look at the directory would not help."""
_TROUBLES: Final = {
    Trouble.REFUSED: Why.REFUSED,
    Trouble.IN_USE: Why.IN_USE,
    Trouble.TEMPORARY: Why.TEMPORARY,
    Trouble.PROTOCOL: Why.PROTOCOL,
}


class Reached:
    """Logged in: ``connection`` is at where the mailbox begins, for ``net.join``.
    ``capabilities`` are IMAP's.  ``lost`` is called if the server closes before that."""

    __slots__ = ("_core", "capabilities", "connection", "host", "lost")

    def __init__(
        self, host: str, connection: Connection, capabilities: tuple[str, ...], core: Preamble
    ) -> None:
        self.host = host
        self.connection = connection
        self.capabilities = capabilities
        self.lost: Callable[[str], None] | None = None
        self._core = core

    def unread(self) -> bytes:
        """What the server has sent behind its last answer; once."""
        return self._core.unread()


Result: TypeAlias = Reached | Unreached


@frozen
class Limits:
    """In seconds: of each step, and of all of them with their repetitions."""

    step: float = 3.0
    total: float = 30.0


@define
class Counters:
    reached: int = 0
    reconnects: int = 0
    moved: int = 0
    failed: dict[Why, int] = field(factory=lambda: dict.fromkeys(Why, 0))


class Joining:
    """All of a node's ways to backends."""

    def __init__(self, reactor: Any, destinations: Destinations, limits: Limits = Limits()) -> None:
        self.reactor = reactor
        self.destinations = destinations
        self.health = destinations.health
        self.step = Deadlines(reactor, limits.step)
        self.total = Deadlines(reactor, limits.total)
        self.counters = Counters()

    def reach(self, wanted: Wanted, done: Callable[[Result], None]) -> Reaching:
        """``done`` is called once, maybe at once, and not after ``Reaching.cancel``."""
        reaching = Reaching(self, wanted, done)
        reaching.begin()
        return reaching


class Reaching:
    """One client's way to its host: attempts, one after the other."""

    __slots__ = ("_began", "_dialling", "_done", "_handler", "_host", "_joining", "_left", "_moved", "wanted")

    def __init__(self, joining: Joining, wanted: Wanted, done: Callable[[Result], None]) -> None:
        self.wanted = wanted
        self._joining = joining
        self._done: Callable[[Result], None] | None = done
        self._left = RECONNECTS
        self._moved = False
        self._host = ""
        self._dialling: Deferred[Connection] | None = None
        self._handler: _BackendLogin | None = None
        self._began = joining.reactor.seconds()

    def begin(self) -> None:
        self._joining.total.start(self._overdue)
        self._attempt(self.wanted.account.host)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._done = None
        self._stop()

    # --- an attempt -------------------------------------------------------------------

    def _attempt(self, host: str | None) -> None:
        joining = self._joining
        target = joining.destinations.target(self.wanted, host)
        if isinstance(target, Unreached):
            self.failed(target, again=False)
            return

        def make(connection: Connection) -> _BackendLogin:
            self._dialling = None
            self._handler = _BackendLogin(self, target, connection)
            return self._handler

        self._host = target.host
        joining.step.start(self._step_overdue)
        # The limit of this step is the one above.
        limit, session = cast(float, None), self.wanted.origin.session
        self._dialling = dial(joining.reactor, target.endpoint, make, timeout=limit, session=session)
        self._dialling.addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> None:
        if self._dialling is not None:
            self._dialling = None
            unreached = Unreached(Why.CONNECT_FAILED, self._host, f"{self._host}: {why(failure)}")
            self._joining.health.failed(self._host, unreached.reason)
            self.failed(unreached, again=failure.check(Refused) is not None)

    def progress(self) -> None:
        """A step is done."""
        self._joining.step.start(self._step_overdue)

    def _step_overdue(self) -> None:
        step = "connect" if self._handler is None else self._handler.step
        reason = f"{self._host}: no answer to {step} within {self._joining.step.seconds:g} s"
        self._hang_up()
        self._joining.health.failed(self._host, reason)
        self.failed(Unreached(Why.TIMED_OUT, self._host, reason), again=False)

    def reached(self, reached: Reached) -> None:
        self._handler = None
        self._joining.health.succeeded(reached.host)
        self._finish(reached)

    def failed(self, unreached: Unreached, *, again: bool) -> None:
        """``again``: the server may just be starting, so that a pause is worth it."""
        joining, self._handler = self._joining, None
        joining.step.stop(self._step_overdue)
        if self._done is None:
            return
        if unreached.why not in _STAYED and not self._moved:
            host = joining.destinations.host_of(self.wanted.account)
            if host is not None and host != unreached.host:
                joining.counters.moved += 1
                self._moved = True
                self._attempt(host)
                return
        left = self._began + joining.total.seconds - joining.reactor.seconds()
        if again and self._left and left > PAUSE and joining.health.is_up(unreached.host):
            self._left -= 1
            joining.counters.reconnects += 1
            joining.reactor.callLater(PAUSE, self._retry)
        else:
            self._finish(unreached)

    def _retry(self) -> None:
        if self._done is not None:
            self._attempt(self._joining.destinations.host_of(self.wanted.account))

    # --- the end ----------------------------------------------------------------------

    def _overdue(self) -> None:
        reason = f"{self._host}: not logged in within {self._joining.total.seconds:g} s"
        self._finish(Unreached(Why.TIMED_OUT, self._host, reason))

    def _finish(self, result: Result) -> None:
        done, self._done = self._done, None
        self._stop()
        counters = self._joining.counters
        if isinstance(result, Unreached):
            counters.failed[result.why] += 1
        else:
            counters.reached += 1
        if done is not None:
            done(result)

    def _stop(self) -> None:
        self._joining.total.stop(self._overdue)
        self._joining.step.stop(self._step_overdue)
        self._hang_up()

    def _hang_up(self) -> None:
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.give_up()


class _BackendLogin:
    """The handler on a connection to a server, until it is logged in.  It stands in for
    the core, too, so as to hear of each step."""

    __slots__ = ("_connection", "_core", "_reached", "_reaching", "_target")

    def __init__(self, reaching: Reaching, target: Target, connection: Connection) -> None:
        self._core = preamble(reaching.wanted, target)
        self._reaching: Reaching | None = reaching
        self._target = target
        self._connection = connection
        self._reached: Reached | None = None

    def begin(self) -> bytes:
        self._progress()
        return b""

    def _progress(self) -> None:
        if self._reaching is not None:
            self._reaching.progress()

    # --- the core, as the connection sees it ------------------------------------------

    @property
    def core(self) -> _BackendLogin:
        return self

    def receive(self, data: bytes) -> None:
        self._core.receive(data)

    def next_event(self) -> imap.Event | pop3.Event | None:
        event = self._core.next_event()
        if event is not None:
            self._progress()
        return event

    @property
    def backlog(self) -> bool:
        return self._core.backlog

    @property
    def step(self) -> str:
        value: str = self._core.step.value
        return value

    # --- events -----------------------------------------------------------------------

    def handle(self, event: imap.Event | pop3.Event) -> None:
        match event:
            case bytes():
                self._connection.answer(event)
            case StartTLS():
                self._connection.start_tls(self._target.tls)
            case imap.Ready(capabilities):
                self._ready(capabilities)
            case pop3.Ready():
                self._ready(())
            case imap.Failed() | pop3.Failed():
                self._connection.close()
                self._failed(event)
            case _:
                assert_never(event)

    def _ready(self, capabilities: tuple[str, ...]) -> None:
        reaching, self._reaching = self._reaching, None
        if reaching is not None:
            self._reached = Reached(self._target.host, self._connection, capabilities, self._core)
            reaching.reached(self._reached)

    def _failed(self, failed: imap.Failed | pop3.Failed) -> None:
        reaching, self._reaching = self._reaching, None
        if reaching is None:
            return
        host = self._target.host
        greeting = failed.step in (imap.Step.GREETING, pop3.Step.GREETING)
        code = f"[{failed.code}] " * bool(failed.code)
        reason = f"{host}: {failed.step.value}: {code}{failed.text}"
        kind = _TROUBLES[failed.trouble]
        if kind is Why.REFUSED and self._target.own:
            kind = Why.PASSWORD_REFUSED
        again = greeting and kind is Why.TEMPORARY
        reaching.failed(Unreached(kind, host, reason), again=again)

    def secured(self) -> None:
        self._progress()
        self._core.tls_started()

    def timed_out(self) -> None:
        """Steps have limits of their own."""

    def lost(self, reason: str) -> None:
        if self._reaching is not None:
            failed = self._core.connection_lost()
            self._failed(evolve(failed, text=f"{failed.text}: {reason}"))
        reached, self._reached = self._reached, None
        if reached is not None and reached.lost is not None:
            reached.lost(reason)

    def give_up(self) -> None:
        self._reaching = None
        self._connection.abort("nobody waits for it any more")
