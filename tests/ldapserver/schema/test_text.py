"""Definitions read and written (RFC 4512 section 4.1), and files of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapserver.schema.format import format_definition
from ldapserver.schema.model import (
    AttributeTypeDefinition,
    ClassKind,
    ContentRuleDefinition,
    MatchingRuleDefinition,
    MatchingRuleUseDefinition,
    NameFormDefinition,
    ObjectClassDefinition,
    SchemaError,
    StructureRuleDefinition,
    SyntaxDefinition,
    Usage,
)
from ldapserver.schema.text import parse_definition, parse_definitions

FULL = {
    "attributeTypes": (
        "( 1.2.3 NAME ( 'a' 'b-c' ) DESC 'it\\27s \\5C' OBSOLETE SUP x EQUALITY e ORDERING o SUBSTR s "
        "SYNTAX 1.2.4{64} SINGLE-VALUE COLLECTIVE NO-USER-MODIFICATION USAGE dSAOperation "
        "X-ORIGIN 'RFC' X-SEVERAL ( 'a' 'b' ) )",
        AttributeTypeDefinition(
            oid="1.2.3", names=("a", "b-c"), desc="it's \\", obsolete=True, sup="x", equality="e",
            ordering="o",
            substrings="s", syntax="1.2.4", length=64, single_value=True, collective=True,
            no_user_modification=True, usage=Usage.DSA,
            extensions=(("X-ORIGIN", ("RFC",)), ("X-SEVERAL", ("a", "b"))),
        ),
    ),
    "objectClasses": (
        "( 1.2.3 NAME 'a' DESC 'd' OBSOLETE SUP ( x $ y ) AUXILIARY MUST a MAY ( b $ c ) X-A 'b' )",
        ObjectClassDefinition(
            oid="1.2.3", names=("a",), desc="d", obsolete=True, sup=("x", "y"), kind=ClassKind.AUXILIARY,
            must=("a",), may=("b", "c"), extensions=(("X-A", ("b",)),),
        ),
    ),
    "matchingRules": (
        "( 1.2.3 NAME 'a' DESC 'd' OBSOLETE SYNTAX 1.2.4 )",
        MatchingRuleDefinition(oid="1.2.3", names=("a",), desc="d", obsolete=True, syntax="1.2.4"),
    ),
    "matchingRuleUse": (
        "( 1.2.3 NAME 'a' APPLIES ( b $ c ) )",
        MatchingRuleUseDefinition(oid="1.2.3", names=("a",), applies=("b", "c")),
    ),
    "ldapSyntaxes": (
        "( 1.2.3 DESC 'd' X-NOT-HUMAN-READABLE 'TRUE' )",
        SyntaxDefinition(oid="1.2.3", desc="d", extensions=(("X-NOT-HUMAN-READABLE", ("TRUE",)),)),
    ),
    "dITContentRules": (
        "( 1.2.3 NAME 'a' AUX ( b $ c ) MUST d MAY ( e $ f ) NOT g )",
        ContentRuleDefinition(
            oid="1.2.3", names=("a",), auxiliaries=("b", "c"), must=("d",), may=("e", "f"), excluded=("g",)
        ),
    ),
    "dITStructureRules": (
        "( 2 NAME 'a' FORM f SUP ( 0 1 ) )",
        StructureRuleDefinition(oid="2", names=("a",), form="f", sup=("0", "1")),
    ),
    "nameForms": (
        "( 1.2.3 NAME 'a' OC b MUST c MAY d )",
        NameFormDefinition(oid="1.2.3", names=("a",), object_class="b", must=("c",), may=("d",)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("keyword", FULL)
def test_every_form_is_read_and_written(keyword: str) -> None:
    text, definition = FULL[keyword]
    assert parse_definition(keyword, text) == definition
    assert format_definition(definition) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("(1.2.3)", "( 1.2.3 )"),
        (" (\n1.2.3\n\tNAME\n'a'SUP b\t) ", "( 1.2.3 NAME 'a' SUP b )"),
        ("( 1.2.3 SUP b NAME 'a' )", "( 1.2.3 NAME 'a' SUP b )"),
        ("( 1.2.3 name 'a' single-value )", "( 1.2.3 NAME 'a' SINGLE-VALUE )"),
        ("( 1.2.3 NAME ('a''b') )", "( 1.2.3 NAME ( 'a' 'b' ) )"),
        ("( 1.2.3 NAME ( ) )", "( 1.2.3 )"),
        ("( 1.2.3 SYNTAX '1.2.4' EQUALITY 'e' )", "( 1.2.3 EQUALITY e SYNTAX 1.2.4 )"),
        ("( 1.2.3 DESC '(a $ b)' )", "( 1.2.3 DESC '(a $ b)' )"),
        ("( 1.2.3 DESC '' USAGE USERAPPLICATIONS )", "( 1.2.3 )"),
    ],
)
def test_leniency(text: str, written: str) -> None:
    assert format_definition(parse_definition("attributeTypes", text)) == written


@pytest.mark.parametrize(
    ("keyword", "text", "reason"),
    [
        ("attributeTypes", "", "in brackets"),
        ("attributeTypes", "( 1.2.3", "in brackets"),
        ("attributeTypes", "( 1.2.3 ) x", "in brackets"),
        ("attributeTypes", "( 1.2.3 NAME 'a )", "in brackets"),
        ("attributeTypes", "( )", "an OID was expected"),
        ("attributeTypes", "( x NAME 'a' )", "not a numeric OID"),
        ("attributeTypes", "( 1 NAME 'a' )", "not a numeric OID"),
        ("attributeTypes", "( 1.02 NAME 'a' )", "not a numeric OID"),
        ("attributeTypes", "( 1.2.3 NAME a )", "in quotes"),
        ("attributeTypes", "( 1.2.3 NAME )", "in quotes was expected, not 'the end'"),
        ("attributeTypes", "( 1.2.3 NAME '1a' )", "can't be a name"),
        ("attributeTypes", "( 1.2.3 NAME 'a' NAME 'b' )", "NAME is there twice"),
        ("attributeTypes", "( 1.2.3 SUP ( a $ b ) )", r"not '\('"),
        ("attributeTypes", "( 1.2.3 USAGE me )", "unknown USAGE 'me'"),
        ("attributeTypes", "( 1.2.3 MUST a )", "'MUST' is unexpected"),
        ("attributeTypes", "( 1.2.3 SYNTAX )", "was expected, not 'the end'"),
        ("attributeTypes", "( 1.2.3 SYNTAX foo:1 )", "no objectidentifier 'foo'"),
        ("objectClasses", "( 1.2.3 MAY ( a b ) )", r"'\$' or '\)' was expected, not 'b'"),
        ("objectClasses", "( 1.2.3 MAY ( ) )", "was expected"),
        ("objectClasses", "( 1.2.3 MAY ( a $ ) )", "was expected"),
        ("objectClasses", "( 1.2.3 $ )", r"'\$' is unexpected"),
        ("dITStructureRules", "( 1.2 FORM f )", "not a numeric OID"),
        ("ldapSyntaxes", "( 1.2 NAME 'a' )", "'NAME' is unexpected"),
    ],
)
def test_refused(keyword: str, text: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        parse_definition(keyword, text)


FILE = """\
# A site's schema
objectidentifier site 1.3.6.1.4.1.99999
objectIdentifier siteTypes site:1
  # indented comment ( with bracket

attributetype ( siteTypes:1
    NAME 'badge' DESC 'no # comment'
    # in between
    SUP name )
AttributeTypes (siteTypes:2 NAME 'floor' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27{4})

objectclass ( site:2.1 NAME 'visitor' SUP inetOrgPerson MAY ( badge $ floor ) )
"""


def test_file() -> None:
    badge, floor, visitor = parse_definitions(FILE, "site.schema")
    assert isinstance(badge, AttributeTypeDefinition)
    assert (badge.oid, badge.names, badge.desc, badge.sup) == (
        "1.3.6.1.4.1.99999.1.1",
        ("badge",),
        "no # comment",
        "name",
    )
    assert isinstance(floor, AttributeTypeDefinition)
    assert (floor.oid, floor.length) == ("1.3.6.1.4.1.99999.1.2", 4)
    assert isinstance(visitor, ObjectClassDefinition)
    assert (visitor.oid, visitor.kind) == ("1.3.6.1.4.1.99999.2.1", ClassKind.STRUCTURAL)
    assert [found.origin for found in (badge, floor, visitor)] == [
        f"site.schema:{line}" for line in (6, 10, 12)
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("\n\nattributetype ( 1.2 NAME 'a'\n", 3, "brackets or quotes don't match: \"attributetype"),
        ("attributetype ( 1.2 DESC 'it's' )", 1, "brackets or quotes"),
        ("attributetype ( 1.2 NAME 'a' )\nattribute ( 1.3 )", 2, "a definition was expected"),
        ("( 1.2 NAME 'a' )", 1, "a definition was expected"),
        ("attributetype ( 1.2 NAME 'a' )\n)", 2, "a definition was expected"),
        ("# x\nattributetype ( 1.2\n SUB x )", 2, "'SUB' is unexpected"),
        ("\nobjectidentifier a b:1", 2, "'b:1' is not an OID"),
        ("objectidentifier a x", 1, "'x' is not an OID"),
        ("dn: cn=schema\nattributeTypes: ( 1.2 )", 1, "a definition was expected"),
    ],
)
def test_errors_have_a_place(text: str, line: int, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason) as caught:
        parse_definitions(text, "my.schema")
    assert str(caught.value).startswith(f"my.schema:{line}: ")


def test_an_open_bracket_is_found_in_linear_time() -> None:
    for text in ("attributetype ( " * 50_000, "attributetype ( 1.2 " + "( a 'b' " * 50_000, "( 'a" * 50_000):
        with pytest.raises(SchemaError):
            parse_definitions(text, "x")


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,5}", fullmatch=True)
OIDS = st.lists(st.integers(0, 999), min_size=2, max_size=5).map(lambda arcs: ".".join(map(str, arcs)))
DESCRIPTIONS = st.text(st.sampled_from("ab '\\()$#{}5C27\n\u00e9"))
REFERENCES = st.lists(NAMES | OIDS, max_size=3).map(tuple)


@given(
    st.builds(
        ObjectClassDefinition,
        oid=OIDS, names=st.lists(NAMES, max_size=3).map(tuple), desc=DESCRIPTIONS, obsolete=st.booleans(),
        sup=REFERENCES, kind=st.sampled_from(ClassKind), must=REFERENCES, may=REFERENCES,
    )
)  # fmt: skip
def test_written_classes_read_back(definition: ObjectClassDefinition) -> None:
    assert parse_definition("objectClasses", format_definition(definition)) == definition


@given(
    st.builds(
        AttributeTypeDefinition,
        oid=OIDS, names=st.lists(NAMES, max_size=3).map(tuple), desc=DESCRIPTIONS, sup=st.none() | NAMES,
        syntax=st.none() | OIDS, single_value=st.booleans(), usage=st.sampled_from(Usage),
    )
)  # fmt: skip
def test_written_types_read_back(definition: AttributeTypeDefinition) -> None:
    assert parse_definition("attributeTypes", format_definition(definition)) == definition
