"""The mail load client: ``mailload.c``, compiled at first use.  It is also the IMAP backend
and the LMTP server behind the proxies that are measured, the same for all of them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.bench.machine import Server

SOURCE = Path(__file__).with_name("mailload.c")
USERS = 1000
DOMAIN = "bench.test"
PASSWORD = "secret"


@frozen
class Work:
    """``rate``: operations (for FETCH: megabytes) a second; ``cpu``: the servers'
    milliseconds of CPU for each; ``p50`` is in milliseconds."""

    rate: float
    cpu: float
    p50: float


class MailLoad:
    def __init__(self, work: Path) -> None:
        self._binary = work / "mailload"
        if not self._binary.exists() or self._binary.stat().st_mtime < SOURCE.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-o", str(self._binary), str(SOURCE)], check=True)

    def serve_imap(self, port: int, log: Path) -> Server:
        """A backend that lets everybody in."""
        return Server([str(self._binary), "serve", "-i", str(port)], port, log, cpu=None)

    def logins(self, port: int, pid: int, connections: int, seconds: float) -> Work:
        """Connect, greeting, LOGIN, LOGOUT, over and over."""
        found, cpu = self._run("imap-login", port, pid, connections, "-d", str(seconds), "-w", "1")
        return Work(found["ops_per_s"], cpu / max(found["ops"], 1) * 1e3, found["p50_ms"])

    def fetches(self, port: int, pid: int, connections: int, seconds: float) -> Work:
        """Messages of 1 MiB through sessions that stay."""
        found, cpu = self._run("imap-fetch", port, pid, connections, "-d", str(seconds), "-w", "1")
        return Work(found["MB_per_s"], cpu / max(found["ops"] * 1.048576, 1) * 1e3, found["p50_ms"])

    def messages(self, port: int, pid: int, sink: int, connections: int, count: int) -> Work:
        """From the first connection to the last message in the LMTP server, each just once."""
        options = ["-K", str(sink), "-n", str(count), "-s", "5120", "-P"]
        found, cpu = self._run("smtp", port, pid, connections, *options)
        if found["sink_unique"] != found["accepted"] or found["sink_dup"]:
            raise RuntimeError(f"messages were lost or came twice: {found}")
        return Work(found["e2e_per_s"], cpu / max(found["accepted"], 1) * 1e3, found["p50_ms"])

    def idle(self, port: int, pid: int, sessions: int) -> float:
        """Octets of the server's memory for each of so many sessions that wait."""
        before = memory(pid)
        command = [str(self._binary), "imap-idle", "-p", str(port), "-c", str(sessions), "-S", "4"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            ready = client.stdout.readline()
            if not ready.startswith(f"READY {sessions} "):
                raise RuntimeError(f"sessions: {ready or client.stdout.read()}")
            time.sleep(2)
            held = memory(pid) - before
            rest = client.stdout.read()
        if json.loads(rest.splitlines()[-1])["noop_ok"] != sessions:
            raise RuntimeError(f"sessions were lost: {rest}")
        return held / sessions

    def _run(
        self, mode: str, port: int, pid: int, connections: int, *options: str
    ) -> tuple[dict[str, Any], float]:
        command = [str(self._binary), mode, "-p", str(port), "-c", str(connections), *options]
        before = cpu(pid)
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        used = cpu(pid) - before
        if not result.stdout.strip():
            raise RuntimeError(f"mailload: {result.stderr.strip()}")
        found = json.loads(result.stdout.splitlines()[-1])
        if found["errors"]:
            raise RuntimeError(f"mailload {mode}: {found['errors']} errors, the last {found['lasterr']!r}")
        return found, used


def tree(root: int) -> list[int]:
    """A process and what descends from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        fields = _stat(int(name)) if name.isdigit() else None
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


def cpu(root: int) -> float:
    """Seconds of CPU of a process and its descendants, with those that have ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    rows = (_stat(pid) for pid in tree(root))
    return sum(sum(map(int, row[11:15])) for row in rows if row is not None) / ticks


def memory(root: int) -> int:
    """Octets in use by a process and its descendants, what they share counted once (PSS)."""
    total = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()
