"""Domains, accounts, servers and what else has an address, as records of a directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cgnode import accounts, domains, servers
from cgnode.editing import Edit, Refused
from cgnode.lookup import HostLoad, Site
from cgnode.members import Endpoint, Member, Override, State
from cgnode.names import Address, BadName
from cgnode.router import Account, Group, Loop, NoHost, Outcome, Remote, Router, Unknown
from ldapserver.dn import escape_value
from ldapserver.messages import Rehost, Restore
from ldapserver.passwords import verify
from ldapserver.testing import EphemeralDirectory

BACKEND = ("backend",)


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory() as directory:
        yield directory


@pytest.fixture
def site(directory: EphemeralDirectory) -> Site:
    """Two backends and a domain."""
    site = Site(directory.local.core)
    servers.add_server(site, Member("be1", BACKEND, {"lmtp": Endpoint("10.0.0.1", 24)}))
    servers.add_server(site, Member("be2", BACKEND, {"lmtp": Endpoint("10.0.0.2", 24)}))
    domains.add_domain(site, "Example.com")
    return site


def route(site: Site, address: str, default: str = "") -> Outcome:
    with site.reading() as lookup:
        return Router(lookup, default).route(address).outcome


def login(site: Site, name: str) -> Outcome:
    with site.reading() as lookup:
        return Router(lookup, "example.com").login(name).outcome


def found(address: str, host: str) -> Account:
    local, _, domain = address.partition("@")
    return Account(f"uid={local},cn={domain}", Address(local, domain), host)


def test_an_account_is_its_record(site: Site, directory: EphemeralDirectory) -> None:
    record = accounts.add_account(
        site, "Alice@EXAMPLE.com", password=b"wonderland", real_name="Alice Liddell", host="BE2"
    )
    assert (record.dn, record.host) == ("uid=alice,cn=example.com", "be2")
    for attribute, value in [
        ("uid", "alice"),
        ("cn", "Alice Liddell"),
        ("sn", "Liddell"),
        ("mail", "alice@example.com"),
        ("hostServer", "be2"),
    ]:
        assert directory.values(record.dn, attribute) == [value]
    classes = ["top", "person", "organizationalPerson", "inetOrgPerson", "CommuniGateAccount"]
    assert directory.values(record.dn, "objectClass") == classes
    assert verify(directory.values(record.dn, "userPassword")[0].encode(), b"wonderland")
    summary = accounts.show_account(site, "alice@example.com")
    assert (summary.real_name, summary.aliases, summary.has_password) == ("Alice Liddell", (), True)
    assert directory.bind(record.dn, "wonderland").dn == record.dn


def test_new_accounts_go_to_the_least_loaded_backend_in_service(site: Site) -> None:
    hosts = [accounts.add_account(site, f"u{i}@example.com").host for i in range(4)]
    assert hosts == ["be1", "be2", "be1", "be2"]
    servers.set_state(site, "be1", State.DRAINING)
    assert accounts.add_account(site, "v@example.com").host == "be2"
    assert accounts.add_account(site, "w@example.com", host="be1").host == "be1"
    servers.set_state(site, "be2", State.DOWN)
    with pytest.raises(Refused, match="no active backend"):
        accounts.add_account(site, "x@example.com")
    with pytest.raises(Refused, match="be2 is down"):
        accounts.add_account(site, "x@example.com", host="be2")


def test_refused_accounts(site: Site) -> None:
    accounts.add_account(site, "alice@example.com")
    for address, reason in [
        ("alice@example.com", "^alice@example.com is there already$"),
        ("ALICE@example.com", "^alice@example.com is there already$"),
        ("alice@none.example", "^there is no domain none.example; "),
    ]:
        with pytest.raises(Refused, match=reason):
            accounts.add_account(site, address)
    with pytest.raises(Refused, match=r"^there is no backend be9; known are: be1, be2$"):
        accounts.add_account(site, "bob@example.com", host="be9")
    with pytest.raises(Refused, match="empty password"):
        accounts.add_account(site, "bob@example.com", password=b"")
    with pytest.raises(BadName):
        accounts.add_account(site, ".bob@example.com")
    assert [str(each.address) for each in accounts.list_accounts(site)] == ["alice@example.com"]


def test_by_plain_ldap_all_the_same(site: Site, directory: EphemeralDirectory) -> None:
    record = {"objectClass": "CommuniGateAccount", "cn": "C", "sn": "D", "mail": "carol@example.com"}
    directory.add("uid=Carol,cn=example.com", {**record, "hostServer": "BE2"})
    assert route(site, "carol@example.com") == Account(
        "uid=Carol,cn=example.com", Address("carol", "example.com"), "be2"
    )
    directory.modify("uid=carol,cn=example.com", replace={"hostServer": "be9"})
    assert isinstance(route(site, "carol@example.com"), NoHost)
    directory.modify("uid=carol,cn=example.com", replace={"hostServer": []})
    assert isinstance(route(site, "carol@example.com"), NoHost)
    group = {"objectClass": "CommuniGateGroup", "member": ["uid=carol,cn=example.com", "cn=nobody"]}
    directory.add("uid=all,cn=example.com", {**group, "memberAddress": "me@far.example"})
    outcome = route(site, "all@example.com")
    assert isinstance(outcome, Group)
    assert [type(each) for each in outcome.recipients] == [Remote, NoHost, Unknown]


def test_names_that_ldap_takes_and_mail_does_not(site: Site, directory: EphemeralDirectory) -> None:
    record = {"objectClass": "CommuniGateAccount", "cn": "C", "sn": "D", "hostServer": "be1"}
    for name in ("carol+x", ".carol", "carol smith"):
        directory.add(f"uid={escape_value(name.encode())},cn=example.com", record)
        assert isinstance(route(site, f'"{name}"@example.com'), Unknown)


def test_the_ways_through_a_store(site: Site) -> None:
    accounts.add_account(site, "alice@example.com", host="be1")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    accounts.add_alias(site, "ally@example.com", "al@example.com")
    domains.alias_domain(site, "old.example", "example.com")
    domains.alias_domain(site, "older.example", "old.example")
    accounts.add_forwarder(site, "out@old.example", "Me@far.example")
    accounts.add_group(
        site, "team@example.com", ["ally@older.example", "out@example.com", "team@example.com"]
    )
    alice = found("alice@example.com", "be1")
    for address in ("alice@example.com", "ally@older.example", "AL%old.example@be2"):
        assert route(site, address) == alice
    assert login(site, "ally") == login(site, "alice@old.example") == alice
    away = Remote(Address("Me", "far.example"), forwarded=True)
    assert route(site, "out@example.com") == away
    assert route(site, "team@old.example") == Group(
        "uid=team,cn=example.com", Address("team", "example.com"), (alice, away)
    )
    for address in (
        "none@example.com",
        '"al ice"@example.com',
        '"a\\\\,+b"@example.com',
        "x%y%z@example.com",
    ):
        assert isinstance(route(site, address), Unknown | Remote)
    # The servers' table stands where a domain would, and is none.
    assert isinstance(route(site, "alice@servers"), Remote)


def test_a_host_that_moves_is_seen_at_once(site: Site, directory: EphemeralDirectory) -> None:
    accounts.add_account(site, "alice@example.com", host="be1")
    directory.local.bulk(directory.local.core.administrator, Rehost("be1", "be2")).result()
    assert route(site, "alice@example.com") == found("alice@example.com", "be2")
    with site.reading() as lookup:
        assert lookup.loads() == {"be2": HostLoad(1, {"be1": 1})}
    with pytest.raises(Refused, match="1 entry of be1's are served elsewhere"):
        servers.remove_server(site, "be1")
    (record,) = accounts.list_accounts(site, host="BE2")
    assert (record.host, record.old_host) == ("be2", "be1")
    directory.local.bulk(directory.local.core.administrator, Restore("be1")).result()
    assert route(site, "alice@example.com") == found("alice@example.com", "be1")


def test_an_account_with_another_name(site: Site, directory: EphemeralDirectory) -> None:
    accounts.add_account(site, "alice@example.com")
    directory.modify("uid=alice,cn=example.com", add={"mail": "alice.l@elsewhere.example"})
    accounts.add_account(site, "bob@example.com")
    domains.add_domain(site, "b.example")
    domains.alias_domain(site, "old.example", "example.com")
    accounts.add_alias(site, "al@b.example", "alice@example.com")
    accounts.add_group(site, "team@b.example", ["Alice@old.example", "bob@example.com"])
    accounts.add_forwarder(site, "a@b.example", "alice@example.com")
    done = accounts.rename_account(site, "alice@old.example", "liddell@b.example", keep=True)
    assert (done.aliases, done.references) == (1, 2)
    dn = "uid=liddell,cn=b.example"
    assert directory.values(dn, "mail") == ["liddell@b.example", "alice.l@elsewhere.example"]
    assert directory.values(dn, "hostServer") == ["be1"]
    for address in ("liddell@b.example", "al@b.example", "alice@example.com", "a@b.example"):
        assert route(site, address) == found("liddell@b.example", "be1")
    assert accounts.show_group(site, "team@b.example").members == ("liddell@b.example", "bob@example.com")
    with pytest.raises(Refused, match=r"^bob@example.com is there already$"):
        accounts.rename_account(site, "liddell@b.example", "bob@example.com")
    with pytest.raises(Refused, match=r"^alice@example.com is an alias, not an account$"):
        accounts.rename_account(site, "alice@example.com", "x@example.com")


def test_an_account_that_is_removed_leaves_nothing(site: Site, directory: EphemeralDirectory) -> None:
    before = directory.dump("cn=example.com")
    accounts.add_account(site, "alice@example.com")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    accounts.add_alias(site, "ally@example.com", "al@example.com")
    group = accounts.add_group(site, "team@example.com", ["ALLY@example.com", "x@far.example"])
    directory.modify(group.dn, add={"member": "uid=alice,cn=example.com"})
    done = accounts.remove_account(site, "alice@example.com")
    assert (done.aliases, done.references) == (2, 1)
    assert accounts.show_group(site, "team@example.com").members == ("x@far.example",)
    accounts.remove_group(site, "team@example.com")
    assert directory.dump("cn=example.com") == before


def test_passwords(site: Site, directory: EphemeralDirectory) -> None:
    accounts.add_account(site, "alice@example.com")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    assert not accounts.show_account(site, "al@example.com").has_password
    accounts.set_password(site, "al@example.com", b"first")
    accounts.set_password(site, "alice@example.com", b"second")
    (stored,) = directory.values("uid=alice,cn=example.com", "userPassword")
    assert stored.startswith("{ARGON2}")
    assert verify(stored.encode(), b"second")
    with pytest.raises(Refused, match=r"^there is no bob@example.com$"):
        accounts.set_password(site, "bob@example.com", b"x")


def test_aliases(site: Site) -> None:
    accounts.add_account(site, "alice@example.com")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    with pytest.raises(Refused, match=r"^there is no bob@example.com; "):
        accounts.add_alias(site, "b@example.com", "bob@example.com")
    with pytest.raises(Refused, match="there already"):
        accounts.add_alias(site, "alice@example.com", "al@example.com")
    listed = list(accounts.list_aliases(site, "example.com"))
    assert listed == [(Address("al", "example.com"), Address("alice", "example.com"))]
    with pytest.raises(Refused, match=r"^alice@example.com is an account, not an alias$"):
        accounts.remove_alias(site, "alice@example.com")
    accounts.remove_alias(site, "al@example.com")
    assert list(accounts.list_aliases(site)) == []


def test_groups(site: Site) -> None:
    accounts.add_group(site, "team@example.com", ["a@far.example", "b@far.example", "a@far.example"])
    group = accounts.change_group(
        site, "team@example.com", ["C@far.example", "A@far.example"], ["B@FAR.example"]
    )
    assert group.members == ("a@far.example", "C@far.example")
    assert [str(each.address) for each in accounts.list_groups(site)] == ["team@example.com"]
    assert accounts.change_group(site, "team@example.com", [], group.members).members == ()
    assert isinstance(route(site, "team@example.com"), Unknown)
    with pytest.raises(BadName):
        accounts.add_group(site, "other@example.com", ["no address"])


def test_forwarders(site: Site) -> None:
    accounts.add_forwarder(site, "out@example.com", "me@far.example")
    assert list(accounts.list_forwarders(site)) == [(Address("out", "example.com"), "me@far.example")]
    accounts.add_forwarder(site, "round@example.com", "round@example.com")
    assert isinstance(route(site, "round@example.com"), Loop)
    accounts.remove_forwarder(site, "round@example.com")
    accounts.remove_forwarder(site, "out@example.com")
    assert list(accounts.list_forwarders(site)) == []


def test_other_names_for_aliases_groups_and_forwarders(site: Site, directory: EphemeralDirectory) -> None:
    accounts.add_account(site, "alice@example.com", host="be1")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    accounts.add_alias(site, "ally@example.com", "al@example.com")
    group = accounts.add_group(site, "team@example.com", ["al@example.com", "out@example.com"])
    accounts.add_alias(site, "us@example.com", "team@example.com")
    accounts.add_forwarder(site, "out@example.com", "team@example.com")
    domains.add_domain(site, "b.example")

    assert accounts.rename_alias(site, "AL@example.com", "lew@b.example") == accounts.Follow(1, 1)
    assert accounts.show_alias(site, "ally@example.com")[1] == Address("lew", "b.example")
    assert route(site, "ally@example.com") == found("alice@example.com", "be1")
    assert accounts.rename_group(site, "team@example.com", "crew@example.com") == accounts.Follow(1, 1)
    assert accounts.show_forwarder(site, "out@example.com")[1] == "crew@example.com"
    assert directory.values("uid=crew,cn=example.com", "mail") == ["crew@example.com"]
    assert accounts.rename_forwarder(site, "out@example.com", "outer@example.com") == accounts.Follow(0, 1)
    assert accounts.show_group(site, "crew@example.com").members == ("lew@b.example", "outer@example.com")
    assert route(site, "us@example.com") == route(site, "crew@example.com")
    assert isinstance(route(site, str(group.address)), Unknown)

    with pytest.raises(Refused, match=r"^alice@example.com is there already$"):
        accounts.rename_alias(site, "ally@example.com", "alice@example.com")
    with pytest.raises(Refused, match=r"^crew@example.com is a group, not a forwarder$"):
        accounts.rename_forwarder(site, "crew@example.com", "x@example.com")
    with pytest.raises(Refused, match=r"^there is no x@example.com$"):
        accounts.show_alias(site, "x@example.com")


def test_domains(site: Site) -> None:
    domains.add_domain(site, "b.example")
    domains.alias_domain(site, "c.example", "b.example")
    domains.alias_domain(site, "d.example", "c.example")
    accounts.add_account(site, "alice@d.example")
    listed = {each.name: (each.entries, each.aliases) for each in domains.list_domains(site)}
    assert listed == {"b.example": (1, ("c.example", "d.example")), "example.com": (0, ())}
    domain, contents = domains.show_domain(site, "d.example")
    assert (domain.name, contents.accounts, contents.aliases) == ("b.example", 1, 0)
    for name in ("b.example", "c.example", "servers"):
        with pytest.raises(Refused, match="there already"):
            domains.add_domain(site, name)
    with pytest.raises(Refused, match=r"^b.example has 1 entry; remove them first$"):
        domains.remove_domain(site, "b.example")
    assert domains.remove_domain(site, "d.example") == ("d.example",)
    accounts.remove_account(site, "alice@b.example")
    assert domains.remove_domain(site, "b.example") == ("b.example", "c.example")
    for name in ("b.example", "servers"):
        with pytest.raises(Refused, match="there is no domain"):
            domains.remove_domain(site, name)


def test_a_domain_with_another_name(site: Site, directory: EphemeralDirectory) -> None:
    domains.add_domain(site, "b.example")
    domains.alias_domain(site, "c.example", "example.com")
    accounts.add_account(site, "alice@example.com", host="be1")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    accounts.add_alias(site, "ally@b.example", "al@example.com")
    accounts.add_group(site, "team@b.example", ["alice@example.com", "x@far.example"])
    accounts.add_forwarder(site, "f@b.example", "al@example.com")
    done = domains.rename_domain(site, "example.com", "new.example", keep=True)
    assert (done.mail, done.aliases, done.references) == (1, 3, 2)
    alice = found("alice@new.example", "be1")
    for address in (
        "alice@example.com",
        "al@c.example",
        "ally@b.example",
        "f@b.example",
        "alice@new.example",
    ):
        assert route(site, address) == alice
    assert directory.values("uid=alice,cn=new.example", "mail") == ["alice@new.example"]
    assert accounts.show_group(site, "team@b.example").members == ("alice@new.example", "x@far.example")
    with pytest.raises(Refused, match=r"^there is no domain example.com$"):
        domains.rename_domain(site, "example.com", "x.example")


def test_servers(site: Site, directory: EphemeralDirectory) -> None:
    servers.change_server(site, "be1", addresses={"imap": Endpoint("::1", 143)})
    urls = directory.values("cn=be1,cn=servers", "serverAddress")
    assert urls == ["lmtp://10.0.0.1:24", "imap://[::1]:143"]
    assert servers.list_servers(site).address_of("be1", "imap") == Endpoint("::1", 143)
    assert servers.set_state(site, "BE1", State.DOWN)[1]
    assert not servers.set_state(site, "be1", State.DOWN)[1]
    accounts.add_account(site, "alice@example.com", host="be2")
    with pytest.raises(Refused, match=r"^be2 serves 1 entry; cgctl failover be2 --to OTHER "):
        servers.remove_server(site, "be2")
    servers.remove_server(site, "be1")
    with pytest.raises(Refused, match=r"^there is no server be1; known are: be2$"):
        servers.set_state(site, "be1", State.ACTIVE)
    with pytest.raises(Refused, match=r"^be2 is there already"):
        servers.add_server(site, Member("BE2"))


def test_a_server_whose_record_is_wrong(site: Site, directory: EphemeralDirectory) -> None:
    directory.modify("cn=be1,cn=servers", replace={"serverState": "asleep"})
    (be1, _) = servers.list_servers(site)
    assert be1.state is State.DRAINING
    assert be1.faults == ("serverState 'asleep' is none of active, draining, down",)
    servers.set_state(site, "be1", State.DRAINING)
    (be1, _) = servers.list_servers(site)
    assert be1.faults == ()


def test_a_configured_server_hosts_like_any_other(site: Site, directory: EphemeralDirectory) -> None:
    overridden = Site(
        directory.local.core, overrides=(Override("be9", addresses={"lmtp": Endpoint("h", 24)}),)
    )
    record = {"objectClass": "CommuniGateAccount", "cn": "C", "sn": "D", "hostServer": "be9"}
    directory.add("uid=carol,cn=example.com", record)
    assert isinstance(route(site, "carol@example.com"), NoHost)
    assert isinstance(route(overridden, "carol@example.com"), Account)
    assert servers.list_servers(overridden).address_of("be9", "lmtp") == Endpoint("h", 24)


def test_everything_below_a_base(directory: EphemeralDirectory) -> None:
    site = Site(directory.local.core, "o=Site")
    with pytest.raises(Refused, match=r"^there is no entry o=Site; "):
        domains.add_domain(site, "example.com")
    directory.add("o=site", {"objectClass": "organization"})
    servers.add_server(site, Member("be1", BACKEND))
    domains.add_domain(site, "example.com")
    domains.alias_domain(site, "old.example", "example.com")
    accounts.add_account(site, "alice@example.com")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    outcome = route(site, "al@old.example")
    assert isinstance(outcome, Account)
    assert (outcome.dn, outcome.host) == ("uid=alice,cn=example.com,o=site", "be1")
    assert isinstance(route(Site(directory.local.core), "al@example.com"), Remote)


def test_a_change_that_fails_half_way_is_none(
    site: Site, directory: EphemeralDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.add_account(site, "alice@example.com")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    before = directory.dump()

    def fail(*_: object) -> int:
        raise Refused("the last step")

    monkeypatch.setattr(Edit, "change_addresses", fail)
    with pytest.raises(Refused, match="the last step"):
        accounts.rename_account(site, "alice@example.com", "liddell@example.com", keep=True)
    with pytest.raises(Refused, match="the last step"):
        domains.rename_domain(site, "example.com", "new.example")
    assert directory.dump() == before
    assert route(site, "al@example.com") == found("alice@example.com", "be1")


def test_whatever_is_asked_of_a_store_has_an_answer(site: Site) -> None:
    accounts.add_account(site, "a@example.com")

    @given(st.text(), st.text(max_size=20))
    @example("a\\", "example.com")
    @example("a+uid=b", "example.com,cn=servers")
    @example(" a", "example.com ")
    @example("\N{FEMININE ORDINAL INDICATOR}", "example.com")
    @example("\ud800", "\0")
    @example("x" * 5000, "y" * 5000)
    def ask(name: str, domain: str) -> None:
        with site.reading() as lookup:
            router = Router(lookup, "example.com")
            for text in (name, f"{name}@{domain}", f'"{name}"@example.com', f"{name}%{domain}@example.com"):
                assert router.route(text).steps
                assert isinstance(router.login(text).outcome, Account | NoHost | Unknown)
            assert lookup.record(name, "example.com") is None or name.lower() == "a"
            assert lookup.domain(domain) is None or domain.lower() == "example.com"
            assert lookup.member(name) is None

    ask()
