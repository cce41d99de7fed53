"""Which mailboxes LIST and LSUB tell of, and what of them (RFC 3501 sections 6.3.8 and
6.3.9, RFC 5258, RFC 6154).

What lives here: a function of the command and of all mailboxes of the account.  What must
not: where the mailboxes are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from attrs import frozen

from cgnode.proto.imap.commands import List, Lsub, Return, Selection
from cgnode.proto.imap.names import INBOX
from cgnode.proto.imap.responses import Listed

LONGEST_PATTERN: Final = 1024

Matcher = Callable[[str], bool]


@frozen
class Folder:
    r"""A mailbox that there is.  ``uses`` are its special uses: \Sent, \Trash ...
    ``selectable``: it can be opened, and is not there for its children only."""

    name: str
    uses: tuple[str, ...] = ()
    selectable: bool = True


def choose(
    command: List, folders: Iterable[Folder], subscribed: Collection[str], delimiter: str
) -> list[Listed]:
    """The rows that answer LIST, without their status."""
    there = {folder.name: folder for folder in folders}
    names = set(there) | set(subscribed)
    parents = {parent for name in names for parent in _parents(name, delimiter)}
    with_children = {parent for name in there for parent in _parents(name, delimiter)}
    matches = _any_of(command.reference, command.patterns, delimiter)
    levels = _any_of(command.reference, [p for p in command.patterns if p.endswith("%")], delimiter)
    only_subscribed = Selection.SUBSCRIBED in command.selection
    recursive = Selection.RECURSIVE_MATCH in command.selection
    uses_only = Selection.SPECIAL_USE in command.selection
    tells_subscribed = only_subscribed or Return.SUBSCRIBED in command.returns
    below: set[str] = set()
    if recursive:
        # RFC 5258 section 3.5: descendants that are not listed themselves.
        hidden = (name for name in subscribed if not matches(name))
        below = {parent for name in hidden for parent in _parents(name, delimiter)}

    def row(name: str, child_info: bool) -> Listed:
        folder = there.get(name)
        attributes: list[str] = []
        if folder is None:
            attributes.append("\\NonExistent" if command.extended else "\\Noselect")
        elif not folder.selectable:
            attributes.append("\\Noselect")
        attributes.append("\\HasChildren" if name in with_children else "\\HasNoChildren")
        attributes += () if folder is None else folder.uses
        if tells_subscribed and name in subscribed:
            attributes.append("\\Subscribed")
        return Listed(name, tuple(attributes), child_info)

    rows: list[Listed] = []
    for name in sorted(names | parents, key=_place):
        if not matches(name):
            continue
        folder = there.get(name)
        if only_subscribed:
            chosen = name in subscribed
        else:
            chosen = folder is not None or (name in with_children and levels(name))
        if uses_only:
            chosen = chosen and folder is not None and bool(folder.uses)
        if chosen or name in below:
            rows.append(row(name, name in below))
    return rows


def choose_subscribed(command: Lsub, subscribed: Collection[str], delimiter: str) -> list[Listed]:
    r"""The rows that answer LSUB.  A level that ``%`` matches, and that has subscribed
    names below it only, is \Noselect."""
    matches = _any_of(command.reference, command.patterns, delimiter)
    levels: set[str] = set()
    if any(pattern.endswith("%") for pattern in command.patterns):
        levels = {parent for name in subscribed for parent in _parents(name, delimiter)}
    rows: list[Listed] = []
    for name in sorted(levels.union(subscribed), key=_place):
        if matches(name):
            rows.append(Listed(name, () if name in subscribed else ("\\Noselect",)))
    return rows


def _place(name: str) -> tuple[bool, str]:
    return name != INBOX, name


def _parents(name: str, delimiter: str) -> Iterator[str]:
    at = name.find(delimiter)
    while at > 0:
        yield name[:at]
        at = name.find(delimiter, at + 1)


def _any_of(reference: str, patterns: Iterable[str], delimiter: str) -> Matcher:
    # RFC 5258 section 3: an empty pattern matches nothing, and what we don't accept is
    # silently ignored.
    whole = [reference + pattern for pattern in patterns if pattern]
    matchers = [_matcher(pattern, delimiter) for pattern in whole if len(pattern) <= LONGEST_PATTERN]
    return lambda name: any(matches(name) for matches in matchers)


def _matcher(pattern: str, delimiter: str) -> Matcher:
    exact = _Glob(pattern, delimiter)
    folded = _Glob(pattern.upper(), delimiter)

    # INBOX is INBOX in any case.
    return lambda name: exact.matches(name) or (name == INBOX and folded.matches(name))


class _Glob:
    """``*`` matches anything, ``%`` anything but the delimiter.

    All ways to match are followed at once, as bits of a number: bit n says that the first
    n symbols of the pattern have matched.  So no pattern takes long.
    """

    def __init__(self, pattern: str, delimiter: str) -> None:
        symbols: list[str] = []
        for symbol in pattern:
            if symbol in "*%" and symbols and symbols[-1] in "*%":
                symbols[-1] = "*" if "*" in (symbol, symbols[-1]) else "%"
            else:
                symbols.append(symbol)
        self._any = self._level = 0
        self._literal: dict[str, int] = {}
        for place, symbol in enumerate(symbols):
            bit = 1 << place
            if symbol == "*":
                self._any |= bit
            elif symbol == "%":
                self._level |= bit
            else:
                self._literal[symbol] = self._literal.get(symbol, 0) | bit
        self._end = 1 << len(symbols)
        self._delimiter = delimiter

    def matches(self, name: str) -> bool:
        wild = self._any | self._level
        ways = self._open(1)
        for character in name:
            stays = self._any if character == self._delimiter else wild
            ways = self._open(((ways & self._literal.get(character, 0)) << 1) | (ways & stays))
        return bool(ways & self._end)

    def _open(self, ways: int) -> int:
        """A wildcard may match nothing."""
        return ways | ((ways & (self._any | self._level)) << 1)
