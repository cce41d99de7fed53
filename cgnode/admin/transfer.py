"""LDIF in and out: ``cgctl import`` and ``cgctl export``."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cgnode.admin.command import AdminError, Command, add_json, count, progress_bar, say
from cgnode.admin.target import local_directory


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.ldif", help="entries or change records; - is stdin")
    add_json(parser)


def _import(arguments: Namespace) -> int:
    from ldapserver.transfer import import_ldif

    with (
        _source(arguments.file) as (source, name, size),
        local_directory(arguments, create=True) as directory,
    ):
        with progress_bar("import", size, "B") as progress:
            # Nothing else runs in this process, so the reading may be given to others.
            report = import_ldif(directory, source, name, progress, workers=os.cpu_count() or 1)
    added, changed = count(report.added, "entry", "entries"), count(report.changed, "change", "changes")
    say(arguments, f"{added} added, {changed} made", {"added": report.added, "changed": report.changed})
    return 0


@contextmanager
def _source(file: str) -> Iterator[tuple[BinaryIO, str, int | None]]:
    """The open file, its name in errors, and its size where that is known."""
    if file == "-":
        yield sys.stdin.buffer, "stdin", None
        return
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise AdminError(f"cannot read {file}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as source:
        yield source, file, os.fstat(descriptor).st_size or None


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--base", metavar="DN", default="", help="only this entry and all below it")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="where to (stdout)")
    add_json(parser)


def _export(arguments: Namespace) -> int:
    from ldapserver.transfer import export_ldif

    with local_directory(arguments) as directory:
        with _sink(arguments.file) as out, progress_bar("export", None, "entries") as progress:
            number = export_ldif(directory, out, arguments.base, progress)
    if arguments.file != "-":
        text = f"{count(number, 'entry', 'entries')} exported to {arguments.file}"
        say(arguments, text, {"exported": number, "file": arguments.file})
    return 0


@contextmanager
def _sink(file: str) -> Iterator[BinaryIO]:
    """stdout, or a file that gets its name when it is whole; passwords' hashes are in it,
    so it is its owner's only."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(f"{file}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise AdminError(f"cannot write {part}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(descriptor)
        part.rename(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


COMMANDS = (
    Command("import", "take in an LDIF file, all of it or nothing", _import_arguments, _import),
    Command("export", "write entries as LDIF", _export_arguments, _export),
)
