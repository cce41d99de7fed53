"""LDIF for any entry, any text, any cut; the quick reader against the whole grammar, and
ours against python-ldap's."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapserver.ldif import (
    AddRecord,
    DeleteRecord,
    LdifError,
    ModifyDNRecord,
    ModifyRecord,
    Record,
    format_changes,
    format_content,
    format_entry,
    format_record,
    grouped,
    parse_block,
    read_blocks,
    read_changes,
    read_records,
)
from ldapserver.ldif.grammar import Context, parse_record
from ldapserver.messages import Change, Control, Entry, ModifyOp

names = st.sampled_from(["cn", "sn;lang-de", "2.5.4.3", "objectClass", "x-a_b", "userCertificate;binary"])
values = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=120).map(str.encode),
    st.text(alphabet=" :<-a\n#=", max_size=12).map(str.encode),
)
dns = st.text(st.characters(codec="utf-8"), max_size=100)
pairs = st.lists(st.tuples(names.map(str.encode), values), min_size=1, max_size=8)
wraps = st.sampled_from([0, 1, 2, 20, 76])
oids = st.sampled_from(["1.2.3", "0.9", "1.2.840.113556.1.4.805"])
controls = st.lists(st.builds(Control, oids, st.booleans(), st.none() | values), max_size=2).map(tuple)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    operation = draw(st.sampled_from(ModifyOp))
    bounds = {ModifyOp.ADD: (1, 4), ModifyOp.INCREMENT: (1, 1)}.get(operation, (0, 4))
    found = draw(st.lists(values, min_size=bounds[0], max_size=bounds[1]))
    return Change(operation, draw(names), tuple(found))


records: st.SearchStrategy[Record] = st.one_of(
    st.builds(AddRecord, st.just(1), dns, pairs, controls),
    st.builds(ModifyRecord, st.just(1), dns, st.lists(changes(), max_size=4).map(tuple), controls),
    st.builds(DeleteRecord, st.just(1), dns, controls),
    st.builds(ModifyDNRecord, st.just(1), dns, dns, st.booleans(), st.none() | dns, controls),
)

# python-ldap checks DNs; what it takes for one varies, so these are plain.
plain_dns = st.text("abcü ", min_size=1, max_size=100).map(lambda text: f"cn={text.strip() or 'x'},o=y")

# Pieces that meet every turn of the grammar when they are put together.
pieces = st.sampled_from(
    [
        b"dn: a=1",
        b"dn",
        b"dn:: YT0x",
        b"dn:  a=1",
        b"cn: x",
        b"cn",
        b"cn:",
        b"cn: ",
        b"cn:  y",
        b"cn: a: b",
        b"cn:a: b",
        b"cn:: eA==",
        b"cn:: e",
        b"cn::eA==",
        b"cn:< file:///x",
        b"cn: :x",
        b" more",
        b"  more",
        b" : x",
        b" ",
        b"-",
        b"# note: x",
        b"version: 1",
        b"control: 1.2",
        b"changetype: modify",
        b"changetype: add",
        b"changetype: delete",
        b"add: cn",
        b"replace: cn",
        b"search: 2",
        b"result: 0 Success",
        b"\xff: \xff",
        b"\r",
        b"",
        b"",
    ]
)
texts = st.lists(pieces, max_size=14).map(b"\n".join)


def read(text: bytes, size: int = 1 << 18) -> list[Record] | str:
    """The records, or the reason for which there are none."""
    try:
        return [
            record
            for line, block in read_blocks(io.BytesIO(text), "t", size)
            for record in parse_block(block, line, "t")
        ]
    except LdifError as error:
        return str(error)


def read_by_grammar(text: bytes) -> list[Record] | str:
    """The same without the quick way and without blocks."""
    found: list[Record] = []
    line = 1
    try:
        for raw in text.replace(b"\r\n", b"\n").split(b"\n\n"):
            record = parse_record(Context("t"), raw, line)
            found += [record] if record else []
            line += raw.count(b"\n") + 2
    except LdifError as error:
        return str(error)
    return found


@given(dns, pairs, wraps)
def test_entries_come_back(dn: str, attributes: list[tuple[bytes, bytes]], wrap: int) -> None:
    entry = Entry(dn, grouped(attributes))
    (record,) = read_records(io.BytesIO(format_entry(entry, wrap)), "t")
    assert isinstance(record, AddRecord)
    assert (record.dn, grouped(record.attributes)) == (entry.dn, entry.attributes)
    (record,) = read_records(io.BytesIO(format_content(dn.encode(), attributes, wrap)), "t")
    assert record == AddRecord(1, dn, attributes)


@given(records, wraps)
def test_records_come_back(record: Record, wrap: int) -> None:
    assert list(read_records(io.BytesIO(format_record(record, wrap)), "t")) == [record]


@given(st.lists(changes(), min_size=1, max_size=4).map(tuple), wraps)
def test_changes_come_back(found: tuple[Change, ...], wrap: int) -> None:
    assert read_changes(format_changes(found, wrap)) == found


@given(texts, st.integers(1, 30))
def test_the_quick_way_and_any_cut_change_nothing(text: bytes, size: int) -> None:
    expected = read_by_grammar(text)
    assert read(text) == expected
    assert read(text, size) == expected
    if b"\r" not in text:
        assert read(text.replace(b"\n", b"\r\n"), size) == expected


@given(st.binary(max_size=300))
def test_anything_is_read_or_refused(text: bytes) -> None:
    read(text)


@given(plain_dns, pairs, wraps)
def test_python_ldap_reads_what_we_write(dn: str, attributes: list[tuple[bytes, bytes]], wrap: int) -> None:
    ldif = pytest.importorskip("ldif")
    reader = ldif.LDIFRecordList(io.BytesIO(format_content(dn.encode(), attributes, wrap)))
    reader.parse()
    ((read_dn, read_attributes),) = reader.all_records
    assert read_dn == dn
    expected: dict[str, list[bytes]] = {}
    for name, value in attributes:
        expected.setdefault(name.decode(), []).append(value)
    assert read_attributes == expected


@given(plain_dns, pairs)
def test_we_read_what_python_ldap_writes(dn: str, attributes: list[tuple[bytes, bytes]]) -> None:
    ldif = pytest.importorskip("ldif")
    expected: dict[str, list[bytes]] = {}
    for name, value in attributes:
        expected.setdefault(name.decode(), []).append(value)
    written = io.StringIO()
    ldif.LDIFWriter(written).unparse(dn, expected)
    (record,) = read_records(io.BytesIO(written.getvalue().encode()), "t")
    assert isinstance(record, AddRecord)
    assert record.dn == dn
    assert {a.type: list(a.values) for a in grouped(record.attributes)} == expected
