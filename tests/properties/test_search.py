"""Planned searches find what a look at every entry finds: any filter, any scope, with and
without indexes, in one go and in pages, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapserver import indexing
from ldapserver.filters import format_filter
from ldapserver.identity import ANONYMOUS, Identity
from ldapserver.messages import (
    Deref,
    Entry,
    Filter,
    Not,
    Result,
    Scope,
    SearchRequest,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import EphemeralDirectory
from tests.ldapserver.asking import Answer, ask, collect, cookie_of, paged, request
from tests.ldapserver.reference import SCHEMA, Key, Matcher, Tree, key
from tests.properties.trees import INDEXES, Node, directory_of, fixed_tree, nodes, plain_nodes
from tests.properties.wanted import every_item, filters

# --- requests --------------------------------------------------------------------------


@frozen
class Wish:
    """``base`` chooses an entry, or nothing."""

    filter: Filter
    base: int
    scope: Scope
    deref: Deref


wishes = st.builds(
    Wish,
    filters,
    st.just(0) | st.integers(0, 30),
    st.sampled_from([Scope.SUBTREE, Scope.SUBTREE, *Scope]),
    st.sampled_from([Deref.NEVER, Deref.NEVER, *Deref]),
)


# --- what is expected ------------------------------------------------------------------


@frozen
class Expectation:
    """All that is there, and what the client may see of it."""

    tree: Tree
    matcher: Matcher

    def of(self, wanted: SearchRequest) -> set[Key] | None:
        """None where there is no base."""
        base: Key | None = key(wanted.head.base)
        if wanted.head.deref in (Deref.FINDING, Deref.ALWAYS):
            base = self.tree.find_base(base or ())
        if base is None:
            return None
        extent = self.tree.extent(base, wanted.head.scope, wanted.head.deref)
        return {
            found for found in extent if self.matcher.matches(self.tree.entries[found], wanted.filter) is True
        }


def everything(directory: EphemeralDirectory) -> list[Entry]:
    """Found without the filters, plans and orders that are tested."""
    return list(ask(directory.local, request(attributes=("*", "+"))).entries)


def expectation(directory: EphemeralDirectory, identity: Identity) -> Expectation:
    view = directory.local.core.view(identity)

    def readable(name: str) -> bool:
        return view.readable(SCHEMA.description(name).type)

    return Expectation(Tree(everything(directory)), Matcher(readable))


def request_of(wish: Wish, bases: Sequence[str]) -> SearchRequest:
    base = ["", *bases][wish.base % (len(bases) + 1)]
    scope = Scope.SUBTREE if not base and wish.scope is Scope.BASE else wish.scope
    return request(wish.filter, base, scope, deref=wish.deref)


def keys_of(answer: Answer) -> list[Key]:
    return [key(dn) for dn in answer.dns]


def check(
    directory: EphemeralDirectory, expected: Expectation, wanted: SearchRequest, identity: Identity
) -> int:
    right = expected.of(wanted)
    if right is None:
        with pytest.raises(LDAPError) as refused:
            ask(directory.local, wanted, identity=identity)
        assert refused.value.code in (ResultCode.ALIAS_PROBLEM, ResultCode.LOOP_DETECT)
        return 0
    answer = ask(directory.local, wanted, identity=identity)
    assert answer.result.code is ResultCode.SUCCESS
    found = keys_of(answer)
    assert len(set(found)) == len(found), "twice"
    assert set(found) == right, format_filter(wanted.filter)
    return len(found)


identities = st.sampled_from([False, False, True])


def who(directory: EphemeralDirectory, anonymous: bool) -> Identity:
    return ANONYMOUS if anonymous else directory.local.core.administrator


@pytest.mark.parametrize("indexes", INDEXES, ids=["none", "default", "others"])
def test_every_item_finds_what_there_is(indexes: dict[str, Sequence[str]]) -> None:
    """Also negated, which tells False from Undefined."""
    with directory_of(fixed_tree(1), indexes) as directory:
        administrator = directory.local.core.administrator
        expected = expectation(directory, administrator)
        found = 0
        for number, item in enumerate(every_item()):
            found += check(directory, expected, request(item), administrator)
            if number % 5 == 0:
                check(directory, expected, request(Not(item)), administrator)
        assert found > 2000


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "filter", ["(objectClass=*)", "(|(uid=*a*)(cn=*a*))", "(|(objectClass=person)(cn=a*))"]
)
def test_every_scope_holds_what_it_should(seed: int, filter: str) -> None:
    """Walked, by an index, and by one that holds much more."""
    with directory_of(fixed_tree(seed), dict(indexing.DEFAULT)) as directory:
        administrator = directory.local.core.administrator
        expected = expectation(directory, administrator)
        for base in ("", *(entry.dn for entry in expected.tree.entries.values())):
            for scope in Scope if base else (Scope.ONE, Scope.SUBTREE, Scope.SUBORDINATE):
                for deref in Deref:
                    check(directory, expected, request(filter, base, scope, deref=deref), administrator)


@settings(max_examples=20)
@given(
    st.lists(nodes, min_size=3, max_size=16),
    st.sampled_from(INDEXES),
    identities,
    st.lists(wishes, min_size=4, max_size=8),
)
def test_searches_find_what_there_is(
    tree: list[Node], indexes: dict[str, Sequence[str]], anonymous: bool, wanted: list[Wish]
) -> None:
    with directory_of(tree, indexes) as directory:
        identity = who(directory, anonymous)
        expected = expectation(directory, identity)
        bases = [entry.dn for entry in expected.tree.entries.values()]
        for wish in wanted:
            check(directory, expected, request_of(wish, bases), identity)


@settings(max_examples=25)
@given(
    st.lists(nodes, min_size=3, max_size=16),
    st.sampled_from(INDEXES),
    st.lists(wishes, min_size=1, max_size=6),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_pages_are_the_same_in_pieces(
    tree: list[Node], indexes: dict[str, Sequence[str]], wanted: list[Wish], sizes: list[int]
) -> None:
    with directory_of(tree, indexes) as directory:
        expected = expectation(directory, directory.local.core.administrator)
        bases = [entry.dn for entry in expected.tree.entries.values()]
        for wish in wanted:
            wanted_request = request_of(wish, bases)
            right = expected.of(wanted_request)
            if right is None:
                continue
            found: list[Key] = []
            cookie = b""
            for at in range(100):
                size = sizes[at % len(sizes)]
                answer = ask(directory.local, wanted_request, paged(size, cookie))
                cookie = cookie_of(answer.result)
                found += keys_of(answer)
                assert len(answer.entries) == size or not cookie
                if not cookie:
                    break
            assert len(set(found)) == len(found)
            assert set(found) == right


@settings(max_examples=25)
@given(
    st.lists(plain_nodes, min_size=4, max_size=16),
    st.sampled_from(INDEXES),
    # What is deleted changes what is told of its parent.
    wishes.filter(lambda wish: "Subordinates" not in repr(wish)),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.booleans(),
)
def test_pages_go_on_where_their_last_entry_was_deleted(
    tree: list[Node], indexes: dict[str, Sequence[str]], wish: Wish, sizes: list[int], whole: bool
) -> None:
    """``whole``: everything that was sent is deleted as far as that is possible."""
    with directory_of(tree, indexes) as directory:
        expected = expectation(directory, directory.local.core.administrator)
        bases = [entry.dn for entry in expected.tree.entries.values()]
        wanted = request_of(evolve(wish, deref=Deref.NEVER), bases)
        right = expected.of(wanted)
        found: list[Key] = []
        cookie = b""
        for at in range(100):
            answer = ask(directory.local, wanted, paged(sizes[at % len(sizes)], cookie))
            cookie = cookie_of(answer.result)
            found += keys_of(answer)
            if not cookie:
                break
            for dn in reversed(answer.dns if whole else answer.dns[-1:]):
                if dn != wanted.head.base and directory.values(dn, "hasSubordinates") == ["FALSE"]:
                    directory.delete(dn)
        assert len(set(found)) == len(found)
        assert set(found) == right


def disturbed(
    answers: Generator[bytes, None, Result], disturb: Callable[[], None]
) -> Generator[bytes, None, Result]:
    """The same answers, with something done after each."""
    while True:
        try:
            yield next(answers)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        disturb()


# --- one snapshot ----------------------------------------------------------------------

Disturbance = Callable[[EphemeralDirectory, str], None]


def _rename(directory: EphemeralDirectory, dn: str) -> None:
    directory.rename(dn, "cn=moved away")


def _modify(directory: EphemeralDirectory, dn: str) -> None:
    directory.modify(dn, replace={"description": "alice was here", "hostServer": "be9"})


def _add(directory: EphemeralDirectory, dn: str) -> None:
    directory.add(f"cn=new,{dn}", {"objectClass": "CommuniGateDomain", "cn;lang-it": "alice"})


disturbances: st.SearchStrategy[Disturbance] = st.sampled_from(
    [_rename, _modify, _add, EphemeralDirectory.delete]
)


@settings(max_examples=25)
@given(
    st.lists(nodes, min_size=4, max_size=16),
    st.sampled_from(INDEXES),
    wishes,
    st.lists(st.tuples(disturbances, st.integers(0, 30)), min_size=1, max_size=4),
)
def test_a_search_is_of_one_moment(
    tree: list[Node],
    indexes: dict[str, Sequence[str]],
    wish: Wish,
    disturbing: list[tuple[Disturbance, int]],
) -> None:
    with directory_of(tree, indexes) as directory:
        expected = expectation(directory, directory.local.core.administrator)
        bases = [entry.dn for entry in expected.tree.entries.values()]
        wanted = evolve(request_of(wish, bases), attributes=("*", "+"))
        right = expected.of(wanted)
        if right is None:
            return
        answers = directory.local.search(directory.local.core.administrator, wanted, ())

        def disturb() -> None:
            for disturbance, at in disturbing:
                with suppress(LDAPError):
                    disturbance(directory, bases[at % len(bases)])

        found = collect(disturbed(answers, disturb))
        assert {key(entry.dn): entry for entry in found.entries} == {
            dn: expected.tree.entries[dn] for dn in right
        }
