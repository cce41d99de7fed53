"""Looking after a store: ``cgctl backup``, ``cgctl check`` and ``cgctl reindex``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from cgnode.admin.command import Command, add_json, count, progress_bar, say
from cgnode.admin.target import local_directory
from cgnode.folder import STORE


def _backup_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="a folder that is new or empty")
    add_json(parser)


def _backup(arguments: Namespace) -> int:
    with local_directory(arguments) as directory:
        # Laid out as a data folder, so that a node starts on it as it is.
        directory.backup(arguments.folder.absolute() / STORE)
    text = f"backed up to {arguments.folder}; cgnode --data {arguments.folder} serves it"
    say(arguments, text, {"folder": str(arguments.folder)})
    return 0


def _check(arguments: Namespace) -> int:
    with local_directory(arguments) as directory, progress_bar("check", None, "entries") as progress:
        faults = list(directory.check(progress))
    text = "\n".join(faults) or "the store is sound"
    say(arguments, text, {"sound": not faults, "faults": faults})
    return 1 if faults else 0


def _reindex(arguments: Namespace) -> int:
    with local_directory(arguments) as directory, progress_bar("reindex", None, "entries") as progress:
        number = directory.reindex(progress)
    say(arguments, f"{count(number, 'entry', 'entries')} indexed", {"indexed": number})
    return 0


COMMANDS = (
    Command("backup", "copy the store while the node runs", _backup_arguments, _backup),
    Command("check", "verify the store, every index and count", add_json, _check),
    Command("reindex", "make all indexes anew, as the configuration says", add_json, _reindex),
)
