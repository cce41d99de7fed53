"""Compare: on entries, on what the directory computes, on its own entries."""

from __future__ import annotations

import pytest

from ldapserver.controls import ASSERTION, encode_assertion
from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS, Identity
from ldapserver.messages import CompareRequest, Control
from ldapserver.ops.compare import compare
from ldapserver.results import ResultCode
from tests.ldapserver.ops.site import ALICE, BOB, DOMAIN, Site, refused


def ask(
    site: Site, dn: str, name: str, value: str, identity: Identity | None = None, *controls: Control
) -> ResultCode:
    with site.core.store.snapshot() as snapshot:
        request = CompareRequest(dn, name, value.encode())
        return compare(site.core, snapshot, identity or site.administrator, request, controls).code


@pytest.mark.parametrize(
    ("dn", "name", "value", "answer"),
    [
        (ALICE, "CN", "alice  EXAMPLE", True),
        (ALICE, "cn", "bob", False),
        (ALICE, "name", "alice example", True),
        (ALICE, "2.5.4.3", "alice example", True),
        (ALICE, "hostServer", "BE1", True),
        (ALICE, "hostServer", "be2", False),
        (ALICE, "objectClass", "person", True),
        (ALICE, "objectClass", "organization", False),
        (ALICE, "creatorsName", "CN=Admin", True),
        (ALICE, "entryDN", ALICE.upper(), True),
        (ALICE, "structuralObjectClass", "CommuniGateAccount", True),
        (DOMAIN, "hasSubordinates", "TRUE", True),
        (ALICE, "hasSubordinates", "TRUE", False),
        ("", "supportedFeatures", "1.3.6.1.1.14", True),
        ("", "supportedFeatures", "1.3.6.1.1.15", False),
        ("cn=Subschema", "objectClass", "subschema", True),
        ("cn=Subschema", "cn", "subschema", True),
    ],
)
def test_true_and_false(site: Site, dn: str, name: str, value: str, answer: bool) -> None:
    expected = ResultCode.COMPARE_TRUE if answer else ResultCode.COMPARE_FALSE
    assert ask(site, dn, name, value) is expected


@pytest.mark.parametrize(
    ("dn", "name", "value", "code", "matched"),
    [
        (ALICE, "title", "x", ResultCode.NO_SUCH_ATTRIBUTE, ""),
        (ALICE, "oldHostServer", "x", ResultCode.NO_SUCH_ATTRIBUTE, ""),
        (ALICE, "cn;lang-de", "x", ResultCode.NO_SUCH_ATTRIBUTE, ""),
        (ALICE, "nothing", "x", ResultCode.UNDEFINED_ATTRIBUTE_TYPE, ""),
        (ALICE, "jpegPhoto", "x", ResultCode.INAPPROPRIATE_MATCHING, ""),
        (ALICE, "manager", "x", ResultCode.INVALID_ATTRIBUTE_SYNTAX, ""),
        (ALICE, "createTimestamp", "x", ResultCode.INVALID_ATTRIBUTE_SYNTAX, ""),
        (f"uid=nobody,{DOMAIN}", "cn", "x", ResultCode.NO_SUCH_OBJECT, DOMAIN),
        ("alice", "cn", "x", ResultCode.INVALID_DN_SYNTAX, ""),
        ("", "cn", "x", ResultCode.NO_SUCH_ATTRIBUTE, ""),
        ("", "supportedLDAPVersion", "3", ResultCode.INAPPROPRIATE_MATCHING, ""),
    ],
)
def test_refusals(site: Site, dn: str, name: str, value: str, code: ResultCode, matched: str) -> None:
    with refused(code, matched):
        ask(site, dn, name, value)


def test_rights(site: Site) -> None:
    assert ask(site, BOB, "cn", "bob example", ANONYMOUS) is ResultCode.COMPARE_TRUE
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        ask(site, ALICE, "userPassword", "x", ANONYMOUS)
    for dn in (ALICE, BOB):
        with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
            ask(site, dn, "userPassword", "x", site.alice)
    assert ask(site, ALICE, "userPassword", "x") is ResultCode.COMPARE_FALSE
    # The root DSE is everybody's.
    assert ask(site, "", "vendorName", "cgnode", ANONYMOUS) is ResultCode.COMPARE_TRUE


def test_assertion(site: Site) -> None:
    def control(text: str) -> Control:
        return Control(ASSERTION, True, encode_assertion(parse_filter(text)))

    holds = control("(hostServer=be1)")
    assert ask(site, ALICE, "cn", "x", None, holds) is ResultCode.COMPARE_FALSE
    with refused(ResultCode.ASSERTION_FAILED):
        ask(site, BOB, "cn", "x", None, holds)
