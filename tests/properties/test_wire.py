"""The codec's laws: what is written reads back, however it arrives, and nothing that
arrives raises anything but the two errors that are the peer's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from ldapserver import controls, extended
from ldapserver.messages import BulkReport, BulkRequest, Entry, ExtendedRequest, Filter, Message, Result
from ldapserver.results import LDAPError
from ldapserver.wire import tags
from ldapserver.wire.client import decode_entry, decode_response, encode_message
from ldapserver.wire.decode import MalformedRequest, decode_any, decode_message
from ldapserver.wire.encode import attribute_list, encode_result_tail, entry_tail, envelope
from ldapserver.wire.framing import Framer, ProtocolViolation

from . import strategies as a
from .strategies import plain


@given(a.messages)
def test_a_message_reads_back(message: Message) -> None:
    data = encode_message(message)
    assert plain(decode_message(data)) == plain(message)
    assert plain(decode_any(data)) == plain(message)


@given(a.message_ids, a.results, st.sampled_from(sorted(tags.RESULTS)))
def test_a_result_reads_back(message_id: int, result: Result, tag: int) -> None:
    response = decode_response(envelope(message_id, encode_result_tail(tag, result)))
    assert (response.id, response.tag, response.controls) == (message_id, tag, result.controls)
    assert response.answer == result


@given(a.entries)
def test_an_entry_reads_back(entry: Entry) -> None:
    assert decode_entry(entry_tail(entry.dn.encode(), attribute_list(entry.attributes))) == entry


@given(a.filters)
def test_an_assertion_reads_back(filter: Filter) -> None:
    assert controls.decode_assertion(controls.encode_assertion(filter)) == filter


@given(a.bulk_requests)
def test_a_bulk_request_reads_back(request: BulkRequest) -> None:
    assert extended.decode_bulk_request(extended.encode_bulk_request(request)) == request


@given(st.builds(BulkReport, a.numbers, a.numbers, a.texts, st.booleans()))
def test_a_bulk_report_reads_back(report: BulkReport) -> None:
    assert extended.decode_bulk_report(extended.encode_bulk_report(report)) == report


@given(st.lists(a.messages, max_size=4).map(lambda made: [encode_message(one) for one in made]), st.data())
def test_a_stream_is_cut_the_same_however_it_arrives(expected: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(expected)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer(1 << 20)
    found: list[bytes] = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += framer.feed(stream[start:stop])
    assert found == expected
    assert framer.buffered == 0


def outcome(data: bytes, decode: Callable[[bytes], Message]) -> object:
    """A message, or what was said against it."""
    try:
        return plain(decode(data))
    except ProtocolViolation as violation:
        return "violation", str(violation)
    except MalformedRequest as malformed:
        return "malformed", malformed.message_id, malformed.tag, malformed.text


@given(a.search_messages.map(encode_message), st.data())
def test_the_short_cut_for_searches_decides_as_the_general_way(valid: bytes, data: st.DataObject) -> None:
    damaged = bytearray(valid)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(valid) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytes(damaged), decode_message) == outcome(bytes(damaged), decode_any)


@given(st.one_of(st.binary(max_size=60), a.messages.map(encode_message)), st.binary(max_size=4), st.data())
def test_no_input_raises_another_error(start: bytes, inserted: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(start)))
    garbage = start[:position] + inserted + start[position + data.draw(st.integers(0, 4)) :]
    assert outcome(garbage, decode_message) == outcome(garbage, decode_any)
    try:
        decode_response(garbage)
        Framer(1000).feed(garbage)
    except ProtocolViolation:
        pass


@given(st.one_of(st.binary(max_size=30), a.bulk_requests.map(lambda bulk: bulk_value(bulk)[1:-1])))
def test_bad_values_are_refused(value: bytes) -> None:
    decoders: list[Callable[[bytes], object]] = [
        controls.decode_paged_results,
        controls.decode_assertion,
        controls.decode_read_request,
        controls.decode_read_response,
        controls.decode_sort_request,
        extended.decode_password_modify,
        extended.decode_generated_password,
        extended.decode_cancel,
        extended.decode_bulk_report,
    ]
    for decode in decoders:
        with suppress(LDAPError):
            decode(value)
    for oid in extended.BULK_OPERATIONS:
        with suppress(LDAPError):
            extended.decode_bulk_request(ExtendedRequest(oid, value))


def bulk_value(request: BulkRequest) -> bytes:
    value = extended.encode_bulk_request(request).value
    assert value is not None
    return value
