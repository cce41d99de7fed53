"""The controls' OIDs, and their values as bytes and back.

What lives here: syntax.  What must not: which controls a server supports, and what
they do.  A value that is not as it must be raises LDAPError PROTOCOL_ERROR.

Paged results RFC 2696, server-side sorting RFC 2891, ManageDsaIT RFC 3296, pre-read and
post-read RFC 4527, assertion RFC 4528.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ldapserver.messages import Control, Entry, Filter
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire import ber, tags
from ldapserver.wire.ber import BadValue, Reader, refusing, sequence_value
from ldapserver.wire.client import take_entry
from ldapserver.wire.filters import encode_filter, take_filter
from ldapserver.wire.tags import BOOLEAN, ENUMERATED, INTEGER, OCTET_STRING

PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"
SORT_REQUEST: Final = "1.2.840.113556.1.4.473"
SORT_RESPONSE: Final = "1.2.840.113556.1.4.474"
MANAGE_DSA_IT: Final = "2.16.840.1.113730.3.4.2"
ASSERTION: Final = "1.3.6.1.1.12"
PRE_READ: Final = "1.3.6.1.1.13.1"
POST_READ: Final = "1.3.6.1.1.13.2"


def require_no_value(control: Control) -> None:
    """For controls that have none, such as ManageDsaIT."""
    if control.value is not None:
        raise LDAPError(ResultCode.PROTOCOL_ERROR, f"control {control.oid} has no value")


# --- paged results (RFC 2696) --------------------------------------------------------------


@frozen
class PagedResults:
    """``size`` is the page wished for in a request, an estimate of all (0: unknown) in a
    response.  An empty ``cookie`` asks for the first page, or says that this was the last."""

    size: int
    cookie: bytes


def decode_paged_results(value: bytes | None) -> PagedResults:
    with refusing("paged results control"):
        reader = sequence_value(value)
        paged = PagedResults(reader.integer(), reader.octets())
        reader.finish_sequence((INTEGER, OCTET_STRING))
        return paged


def encode_paged_results(paged: PagedResults) -> bytes:
    return ber.sequence(ber.integer(paged.size), ber.octets(paged.cookie))


# --- assertion (RFC 4528) --------------------------------------------------------------------


def decode_assertion(value: bytes | None, max_depth: int = 100) -> Filter:
    with refusing("assertion control"):
        if value is None:
            raise BadValue("value missing")
        reader = Reader(value)
        filter = take_filter(reader, max_depth)
        reader.finish()
        return filter


def encode_assertion(filter: Filter) -> bytes:
    return encode_filter(filter)


# --- pre-read and post-read (RFC 4527) ---------------------------------------------------------


def decode_read_request(value: bytes | None) -> tuple[str, ...]:
    """The attribute selection, as a search has it."""
    with refusing("read entry control"):
        return tuple(map(ber.read_name, sequence_value(value).each_octets()))


def encode_read_request(attributes: tuple[str, ...]) -> bytes:
    return ber.sequence(*map(ber.text, attributes))


def read_response(oid: str, entry_tail: bytes) -> Control:
    """The response's control: its value is the SearchResultEntry as ``wire.encode.entry_tail``
    gives it."""
    return Control(oid, False, entry_tail)


def decode_read_response(value: bytes | None) -> Entry:
    with refusing("read entry control"):
        if value is None:
            raise BadValue("value missing")
        reader = Reader(value)
        entry = take_entry(reader.inside(tags.SEARCH_ENTRY))
        reader.finish()
        return entry


# --- server-side sorting (RFC 2891) ------------------------------------------------------------

_RULE: Final = 0x80
_REVERSE: Final = 0x81
_SORTED_BY: Final = 0x80


@frozen
class SortKey:
    attribute: str
    rule: str | None = None
    reverse: bool = False


def decode_sort_request(value: bytes | None) -> tuple[SortKey, ...]:
    with refusing("sort control"):
        items = sequence_value(value)
        keys = []
        while items.pos < items.end:
            item = items.inside()
            keys.append(SortKey(item.name(), item.optional_text(_RULE), item.optional_boolean(_REVERSE)))
            item.finish_sequence((OCTET_STRING, BOOLEAN, _RULE, _REVERSE))
        if not keys:
            raise BadValue("no sort keys")
        return tuple(keys)


def encode_sort_request(keys: tuple[SortKey, ...]) -> bytes:
    return ber.sequence(*map(_encode_sort_key, keys))


def _encode_sort_key(key: SortKey) -> bytes:
    rule, reverse = ber.optional_text(key.rule, _RULE), ber.default_false(key.reverse, _REVERSE)
    return ber.sequence(ber.text(key.attribute), rule, reverse)


def encode_sort_response(code: ResultCode, attribute: str | None = None) -> bytes:
    """``attribute`` is the first one that could not be sorted by."""
    return ber.sequence(ber.integer(code, ENUMERATED), ber.optional_text(attribute, _SORTED_BY))
