"""Controls on writes: assertion, pre-read, post-read, ManageDsaIT."""

from __future__ import annotations

import pytest

from ldapserver.controls import (
    ASSERTION,
    MANAGE_DSA_IT,
    PAGED_RESULTS,
    POST_READ,
    PRE_READ,
    decode_read_response,
    encode_assertion,
    encode_read_request,
)
from ldapserver.filters import parse_filter
from ldapserver.messages import Attribute, Control, Entry, Result
from ldapserver.results import ResultCode
from tests.ldapserver.ops.site import (
    ALICE,
    BOB,
    DOMAIN,
    Site,
    account,
    refused,
    replacing,
)

CAROL = "uid=carol,cn=example.com,o=example"


def asserting(text: str) -> Control:
    return Control(ASSERTION, True, encode_assertion(parse_filter(text)))


def reading(oid: str, *wanted: str) -> Control:
    return Control(oid, True, encode_read_request(wanted))


def was_read(result: Result, oid: str) -> Entry:
    (control,) = [control for control in result.controls if control.oid == oid]
    return decode_read_response(control.value)


# --- assertion ----------------------------------------------------------------------------


def test_assertion_on_each_operation(site: Site) -> None:
    fails, holds = asserting("(hostServer=be2)"), asserting("(&(hostServer=be1)(!(title=*)))")
    before = site.read(ALICE, "*", "+")
    with refused(ResultCode.ASSERTION_FAILED):
        site.modify(ALICE, replacing("title", "x"), controls=(fails,))
    with refused(ResultCode.ASSERTION_FAILED):
        site.rename(ALICE, "uid=alicia", None, fails)
    with refused(ResultCode.ASSERTION_FAILED):
        site.delete(ALICE, fails)
    assert site.read(ALICE, "*", "+") == before
    site.modify(ALICE, replacing("title", "x"), controls=(holds,))
    site.rename(ALICE, "uid=alicia", None, asserting("(uid=alice)"))
    site.delete("uid=alicia,cn=example.com,o=example", asserting("(title=x)"))


def test_assertion_on_add_is_of_the_new_entry(site: Site) -> None:
    for text in ("(cn=bob)", "(entryUUID=*)", "(nothing=x)", "(!(nothing=x))"):
        with refused(ResultCode.ASSERTION_FAILED):
            site.add(CAROL, account("carol"), asserting(text))
    text = "(&(objectClass=person)(name=carol example)(entryDN:dn:=x))"
    with refused(ResultCode.ASSERTION_FAILED):
        site.add(CAROL, account("carol"), asserting(text))
    site.add(CAROL, account("carol"), asserting("(&(objectClass=person)(name=carol example))"))


def test_assertion_precedes_the_operations_own_errors(site: Site) -> None:
    with refused(ResultCode.ASSERTION_FAILED):
        site.delete(DOMAIN, asserting("(cn=x)"))


def test_assertion_knows_what_the_client_may_read(site: Site) -> None:
    change = replacing("userPassword", "{SSHA}x")
    with refused(ResultCode.ASSERTION_FAILED):
        site.modify(ALICE, change, controls=(asserting("(userPassword=*)"),), identity=site.alice)
    site.modify(ALICE, change, controls=(asserting("(userPassword=*)"),))


@pytest.mark.parametrize("value", [None, b"", b"nonsense"])
def test_a_malformed_assertion(site: Site, value: bytes | None) -> None:
    with refused(ResultCode.PROTOCOL_ERROR):
        site.delete(ALICE, Control(ASSERTION, True, value))


# --- reading --------------------------------------------------------------------------------


def test_before_and_after_a_modify(site: Site) -> None:
    controls = (
        reading(PRE_READ, "description", "hostServer"),
        reading(POST_READ, "description", "modifiersName"),
    )
    changes = (replacing("description", "second"), replacing("hostServer", "be5"))
    result = site.modify(BOB, *changes, controls=controls)
    assert was_read(result, PRE_READ) == Entry(
        BOB, (Attribute("description", (b"first of all",)), Attribute("hostServer", (b"be2",)))
    )
    assert was_read(result, POST_READ) == Entry(
        BOB, (Attribute("description", (b"second",)), Attribute("modifiersName", (b"cn=admin",)))
    )


def test_after_an_add(site: Site) -> None:
    result = site.add(CAROL, account("carol"), reading(POST_READ, "entryUUID", "uid"))
    entry = was_read(result, POST_READ)
    assert entry.dn == CAROL
    assert [a.type for a in entry.attributes] == ["uid", "entryUUID"]
    assert entry.attributes[1].values[0].decode() == site.values(CAROL, "entryUUID")[0]


def test_before_a_delete(site: Site) -> None:
    expected = site.read(BOB)
    assert was_read(site.delete(BOB, reading(PRE_READ)), PRE_READ) == expected


def test_before_and_after_a_rename(site: Site) -> None:
    controls = (reading(PRE_READ, "uid", "entryDN"), reading(POST_READ, "uid", "entryDN"))
    result = site.rename(BOB, "uid=robert", "o=example", *controls)
    assert was_read(result, PRE_READ) == site_entry(BOB, b"bob")
    assert was_read(result, POST_READ) == site_entry("uid=robert,o=example", b"robert")


def site_entry(dn: str, uid: bytes) -> Entry:
    return Entry(dn, (Attribute("uid", (uid,)), Attribute("entryDN", (dn.encode(),))))


def test_reading_no_more_than_a_search(site: Site) -> None:
    change = replacing("userPassword", "{SSHA}x")
    result = site.modify(ALICE, change, controls=(reading(POST_READ),), identity=site.alice)
    assert "userPassword" not in [a.type for a in was_read(result, POST_READ).attributes]


def test_a_new_description_is_read_after_it_came(site: Site) -> None:
    result = site.modify(ALICE, replacing("title;lang-de", "Chefin"), controls=(reading(POST_READ, "*"),))
    assert "title;lang-de" in [a.type for a in was_read(result, POST_READ).attributes]


# --- the rest -------------------------------------------------------------------------------


def test_manage_dsa_it(site: Site) -> None:
    site.delete(BOB, Control(MANAGE_DSA_IT, True, None))
    with refused(ResultCode.PROTOCOL_ERROR):
        site.delete(ALICE, Control(MANAGE_DSA_IT, True, b"x"))


@pytest.mark.parametrize("oid", [PAGED_RESULTS, POST_READ, "1.2.3"])
def test_what_an_operation_does_not_know(site: Site, oid: str) -> None:
    with refused(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION):
        site.delete(BOB, Control(oid, True, None))
    site.delete(BOB, Control(oid, False, None))
