"""Filters that have something to find in ``trees``: values of the attributes that they are
about, most of the time.  ``every_item`` is all of the simple ones, without chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from attrs import frozen
from hypothesis import strategies as st

from ldapserver.messages import (
    And,
    Approx,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from tests.properties.trees import TEXTS


@frozen
class Pool:
    """Descriptions, with values and parts of values that belong to them."""

    descriptions: Sequence[str]
    values: Sequence[bytes]
    parts: Sequence[bytes] = ()


def pool(descriptions: Sequence[str], values: Sequence[str], parts: Sequence[str] = ()) -> Pool:
    return Pool(descriptions, [value.encode() for value in values], [part.encode() for part in parts])


POOLS = (
    pool(
        (
            *("cn", "CN;lang-de", "cn;lang-de;x-old", "cn;lang-fr", "commonName", "2.5.4.3"),
            *("name", "name;lang-de", "sn", "nickName", "trueName", "uid", "description"),
        ),
        (*TEXTS, "alice example 3", "ALICE 4", "bob 1", "Example", "alice", ""),
        ("ali", "ALICE", "mple", "b", "straß", "asse", "e e", "a+b, c", "zzz", "exa", "le 3", "lice  ex"),
    ),
    pool(
        ("mail", "MAIL", "rfc822Mailbox", "mail;lang-de"),
        ("alice@example.com", "ALICE@example.com", "bob@Example.com", "b@x", "alice", "é", ""),
        ("ali", "ALICE@", "@example", "com", "b", "é"),
    ),
    pool(("telephoneNumber",), ("+15551234", "1-555 12 34", "5551234", "x"), ("555", "1-2", "+1")),
    pool(
        ("objectClass", "objectClass;x-a"),
        (
            *("top", "Person", "organizationalPerson", "inetOrgPerson", "communigateaccount", "2.5.6.6"),
            *(
                "CommuniGateDomain",
                "CommuniGateGroup",
                "alias",
                "extensibleObject",
                "organization",
                "nonsense",
            ),
        ),
    ),
    pool(
        ("hostServer", "oldHostServer", "hostServer;x-a"),
        ("be1", "BE1", "be2", "be3", "be10", "be", "é"),
        ("b", "be", "1", "E1", "0"),
    ),
    pool(("uidNumber", "numSubordinates"), ("0", "1", "7", "10", "-3", "100", "2", "abc", "07"), ("1",)),
    pool(("grade",), ("a", "A", "b", "B", "ba", "a a", "aa", "c", "", "A  a"), ("a", "b")),
    pool(("member", "aliasedObjectName", "entryDN"), ("O = example", "cn=nowhere", "nonsense", ""), ("o",)),
    pool(("hasSubordinates",), ("TRUE", "false")),
    pool(("createTimestamp",), ("20231114221321Z", "20231114221326Z", "2023")),
    pool(("entryUUID", "entryUUID;x-a"), ("00000000-0000-0000-0000-000000000000", "x")),
    pool(("nonsense", "cn;nonsense"), ("x", "alice"), ("x",)),
)
RULES = {
    "caseExactMatch": ("Alice Example", "alice  EXAMPLE", "ALICE", "Example", "+1 555-1234"),
    "caseIgnoreMatch": ("alice example", "BOB", "example"),
    "caseIgnoreIA5Match": ("be1", "alice@example.com"),
    "integerMatch": ("7", "0", "x"),
    "integerOrderingMatch": ("7", "0", "1000"),
    "caseIgnoreSubstringsMatch": ("ali*", "*mple", "*ce*ex*"),
    "nonsenseMatch": ("x",),
}


def every_item() -> Iterator[Filter]:
    for found in POOLS:
        for text in found.descriptions:
            yield Present(text)
            for value in found.values:
                yield Equality(text, value)
                yield GreaterOrEqual(text, value)
                yield LessOrEqual(text, value)
                yield Extensible(None, text, value, text in ("cn", "uid", "name"))
            for part in found.parts:
                yield Substrings(text, part, (), None)
                yield Substrings(text, None, (part,), None)
                yield Substrings(text, None, (), part)
                yield Substrings(text, part, (found.parts[0],), found.parts[-1])
    for rule, values in RULES.items():
        for wanted in values:
            for dn in (False, True):
                yield Extensible(rule, None, wanted.encode(), dn)
                for text in ("cn", "name", "mail", "hostServer", "uidNumber", "telephoneNumber", "nonsense"):
                    yield Extensible(rule, text, wanted.encode(), dn)


# --- by chance -------------------------------------------------------------------------

pools = st.sampled_from((*POOLS[:1] * 4, *POOLS[1:7] * 2, *POOLS[7:]))
any_text = st.sampled_from([text for found in POOLS for text in found.descriptions])
any_value = st.sampled_from([value for found in POOLS for value in found.values])


def about(found: Pool) -> st.SearchStrategy[Filter]:
    texts, values = st.sampled_from(found.descriptions), st.sampled_from(found.values)
    ways: list[st.SearchStrategy[Filter]] = [
        st.builds(Equality, texts, values),
        st.builds(Equality, texts, values),
        st.builds(Present, texts),
        st.builds(GreaterOrEqual, texts, values),
        st.builds(LessOrEqual, texts, values),
        st.builds(Approx, texts, values),
        st.builds(partial(Extensible, None), texts, values, st.booleans()),
    ]
    if found.parts:
        parts = st.sampled_from(found.parts)
        ways += [
            st.builds(Substrings, texts, parts, st.lists(parts, max_size=1).map(tuple), st.none() | parts),
            st.builds(Substrings, texts, st.none(), st.lists(parts, max_size=2).map(tuple), parts),
            st.builds(Substrings, texts, st.none(), st.tuples(parts), st.none()),
        ]
    return st.one_of(ways)


extensibles = st.sampled_from(tuple(RULES)).flatmap(
    lambda rule: st.builds(
        partial(Extensible, rule),
        st.none() | any_text,
        st.sampled_from(RULES[rule]).map(str.encode),
        st.booleans(),
    )
)
items: st.SearchStrategy[Filter] = st.one_of(
    *[pools.flatmap(about)] * 8, extensibles, st.builds(Equality, any_text, any_value)
)


def several(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    lists = st.lists(inner, max_size=4).map(tuple)
    return st.one_of(st.builds(And, lists), st.builds(Or, lists), st.builds(Or, lists), st.builds(Not, inner))


filters: st.SearchStrategy[Filter] = st.recursive(items, several, max_leaves=6)
