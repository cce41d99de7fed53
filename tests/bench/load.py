"""The load client: ``ldapload.c``, compiled at first use."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from attrs import frozen

from tests.bench.data import BASE
from tests.bench.machine import CLIENT_CPU, pinned

_SOURCE = Path(__file__).with_name("ldapload.c")


@frozen
class Load:
    """``rate`` is operations a second, ``cpu`` the server's microseconds of CPU for each."""

    rate: float
    cpu: float
    p50: float
    p99: float
    errors: int


class Client:
    def __init__(self, work: Path, data: Path) -> None:
        self._binary = work / "ldapload"
        self._data = data
        if not self._binary.exists() or self._binary.stat().st_mtime < _SOURCE.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-o", str(self._binary), str(_SOURCE)], check=True)

    def search(self, port: int, pid: int, connections: int, depth: int, seconds: float) -> Load:
        rows = ["-m", "search", "-k", str(self._data / "accounts.tsv"), "-a", "hostServer"]
        return self._run(port, pid, [*rows, "-c", str(connections), "-p", str(depth), "-t", str(seconds)])

    def modify(self, port: int, pid: int, bind: tuple[str, str], connections: int, seconds: float) -> Load:
        rows = ["-m", "modify", "-k", str(self._data / "accounts.tsv"), "-D", bind[0], "-w", bind[1]]
        changes = ["-M", "replace:description:x%n", "-S", str(port)]
        return self._run(port, pid, [*rows, *changes, "-c", str(connections), "-t", str(seconds)])

    def one_is_answered(self, port: int) -> bool:
        rows = ["-m", "search", "-k", str(self._data / "one.tsv"), "-1"]
        command = [str(self._binary), "-j", "-P", str(port), "-b", BASE, *rows]
        # The client waits for the server to listen, by trying every millisecond.
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _run(self, port: int, pid: int, options: list[str]) -> Load:
        command = [str(self._binary), "-j", "-P", str(port), "-b", BASE, "-q", str(pid), *options]
        result = subprocess.run(pinned(CLIENT_CPU, command), capture_output=True, text=True, check=False)
        if not result.stdout.strip():
            raise RuntimeError(f"ldapload: {result.stderr.strip()}")
        found = json.loads(result.stdout)
        if found["errors"]:
            raise RuntimeError(f"{found['errors']} wrong answers, result codes {found['codes']}")
        return Load(
            found["ops_s"], found["server_cpu_us_op"], found["p50_us"], found["p99_us"], found["errors"]
        )
