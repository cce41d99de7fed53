"""Passwords in requests: hashed ahead of the store, for those who may write them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from ldapserver import passwords
from ldapserver.identity import ANONYMOUS, Identity
from ldapserver.messages import AddRequest, BulkModify, DeleteRequest, ModifyRequest, Selection, WriteRequest
from ldapserver.ops.prepare import hashed_changes, needs_preparing, prepare
from ldapserver.results import ResultCode
from tests.ldapserver.ops.site import (
    ALICE,
    ALICE_PASSWORD,
    ALICE_SSHA,
    BOB,
    Site,
    adding,
    attributes,
    deleting,
    refused,
    replacing,
)


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        (AddRequest(BOB, attributes({"userPassword": "x"})), True),
        (AddRequest(BOB, attributes({"cn": "x", "2.5.4.35": "x"})), True),
        (AddRequest(BOB, attributes({"USERPASSWORD": ["{SSHA}x", "{PLAIN}x"]})), True),
        (AddRequest(BOB, attributes({"userPassword": "{SSHA}x"})), False),
        (AddRequest(BOB, attributes({"description": "x"})), False),
        (ModifyRequest(BOB, (replacing("userPassword", "x"),)), True),
        (ModifyRequest(BOB, (replacing("cn", "x"), deleting("userPassword", "x"))), True),
        (ModifyRequest(BOB, (deleting("userPassword"),)), False),
        (DeleteRequest(BOB), False),
        (BulkModify(Selection(), (replacing("userPassword", "x"),)), True),
        (BulkModify(Selection(), (replacing("description", "x"),)), False),
    ],
)
def test_whether_it_is_needed(request_: WriteRequest | BulkModify, needed: bool) -> None:
    assert needs_preparing(request_) is needed


def test_add(site: Site) -> None:
    given = attributes({"cn": "x", "userPassword": ["clear", "{PLAIN}said so", ALICE_SSHA.decode()]})
    ready = prepare(site.core, site.administrator, AddRequest(BOB, given))
    assert isinstance(ready, AddRequest)
    assert ready.attributes[0] is given[0]
    first, second, third = ready.attributes[1].values
    assert passwords.verify(first, b"clear")
    assert passwords.verify(second, b"said so")
    assert third == ALICE_SSHA
    assert passwords.is_hashed(first)
    assert passwords.is_hashed(second)


def test_changes_of_many_entries() -> None:
    plain = (replacing("description", "x"), deleting("userPassword", "old"))
    new, *others = hashed_changes((replacing("userPassword", "new"), *plain))
    assert passwords.verify(new.values[0], b"new")
    assert passwords.is_hashed(new.values[0])
    assert tuple(others) == plain


def scram_value(password: bytes) -> str:
    """As ``cgctl account passwd --scram`` stores it beside a hash."""
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    return "{SCRAM-SHA-256}4096," + ",".join(base64.b64encode(part).decode() for part in parts)


def prepared(site: Site, identity: Identity, request: ModifyRequest) -> ModifyRequest:
    ready = prepare(site.core, identity, request)
    assert isinstance(ready, ModifyRequest)
    return ready


def test_an_account_changes_its_own_by_delete_and_add(site: Site) -> None:
    request = ModifyRequest(ALICE, (deleting("userPassword", ALICE_PASSWORD), adding("userPassword", "new")))
    ready = prepared(site, site.alice, request)
    assert ready.changes[0].values == (ALICE_SSHA,)
    site.modify(ALICE, *ready.changes, identity=site.alice)
    (stored,) = site.values(ALICE, "userPassword")
    assert passwords.verify(stored.encode(), b"new")


def test_all_forms_of_the_old_password_go(site: Site) -> None:
    """SCRAM's keys would let it in for ever."""
    keys, other = map(scram_value, (ALICE_PASSWORD, b"another"))
    site.modify(ALICE, adding("userPassword", keys, other), identity=site.administrator)
    request = ModifyRequest(ALICE, (deleting("userPassword", ALICE_PASSWORD), adding("userPassword", "new")))
    ready = prepared(site, site.alice, request)
    assert set(ready.changes[0].values) == {ALICE_SSHA, keys.encode()}
    site.modify(ALICE, *ready.changes, identity=site.alice)
    stored = [value.encode() for value in site.values(ALICE, "userPassword")]
    assert not any(passwords.verify(value, ALICE_PASSWORD) for value in stored)
    assert any(passwords.verify(value, b"new") for value in stored)
    assert other.encode() in stored


def test_a_value_and_its_password_are_deleted_once(site: Site) -> None:
    change = deleting("userPassword", ALICE_PASSWORD, ALICE_SSHA.decode())
    ready = prepared(site, site.alice, ModifyRequest(ALICE, (change,)))
    assert ready.changes[0].values == (ALICE_SSHA,)


def test_a_wrong_old_password_deletes_nothing(site: Site) -> None:
    request = ModifyRequest(ALICE, (deleting("userPassword", "wrong"), adding("userPassword", "new")))
    ready = prepared(site, site.alice, request)
    with refused(ResultCode.NO_SUCH_ATTRIBUTE):
        site.modify(ALICE, *ready.changes, identity=site.alice)


def test_an_entry_that_is_missing_is_for_the_write_to_tell(site: Site) -> None:
    request = ModifyRequest("uid=nobody,o=example", (deleting("userPassword", "x"),))
    assert prepare(site.core, site.administrator, request) == request


def test_what_needs_nothing_stays(site: Site) -> None:
    request = DeleteRequest(BOB)
    assert prepare(site.core, site.administrator, request) is request


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (("",), ResultCode.CONSTRAINT_VIOLATION),
        (("{CLEARTEXT}",), ResultCode.CONSTRAINT_VIOLATION),
        (("x", "x"), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        (tuple(map(str, range(100))), ResultCode.CONSTRAINT_VIOLATION),
    ],
)
def test_values_that_can_not_be(site: Site, values: tuple[str, ...], code: ResultCode) -> None:
    with refused(code):
        prepare(site.core, site.alice, ModifyRequest(ALICE, (replacing("userPassword", *values),)))


def test_many_to_delete(site: Site) -> None:
    many = deleting("userPassword", *map(str, range(100)))
    with refused(ResultCode.CONSTRAINT_VIOLATION):
        prepare(site.core, site.alice, ModifyRequest(ALICE, (many,)))


def test_nobody_makes_the_server_hash_without_a_right(site: Site) -> None:
    change = ModifyRequest(BOB, (replacing("userPassword", "x"),))
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        prepare(site.core, ANONYMOUS, change)
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        prepare(site.core, site.alice, change)
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        prepare(site.core, site.alice, AddRequest(BOB, attributes({"userPassword": "x"})))
