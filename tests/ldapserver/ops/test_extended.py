"""Who am I, and Password Modify in its two halves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pytest

from ldapserver import passwords
from ldapserver.extended import (
    BULK_OPERATIONS,
    PASSWORD_MODIFY,
    WHO_AM_I,
    PasswordModify,
    decode_generated_password,
    encode_password_modify,
)
from ldapserver.identity import ANONYMOUS, Identity
from ldapserver.messages import ExtendedRequest, Result
from ldapserver.ops.extended import SUPPORTED, run_extended
from ldapserver.ops.password_modify import password_modify, prepare_password
from ldapserver.results import ResultCode
from storage.txn import WriteTransaction
from tests.ldapserver.ops.site import ALICE, ALICE_PASSWORD, BOB, Site, refused, replacing

S = TypeVar("S")
T = TypeVar("T")


def run(site: Site, identity: Identity, oid: str, value: bytes | None = None) -> Result:
    def at_once(slow: Callable[[], S], function: Callable[[S, WriteTransaction], T], /) -> Future[T]:
        future: Future[T] = Future()
        ready = slow()
        future.set_result(site.write(lambda txn: function(ready, txn)))
        return future

    answer = run_extended(site.core, identity, ExtendedRequest(oid, value), at_once)
    return answer if isinstance(answer, Result) else answer.result()


def change(
    site: Site,
    identity: Identity,
    user: str | None = None,
    old: bytes | None = None,
    new: bytes | None = None,
) -> bytes | None:
    value = encode_password_modify(PasswordModify(user, old, new))
    return decode_generated_password(run(site, identity, PASSWORD_MODIFY, value).value)


def verifies(site: Site, dn: str, password: bytes) -> bool:
    (stored,) = site.values(dn, "userPassword")
    assert passwords.is_hashed(stored.encode())
    return passwords.verify(stored.encode(), password)


# --- Who am I -----------------------------------------------------------------------------


def test_who_am_i(site: Site) -> None:
    assert run(site, site.alice, WHO_AM_I).value == f"dn:{ALICE}".encode()
    assert run(site, site.administrator, WHO_AM_I).value == b"dn:cn=admin"
    assert run(site, ANONYMOUS, WHO_AM_I).value == b""
    with refused(ResultCode.PROTOCOL_ERROR):
        run(site, site.alice, WHO_AM_I, b"")


def test_an_unknown_operation(site: Site) -> None:
    with refused(ResultCode.PROTOCOL_ERROR):
        run(site, site.alice, "1.2.3.4")


def test_what_is_advertised() -> None:
    assert {WHO_AM_I, PASSWORD_MODIFY} | BULK_OPERATIONS == SUPPORTED


# --- Password Modify ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "user", [None, "", ALICE, f"dn:{ALICE.upper()}", "alice@example.com", "u:alice@example.com"]
)
def test_ones_own(site: Site, user: str | None) -> None:
    assert change(site, site.alice, user, ALICE_PASSWORD, b"new") is None
    assert verifies(site, ALICE, b"new")
    assert site.values(ALICE, "modifiersName") == [ALICE]


def test_the_old_one_need_not_be_said(site: Site) -> None:
    change(site, site.alice, new=b"new")
    assert verifies(site, ALICE, b"new")


def test_a_wrong_old_one(site: Site) -> None:
    with refused(ResultCode.INVALID_CREDENTIALS):
        change(site, site.alice, old=b"wrong", new=b"new")
    with refused(ResultCode.INVALID_CREDENTIALS):
        change(site, site.administrator, user=BOB, old=b"none there", new=b"new")


def test_one_that_the_server_makes_up(site: Site) -> None:
    generated = change(site, site.administrator, user="bob@example.com")
    assert generated is not None
    assert len(generated) >= 16
    assert verifies(site, BOB, generated)


def test_without_a_value(site: Site) -> None:
    generated = decode_generated_password(run(site, site.alice, PASSWORD_MODIFY).value)
    assert generated is not None
    assert verifies(site, ALICE, generated)


def test_what_looks_like_a_hash_is_a_password(site: Site) -> None:
    change(site, site.alice, new=b"{SSHA}abc")
    assert verifies(site, ALICE, b"{SSHA}abc")


def test_rights(site: Site) -> None:
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        change(site, ANONYMOUS, user=ALICE, old=ALICE_PASSWORD, new=b"new")
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        change(site, site.alice, user=BOB, new=b"new")


@pytest.mark.parametrize(
    ("user", "new", "code"),
    [
        ("uid=nobody,o=example", b"x", ResultCode.NO_SUCH_OBJECT),
        ("nobody@example.com", b"x", ResultCode.NO_SUCH_OBJECT),
        ("nobody", b"x", ResultCode.INVALID_DN_SYNTAX),
        ("cn=admin", b"x", ResultCode.UNWILLING_TO_PERFORM),
        (None, b"x", ResultCode.UNWILLING_TO_PERFORM),
        (BOB, b"", ResultCode.CONSTRAINT_VIOLATION),
        ("o=example", b"x", None),
    ],
)
def test_refusals(site: Site, user: str | None, new: bytes, code: ResultCode | None) -> None:
    if code is None:
        change(site, site.administrator, user=user, new=new)
        return
    with refused(code):
        change(site, site.administrator, user=user, new=new)


def test_where_no_class_allows_a_password(site: Site) -> None:
    with refused(ResultCode.OBJECT_CLASS_VIOLATION):
        change(site, site.administrator, user="cn=staff,o=example", new=b"x")


def test_a_malformed_value(site: Site) -> None:
    with refused(ResultCode.PROTOCOL_ERROR):
        run(site, site.alice, PASSWORD_MODIFY, b"nonsense")


def test_a_password_that_was_changed_meanwhile(site: Site) -> None:
    new = prepare_password(site.core, site.alice, PasswordModify(old=ALICE_PASSWORD, new=b"new"))
    site.modify(ALICE, replacing("userPassword", "{SSHA}other"))
    with refused(ResultCode.BUSY):
        site.write(lambda txn: password_modify(site.core, txn, site.alice, new))


def test_an_account_that_went_meanwhile(site: Site) -> None:
    new = prepare_password(site.core, site.alice, PasswordModify(new=b"new"))
    site.delete(ALICE)
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn="cn=example.com,o=example"):
        site.write(lambda txn: password_modify(site.core, txn, site.alice, new))


def test_secrets_are_not_shown(site: Site) -> None:
    new = prepare_password(site.core, site.alice, PasswordModify())
    assert new.generated is not None
    assert new.generated.decode() not in repr(new)
    assert "ARGON2" not in repr(new)
