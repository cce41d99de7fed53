"""The schema as an entry, and read by a client's parser."""

from __future__ import annotations

import os

import pytest

from ldapserver.schema import ClassKind, standard_schema
from ldapserver.schema.subschema import subschema_entry
from ldapserver.schema.text import parse_definition

SCHEMA = standard_schema()
ENTRY = {attribute.type: attribute.values for attribute in subschema_entry(SCHEMA)}


def test_what_it_holds() -> None:
    assert ENTRY["objectClass"] == (b"top", b"subentry", b"subschema", b"extensibleObject")
    assert ENTRY["cn"] == (b"Subschema",)
    assert len(ENTRY["attributeTypes"]) == len(SCHEMA.attribute_types)
    assert len(ENTRY["objectClasses"]) == len(SCHEMA.object_classes)
    assert len(ENTRY["matchingRules"]) == len(SCHEMA.matching_rules)
    assert len(ENTRY["ldapSyntaxes"]) == len(SCHEMA.syntaxes)
    assert b"( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )" in ENTRY["attributeTypes"]
    assert b"( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )" in ENTRY["objectClasses"]
    assert any(
        value.startswith(b"( 2.5.13.14 NAME 'integerMatch' APPLIES ( ") for value in ENTRY["matchingRuleUse"]
    )
    assert len(ENTRY["dITContentRules"]) == 1


def test_its_values_keep_to_their_syntaxes_and_differ() -> None:
    for name, values in ENTRY.items():
        kind = SCHEMA.attribute_type(name)
        assert kind is not None
        assert [value for value in values if not kind.syntax.validate(value)] == []
        if kind.equality is not None:
            assert len(set(map(kind.equality.normalise, values))) == len(values)


def test_definitions_read_back() -> None:
    types = {parse_definition("attributeTypes", text.decode()) for text in ENTRY["attributeTypes"]}
    assert types == {kind.definition for kind in SCHEMA.attribute_types}
    classes = {parse_definition("objectClasses", text.decode()) for text in ENTRY["objectClasses"]}
    assert classes == {found.definition for found in SCHEMA.object_classes}


def test_python_ldap_reads_it() -> None:
    try:
        from ldap.schema import SubSchema
        from ldap.schema import models as models
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("python-ldap is not installed")
    theirs = SubSchema(ENTRY, check_uniqueness=2)
    assert not theirs.non_unique_oids
    assert len(theirs.listall(models.AttributeType)) == len(SCHEMA.attribute_types)
    for kind in SCHEMA.attribute_types:
        found = theirs.get_obj(models.AttributeType, kind.name)
        assert (found.oid, found.names) == (kind.oid, kind.names)
        assert found.single_value == kind.single_value
        assert found.no_user_mod == kind.no_user_modification
        assert (found.usage != 0) == kind.operational
        assert (found.sup or (None,))[0] == (kind.sup.name if kind.sup else None)
        assert theirs.get_inheritedobj(models.AttributeType, kind.oid, ["syntax"]).syntax == kind.syntax.oid
    kinds = {ClassKind.STRUCTURAL: 0, ClassKind.ABSTRACT: 1, ClassKind.AUXILIARY: 2}
    for object_class in SCHEMA.object_classes:
        if object_class.name == "extensibleObject":
            continue  # they answer with all attributes
        found = theirs.get_obj(models.ObjectClass, object_class.name)
        assert (found.oid, found.kind) == (object_class.oid, kinds[object_class.kind])
        must, may = theirs.attribute_types([object_class.oid], ignore_dit_content_rule=1)
        assert set(must) | {"2.5.4.0"} == {kind.oid for kind in object_class.must} | {"2.5.4.0"}
        assert set(may) == {kind.oid for kind in object_class.may}
    for rule in SCHEMA.matching_rules:
        assert theirs.get_obj(models.MatchingRule, rule.name).syntax == rule.syntax
    assert theirs.get_structural_oc(["inetOrgPerson", "CommuniGateAccount"]) == SCHEMA.oid_of(
        "CommuniGateAccount"
    )
