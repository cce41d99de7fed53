"""The default policy line by line, and what can be made of it."""

from __future__ import annotations

import pytest
from attrs import frozen

from ldapserver.access import (
    ALL,
    DEFAULT_RULES,
    PUBLIC,
    SECRETS,
    Policy,
    Right,
    Rule,
    View,
    Who,
    all_but,
    only,
)
from ldapserver.identity import ANONYMOUS, Identity


@frozen
class Type:
    names: tuple[str, ...]
    oid: str = "1.1.1"
    sup: Type | None = None

    @property
    def name(self) -> str:
        return self.names[0]


def named(name: str) -> Type:
    return Type((name,))


CN = Type(("cn", "commonName"), "2.5.4.3", Type(("name",), "2.5.4.41"))
MAIL = Type(("mail", "rfc822Mailbox"), "0.9.2342.19200300.100.1.3")
PASSWORD = Type(("userPassword",), "2.5.4.35")
ALICE = Identity("uid=alice,o=example", (b"uid=alice", b"o=example"))
BOB = Identity("uid=bob,o=example", (b"uid=bob", b"o=example"))
ADMINISTRATOR = Identity("cn=admin", (b"cn=admin",), administrator=True)
PEERCRED = Identity("", (), administrator=True)


def may_nothing_to_entries(view: View) -> bool:
    return not (view.everything or view.add or view.delete or view.rename)


def test_anonymous() -> None:
    view = Policy().view(ANONYMOUS)
    for name in ("objectClass", "cn", "mail", "hostServer", "member", "entryUUID", "hasSubordinates"):
        assert view.readable(named(name))
    for name in ("userPassword", "homePhone", "employeeNumber", "creatorsName", "somethingNew"):
        assert not view.readable(named(name))
    for name in (*PUBLIC, "userPassword"):
        assert not view.writable(named(name))
    assert may_nothing_to_entries(view)


def test_authenticated() -> None:
    view = Policy().view(ALICE)
    for name in (*PUBLIC, "homePhone", "creatorsName", "somethingNew"):
        assert view.readable(named(name))
        assert not view.writable(named(name))
    for secret in SECRETS.listed:
        assert not view.readable(named(secret))
        assert not view.readable(named(secret.upper()))
    assert not view.writable(PASSWORD)
    assert may_nothing_to_entries(view)


def test_self() -> None:
    view = Policy().view(ALICE, own=True)
    assert view.writable(PASSWORD)
    assert not view.readable(PASSWORD)
    assert view.readable(CN)
    assert not view.writable(CN)
    assert may_nothing_to_entries(view)


@pytest.mark.parametrize("identity", [ADMINISTRATOR, PEERCRED])
@pytest.mark.parametrize("own", [False, True])
def test_administrator(identity: Identity, own: bool) -> None:
    view = Policy(rules=()).view(identity, own)
    assert view.everything
    assert view.add
    assert view.delete
    assert view.rename
    assert view.readable(PASSWORD)
    assert view.writable(PASSWORD)


def test_no_rules_give_nothing() -> None:
    policy = Policy(rules=())
    for view in (policy.view(ANONYMOUS), policy.view(ALICE), policy.view(ALICE, own=True)):
        assert may_nothing_to_entries(view)
        assert not view.readable(CN)
        assert not view.writable(CN)


def test_views_are_the_same_objects() -> None:
    policy = Policy(rules=(*DEFAULT_RULES, Rule(BOB.key, Right.ADD)))
    assert policy.view(ALICE) is policy.view(Identity("UID=Carol,O=Example", (b"uid=carol", b"o=example")))
    assert policy.view(ALICE, own=True) is policy.view(ALICE, own=True)
    assert policy.view(ANONYMOUS) is policy.view(ANONYMOUS, own=True)
    assert policy.view(ADMINISTRATOR) is policy.view(PEERCRED, own=True)
    assert policy.view(BOB) is policy.view(Identity("uid=BOB,o=example", BOB.key))
    views = [
        policy.view(ANONYMOUS),
        policy.view(ALICE),
        policy.view(ALICE, own=True),
        policy.view(BOB),
        policy.view(BOB, own=True),
        policy.view(ADMINISTRATOR),
    ]
    assert len(set(views)) == 6


def test_rules_for_one_client() -> None:
    rights = Right.WRITE | Right.ADD | Right.DELETE | Right.RENAME
    policy = Policy((*DEFAULT_RULES, Rule(BOB.key, rights, all_but("hostServer"))))
    bob, alice = policy.view(BOB), policy.view(ALICE)
    assert bob.writable(CN)
    assert bob.writable(PASSWORD)
    assert not bob.writable(named("hostServer"))
    assert bob.add
    assert bob.delete
    assert bob.rename
    assert not bob.everything
    assert not bob.readable(PASSWORD)
    assert may_nothing_to_entries(alice)
    assert not alice.writable(CN)


def test_no_rule_gives_secrets_to_read() -> None:
    policy = Policy(
        (Rule(Who.ANYONE, Right.READ | Right.WRITE, ALL), Rule(BOB.key, Right.READ, only("2.5.4.35")))
    )
    for view in (policy.view(ANONYMOUS), policy.view(BOB), policy.view(BOB, own=True)):
        assert view.readable(CN)
        assert not view.readable(PASSWORD)
        assert view.writable(PASSWORD)


def test_a_type_is_meant_by_any_of_its_names_and_with_its_subtypes() -> None:
    for name in ("cn", "CN", "commonname", "2.5.4.3", "name"):
        assert only(name).covers(CN)
        assert not all_but(name).covers(CN)
    assert not only("mail").covers(CN)
    assert all_but("mail").covers(CN)
    hidden = Type(("appPassword",), "1.2.3", PASSWORD)
    renamed = Type(("pass",), "2.5.4.35")
    for secret in (hidden, renamed):
        assert not Policy().view(ALICE).readable(secret)


def test_anonymous_may_be_given_more_or_less() -> None:
    policy = Policy((*DEFAULT_RULES, Rule(Who.ANYONE, Right.READ | Right.ADD, only("x"))))

    def anonymous(*read: str) -> View:
        return policy.with_anonymous(read).view(ANONYMOUS)

    assert not anonymous().readable(MAIL)
    assert not anonymous().readable(named("x"))
    assert anonymous().add
    assert anonymous("rfc822mailbox").readable(MAIL)
    assert anonymous("mail").readable(named("objectClass"))
    assert not anonymous("mail").readable(CN)
    assert anonymous("*").readable(named("homePhone"))
    assert not anonymous("*").readable(PASSWORD)
    # Others lose nothing by it.
    assert policy.with_anonymous([]).view(ALICE).readable(MAIL)
    assert policy.with_anonymous([]).view(ALICE, own=True).writable(PASSWORD)
    assert Policy().with_anonymous(["mail"]).with_anonymous(PUBLIC) == Policy()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("userPassword", "userPassword is a secret"),
        ("2.5.4.35", "2.5.4.35 is a secret"),
        ("USERPKCS12", "USERPKCS12 is a secret"),
        ("", "'' is no attribute name"),
        ("cn,mail", "'cn,mail' is no attribute name"),
        ("**", "'\\*\\*' is no attribute name"),
    ],
)
def test_what_anonymous_cannot_be_given(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Policy().with_anonymous(["mail", name])


def test_policies_compare_by_what_they_say() -> None:
    assert Policy() == Policy()
    assert hash(Policy()) == hash(Policy())
    assert Policy() != Policy(rules=())
    assert "userpassword" in SECRETS.listed
    assert not SECRETS.listed & {name.lower() for name in PUBLIC}
