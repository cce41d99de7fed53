"""RFC 2849: its examples, LDIF as other tools write it, what is refused and how."""

from __future__ import annotations

import base64
import io
import pickle
from pathlib import Path

import pytest

from ldapserver.ldif import (
    AddRecord,
    DeleteRecord,
    LdifError,
    ModifyDNRecord,
    ModifyRecord,
    Record,
    format_changes,
    format_entry,
    format_record,
    parse_block,
    read_blocks,
    read_changes,
    read_records,
    to_request,
)
from ldapserver.messages import (
    AddRequest,
    Attribute,
    Change,
    Control,
    DeleteRequest,
    Entry,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
)


def read(text: str | bytes, allow_files: bool = False) -> list[Record]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_records(io.BytesIO(raw), "t.ldif", allow_files))


def refused(text: str | bytes) -> str:
    with pytest.raises(LdifError) as caught:
        read(text)
    return str(caught.value)


# --- content --------------------------------------------------------------------------

ALICE = AddRecord(1, "uid=alice,o=example", [(b"objectClass", b"person"), (b"cn", b"Alice"), (b"sn", b"A")])
PLAIN = "dn: uid=alice,o=example\nobjectClass: person\ncn: Alice\nsn: A\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN + "\n\n\n",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r\n") + "\r\n\r\n",
        "\ufeff" + PLAIN,
        PLAIN.replace("cn: Alice", "cn: Al\n ice"),
        PLAIN.replace("cn: Alice", "cn: \n Al\n ic\n e"),
        PLAIN.replace("cn: Alice", "cn:\n  Alice"),
        PLAIN.replace("cn: Alice", "cn: \n  Alice"),
        PLAIN.replace("cn: Alice", "c\n n: Alice"),
        PLAIN.replace("cn: Alice", "cn:Alice"),
        PLAIN.replace("cn: Alice", "cn:   Alice"),
        PLAIN.replace("cn: Alice", "cn:: QWxpY2U="),
        PLAIN.replace("cn: Alice", "cn::QWxpY2U= "),
        PLAIN.replace("cn: Alice", "cn:: QWx\n pY2U\n ="),
        PLAIN.replace("cn: Alice", "# a comment: x\ncn: Alice"),
        PLAIN.replace("cn: Alice", "# a comment\n  that goes on\n and on\ncn: Alice"),
        PLAIN.replace("dn: uid=alice,o=example", "dn:: dWlkPWFsaWNlLG89ZXhhbXBsZQ=="),
        PLAIN.replace("dn: uid=alice,o=example", "DN: uid=ali\n ce,o=example"),
        PLAIN.replace("dn: uid=alice,o=example", "dn:uid=alice,o=example"),
        PLAIN.replace("dn: uid=alice,o=example", "dn: uid=alice,o=example\nchangetype: add"),
        PLAIN.replace("dn: uid=alice,o=example", "dn: uid=alice,o=example\nChangeType: Add"),
    ],
)
def test_one_entry_however_it_is_written(text: str) -> None:
    assert read(text) == [ALICE]


def test_line_numbers() -> None:
    text = (
        "version: 1\n\n\n# first\n\ndn: a=1\nx: 1\n\n\n\ndn: a=2\nx: 1\n  2\nx:: MQ==\n\n"
        "# before\ndn: a=3\nx: 1\n\ndn: a=4\nchangetype: delete\n\ndn: a=5\nx: 5"
    )
    expected = [6, 11, 17, 20, 23]
    assert [record.line for record in read(text)] == expected
    assert [record.line for record in read(text.replace("\n", "\r\n"))] == expected


def test_versions() -> None:
    assert len(read("version: 1\ndn: a=1\nx: 1\n")) == 1
    assert len(read("version: 1\n\ndn: a=1\nx: 1\n\nversion: 1\ndn: a=2\nx: 1\n")) == 2
    assert refused("version: 2\n\ndn: a=1\nx: 1\n") == "t.ldif:1: only version 1 of LDIF is known"


def test_nothing() -> None:
    for text in ("", "\n", "\n\n\n\n", "version: 1\n", "# only\n words\n", "\r\n", "\ufeff", "\n \n"):
        assert read(text) == []


def test_values_are_kept_as_they_are() -> None:
    (record,) = read(
        b"dn: a=1\ncn;lang-de;x-y: gr\xc3\xbcn \n2.5.4.3: x: y:: z\nempty:\nempty: \nempty::\n"
        b"bin:: AP8K\nraw: \xff\ncolon: :x\nless: <x\n"
    )
    assert isinstance(record, AddRecord)
    assert record.attributes == [
        (b"cn;lang-de;x-y", b"gr\xc3\xbcn "),
        (b"2.5.4.3", b"x: y:: z"),
        (b"empty", b""),
        (b"empty", b""),
        (b"empty", b""),
        (b"bin", b"\0\xff\n"),
        (b"raw", b"\xff"),
        (b"colon", b":x"),
        (b"less", b"<x"),
    ]


def test_equal_names_are_one_object() -> None:
    (record,) = read("dn: a=1\nmail: a\nmail: b\nmail:: Yw==\n")
    assert isinstance(record, AddRecord)
    assert record.attributes[0][0] is record.attributes[1][0] is record.attributes[2][0]


def test_slapcat() -> None:
    text = """dn: o=example
objectClass: organization
o: example
structuralObjectClass: organization
entryUUID: 6f2f3d0e-0000-103e-8f5e-1f3a5f0e0b0c
creatorsName: cn=admin,o=example
createTimestamp: 20240101000000Z
userPassword:: e1NTSEF9alYwZ3ZKYzJ0eVlueVFZUzZBTjNRZkZhZzhzTzFESXQrMzJ0b0E9P
 Q==
entryCSN: 20240101000000.000000Z#000000#000#000000
modifiersName: cn=admin,o=example
modifyTimestamp: 20240101000000Z
contextCSN: 20240101000000.000000Z#000000#000#000000

dn:: dWlkPUrDvHJnZW4sbz1leGFtcGxl
uid:: SsO8cmdlbg==
objectClass: account

"""
    first, second = read(text)
    assert isinstance(first, AddRecord)
    assert isinstance(second, AddRecord)
    assert (b"userPassword", b"{SSHA}jV0gvJc2tyYnyQYS6AN3QfFag8sO1DIt+32toA==") in first.attributes
    assert len(first.attributes) == 11
    assert second == AddRecord(
        15, "uid=Jürgen,o=example", [(b"uid", "Jürgen".encode()), (b"objectClass", b"account")]
    )


LDAPSEARCH = """# extended LDIF
#
# LDAPv3
# base <o=example> with scope subtree
# filter: (objectclass=*)
# requesting: ALL
#

# example
dn: o=example
o: example

# search reference
ref: ldap://other.example/ou=there,o=example??sub

# u1, example
dn: uid=u1,o=example
uid: u1

# search result
search: 2
result: {result}
control: 1.2.840.113556.1.4.319 false MAUCAQAEAA==
pagedresults: cookie=

# numResponses: 4
# numEntries: 2
# numReferences: 1
"""


def test_ldapsearch() -> None:
    records = read(LDAPSEARCH.format(result="0 Success"))
    assert [record.dn for record in records] == ["o=example", "uid=u1,o=example"]


def test_ldapsearch_that_was_cut_short() -> None:
    assert refused(LDAPSEARCH.format(result="4 Size limit exceeded")) == (
        "t.ldif:22: the search that wrote this file ended early: '4 Size limit exceeded'"
    )


# --- changes --------------------------------------------------------------------------


def test_changes() -> None:
    text = """version: 1

dn: cn=Fiona Jensen, ou=Marketing, dc=airius, dc=com
control: 1.2.840.113556.1.4.805 true
control: 1.2.3.4 false: plain
control: 1.2.3.5:: AAE=
control: 1.2.3.6
changetype: add
cn: Fiona Jensen
objectclass: person

dn: cn=Robert Jensen, ou=Marketing, dc=airius, dc=com
changetype: delete

dn: cn=Paul Jensen, ou=Product Development, dc=airius, dc=com
changetype: modrdn
newrdn: cn=Paula Jensen
deleteoldrdn: 1

dn: ou=PD Accountants, ou=Product Development, dc=airius, dc=com
changetype: moddn
newrdn: ou=Product Development Accountants
deleteoldrdn: 0
newsuperior: ou=Accounting, dc=airius, dc=com

dn: cn=Paula Jensen, ou=Product Development, dc=airius, dc=com
changetype: modify
add: postaladdress
postaladdress: 123 Anystreet $ Sunnyvale, CA $ 94086
-
delete: description
-
replace: telephonenumber
telephonenumber: +1 408 555 1234
TelephoneNumber:: KzE=
-
delete: facsimiletelephonenumber
facsimiletelephonenumber: +1 408 555 9876
-
increment: uidNumber
uidNumber: 2
-
replace: postaladdress
-
"""
    added, deleted, renamed, moved, modified = read(text)
    assert added == AddRecord(
        3,
        "cn=Fiona Jensen, ou=Marketing, dc=airius, dc=com",
        [(b"cn", b"Fiona Jensen"), (b"objectclass", b"person")],
        (
            Control("1.2.840.113556.1.4.805", True, None),
            Control("1.2.3.4", False, b"plain"),
            Control("1.2.3.5", False, b"\0\1"),
            Control("1.2.3.6", False, None),
        ),
    )
    assert deleted == DeleteRecord(12, "cn=Robert Jensen, ou=Marketing, dc=airius, dc=com")
    assert renamed == ModifyDNRecord(
        15, "cn=Paul Jensen, ou=Product Development, dc=airius, dc=com", "cn=Paula Jensen", True, None
    )
    assert isinstance(moved, ModifyDNRecord)
    assert (moved.delete_old_rdn, moved.new_superior) == (False, "ou=Accounting, dc=airius, dc=com")
    assert modified == ModifyRecord(
        26,
        "cn=Paula Jensen, ou=Product Development, dc=airius, dc=com",
        (
            Change(ModifyOp.ADD, "postaladdress", (b"123 Anystreet $ Sunnyvale, CA $ 94086",)),
            Change(ModifyOp.DELETE, "description", ()),
            Change(ModifyOp.REPLACE, "telephonenumber", (b"+1 408 555 1234", b"+1")),
            Change(ModifyOp.DELETE, "facsimiletelephonenumber", (b"+1 408 555 9876",)),
            Change(ModifyOp.INCREMENT, "uidNumber", (b"2",)),
            Change(ModifyOp.REPLACE, "postaladdress", ()),
        ),
    )


def test_a_modification_as_ldapmodify_takes_it() -> None:
    expected = ModifyRecord(1, "a=1", (Change(ModifyOp.REPLACE, "sn", (b"x",)),))
    assert read("dn: a=1\nchangetype: modify\nreplace: sn\nsn: x\n-\n") == [expected]
    assert read("dn: a=1\nchangetype: modify\nreplace: sn\nsn: x\n") == [expected]
    assert read("dn: a=1\nreplace: sn\nsn: x\n-") == [expected]
    assert read("dn: a=1\nchangetype: modify\n\n") == [ModifyRecord(1, "a=1", ())]


def test_content_and_changes_may_be_mixed() -> None:
    kinds = [
        type(record) for record in read("dn: a=1\na: 1\n\ndn: a=1\nchangetype: delete\n\ndn: a=1\na: 1\n")
    ]
    assert kinds == [AddRecord, DeleteRecord, AddRecord]


def test_read_changes() -> None:
    expected = (
        Change(ModifyOp.REPLACE, "description", (b"x",)),
        Change(ModifyOp.DELETE, "mobile", ()),
    )
    text = "replace: description\ndescription: x\n-\ndelete: mobile\n-\n"
    assert read_changes(text) == expected
    assert read_changes(text.encode().replace(b"\n", b"\r\n")) == expected
    assert read_changes("# why\nchangetype: modify\n\n" + text.replace("-\n", "-\n\n")) == expected
    assert read_changes(format_changes(expected)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "changes:1: no modifications"),
        ("dn: a=1\nreplace: sn\n", "changes:1: modifications expected, which name no 'dn:'"),
        ("sn: x\n", "changes:1: 'add:', 'delete:', 'replace:' or 'increment:' expected"),
    ],
)
def test_read_changes_refused(text: str, reason: str) -> None:
    with pytest.raises(LdifError) as caught:
        read_changes(text)
    assert str(caught.value) == reason


# --- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cn: x\n", "1: 'dn:' expected, not 'cn'"),
        ("\n\nfoo\n", "3: 'name: value' expected, not 'foo'"),
        ("dn: a=1\n", "1: an entry without attributes"),
        ("dn: a=1\na: 1\nmail\n", "3: 'name: value' expected, not 'mail'"),
        ("dn: a=1\nmail: 1\nmail\n", "3: 'name: value' expected, not 'mail'"),
        ("dn: a=1\na b: 1\n", "2: 'a b' is no attribute description"),
        ("dn: a=1\n\x1b[2J: 1\n", "2: '\\x1b[2J' is no attribute description"),
        (f"dn: a=1\n{'a' * 99}\n", f"2: 'name: value' expected, not '{'a' * 60}...'"),
        ("dn: a=1\na:: ?\n", "2: not base64: "),
        ("dn: a=1\nb: 1\na:: YQ\n", "3: not base64: Incorrect padding"),
        ("dn: a=1\na:: YQ==YQ==\n", "2: not base64: "),
        ("dn: a=1\na: 1\ndn: a=2\na: 1\n", "3: 'dn' in the middle of an entry"),
        ("dn: a=1\na: 1\n-\n", "3: '-' in the middle of an entry"),
        ("dn: a=1\na: 1\nchangetype: add\n", "3: 'changetype' in the middle of an entry"),
        ("dn: a=1\nchangetype: add\n", "2: an entry without attributes"),
        ("dn: a=1\nchangetype: rename\n", "2: unknown changetype 'rename'"),
        ("dn: a=1\nchangetype: delete\na: 1\n", "3: nothing more expected in a deletion"),
        ("dn: a=1\nchangetype: modify\na: 1\n", "3: 'add:', 'delete:', 'replace:' or 'increment:' expected"),
        ("dn: a=1\nchangetype: modify\nadd: a\nb: 1\n-\n", "4: 'a:' or '-' expected"),
        ("dn: a=1\nchangetype: modify\nadd: a\n-\n", "3: nothing to add"),
        ("dn: a=1\nchangetype: modify\nincrement: a\n-\n", "3: 'increment:' takes one value"),
        ("dn: a=1\nchangetype: modify\nadd: a b\n-\n", "3: 'a b' is no attribute description"),
        ("dn: a=1\nchangetype: modrdn\nnewrdn: a=2\n", "2: 'newrdn:', 'deleteoldrdn:' and perhaps"),
        ("dn: a=1\nchangetype: modrdn\nnewrdn: a=2\ndeleteoldrdn: y\n", "4: 0 or 1 expected"),
        ("dn: a=1\ncontrol: 1.2\na: 1\n", "2: 'changetype:' expected after 'control:'"),
        ("dn: a=1\ncontrol: x\nchangetype: delete\n", "2: 'control: OID [true|false] [: value]' expected"),
        (b"dn: \xff\na: 1\n", "1: the value of 'dn' is not UTF-8"),
        ("dn:: /w==\na: 1\n", "1: the value of 'dn' is not UTF-8"),
        (" dn: a=1\na: 1\n", "1: a line begins with a space and continues none"),
        ("dn: a=1\na: 1\n".encode("utf-16"), "1: this is UTF-16; LDIF is UTF-8"),
        ("dn: a=1\nphoto:< file:///etc/hostname\n", "2: a value from a URL is not allowed here"),
    ],
)
def test_refused(text: str | bytes, reason: str) -> None:
    assert refused(text).startswith(f"t.ldif:{reason}")
    # The same, 3 lines further down.
    raw = text.encode() if isinstance(text, str) else text
    line, _, rest = reason.partition(":")
    if "UTF-16" not in reason:
        assert refused(b"dn: z=1\nz: 1\n\n" + raw).startswith(f"t.ldif:{int(line) + 3}:{rest}")


def test_the_error_survives_the_way_from_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(LdifError("f", 7, "why")))
    assert (error.file, error.line, error.reason, str(error)) == ("f", 7, "why", "f:7: why")
    assert isinstance(error, ValueError)


def test_values_from_files(tmp_path: Path) -> None:
    path = tmp_path / "a photo"
    path.write_bytes(b"\xff\xd8\n")
    url = "file://" + str(path).replace(" ", "%20")
    (record,) = read(f"dn: a=1\nphoto:< {url}\n", allow_files=True)
    assert isinstance(record, AddRecord)
    assert record.attributes == [(b"photo", b"\xff\xd8\n")]
    for bad, reason in (
        ("http://example/x", "only file:///path is known as a value's URL, not 'http://example/x'"),
        ("file://elsewhere/x", "only file:///path is known as a value's URL, not 'file://elsewhere/x'"),
        ("file:///%00", "only file:///path is known as a value's URL, not 'file:///%00'"),
        (f"file://{tmp_path}/none", f"'{tmp_path}/none'"[:40]),
    ):
        with pytest.raises(LdifError) as caught:
            read(f"dn: a=1\nphoto:< {bad}\n", allow_files=True)
        assert caught.value.reason.startswith(reason)


# --- blocks -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_blocks_hold_whole_records(size: int, newline: bytes) -> None:
    records = [b"dn: a=%d\na: 1\nb: x\n  y\n" % number for number in range(50)]
    text = b"\n".join(records).replace(b"\n", newline)
    blocks = list(read_blocks(io.BytesIO(text), "t.ldif", size))
    parsed = [record for line, block in blocks for record in parse_block(block, line, "t.ldif")]
    assert [record.dn for record in parsed] == [f"a={number}" for number in range(50)]
    assert [record.line for record in parsed] == [1 + 5 * number for number in range(50)]
    assert len(blocks) == 2 if size == 10_000 else len(blocks) > 10


def test_a_record_larger_than_a_block() -> None:
    value = bytes(range(256)) * 4096
    text = b"dn: a=1\nphoto:: " + base64.b64encode(value) + b"\n\ndn: a=2\na: 1\n"
    first, second = read(text)
    assert isinstance(first, AddRecord)
    assert first.attributes == [(b"photo", value)]
    assert second.line == 4


def test_a_record_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldapserver.ldif.reader.MAX_RECORD", 1 << 20)
    assert "a record of more than 1 MiB" in refused(b"a" * (3 << 20))


# --- writing ----------------------------------------------------------------------------


def entry(*pairs: tuple[str, bytes], dn: str = "a=1") -> Entry:
    return Entry(dn, tuple(Attribute(name, (value,)) for name, value in pairs))


def test_format_entry() -> None:
    alice = Entry(
        "uid=alice,o=example",
        (Attribute("objectClass", (b"top", b"person")), Attribute("cn", (b"Alice: A <a>",))),
    )
    assert format_entry(alice) == (
        b"dn: uid=alice,o=example\nobjectClass: top\nobjectClass: person\ncn: Alice: A <a>\n\n"
    )
    assert format_entry(Entry("a=1", ())) == b"dn: a=1\n\n"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"", b"x: "),
        (b"a b", b"x: a b"),
        (b" a", b"x:: IGE="),
        (b"a ", b"x:: YSA="),
        (b" ", b"x:: IA=="),
        (b":a", b"x:: OmE="),
        (b"<a", b"x:: PGE="),
        (b"a:<", b"x: a:<"),
        (b"a: :b", b"x: a: :b"),
        (b"a: <b", b"x: a: <b"),
        (b"a:  b", b"x: a:  b"),
        (b"a\nb: c", b"x:: YQpiOiBj"),
        (b"\n", b"x:: Cg=="),
        (b"a\r", b"x:: YQ0="),
        (b"a\0", b"x:: YQA="),
        (b"a\x1b", b"x:: YRs="),
        ("ü".encode(), b"x:: w7w="),
        (b"\xff", b"x:: /w=="),
    ],
)
def test_values_are_plain_where_that_is_safe(value: bytes, line: bytes) -> None:
    written = format_entry(entry(("x", value)))
    assert written == b"dn: a=1\n" + line + b"\n\n"
    (record,) = read(written)
    assert isinstance(record, AddRecord)
    assert record.attributes == [(b"x", value)]
    # The DN, and beside a value that needs no care.
    (record,) = read(format_entry(entry(("y", b"1"), ("x", value), dn="a=ü")))
    assert isinstance(record, AddRecord)
    assert record.attributes == [(b"y", b"1"), (b"x", value)]
    assert record.dn == "a=ü"


@pytest.mark.parametrize("length", [70, 73, 74, 148, 149, 150, 1000])
def test_folding(length: int) -> None:
    for byte in (b"a", b"\xff"):
        written = format_entry(entry(("x", byte * length)))
        assert max(map(len, written.split(b"\n"))) <= 76
        (record,) = read(written)
        assert isinstance(record, AddRecord)
        assert record.attributes == [(b"x", byte * length)]
        assert len(format_entry(entry(("x", byte * length)), wrap=0).split(b"\n")) == 4


def test_fold_is_exact() -> None:
    assert format_entry(entry(("x", b"a" * 73))).split(b"\n")[1] == b"x: " + b"a" * 73
    assert format_entry(entry(("x", b"a" * 74))).split(b"\n")[1:3] == [b"x: " + b"a" * 73, b" a"]


RECORDS: list[Record] = [
    AddRecord(1, "a=1", [(b"a", b"1"), (b"b", b"\xff")], (Control("1.2", True, b"\0"),)),
    ModifyRecord(
        1,
        "a=ü",
        (
            Change(ModifyOp.ADD, "a;lang-de", (b"1", b" 2")),
            Change(ModifyOp.DELETE, "b", ()),
            Change(ModifyOp.INCREMENT, "n", (b"-1",)),
            Change(ModifyOp.REPLACE, "c", (b"x" * 200,)),
        ),
        (Control("1.2", False, None), Control("1.3", False, b"plain")),
    ),
    DeleteRecord(1, "a=" + "x" * 100),
    ModifyDNRecord(1, "a=1,o=x", "a=ü", True, None),
    ModifyDNRecord(1, "a=1,o=x", "a=2", False, ""),
    ModifyDNRecord(1, "a=1,o=x", "a=2", False, "o=y"),
]


@pytest.mark.parametrize("record", RECORDS)
def test_format_record_and_back(record: Record) -> None:
    assert read(format_record(record)) == [record]


def test_to_request() -> None:
    add = AddRecord(1, "a=1", [(b"cn", b"1"), (b"sn", b"2"), (b"CN", b"3")])
    assert to_request(add) == AddRequest("a=1", (Attribute("cn", (b"1", b"3")), Attribute("sn", (b"2",))))
    change = Change(ModifyOp.DELETE, "b", ())
    assert to_request(ModifyRecord(1, "a=1", (change,))) == ModifyRequest("a=1", (change,))
    assert to_request(DeleteRecord(1, "a=1")) == DeleteRequest("a=1")
    assert to_request(ModifyDNRecord(1, "a=1", "a=2", True)) == ModifyDNRequest("a=1", "a=2", True, None)
