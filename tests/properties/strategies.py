"""Hypothesis strategies for LDAP messages, and comparing them.

What lives here: values that the protocol allows, small ones mostly and now and then one
whose length needs the long form.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
from hypothesis import strategies as st

from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    And,
    Approx,
    Attribute,
    BindRequest,
    BulkModify,
    BulkRequest,
    Change,
    CompareRequest,
    Control,
    DeleteRequest,
    Deref,
    Entry,
    Equality,
    ExtendedRequest,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Message,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Not,
    Or,
    Present,
    Rehost,
    Request,
    Restore,
    Result,
    SaslCredentials,
    Scope,
    SearchHead,
    SearchRequest,
    Selection,
    SimpleCredentials,
    Substrings,
    UnbindRequest,
)
from ldapserver.results import ResultCode

MAX_INT: Final = 2**31 - 1


def plain(value: Any) -> Any:
    """A message as tuples that compare by content: a ``SearchHead`` compares by identity."""
    if attrs.has(type(value)):
        return type(value).__name__, *map(plain, attrs.astuple(value, recurse=False))
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


# --- the parts ---------------------------------------------------------------------------

numbers = st.one_of(st.integers(0, 3), st.integers(0, MAX_INT))
message_ids = st.one_of(st.integers(1, 300), st.integers(1, MAX_INT))

texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.integers(100, 1200).map("x".__mul__),
)
octets = st.one_of(st.binary(max_size=20), st.integers(100, 1200).map(b"v".__mul__))
names = st.one_of(
    st.sampled_from(["mail", "cn", "objectClass", "cn;lang-de", "2.5.4.3", "userCertificate;binary"]), texts
)
dns = st.one_of(st.sampled_from(["", "o=example", "uid=alice,cn=example.com"]), texts)
oids = st.sampled_from(["1.3.6.1.1.12", "2.16.840.1.113730.3.4.2", "1.2"])


def tuples_of(strategy: st.SearchStrategy[Any], least: int = 0, most: int = 4) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


controls = tuples_of(st.builds(Control, oids, st.booleans(), st.none() | octets), most=3)
attributes = st.builds(Attribute, names, tuples_of(octets))
changes = st.builds(Change, st.sampled_from(ModifyOp), names, tuples_of(octets))

# --- filters -----------------------------------------------------------------------------

_parts = octets.filter(bool)

substrings = st.builds(Substrings, names, st.none() | _parts, tuples_of(_parts), st.none() | _parts).filter(
    lambda made: made.initial is not None or made.any != () or made.final is not None
)
extensibles = st.builds(Extensible, st.none() | oids, st.none() | names, octets, st.booleans()).filter(
    lambda made: made.rule is not None or made.attribute is not None
)
equalities = st.builds(Equality, names, octets)
filter_items: st.SearchStrategy[Filter] = st.one_of(
    equalities,
    substrings,
    st.builds(GreaterOrEqual, names, octets),
    st.builds(LessOrEqual, names, octets),
    st.builds(Present, names),
    st.builds(Approx, names, octets),
    extensibles,
)
filters: st.SearchStrategy[Filter] = st.recursive(
    filter_items,
    lambda inner: st.one_of(
        st.builds(And, tuples_of(inner)), st.builds(Or, tuples_of(inner)), st.builds(Not, inner)
    ),
    max_leaves=8,
)

# --- requests ----------------------------------------------------------------------------

search_heads = st.builds(
    SearchHead, dns, st.sampled_from(Scope), st.sampled_from(Deref), numbers, numbers, st.booleans()
)
searches = st.builds(SearchRequest, search_heads, filters, tuples_of(names))
binds = st.builds(
    BindRequest,
    st.integers(1, 127),
    dns,
    st.one_of(
        st.builds(SimpleCredentials, octets),
        st.builds(SaslCredentials, st.sampled_from(["EXTERNAL", "PLAIN"]), st.none() | octets),
    ),
)
adds = st.builds(AddRequest, dns, tuples_of(st.builds(Attribute, names, tuples_of(octets, least=1))))
deletes = st.builds(DeleteRequest, dns)
modifies = st.builds(ModifyRequest, dns, tuples_of(changes))
modify_dns = st.builds(ModifyDNRequest, dns, texts, st.booleans(), st.none() | dns)
compares = st.builds(CompareRequest, dns, names, octets)
abandons = st.builds(AbandonRequest, st.integers(0, MAX_INT))
extendeds = st.builds(ExtendedRequest, oids, st.none() | octets)

requests: st.SearchStrategy[Request] = st.one_of(
    searches,
    binds,
    st.just(UnbindRequest()),
    adds,
    deletes,
    modifies,
    modify_dns,
    compares,
    abandons,
    extendeds,
)
messages = st.builds(Message, message_ids, requests, controls)
search_messages = st.builds(Message, message_ids, searches, controls)

# --- responses and bulk changes ----------------------------------------------------------

entries = st.builds(Entry, dns, tuples_of(attributes))
results = st.builds(Result, st.sampled_from(ResultCode), dns, texts, tuples_of(texts), controls)

selections = st.builds(Selection, dns, st.none() | filters, st.none() | tuples_of(texts))
bulk_requests: st.SearchStrategy[BulkRequest] = st.one_of(
    st.builds(Rehost, texts, texts, selections, st.booleans()),
    st.builds(Restore, texts, selections, st.booleans()),
    st.builds(BulkModify, selections, tuples_of(changes), st.booleans()),
)
