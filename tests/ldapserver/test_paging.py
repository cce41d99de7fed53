"""Paged results (RFC 2696): sizes, cookies, limits, and what happens between pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from ldapserver import paging
from ldapserver.controls import PAGED_RESULTS, PagedResults, encode_paged_results
from ldapserver.directory import Limits
from ldapserver.identity import ANONYMOUS
from ldapserver.messages import Control, Scope, SearchRequest
from ldapserver.paging import Place
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from tests.ldapserver.asking import ask, cookie_of, paged, pages, request
from tests.ldapserver.ops.site import refused

DOMAIN = "cn=example.com,o=example"
SIZE = 20
# Ways through the entries: by the tree, with and without matching, and by a range and a term of an index.
FILTERS = ("(objectClass=*)", "(description=*)", "(uid=*)", "(objectClass=CommuniGateGroup)")


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(
        "dn: o=example\nobjectClass: organization\n\n"
        f"dn: {DOMAIN}\nobjectClass: CommuniGateDomain\n\n"
        + "\n".join(
            f"dn: uid=u{number},{DOMAIN}\nobjectClass: CommuniGateGroup\ndescription: {number}\n"
            for number in range(SIZE)
        )
    ) as made:
        yield made


def account(number: int) -> str:
    return f"uid=u{number},{DOMAIN}"


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("sizes", [[1], [3], [7, 1, 2], [1000], [SIZE], [SIZE + 2]])
def test_pages_hold_everything_once(directory: EphemeralDirectory, filter: str, sizes: list[int]) -> None:
    asked = request(filter)
    whole = ask(directory.local, asked).dns
    found = list(pages(directory.local, asked, sizes * SIZE * 3))
    assert sorted(dn for page in found for dn in page.dns) == sorted(whole)
    assert [len(page.entries) for page in found[:-1]] == (sizes * SIZE * 3)[: len(found) - 1]
    assert all(page.result.code is ResultCode.SUCCESS for page in found)


def test_the_last_cookie_is_empty_even_if_the_page_is_full(directory: EphemeralDirectory) -> None:
    for filter, total in (("(objectClass=*)", SIZE + 2), ("(uid=*)", SIZE)):
        found = list(pages(directory.local, request(filter), [total // 2] * 2))
        assert [len(page.entries) for page in found] == [total // 2] * 2


def test_nothing_found(directory: EphemeralDirectory) -> None:
    (page,) = pages(directory.local, request("(uid=nobody)"), [5])
    assert page.entries == ()


def test_no_control_no_cookie(directory: EphemeralDirectory) -> None:
    assert ask(directory.local, request()).result.controls == ()


def test_the_servers_own_entries_come_in_a_page_too(directory: EphemeralDirectory) -> None:
    for base in ("", "cn=Subschema"):
        (page,) = pages(directory.local, request(base=base, scope=Scope.BASE), [5])
        assert len(page.entries) == 1


def test_a_client_that_wants_no_more(directory: EphemeralDirectory) -> None:
    """RFC 2696 section 3: size 0 with a cookie abandons the set."""
    first = ask(directory.local, request(), paged(5))
    last = ask(directory.local, request(), paged(0, cookie_of(first.result)))
    assert last.entries == ()
    assert cookie_of(last.result) == b""


def test_a_first_page_of_size_zero_is_everything(directory: EphemeralDirectory) -> None:
    (page,) = pages(directory.local, request(), [0])
    assert len(page.entries) == SIZE + 2


# --- between pages ---------------------------------------------------------------------


def second_page(directory: EphemeralDirectory, asked: SearchRequest, cookie: bytes) -> list[str]:
    return ask(directory.local, asked, paged(1000, cookie)).dns


@pytest.mark.parametrize("filter", FILTERS)
def test_the_boundary_is_deleted(directory: EphemeralDirectory, filter: str) -> None:
    asked = request(filter)
    whole = ask(directory.local, asked).dns
    first = ask(directory.local, asked, paged(8))
    for dn in first.dns[-3:]:
        directory.delete(dn)
    assert sorted(second_page(directory, asked, cookie_of(first.result))) == sorted(
        set(whole) - set(first.dns)
    )


@pytest.mark.parametrize("filter", FILTERS)
def test_all_that_was_sent_is_deleted_whole_subtrees_too(directory: EphemeralDirectory, filter: str) -> None:
    directory.add("o=last", {"objectClass": "organization", "description": "last"})
    directory.add("uid=last,o=last", {"objectClass": "CommuniGateGroup", "description": "last"})
    asked = request(filter)
    whole = set(ask(directory.local, asked).dns)
    first = ask(directory.local, asked, paged(len(whole) - 2))
    for number in range(SIZE):
        directory.delete(account(number))
    directory.delete(DOMAIN)
    directory.delete("o=example")
    assert second_page(directory, asked, cookie_of(first.result)) == sorted(
        dn for dn in whole - set(first.dns) if dn.endswith("o=last")
    )


@pytest.mark.parametrize("filter", FILTERS)
def test_the_boundary_is_renamed_or_moved(directory: EphemeralDirectory, filter: str) -> None:
    """What stayed where it was is found once; what moved may be found again, or not."""
    directory.add("o=other", {"objectClass": "organization"})
    asked = request(filter)
    whole = set(ask(directory.local, asked).dns)
    first = ask(directory.local, asked, paged(8))
    directory.rename(first.dns[-1], "uid=zzz")
    directory.rename(first.dns[-2], "uid=moved", "o=other")
    rest = second_page(directory, asked, cookie_of(first.result))
    assert set(rest) >= whole - set(first.dns)
    assert len(set(rest)) == len(rest)
    assert set(rest) - whole <= {f"uid=zzz,{DOMAIN}", "uid=moved,o=other"}


def test_what_is_left_of_a_moved_subtree(directory: EphemeralDirectory) -> None:
    directory.add("o=other", {"objectClass": "organization"})
    asked = request(base="o=example")
    first = ask(directory.local, asked, paged(8))
    directory.rename(DOMAIN, "cn=example.com", "o=other")
    assert second_page(directory, asked, cookie_of(first.result)) == []


@pytest.mark.parametrize("filter", ["(uid=*)", "(objectClass=CommuniGateGroup)"])
def test_a_set_keeps_its_order_when_another_becomes_better(
    directory: EphemeralDirectory, filter: str
) -> None:
    """One level is walked while it is smaller than what the index has."""
    asked = request(filter, DOMAIN, Scope.ONE)
    first = ask(directory.local, asked, paged(8))
    directory.add("o=elsewhere", {"objectClass": "organization"})
    for number in range(SIZE, 2 * SIZE):
        directory.add(f"uid=u{number},o=elsewhere", {"objectClass": "CommuniGateGroup"})
    second = ask(directory.local, asked, paged(8, cookie_of(first.result)))
    for number in range(SIZE, 2 * SIZE):
        directory.delete(f"uid=u{number},o=elsewhere")
    third = ask(directory.local, asked, paged(8, cookie_of(second.result)))
    assert sorted(first.dns + second.dns + third.dns) == sorted(map(account, range(SIZE)))


def test_indexes_change_between_pages(directory: EphemeralDirectory) -> None:
    core = directory.local.core
    asked = request("(uid=*)")
    first = ask(directory.local, asked, paged(8))
    core.settings = evolve(core.settings, indexes={})
    directory.local.reindex()
    second = ask(directory.local, asked, paged(8, cookie_of(first.result)))
    core.settings = evolve(core.settings, indexes={"uid": ["eq"]})
    directory.local.reindex()
    rest = second_page(directory, asked, cookie_of(second.result))
    assert sorted(first.dns + second.dns + rest) == sorted(map(account, range(SIZE)))


def test_pages_see_what_is_written(directory: EphemeralDirectory) -> None:
    asked = request("(uid=*)")
    first = ask(directory.local, asked, paged(8))
    directory.add("uid=new,o=example", {"objectClass": "CommuniGateGroup"})
    assert "uid=new,o=example" in second_page(directory, asked, cookie_of(first.result))


# --- cookies ----------------------------------------------------------------------------


def test_a_cookie_is_of_one_search(directory: EphemeralDirectory) -> None:
    cookie = cookie_of(ask(directory.local, request(), paged(5)).result)
    for other in (
        request("(uid=*)"),
        request(base="o=example"),
        request(base=DOMAIN, scope=Scope.ONE),
    ):
        with refused(ResultCode.UNWILLING_TO_PERFORM):
            ask(directory.local, other, paged(5, cookie))
    # What is asked of the entries may change, and so may the size.
    assert ask(directory.local, request(attributes=["1.1"]), paged(3, cookie)).entries


def test_a_base_that_was_made_anew(directory: EphemeralDirectory) -> None:
    directory.add("o=brief", {"objectClass": "organization"})
    directory.add("uid=a,o=brief", {"objectClass": "CommuniGateGroup"})
    directory.add("uid=b,o=brief", {"objectClass": "CommuniGateGroup"})
    asked = request(base="o=brief")
    cookie = cookie_of(ask(directory.local, asked, paged(2)).result)
    for dn in ("uid=a,o=brief", "uid=b,o=brief", "o=brief"):
        directory.delete(dn)
    with refused(ResultCode.NO_SUCH_OBJECT):
        ask(directory.local, asked, paged(2, cookie))
    directory.add("o=brief", {"objectClass": "organization"})
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        ask(directory.local, asked, paged(2, cookie))


@pytest.mark.parametrize("filter", FILTERS)
def test_every_broken_cookie_is_refused_or_harmless(directory: EphemeralDirectory, filter: str) -> None:
    asked = request(filter, base="o=example")
    cookie = cookie_of(ask(directory.local, asked, paged(12)).result)
    broken = [cookie[:size] for size in range(1, len(cookie))]
    broken += [cookie[:at] + bytes((cookie[at] ^ 1,)) + cookie[at + 1 :] for at in range(len(cookie))]
    broken += [cookie + b"x", b"x" * len(cookie), cookie + b"/" * 40]
    whole = set(ask(directory.local, asked).dns)
    outcomes = [outcome(directory, asked, wrong) for wrong in broken]
    assert all(
        found <= whole if isinstance(found, set) else found is ResultCode.UNWILLING_TO_PERFORM
        for found in outcomes
    )
    assert outcomes.count(ResultCode.UNWILLING_TO_PERFORM) > len(cookie)


def outcome(directory: EphemeralDirectory, asked: SearchRequest, cookie: bytes) -> set[str] | ResultCode:
    try:
        return set(second_page(directory, asked, cookie))
    except LDAPError as error:
        return error.code


def test_a_malformed_control(directory: EphemeralDirectory) -> None:
    for value in (None, b"", b"x", encode_paged_results(PagedResults(-1, b""))):
        with refused(ResultCode.PROTOCOL_ERROR):
            ask(directory.local, request(), Control(PAGED_RESULTS, True, value))


def test_places_come_back() -> None:
    asked = request("(uid=*)", "o=example")
    for place in (
        Place(b"\0" * 7 + b"\1"),
        Place(b"\0" * 7 + b"\1", ()),
        Place(b"\0" * 7 + b"\1", ((b"\0" * 8, b"o=a"), (b"\0" * 7 + b"\1", b"cn=" + b"x" * 5000))),
    ):
        assert paging.decode(paging.encode(place, asked), asked) == place


# --- limits -----------------------------------------------------------------------------


def test_a_page_is_no_way_around_a_size_limit(directory: EphemeralDirectory) -> None:
    """RFC 2696 section 3: a page that holds the limit is as no control at all."""
    for size, code, entries in (
        (3, ResultCode.SUCCESS, 3),
        (5, ResultCode.SIZE_LIMIT_EXCEEDED, 5),
        (100, ResultCode.SIZE_LIMIT_EXCEEDED, 5),
    ):
        answer = ask(directory.local, request(size_limit=5), paged(size))
        assert (answer.result.code, len(answer.entries)) == (code, entries)


def test_the_servers_limit_bounds_pages() -> None:
    with EphemeralDirectory(settings=evolve(SETTINGS, limits=Limits(size_limit=5))) as directory:
        for number in range(8):
            directory.add(f"o={number}", {"objectClass": "organization"})
        answer = ask(directory.local, request(), paged(1000), identity=ANONYMOUS)
        assert (answer.result.code, len(answer.entries)) == (ResultCode.SIZE_LIMIT_EXCEEDED, 5)
        found = list(pages(directory.local, request(), [4] * 3, ANONYMOUS))
        assert [len(page.entries) for page in found] == [4, 4]
        assert len(ask(directory.local, request(), paged(1000)).entries) == 8
