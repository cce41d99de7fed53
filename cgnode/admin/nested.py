"""Commands of two words (``cgctl account add``), and what those on a site's records share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cgnode.admin.command import Command, UsageError, add_json
from cgnode.admin.target import add_options, config_of, local_directory, server_of
from cgnode.lookup import Site
from ldapserver.dn import parse_dn
from ldapserver.results import LDAPError

if TYPE_CHECKING:
    from ldapserver.local import LocalDirectory


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
        base_argument(parser)
        add_json(parser)

    return declare


def base_argument(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--base", metavar="DN", help="the entry that the domains are below (as the configuration says)"
    )


@contextmanager
def open_site(arguments: Namespace, *, create: bool = False) -> Iterator[Site]:
    """The records in the data folder."""
    site_base(arguments)
    with local_directory(arguments, create=create) as directory:
        yield site_of(arguments, directory)


def site_of(arguments: Namespace, directory: LocalDirectory, *, given: bool = True) -> Site:
    """The site in the directory of the data folder, as its node's configuration says."""
    overrides = config_of(arguments).cluster.overrides
    return Site(directory.core, site_base(arguments, given=given), overrides)


def site_base(arguments: Namespace, *, given: bool = True) -> str:
    """What --base names where it is ``given`` for that, or else the node's configuration; of a
    directory by its URL nothing is known."""
    key, base = "--base", vars(arguments).get("base") if given else None
    if base is None and server_of(arguments) is None:
        key, base = "cluster.base", config_of(arguments).cluster.base
    try:
        parse_dn(base or "")
    except LDAPError as error:
        raise UsageError(f"{key}: {error.message}") from None
    return base or ""


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
