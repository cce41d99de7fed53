"""The built-in definitions, against what OpenLDAP ships and what other files build on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ldapserver.extended import CGNODE_ARC
from ldapserver.schema import ClassKind, Schema, standard_schema
from ldapserver.schema.definitions.cgnode import CGNODE
from ldapserver.schema.definitions.core import OPERATIONAL, RULES, SYNTAXES
from ldapserver.schema.definitions.user import USER
from ldapserver.schema.model import AttributeTypeDefinition, ObjectClassDefinition
from ldapserver.schema.text import parse_definitions

SCHEMA = standard_schema()
OPENLDAP = Path("/etc/ldap/schema")


def openldap(name: str) -> str:
    path = OPENLDAP / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip("OpenLDAP's schema files are not installed")
    return path.read_text()


def test_it_is_built_once() -> None:
    assert standard_schema() is SCHEMA


def test_it_is_built_fast() -> None:
    """An embedded server is ready in 50 ms; this is most of the computing in it."""
    text = "".join((SYNTAXES, RULES, OPERATIONAL, USER, CGNODE))

    def build() -> float:
        start = time.process_time()
        Schema(parse_definitions(text, macros={"cgnode": CGNODE_ARC}))
        return time.process_time() - start

    assert min(build() for _ in range(10)) < 0.025


@pytest.mark.parametrize(
    "name",
    [
        "objectClass", "aliasedObjectName", "creatorsName", "createTimestamp", "modifiersName",
        "modifyTimestamp", "structuralObjectClass", "governingStructureRule", "objectClasses",
        "attributeTypes", "matchingRules", "matchingRuleUse", "ldapSyntaxes", "dITContentRules",
        "dITStructureRules", "nameForms", "subschemaSubentry", "altServer", "namingContexts",
        "supportedControl", "supportedExtension", "supportedFeatures", "supportedLDAPVersion",
        "supportedSASLMechanisms", "vendorName", "vendorVersion", "entryUUID", "entryDN",
        "hasSubordinates", "numSubordinates", "entryCSN", "contextCSN", "ref", "labeledURI",
        "userCertificate", "hostServer", "oldHostServer", "jpegPhoto", "mail", "uid", "dc",
        "userPassword",
    ],
)  # fmt: skip
def test_attribute_types_are_there(name: str) -> None:
    found = SCHEMA.attribute_type(name)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "name",
    [
        "top", "alias", "subschema", "extensibleObject", "subentry", "referral", "person",
        "organizationalPerson", "inetOrgPerson", "residentialPerson", "organization",
        "organizationalUnit", "organizationalRole", "groupOfNames", "groupOfUniqueNames", "country",
        "locality", "device", "dcObject", "uidObject", "domain", "account", "document", "documentSeries",
        "room", "rFC822localPart", "domainRelatedObject", "friendlyCountry", "simpleSecurityObject",
        "labeledURIObject", "pkiUser", "pkiCA", "CommuniGateDomain", "CommuniGateAccount",
        "CommuniGateGroup",
    ],
)  # fmt: skip
def test_classes_are_there(name: str) -> None:
    found = SCHEMA.object_class(name)
    assert found is not None
    assert found.name == name


def test_ours() -> None:
    for name in ("hostServer", "oldHostServer"):
        kind = SCHEMA.attribute_type(name)
        assert kind is not None
        assert kind.oid.startswith(f"{CGNODE_ARC}.2.")
        assert kind.equality is SCHEMA.matching_rule("caseIgnoreIA5Match")
        assert kind.substrings is SCHEMA.matching_rule("caseIgnoreIA5SubstringsMatch")
        assert kind.single_value
        for class_name in ("CommuniGateDomain", "CommuniGateAccount", "CommuniGateGroup"):
            found = SCHEMA.object_class(class_name)
            assert found is not None
            assert found.oid.startswith(f"{CGNODE_ARC}.3.")
            assert found.kind is ClassKind.STRUCTURAL
            assert kind in found.may
    domain = SCHEMA.object_class("CommuniGateDomain")
    assert domain is not None
    assert {kind.name for kind in domain.must} == {"cn", "objectClass"}


# Where OpenLDAP does not keep to RFC 2798 (octetStringMatch) and RFC 4524 (substrings).
KNOWN = {"audio", "uniqueIdentifier"}


@pytest.mark.parametrize("name", ["core.schema", "cosine.schema", "inetorgperson.schema"])
def test_as_openldap(name: str) -> None:
    """Same OIDs mean the same names, rules, syntaxes, required and allowed attributes."""

    def attributes(names: tuple[str, ...]) -> set[str]:
        return {kind.name if (kind := SCHEMA.attribute_type(name)) else name for name in names}

    compared = 0
    for theirs in parse_definitions(openldap(name), name):
        if isinstance(theirs, AttributeTypeDefinition) and (kind := SCHEMA.attribute_type(theirs.oid)):
            ours = kind.definition
            assert {found.lower() for found in theirs.names} <= {found.lower() for found in ours.names}
            assert (theirs.sup, theirs.single_value) == (ours.sup, ours.single_value)
            assert theirs.usage is ours.usage
            if kind.name not in KNOWN:
                for one, other in [
                    (theirs.equality, ours.equality),
                    (theirs.ordering, ours.ordering),
                    (theirs.substrings, ours.substrings),
                    (theirs.syntax, ours.syntax),
                ]:
                    assert one == other, kind.name
            compared += 1
        if isinstance(theirs, ObjectClassDefinition) and (found := SCHEMA.object_class(theirs.oid)):
            definition = found.definition
            assert {text.lower() for text in theirs.names} == {text.lower() for text in definition.names}
            assert (theirs.sup, theirs.kind) == (definition.sup, definition.kind)
            assert attributes(theirs.must) == attributes(definition.must), found.name
            assert attributes(theirs.may) == attributes(definition.may), found.name
            compared += 1
    assert compared > 5


@pytest.mark.parametrize(
    "name",
    ["nis.schema", "misc.schema", "java.schema", "corba.schema", "namedobject.schema", "collective.schema"],
)
def test_openldap_files_extend_it(name: str) -> None:
    schema = SCHEMA.extended(openldap(name), name)
    assert len(schema.definitions) > len(SCHEMA.definitions)


def test_posix_accounts_with_nis_schema() -> None:
    schema = SCHEMA.extended(openldap("nis.schema"), "nis.schema")
    found = schema.object_class("posixAccount")
    assert found is not None
    assert {kind.name for kind in found.must} >= {"uidNumber", "gidNumber", "homeDirectory"}
