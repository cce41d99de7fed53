"""``bin/demo``: the scenario, told as it happens."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.demo.cluster import Failed
from tests.demo.scenario import Scenario, Size


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bin/demo", description="A cluster on this machine, a backend that dies, and no message lost."
    )
    parser.add_argument("--accounts", type=int, default=Size().accounts, help="(%(default)s)")
    parser.add_argument("--rate", type=float, default=Size().rate, help="messages a second (%(default)s)")
    parser.add_argument(
        "--phase", type=float, default=Size().phase, help="seconds in each state (%(default)s)"
    )
    parser.add_argument(
        "--drain",
        type=float,
        default=Size().drain,
        help="seconds for what waited, after the failover (%(default)s)",
    )
    parser.add_argument("--work", type=Path, help="an empty folder for the nodes, which is kept")
    given = parser.parse_args()
    size = Size(accounts=given.accounts, rate=given.rate, phase=given.phase, drain=given.drain)
    try:
        if given.work is None:
            with tempfile.TemporaryDirectory(prefix="cgnode-demo-") as folder:
                _show(Path(folder), size)
        else:
            given.work.mkdir(parents=True)
            _show(given.work.absolute(), size)
    except Failed as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0


def _show(folder: Path, size: Size) -> None:
    outcome = Scenario(folder, size).run()
    print(
        f"\n{outcome.accepted:,} messages and {outcome.logins:,} log-ins; "
        f"down seen after {outcome.noticed:.1f} s, failover in {outcome.failover:.2f} s, "
        f"what waited delivered {outcome.drained:.2f} s after it; none lost"
    )


if __name__ == "__main__":
    sys.exit(main())
