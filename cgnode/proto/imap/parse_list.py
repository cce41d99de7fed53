"""LIST, LSUB and STATUS (RFC 3501 sections 6.3.8 to 6.3.10, RFC 5258, RFC 5819, RFC 6154).

What lives here: their text to their values.
"""

from __future__ import annotations

from cgnode.proto.imap import names
from cgnode.proto.imap.commands import List, Lsub, Return, Selection, Status, StatusItem
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.scanner import Scanner


def parse_list(scanner: Scanner) -> List:
    scanner.space()
    extended = False
    selection: frozenset[Selection] = frozenset()
    if scanner.peek() == b"(":
        extended = True
        selection = frozenset(scanner.listed(lambda: _selection(scanner.word()), empty=True))
        if Selection.RECURSIVE_MATCH in selection and Selection.SUBSCRIBED not in selection:
            # RFC 5258 section 6: it modifies SUBSCRIBED, and there is nothing else to modify.
            raise Fault("RECURSIVEMATCH goes with SUBSCRIBED only")
        scanner.space()
    reference = scanner.astring()
    scanner.space()
    if scanner.peek() == b"(":
        extended = True
        patterns = scanner.listed(scanner.pattern)
    else:
        patterns = (scanner.pattern(),)
    returns: set[Return] = set()
    status: tuple[StatusItem, ...] = ()
    if scanner.more():
        extended = True
        scanner.expect(b"RETURN ")
        for option in scanner.listed(lambda: _return(scanner), empty=True):
            if isinstance(option, Return):
                returns.add(option)
            else:
                status = option
    # RFC 5258 section 3: a pattern that can't be one is silently ignored.
    possible = tuple(name for name in map(_pattern, patterns) if name is not None)
    base = _pattern(reference)
    if base is None:
        base, possible = "", ()
    return List(base, possible, selection, frozenset(returns), status, extended)


def parse_lsub(scanner: Scanner) -> Lsub:
    scanner.space()
    reference = _pattern(scanner.astring())
    scanner.space()
    pattern = _pattern(scanner.pattern())
    return Lsub(reference or "", () if reference is None or pattern is None else (pattern,))


def parse_status(scanner: Scanner) -> Status:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    return Status(mailbox, _status_items(scanner))


def _pattern(data: bytes) -> str | None:
    """A name with wildcards, which modified UTF-7 leaves as they are; None for none."""
    try:
        return names.decode(data)
    except ValueError:
        return None


def _status_items(scanner: Scanner) -> tuple[StatusItem, ...]:
    return tuple(dict.fromkeys(scanner.listed(lambda: _status_item(scanner.word()))))


def _status_item(word: str) -> StatusItem:
    try:
        return StatusItem(word)
    except ValueError:
        raise Fault(f"STATUS {word[:32]} is not known here") from None


def _selection(word: str) -> Selection:
    try:
        return Selection(word)
    except ValueError:
        raise Fault(f"LIST ({word[:32]}) is not known here") from None


def _return(scanner: Scanner) -> Return | tuple[StatusItem, ...]:
    word = scanner.word()
    if word == "STATUS":
        scanner.space()
        return _status_items(scanner)
    try:
        return Return(word)
    except ValueError:
        raise Fault(f"RETURN ({word[:32]}) is not known here") from None
