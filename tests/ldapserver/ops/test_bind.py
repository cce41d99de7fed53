"""Bind: who is let in, and that nobody else learns why not."""

from __future__ import annotations

import os

import pytest

from ldapserver import passwords
from ldapserver.directory import BindOutcome
from ldapserver.identity import ANONYMOUS, Identity, Peer
from ldapserver.messages import BindRequest, SaslCredentials, SimpleCredentials
from ldapserver.ops.bind import bind, find_account
from ldapserver.results import ResultCode
from tests.ldapserver.ops.site import ALICE, ALICE_PASSWORD, BOB, Given, Site, account, adding

TCP = Peer("192.0.2.1:389")


def try_bind(site: Site, request: BindRequest, peer: Peer) -> tuple[BindOutcome, bool]:
    """The outcome, and whether it is for a thread to find."""
    with site.core.store.snapshot() as snapshot:
        outcome = bind(site.core, snapshot, request, peer)
    return (outcome, False) if isinstance(outcome, BindOutcome) else (outcome(), True)


def simple(site: Site, name: str, password: bytes, peer: Peer = TCP) -> Identity | ResultCode:
    outcome, _ = try_bind(site, BindRequest(3, name, SimpleCredentials(password)), peer)
    return checked(outcome)


def sasl(
    site: Site, mechanism: str, credentials: bytes | None, peer: Peer = TCP, name: str = ""
) -> Identity | ResultCode:
    request = BindRequest(3, name, SaslCredentials(mechanism, credentials))
    return checked(try_bind(site, request, peer)[0])


def checked(outcome: BindOutcome) -> Identity | ResultCode:
    if outcome.result.code is ResultCode.SUCCESS:
        return outcome.identity
    assert outcome.identity == ANONYMOUS
    return outcome.result.code


# --- simple ------------------------------------------------------------------------------


def test_anonymous(site: Site) -> None:
    assert simple(site, "", b"") == ANONYMOUS


@pytest.mark.parametrize(
    "name",
    [ALICE, "UID=Alice, cn=EXAMPLE.com,o=example", "alice@example.com", "ALICE@Example.com"],
)
def test_an_account(site: Site, name: str) -> None:
    assert simple(site, name, ALICE_PASSWORD) == site.alice


def test_the_identity_is_spelled_as_the_entry(site: Site) -> None:
    found = simple(site, ALICE.upper(), ALICE_PASSWORD)
    assert isinstance(found, Identity)
    assert found.dn == ALICE
    assert not found.administrator
    assert not found.anonymous


@pytest.mark.parametrize(
    "name",
    [ALICE, BOB, "uid=nobody,o=example", "o=example", "nobody@example.com", "alice@nowhere", "@", "x@", "@x"],
)
@pytest.mark.parametrize("password", [b"wrong", b"Wonderland", ALICE_PASSWORD + b"\0"])
def test_a_wrong_name_or_password(site: Site, name: str, password: bytes) -> None:
    assert simple(site, name, password) is ResultCode.INVALID_CREDENTIALS


def test_what_is_said_is_always_the_same(site: Site) -> None:
    names = (ALICE, BOB, "uid=nobody,o=example", "nobody@example.com", "cn=admin")
    outcomes = [try_bind(site, BindRequest(3, name, SimpleCredentials(b"wrong")), TCP)[0] for name in names]
    assert len(set(outcomes)) == 1


def test_unknown_names_take_the_time_of_a_check(site: Site) -> None:
    for name in (BOB, "uid=nobody,o=example", "nobody@example.com"):
        outcome, slow = try_bind(site, BindRequest(3, name, SimpleCredentials(b"x")), TCP)
        assert slow
        assert outcome.result.code is ResultCode.INVALID_CREDENTIALS


def test_a_slow_hash_is_checked_elsewhere(site: Site) -> None:
    site.modify(BOB, adding("userPassword", passwords.hash_password(b"builder")))
    for password, code in ((b"builder", ResultCode.SUCCESS), (b"x", ResultCode.INVALID_CREDENTIALS)):
        outcome, slow = try_bind(site, BindRequest(3, BOB, SimpleCredentials(password)), TCP)
        assert (outcome.result.code, slow) == (code, True)


def test_several_passwords(site: Site) -> None:
    site.modify(ALICE, adding("userPassword", b"{PLAIN}second", b"{UNKNOWN}third"))
    assert simple(site, ALICE, ALICE_PASSWORD) == simple(site, ALICE, b"second") == site.alice
    assert simple(site, ALICE, b"third") is ResultCode.INVALID_CREDENTIALS


@pytest.mark.parametrize("name", [ALICE, "cn=admin", "alice@example.com", "uid=nobody", "nonsense"])
def test_a_name_without_a_password(site: Site, name: str) -> None:
    assert simple(site, name, b"") is ResultCode.UNWILLING_TO_PERFORM


@pytest.mark.parametrize("name", ["alice", "=", "uid=alice,", "nothing=x"])
def test_no_name_at_all(site: Site, name: str) -> None:
    assert simple(site, name, b"x") is ResultCode.INVALID_DN_SYNTAX


def test_a_password_without_a_name(site: Site) -> None:
    assert simple(site, "", b"x") is ResultCode.INVALID_CREDENTIALS


def test_an_alias_is_not_followed(site: Site) -> None:
    given: Given = {"objectClass": "alias", "aliasedObjectName": ALICE}
    site.add("uid=al,cn=example.com,o=example", given)
    assert simple(site, "uid=al,cn=example.com,o=example", ALICE_PASSWORD) is ResultCode.INVALID_CREDENTIALS


# --- the administrator ---------------------------------------------------------------


def test_the_administrator(site: Site) -> None:
    assert simple(site, "CN=Admin", b"top secret") == site.administrator
    assert simple(site, "cn=admin", b"wrong") is ResultCode.INVALID_CREDENTIALS


def test_an_entry_of_the_administrators_name(site: Site) -> None:
    given: Given = {"objectClass": "organizationalRole", "cn": "admin"}
    given["objectClass"] = ["organizationalRole", "simpleSecurityObject"]
    given["userPassword"] = "{PLAIN}other"
    site.add("cn=admin", given)
    assert simple(site, "cn=admin", b"other") is ResultCode.INVALID_CREDENTIALS
    assert simple(site, "cn=admin", b"top secret") == site.administrator


# --- addresses -----------------------------------------------------------------------


def entry_of(site: Site, address: str) -> str | None:
    with site.core.store.snapshot() as snapshot:
        entry = find_account(site.core, snapshot, address)
        data = snapshot.entry(entry) if entry is not None else None
        return None if data is None else site.core.state(snapshot).names.dn(snapshot, data).decode()


def test_an_address_by_domain_and_name(site: Site) -> None:
    dn = "uid=c+d,cn=example.com,o=example"
    given = account("c")
    del given["mail"]
    site.add("uid=c\\+d,cn=example.com,o=example", {**given, "uid": "c+d"})
    assert entry_of(site, "C+D@EXAMPLE.COM") == dn.replace("+", "\\+")
    assert entry_of(site, "c@example.com") is None


def test_mail_comes_first(site: Site) -> None:
    site.modify(ALICE, adding("mail", "info@example.com"))
    given = account("info")
    del given["mail"]
    site.add("uid=info,cn=example.com,o=example", given)
    assert entry_of(site, "info@example.com") == ALICE


def test_an_address_of_two(site: Site) -> None:
    site.modify(ALICE, adding("mail", "both@example.com"))
    site.modify(BOB, adding("mail", "both@example.com"))
    assert entry_of(site, "both@example.com") is None


def test_a_domain_of_two_subtrees(site: Site) -> None:
    site.modify(ALICE, adding("uid", "x"))
    site.add("cn=example.com", {"objectClass": "CommuniGateDomain"})
    given = account("zoe")
    del given["mail"]
    site.add("uid=zoe,cn=example.com", given)
    assert entry_of(site, "zoe@example.com") is None


def test_a_name_that_is_no_domain(site: Site) -> None:
    given = account("zoe")
    del given["mail"]
    site.add("cn=example.org,o=example", {"objectClass": "organizationalRole"})
    site.add("uid=zoe,cn=example.org,o=example", given)
    assert entry_of(site, "zoe@example.org") is None


@pytest.mark.parametrize(
    "address", ["", "@", "alice", "alice@", "@example.com", "\u00e9@example.com", "a@b@c"]
)
def test_no_address(site: Site, address: str) -> None:
    assert entry_of(site, address) is None


def test_an_address_with_an_equals_sign(site: Site) -> None:
    site.modify(ALICE, adding("mail", "srs=a@example.com"))
    assert simple(site, "srs=a@example.com", ALICE_PASSWORD) == site.alice


# --- SASL --------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [0, os.geteuid()])
@pytest.mark.parametrize("authzid", [None, b"", b"dn:CN=admin"])
def test_external(site: Site, uid: int, authzid: bytes | None) -> None:
    assert sasl(site, "EXTERNAL", authzid, Peer("ldapi", uid=uid)) == site.administrator


@pytest.mark.parametrize("authzid", [b"dn:cn=other", b"u:admin", b"cn=admin", b"dn:\xff", b"dn:nonsense"])
def test_external_as_another(site: Site, authzid: bytes) -> None:
    assert sasl(site, "EXTERNAL", authzid, Peer("ldapi", uid=0)) is ResultCode.INVALID_CREDENTIALS


def test_external_of_other_users(site: Site) -> None:
    peer = Peer("ldapi", uid=os.geteuid() + 1)
    assert sasl(site, "EXTERNAL", b"", peer) is ResultCode.INAPPROPRIATE_AUTHENTICATION


def test_external_over_a_network(site: Site) -> None:
    assert sasl(site, "EXTERNAL", b"") is ResultCode.AUTH_METHOD_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("authzid", "authcid"),
    [
        ("", "alice@example.com"),
        ("", "u:alice@example.com"),
        ("", ALICE),
        ("", f"dn:{ALICE}"),
        (f"dn:{ALICE.upper()}", "alice@example.com"),
        ("alice@example.com", "alice@example.com"),
        ("u:alice@example.com", ALICE),
    ],
)
def test_plain(site: Site, authzid: str, authcid: str) -> None:
    message = b"\0".join((authzid.encode(), authcid.encode(), ALICE_PASSWORD))
    assert sasl(site, "PLAIN", message) == site.alice
    assert sasl(site, "plain", message + b"x") is ResultCode.INVALID_CREDENTIALS


@pytest.mark.parametrize("authzid", [BOB, f"dn:{BOB}", "u:bob@example.com", "bob@example.com", "dn:cn=admin"])
def test_plain_as_another(site: Site, authzid: str) -> None:
    message = b"\0".join((authzid.encode(), b"alice@example.com", ALICE_PASSWORD))
    assert sasl(site, "PLAIN", message) is ResultCode.INVALID_CREDENTIALS


@pytest.mark.parametrize(
    "message", [None, b"", b"\0", b"\0\0", b"\0a\0", b"\0\0b", b"a\0b\0c\0d", b"\xff\0a\0b"]
)
def test_plain_and_malformed(site: Site, message: bytes | None) -> None:
    assert sasl(site, "PLAIN", message) is ResultCode.INVALID_CREDENTIALS


def test_plain_of_what_is_no_name(site: Site) -> None:
    assert sasl(site, "PLAIN", b"\0nobody\0x") is ResultCode.INVALID_CREDENTIALS


@pytest.mark.parametrize("mechanism", ["", "GSSAPI", "DIGEST-MD5"])
def test_other_mechanisms(site: Site, mechanism: str) -> None:
    assert sasl(site, mechanism, b"") is ResultCode.AUTH_METHOD_NOT_SUPPORTED
