"""``bin/bench``: the table of what was measured, and the machine it was measured on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench.directory import STEPS, Bench, Row, Settings, peer_version
from tests.bench.machine import describe

_WORK = Path(__file__).parents[2] / ".bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/bench", description="Measure the directory beside slapd.")
    parser.add_argument("--accounts", type=int, default=500_000, help="a multiple of 400 (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="length of each measured run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns (%(default)s)")
    parser.add_argument("--work", type=Path, default=_WORK, help="folder for data (%(default)s)")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)} (all)")
    given = parser.parse_args()
    if wrong := set(given.steps) - set(STEPS):
        parser.error(f"no step {', '.join(sorted(wrong))}")
    bench = Bench(Settings(given.work, given.accounts, given.seconds, given.rounds))
    print(f"{describe()}; slapd {peer_version()}\n")
    print("| work | cgnode | slapd | figure | at least | aim |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    missed = 0
    for row in bench.rows(given.steps or STEPS):
        missed += row.reached == "MISSED"
        print(_line(row), flush=True)
    return 1 if missed else 0


def _line(row: Row) -> str:
    bounds = f"{row.least:g} | {row.aim:g} {row.unit}"
    return f"| {row.work} | {row.ours} | {row.slapd} | {row.figure:.3g}: {row.reached} | {bounds} |"


if __name__ == "__main__":
    sys.exit(main())
