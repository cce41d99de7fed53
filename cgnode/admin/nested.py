"""Commands of two words (``cgctl account add``), and what those on a site's records share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cgnode.admin.command import Command, UsageError, add_json
from cgnode.admin.target import add_options, local_directory
from cgnode.lookup import Site
from ldapserver.dn import parse_dn
from ldapserver.results import LDAPError


def nested(name: str, help: str, commands: Sequence[Command]) -> Command:
    """One command made of several, chosen by the next word."""

    def add_arguments(parser: ArgumentParser) -> None:
        words = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for command in commands:
            own = words.add_parser(command.name, help=command.help, description=f"{command.help}.")
            command.add_arguments(own)
            add_options(own, shown=False)
            own.set_defaults(nested=command)

    def run(arguments: Namespace) -> int:
        chosen: Command = arguments.nested
        return chosen.run(arguments)

    return Command(name, help, add_arguments, run)


def arguments_for(
    *positional: tuple[str, str], more: Callable[[ArgumentParser], None] | None = None
) -> Callable[[ArgumentParser], None]:
    """Declares (NAME, help) pairs, what ``more`` declares, and what all commands take."""

    def declare(parser: ArgumentParser) -> None:
        for name, text in positional:
            parser.add_argument(name.lower(), metavar=name, help=text)
        if more is not None:
            more(parser)
        parser.add_argument(
            "--base", metavar="DN", default="", help="the entry that the domains are below (none)"
        )
        add_json(parser)

    return declare


@contextmanager
def open_site(arguments: Namespace, *, create: bool = False) -> Iterator[Site]:
    """The records in the data folder."""
    try:
        parse_dn(arguments.base)
    except LDAPError as error:
        raise UsageError(f"--base: {error.message}") from None
    with local_directory(arguments, create=create) as directory:
        yield Site(directory.core, arguments.base)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; the first row is the heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def followed(aliases: int, references: int) -> str:
    """``; 2 aliases and 1 group or forwarder follow``"""
    parts = []
    if aliases:
        parts.append("1 alias" if aliases == 1 else f"{aliases:,} aliases")
    if references:
        parts.append("1 group or forwarder" if references == 1 else f"{references:,} groups and forwarders")
    return f", and {' and '.join(parts)} with it" if parts else ""
