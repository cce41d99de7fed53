"""What a command of cgctl is, and how it speaks: values and output, no work."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from attrs import frozen

from ldapserver.results import LDAPError


class AdminError(Exception):
    """Why a command could not be done: one line for the operator.  The exit status is 1."""


class UsageError(Exception):
    """What on the command line must be another way.  The exit status is 2."""


@frozen
class Command:
    """``run`` does it and returns the exit status; ``add_arguments`` declares what it takes."""

    name: str
    help: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def say(arguments: Namespace, text: str, facts: Mapping[str, object]) -> None:
    """The outcome on stdout: a line for people, or with --json an object for scripts."""
    print(json.dumps(facts) if arguments.json else text)


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the outcome as a JSON object")


def told(error: LDAPError) -> str:
    """``no such object: there is no account x (the nearest entry is cn=example.com)``"""
    words = error.code.name.lower().replace("_", " ")
    nearest = f" (the nearest entry is {error.matched_dn})" if error.matched_dn else ""
    return f"{words}: {error.message}{nearest}" if error.message else f"{words}{nearest}"


def count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


@contextmanager
def progress_bar(label: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """A function that takes how much is done by now; it draws only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, total=total, unit=unit, unit_scale=True, leave=False, dynamic_ncols=True) as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        yield show
