"""Addresses: what is one, what is none, and back to text."""

from __future__ import annotations

import time

import pytest

from cgnode.proto.smtp.address import Address, is_domain, parse_address, take_path

LONG_LABEL = "x" * 63
LONG_DOMAIN = ".".join([LONG_LABEL] * 3 + ["x" * 61, "x"])  # 255


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("alice@example.com", Address("alice", "example.com")),
        ("a.b+c%d!e#f$g&h'i*j/k=l?m@x", Address("a.b+c%d!e#f$g&h'i*j/k=l?m", "x")),
        ("^n_o`p{q|r}s~t-@x", Address("^n_o`p{q|r}s~t-", "x")),
        ('"a b"@example.com', Address("a b", "example.com")),
        ('"a\\"b\\\\c"@example.com', Address('a"b\\c', "example.com")),
        ('"a@b>c"@example.com', Address("a@b>c", "example.com")),
        ('""@example.com', Address("", "example.com")),
        ('".a..b."@example.com', Address(".a..b.", "example.com")),
        ("a@[192.0.2.1]", Address("a", "[192.0.2.1]")),
        ("a@[IPv6:2001:db8::1]", Address("a", "[IPv6:2001:db8::1]")),
        ("a@under_score.example", Address("a", "under_score.example")),
        ("a@xn--exmple-cua.com", Address("a", "xn--exmple-cua.com")),
        ("käthe@exämple.com", Address("käthe", "exämple.com")),
        ('"kä the"@example.com', Address("kä the", "example.com")),
        ("\U0001f4e7@example.com", Address("\U0001f4e7", "example.com")),
        ("x" * 255 + "@x", Address("x" * 255, "x")),
        ("x@" + LONG_DOMAIN, Address("x", LONG_DOMAIN)),
    ],
)  # fmt: skip
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert take_path(f"<{text}>") == (address, "")
    assert take_path(f"<{text}> SIZE=1") == (address, " SIZE=1")
    assert take_path(f"<@one.example,@two.example:{text}>x") == (address, "x")


def test_quotes_where_they_are_needed_only() -> None:
    assert str(parse_address('"plain"@example.com')) == "plain@example.com"
    assert str(parse_address('"\\p\\l"@example.com')) == "pl@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "alice@@example.com",
        ".alice@example.com",
        "alice.@example.com",
        "al..ice@example.com",
        "al ice@example.com",
        "al\x00ice@example.com",
        "al\x85ice@example.com",
        "al(x)ice@example.com",
        '"alice@example.com',
        '"ali"ce@example.com',
        '"ali\r\nce"@example.com',
        '"ali\\\x7fce"@example.com',
        "alice@example..com",
        "alice@.example.com",
        "alice@example.com.",
        "alice@-example.com",
        "alice@example-.com",
        "alice@exa mple.com",
        "alice@exämple..com",
        "alice@-exämple.com",
        "alice@ex\u0085ämple.com",
        "alice@[192.0.2.256]",
        "alice@[192.0.2.1",
        "alice@[IPv6:192.0.2.1]",
        "alice@[IPv6:fe80::1%eth0]",
        "alice@[2001:db8::1]",
        "alice@[tag:content]",
        "alice@[]",
        "x" * 256 + "@x",
        "ä" * 128 + "@x",
        "x@x" + LONG_DOMAIN,
        "x@" + LONG_LABEL + "x.example",
        "x@ä" + LONG_DOMAIN,
    ],
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"a|domain|local"):
        parse_address(text)
    with pytest.raises(ValueError, match=r"a|domain|local"):
        take_path(f"<{text}>" if text else "")


@pytest.mark.parametrize(
    "text", ["<", "<>"[0], "alice@example.com", "<alice@example.com", "<@one:>", "<@:a@b>", " <a@b>"]
)
def test_no_paths(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        take_path(text)


def test_special_paths() -> None:
    assert take_path("<>") == (None, "")
    assert take_path("<> SIZE=1") == (None, " SIZE=1")
    assert take_path("<PostMaster>") == (Address("PostMaster", ""), "")
    assert str(Address("PostMaster", "")) == "PostMaster"
    assert take_path("<postmaster@example.com>") == (Address("postmaster", "example.com"), "")


def test_ascii() -> None:
    assert Address("a", "b").ascii
    assert not Address("ä", "b").ascii
    assert not Address("a", "ä").ascii


def test_domains() -> None:
    assert is_domain("be3.example.com")
    assert not is_domain("")
    assert not is_domain("a b")


@pytest.mark.parametrize(
    "text",
    [
        "<" + "a." * 100_000 + "@x>",
        "<" + "@a," * 100_000,
        '<"' + "\\a" * 100_000,
        "<a@" + "a-" * 100_000 + ">",
        "<a@" + "-" * 100_000 + ">",
    ],
)
def test_long_nonsense_costs_little(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"."):
        take_path(text)
    assert time.perf_counter() - began < 0.5
