"""RFC 4515 for any filter and any text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ldapserver.filters import escape, format_filter, parse_filter
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
from ldapserver.results import LDAPError, ResultCode

names = st.from_regex(
    r"(?:[A-Za-z][A-Za-z0-9_-]{0,9}|[0-9]+(?:\.[0-9]+){0,4})(?:;[a-z0-9-]+)?", fullmatch=True
)
rules = st.sampled_from(["caseIgnoreMatch", "2.5.13.2", "1"])
values = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.text(alphabet="*()\\ =:&|!a", max_size=10).map(str.encode),
)
parts = values.filter(bool)

items: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equality, names, values),
    st.builds(
        Substrings, names, st.none() | parts, st.lists(parts, max_size=3).map(tuple), st.none() | parts
    ).filter(lambda found: bool(found.initial or found.any or found.final)),
    st.builds(GreaterOrEqual, names, values),
    st.builds(LessOrEqual, names, values),
    st.builds(Approx, names, values),
    st.builds(Present, names),
    st.builds(Extensible, st.none() | rules, names, values, st.booleans()),
    st.builds(Extensible, rules, st.none(), values, st.booleans()),
)

filters: st.SearchStrategy[Filter] = st.recursive(
    items,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda found: And(tuple(found))),
        st.lists(inner, max_size=4).map(lambda found: Or(tuple(found))),
        st.builds(Not, inner),
    ),
    max_leaves=12,
)


@given(filters)
def test_filters_come_back(filter: Filter) -> None:
    text = format_filter(filter)
    assert text.isprintable()
    assert parse_filter(text) == filter
    assert parse_filter(text[1:-1]) == filter or text[1:-1].lstrip().startswith("(")


@given(filters)
def test_what_was_read_is_written_the_same_again(filter: Filter) -> None:
    text = format_filter(filter)
    assert format_filter(parse_filter(text)) == text


@given(values)
def test_an_escaped_value_is_one_value(value: bytes) -> None:
    assert parse_filter(f"(cn={escape(value)})") == Equality("cn", value)
    assert parse_filter(f"(cn={escape(value)}*x)") == Substrings("cn", value or None, (), b"x")


@given(st.one_of(st.text(alphabet=r"()&|!=*\:~<>acn12; ", max_size=30), st.text(max_size=30)))
def test_anything_is_read_or_refused(text: str) -> None:
    code = ResultCode.PROTOCOL_ERROR
    try:
        parse_filter(text)
    except LDAPError as error:
        code = error.code
    assert code is ResultCode.PROTOCOL_ERROR
