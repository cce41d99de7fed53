"""Names: what is written reads back, spellings of one name have one normal form, and
different names have different ones."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ldapserver.dn import (
    AVA,
    DN,
    RDN,
    format_rdn,
    normalise_dn,
    normalise_text,
    parse_dn,
    parse_rdn,
    split_first,
)
from ldapserver.results import LDAPError
from ldapserver.schema import standard_schema

SCHEMA = standard_schema()
# One type for each kind of rule, with values that the rule can compare.
WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1).map(str.encode)
ASCII = st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), min_size=1).map(str.encode)
SPECIAL = st.text(' #"+,;<=>\\\0ab', min_size=1).map(str.encode)
VALUES = {
    "cn": WORDS | SPECIAL,
    "uid": WORDS | SPECIAL,
    "o": ASCII | SPECIAL,
    "dc": ASCII | SPECIAL,
    "userPassword": st.binary(),
    "uidNumber": st.integers().map(lambda number: b"%d" % number),
    "entryUUID": st.uuids().map(lambda found: str(found).encode()),
}


@st.composite
def rdns(draw: st.DrawFn) -> RDN:
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True))
    return tuple(AVA(type_, draw(VALUES[type_])) for type_ in types)


DNS = st.lists(rdns(), max_size=4).map(lambda found: DN(tuple(found)))


@given(DNS)
def test_what_is_written_reads_back(dn: DN) -> None:
    assert parse_dn(str(dn)) == dn
    for rdn in dn.rdns:
        assert parse_rdn(format_rdn(rdn)) == rdn


@given(st.lists(st.tuples(st.sampled_from(["cn", "x-a", "1.2.3"]), st.binary()), min_size=1))
def test_any_octets_read_back(pairs: list[tuple[str, bytes]]) -> None:
    rdn = tuple(AVA(*pair) for pair in pairs)
    assert parse_rdn(format_rdn(rdn)) == rdn


@given(DNS)
def test_text_and_values_have_one_normal_form(dn: DN) -> None:
    assert normalise_text(str(dn), SCHEMA) == normalise_dn(dn, SCHEMA)


@given(DNS)
def test_splitting_is_parsing(dn: DN) -> None:
    rest, found = str(dn), []
    while rest:
        rdn, rest = split_first(rest)
        found.append(parse_rdn(rdn))
    assert tuple(found) == dn.rdns


def _spelt(pair: AVA, data: st.DataObject) -> str:
    """The same pair with another type name, in another case, or its octets in hex."""
    kind = SCHEMA.attribute_type(pair.type)
    assert kind is not None
    type_ = data.draw(
        st.sampled_from([pair.type, pair.type.upper(), kind.oid, f"oid.{kind.oid}", *kind.names])
    )
    hexadecimal = "".join(f"\\{octet:02x}" for octet in pair.value)
    plain = format_rdn((pair,)).partition("=")[2]
    value = data.draw(st.sampled_from([plain, hexadecimal, f" {hexadecimal} "]))
    return f"{type_} ={value}"


@given(DNS, st.data())
def test_spellings_of_one_name(dn: DN, data: st.DataObject) -> None:
    parts = []
    for rdn in dn.rdns:
        pairs = data.draw(st.permutations(rdn))
        parts.append(" + ".join(_spelt(pair, data) for pair in pairs))
    text = data.draw(st.sampled_from([",", " , ", ";"])).join(parts)
    assert normalise_text(text, SCHEMA) == normalise_dn(dn, SCHEMA)


BINARY_RDNS = st.lists(
    st.tuples(st.sampled_from(["userPassword", "jpegPhoto"]), st.binary(max_size=6) | SPECIAL),
    min_size=1, max_size=2, unique_by=lambda pair: pair[0],
).map(lambda pairs: tuple(AVA(*pair) for pair in pairs))  # fmt: skip


@given(BINARY_RDNS, BINARY_RDNS)
def test_different_names_differ(one: RDN, other: RDN) -> None:
    """These types compare octet by octet: RDNs are equal as sets or not at all."""
    same = normalise_dn(DN((one,)), SCHEMA) == normalise_dn(DN((other,)), SCHEMA)
    assert same == (set(one) == set(other))


@given(st.lists(BINARY_RDNS, max_size=3), st.lists(BINARY_RDNS, max_size=3))
def test_different_names_differ_as_values(one: list[RDN], other: list[RDN]) -> None:
    rule = SCHEMA.matching_rule("distinguishedNameMatch")
    assert rule is not None
    values = [rule.normalise(str(DN(tuple(found))).encode()) for found in (one, other)]
    assert (values[0] == values[1]) == ([set(rdn) for rdn in one] == [set(rdn) for rdn in other])


@given(st.text(st.sampled_from('ac=,+;"\\ #1.0<')) | st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        dn = parse_dn(text)
    except LDAPError:
        return
    assert parse_dn(str(dn)) == dn
    assume(text)
    rdn, parent = split_first(text)
    assert (parse_rdn(rdn), *parse_dn(parent).rdns) == dn.rdns
