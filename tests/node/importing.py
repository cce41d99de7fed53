"""An import in a process of its own: ``python -m tests.node.importing FOLDER FILE WORKERS``.

It prints a line for each block that is taken in, "done" when the import has returned, and
then waits to be told or killed.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from ldapserver import transfer
from ldapserver.core import Settings
from ldapserver.local import LocalDirectory

# Small, so that a small file has many.
BLOCK = 8 * 1024
SETTINGS = Settings(sync=False, map_size=1 << 28, clock=count(1_700_000_000_000_000).__next__)


def main(folder: str, file: str, workers: str) -> None:
    transfer._BLOCK = BLOCK
    directory = LocalDirectory.open(Path(folder), SETTINGS)
    with open(file, "rb") as source:
        transfer.import_ldif(
            directory, source, file, lambda position: print(position, flush=True), int(workers)
        )
    directory.close()
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
