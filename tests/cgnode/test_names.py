from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgnode.names import (
    LONGEST_NAME,
    Address,
    BadName,
    account_address,
    account_name,
    domain_name,
    parse_address,
    parse_login,
    server_name,
)


@pytest.mark.parametrize("name", ["alice", "A.l-i_c9", "-", "_", "0", "a..b", "x" * LONGEST_NAME])
def test_account_names(name: str) -> None:
    assert account_name(name) == name.lower()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "an empty name; write it as in alice@example.com"),
        (".alice", "'.alice' is no account name: a dot may be neither first nor last"),
        ("alice.", "'alice.' is no account name: a dot may be neither first nor last"),
        ("al ice", "'al ice' is no account name: only letters, digits, _, - and . may be in it"),
        ("alice+tag", "'alice+tag' is no account name: only letters, digits, _, - and . may be in it"),
        ("alicé", "'alicé' is no account name: only letters, digits, _, - and . may be in it"),
        ("alice\n", "'alice\\n' is no account name: only letters, digits, _, - and . may be in it"),
        ("x" * 129, f"'{'x' * 77}...' is no account name: it has more than 128 characters"),
    ],
)
def test_no_account_names(name: str, reason: str) -> None:
    with pytest.raises(BadName) as refused:
        account_name(name)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("Example.COM", "example.com"), ("example.com.", "example.com"), ("be3", "be3"), ("a_b.x", "a_b.x")],
)
def test_domain_names(name: str, canonical: str) -> None:
    assert domain_name(name) == server_name(name) == canonical


@pytest.mark.parametrize("name", ["", ".", "a..b", "-a.b", "a-.b", "a b", "bücher.example", "x" * 64, "a/b"])
def test_no_domain_names(name: str) -> None:
    with pytest.raises(BadName):
        domain_name(name)
    with pytest.raises(BadName, match="no server name"):
        server_name(name)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Alice@Example.COM", Address("Alice", "example.com")),
        ("a%b@c.example", Address("a%b", "c.example")),
        ("o'brien+x@c.example", Address("o'brien+x", "c.example")),
        ('"a b\\"@c"@c.example', Address('a b"@c', "c.example")),
        ("a@[127.0.0.1]", Address("a", "[127.0.0.1]")),
        ("a@[IPv6:::1]", Address("a", "[ipv6:::1]")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "alice", "@", "@a.example", "alice@", ".a@b.example", "a.@b.example", "a..b@c.example"),
        *("a b@c.example", '""@c.example', '"a@c.example', "a@b@c.example", "a@b c", "<a@b.example>"),
        *("é@b.example", "a\r\n@b.example", f"{'a' * 600}@b.example"),
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(BadName):
        parse_address(text)


def test_logins() -> None:
    assert parse_login("alice") == Address("alice", "")
    assert parse_login("alice%example.com") == Address("alice%example.com", "")
    assert parse_login("alice@example.com") == Address("alice", "example.com")
    with pytest.raises(BadName):
        parse_login("al ice")


def test_an_accounts_address_has_an_accounts_name() -> None:
    assert account_address("Alice@Example.com") == Address("alice", "example.com")
    for text in ("alice", "a%b@c.example", "alice@", "@example.com", '"a"@example.com'):
        with pytest.raises(BadName):
            account_address(text)


@given(st.text() | st.from_regex(r"[a-z.\"\\%@ -]{1,12}", fullmatch=True))
def test_what_is_read_is_written_so_that_it_is_read_again(text: str) -> None:
    for parse in (parse_address, parse_login):
        try:
            address = parse(text)
        except BadName:
            continue
        assert parse(str(address)) == address
