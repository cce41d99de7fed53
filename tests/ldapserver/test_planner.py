"""Which index answers what, and how much is read for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from attrs import evolve

from ldapserver import planner
from ldapserver.access import View
from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS
from ldapserver.matching import Compiler
from ldapserver.messages import Equality, Filter, Or, Substrings
from ldapserver.planner import NOTHING, Plan, Planner
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from storage.keys import ROOT
from tests.ldapserver.asking import ACCOUNT
from tests.ldapserver.reference import SCHEMA

DOMAIN = "cn=example.com"
INDEXES: dict[str, Sequence[str]] = {
    "mail": ["eq", "sub"],
    "uid": ["eq"],
    "cn": ["sub"],
    "sn": ["eq"],
    "grade": ["eq"],
    "uidNumber": ["eq"],
}
SIZE = 300


@pytest.fixture(scope="module")
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(settings=evolve(SETTINGS, schema=SCHEMA, indexes=INDEXES)) as made:
        made.add(DOMAIN, {"objectClass": "CommuniGateDomain", "description": "the domain"})
        made.load(
            {
                f"uid=u{number},{DOMAIN}": {
                    "objectClass": (*ACCOUNT, "extensibleObject"),
                    "uid": f"u{number}",
                    "cn": f"User {number}",
                    "sn": "Odd" if number % 2 else "Even",
                    "mail": f"u{number}@example.com",
                    "hostServer": f"be{number % 3}",
                    "grade": "abcdef"[number % 6],
                    "uidNumber": number,
                }
                for number in range(SIZE)
            }
        )
        made.add(f"cn=first,uid=u0,{DOMAIN}", {"objectClass": "CommuniGateDomain", "hostServer": "be0"})
        yield made


@contextmanager
def planner_of(directory: EphemeralDirectory, view: View | None = None) -> Iterator[Planner]:
    core = directory.local.core
    with core.store.snapshot() as snapshot:
        compiler = Compiler(core.schema, view or core.everything)
        yield Planner(snapshot, core.state(snapshot).indexes, compiler)


def count_of(directory: EphemeralDirectory, filter: Filter | str, view: View | None = None) -> int | None:
    """How many ids the plan has at most; None without one.  A plan gives each it promises."""
    parsed = parse_filter(filter) if isinstance(filter, str) else filter
    with planner_of(directory, view) as planner:
        plan = planner.plan(parsed)
        if plan is None:
            return None
        ids = list(plan.after(ROOT))
        assert ids == sorted(set(ids))
        assert len(ids) <= plan.count
        for at in (0, len(ids) // 2, len(ids) - 1):
            if ids:
                assert list(plan.after(ids[at])) == ids[at + 1 :]
        return plan.count


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        # one look at the index
        ("(mail=u7@example.com)", 1),
        ("(mail=U7@EXAMPLE.com)", 1),
        ("(mail~=u7@example.com)", 1),
        ("(rfc822Mailbox=u7@example.com)", 1),
        ("(mail=nobody@example.com)", 0),
        ("(sn=odd)", SIZE // 2),
        ("(sn;lang-de=odd)", SIZE // 2),
        ("(uidNumber=7)", 1),
        # a rule of another attribute, an attribute without the index, or none that is known
        ("(cn=user 7)", None),
        ("(description=the domain)", None),
        ("(name=odd)", None),
        ("(mail=é)", 0),
        ("(uidNumber=seven)", 0),
        ("(nonsense=x)", 0),
        ("(mail;nonsense=x)", 0),
        # by its own means
        ("(hostServer=be1)", 100),
        ("(hostServer=BE0)", 101),
        ("(hostServer=*)", 301),
        ("(oldHostServer=*)", 0),
        ("(oldHostServer=be1)", 0),
        ("(hostServer=é)", 0),
        ("(hostServer=be*)", None),
        ("(entryUUID=00000000-0000-0000-0000-000000000000)", 0),
        ("(entryUUID=nonsense)", 0),
        ("(entryUUID=*)", None),
        # classes by their subclasses
        ("(objectClass=CommuniGateDomain)", 2),
        ("(objectClass=person)", 4 * SIZE),
        ("(objectClass=top)", None),
        ("(objectClass=nonsense)", 0),
        ("(objectClass=*)", None),
        # presence
        ("(mail=*)", SIZE),
        ("(cn=*)", None),
        ("(nonsense=*)", 0),
        # ranges
        ("(uidNumber>=290)", 10),
        ("(uidNumber<=9)", 10),
        ("(uidNumber<=-1)", 0),
        ("(grade>=E)", 100),
        ("(grade<=a)", 50),
        ("(mail>=u)", 0),
        ("(uidNumber>=x)", 0),
        # substrings, by prefix or by grams
        ("(mail=u29*)", 11),
        ("(mail=*29@*)", 3),
        ("(mail=*29*)", None),
        ("(mail=*zzz*)", 0),
        ("(cn=*ser 29*)", 11),
        ("(cn=us*)", None),
        ("(cn=use*)", SIZE),
        ("(uid=u29*)", 11),
        ("(uid=*u29*)", None),
        ("(uidNumber=1*)", 0),
        ("(mail=é*)", 0),
        # and, or, not
        ("(&(mail=u7@example.com)(sn=odd))", 1),
        ("(&(description=x)(mail=u7@example.com))", 1),
        ("(&(description=x)(cn=y))", None),
        ("(&(sn=odd)(hostServer=be1))", 100),
        ("(&(sn=odd)(nonsense=x))", 0),
        ("(&)", None),
        ("(|)", 0),
        ("(|(mail=u7@example.com)(uid=u8))", 2),
        ("(|(mail=u7@example.com)(description=x))", None),
        ("(|(mail=u7@example.com)(nonsense=x))", 1),
        ("(!(mail=u7@example.com))", None),
        ("(&(!(mail=u7@example.com))(uid=u7))", 1),
        # a rule of the client's choice
        ("(mail:=u7@example.com)", None),
        ("(mail:caseExactIA5Match:=u7@example.com)", None),
    ],
)
def test_plans(directory: EphemeralDirectory, filter: str, count: int | None) -> None:
    assert count_of(directory, filter) == count


def test_exact_plans_are_exact(directory: EphemeralDirectory) -> None:
    exact = {
        "(mail=u7@example.com)": True,
        "(mail;lang-de=u7@example.com)": False,
        "(&(mail=u7@example.com))": True,
        "(&(mail=u7@example.com)(sn=odd))": False,
        "(&(sn=odd)(hostServer=be1))": True,
        "(&(sn=odd)(hostServer=be1)(description=x))": False,
        "(|(sn=odd)(hostServer=be1))": True,
        "(|(sn=odd)(grade>=e))": False,
        "(hostServer=be1)": True,
        "(cn=*ser*)": False,
        "(objectClass=CommuniGateDomain)": True,
    }
    for filter, expected in exact.items():
        with planner_of(directory) as planner:
            plan = planner.plan(parse_filter(filter))
            assert plan is not None
            assert plan.exact is expected, filter
            found = set(plan.after(ROOT))
        if expected:
            assert len(found) == len(directory.search(filter))


def test_what_a_client_may_not_read_finds_nothing(directory: EphemeralDirectory) -> None:
    view = directory.local.core.view(ANONYMOUS)
    assert count_of(directory, "(uidNumber=7)", view) == 0
    assert count_of(directory, "(uidNumber>=7)", view) == 0
    assert count_of(directory, "(|(uidNumber=7)(mail=u7@example.com))", view) == 1
    assert count_of(directory, "(&(uidNumber=7)(mail=u7@example.com))", view) == 0
    assert count_of(directory, "(cn=*)", view) is None


def test_no_plan_reads_rows_for_what_one_look_answers(directory: EphemeralDirectory) -> None:
    with planner_of(directory) as planner, patch.object(planner, "_range") as read:
        found = planner.plan(parse_filter("(&(mail=u*)(objectClass=person)(uid=u7))"))
        assert found is not None
        assert found.count == 1
        read.assert_not_called()


def test_an_index_that_holds_too_much_is_no_help(directory: EphemeralDirectory) -> None:
    with patch.object(planner, "_RANGE", SIZE - 1):
        assert count_of(directory, "(mail=*)") is None
        assert count_of(directory, "(mail=u*)") is None
        assert count_of(directory, "(mail=u1*)") == 111


def test_rows_that_one_filter_reads_are_bounded(directory: EphemeralDirectory) -> None:
    many = Or(tuple(Substrings("mail", b"u", (), b"%d" % number) for number in range(5)))
    assert count_of(directory, many) == 5 * SIZE
    with patch.object(planner, "_ROWS", 4 * SIZE):
        assert count_of(directory, many) is None
    grams = Or(tuple(Substrings("cn", None, (b"user %d" % number,), None) for number in range(200)))
    assert count_of(directory, grams) is not None
    with patch.object(planner, "_ROWS", 100):
        assert count_of(directory, grams) is None


def test_ten_thousand_terms(directory: EphemeralDirectory) -> None:
    many = Or(tuple(Equality("uid", b"u%d" % number) for number in range(10_000)))
    assert count_of(directory, many) == SIZE


@pytest.mark.parametrize("many", [0, 10**9])
def test_unions_are_merged_or_sorted(directory: EphemeralDirectory, many: int) -> None:
    with patch.object(planner, "_MANY", many):
        assert count_of(directory, "(|(sn=odd)(hostServer=be1)(uid=u1)(uid=u2))") == 252
        assert count_of(directory, "(|(sn=odd)(mail=u1*)(uid=u1))") == 262
        found = directory.search("(|(sn=odd)(hostServer=be1)(uid=u1)(uid=u2))")
        assert len(found) == len({entry.dn for entry in found}) == 201


def test_nothing_is_a_plan() -> None:
    assert list(NOTHING.after(ROOT)) == []
    assert NOTHING.exact


def test_a_plan_without_order_is_sorted() -> None:
    ids = [bytes((0,)) * 7 + bytes((number,)) for number in (5, 3, 9, 3, 5)]
    plan = Plan(5, lambda _: ids)
    assert list(plan.after(ROOT)) == sorted(set(ids))
    assert list(plan.after(ids[1])) == [ids[0], ids[2]]
    assert list(plan.after(ids[2])) == []


def test_very_long_values() -> None:
    """Their keys end in a hash."""
    with EphemeralDirectory(settings=evolve(SETTINGS, schema=SCHEMA, indexes=INDEXES)) as other:
        for number, letter in enumerate("abc"):
            other.add(
                f"cn={number}",
                {"objectClass": ("CommuniGateDomain", "extensibleObject"), "grade": "x" * 600 + letter},
            )
        long = "x" * 600
        assert len(other.search(f"(grade={long}b)")) == 1
        assert len(other.search(f"(grade={long})")) == 0
        assert len(other.search(f"(grade={long}*)")) == 3
        assert len(other.search(f"(grade>={long}b)")) == 2
        assert len(other.search(f"(grade<={long}b)")) == 2
        assert len(other.search("(grade>=x)")) == len(other.search("(grade=x*)")) == 3
        assert len(other.search("(grade<=xa)")) == 0
        assert len(other.search("(grade<=y)")) == 3


LABELS = """
attributetype ( 1.3.6.1.4.1.55555.1.10 NAME 'label' EQUALITY caseIgnoreMatch
    ORDERING caseIgnoreOrderingMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.55555.1.11 NAME 'exactLabel' SUP label EQUALITY caseExactMatch
    ORDERING caseExactOrderingMatch SUBSTR caseExactSubstringsMatch )
attributetype ( 1.3.6.1.4.1.55555.1.12 NAME 'plainLabel' SUP label )
"""


@pytest.mark.parametrize("kinds", [["eq"], ["sub"], ["eq", "sub"]])
def test_a_subtype_with_rules_of_its_own(kinds: list[str]) -> None:
    """Its values are compared as the supertype's rules say, by which it is not indexed."""
    indexes = dict.fromkeys(("label", "exactLabel", "plainLabel"), kinds)
    made = evolve(SETTINGS, schema=SCHEMA.extended(LABELS), indexes=indexes)
    with EphemeralDirectory(settings=made) as directory:
        classes = ("CommuniGateDomain", "extensibleObject")
        directory.add("cn=1", {"objectClass": classes, "exactLabel": "One Label"})
        directory.add("cn=2", {"objectClass": classes, "plainLabel": "Two Labels"})
        found = {
            "(label=one label)": ["cn=1"],
            "(label=TWO labels)": ["cn=2"],
            "(exactLabel=one label)": [],
            "(exactLabel=One Label)": ["cn=1"],
            "(label=*LABEL*)": ["cn=1", "cn=2"],
            "(label=one*)": ["cn=1"],
            "(exactLabel=one*)": [],
            "(exactLabel=One*)": ["cn=1"],
            "(label>=t)": ["cn=2"],
            "(label<=one label)": ["cn=1"],
            "(exactLabel>=a)": [],
            "(label=*)": ["cn=1", "cn=2"],
        }
        for filter, expected in found.items():
            assert [entry.dn for entry in directory.search(filter)] == expected, filter
