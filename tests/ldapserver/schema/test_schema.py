"""Look-ups, descriptions, relations, and schemas with a site's own definitions."""

from __future__ import annotations

import gc

import pytest

from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeType, ObjectClass, Schema, SchemaError, Usage, standard_schema
from ldapserver.schema.schema import _REMEMBERED

SCHEMA = standard_schema()


def attribute(name: str, schema: Schema = SCHEMA) -> AttributeType:
    found = schema.attribute_type(name)
    assert found is not None
    return found


def object_class(name: str, schema: Schema = SCHEMA) -> ObjectClass:
    found = schema.object_class(name)
    assert found is not None
    return found


def test_names_oids_and_case() -> None:
    cn = attribute("cn")
    assert cn.name == "cn"
    for name in ("CN", "commonname", "2.5.4.3"):
        assert SCHEMA.attribute_type(name) is cn
    for name in ("", "nosuch", "2.5.4", "cn;lang-de", " cn", "\u212anowledgeInformation"):
        assert SCHEMA.attribute_type(name) is None
    assert SCHEMA.object_class("INETORGPERSON") is SCHEMA.object_class("2.16.840.1.113730.3.2.2")
    assert SCHEMA.matching_rule("caseignorematch") is SCHEMA.matching_rule("2.5.13.2")
    assert SCHEMA.object_class("cn") is None
    assert SCHEMA.oid_of("CN") == "2.5.4.3"
    assert SCHEMA.oid_of("Person") == "2.5.6.6"
    assert SCHEMA.oid_of("integerMatch") == "2.5.13.14"
    assert SCHEMA.oid_of("nosuch") is None


def test_inheritance() -> None:
    sn, name = attribute("sn"), attribute("name")
    assert (sn.sup, sn.equality, sn.substrings, sn.syntax) == (
        name,
        name.equality,
        name.substrings,
        name.syntax,
    )
    assert sn.equality is SCHEMA.matching_rule("caseIgnoreMatch")
    country = attribute("c")
    assert (country.syntax.desc, country.single_value, country.equality) == (
        "Country String",
        True,
        name.equality,
    )
    assert attribute("entryUUID").operational
    assert attribute("entryUUID").no_user_modification
    assert attribute("ref").usage is Usage.DISTRIBUTED
    assert not attribute("mail").operational
    person, account = object_class("person"), object_class("CommuniGateAccount")
    assert attribute("sn") in account.must
    assert attribute("objectClass") in account.must
    assert attribute("mail") in account.may
    assert attribute("uid") in account.must - account.may, "inetOrgPerson's MAY is a MUST here"
    assert person in account.superclasses


def test_relations() -> None:
    assert attribute("cn") in SCHEMA.subtypes(attribute("name"))
    assert SCHEMA.subtypes(attribute("mail")) == {attribute("mail")}
    person, account, top = object_class("person"), object_class("CommuniGateAccount"), object_class("top")
    assert {person, account} <= SCHEMA.subclasses(person)
    assert SCHEMA.subclasses(account) == {account}
    assert {person, account, top} <= SCHEMA.superclasses(account)
    assert attribute("sn") in SCHEMA.attributes_of(person)
    assert attribute("description") in SCHEMA.attributes_of(person)
    rule = SCHEMA.matching_rule("integerMatch")
    assert rule is not None
    assert attribute("uidNumber") in SCHEMA.types_using(rule)
    assert attribute("cn") not in SCHEMA.types_using(rule)


def test_descriptions() -> None:
    plain = SCHEMA.description("cn")
    assert (plain.type, plain.options, plain.text) == (attribute("cn"), (), "cn")
    assert SCHEMA.description("CommonName") is plain
    tagged = SCHEMA.description("2.5.4.3;LANG-en;lang-de;Lang-EN")
    assert (tagged.options, tagged.text) == (("lang-de", "lang-en"), "cn;lang-de;lang-en")
    assert SCHEMA.description("cn;lang-en;lang-de") is tagged
    assert SCHEMA.description("userCertificate;binary").text == "userCertificate;binary"
    assert SCHEMA.description("cn;x-site").options == ("x-site",)
    for wrong in (
        "",
        "nosuch",
        "cn;",
        "cn;nosuch",
        "cn;lang-",
        "cn;lang-de;",
        ";lang-de",
        "cn ",
        "cn;lang-d_e",
        "*",
    ):
        assert SCHEMA.find_description(wrong) is None
        with pytest.raises(LDAPError) as caught:
            SCHEMA.description(wrong * 1000)
        assert caught.value.code is ResultCode.UNDEFINED_ATTRIBUTE_TYPE
        assert len(caught.value.message) < 200


def test_covering() -> None:
    name, cn, tagged = (SCHEMA.description(text) for text in ("name", "cn", "cn;lang-de;lang-en"))
    assert SCHEMA.covers(cn, cn)
    assert SCHEMA.covers(name, cn)
    assert SCHEMA.covers(cn, tagged)
    assert SCHEMA.covers(SCHEMA.description("name;lang-en"), tagged)
    assert not SCHEMA.covers(cn, name)
    assert not SCHEMA.covers(tagged, cn)
    assert not SCHEMA.covers(SCHEMA.description("sn"), cn)


def test_descriptions_in_use_stay_the_same_object_and_others_are_forgotten() -> None:
    schema = SCHEMA.extended("")
    kept = schema.description("cn;x-kept")
    for number in range(3 * _REMEMBERED):
        schema.description(f"cn;x-{number}")
        schema.find_description(f"nosuch{number}")
        schema.naming("cN" if number % 2 else "Cn")
    assert schema.description("CN;X-Kept") is kept
    assert schema.description("cn") is schema.description("CN")
    gc.collect()
    assert len(schema._in_use) <= _REMEMBERED + 10
    assert len(schema._descriptions) <= _REMEMBERED


def test_naming() -> None:
    naming = SCHEMA.naming("CommonName")
    assert naming is not None
    assert naming[0] == b"cn="
    assert naming[1](b" A ") == b"a"
    assert SCHEMA.naming("2.5.4.3") == naming
    assert SCHEMA.naming("nosuch") is None


SITE = """
objectidentifier site 1.3.6.1.4.1.99999
attributetype ( site:1.1 NAME ( 'badge' 'badgeNumber' ) EQUALITY integerMatch ORDERING integerOrderingMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
attributetype ( site:1.2 NAME 'nickname' SUP name )
objectclass ( site:2.1 NAME 'visitor' SUP CommuniGateAccount STRUCTURAL MUST badge MAY nickname )
ldapsyntax ( site:3.1 DESC 'Room' X-SUBST '1.3.6.1.4.1.1466.115.121.1.15' )
attributetype ( site:1.3 NAME 'room2' SYNTAX site:3.1 )
ditcontentrule ( site:2.1 NOT jpegPhoto )
"""


def test_extended() -> None:
    schema = SCHEMA.extended(SITE, "site.schema")
    visitor = object_class("VISITOR", schema)
    assert visitor.must >= {attribute("badge", schema), attribute("sn", schema)}
    assert attribute("nickname", schema) in schema.subtypes(attribute("name", schema))
    assert visitor in schema.subclasses(object_class("person", schema))
    assert attribute("room2", schema).syntax.validate("é".encode())
    assert not attribute("room2", schema).syntax.validate(b"")
    rule = schema.content_rule(visitor)
    assert rule is not None
    assert rule.excluded == {attribute("jpegPhoto", schema)}
    oid_rule = schema.matching_rule("objectIdentifierMatch")
    assert oid_rule is not None
    assert oid_rule.normalise(b"Visitor") == b"1.3.6.1.4.1.99999.2.1"
    assert SCHEMA.attribute_type("badge") is None
    assert schema.extended("").attribute_type("badge") is not None


def test_a_later_definition_takes_the_place_of_a_user_attribute_or_class() -> None:
    schema = SCHEMA.extended(
        "attributetype ( 2.16.840.1.113730.3.1.241 NAME 'displayName' SUP name )\n"
        "objectclass ( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST cn MAY ( sn $ mail ) )"
    )
    assert not attribute("displayName", schema).single_value
    assert attribute("mail", schema) in object_class("CommuniGateAccount", schema).may
    assert attribute("sn", schema) not in object_class("inetOrgPerson", schema).must


def test_the_same_definition_again_is_no_error() -> None:
    SCHEMA.extended("attributetype ( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch"
                    " SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )")  # fmt: skip


TYPE = "attributetype ( 1.2.3.1 NAME 'a' "
IA5 = "SYNTAX 1.3.6.1.4.1.1466.115.121.1.26"
CLASS = "objectclass ( 1.2.3.2 NAME 'c' "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TYPE + ")", "a has neither SYNTAX nor SUP"),
        (TYPE + "SUP nosuch )", "attribute type 'nosuch' is not defined"),
        (TYPE + "SUP a )", "a is its own superior"),
        (TYPE + "SUP b )\nattributetype ( 1.2.3.3 NAME 'b' SUP a )", "is its own superior"),
        (TYPE + "SYNTAX 1.2.3.4 )", "syntax '1.2.3.4' is not defined"),
        (TYPE + f"EQUALITY nosuch {IA5} )", "matching rule 'nosuch' is not defined"),
        (TYPE + f"EQUALITY caseIgnoreOrderingMatch {IA5} )", "is no equality rule"),
        (TYPE + f"SUBSTR caseIgnoreMatch {IA5} )", "is no substrings rule"),
        (TYPE + f"ORDERING caseIgnoreMatch {IA5} )", "is no ordering rule"),
        (TYPE + "SUP name USAGE dSAOperation )", "differ in USAGE"),
        (
            "attributetype ( 1.2.3.9 NAME 'z' SUP name COLLECTIVE )\n" + TYPE + "SUP z )",
            "has to be COLLECTIVE",
        ),
        (f"attributetype ( 1.2.3.1 NAME 'mail' {IA5} )", "mail is defined already"),
        (f"attributetype ( 1.2.3.1 NAME 'hostServer' {IA5} )", "hostServer is defined already"),
        ("attributetype ( 2.5.18.1 NAME 'createTimestamp' SUP name )", "own definition can't be replaced"),
        ("attributetype ( 2.5.4.0 NAME 'objectClass' SUP name )", "own definition can't be replaced"),
        (CLASS + "SUP nosuch )", "object class 'nosuch' is not defined"),
        (CLASS + "SUP c )", "c is its own superior"),
        (CLASS + "MUST nosuch )", "attribute type 'nosuch' is not defined"),
        (CLASS + "SUP person AUXILIARY )", "one can't be the SUP of the other"),
        (CLASS + "SUP dcObject STRUCTURAL )", "one can't be the SUP of the other"),
        (CLASS + "SUP person ABSTRACT )", "one can't be the SUP of the other"),
        ("objectclass ( 1.2.3.2 NAME 'person' SUP top )", "person is defined already"),
        ("matchingrule ( 1.2.3 NAME 'myMatch' SYNTAX 1.2 )", "matching rule myMatch is not supported"),
        ("ldapsyntax ( 1.2.3 DESC 'x' )", "syntax 1.2.3 is not supported"),
        ("ldapsyntax ( 1.2.3 DESC 'x' X-SUBST '1.2.4' )", "syntax 1.2.3 is not supported"),
        ("ditcontentrule ( 1.2.3.4 MAY cn )", "object class '1.2.3.4' is not defined"),
        ("ditcontentrule ( 2.5.6.0 MAY cn )", "top is not structural"),
        ("ditcontentrule ( 2.5.6.6 AUX inetOrgPerson )", "inetOrgPerson is not auxiliary"),
        ("nameform ( 1.2.3 OC person MUST cn )", "not supported"),
        ("ditstructurerule ( 1 FORM x )", "not supported"),
    ],
)
def test_definitions_that_do_not_fit(text: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason) as caught:
        SCHEMA.extended("\n" + text, "my.schema")
    assert caught.value.origin.startswith("my.schema:")
