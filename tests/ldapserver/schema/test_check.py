"""Entries against the schema: what passes, and the code of what does not."""

from __future__ import annotations

import pytest

from ldapserver.dn import parse_rdn
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription, Schema, standard_schema
from ldapserver.schema.check import (
    check_entry,
    check_same_structural,
    check_shape,
    check_user_modifiable,
    check_values,
    missing_naming_values,
    naming_values,
    structural_class,
)
from ldapserver.schema.schema import _REMEMBERED

SCHEMA = standard_schema()
Entry = dict[AttributeDescription, list[bytes]]


def entry(text: str, schema: Schema = SCHEMA) -> Entry:
    """Lines of ``name: value``; ``(none)`` stands for no values."""
    found: Entry = {}
    for line in text.strip().splitlines():
        name, _, value = line.strip().partition(": ")
        found.setdefault(schema.description(name), []).extend([value.encode()] if value != "(none)" else [])
    return found


ACCOUNT = """
    objectClass: inetOrgPerson
    objectClass: CommuniGateAccount
    uid: u0000001
    cn: Anna Adler
    sn: Adler
    mail: anna.adler.1@d01.example
    userPassword: {SSHA}x
    hostServer: be3
"""
ALIAS = "objectClass: top\nobjectClass: alias\naliasedObjectName: uid=anna,cn=d.example\n"
ORGANIZATION = "objectClass: organization\no: example\n"


@pytest.mark.parametrize(
    ("text", "structural"),
    [
        (ACCOUNT, "CommuniGateAccount"),
        (ACCOUNT + "objectClass: top\nobjectClass: person\nobjectClass: organizationalPerson",
         "CommuniGateAccount"),
        (ACCOUNT + "cn: Anna Bauer\ncn;lang-de: Anna Adler\ndescription: x", "CommuniGateAccount"),
        (ACCOUNT + "createTimestamp: 20240101000000Z\nentryCSN: 20240101000000.000000Z#000000#000#000000",
         "CommuniGateAccount"),
        ("objectClass: COMMUNIGATEACCOUNT\nuid: a\ncn: b\nsn: c", "CommuniGateAccount"),
        ("objectClass: 2.16.840.1.113730.3.2.2\ncn: b\nsn: c", "inetOrgPerson"),
        ("objectClass: CommuniGateDomain\ncn: d01.example", "CommuniGateDomain"),
        ("objectClass: CommuniGateGroup\nuid: all\ncn: All\nmember: uid=a\nmember: uid=b\nhostServer: be1",
         "CommuniGateGroup"),
        (ORGANIZATION, "organization"),
        ("objectClass: organization\nobjectClass: dcObject\no: e\ndc: e", "organization"),
        ("objectClass: domain\ndc: example", "domain"),
        ("objectClass: person\ncn: a\nsn;lang-de: b", "person"),
        (ALIAS + "uid: anna2", "alias"),
        (ALIAS + "cn: Anna\nobjectClass: extensibleObject\nmail: a@b", "alias"),
        (ALIAS + "uid: anna2\nobjectClass: uidObject", "alias"),
        (ORGANIZATION + "objectClass: extensibleObject\nmail: x@y\nuidNumber: 1", "organization"),
        ("objectClass: referral\nobjectClass: extensibleObject\nref: ldap://h/o=x\nou: x", "referral"),
    ],
)  # fmt: skip
def test_entries_that_keep_to_the_schema(text: str, structural: str) -> None:
    for _ in range(2):  # the second time from memory
        assert check_entry(SCHEMA, entry(text)).name == structural


VIOLATION = ResultCode.OBJECT_CLASS_VIOLATION
SYNTAX = ResultCode.INVALID_ATTRIBUTE_SYNTAX


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("cn: a", VIOLATION, "no object class"),
        ("objectClass: nosuch\ncn: a", VIOLATION, "object class 'nosuch' is not defined"),
        ("objectClass: cn\ncn: a", VIOLATION, "object class 'cn' is not defined"),
        ("objectClass: top\ncn: a", VIOLATION, "no structural object class"),
        ("objectClass: dcObject\ndc: a", VIOLATION, "no structural object class"),
        ("objectClass: person\nobjectClass: organization\ncn: a\nsn: b\no: c", VIOLATION,
         "more than one structural object class: organization and person"),
        ("objectClass: person\ncn: a", VIOLATION, "object class person requires sn"),
        ("objectClass: inetOrgPerson\nuid: a", VIOLATION, "object class inetOrgPerson requires cn, sn"),
        ("objectClass: CommuniGateAccount\ncn: a\nsn: b", VIOLATION,
         "object class CommuniGateAccount requires uid"),
        (ORGANIZATION + "objectClass: dcObject", VIOLATION, "object class organization requires dc"),
        (ORGANIZATION + "mail: a@b", VIOLATION, "attribute mail is not allowed by the object classes"),
        ("objectClass: person\ncn: a\nsn: b\nname: c", VIOLATION, "attribute name is not allowed"),
        ("objectClass: person\ncn: a\nname: c", VIOLATION, "requires sn"),
        (ALIAS + "mail: a@b", VIOLATION, "attribute mail is not allowed"),
        (ALIAS + "objectClass: pkiUser", VIOLATION, "alias entries can't be pkiUser too"),
        ("objectClass: alias\nuid: a", VIOLATION, "object class alias requires aliasedObjectName"),
        ("objectClass: person\nobjectClass: 2.5.6.6\ncn: a\nsn: b", ResultCode.ATTRIBUTE_OR_VALUE_EXISTS,
         "objectClass"),
        (ACCOUNT + "cn: ANNA  adler", ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, "cn: a value is there twice"),
        (ACCOUNT + "hostServer: be4", ResultCode.CONSTRAINT_VIOLATION, "hostServer: only one value"),
        (ACCOUNT + "mail: ä@b", SYNTAX, "mail: a value is not of the syntax IA5 String"),
        (ACCOUNT + "telephoneNumber: #1", SYNTAX,
         "telephoneNumber: a value is not of the syntax Telephone Number"),
        (ACCOUNT + "manager: cn", SYNTAX, "manager: a value is not of the syntax DN"),
        (ACCOUNT + "manager: nosuch=a", SYNTAX, "manager: attribute type 'nosuch' is not defined"),
        (ACCOUNT + "description;lang-en: (none)", SYNTAX, "description;lang-en: no values"),
        (ACCOUNT + "title: \ufffd", SYNTAX, "title: U+FFFD can't be compared"),
        (ACCOUNT + "structuralObjectClass: nosuch", SYNTAX, "neither an OID nor a known name"),
        (ACCOUNT + "modifyTimestamp: now", SYNTAX, "Generalized Time"),
        (ACCOUNT + "entryUUID: 1", SYNTAX, "UUID"),
    ],
)  # fmt: skip
def test_entries_that_do_not(text: str, code: ResultCode, message: str) -> None:
    for _ in range(2):
        with pytest.raises(LDAPError) as caught:
            check_entry(SCHEMA, entry(text))
        assert caught.value.code is code
        assert message in caught.value.message


def test_abstract_classes_need_a_derived_one() -> None:
    schema = SCHEMA.extended(
        "objectclass ( 1.2.3.1 NAME 'thing' SUP top ABSTRACT MAY description )\n"
        "objectclass ( 1.2.3.2 NAME 'box' SUP thing STRUCTURAL MUST cn )"
    )
    box = "objectClass: box\ncn: a\ndescription: b"
    assert check_entry(schema, entry(box, schema)).name == "box"
    assert check_entry(schema, entry(box + "\nobjectClass: thing", schema)).name == "box"
    with pytest.raises(LDAPError, match="no object class derives from the abstract class thing"):
        check_entry(schema, entry(ORGANIZATION + "objectClass: thing", schema))


def test_content_rules() -> None:
    schema = SCHEMA.extended(
        "ditcontentrule ( 2.5.6.4 AUX dcObject MUST description MAY mail NOT telexNumber )"
    )
    good = ORGANIZATION + "description: a\nmail: a@b\n"
    assert check_entry(schema, entry(good, schema)).name == "organization"
    for text, message in [
        (ORGANIZATION, "requires description"),
        (good + "telexNumber: 1$2$3", "attribute telexNumber is precluded"),
        (good + "objectClass: uidObject\nuid: a", "can't be uidObject too"),
    ]:
        with pytest.raises(LDAPError, match=message):
            check_entry(schema, entry(text, schema))


def test_shapes() -> None:
    names = tuple(SCHEMA.description(name) for name in ("objectClass", "cn", "sn"))
    assert check_shape(SCHEMA, (b"person",), names).name == "person"
    assert check_shape(SCHEMA, (b"top", b"person"), names).name == "person"
    with pytest.raises(LDAPError):
        check_shape(SCHEMA, (b"person",), names[:2])


def test_shapes_that_are_remembered_are_bounded() -> None:
    schema = SCHEMA.extended("")
    person = tuple(schema.description(name) for name in ("objectClass", "cn", "sn"))
    for number in range(_REMEMBERED + 100):
        check_shape(schema, (b"person",), (*person, schema.description(f"cn;x-{number}")))
    assert len(schema.shapes) <= _REMEMBERED


def test_values() -> None:
    mail = SCHEMA.description("mail")
    check_values(mail, [b"a@b", b"c@d"])
    check_values(SCHEMA.description("jpegPhoto"), [b"\xff", b""])
    with pytest.raises(LDAPError) as caught:
        check_values(SCHEMA.description("jpegPhoto"), [b"\xff", b"\xff"])
    assert caught.value.code is ResultCode.ATTRIBUTE_OR_VALUE_EXISTS
    with pytest.raises(LDAPError) as caught:
        check_values(mail, [])
    assert caught.value.code is SYNTAX


def test_structural_classes() -> None:
    assert structural_class(SCHEMA, (b"top", b"person", b"inetOrgPerson")).name == "inetOrgPerson"
    before, after = (b"inetOrgPerson",), (b"inetOrgPerson", b"person", b"dcObject")
    assert check_same_structural(SCHEMA, before, after).name == "inetOrgPerson"
    for wrong in [(b"inetOrgPerson", b"CommuniGateAccount"), (b"person",), (b"organization",)]:
        with pytest.raises(LDAPError) as caught:
            check_same_structural(SCHEMA, before, wrong)
        assert caught.value.code is ResultCode.OBJECT_CLASS_MODS_PROHIBITED
    with pytest.raises(LDAPError) as caught:
        check_same_structural(SCHEMA, before, (b"top",))
    assert caught.value.code is VIOLATION


def test_user_modification() -> None:
    check_user_modifiable(SCHEMA.description("cn"))
    with pytest.raises(LDAPError) as caught:
        check_user_modifiable(SCHEMA.description("entryUUID"))
    assert caught.value.code is ResultCode.CONSTRAINT_VIOLATION


def test_naming() -> None:
    uid, cn = SCHEMA.description("uid"), SCHEMA.description("cn")
    rdn = parse_rdn("UID=anna+2.5.4.3=Anna  Adler")
    assert naming_values(SCHEMA, rdn) == [(uid, b"anna"), (cn, b"Anna  Adler")]
    assert missing_naming_values(SCHEMA, rdn, {}) == naming_values(SCHEMA, rdn)
    assert missing_naming_values(SCHEMA, rdn, {uid: [b"x", b"ANNA"], cn: [b"Anna"]}) == [(cn, b"Anna  Adler")]
    assert missing_naming_values(SCHEMA, rdn, {uid: [b"anna"], cn: [b"anna adler"]}) == []


@pytest.mark.parametrize(
    "text", ["jpegPhoto=a", "createTimestamp=20240101000000Z", "objectClass=top", "ref=x"]
)
def test_types_that_cannot_name(text: str) -> None:
    with pytest.raises(LDAPError) as caught:
        naming_values(SCHEMA, parse_rdn(text))
    assert caught.value.code is ResultCode.NAMING_VIOLATION


def test_a_naming_value_that_cannot_be_compared() -> None:
    with pytest.raises(LDAPError) as caught:
        missing_naming_values(SCHEMA, parse_rdn("uidNumber=x"), {SCHEMA.description("uidNumber"): [b"1"]})
    assert caught.value.code is SYNTAX
