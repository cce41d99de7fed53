"""Add: what becomes of a good request, and the refusal of each bad one."""

from __future__ import annotations

from uuid import UUID

import pytest

from ldapserver.identity import ANONYMOUS
from ldapserver.messages import AddRequest, Attribute
from ldapserver.ops.add import add, uuid_of_moment
from ldapserver.results import LDAPError, ResultCode
from storage.changes import Kind
from tests.ldapserver.ops.site import ALICE, BASE, DOMAIN, STAFF, Given, Site, account, attributes, refused

CAROL = "uid=carol,cn=example.com,o=example"
OU: Given = {"objectClass": "organizationalUnit"}


def test_an_entry_comes_back_as_it_was_added(site: Site) -> None:
    given = {**account("carol"), "DESCRIPTION": ["b", "a"], "hostServer": "be3"}
    site.add("UID=Carol , cn=EXAMPLE.com,O=example", given)
    entry = site.read(CAROL)
    # The domain is spelled as it is stored; attributes come in their order, by their names.
    assert entry.dn == "UID=Carol,cn=example.com,o=example"
    names = ["objectClass", "uid", "cn", "sn", "mail", "description", "hostServer"]
    assert [attribute.type for attribute in entry.attributes] == names
    assert site.values(CAROL, "description") == ["b", "a"]


def test_operational_attributes(site: Site) -> None:
    site.add(CAROL, account("carol"))
    found = {a.type: a.values[0].decode() for a in site.read(CAROL, "+").attributes}
    stamp = found["createTimestamp"]
    assert found["modifyTimestamp"] == stamp
    assert found["entryCSN"].startswith(stamp[:-1])
    assert (found["creatorsName"], found["modifiersName"]) == ("cn=admin", "cn=admin")
    assert found["structuralObjectClass"] == "CommuniGateAccount"
    assert found["entryDN"] == CAROL
    assert (found["hasSubordinates"], found["numSubordinates"]) == ("FALSE", "0")
    assert UUID(found["entryUUID"]).version == 7


def test_what_is_added_is_logged(site: Site) -> None:
    site.add(CAROL, account("carol"))
    assert site.log()[-1].kind is Kind.ADD


def test_uuids_sort_by_time() -> None:
    moments = [0, 1, 999, 1_000, 1_700_000_000_000_000, 1_700_000_000_000_500]
    made = [uuid_of_moment(moment, lambda size: b"\xff" * size) for moment in moments]
    made[0] = uuid_of_moment(0, lambda size: bytes(size))
    assert made == sorted(made)
    assert {(UUID(bytes=uuid).version, UUID(bytes=uuid).variant) for uuid in made} == {
        (7, UUID(int=0x8000 << 48).variant)
    }


def test_values_of_the_rdn_are_completed(site: Site) -> None:
    site.add("ou=Sales+l=Berlin,o=example", OU)
    entry = "l=berlin+ou=SALES,o=example"
    assert site.values(entry, "ou") == ["Sales"]
    assert site.values(entry, "l") == ["Berlin"]


def test_values_of_the_rdn_that_are_there_stay_as_they_are(site: Site) -> None:
    site.add("ou=Sales,o=example", {**OU, "ou": ["other", "SALES"]})
    assert site.values("ou=sales,o=example", "ou") == ["other", "SALES"]


def test_a_single_value_that_differs_from_the_name(site: Site) -> None:
    given: Given = {"objectClass": ["organization", "dcObject"], "o": "x", "dc": "other"}
    with refused(ResultCode.NAMING_VIOLATION):
        site.add("dc=example", given)


@pytest.mark.parametrize("dn", ["cn=example.org", "o=other", "dc=com", "ou=x+l=y"])
def test_any_top_level_entry(site: Site, dn: str) -> None:
    classes = {"cn": "CommuniGateDomain", "o": "organization", "dc": "domain", "ou": "organizationalUnit"}
    site.add(dn, {"objectClass": classes[dn.partition("=")[0]]})
    assert site.read(dn).dn == dn


def test_escaped_names(site: Site) -> None:
    site.add('ou="Sales, \\"North\\"",o=example', OU)
    assert site.read("ou=Sales\\, \\22North\\22,o=example").dn == 'ou=Sales\\, \\"North\\",o=example'
    site.add("uid=a\\,b,ou=Sales\\, \\22north\\22,o=example", account("a,b"))


def test_a_long_name(site: Site) -> None:
    name = "x" * 2000
    site.add(f"ou={name},o=example", OU)
    assert site.values(f"ou={name.upper()},o=example", "ou") == [name]
    with refused(ResultCode.ADMIN_LIMIT_EXCEEDED):
        site.add(f"ou={'x' * 70_000},o=example", OU)


def test_below_a_missing_parent(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=BASE):
        site.add("uid=x,cn=nowhere,O=Example", account("x"))
    with refused(ResultCode.NO_SUCH_OBJECT):
        site.add("uid=x,cn=nowhere", account("x"))


def test_below_an_alias(site: Site) -> None:
    given: Given = {"objectClass": ["top", "alias"], "aliasedObjectName": ALICE}
    site.add("uid=al,cn=example.com,o=example", given)
    with refused(ResultCode.ALIAS_PROBLEM, matched_dn="uid=al,cn=example.com,o=example"):
        site.add("ou=x,uid=al,cn=example.com,o=example", OU)


@pytest.mark.parametrize("dn", [ALICE, ALICE.upper(), "", "cn=subschema", "CN=Subschema"])
def test_what_is_there_already(site: Site, dn: str) -> None:
    with refused(ResultCode.ENTRY_ALREADY_EXISTS):
        site.add(dn, account("alice"))


def test_below_the_subschema(site: Site) -> None:
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        site.add("ou=x,cn=Subschema", OU)


@pytest.mark.parametrize(
    ("dn", "code"),
    [
        ("nonsense", ResultCode.INVALID_DN_SYNTAX),
        ("undefinedType=x,o=example", ResultCode.INVALID_DN_SYNTAX),
        ("ou=a+ou=b,o=example", ResultCode.INVALID_DN_SYNTAX),
        ("ou=,o=example", ResultCode.INVALID_DN_SYNTAX),
        ("userPassword=x,o=example", ResultCode.NAMING_VIOLATION),
        ("hostServer=be1,o=example", ResultCode.NAMING_VIOLATION),
        ("objectClass=top,o=example", ResultCode.NAMING_VIOLATION),
        ("entryUUID=00000000-0000-0000-0000-000000000000,o=example", ResultCode.NAMING_VIOLATION),
        ("l=x+entryDN=o\\=x,o=example", ResultCode.NAMING_VIOLATION),
    ],
)
def test_names_that_can_not_be(site: Site, dn: str, code: ResultCode) -> None:
    with refused(code):
        site.add(dn, OU)


def test_a_name_that_the_classes_do_not_allow(site: Site) -> None:
    with refused(ResultCode.OBJECT_CLASS_VIOLATION):
        site.add("uid=x,o=example", OU)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"noSuchType": "x"}, ResultCode.UNDEFINED_ATTRIBUTE_TYPE),
        ({"cn;bad option": "x"}, ResultCode.UNDEFINED_ATTRIBUTE_TYPE),
        ({"createTimestamp": "20200101000000Z"}, ResultCode.CONSTRAINT_VIOLATION),
        ({"entryUUID": "00000000-0000-0000-0000-000000000000"}, ResultCode.CONSTRAINT_VIOLATION),
        ({"namingContexts": "o=example"}, ResultCode.CONSTRAINT_VIOLATION),
        ({"hostServer;x-a": "be1"}, ResultCode.CONSTRAINT_VIOLATION),
        ({"userPassword;x-a": "be1"}, ResultCode.CONSTRAINT_VIOLATION),
        ({"hostServer": ["be1", "be2"]}, ResultCode.CONSTRAINT_VIOLATION),
        ({"hostServer": "x" * 300}, ResultCode.CONSTRAINT_VIOLATION),
        ({"description": ["a", "A "]}, ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        ({"mail": "caf\u00e9@example.com"}, ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        ({"manager": "not a dn"}, ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        ({"description": b"\xff"}, ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        ({"description": []}, ResultCode.PROTOCOL_ERROR),
        ({"ou": "not allowed"}, None),
        ({"dc": "example"}, ResultCode.OBJECT_CLASS_VIOLATION),
        ({"objectClass": []}, ResultCode.PROTOCOL_ERROR),
        ({"objectClass": "inetOrgPerson"}, None),
        ({"objectClass": "noSuchClass"}, ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        ({"objectClass": ["top"]}, ResultCode.OBJECT_CLASS_VIOLATION),
        ({"objectClass": ["person", "organizationalUnit"]}, ResultCode.OBJECT_CLASS_VIOLATION),
        ({"objectClass": ["dcObject"]}, ResultCode.OBJECT_CLASS_VIOLATION),
        ({"sn": None}, ResultCode.OBJECT_CLASS_VIOLATION),
    ],
)
def test_attributes(site: Site, more: dict[str, str], code: ResultCode | None) -> None:
    given = {name: value for name, value in {**account("carol"), **more}.items() if value is not None}
    if code is None:
        site.add(CAROL, given)
        return
    with refused(code):
        site.add(CAROL, given)
    assert not site.there(CAROL)


def test_an_attribute_twice(site: Site) -> None:
    twice = (*attributes(account("carol")), Attribute("commonName", (b"another",)))
    with refused(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS):
        site.write(lambda txn: add(site.core, txn, site.administrator, AddRequest(CAROL, twice)))


def test_no_attributes(site: Site) -> None:
    with refused(ResultCode.OBJECT_CLASS_VIOLATION):
        site.add("ou=x,o=example", {})


def test_rights(site: Site) -> None:
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        site.add(CAROL, account("carol"), identity=ANONYMOUS)
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        site.add(CAROL, account("carol"), identity=site.alice)
    # Nothing is said of what is there to those who may not add.
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        site.add(ALICE, account("alice"), identity=site.alice)


def test_placements_are_shared(site: Site) -> None:
    for name in ("a", "b"):
        site.add(f"uid={name},{DOMAIN}", account(name, hostServer="be7", oldHostServer="be8"))
    with site.core.store.snapshot() as snapshot:
        (number,) = snapshot.placements_of_host(b"be7")
        assert snapshot.placements_of_old_host(b"be8") == [number]
        assert snapshot.members_count(number) == 2
    assert site.values(f"uid=a,{DOMAIN}", "oldHostServer") == ["be8"]


def test_attribute_options(site: Site) -> None:
    given = {**account("carol"), "cn;lang-de;lang-at": "Karoline", "CN;LANG-FR": "Caroline"}
    site.add(CAROL, given)
    assert site.values(CAROL, "cn;lang-at;lang-de") == ["Karoline"]
    assert site.values(CAROL, "cn;lang-fr") == ["Caroline"]
    site.delete(CAROL)
    # And again in one transaction with a description that no reader knows yet.
    request = AddRequest(CAROL, attributes({**account("carol"), "sn;lang-x-new": "Neu"}))
    site.write(lambda txn: add(site.core, txn, site.administrator, request))
    assert site.values(CAROL, "sn;lang-x-new") == ["Neu"]


def test_refusals_say_which_attribute(site: Site) -> None:
    with pytest.raises(LDAPError, match="manager"):
        site.add(CAROL, {**account("carol"), "manager": "not a dn"})


def test_members_of_a_group_are_names(site: Site) -> None:
    assert site.values(STAFF, "member")[0] == ALICE
