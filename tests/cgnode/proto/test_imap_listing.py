"""LIST and LSUB: the examples of RFC 5258 section 5, patterns, and special uses."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from cgnode.proto.imap.commands import List, Lsub
from cgnode.proto.imap.listing import Folder, choose, choose_subscribed
from cgnode.proto.imap.parse import parse, parse_head

FRUIT = [
    Folder(name)
    for name in (
        "INBOX",
        "Fruit",
        "Fruit/Apple",
        "Fruit/Banana",
        "Tofu",
        "Vegetable",
        "Vegetable/Broccoli",
        "Vegetable/Corn",
    )
]
SUBSCRIBED = {"INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"}


def rows(
    command: bytes, folders: Iterable[Folder] = FRUIT, subscribed: set[str] = SUBSCRIBED
) -> dict[str, str]:
    """Attributes by name, without those of children, and with ``+`` for CHILDINFO."""
    text = b"a " + command
    value = parse(parse_head(text), text, ())
    if isinstance(value, Lsub):
        listed = choose_subscribed(value, subscribed, "/")
    else:
        assert isinstance(value, List)
        listed = choose(value, folders, subscribed, "/")
    made: dict[str, str] = {}
    for row in listed:
        kept = [name[1:] for name in row.attributes if "Children" not in name]
        assert row.name not in made
        made[row.name] = " ".join((*kept, *["+"] * row.child_info))
    return made


def names(pattern: str, *there: str) -> list[str]:
    return list(rows(f'LIST "" "{pattern}"'.encode(), map(Folder, there), set()))


def test_the_examples() -> None:
    assert list(rows(b'LIST "" *')) == ["INBOX", *sorted(folder.name for folder in FRUIT[1:])]
    assert rows(b'LIST (SUBSCRIBED) "" *') == {
        "INBOX": "Subscribed",
        "Fruit/Banana": "Subscribed",
        "Fruit/Peach": "NonExistent Subscribed",
        "Vegetable": "Subscribed",
        "Vegetable/Broccoli": "Subscribed",
    }
    assert rows(b'LIST (REMOTE) "" % RETURN (SUBSCRIBED)') == {
        "INBOX": "Subscribed",
        "Fruit": "",
        "Tofu": "",
        "Vegetable": "Subscribed",
    }
    assert rows(b'LIST "" (INBOX "Tofu" "Fruit/%" "")') == {
        "INBOX": "",
        "Fruit/Apple": "",
        "Fruit/Banana": "",
        "Tofu": "",
    }


def test_children() -> None:
    text = b'a LIST "" %'
    value = parse(parse_head(text), text, ())
    assert isinstance(value, List)
    found = {row.name: row.attributes for row in choose(value, FRUIT, (), "/")}
    assert found["Fruit"] == ("\\HasChildren",)
    assert found["Tofu"] == ("\\HasNoChildren",)


FOO = [Folder(name) for name in ("INBOX", "Foo", "Foo/Bar", "Foo/Baz", "Moo")]


def test_recursive_match() -> None:
    """Example 8."""
    only = {"Foo/Baz"}
    assert rows(b'LIST (SUBSCRIBED) "" *', FOO, only) == {"Foo/Baz": "Subscribed"}
    assert rows(b'LIST (SUBSCRIBED) "" %', FOO, only) == {}
    assert rows(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" %', FOO, only) == {"Foo": "+"}
    assert rows(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" %', FOO, {*only, "Foo"}) == {"Foo": "Subscribed +"}
    without = [folder for folder in FOO if folder.name != "Foo"]
    assert rows(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" %', without, only) == {"Foo": "NonExistent +"}
    # What is listed itself needs no hint (section 3.5).
    assert rows(b'LIST (SUBSCRIBED RECURSIVEMATCH) "" *', FOO, only) == {"Foo/Baz": "Subscribed"}


def test_special_uses_are_in_plain_list_too() -> None:
    folders = [Folder("Sent", ("\\Sent",)), Folder("Old", selectable=False), Folder("New")]
    assert rows(b'LIST "" *', folders, set()) == {"New": "", "Old": "Noselect", "Sent": "Sent"}
    assert rows(b'LIST (SPECIAL-USE) "" *', folders, set()) == {"Sent": "Sent"}
    assert rows(b'LIST "" * RETURN (SPECIAL-USE)', folders, set())["Sent"] == "Sent"


def test_levels_that_are_no_mailboxes() -> None:
    folders = [Folder("a/b/c")]
    assert rows(b'LIST "" %', folders, set()) == {"a": "Noselect"}
    assert rows(b'LIST "" % RETURN ()', folders, set()) == {"a": "NonExistent"}
    assert rows(b'LIST "" *', folders, set()) == {"a/b/c": ""}
    assert rows(b'LIST a/ "%"', folders, set()) == {"a/b": "Noselect"}


def test_lsub() -> None:
    assert rows(b'LSUB "" *') == dict.fromkeys(sorted(SUBSCRIBED), "")
    assert rows(b'LSUB "" %') == {"INBOX": "", "Fruit": "Noselect", "Vegetable": ""}
    assert rows(b'LSUB "" "&&&"') == {}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["INBOX", "a", "a/b", "ab"]),
        ("%", ["INBOX", "a", "ab"]),
        ("inbox", ["INBOX"]),
        ("in%", ["INBOX"]),
        ("a*", ["a", "a/b", "ab"]),
        ("a%", ["a", "ab"]),
        ("A", []),
        ("%/b", ["a/b"]),
        ("*b", ["a/b", "ab"]),
        ("%%", ["INBOX", "a", "ab"]),
        ("%*%", ["INBOX", "a", "a/b", "ab"]),
        ("*/%", ["a/b"]),
        ("a.", []),
    ],
)
def test_patterns(pattern: str, found: list[str]) -> None:
    assert names(pattern, "INBOX", "a", "a/b", "ab") == found


def test_no_pattern_takes_long() -> None:
    begun = time.process_time()
    assert names("*a%" * 300 + "b", *("a" * 250 + str(number) for number in range(100))) == []
    assert names("*" * 2000, "a") == []
    assert time.process_time() - begun < 1
