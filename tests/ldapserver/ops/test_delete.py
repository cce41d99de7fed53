"""Delete: leaves go, with all that finds them."""

from __future__ import annotations

import pytest

from ldapserver.identity import ANONYMOUS
from ldapserver.results import ResultCode
from storage.changes import Kind
from tests.ldapserver.ops.site import ALICE, BASE, BOB, DOMAIN, Site, account, refused


def test_a_leaf(site: Site) -> None:
    site.delete(ALICE.upper())
    assert not site.there(ALICE)
    assert site.values(DOMAIN, "numSubordinates") == ["1"]


def test_the_log_has_its_uuid(site: Site) -> None:
    uuid = site.values(BOB, "entryUUID")[0]
    site.delete(BOB)
    last = site.log()[-1]
    assert (last.kind, last.subjects) == (Kind.DELETE, (bytes.fromhex(uuid.replace("-", "")),))


def test_then_its_parent(site: Site) -> None:
    site.delete(ALICE)
    site.delete(BOB)
    site.delete(DOMAIN)
    assert not site.there(DOMAIN)


def test_its_name_is_free_again(site: Site) -> None:
    before = site.values(BOB, "entryUUID")
    site.delete(BOB)
    site.add(BOB, account("bob"))
    assert site.values(BOB, "entryUUID") != before


def test_an_entry_with_children(site: Site) -> None:
    with refused(ResultCode.NOT_ALLOWED_ON_NON_LEAF):
        site.delete(DOMAIN)


def test_what_is_not_there(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=DOMAIN):
        site.delete("uid=nobody,cn=Example.com,o=example")
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=BASE):
        site.delete("uid=nobody,cn=nowhere,o=example")
    with refused(ResultCode.NO_SUCH_OBJECT):
        site.delete("o=elsewhere")


def test_a_bad_name(site: Site) -> None:
    with refused(ResultCode.INVALID_DN_SYNTAX):
        site.delete("alice")


@pytest.mark.parametrize("dn", ["", "cn=Subschema"])
def test_the_servers_own(site: Site, dn: str) -> None:
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        site.delete(dn)


def test_rights(site: Site) -> None:
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        site.delete(ALICE, identity=ANONYMOUS)
    for dn in (ALICE, BOB):
        with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
            site.delete(dn, identity=site.alice)
