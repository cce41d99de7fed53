"""The directory beside slapd: each row of the table is measured on both in the same run."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attrs import frozen

from ldapserver.extended import decode_bulk_report, encode_bulk_request
from ldapserver.messages import (
    BindRequest,
    BulkModify,
    BulkRequest,
    Change,
    Message,
    ModifyOp,
    Rehost,
    Result,
    SaslCredentials,
    Selection,
)
from ldapserver.results import ResultCode
from ldapserver.wire.client import decode_response, encode_message
from ldapserver.wire.framing import Framer
from tests.bench.data import make
from tests.bench.load import Client, Load
from tests.bench.machine import Server, anonymous_memory
from tests.bench.row import Row
from tests.bench.servers import Ours, Slapd, Subject, modify

STEPS = ("import", "lookup", "modify", "start", "memory", "rehost", "bulk")


@frozen
class Settings:
    work: Path
    accounts: int
    seconds: float
    rounds: int


class Bench:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.work / f"data-{settings.accounts}"
        make(self._data, settings.accounts)
        self._client = Client(settings.work, self._data)
        self._ours = Ours(settings.work / "cgnode")
        self._slapd = Slapd(settings.work / "slapd")

    def rows(self, steps: Sequence[str] = STEPS) -> Iterator[Row]:
        """In the order in which they are measured; all but ``import`` want it done before,
        in this run or an earlier one."""
        for step in steps:
            match step:
                case "import":
                    yield self._load()
                case "lookup":
                    yield from self._lookups()
                case "modify":
                    yield self._modifies()
                case "start":
                    yield self._start()
                case "memory":
                    yield self._memory()
                case "rehost":
                    yield from self._rehosts()
                case "bulk":
                    yield self._bulk()
                case _:
                    raise ValueError(f"no step {step!r}")

    # --- work --------------------------------------------------------------------

    def _load(self) -> Row:
        ldif = self._data / "load.ldif"
        theirs = min(self._slapd.load(ldif) for _ in range(2))
        ours = self._ours.load(ldif)
        count = self._settings.accounts
        return _times(f"import of {count:,} accounts from LDIF (slapadd -q)", ours, theirs, 0.5, 1)

    def _lookups(self) -> Iterator[Row]:
        yield self._rate(
            "look-up by mail, 64 connections",
            lambda server, _: self._client.search(server.port, server.pid, 64, 1, self._settings.seconds),
            0.6,
            1,
        )
        yield self._rate(
            "look-up by mail, 8 connections x 16 in flight",
            lambda server, _: self._client.search(server.port, server.pid, 8, 16, self._settings.seconds),
            1,
            2,
        )

    def _modifies(self) -> Row:
        def measure(server: Server, subject: Subject) -> Load:
            bind = (subject.administrator, subject.password)
            return self._client.modify(server.port, server.pid, bind, 16, self._settings.seconds)

        return self._rate("modify, durable, 16 connections", measure, 3, 8)

    def _start(self) -> Row:
        def measure(subject: Subject) -> float:
            start = time.perf_counter()
            server = subject.start(cpu=None)
            try:
                server.wait_until(lambda: self._client.one_is_answered(server.port))
                return time.perf_counter() - start
            finally:
                server.stop()

        ours = median(measure(self._ours) for _ in range(3))
        theirs = median(measure(self._slapd) for _ in range(3))
        return Row("start to answering", _seconds(ours), _seconds(theirs), ours, 1.5, 0.5, "s", at_most=True)

    def _memory(self) -> Row:
        """After every account was looked at once."""
        found = []
        for subject in (self._ours, self._slapd):
            with self._running(subject) as server:
                self._client.search(server.port, server.pid, 8, 16, self._settings.seconds)
                found.append(anonymous_memory(server.pid) / 1e6)
        ours, theirs = found
        text = "memory of its own, every account looked up"
        return Row(text, f"{ours:.0f} MB", f"{theirs:.0f} MB", ours, 120, 60, "MB", at_most=True)

    def _rehosts(self) -> Iterator[Row]:
        count = self._settings.accounts // 8
        with self._running(self._slapd) as server:
            theirs = modify(self._slapd, server.port, self._data / "moves-be3.ldif")
        with self._running(self._ours):
            ours = self._ask(Rehost("be3", "be5"), count)
            everything = self._rehost_all()
        name = f"rehost of {count:,} accounts, over the wire (ldapmodify)"
        yield _times(name, ours, theirs, 1000, 1000)
        estimate = theirs * 8
        name = f"rehost of all {count * 8:,}, over the wire (ldapmodify: 8 times the above)"
        yield _times(name, everything, estimate, 1000, 1000)

    def _rehost_all(self) -> float:
        """Everything on one host first; then that host's move is timed."""
        count = self._settings.accounts
        for host in ("be1", "be2", "be4", "be5", "be6", "be7"):
            self._ask(Rehost(host, "be8"))
        return self._ask(Rehost("be8", "be9"), count)

    def _bulk(self) -> Row:
        theirs = self._slapd.modify_offline(self._data / "modify-all.ldif")
        change = Change(ModifyOp.REPLACE, "description", (b"moved",))
        with self._running(self._ours):
            selection = Selection("o=example", None)
            ours = self._ask(BulkModify(selection, (change,)), self._settings.accounts + 51)
        count = self._settings.accounts
        return _times(f"modify all {count:,} in one transaction (slapmodify, offline)", ours, theirs, 1, 2)

    # --- means -------------------------------------------------------------------

    @contextmanager
    def _running(self, subject: Subject) -> Iterator[Server]:
        server = subject.start()
        try:
            server.wait_until(lambda: self._client.one_is_answered(server.port))
            yield server
        finally:
            server.stop()

    def _rate(self, work: str, measure: Callable[[Server, Subject], Load], least: float, aim: float) -> Row:
        """Both in turns, so that what else the machine does falls on both."""
        found: dict[str, list[Load]] = {self._ours.name: [], self._slapd.name: []}
        with self._running(self._ours) as ours, self._running(self._slapd) as slapd:
            for _ in range(self._settings.rounds):
                for subject, server in ((self._ours, ours), (self._slapd, slapd)):
                    found[subject.name].append(measure(server, subject))
        ours_found, slapd_found = found[self._ours.name], found[self._slapd.name]
        ratio = median(load.rate for load in ours_found) / median(load.rate for load in slapd_found)
        return Row(work, _rate_text(ours_found), _rate_text(slapd_found), ratio, least, aim)

    def _ask(self, request: BulkRequest, expected: int | None = None) -> float:
        """Seconds from sending a bulk operation to its answer, over the Unix socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._ours.data / "ldapi"))
            _exchange(connection, Message(1, BindRequest(3, "", SaslCredentials("EXTERNAL", None)), ()))
            start = time.perf_counter()
            result = _exchange(connection, Message(2, encode_bulk_request(request), ()))
            elapsed = time.perf_counter() - start
        report = decode_bulk_report(result.value)
        if expected is not None and report.changed != expected:
            raise RuntimeError(f"{request} changed {report.changed} entries, not {expected}")
        return elapsed


def _exchange(connection: socket.socket, message: Message) -> Result:
    connection.sendall(encode_message(message))
    framer = Framer(1 << 20)
    while not (frames := framer.feed(connection.recv(65536))):
        pass
    answer = decode_response(frames[0]).answer
    if not isinstance(answer, Result) or answer.code is not ResultCode.SUCCESS:
        raise RuntimeError(f"{message}: {answer}")
    return answer


def _times(work: str, ours: float, theirs: float, least: float, aim: float) -> Row:
    return Row(work, _seconds(ours), _seconds(theirs), theirs / ours, least, aim)


def _seconds(value: float) -> str:
    return f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.1f} s"


def _rate_text(loads: list[Load]) -> str:
    rate, cpu = median(load.rate for load in loads), median(load.cpu for load in loads)
    return f"{rate:,.0f}/s ({cpu:.0f} us CPU)"
