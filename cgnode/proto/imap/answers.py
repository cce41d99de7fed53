"""The longer answers: SELECT, SEARCH and STORE (RFC 3501 sections 6.3.1, 6.4.4, 6.4.6).

What lives here: what the shell has found out to lines, as functions of it and the view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from cgnode.proto.imap import codes, encode, responses
from cgnode.proto.imap import search as s
from cgnode.proto.imap.commands import Result, Search
from cgnode.proto.imap.sets import format_numbers
from cgnode.proto.imap.view import Flagged, View


@frozen
class Mailbox:
    r"""What the shell knows of a mailbox that it has opened.

    ``uids`` ascending; ``flags`` are those that there are, ``permanent_flags`` those that
    can be changed and stay, ``keywords``: new ones may be made.  ``recent`` are UIDs.
    ``first_unseen`` is a UID, 0 for none.  ``highest_modseq`` is None where there are no
    mod-sequences.  ``read_only``: more can't be had, whatever was asked for.
    """

    uids: tuple[int, ...]
    uid_validity: int
    uid_next: int
    flags: tuple[str, ...] = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
    permanent_flags: tuple[str, ...] = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
    keywords: bool = True
    recent: frozenset[int] = frozenset()
    first_unseen: int = 0
    highest_modseq: int | None = None
    read_only: bool = False


def selected(mailbox: Mailbox, view: View) -> bytes:
    """The untagged responses to SELECT and EXAMINE."""

    def ok(text: str, code: bytes) -> bytes:
        return responses.state("*", b"OK", text, code)

    said = [
        responses.flags(mailbox.flags),
        responses.exists(len(view)),
        responses.recent(len(view.recent)),
    ]
    if first := view.number(mailbox.first_unseen):
        said.append(ok("first unseen", codes.unseen(first)))
    said.append(ok("UIDs valid", codes.uid_validity(mailbox.uid_validity)))
    said.append(ok("next UID", codes.uid_next(mailbox.uid_next)))
    # RFC 3501 section 6.3.2: no flag stays that is set in a mailbox opened to read.
    permanent = () if view.read_only else mailbox.permanent_flags
    keywords = mailbox.keywords and not view.read_only
    said.append(ok("flags that stay", codes.permanent_flags(permanent, keywords)))
    if mailbox.highest_modseq is None:
        said.append(ok("no mod-sequences here", codes.NO_MODSEQ))
    else:
        said.append(ok("highest mod-sequence", codes.highest_modseq(mailbox.highest_modseq)))
    return b"".join(said)


def wants_modseq(key: s.Key) -> bool:
    """Whether a search asks for mod-sequences, and so is told one."""
    match key:
        case s.And(keys):
            return any(map(wants_modseq, keys))
        case s.Or(left, right):
            return wants_modseq(left) or wants_modseq(right)
        case s.Not(inner):
            return wants_modseq(inner)
        case _:
            return isinstance(key, s.ModifiedSince)


def found(
    tag: str, search: Search, view: View, uids: Sequence[int], modseqs: Mapping[int, int] | None
) -> bytes:
    """The response to SEARCH; b"" where the result is only saved.  ``modseqs`` where one
    is to be told."""
    results = search.results
    if results is None:
        numbers = _numbers(search, view, uids)
        said = b"".join(b" %d" % number for number in numbers)
        if numbers and modseqs is not None:
            said += b" (MODSEQ %d)" % _highest(uids, modseqs)
        return responses.untagged(b"SEARCH" + said)
    if results == {Result.SAVE}:
        return b""
    numbers = _numbers(search, view, uids)
    said = b'ESEARCH (TAG "%b")%b' % (tag.encode(), b" UID" if search.uid else b"")
    if numbers:
        if Result.MIN in results:
            said += b" MIN %d" % numbers[0]
        if Result.MAX in results:
            said += b" MAX %d" % numbers[-1]
        if Result.ALL in results:
            said += b" ALL " + format_numbers(numbers)
    if Result.COUNT in results:
        said += b" COUNT %d" % len(numbers)
    if numbers and modseqs is not None:
        # RFC 4731 section 3.2.
        said += b" MODSEQ %d" % _highest(chosen(results, uids), modseqs)
    return responses.untagged(said)


def chosen(results: frozenset[Result], uids: Sequence[int]) -> tuple[int, ...]:
    """Which of the messages found the result consists of: with MIN or MAX alone those
    (RFC 4731 section 3.2, RFC 5182 section 2.4)."""
    ends = results & {Result.MIN, Result.MAX}
    if not uids or not ends or results & {Result.ALL, Result.COUNT}:
        return tuple(uids)
    picked = {uids[0] if end is Result.MIN else uids[-1] for end in ends}
    return tuple(sorted(picked))


def stored(view: View, changes: Iterable[Flagged], uid: bool, flags: bool, modseq: bool) -> bytes:
    """The FETCH responses to STORE: with ``flags`` unless it was silent, and with the
    mod-sequence for a client that minds them."""
    said: list[bytes] = []
    for change in changes:
        view.told(change.uid)
        number = view.number(change.uid)
        items: list[bytes] = []
        if uid:
            items.append(b"UID %d" % change.uid)
        if flags:
            items.append(b"FLAGS " + encode.flags(view.flags(change.uid, change.flags)))
        if modseq and change.modseq is not None:
            items.append(b"MODSEQ (%d)" % change.modseq)
        if number and (flags or modseq):
            said.append(b"* %d FETCH %b\r\n" % (number, encode.listed(items)))
    return b"".join(said)


def _numbers(search: Search, view: View, uids: Sequence[int]) -> Sequence[int]:
    return uids if search.uid else [view.number(uid) for uid in uids]


def _highest(uids: Sequence[int], modseqs: Mapping[int, int]) -> int:
    return max((modseqs.get(uid, 1) for uid in uids), default=1)
