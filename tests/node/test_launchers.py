"""The launchers in bin/, run in a copy of the checkout with a stand-in for Python that
notes what is asked of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Says yes to ``-c``, makes a venv of copies of itself, notes what pip is to install and
# fails there if it is told to, and shows what the launcher has it run.
STAND_IN = """\
#!/bin/sh
case "$1 $2" in
"-c "*) exec {python} "$@" ;;
"-m venv")
    echo venv >> {log}
    mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && cp "$0" "$4/bin/pip" ;;
"-m pip")
    [ "$3" != install ] || {{ echo "$@" >> {log}; sleep 0.1; [ ! -e {broken} ]; }} ;;
"--version "*) ;;
*) echo "$@" ;;
esac
"""


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "check out"
        self.log = folder / "log"
        self.broken = folder / "broken"
        self.python = folder / "python"
        (self.root / "bin").mkdir(parents=True)
        for path in (ROOT / "bin").iterdir():
            shutil.copy(path, self.root / "bin")
        shutil.copy(ROOT / "setup.cfg", self.root)
        self.python.write_text(STAND_IN.format(python=sys.executable, log=self.log, broken=self.broken))
        self.python.chmod(0o755)

    def begin(self, *command: str | Path, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHON": str(self.python), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str | Path, **environ: str) -> tuple[int, str, str]:
        process = self.begin(*command, **environ)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def done(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def cgnode(self) -> Path:
        return self.root / "bin" / "cgnode"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_start_sets_up_and_the_next_does_not(checkout: Checkout) -> None:
    status, out, err = checkout.run(checkout.cgnode, "--role=x", "a b")
    assert (status, out) == (0, "-P -m cgnode.main --role=x a b\n")
    assert err == f"cgnode: setting up {checkout.root}/.venv, once\n"
    done = checkout.done()
    assert done[0] == "venv"
    assert len(done) == 3
    assert "[test]" not in done[2]
    assert checkout.run(checkout.cgnode) == (0, "-P -m cgnode.main\n", "")
    assert checkout.done() == done


def test_through_a_symbolic_link(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout.cgnode)
    assert checkout.run(tmp_path / "link")[:2] == (0, "-P -m cgnode.main\n")
    assert (checkout.root / ".venv").is_dir()


def test_two_first_starts_set_up_once(checkout: Checkout) -> None:
    starts = [checkout.begin(checkout.cgnode) for _ in range(3)]
    for start in starts:
        assert start.communicate(timeout=60)[0] == "-P -m cgnode.main\n"
        assert start.returncode == 0
    assert len(checkout.done()) == 3


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    checkout.run(checkout.cgnode)
    with (checkout.root / "setup.cfg").open("a") as file:
        file.write("# changed\n")
    assert checkout.run(checkout.cgnode)[0] == 0
    # The venv stays, and two calls of pip are added.
    assert [line.split()[0] for line in checkout.done()] == ["venv", *["-m"] * 4]


def test_the_tools_for_tests_hold_all_that_the_node_needs(checkout: Checkout) -> None:
    status, out, _ = checkout.run(checkout.root / "bin" / "test", "tests/x")
    assert (status, out) == (0, "-m pytest tests/x\n")
    done = checkout.done()
    assert done[2].endswith("check out[test]")
    checkout.run(checkout.cgnode)
    assert checkout.done() == done


def test_a_failed_set_up_is_said_and_tried_again(checkout: Checkout) -> None:
    checkout.broken.touch()
    status, out, err = checkout.run(checkout.cgnode)
    assert (status, out) == (1, "")
    assert "cgnode: 'pip install' failed, its reason is above; the next start tries again" in err
    checkout.broken.unlink()
    assert checkout.run(checkout.cgnode)[:2] == (0, "-P -m cgnode.main\n")


def test_no_python(checkout: Checkout) -> None:
    status, out, err = checkout.run(checkout.cgnode, PYTHON="/bin/false")
    assert (status, out) == (1, "")
    assert err == ("cgnode: needs Python 3.11 or newer and found none (PYTHON=/path/to/python3 names one)\n")
    assert not (checkout.root / ".venv").exists()
