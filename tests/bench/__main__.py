"""``bin/bench``: the table of what was measured, and the machine it was measured on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import directory, mail
from tests.bench.directory import Bench, Settings
from tests.bench.machine import describe, version_of
from tests.bench.mail import MailBench
from tests.bench.row import Row

_WORK = Path(__file__).parents[2] / ".bench"
_GROUPS = {"directory": directory.STEPS, "cluster": mail.STEPS}
_PEERS = ("slapd", "postfix", "dovecot-core")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bin/bench",
        description="Measure the directory beside slapd, the cluster beside Postfix and Dovecot.",
    )
    parser.add_argument("--accounts", type=int, default=500_000, help="a multiple of 400 (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="length of each measured run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns (%(default)s)")
    parser.add_argument("--work", type=Path, default=_WORK, help="folder for data (%(default)s)")
    known = ", ".join(f"{group} ({', '.join(steps)})" for group, steps in _GROUPS.items())
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {known}; (directory)")
    given = parser.parse_args()
    steps = [step for word in given.steps or ["directory"] for step in _GROUPS.get(word, (word,))]
    if wrong := set(steps) - {step for group in _GROUPS.values() for step in group}:
        parser.error(f"no step {', '.join(sorted(wrong))}")
    print(f"{describe()}; {', '.join(f'{peer} {version_of(peer)}' for peer in _PEERS)}\n")
    print("| work | cgnode | peer | figure | at least | aim |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    missed = 0
    for row in _rows(given, steps):
        missed += row.reached == "MISSED"
        print(_line(row), flush=True)
    return 1 if missed else 0


def _rows(given: argparse.Namespace, steps: list[str]) -> Iterator[Row]:
    if of_directory := [step for step in steps if step in directory.STEPS]:
        yield from Bench(Settings(given.work, given.accounts, given.seconds, given.rounds)).rows(of_directory)
    if of_mail := [step for step in steps if step in mail.STEPS]:
        yield from MailBench(given.work, given.seconds, given.rounds).rows(of_mail)


def _line(row: Row) -> str:
    bounds = f"{row.least:g} | {row.aim:g} {row.unit}"
    return f"| {row.work} | {row.ours} | {row.peer} | {row.figure:.3g}: {row.reached} | {bounds} |"


if __name__ == "__main__":
    sys.exit(main())
