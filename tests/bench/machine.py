"""Running and timing processes, and what machine this is."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER_CPU = 0
CLIENT_CPU = 1


def describe() -> str:
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} CPUs, {memory:.0f} GiB; Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def pinned(cpu: int, command: Sequence[str]) -> list[str]:
    """Servers on one core and clients on another, where there are two."""
    return ["taskset", "-c", str(cpu), *command] if (os.cpu_count() or 1) > 1 else list(command)


def timed(command: Sequence[str], **options: object) -> float:
    """Seconds that a command takes; raises when it fails."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    return time.perf_counter() - start


def best(runs: int, measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(runs))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def anonymous_memory(pid: int) -> int:
    """Octets of a process's own memory: without what it has mapped from files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no RssAnon of {pid}")


class Server:
    """A server process on a loopback port; ``stop`` ends it."""

    def __init__(self, command: Sequence[str], port: int, log: Path, *, cpu: int | None = SERVER_CPU) -> None:
        self.port = port
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command if cpu is None else pinned(cpu, command), stdout=out, stderr=out
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, answers: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"{self._process.args!r} does not answer")
            time.sleep(0.002)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()


def version_of(package: str) -> str:
    """Of a Debian package."""
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return found.stdout or "of unknown version"
