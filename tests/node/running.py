"""Nodes as processes of their own, as an operator starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import ldap3
import pytest
from attrs import frozen

from cgnode.admin.main import main

COMMAND = (sys.executable, "-P", "-m", "cgnode.main", "--role=directory")
CGCTL = (sys.executable, "-P", "-m", "cgnode.admin.main")


@frozen(eq=False)
class RunningNode:
    """``url`` is where it said that it listens; ``greeting`` all that it said."""

    process: subprocess.Popen[str]
    folder: Path
    greeting: tuple[str, ...]

    @property
    def url(self) -> str:
        return self.greeting[1].split()[1]

    @property
    def secret(self) -> str:
        return (self.folder / "admin.secret").read_text()

    @contextmanager
    def connection(self, dn: str = "cn=admin", password: str | None = None) -> Iterator[ldap3.Connection]:
        """Bound, as the administrator unless told otherwise."""
        secret = self.secret if password is None else password
        connection = ldap3.Connection(ldap3.Server(self.url), dn, secret, auto_bind=True)
        try:
            yield connection
        finally:
            connection.unbind()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def running_node(folder: Path, *options: str, **environ: str) -> Iterator[RunningNode]:
    """A node on a free port; killed at the end if it still runs."""
    command = [*COMMAND, "--data", str(folder), *(options or ("--ldap=127.0.0.1:0",))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
    )
    assert process.stdout
    assert process.stderr
    try:
        lines = tuple(process.stdout.readline().rstrip("\n") for _ in range(4))
        assert lines[3], process.stderr.read()
        yield RunningNode(process, folder, lines)
    finally:
        process.kill()
        process.communicate()


def failed_start(*options: str, cwd: Path, **environ: str) -> tuple[int, str]:
    """The exit status and what is said of a start that is not to be."""
    done = subprocess.run(
        [*COMMAND, *options],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=cwd,
        env={**os.environ, **environ},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def cgctl(*arguments: str | Path, status: int = 0, stdin: str = "") -> str:
    """What cgctl prints; on stderr where it fails.  Runs in this process, so not with --uri."""
    out, err = TextIOWrapper(BytesIO()), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin.encode())))
        found = main([str(argument) for argument in arguments])
        out.flush()
    assert found == status, err.getvalue()
    out.seek(0)
    return err.getvalue() if status else out.read()


def cgctl_process(*arguments: str | Path, status: int = 0) -> str:
    """The same in a process of its own, as cgctl with --uri needs."""
    done = subprocess.run([*CGCTL, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stderr if status else done.stdout
