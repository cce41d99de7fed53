from __future__ import annotations

import pytest

from cgnode.members import (
    Endpoint,
    Member,
    Members,
    Override,
    State,
    parse_endpoint,
    read_member,
    read_overrides,
)
from cgnode.names import BadName
from cgnode.tables import ConfigError, Table

BACKEND = ("backend",)


def member(name: str, state: State = State.ACTIVE, roles: tuple[str, ...] = BACKEND) -> Member:
    return Member(name, roles, {"imap": Endpoint(f"{name}.example", 143)}, state)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.0.0.3:143", Endpoint("10.0.0.3", 143)),
        ("BE3.example.com:24", Endpoint("be3.example.com", 24)),
        ("[::1]:65535", Endpoint("::1", 65535)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize("text", ["", "host", ":143", "host:0", "host:65536", "::1:143", "a b:1", "host:1x"])
def test_no_endpoints(text: str) -> None:
    with pytest.raises(BadName):
        parse_endpoint(text)


def test_a_members_record() -> None:
    found = read_member("BE3", ["Backend", "frontend"], "Draining", ["pop3://h:110", "IMAP://h:143/"])
    addresses = {"imap": Endpoint("h", 143), "pop3": Endpoint("h", 110)}
    assert found == Member("be3", ("backend", "frontend"), addresses, State.DRAINING)
    assert found.urls == ("imap://h:143", "pop3://h:110")


def test_what_is_wrong_in_a_record_costs_itself_only() -> None:
    found = read_member("be3", ["backend", "cook"], "asleep", ["imap://h:143", "gopher://h:70", "lmtp:h"])
    assert found.roles == BACKEND
    assert found.addresses == {"imap": Endpoint("h", 143)}
    assert found.state is State.DRAINING
    assert len(found.faults) == 4


def test_addresses_by_host_and_protocol() -> None:
    members = Members.of([member("be2"), member("be1", State.DOWN)])
    assert [each.name for each in members] == ["be1", "be2"]
    assert members.address_of("BE1", "imap") == Endpoint("be1.example", 143)
    assert members.address_of("be1", "pop3") is None
    assert members.address_of("be9", "imap") is None


def test_new_accounts_go_where_there_are_the_fewest() -> None:
    table = [member("be1"), member("be2"), member("be3", State.DRAINING), member("be4", State.DOWN)]
    members = Members.of([*table, member("fe1", roles=("frontend",))])

    def chosen(**loads: int) -> str | None:
        found = members.least_loaded(loads)
        return None if found is None else found.name

    assert chosen() == "be1"
    assert chosen(be1=2, be2=2) == "be1"
    assert chosen(be1=2, be2=1) == "be2"
    assert chosen(be1=2) == "be2"
    assert Members.of(table[2:]).least_loaded({}) is None


def test_a_backend_without_an_address_gets_no_accounts_while_there_is_another() -> None:
    served = Member("be2", BACKEND, {"lmtp": Endpoint("be2.example", 24)})
    found = Members.of([member("be1"), served]).least_loaded({"be2": 7})
    assert found is not None
    assert found.name == "be2"


def read(**values: object) -> tuple[Override, ...]:
    return read_overrides(Table("cgnode.toml", "members", values))


def test_a_configuration_overrides_the_table() -> None:
    overrides = read(be1={"imap": "10.0.0.1:1143", "state": "down"}, BE9={"lmtp": "10.0.0.9:24"})
    members = Members.of([member("be1"), member("be2")], overrides)
    assert members.address_of("be1", "imap") == Endpoint("10.0.0.1", 1143)
    assert [each.state for each in members] == [State.DOWN, State.ACTIVE, State.ACTIVE]
    found = members.get("be9")
    assert found is not None
    assert found.takes_accounts
    assert found.addresses == {"lmtp": Endpoint("10.0.0.9", 24)}


def test_an_override_leaves_what_it_does_not_name() -> None:
    (override,) = read(be1={"roles": ["frontend"]})
    assert override.over(member("be1", State.DRAINING)) == member("be1", State.DRAINING, ("frontend",))


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"be1": 5}, "cgnode.toml: members.be1: 5 is not a table; write [members.be1] and its keys below"),
        (
            {"b e": {}},
            "cgnode.toml: members.b e: 'b e' is no server name; write it as in be3 or be3.example.com",
        ),
        (
            {"be1": {"imap": "x"}},
            "cgnode.toml: members.be1.imap: 'x' is no address of a server: "
            "write it as in 10.0.0.3:143 or [::1]:143",
        ),
        ({"be1": {"imap": 143}}, 'cgnode.toml: members.be1.imap: 143 is not a text, as in "text"'),
        (
            {"be1": {"state": "up"}},
            "cgnode.toml: members.be1.state: 'up' is unknown; known are active, down, draining",
        ),
        ({"be1": {"imaps": "x:1"}}, "cgnode.toml: members.be1.imaps: no such key; did you mean imap?"),
    ],
)
def test_bad_overrides(values: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**values)
    assert str(refused.value) == error
