"""Modifications that go with a move of accounts: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ldapserver.extended import decode_bulk_request, encode_bulk_request
from ldapserver.identity import ANONYMOUS
from ldapserver.messages import BulkRequest, Change, ModifyOp, ModifyRequest, Rehost, Restore
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import EphemeralDirectory

ADD, DELETE, REPLACE = ModifyOp.ADD, ModifyOp.DELETE, ModifyOp.REPLACE

LDIF = """\
dn: cn=example.com
objectClass: CommuniGateDomain
cn: example.com

dn: uid=alice,cn=example.com
objectClass: CommuniGateAccount
uid: alice
cn: Alice
sn: Liddell
hostServer: be3

dn: o=site
objectClass: organization
o: site
description: be3 is up
"""


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(LDIF) as directory:
        yield directory


def said(*changes: Change, dn: str = "o=site") -> tuple[ModifyRequest, ...]:
    return (ModifyRequest(dn, changes),)


DOWN = said(Change(DELETE, "description", (b"be3 is up",)), Change(ADD, "description", (b"be3 is down",)))


def run(directory: EphemeralDirectory, request: BulkRequest) -> int:
    local = directory.local
    return local.bulk(local.core.administrator, request).result().changed


def test_they_are_made_with_the_move(directory: EphemeralDirectory) -> None:
    assert run(directory, Rehost("be3", "be5", besides=DOWN)) == 1
    directory.assert_value("o=site", "description", "be3 is down")
    up = said(Change(REPLACE, "description", (b"be3 is up",)))
    assert run(directory, Restore("be3", besides=up)) == 1
    directory.assert_value("o=site", "description", "be3 is up")
    # Also where nothing moves.
    assert run(directory, Restore("be3", besides=said(Change(DELETE, "description", ())))) == 0
    directory.assert_no_attribute("o=site", "description")


@pytest.mark.parametrize(
    ("besides", "code"),
    [
        (DOWN + DOWN, ResultCode.NO_SUCH_ATTRIBUTE),
        (DOWN + said(dn="o=none"), ResultCode.NO_SUCH_OBJECT),
        (
            said(Change(REPLACE, "userPassword", (b"x",)), dn="uid=alice,cn=example.com"),
            ResultCode.UNWILLING_TO_PERFORM,
        ),
    ],
    ids=["overtaken", "no entry", "a password"],
)
def test_one_that_is_refused_leaves_all_as_it_was(
    directory: EphemeralDirectory, besides: tuple[ModifyRequest, ...], code: ResultCode
) -> None:
    with pytest.raises(LDAPError) as caught:
        run(directory, Rehost("be3", "be5", besides=besides))
    assert caught.value.code is code
    directory.assert_value("o=site", "description", "be3 is up")
    directory.assert_value("uid=alice,cn=example.com", "hostServer", "be3")


def test_a_move_that_is_refused_leaves_them_out(directory: EphemeralDirectory) -> None:
    with pytest.raises(LDAPError):
        run(directory, Rehost("be3", "be3", besides=DOWN))
    with pytest.raises(LDAPError):
        directory.local.bulk(ANONYMOUS, Rehost("be3", "be5", besides=DOWN)).result()
    assert run(directory, Rehost("be3", "be5", besides=DOWN, dry_run=True)) == 1
    directory.assert_value("o=site", "description", "be3 is up")


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("besides", [(), DOWN, DOWN + said(dn="o=other")])
def test_on_the_wire(besides: tuple[ModifyRequest, ...], dry_run: bool) -> None:
    for request in (
        Rehost("be3", "be5", dry_run=dry_run, besides=besides),
        Restore("be3", dry_run=dry_run, besides=besides),
    ):
        assert decode_bulk_request(encode_bulk_request(request)) == request
