from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgnode.backend.maildir import names
from cgnode.backend.maildir.disk import Names
from cgnode.backend.store import DELETED, FLAGGED, SEEN, BadName


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("alice@example.com", ("example.com", "alice")),
        ("Alice.B-c_d@EXAMPLE.Com", ("example.com", "alice.b-c_d")),
        ("a@localhost", ("localhost", "a")),
        ("a" * 128 + "@be1", ("be1", "a" * 128)),
        ("_x_@my_net.example", ("my_net.example", "_x_")),
    ],
)
def test_accounts(address: str, place: tuple[str, str]) -> None:
    assert names.account_place(address) == place


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        ".alice@example.com",
        "alice.@example.com",
        "../x@example.com",
        "a/b@example.com",
        "a\0@example.com",
        "a\n@example.com",
        "alice@example.com\n",
        "a b@example.com",
        "a@b@example.com",
        "ä@example.com",
        "a@..",
        "a@.",
        "a@.removed",
        "a@x..y",
        "a@x/y",
        "a@-x.com",
        "a" * 129 + "@example.com",
        "a@" + "x" * 64 + ".com",
        "a@" + ".".join(["x" * 60] * 5),
        "\u212a@example.com",  # the Kelvin sign, a "k" in lower case
    ],
)
def test_names_that_no_account_has(address: str) -> None:
    with pytest.raises(BadName):
        names.account_place(address)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("INBOX", ""),
        ("inbox", ""),
        ("Sent", ".Sent"),
        ("Inbox/Kid", ".INBOX.Kid"),
        ("A/B/C d", ".A.B.C d"),
        ("v1.2", r".v1\2e2"),
        (".hidden", r".\2ehidden"),
        ("...", r".\2e\2e\2e"),
        ("back\\slash", r".back\5cslash"),
        ("~root", r".\7eroot"),
        ("Entwürfe", ".Entw&APw-rfe"),
        ("R&D", ".R&-D"),
        ("日本語/台北", ".&ZeVnLIqe-.&U,BTFw-"),
        ("😀", ".&2D3eAA-"),
    ],
)
def test_folders(name: str, found: str) -> None:
    assert names.disk_name(name) == found
    if found:
        assert names.from_disk_name(found) == names.folder_name(name)


HOSTILE = [
    "",
    "/",
    "/etc",
    "A//B",
    "A/",
    "..",
    "../..",
    "A/../../B",
    "A/./B",
    ".",
    "A\0B",
    "A\nB",
    "A\tB",
    "A\x7f",
    "A\x85",
    "\ud800",
    "x" * 255,
    "/".join("abcdef" * 30),
    "ü" * 100,
    "INBOX/",
    "inbox//x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_no_folder_has(name: str) -> None:
    with pytest.raises(BadName):
        names.folder_name(name)


@pytest.mark.parametrize(
    "found",
    ["Sent", ".", "..", "...", ".A..B", ".A.", ".INBOX", ".Entw&APw", ".ü", ".A&AEE-", r".A\2E", r".A\41"],
)
def test_what_is_no_folder_on_the_disk(found: str) -> None:
    assert names.from_disk_name(found) is None


@given(st.text(max_size=40))
def test_any_folder_name_stays_within(name: str) -> None:
    try:
        found = names.disk_name(name)
    except BadName:
        return
    if found:
        assert names.from_disk_name(found) == names.folder_name(name)
        assert found.isascii()
        assert "/" not in found
        assert "\0" not in found
        assert Path("/x", found).parent == Path("/x")
        assert found not in (".", "..")
        assert len(os.fsencode(found)) <= 255


@given(st.text(st.sampled_from(".&-A\\2e/~,+ü"), max_size=12))
def test_one_name_on_the_disk_for_each(found: str) -> None:
    name = names.from_disk_name(found)
    assert name is None or names.disk_name(name) == found


def test_flags() -> None:
    assert names.checked_flags({"\\seen", "\\FLAGGED", "\\Recent", "$Junk"}) == {SEEN, FLAGGED, "$Junk"}
    assert names.letters_of(frozenset({DELETED, "x", FLAGGED})) == "FT"
    assert names.system_flags("FSTaP") == {FLAGGED, SEEN, DELETED}
    for flag in ("\\Wrong", "a b", "a\tb", "a\n", "", "ü", "a]", "x" * 129, "\\", "%"):
        with pytest.raises(BadName):
            names.checked_flags({flag})
    with pytest.raises(BadName):
        names.checked_flags(map(str, range(65)))


def test_message_files() -> None:
    assert names.with_letters("1.x:2,FSa", "T") == "1.x:2,Ta"
    assert names.with_letters("1.x", "") == "1.x:2,"
    assert names.with_info("1.x") == "1.x:2,"
    assert names.with_info("1.x:2,S") == "1.x:2,S"
    assert names.info_of("1.x:1,S") == ""
    assert names.stated_sizes("1.x,S=12,W=14") == (12, 14)
    assert names.stated_sizes("1.x,S=12,Z=1,W=14:2,S".partition(":")[0]) == (12, 14)
    assert names.stated_sizes("1.x,S=,W=-4,S=1x") == (None, None)
    assert names.stated_sizes("1.S=5") == (None, None)


def test_uidls() -> None:
    assert names.uidl_of("1.x,S=1,W=1") == "1.x,S=1,W=1"
    for base in ("x" * 71, "a b", "\udcff"):
        assert re.fullmatch("[0-9a-f]{40}", names.uidl_of(base))


def test_unique_names() -> None:
    unique = Names(lambda: 1_700_000_000.000_007, "a/b:c,d")
    found = {unique() for _ in range(100)}
    assert len(found) == 100
    assert all(re.fullmatch(r"1700000000\.M00000[67]P\d+Q\d+R[0-9a-f]{8}\.a/b:c,d", name) for name in found)
    assert not set("/:,") & set(Names(lambda: 1.0)())
