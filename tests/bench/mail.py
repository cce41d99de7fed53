"""The frontend beside Postfix and Dovecot: each row is measured on both in the same run, in
turns.  Client, server and what is behind it share the machine's cores, so the CPU per
operation says as much as the rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.machine import free_port, listens
from tests.bench.mailload import MailLoad, Work
from tests.bench.mailservers import Dovecot, Ours, Postfix, Running
from tests.bench.row import Row

STEPS = ("deliver", "login", "idle", "joined")
SESSIONS = 2000
KIB = 1024


class MailBench:
    def __init__(self, work: Path, seconds: float, rounds: int) -> None:
        work = work.resolve() / "mail"
        work.mkdir(parents=True, exist_ok=True)
        self._work, self._seconds, self._rounds = work, seconds, rounds
        self._load = MailLoad(work)

    def rows(self, steps: Sequence[str] = STEPS) -> Iterator[Row]:
        for step in steps:
            match step:
                case "deliver":
                    yield from self._deliveries()
                case "login" | "joined":
                    yield from self._proxied(step)
                case "idle":
                    yield self._idle()
                case _:
                    raise ValueError(f"no step {step!r}")

    def _deliveries(self) -> Iterator[Row]:
        with ExitStack() as stack:
            _, ours = stack.enter_context(Ours(self._work / "cgnode").running(free_port()))
            postfix = stack.enter_context(Postfix(self._work / "postfix").running())
            for sessions, count in ((1, 500), (10, 3000), (50, 4000)):

                def send(server: Running, sessions: int = sessions, count: int = count) -> Work:
                    return self._load.messages(server.port, server.pid, server.sink, sessions, count)

                work = f"SMTP to LMTP, durable, 5 KiB, {sessions} {_word(sessions, 'session')} (Postfix)"
                yield self._beside(work, ours, postfix, send, 1, 2, "/s")

    def _proxied(self, step: str) -> Iterator[Row]:
        with ExitStack() as stack:
            ours, dovecot = self._proxies(stack)
            if step == "login":
                for connections in (1, 16, 64):

                    def log_in(server: Running, connections: int = connections) -> Work:
                        return self._load.logins(server.port, server.pid, connections, self._seconds)

                    work = f"proxied IMAP logins, {connections} {_word(connections, 'connection')} (Dovecot)"
                    yield self._beside(work, ours, dovecot, log_in, 0.4, 1, "/s")
                return
            for connections in (1, 8):

                def fetch(server: Running, connections: int = connections) -> Work:
                    return self._load.fetches(server.port, server.pid, connections, self._seconds)

                work = (
                    f"FETCH through joined sessions, {connections} {_word(connections, 'session')} (Dovecot)"
                )
                yield self._beside(work, ours, dovecot, fetch, 0.5, 1, " MB/s")

    def _idle(self) -> Row:
        """Once per start: a second run would be given the memory of the first."""
        with ExitStack() as stack:
            ours, dovecot = self._proxies(stack)
            found = [self._load.idle(server.port, server.pid, SESSIONS) / KIB for server in (ours, dovecot)]
        text = f"memory of an idle proxied session, of {SESSIONS:,} (Dovecot)"
        return Row(text, f"{found[0]:.1f} KiB", f"{found[1]:.1f} KiB", found[0], 60, 25, "KiB", at_most=True)

    def _proxies(self, stack: ExitStack) -> tuple[Running, Running]:
        port = free_port()
        backend = self._load.serve_imap(port, self._work / "backend.log")
        stack.callback(backend.stop)
        backend.wait_until(lambda: listens(port))
        ours, _ = stack.enter_context(Ours(self._work / "cgnode").running(port))
        return ours, stack.enter_context(Dovecot(self._work / "dovecot").running(port))

    def _beside(
        self,
        work: str,
        ours: Running,
        peer: Running,
        measure: Callable[[Running], Work],
        least: float,
        aim: float,
        unit: str,
    ) -> Row:
        found: tuple[list[Work], list[Work]] = ([], [])
        for _ in range(self._rounds):
            for server, works in ((ours, found[0]), (peer, found[1])):
                works.append(measure(server))
        rates = [median(each.rate for each in works) for works in found]
        texts = [
            f"{rate:,.0f}{unit} ({median(each.cpu for each in works):.2f} ms CPU)"
            for rate, works in zip(rates, found, strict=True)
        ]
        return Row(work, texts[0], texts[1], rates[0] / rates[1], least, aim)


def _word(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"
