"""Searches of a directory, asked directly and collected, with the done result and the turns
that were left to others."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from attrs import frozen

from ldapserver.controls import PAGED_RESULTS, PagedResults, decode_paged_results, encode_paged_results
from ldapserver.filters import parse_filter
from ldapserver.identity import Identity
from ldapserver.local import LocalDirectory
from ldapserver.messages import Control, Deref, Entry, Filter, Result, Scope, SearchHead, SearchRequest
from ldapserver.wire.client import decode_entry

ACCOUNT = ("top", "person", "organizationalPerson", "inetOrgPerson", "CommuniGateAccount")


@frozen
class Answer:
    entries: tuple[Entry, ...]
    result: Result
    turns: int

    @property
    def dns(self) -> list[str]:
        return [entry.dn for entry in self.entries]


def request(
    filter: Filter | str = "(objectClass=*)",
    base: str = "",
    scope: Scope = Scope.SUBTREE,
    *,
    deref: Deref = Deref.NEVER,
    attributes: Sequence[str] = (),
    size_limit: int = 0,
    time_limit: int = 0,
    types_only: bool = False,
) -> SearchRequest:
    head = SearchHead(base, scope, deref, size_limit, time_limit, types_only)
    parsed = parse_filter(filter) if isinstance(filter, str) else filter
    return SearchRequest(head, parsed, tuple(attributes))


def collect(answers: Generator[bytes, None, Result]) -> Answer:
    entries: list[Entry] = []
    turns = 0
    while True:
        try:
            tail = next(answers)
        except StopIteration as stop:
            return Answer(tuple(entries), stop.value, turns)
        if tail:
            entries.append(decode_entry(tail))
        else:
            turns += 1


def ask(
    directory: LocalDirectory,
    wanted: SearchRequest,
    *controls: Control,
    identity: Identity | None = None,
) -> Answer:
    """As the administrator unless told otherwise; raises LDAPError.

    What can be looked up at once must come out the same.
    """
    who = identity or directory.core.administrator
    answer = collect(directory.search(who, wanted, controls))
    found = None if controls else directory.look_up(who, wanted)
    if found is not None:
        tails, result = found
        assert {entry.dn: entry for entry in map(decode_entry, tails)} == {
            entry.dn: entry for entry in answer.entries
        }
        assert result == answer.result
    return answer


def paged(size: int, cookie: bytes = b"") -> Control:
    return Control(PAGED_RESULTS, True, encode_paged_results(PagedResults(size, cookie)))


def cookie_of(result: Result) -> bytes:
    (control,) = result.controls
    assert control.oid == PAGED_RESULTS
    return decode_paged_results(control.value).cookie


def pages(
    directory: LocalDirectory,
    wanted: SearchRequest,
    sizes: Iterable[int],
    identity: Identity | None = None,
) -> Generator[Answer, None, None]:
    """Page after page until the cookie is empty, each of the next size."""
    cookie = b""
    for size in sizes:
        answer = ask(directory, wanted, paged(size, cookie), identity=identity)
        cookie = cookie_of(answer.result)
        yield answer
        if not cookie:
            return
    raise AssertionError("more pages than sizes")
