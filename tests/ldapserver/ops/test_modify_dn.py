"""Modify DN: names and places, with all that stands below."""

from __future__ import annotations

import pytest

from ldapserver.identity import ANONYMOUS
from ldapserver.results import ResultCode
from storage.changes import Kind
from tests.ldapserver.ops.site import ALICE, BASE, BOB, DOMAIN, STAFF, Given, Site, account, refused

OTHER = "cn=example.org,o=example"


@pytest.fixture
def other(site: Site) -> str:
    given: Given = {"objectClass": "CommuniGateDomain", "cn": "example.org"}
    site.add(OTHER, given)
    return OTHER


def test_another_name(site: Site) -> None:
    uuid = site.values(ALICE, "entryUUID")
    site.rename(ALICE, "uid=alicia")
    renamed = "uid=alicia,cn=example.com,o=example"
    assert not site.there(ALICE)
    assert site.values(renamed, "uid") == ["alicia"]
    assert site.values(renamed, "entryUUID") == uuid
    assert site.values(renamed, "hostServer") == ["be1"]
    assert site.log()[-1].kind is Kind.RENAME


def test_the_old_value_may_stay(site: Site) -> None:
    site.rename(ALICE, "uid=alicia", delete_old=False)
    assert site.values("uid=alicia,cn=example.com,o=example", "uid") == ["alice", "alicia"]


def test_a_value_that_is_there_already(site: Site) -> None:
    site.rename(ALICE, "cn=ALICE  Example", delete_old=False)
    assert site.values("cn=alice example,cn=example.com,o=example", "cn") == ["Alice Example"]


def test_the_last_value_of_what_a_class_requires(site: Site) -> None:
    with refused(ResultCode.OBJECT_CLASS_VIOLATION):
        site.rename(ALICE, "cn=Alice Example")


def test_its_own_name_in_another_spelling(site: Site) -> None:
    site.rename(ALICE, "UID=Alice")
    entry = site.read(ALICE)
    assert entry.dn == "UID=Alice,cn=example.com,o=example"
    assert site.values(ALICE, "uid") == ["alice"]


def test_several_values(site: Site) -> None:
    site.rename(ALICE, "uid=alice+cn=Alice Example")
    both = "cn=alice example+uid=alice,cn=example.com,o=example"
    assert site.values(both, "uid") == ["alice"]
    site.rename(both, "uid=alicia+cn=alice example")
    assert site.values("uid=alicia+cn=alice example,cn=example.com,o=example", "uid") == ["alicia"]


def test_another_place(site: Site, other: str) -> None:
    site.rename(ALICE, "uid=alice", other)
    moved = f"uid=alice,{other}"
    assert site.values(moved, "hostServer") == ["be1"]
    assert site.values(DOMAIN, "numSubordinates") == ["1"]
    assert site.values(other, "numSubordinates") == ["1"]
    with site.core.store.snapshot() as snapshot:
        containers = [snapshot.placement(n) for n in snapshot.placements_of_host(b"be1")]
        members = [snapshot.members_count(n) for n in snapshot.placements_of_host(b"be1")]
    assert len({placement.container for placement in containers}) == 2
    assert sorted(members) == [0, 1]


def test_another_place_and_name(site: Site, other: str) -> None:
    site.rename(ALICE, "uid=bob", other)
    assert site.values(f"uid=bob,{other}", "mail") == ["alice@example.com"]


def test_to_the_top(site: Site) -> None:
    site.rename(DOMAIN, "cn=example.com", "")
    assert site.read("uid=alice,cn=example.com").dn == "uid=alice,cn=example.com"
    site.rename("cn=example.com", "cn=example.com", BASE)
    assert site.there(ALICE)


def test_a_whole_subtree(site: Site, other: str) -> None:
    site.rename(DOMAIN, "cn=example.net", other)
    assert not site.there(ALICE)
    below = "uid=alice,cn=example.net,cn=example.org,o=example"
    assert site.read(below).dn == below
    assert site.values(below, "hostServer") == ["be1"]
    assert site.values(below, "entryDN") == [below]


@pytest.mark.parametrize("superior", [DOMAIN, ALICE])
def test_below_itself(site: Site, superior: str) -> None:
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        site.rename(DOMAIN, "cn=example.com", superior)


def test_a_name_that_is_taken(site: Site) -> None:
    with refused(ResultCode.ENTRY_ALREADY_EXISTS):
        site.rename(ALICE, "uid=BOB")
    with refused(ResultCode.ENTRY_ALREADY_EXISTS):
        site.rename(STAFF, "cn=Subschema", "")


def test_a_superior_that_is_missing(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=BASE):
        site.rename(ALICE, "uid=alice", "cn=nowhere,o=example")


def test_a_superior_that_is_an_alias(site: Site) -> None:
    given: Given = {"objectClass": "alias", "aliasedObjectName": ALICE}
    site.add("cn=al,o=example", given)
    with refused(ResultCode.ALIAS_PROBLEM, matched_dn="cn=al,o=example"):
        site.rename(BOB, "uid=bob", "cn=al,o=example")


def test_below_the_subschema(site: Site) -> None:
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        site.rename(BOB, "uid=bob", "cn=Subschema")


@pytest.mark.parametrize(
    ("rdn", "code"),
    [
        ("nonsense", ResultCode.INVALID_DN_SYNTAX),
        ("uid=a,uid=b", ResultCode.INVALID_DN_SYNTAX),
        ("", ResultCode.INVALID_DN_SYNTAX),
        ("undefinedType=x", ResultCode.INVALID_DN_SYNTAX),
        ("userPassword=x", ResultCode.NAMING_VIOLATION),
        ("hostServer=be1", ResultCode.NAMING_VIOLATION),
        ("modifyTimestamp=20200101000000Z", ResultCode.NAMING_VIOLATION),
        ("dc=example", ResultCode.OBJECT_CLASS_VIOLATION),
        ("preferredLanguage=fr", ResultCode.CONSTRAINT_VIOLATION),
    ],
)
def test_names_that_can_not_be(site: Site, rdn: str, code: ResultCode) -> None:
    site.add("uid=c,cn=example.com,o=example", account("c", preferredLanguage="de"))
    with refused(code):
        site.rename("uid=c,cn=example.com,o=example", rdn, delete_old=False)


def test_what_is_not_there(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=DOMAIN):
        site.rename(f"uid=nobody,{DOMAIN}", "uid=somebody")


@pytest.mark.parametrize("dn", ["", "cn=Subschema"])
def test_the_servers_own(site: Site, dn: str) -> None:
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        site.rename(dn, "cn=x")


def test_rights(site: Site) -> None:
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        site.rename(ALICE, "uid=x", identity=ANONYMOUS)
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        site.rename(ALICE, "uid=x", identity=site.alice)


def test_stamps(site: Site) -> None:
    before = site.values(ALICE, "entryCSN")
    site.rename(ALICE, "uid=alice", DOMAIN)
    assert site.values(ALICE, "entryCSN") > before
