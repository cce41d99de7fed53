"""Mailboxes stay with their accounts: renamed, removed, made anew, covered for another host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from cgnode import accounts, domains
from cgnode.backend.mailboxes import MOST_AT_ONCE, Mailboxes, owner_by_identity, owner_of
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.sessions.hosting import Here
from cgnode.backend.store import DELETED, Account, AccountExists, How, NoSuchAccount, Quota, StorageAway
from cgnode.backend.upkeep import Upkeep
from cgnode.lookup import Site
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.backend.hosted import HOST, StillFollowing, hosting, make_site, rehost
from tests.cgnode.backend.mailing import ALICE, BOB, contents, deliver, open_store

GRACE = 30.0


@define
class World:
    directory: EphemeralDirectory
    site: Site
    following: StillFollowing
    store: MaildirStore
    mailboxes: Mailboxes
    upkeep: Upkeep
    now: list[float]

    def place(self, address: str) -> Here:
        found = hosting(self.following).find(address)
        assert isinstance(found, Here), found
        return found

    def open(self, address: str) -> Account:
        return self.mailboxes.open(self.place(address))

    def look(self) -> tuple[int, int]:
        report = self.upkeep.look()
        assert (report.failed, report.suspicious) == ([], "")
        return report.renamed, report.set_aside


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with EphemeralDirectory() as directory:
        site = make_site(directory)
        following, store, now = StillFollowing(site), open_store(tmp_path / "storage", HOST), [0.0]
        mailboxes = Mailboxes(following, store, Quota(size=5000), lambda: now[0])
        upkeep = Upkeep(following, store, mailboxes, GRACE, lambda: now[0])
        yield World(directory, site, following, store, mailboxes, upkeep, now)


def mail(account: Account) -> list[str]:
    return sorted(contents(account).values())


def test_owners(world: World) -> None:
    with world.site.reading() as lookup:
        alice = owner_of(lookup, "Alice@Example.com")
        assert alice is not None
        assert (alice.address, alice.host, alice.home) == (ALICE, HOST, HOST)
        assert alice.identity == world.directory.values("uid=alice,cn=example.com", "entryUUID")[0]
        assert owner_by_identity(lookup, alice.identity) == alice
        assert owner_by_identity(lookup, "00000000-0000-4000-8000-000000000000") is None
        for text in ("nobody@example.com", "alice@nowhere.example", "cn=servers", "be1@servers"):
            assert owner_of(lookup, text) is None
    rehost(world.directory, HOST, "be2")
    with world.site.reading() as lookup:
        covered = owner_of(lookup, ALICE)
    assert covered is not None
    assert (covered.host, covered.home) == ("be2", HOST)


def test_first_use_makes_it(world: World) -> None:
    alice = world.open(ALICE)
    assert alice.quota == Quota(size=5000)
    deliver(alice, "a")
    assert mail(world.open("ALICE@example.com")) == ["a"]
    place = world.place(BOB)
    accounts.remove_account(world.site, BOB)
    with pytest.raises(NoSuchAccount):
        world.mailboxes.open(place)
    assert list(world.store.accounts()) == [ALICE]


@pytest.mark.parametrize("looked_first", [True, False])
def test_a_new_name(world: World, looked_first: bool) -> None:
    deliver(world.open(ALICE), "a")
    accounts.rename_account(world.site, ALICE, "alicia@example.com", keep=True)
    if looked_first:
        assert world.look() == (1, 0)
    assert mail(world.open("alicia@example.com")) == ["a"]
    assert list(world.store.accounts()) == ["alicia@example.com"]
    assert world.look() == (0, 0)
    # And once more, back; found by what the storage has noted.
    accounts.remove_alias(world.site, ALICE)
    accounts.rename_account(world.site, "alicia@example.com", ALICE)
    assert mail(world.open(ALICE)) == ["a"]


def test_a_new_name_of_the_domain(world: World) -> None:
    deliver(world.open(ALICE), "a")
    deliver(world.open(BOB), "b")
    domains.rename_domain(world.site, "example.com", "example.org")
    assert mail(world.open("bob@example.org")) == ["b"]
    assert world.look() == (1, 0)
    assert sorted(world.store.accounts()) == ["alice@example.org", "bob@example.org"]


def test_names_passed_on(world: World) -> None:
    """Bob gets the name that alice had, before anybody has looked."""
    deliver(world.open(ALICE), "a")
    deliver(world.open(BOB), "b")
    accounts.rename_account(world.site, ALICE, "alicia@example.com")
    accounts.rename_account(world.site, BOB, ALICE)
    assert mail(world.open(ALICE)) == ["b"]
    assert mail(world.open("alicia@example.com")) == ["a"]
    assert world.look() == (0, 0)


def test_removed(world: World) -> None:
    """Set aside after a while, put back or destroyed by an operator."""
    deliver(world.open(ALICE), "a")
    deliver(world.open(BOB), "b")
    accounts.remove_account(world.site, ALICE)
    assert world.look() == (0, 0)
    world.now[0] += GRACE - 1
    assert world.look() == (0, 0)
    world.now[0] += 1
    assert world.look() == (0, 1)
    assert list(world.store.accounts()) == [BOB]
    (removed,) = world.upkeep.removed()
    assert removed.address == ALICE
    accounts.add_account(world.site, ALICE, host=HOST)
    assert mail(world.open(ALICE)) == []
    world.upkeep.purge(removed)
    assert world.upkeep.removed() == []


def test_missing_for_a_moment(world: World) -> None:
    """As a tool does that moves entries by adding and deleting them; mail meanwhile has another's mailbox."""
    deliver(world.open(ALICE), "a")
    accounts.remove_account(world.site, ALICE)
    assert world.look() == (0, 0)
    accounts.add_account(world.site, ALICE, host=HOST)
    world.now[0] += 2 * GRACE
    assert world.look() == (0, 0)
    assert mail(world.open(ALICE)) == []
    (removed,) = world.upkeep.removed()
    world.upkeep.put_back(removed)
    assert mail(world.open(ALICE)) == ["a"]


def test_put_back(world: World) -> None:
    """For the account that has the name now, and not over its mail."""
    deliver(world.open(ALICE), "a")
    world.store.remove(ALICE, home=HOST)
    (removed,) = world.upkeep.removed()
    accounts.remove_account(world.site, ALICE)
    with pytest.raises(NoSuchAccount, match="add it"):
        world.upkeep.put_back(removed)
    accounts.add_account(world.site, ALICE, host=HOST)
    deliver(world.open(ALICE), "b")
    with pytest.raises(AccountExists, match="in it: 1"):
        world.upkeep.put_back(removed)
    with world.open(ALICE).select("INBOX") as view:
        view.store(view.uids, How.ADD, frozenset({DELETED}))
        view.expunge()
    world.upkeep.put_back(removed)
    assert mail(world.open(ALICE)) == ["a"]
    world.now[0] += 2 * GRACE
    assert world.look() == (0, 0)
    assert len(world.upkeep.removed()) == 1


def test_hosted_elsewhere_is_left_alone(world: World) -> None:
    deliver(world.open(ALICE), "a")
    rehost(world.directory, HOST, "be2")
    world.now[0] += 2 * GRACE
    assert world.look() == (0, 0)
    world.now[0] += 2 * GRACE
    assert world.look() == (0, 0)
    assert list(world.store.accounts()) == [ALICE]


def test_mailboxes_of_before(world: World) -> None:
    """Nobody has said whose they are: they are those of the accounts of their names."""
    deliver(world.store.account(ALICE, home=HOST, create=True), "a")
    deliver(world.store.account(BOB, home=HOST, create=True), "b")
    assert world.look() == (0, 0)
    assert world.store.identity(ALICE, home=HOST)
    accounts.rename_account(world.site, ALICE, "alicia@example.com")
    assert mail(world.open("alicia@example.com")) == ["a"]
    assert mail(world.open(BOB)) == ["b"]


def test_a_directory_that_can_not_be_relied_on(world: World) -> None:
    deliver(world.open(ALICE), "a")
    world.following.away = "it is too old"
    assert "too old" in world.upkeep.look(force=True).suspicious
    world.following.away = None
    with EphemeralDirectory() as empty:
        world.following.site = Site(empty.local.core)
        assert "empty" in world.upkeep.look(force=True).suspicious
        world.now[0] += 2 * GRACE
        assert "empty" in world.upkeep.look(force=True).suspicious
    assert list(world.store.accounts()) == [ALICE]


def test_too_many_at_once(world: World) -> None:
    for number in range(40):
        world.store.account(f"u{number}@example.com", home=HOST, create=True)
    for _ in range(2):
        report = world.upkeep.look()
        assert "40 of 40" in report.suspicious
        assert report.set_aside == 0
        world.now[0] += 2 * GRACE
    assert world.upkeep.look(force=True).set_aside == 40


def test_a_directory_made_anew(world: World) -> None:
    """New identities everywhere: a few mailboxes are set aside, then it stops."""
    names = [f"u{number}@example.com" for number in range(MOST_AT_ONCE + 2)]
    for name in names:
        accounts.add_account(world.site, name, host=HOST)
        deliver(world.open(name), "a")
    with EphemeralDirectory() as other:
        world.following.site = make_site(other)
        for name in names:
            accounts.add_account(world.following.site, name, host=HOST)
        for name in names[:MOST_AT_ONCE]:
            assert mail(world.open(name)) == []
        for name in names[MOST_AT_ONCE:]:
            with pytest.raises(StorageAway, match="made anew"):
                world.open(name)
        assert len(world.upkeep.removed()) == MOST_AT_ONCE
        assert world.mailboxes.adopt() == 2
        assert mail(world.open(names[-1])) == ["a"]


def test_several_storages(world: World, tmp_path: Path) -> None:
    """What this backend covers is looked after, too; the same name may be in both storages."""
    other = open_store(tmp_path / "be2", "be2")
    deliver(other.account("carol@example.com", create=True), "c")
    deliver(other.account(ALICE, create=True), "not hers any more")
    world.store.attach(tmp_path / "be2")
    rehost(world.directory, "be2", HOST)
    assert mail(world.open("carol@example.com")) == ["c"]
    assert mail(world.open(ALICE)) == []
    assert world.look() == (0, 0)
    accounts.rename_account(world.site, "carol@example.com", "caro@example.com")
    assert world.look() == (1, 0)
    assert mail(world.open("caro@example.com")) == ["c"]
    assert world.store.has(ALICE, home="be2")
