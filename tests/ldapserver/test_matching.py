"""Filters in three-valued logic, on entries that are made up."""

from __future__ import annotations

import pytest
from attrs import frozen

from ldapserver.access import Policy, Right, Rule, View, Who, all_but, only
from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS
from ldapserver.matching import Compiler, contains, subclass_names
from ldapserver.messages import And, Equality, Filter, Not, Or
from ldapserver.schema import AttributeDescription
from tests.ldapserver.reference import SCHEMA

EVERYTHING = View(everything=True)


@frozen
class Made:
    """A ``matching.Subject``."""

    attributes: dict[str, list[str]]
    dn: bytes = b"uid=alice+cn=Alice Example,cn=example.com,o=Some Where"

    def values(self, description: AttributeDescription) -> list[bytes]:
        return [
            value.encode()
            for text, values in self.attributes.items()
            if SCHEMA.covers(description, SCHEMA.description(text))
            for value in values
        ]


ALICE = Made(
    {
        "objectClass": ["inetOrgPerson", "extensibleObject"],
        "uid": ["alice"],
        "cn": ["Alice Example", "A. Example"],
        "cn;lang-de": ["Alice Beispiel"],
        "sn": ["Example"],
        "mail": ["alice@example.com"],
        "telephoneNumber": ["+1 555-1234"],
        "uidNumber": ["42"],
        "grade": ["b"],
        "jpegPhoto": ["photo"],
        "aliasedObjectName": ["cn=x,o=y"],
        "createTimestamp": ["20240101000000Z"],
    }
)


def truth(filter: Filter | str, subject: Made = ALICE, view: View = EVERYTHING) -> bool | None:
    parsed = parse_filter(filter) if isinstance(filter, str) else filter
    return Compiler(SCHEMA, view).compile(parsed)(subject)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("(cn=alice  EXAMPLE)", True),
        ("(commonName=a. example)", True),
        ("(2.5.4.3=alice beispiel)", True),
        ("(cn;lang-de=alice beispiel)", True),
        ("(cn;lang-de=alice example)", False),
        ("(cn;lang-fr=alice example)", False),
        ("(name=example)", True),
        ("(name;lang-de=alice beispiel)", True),
        ("(cn~=alice example)", True),
        ("(cn=bob)", False),
        ("(description=x)", False),
        ("(nonsense=x)", None),
        ("(cn;nonsense=alice example)", None),
        ("(cn=)", None),
        ("(mail=é)", None),
        ("(jpegPhoto=photo)", None),
        ("(uidNumber=42)", True),
        ("(uidNumber=042)", None),
        ("(aliasedObjectName=CN = X ; O=Y)", True),
        ("(telephoneNumber=+15551234)", True),
        # presence
        ("(cn=*)", True),
        ("(jpegPhoto=*)", True),
        ("(description=*)", False),
        ("(nonsense=*)", None),
        ("(cn;lang-fr=*)", False),
        # classes
        ("(objectClass=inetorgperson)", True),
        ("(objectClass=PERSON)", True),
        ("(objectClass=2.5.6.6)", True),
        ("(objectClass=top)", True),
        ("(objectClass=2.5.6.0)", True),
        ("(objectClass=CommuniGateAccount)", False),
        ("(objectClass=nonsense)", None),
        ("(objectClass;x-a=top)", False),
        # order
        ("(uidNumber>=9)", True),
        ("(uidNumber>=42)", True),
        ("(uidNumber>=100)", False),
        ("(uidNumber<=100)", True),
        ("(uidNumber<=9)", False),
        ("(uidNumber>=x)", None),
        ("(grade>=B)", True),
        ("(grade<=a)", False),
        ("(cn>=a)", None),
        ("(createTimestamp>=20231231230000-0200)", False),
        ("(createTimestamp>=20231231230000-0100)", True),
        ("(nonsense>=1)", None),
        # substrings
        ("(cn=ali*)", True),
        ("(cn=*AMPLE)", True),
        ("(cn=*ice ex*)", True),
        ("(cn=a*e*e)", True),
        ("(cn=ali*ali*)", False),
        ("(cn=alice example*example)", False),
        ("(telephoneNumber=*55 51*)", True),
        ("(uidNumber=4*)", None),
        ("(aliasedObjectName=cn*)", None),
        ("(nonsense=a*)", None),
        ("(mail=é*)", None),
        # extensible
        ("(cn:=ALICE example)", True),
        ("(cn:caseExactMatch:=ALICE example)", False),
        ("(cn:caseExactMatch:=Alice Example)", True),
        ("(cn:2.5.13.5:=Alice Example)", True),
        ("(cn:integerMatch:=1)", None),
        ("(cn:nonsense:=1)", None),
        ("(nonsense:=1)", None),
        ("(jpegPhoto:=photo)", None),
        (":caseExactMatch:=Example", True),
        (":caseExactMatch:=example", False),
        (":caseIgnoreMatch:=example", True),
        (":caseIgnoreMatch:=alice@example.com", False),
        (":caseIgnoreIA5Match:=alice@example.com", True),
        (":integerMatch:=42", True),
        (":integerMatch:=x", None),
        (":nonsense:=42", None),
        ("(o:=some where)", False),
        ("(o:dn:=some where)", True),
        ("(name:dn:=some where)", True),
        ("(uid:dn:=some where)", False),
        ("(ou:dn:=x)", False),
        ("(uid:dn:=alice)", True),
        ("(o:dn:caseExactMatch:=some where)", False),
        ("(:dn:caseExactMatch:=Some Where)", True),
        ("(:caseExactMatch:=Some Where)", False),
        ("(:dn:integerMatch:=7)", False),
        ("(o:dn:=)", None),
        ("(uidNumber:integerOrderingMatch:=43)", True),
        ("(uidNumber:integerOrderingMatch:=42)", False),
        ("(cn:caseIgnoreSubstringsMatch:=al\\2aple)", True),
        ("(cn:caseIgnoreSubstringsMatch:=\\2aple)", True),
        ("(cn:caseIgnoreSubstringsMatch:=\\2aice\\2aex\\2a)", True),
        ("(cn:caseIgnoreSubstringsMatch:=al\\2a\\5c2a)", False),
        ("(cn:caseIgnoreSubstringsMatch:=al\\2a\\5cx)", None),
        ("(cn:caseIgnoreSubstringsMatch:=al)", None),
        ("(cn:caseIgnoreSubstringsMatch:=\\2a)", None),
        ("(objectClass:=person)", False),
        ("(objectClass:=inetOrgPerson)", True),
    ],
)
def test_items(filter: str, expected: bool | None) -> None:
    assert truth(filter) is expected


T, F, U = Equality("uid", b"alice"), Equality("uid", b"bob"), Equality("nonsense", b"x")


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (And(()), True),
        (Or(()), False),
        (And((T, T)), True),
        (And((T, F)), False),
        (And((T, U)), None),
        (And((F, U)), False),
        (And((U, F)), False),
        (Or((F, F)), False),
        (Or((T, U)), True),
        (Or((U, T)), True),
        (Or((F, U)), None),
        (Not(T), False),
        (Not(F), True),
        (Not(U), None),
        (Not(And((T, U))), None),
        (Not(And((F, U))), True),
        (Not(Or((U, T))), False),
        (Or((Not(U), T)), True),
    ],
)
def test_three_values(filter: Filter, expected: bool | None) -> None:
    assert truth(filter) is expected


def test_a_value_that_no_rule_can_compare_is_undefined() -> None:
    broken = Made({"uidNumber": ["not a number"]})
    assert truth("(uidNumber=1)", broken) is None
    assert truth("(uidNumber=1)", Made({"uidNumber": ["not a number", "1"]})) is True


def test_what_may_not_be_read_is_undefined() -> None:
    view = Policy((Rule(Who.ANYONE, Right.READ, only("cn")),)).view(ANONYMOUS)
    assert truth("(cn=alice example)", view=view) is True
    for hidden in (
        "(name=alice example)",
        "(sn=example)",
        "(sn=*)",
        "(sn=ex*)",
        "(sn>=a)",
        "(sn:=example)",
        "(sn:dn:=x)",
    ):
        assert truth(hidden, view=view) is None
        assert truth(Not(parse_filter(hidden)), view=view) is None
    assert truth(":caseIgnoreMatch:=alice example", view=view) is True
    assert truth(":caseIgnoreMatch:=example", view=view) is False


def test_a_supertype_hides_when_a_subtype_does() -> None:
    """Whoever may not read sn finds nothing by it as a name."""
    view = Policy((Rule(Who.ANYONE, Right.READ, all_but("sn")),)).view(ANONYMOUS)
    assert truth("(cn=alice example)", view=view) is True
    assert truth("(name=example)", view=view) is None
    assert truth("(name=alice example)", view=view) is None
    assert truth(":caseIgnoreMatch:=example", view=view) is False
    assert truth(":caseIgnoreMatch:=alice example", view=view) is True


@pytest.mark.parametrize(
    ("value", "initial", "middle", "final", "expected"),
    [
        (b"abc", b"", [], b"", True),
        (b"abc", b"a", [b"b"], b"c", True),
        (b"abc", b"ab", [], b"bc", False),
        (b"abbc", b"ab", [], b"bc", True),
        (b"aXaX", b"", [b"X", b"X"], b"", True),
        (b"aX", b"", [b"X", b"X"], b"", False),
        (b"abc", b"", [b"c"], b"c", False),
        (b"abc", b"abc", [], b"", True),
        (b"abc", b"abcd", [], b"", False),
    ],
)
def test_parts_do_not_overlap(
    value: bytes, initial: bytes, middle: list[bytes], final: bytes, expected: bool
) -> None:
    assert contains(value, initial, middle, final) is expected


def test_a_thousand_parts() -> None:
    value = b"ab" * 10_000
    assert contains(value, b"", [b"a"] * 10_000, b"b")
    assert not contains(value, b"", [b"a"] * 10_001, b"")


def test_subclasses_by_any_name() -> None:
    found = subclass_names(SCHEMA, b"PERSON")
    assert found is not None
    assert {b"person", b"2.5.6.6", b"inetorgperson", b"communigateaccount"} <= found
    assert subclass_names(SCHEMA, b"nonsense") is None
    assert subclass_names(SCHEMA, b"\xff") is None


def test_comparisons_tell_what_a_look_costs() -> None:
    compiler = Compiler(SCHEMA, EVERYTHING)
    compiler.compile(Or((T,) * 1000))
    assert compiler.comparisons == 1001
    compiler = Compiler(SCHEMA, EVERYTHING)
    compiler.compile(parse_filter("(:caseIgnoreMatch:=x)"))
    assert compiler.comparisons > 20
