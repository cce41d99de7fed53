"""The router over a world of dictionaries; ``test_accounts`` has it over a store."""

from __future__ import annotations

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from cgnode import router as routing
from cgnode.names import Address, parse_address
from cgnode.router import (
    MOST_HOPS,
    Account,
    AccountRecord,
    AliasRecord,
    DomainAlias,
    DomainRecord,
    ForwarderRecord,
    Group,
    GroupRecord,
    Loop,
    NoHost,
    Outcome,
    Record,
    Remote,
    Router,
    Unknown,
)


@frozen
class World:
    domains: dict[str, DomainRecord | DomainAlias]
    records: dict[tuple[str, str], Record]
    servers: frozenset[str]

    def domain(self, name: str) -> DomainRecord | DomainAlias | None:
        return self.domains.get(name)

    def record(self, name: str, domain: str) -> Record | None:
        return self.records.get((name, domain))

    def is_member(self, name: str) -> bool:
        return name.lower() in self.servers


def dn(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"uid={local},cn={domain}"


def account(address: str, host: str | None = "be1") -> AccountRecord:
    return AccountRecord(dn(address), parse_address(address), host)


def alias(address: str, target: str | None) -> AliasRecord:
    return AliasRecord(dn(address), (target and parse_address(target)) or None)


def group(address: str, *members: str) -> GroupRecord:
    return GroupRecord(dn(address), parse_address(address), members)


def world(*records: tuple[str, Record]) -> World:
    return World(
        {
            "a.example": DomainRecord("a.example"),
            "b.example": DomainRecord("b.example"),
            "old.example": DomainAlias("old.example", "a.example"),
            "older.example": DomainAlias("older.example", "old.example"),
            "round.example": DomainAlias("round.example", "about.example"),
            "about.example": DomainAlias("about.example", "round.example"),
            "lost.example": DomainAlias("lost.example", None),
        },
        {parse_address(address).key: record for address, record in records},
        frozenset({"be1", "be2"}),
    )


ALICE = account("alice@a.example")
BOB = account("bob@b.example", "BE2")
SITE = world(
    ("alice@a.example", ALICE),
    ("bob@b.example", BOB),
    ("nobody@a.example", account("nobody@a.example", None)),
    ("far@a.example", account("far@a.example", "be9")),
    ("al@a.example", alias("al@a.example", "alice@a.example")),
    ("b@a.example", alias("b@a.example", "bob@b.example")),
    ("lost@a.example", alias("lost@a.example", None)),
    ("x@a.example", alias("x@a.example", "y@a.example")),
    ("y@a.example", alias("y@a.example", "x@a.example")),
    ("out@a.example", ForwarderRecord("", "Me@Far.example")),
    ("in@a.example", ForwarderRecord("", "al@old.example")),
    ("self@a.example", ForwarderRecord("", "self@older.example")),
    ("bad@a.example", ForwarderRecord("", "no address")),
    ("empty@a.example", group("empty@a.example")),
    ("own@a.example", group("own@a.example", "own@a.example", "own@old.example")),
    ("wide@a.example", group("wide@a.example", *(f"u{i}@far.example" for i in range(10_001)))),
    (
        "team@a.example",
        group("team@a.example", "al@a.example", "ALICE@older.example", "inner@a.example", "x@a.example"),
    ),
    (
        "inner@a.example",
        group("inner@a.example", "team@a.example", "b@a.example", "out@a.example", "gone@a.example", "uid=x"),
    ),
)
ROUTER = Router(SITE, "a.example", frozenset({"mail.example"}))

FOUND_ALICE = Account(ALICE.dn, ALICE.address, "be1")
FOUND_BOB = Account(BOB.dn, BOB.address, "be2")

WAYS: list[tuple[str, Outcome]] = [
    ("alice@a.example", FOUND_ALICE),
    ("ALICE@A.Example", FOUND_ALICE),
    ("alice@older.example", FOUND_ALICE),
    ("al@a.example", FOUND_ALICE),
    ("b@old.example", FOUND_BOB),
    ("bob%b.example@a.example", FOUND_BOB),
    ("al%old.example%b.example@a.example", FOUND_ALICE),
    ("alice@mail.example", FOUND_ALICE),
    ("bob%b.example@be1", FOUND_BOB),
    ("in@a.example", FOUND_ALICE),
    ("out@a.example", Remote(Address("Me", "far.example"), forwarded=True)),
    ("Me@far.example", Remote(Address("Me", "far.example"))),
    ("me%far.example@a.example", Remote(Address("me", "far.example"))),
    ("me%a.example@far.example", Remote(Address("me%a.example", "far.example"))),
    ("me@[127.0.0.1]", Remote(Address("me", "[127.0.0.1]"))),
    ("nobody@a.example", NoHost(dn("nobody@a.example"), Address("nobody", "a.example"), None)),
    ("far@a.example", NoHost(dn("far@a.example"), Address("far", "a.example"), "be9")),
    ("gone@a.example", Unknown("gone@a.example", "there is no gone in a.example")),
    ("bob@mail.example", Unknown("bob@a.example", "there is no bob in a.example")),
    ("lost@a.example", Unknown("lost@a.example", "an alias that leads nowhere")),
    ("me@lost.example", Unknown("me@lost.example", "the domain alias lost.example leads nowhere")),
    ("%a.example@a.example", Unknown("%a.example@a.example", "no address behind the %")),
    ("a%@a.example", Unknown("a%@a.example", "no address behind the %")),
    ("x@a.example", Loop("x@a.example", "the way comes back to it")),
    ("self@a.example", Loop("self@a.example", "the way comes back to it")),
    ("me@round.example", Loop("me@round.example", "the way comes back to it")),
    ("empty@a.example", Unknown("empty@a.example", "the group has no members")),
    ("own@a.example", Loop("own@a.example", "the group has no members but itself")),
    ("wide@a.example", Loop("wide@a.example", "a group of more than 10,000 recipients")),
]


@pytest.mark.parametrize(("address", "outcome"), WAYS, ids=[address for address, _ in WAYS])
def test_ways(address: str, outcome: Outcome) -> None:
    assert ROUTER.route(address).outcome == outcome


def test_a_group_has_each_recipient_once() -> None:
    found = ROUTER.route("team@a.example").outcome
    assert isinstance(found, Group)
    assert found.address == Address("team", "a.example")
    assert found.recipients[0] == FOUND_ALICE
    assert found.recipients[2] == FOUND_BOB
    assert [type(each) for each in found.recipients] == [Account, Loop, Account, Remote, Unknown, Unknown]


def test_members_elsewhere_are_forwarded() -> None:
    router = Router(world(("g@a.example", group("g@a.example", "me@far.example"))))
    found = router.route("g@a.example").outcome
    assert isinstance(found, Group)
    assert found.recipients == (Remote(Address("me", "far.example"), forwarded=True),)


def test_every_step_is_told() -> None:
    steps = ROUTER.route("al%older.example@be1").steps
    assert list(map(str, steps)) == [
        "al%older.example@be1: % notation: al@older.example",
        "al@older.example: domain alias: al@old.example",
        "al@old.example: domain alias: al@a.example",
        "al@a.example: alias: alice@a.example",
        "alice@a.example: account: account uid=alice,cn=a.example on be1",
    ]


def test_hops_are_bounded() -> None:
    chain = [(f"n{i}@a.example", alias(f"n{i}@a.example", f"n{i + 1}@a.example")) for i in range(MOST_HOPS)]
    router = Router(world(*chain))
    assert router.route("n0@a.example").outcome == Loop("n0@a.example", f"more than {MOST_HOPS} hops")
    assert isinstance(router.route("n5@a.example").outcome, Unknown)
    deep = "a" + "%b.example" * 30 + "@a.example"
    assert router.route(deep).outcome == Unknown("a@b.example", "there is no a in b.example")


@pytest.mark.parametrize(
    ("login", "outcome"),
    [
        ("alice", FOUND_ALICE),
        ("AL", FOUND_ALICE),
        ("alice@old.example", FOUND_ALICE),
        ("bob%b.example", FOUND_BOB),
        ("b", FOUND_BOB),
        ("far", NoHost(dn("far@a.example"), Address("far", "a.example"), "be9")),
        ("gone", Unknown("gone@a.example", "there is no gone in a.example")),
        ("me@far.example", Unknown("me@far.example", "not an account here")),
        ("out", Unknown("out", "not an account here")),
        ("in", Unknown("in", "a forwarder, which nobody logs in to")),
        ("team", Unknown("team", "a group, which nobody logs in to")),
        ("x", Unknown("x@a.example", "the way comes back to it")),
        ("", Unknown("", "'' is no address: its local part is not as mail writes it")),
    ],
)
def test_logins(login: str, outcome: Outcome) -> None:
    assert ROUTER.login(login).outcome == outcome


def test_a_name_alone_needs_a_default_domain() -> None:
    assert Router(SITE).login("alice").outcome == Unknown("alice", "a name without a domain")
    assert isinstance(ROUTER.route("alice").outcome, Unknown)


# --- whatever is there and whatever is asked ------------------------------------------------

NAMES = ("a", "b", "c")
DOMAINS = ("x.example", "y.example", "z.example", "be1")
ADDRESSES = st.builds(
    lambda local, percent, domain: f"{local}{percent}@{domain}",
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(DOMAINS), max_size=2).map(lambda all: "".join(f"%{each}" for each in all)),
    st.sampled_from(DOMAINS),
)
PARSED = st.builds(Address, st.sampled_from(NAMES), st.sampled_from(DOMAINS))
ANY = ADDRESSES | st.text(max_size=8)


def record_of(address: Address) -> st.SearchStrategy[Record]:
    name = dn(str(address))
    return st.one_of(
        st.builds(AccountRecord, st.just(name), st.just(address), st.sampled_from([None, "be1", "be9"])),
        st.builds(AliasRecord, st.just(name), st.none() | PARSED),
        st.builds(ForwarderRecord, st.just(name), ANY),
        st.builds(GroupRecord, st.just(name), st.just(address), st.lists(ANY, max_size=5).map(tuple)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    domains: dict[str, DomainRecord | DomainAlias] = {}
    for name in DOMAINS[:3]:
        kind = draw(st.sampled_from(["ours", "alias", "not ours"]))
        if kind == "ours":
            domains[name] = DomainRecord(name)
        elif kind == "alias":
            domains[name] = DomainAlias(name, draw(st.none() | st.sampled_from(DOMAINS)))
    records = {}
    for address in draw(st.lists(PARSED, unique=True, max_size=8)):
        records[address.key] = draw(record_of(address))
    return World(domains, records, frozenset({"be1"}))


@given(worlds(), ANY, st.sampled_from(["", *DOMAINS, "no domain"]))
def test_routing_always_ends(site: World, text: str, default: str) -> None:
    router = Router(site, default)
    routed = router.route(text)
    assert routed.steps
    found = routed.outcome
    singles = found.recipients if isinstance(found, Group) else (found,)
    assert singles
    assert len(set(singles)) == len(singles)
    for single in singles:
        assert isinstance(single, Account | Remote | Unknown | NoHost | Loop)
        if isinstance(single, Account):
            assert site.is_member(single.host)
        if isinstance(single, Remote):
            assert single.address.domain not in site.domains
        assert routing.told(single)
    # An account that mail finds without a forwarder or group is who logs in by that name.
    login = router.login(text).outcome
    assert isinstance(login, Account | NoHost | Unknown)
    forwarded = any(step.rule == "forwarder" for step in routed.steps)
    if isinstance(found, Account | NoHost):
        assert login == found or forwarded
