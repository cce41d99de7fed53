"""What each matching rule takes for equal, and how the ordering rules order (RFC 4517)."""

from __future__ import annotations

import time

import pytest

from ldapserver.schema import MatchingRule, RuleKind, standard_schema
from ldapserver.schema.model import Part
from ldapserver.schema.rules import behaviours

SCHEMA = standard_schema()


def rule(name: str) -> MatchingRule:
    found = SCHEMA.matching_rule(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("caseIgnoreMatch", ["Anna Adler", " anna   ADLER ", "anna\tadler", "an\u00adna adler",
         "\uff21nna\u00a0Adler"]),
        ("caseIgnoreMatch", ["Straße", "STRASSE", "stra\u00dfe"]),
        ("caseIgnoreMatch", ["M\u00fcller", "m\u0075\u0308ller", "M\u00dcLLER"]),
        ("caseIgnoreMatch", ["\u212a", "k"]),
        ("caseIgnoreMatch", ["  ", " ", "\u00a0", "\t", "\u200b"]),
        ("caseIgnoreMatch", ["a\0b", "ab", "A\u200bB"]),
        ("caseIgnoreMatch", ["\ufb01sh", "fish", "FISH"]),
        ("caseIgnoreMatch", ["\u2764\ufe0f", "\u2764"]),
        ("caseExactMatch", ["Anna Adler", " Anna  Adler "]),
        ("caseExactMatch", ["\u00e9", "e\u0301"]),
        ("caseIgnoreIA5Match", ["Anna.Adler@D01.example", " anna.adler@d01.EXAMPLE"]),
        ("caseIgnoreIA5Match", ["", " ", "\x01"]),
        ("caseExactIA5Match", ["/home/Anna", " /home/Anna "]),
        ("numericStringMatch", ["123", " 1 2 3 "]),
        ("telephoneNumberMatch", ["+49 (89) 12-34", "+49(89)1234", "+49 (89)  1234 -"]),
        ("telephoneNumberMatch", ["12 EXT 3", "12ext3"]),
        ("integerMatch", ["0"]),
        ("booleanMatch", ["TRUE", "true"]),
        ("bitStringMatch", ["'0101'B"]),
        ("generalizedTimeMatch", ["199412161032Z", "19941216103200Z", "199412161132+01",
         "19941216053200.000-0500"]),
        ("generalizedTimeMatch", ["1994121610.5Z", "199412161030Z", "1994121610,50Z", "19941216103000.0Z"]),
        ("generalizedTimeMatch", ["199412161030.25Z", "19941216103015Z"]),
        ("generalizedTimeMatch", ["20161231235960Z", "20170101005960+01"]),
        ("generalizedTimeMatch", ["20240229000000Z", "20240228230000-01"]),
        ("objectIdentifierMatch", ["person", "PERSON", "2.5.6.6"]),
        ("objectIdentifierMatch", ["cn", "commonName", "2.5.4.3"]),
        ("objectIdentifierMatch", ["caseIgnoreMatch", "2.5.13.2"]),
        ("objectIdentifierMatch", ["1.2.3.4"]),
        ("distinguishedNameMatch", ["uid=A+cn=B , O=c", "CN=b+UID=a,2.5.4.10=C", 'uid="a"+cn=b;o=c']),
        ("distinguishedNameMatch", [""]),
        ("uniqueMemberMatch", ["cn=a,o=b#'01'B", "CN=A, o=B#'01'B"]),
        ("uniqueMemberMatch", ["cn=a", "CN=A"]),
        ("caseIgnoreListMatch", ["1 Main St$City\\24\\5Cx", " 1  MAIN st $ city\\24\\5cX"]),
        ("uuidMatch", ["597ae2f6-16a6-1027-98f4-d28b5365dc14", "597AE2F6-16A6-1027-98F4-D28B5365DC14"]),
        ("CSNMatch", ["20240102030405Z#000000#00#000000", "20240102030405.000000Z#000000#000#000000"]),
        ("CSNMatch", ["20240102030405.123456Z#00000a#0AB#00000F",
         "20240102030405.123456Z#00000A#0ab#00000f"]),
        ("objectIdentifierFirstComponentMatch", ["( 2.5.4.3 NAME 'cn' SUP name )", "2.5.4.3", "cn",
         "(cn NAME 'x')"]),
        ("integerFirstComponentMatch", ["( 17 FORM f )", "17"]),
        ("directoryStringFirstComponentMatch", ["( 'A b' 1 )", "a  B"]),
        ("octetStringMatch", ["secret"]),
    ],
)  # fmt: skip
def test_equal(name: str, values: list[str]) -> None:
    assert len({rule(name).normalise(value.encode()) for value in values}) == 1


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("caseIgnoreMatch", "ab", "a b"),
        ("caseIgnoreMatch", "a", "\u00e4"),
        ("caseIgnoreMatch", "a \u0308b", "a\u0308b"),
        ("caseExactMatch", "Anna", "anna"),
        ("caseExactIA5Match", "Anna", "anna"),
        ("numericStringMatch", "12", "120"),
        ("telephoneNumberMatch", "+1", "1"),
        ("integerMatch", "1", "-1"),
        ("booleanMatch", "TRUE", "FALSE"),
        ("bitStringMatch", "'01'B", "'010'B"),
        ("generalizedTimeMatch", "19941216103200Z", "19941216103200.1Z"),
        ("generalizedTimeMatch", "20161231235960Z", "20170101000000Z"),
        ("objectIdentifierMatch", "cn", "sn"),
        ("distinguishedNameMatch", "cn=a\\,o=b", "cn=a,o=b"),
        ("distinguishedNameMatch", "cn=a+sn=b", "cn=a,sn=b"),
        ("uniqueMemberMatch", "cn=a", "cn=a#'01'B"),
        ("uniqueMemberMatch", "cn=x\\#'01'B,cn=a#''B", "cn=x#'01'B"),
        ("uniqueMemberMatch", "cn=a#''B", "cn=a"),
        ("caseIgnoreListMatch", "a$b", "a\\24b"),
        ("caseIgnoreListMatch", "a$$b", "a$b"),
        ("CSNMatch", "20240102030405Z#000000#00#000000", "20240102030405Z#000000#01#000000"),
        ("octetStringMatch", "secret", "Secret"),
        ("octetStringMatch", "a", " a"),
    ],
)
def test_not_equal(name: str, one: str, other: str) -> None:
    assert rule(name).normalise(one.encode()) != rule(name).normalise(other.encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("caseIgnoreMatch", b""),
        ("caseIgnoreMatch", b"\xff"),
        ("caseIgnoreMatch", "\ufffd".encode()),
        ("caseIgnoreMatch", "\ue000".encode()),
        ("caseIgnoreMatch", b"\xed\xa0\x80"),
        ("caseExactMatch", b""),
        ("caseIgnoreIA5Match", "é".encode()),
        ("caseExactIA5Match", b"\x80"),
        ("numericStringMatch", b"12a"),
        ("telephoneNumberMatch", b"\xff"),
        *[("integerMatch", value) for value in (b"", b"-", b"-0", b"01", b"+1", b"1 ", b"0x1", b"1\n",
         "١".encode())],
        ("booleanMatch", b"yes"),
        *[("bitStringMatch", value) for value in (b"01", b"'01'", b"'02'B", b"'01'b", b"'01'B\n")],
        *[
            ("generalizedTimeMatch", value)
            for value in (
                b"", b"1994", b"19941216", b"1994121610", b"19941316103200Z", b"19940230103200Z",
                b"199412162532Z",
                b"199412161060Z", b"19941216103261Z", b"19941216103200", b"19941216103200+2400",
                b"19941216103200+0060",
                b"19941216103200.Z", b"1994121610320Z", b"00010101000000+0100", b"99991231235959-0100",
                b"1994121610.5z", b"1994121610." + b"1" * 5000 + b"Z", b"19941216103200Z\n",
            )
        ],
        *[("objectIdentifierMatch", value) for value in (b"nosuchname", b"1.2.", b"01.2", b"", b"1",
         "\u212a".encode())],
        *[("distinguishedNameMatch", value) for value in (b"cn", b"nosuch=a", b"\xff", b"cn=", b"cn=a,")],
        *[("uniqueMemberMatch", value) for value in (b"cn#'01'B", b"cn=\xff")],
        ("caseIgnoreListMatch", b"a$\xff"),
        *[("uuidMatch", value) for value in (b"", b"597ae2f616a6102798f4d28b5365dc14", b"{597ae2f6}")],
        *[("CSNMatch", value) for value in (b"", b"20240102030405Z", b"20240102030405.1Z#000000#000#000000")],
        ("objectIdentifierFirstComponentMatch", b"( nosuch )"),
        ("integerFirstComponentMatch", b"( x )"),
    ],
)  # fmt: skip
def test_undefined(name: str, value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        rule(name).normalise(value)


@pytest.mark.parametrize(
    ("name", "sorted_values"),
    [
        ("integerOrderingMatch", [
            "-" + "9" * 400, "-1" + "0" * 126, "-" + "9" * 126, "-10", "-9", "-1", "0", "1", "9", "10",
            "11", "255",
            "256", "9" * 126, "1" + "0" * 126, "9" * 127, "1" + "0" * 300,
        ]),
        ("generalizedTimeOrderingMatch", [
            "19931216103200Z", "199412161032Z", "19941216103200.001Z", "19941216103200.01Z",
            "19941216103200.1Z",
            "199412161033Z", "199412161233+0130", "20161231235959.9Z", "20161231235960Z", "20170101000000Z",
        ]),
        ("caseIgnoreOrderingMatch", ["A", "a b", "AB", "b", "Ä"]),
        ("caseExactOrderingMatch", ["A", "B", "a", "ab"]),
        ("numericStringOrderingMatch", ["1", "1 0", "2"]),
        ("octetStringOrderingMatch", ["", "A", "AA", "B"]),
        ("CSNOrderingMatch", [
            "20240102030405Z#000000#00#000000", "20240102030405.000001Z#000000#000#000000",
            "20240102030405.000001Z#00000A#000#000000", "20240102030405.000001Z#00000b#000#000000",
        ]),
    ],
)  # fmt: skip
def test_order(name: str, sorted_values: list[str]) -> None:
    normal = [rule(name).normalise(value.encode()) for value in sorted_values]
    assert normal == sorted(set(normal))


@pytest.mark.parametrize(
    ("name", "value", "part", "expected"),
    [
        ("caseIgnoreSubstringsMatch", "  Foo  Bar ", "initial", "foo bar "),
        ("caseIgnoreSubstringsMatch", "  Foo  Bar ", "any", " foo bar "),
        ("caseIgnoreSubstringsMatch", "  Foo  Bar ", "final", " foo bar"),
        ("caseIgnoreSubstringsMatch", "  ", "initial", ""),
        ("caseIgnoreSubstringsMatch", "  ", "any", " "),
        ("caseIgnoreSubstringsMatch", "  ", "final", ""),
        ("caseIgnoreSubstringsMatch", "\u00c4 \u00a0", "initial", "\u00e4 "),
        ("caseExactSubstringsMatch", " Foo", "any", " Foo"),
        ("caseIgnoreIA5SubstringsMatch", "@D01.", "any", "@d01."),
        ("caseExactIA5SubstringsMatch", "/Home", "initial", "/Home"),
        ("numericStringSubstringsMatch", " 1 2 ", "any", "12"),
        ("telephoneNumberSubstringsMatch", "- 12-3 ", "final", "123"),
        ("octetStringSubstringsMatch", " A ", "any", " A "),
        ("caseIgnoreListSubstringsMatch", "Main ", "final", "main"),
    ],
)
def test_parts(name: str, value: str, part: Part, expected: str) -> None:
    assert rule(name).normalise_part(value.encode(), part) == expected.encode()


def test_a_part_of_a_list_stays_in_one_line() -> None:
    found = rule("caseIgnoreListSubstringsMatch")
    value = found.normalise(b"1 Main St$Paris\\24")
    assert value.startswith(found.normalise_part(b"1 MAIN", "initial"))
    assert found.normalise_part(b"paris$", "final") in value
    assert found.normalise_part(b"st paris", "any") not in value


def test_only_substrings_rules_have_parts() -> None:
    for found in SCHEMA.matching_rules:
        if found.kind is not RuleKind.SUBSTRINGS:
            with pytest.raises(ValueError, match="not a substrings rule"):
                found.normalise_part(b"a", "any")


def test_every_rule_is_defined_and_every_definition_done() -> None:
    assert {found.name for found in SCHEMA.matching_rules} == set(behaviours(SCHEMA))


def test_substrings_and_ordering_share_the_equality_rules_index() -> None:
    for kind in SCHEMA.attribute_types:
        for other in (kind.ordering, kind.substrings):
            if other is not None:
                assert SCHEMA.orders_like(kind.equality, other), kind.name
    assert not SCHEMA.orders_like(rule("caseIgnoreMatch"), rule("caseExactOrderingMatch"))
    assert not SCHEMA.orders_like(None, rule("caseIgnoreMatch"))


HOSTILE = [
    b"1" * 300_000, b"-" + b"9" * 300_000, b" " * 300_000, b"a " * 150_000, "ü ".encode() * 100_000,
    b"\\" * 300_000, b"$" * 300_000, b"( " * 300_000, b"'" + b"01" * 150_000,
    b"20240101000000." + b"9" * 300_000,
    "\u0301\u0316".encode() * 200_000, "\ufdfa".encode() * 20_000, "\u0390".encode() * 50_000, b"{" * 300_000,
    b'{ issuer "' + b'""' * 100_000, b"cn=a#'" + b"01" * 100_000, b"0\x82" * 300_000,
]  # fmt: skip


ONE_EACH = {found.normalise: found.name for found in SCHEMA.matching_rules}


@pytest.mark.parametrize("name", sorted(ONE_EACH.values()))
def test_hostile_values_take_linear_time(name: str) -> None:
    """All together well under a second for most; quadratic work would take minutes."""
    start = time.process_time()
    messages = []
    for value in HOSTILE:
        try:
            rule(name).normalise(value)
        except ValueError as error:
            messages.append(str(error))
    assert [message for message in messages if len(message) > 200] == []
    assert time.process_time() - start < 3
