from __future__ import annotations

import pytest

from cgnode.admin.foreign import changes_for, criterion
from ldapserver.filters import format_filter, parse_filter
from ldapserver.messages import (
    Attribute,
    BulkModify,
    BulkRequest,
    Change,
    Entry,
    ModifyOp,
    Rehost,
    Restore,
    Selection,
)
from ldapserver.schema import standard_schema

ADD, DELETE, REPLACE = ModifyOp.ADD, ModifyOp.DELETE, ModifyOp.REPLACE

A_TO_B = Rehost("a", "b")


def account(**attributes: str) -> Entry:
    pairs = attributes.items()
    return Entry(
        "uid=alice,cn=example.com", tuple(Attribute(name, (value.encode(),)) for name, value in pairs)
    )


def host(op: ModifyOp, value: bytes) -> Change:
    return Change(op, "hostServer", (value,))


def old(op: ModifyOp, value: bytes) -> Change:
    return Change(op, "oldHostServer", (value,))


# The table at the end of the facts on failover, row by row.
MOVES: list[tuple[str, BulkRequest, Entry, tuple[Change, ...]]] = [
    (
        "a failure records the original host",
        Rehost("a", "b"),
        account(hostServer="a"),
        (host(DELETE, b"a"), host(ADD, b"b"), old(ADD, b"a")),
    ),
    (
        "a second failure keeps the first host",
        Rehost("b", "c"),
        account(hostServer="b", oldHostServer="a"),
        (host(DELETE, b"b"), host(ADD, b"c")),
    ),
    (
        "a move to the original host is its return",
        Rehost("b", "a"),
        account(hostServer="b", oldHostServer="a"),
        (host(DELETE, b"b"), host(ADD, b"a"), old(DELETE, b"a")),
    ),
    (
        "a restore takes both back",
        Restore("a"),
        account(hostServer="c", oldHostServer="a"),
        (host(DELETE, b"c"), host(ADD, b"a"), old(DELETE, b"a")),
    ),
    (
        "values stay as they were spelled",
        Restore("BE3.example.com"),
        account(hostServer="be5", oldhostserver="Be3.Example.com"),
        (host(DELETE, b"be5"), host(ADD, b"Be3.Example.com"), old(DELETE, b"Be3.Example.com")),
    ),
    (
        "a host that is home already only loses the mark",
        Restore("a"),
        account(hostServer="A", oldHostServer="a"),
        (old(DELETE, b"a"),),
    ),
]


@pytest.mark.parametrize(("_", "request_", "entry", "changes"), MOVES, ids=[move[0] for move in MOVES])
def test_moves(_: str, request_: BulkRequest, entry: Entry, changes: tuple[Change, ...]) -> None:
    assert changes_for(request_, entry, standard_schema()) == changes


MODIFICATIONS: list[tuple[Change, Change | None]] = [
    (Change(ADD, "description", (b"new",)), Change(ADD, "description", (b"new",))),
    (Change(ADD, "description", (b"OLD", b"new")), Change(ADD, "description", (b"new",))),
    (Change(ADD, "description", (b"old",)), None),
    (Change(DELETE, "description", (b"Old",)), Change(DELETE, "description", (b"Old",))),
    (Change(DELETE, "description", (b"other",)), None),
    (Change(DELETE, "description", ()), Change(DELETE, "description", ())),
    (Change(DELETE, "title", ()), None),
    (Change(REPLACE, "description", (b"old",)), None),
    (Change(REPLACE, "description", (b"new",)), Change(REPLACE, "description", (b"new",))),
    (Change(REPLACE, "description", ()), Change(REPLACE, "description", ())),
    (Change(REPLACE, "title", ()), None),
    (Change(REPLACE, "unheardOf", (b"x",)), Change(REPLACE, "unheardOf", (b"x",))),
]


@pytest.mark.parametrize(("change", "needed"), MODIFICATIONS)
def test_only_what_makes_a_difference_is_sent(change: Change, needed: Change | None) -> None:
    request = BulkModify(Selection(), (change,))
    expected = (needed,) if needed else ()
    assert changes_for(request, account(description="old"), standard_schema()) == expected


def test_criterion() -> None:
    chosen = Selection(filter=parse_filter("(uid=a*)"))
    assert format_filter(criterion(Rehost("a", "b"))) == "(hostServer=a)"
    assert format_filter(criterion(Restore("a", chosen))) == "(&(oldHostServer=a)(uid=a*))"
    assert format_filter(criterion(BulkModify(chosen, ()))) == "(uid=a*)"
    assert format_filter(criterion(BulkModify(Selection(), ()))) == "(objectClass=*)"
