"""Small random trees: domains, accounts, groups and aliases, with attribute options, missing
attributes, and values that differ in case, spaces and script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from random import Random

from attrs import evolve, frozen
from hypothesis import strategies as st

from ldapserver import indexing
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from tests.ldapserver.asking import ACCOUNT
from tests.ldapserver.reference import SCHEMA

TEXTS = (
    "Alice Example",
    "alice  EXAMPLE",
    "ALICE",
    "bob",
    "Bob-Example",
    "Straße",
    "STRASSE",
    "Älice",
    "a+b, c",
)
CLOCK_START = 1_700_000_000_000_000


@frozen
class Node:
    """``above`` chooses the parent, ``toward`` an alias's target, of what is there."""

    above: int
    kind: str
    name: str
    toward: int
    more: dict[str, list[str]]


Given = dict[str, list[str]]

texts = st.lists(
    st.sampled_from(TEXTS), min_size=1, max_size=2, unique_by=lambda text: text.casefold().split()[0]
)
mails = st.lists(
    st.sampled_from(["alice@example.com", "ALICE@Example.Com", "bob@example.com", "b@x", "alice"]),
    min_size=1,
    max_size=2,
    unique_by=str.lower,
)
attributes: st.SearchStrategy[Given] = st.fixed_dictionaries(
    {},
    optional={
        "description": texts,
        "cn;lang-de": texts,
        "cn;lang-de;x-old": texts,
        "nickName": texts,
        "trueName": st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2, unique=True),
        "mail": mails,
        "telephoneNumber": st.sampled_from([["+1 555-1234"], ["15551234"], ["555 1234", "+15551234"]]),
        "uidNumber": st.sampled_from([["0"], ["7"], ["10"], ["-3"], ["100"]]),
        "grade": st.sampled_from([["a"], ["B"], ["b"], ["ba"], ["a a"]]),
        "hostServer": st.sampled_from([["be1"], ["BE1"], ["be2"], ["be10"]]),
        "oldHostServer": st.sampled_from([["be1"], ["be3"]]),
    },
)


def nodes_of(*kinds: str) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        st.integers(0, 30),
        st.sampled_from(kinds),
        st.sampled_from(TEXTS),
        st.integers(-1, 30),
        attributes,
    )


plain_nodes = nodes_of(*["account"] * 4, "domain", "group")
nodes = nodes_of(*["account"] * 4, "domain", "group", "alias", "alias")


def rdn(kind: str, name: str, number: int) -> str:
    value = f"{name} {number}".replace("+", "\\+").replace(",", "\\,")
    return f"{'cn' if kind in ('domain', 'alias') else 'uid'}={value}"


def given_of(node: Node, number: int, there: Sequence[str]) -> Given:
    name = f"{node.name} {number}"
    match node.kind:
        case "account":
            return {
                "objectClass": [*ACCOUNT, "extensibleObject"],
                "cn": [name],
                "sn": [node.name],
                **node.more,
            }
        case "domain":
            return {"objectClass": ["CommuniGateDomain", "extensibleObject"], **node.more}
        case "group":
            member = [there[node.toward % len(there)]] if there else []
            return {"objectClass": ["CommuniGateGroup", "extensibleObject"], "member": member, **node.more}
        case _:
            target = there[node.toward % len(there)] if there and node.toward >= 0 else "cn=nowhere"
            return {"objectClass": ["alias", "extensibleObject"], "aliasedObjectName": [target]}


def fill(directory: EphemeralDirectory, tree: Sequence[Node]) -> None:
    """Parents first; nothing stands below an alias."""
    directory.add("o=Example", {"objectClass": "organization", "o": "Example", "description": "alice"})
    containers = ["", "o=Example"]
    there = ["o=Example"]
    for number, node in enumerate(tree):
        above = containers[node.above % len(containers)]
        dn = rdn(node.kind, node.name, number) + (f",{above}" if above else "")
        directory.add(dn, {name: found for name, found in given_of(node, number, there).items() if found})
        there.append(dn)
        if node.kind != "alias":
            containers.append(dn)


def fixed_tree(seed: int, size: int = 22) -> list[Node]:
    """The same tree for the same seed, with all that random ones may have."""
    chance = Random(seed)

    def some(values: Sequence[str], most: int = 2) -> list[str]:
        chosen = {value.casefold().split()[0]: value for value in chance.sample(values, most)}
        return list(chosen.values())

    def node() -> Node:
        more = {
            "description": some(TEXTS),
            "cn;lang-de": some(TEXTS),
            "cn;lang-de;x-old": some(TEXTS, 1),
            "nickName": some(TEXTS),
            "trueName": chance.sample(TEXTS, 2),
            "mail": some(["alice@example.com", "ALICE@Example.Com", "bob@example.com", "b@x", "alice"]),
            "telephoneNumber": chance.choice([["+1 555-1234"], ["15551234"], ["555 1234", "+15551234"]]),
            "uidNumber": some(["0", "7", "10", "-3", "100"], 1),
            "grade": some(["a", "B", "b", "ba", "a a"], 1),
            "hostServer": some(["be1", "BE1", "be2", "be10"], 1),
            "oldHostServer": some(["be1", "be3"], 1),
        }
        kind = chance.choice(["account"] * 4 + ["domain", "group", "alias", "alias"])
        given = {name: values for name, values in more.items() if chance.random() < 0.6}
        return Node(chance.randrange(30), kind, chance.choice(TEXTS), chance.randrange(-1, 30), given)

    return [node() for _ in range(size)]


INDEXES: Sequence[dict[str, Sequence[str]]] = (
    {},
    dict(indexing.DEFAULT),
    {
        "cn": ["sub"],
        "sn": ["eq"],
        "name": ["eq", "sub"],
        "o": ["eq"],
        "nickName": ["eq"],
        "trueName": ["eq"],
        "description": ["eq", "sub"],
        "grade": ["eq"],
        "uidNumber": ["eq"],
        "telephoneNumber": ["eq", "sub"],
        "hostServer": ["eq", "sub"],
        "entryDN": ["eq"],
        "member": ["eq"],
    },
)


@contextmanager
def directory_of(tree: Sequence[Node], indexes: dict[str, Sequence[str]]) -> Iterator[EphemeralDirectory]:
    ticks = count(CLOCK_START, 700_000)
    made = evolve(SETTINGS, schema=SCHEMA, indexes=indexes, clock=lambda: next(ticks))
    with EphemeralDirectory(settings=made) as directory:
        fill(directory, tree)
        yield directory
