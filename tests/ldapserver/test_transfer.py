"""LDIF in and out: what others write is taken in whole or not at all, and comes out the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO
from unittest.mock import patch

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapserver import columns
from ldapserver.columns import prepare as prepare_columns
from ldapserver.identity import Identity
from ldapserver.ldif import LdifError
from ldapserver.messages import Entry, Rehost
from ldapserver.passwords import verify
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from ldapserver.transfer import ImportReport, export_ldif, import_ldif
from storage.changes import Kind
from tests.ldapserver.asking import ask, request
from tests.ldapserver.ops.site import Clock, refused
from tests.properties.trees import INDEXES, Node, directory_of, nodes

DOMAIN = "cn=example.com"
SLAPCAT = """\
dn: cn=example.com
objectClass: top
objectClass: CommuniGateDomain
cn: example.com
structuralObjectClass: CommuniGateDomain
entryUUID: 4f6cbd8e-8a5e-103e-9b0f-6d1e9a3b5c01
creatorsName: cn=root,dc=example,dc=com
createTimestamp: 20240102030405Z
entryCSN: 20240203040506.123456Z#000000#001#000000
modifiersName: cn=someone,dc=example,dc=com
modifyTimestamp: 20240203040506Z

dn: uid=Alice,cn=example.com
objectClass: top
objectClass: person
objectClass: organizationalPerson
objectClass: inetOrgPerson
objectClass: CommuniGateAccount
uid: Alice
cn:: QWxpY2UgTMO8ZGVtYW5u
cn;lang-de: Alice Luedemann
sn: Luedemann
mail: alice@example.com
description: a line that is long enough to be folded by those who write such files, a
 s slapcat does
userPassword:: e1NTSEF9OUFvRlo5Y2QybVArYnpmNHgrTHo5blFsMU80eE1sSkFRR1d0enhzPQ==
hostServer: be1
structuralObjectClass: CommuniGateAccount
entryUUID: 4f6cbd8e-8a5e-103e-9b0f-6d1e9a3b5c02
creatorsName: gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth
createTimestamp: 20240102030406.5Z
entryCSN: 20240102030406.000001Z#000002#000#000000
modifiersName: cn=root,dc=example,dc=com
modifyTimestamp: 20240102030406Z
contextCSN: 20240203040506.123456Z#000000#001#000000

"""
ALICE = f"uid=Alice,{DOMAIN}"
START = "dn: o=before\nobjectClass: organization\n\ndn: cn=known,o=before\nobjectClass: CommuniGateDomain\n"


def take_in(
    directory: EphemeralDirectory,
    ldif: str | bytes,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    source = BytesIO(ldif.encode() if isinstance(ldif, str) else ldif)
    return import_ldif(directory.local, source, "some.ldif", progress)


def dump(directory: EphemeralDirectory, base: str = "") -> bytes:
    out = BytesIO()
    export_ldif(directory.local, out, base)
    return out.getvalue()


def everything(directory: EphemeralDirectory) -> list[Entry]:
    return directory.search(attributes=("*", "+"))


@contextmanager
def empty() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(settings=evolve(SETTINGS, clock=Clock())) as directory:
        yield directory


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with empty() as made:
        yield made


# --- what others write -----------------------------------------------------------------


def test_slapcat_keeps_an_entrys_past(directory: EphemeralDirectory) -> None:
    assert take_in(directory, SLAPCAT) == ImportReport(2, 0)
    for name, value in {
        "entryUUID": "4f6cbd8e-8a5e-103e-9b0f-6d1e9a3b5c01",
        "creatorsName": "cn=root,dc=example,dc=com",
        "createTimestamp": "20240102030405Z",
        "entryCSN": "20240203040506.123456Z#000000#001#000000",
        "modifiersName": "cn=someone,dc=example,dc=com",
        "modifyTimestamp": "20240203040506Z",
        "structuralObjectClass": "CommuniGateDomain",
    }.items():
        assert directory.values(DOMAIN, name) == [value], name
    assert directory.values(ALICE, "cn") == ["Alice Lüdemann", "Alice Luedemann"]
    assert directory.values(ALICE, "cn;lang-de") == ["Alice Luedemann"]
    assert directory.values(ALICE, "description")[0].endswith("as slapcat does")
    assert directory.values(ALICE, "userPassword")[0].startswith("{SSHA}")
    assert directory.values(ALICE, "hostServer") == ["be1"]
    assert directory.values(ALICE, "createTimestamp") == ["20240102030406Z"]
    assert directory.search("(cn=alice luedemann)")[0].dn == ALICE
    assert directory.search("(entryUUID=4f6cbd8e-8a5e-103e-9b0f-6d1e9a3b5c02)")[0].dn == ALICE
    names = {item.type for item in ask(directory.local, request(base=ALICE)).entries[0].attributes}
    assert "contextCSN" not in names
    assert "structuralObjectClass" not in names


def test_ldapsearch_output_with_all_operational_attributes(directory: EphemeralDirectory) -> None:
    more = "entryDN: {}\nsubschemaSubentry: cn=Subschema\nhasSubordinates: TRUE\nnumSubordinates: 7\n"
    parts = [part + "\n" + more.format("cn=elsewhere") for part in SLAPCAT.strip().split("\n\n")]
    take_in(directory, "\n".join(parts))
    assert directory.values(ALICE, "entryDN") == [ALICE]
    assert directory.values(ALICE, "hasSubordinates") == ["FALSE"]
    assert directory.values(DOMAIN, "numSubordinates") == ["1"]


def test_without_a_past_an_entry_begins_now(directory: EphemeralDirectory) -> None:
    take_in(directory, START)
    assert directory.values("o=before", "creatorsName") == ["cn=admin"]
    assert directory.values("o=before", "createTimestamp")[0].startswith("20231114")
    assert directory.values("o=before", "entryCSN") == directory.values("cn=known,o=before", "entryCSN")
    assert directory.values("o=before", "entryUUID") != directory.values("cn=known,o=before", "entryUUID")


def test_a_modify_timestamp_alone_is_kept(directory: EphemeralDirectory) -> None:
    take_in(directory, "dn: o=x\nobjectClass: organization\nmodifyTimestamp: 20240203040506.7+0100\n")
    assert directory.values("o=x", "modifyTimestamp") == ["20240203030506Z"]
    assert directory.values("o=x", "entryCSN") == ["20240203030506.700000Z#000000#000#000000"]


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "version: 1\n\n" + text,
        lambda text: "# a comment\n#  of two lines\n\n" + text.replace("\n\n", "\n# 2\n\n# next\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\n\n\n" + text.replace("\n\n", "\n\n\n\n"),
        lambda text: text.replace("dn: ", "dn:  ").replace("sn: ", "SN:   "),
        lambda text: text.replace("dn: uid=Alice,cn=example.com", "dn:: dWlkPUFsaWNlLGNuPWV4YW1wbGUuY29t"),
        lambda text: text.replace("objectClass: top\n", "changetype: add\nobjectClass: top\n"),
    ],
)
def test_other_ways_to_write_the_same(directory: EphemeralDirectory, changed: Callable[[str], str]) -> None:
    take_in(directory, changed(SLAPCAT))
    with empty() as other:
        take_in(other, SLAPCAT)
        assert everything(directory) == everything(other)


def test_change_records_among_others(directory: EphemeralDirectory) -> None:
    report = take_in(
        directory,
        SLAPCAT
        + "dn: uid=Alice,cn=example.com\nchangetype: modify\nreplace: sn\nsn: Example\n-\n"
        + "add: mail\nmail: a@example.com\n\n"
        + "dn: uid=bob,cn=example.com\nobjectClass: CommuniGateGroup\n\n"
        + "dn: uid=bob,cn=example.com\nchangetype: modrdn\nnewrdn: uid=robert\ndeleteoldrdn: 1\n\n"
        + "dn: cn=other\nobjectClass: CommuniGateDomain\n\n"
        + "dn: uid=robert,cn=example.com\nchangetype: moddn\nnewrdn: uid=robert\ndeleteoldrdn: 0\n"
        + "newsuperior: cn=other\n\n"
        + "dn: uid=bob,cn=other\nobjectClass: CommuniGateGroup\nmember: uid=robert,cn=other\n\n"
        + "dn: uid=bob,cn=other\nchangetype: delete\n",
    )
    assert report == ImportReport(5, 4)
    assert directory.values(ALICE, "mail") == ["alice@example.com", "a@example.com"]
    assert directory.search("(sn=luedemann)") == []
    assert [entry.dn for entry in directory.search(base="cn=other")] == ["cn=other", "uid=robert,cn=other"]


def test_names_are_written_as_rfc_4514_says(directory: EphemeralDirectory) -> None:
    take_in(
        directory,
        'dn: cn="Example, Inc."\nobjectClass: CommuniGateDomain\n\n'
        "dn: uid = a\\+b ; cn=Example\\2C Inc.\nobjectClass: CommuniGateGroup\nuid: a+b\n\n"
        "dn: 0.9.2342.19200300.100.1.1=#0403613b62,cn=EXAMPLE\\, Inc.\nobjectClass: CommuniGateGroup\n\n"
        "dn: uid=c+cn=d,cn=Example\\, inc.\nobjectClass: CommuniGateGroup\n",
    )
    assert sorted(entry.dn for entry in directory.search()) == [
        "0.9.2342.19200300.100.1.1=a\\;b,cn=Example\\, Inc.",
        "cn=Example\\, Inc.",
        "uid=a\\+b,cn=Example\\, Inc.",
        "uid=c+cn=d,cn=Example\\, Inc.",
    ]
    assert directory.values("uid=c+cn=d,cn=Example\\, Inc.", "cn") == ["d"]
    assert directory.values("uid=a\\;b,cn=Example\\, Inc.", "uid") == ["a;b"]


def test_an_rdns_value_is_added_once(directory: EphemeralDirectory) -> None:
    take_in(directory, "dn: o=A  Name\nobjectClass: organization\no: a name\no: other\n")
    assert directory.values("o=a name", "o") == ["a name", "other"]
    take_in(directory, "dn: organizationName=b\nobjectClass: organization\nO: c\n")
    assert directory.values("o=b", "o") == ["c", "b"]


def test_equal_values_of_an_attribute_and_its_options(directory: EphemeralDirectory) -> None:
    """One index row stands for both, and for one when the other is gone."""
    take_in(directory, "dn: cn=same\nobjectClass: CommuniGateDomain\ncn;lang-de: Same\ncn;lang-en: SAME\n")
    assert len(directory.search("(cn=same)")) == 1
    directory.modify("cn=same", delete={"cn;lang-de": [], "cn;lang-en": "same"})
    assert len(directory.search("(cn=same)")) == 1
    directory.delete("cn=same")
    take_in(directory, "dn: cn=other\nobjectClass: CommuniGateDomain\n")
    assert directory.search("(cn=same)") == []


def test_passwords_in_clear_are_hashed_each_with_its_salt(directory: EphemeralDirectory) -> None:
    hashed = "{SSHA}9AoFZ2cd2mP+bzf4x+Lz9nQl1O4xMlJAQGWtzxs="
    person = (
        "dn: uid={0},cn=known,o=before\nobjectClass: CommuniGateAccount\ncn: x\nsn: x\nuserPassword: {1}\n"
    )
    take_in(directory, "\n".join([START, person.format("a", "secret"), person.format("b", "secret")]))
    take_in(directory, person.format("c", hashed))
    a, b, c = (directory.values(f"uid={name},cn=known,o=before", "userPassword")[0] for name in "abc")
    assert c == hashed
    assert a != b
    assert verify(a.encode(), b"secret")
    assert verify(b.encode(), b"secret")


def test_hosts_become_placements(directory: EphemeralDirectory) -> None:
    account = (
        "dn: uid={},cn=known,o=before\nobjectClass: CommuniGateGroup\nhostServer: {}\noldHostServer: {}\n"
    )
    parts = [account.format(name, host, old) for name, host, old in (("a", "b", "a"), ("b", "b", "A"))]
    take_in(directory, "\n".join([START, *parts]))
    moved = directory.local.bulk(directory.local.core.administrator, Rehost("b", "c")).result()
    assert moved.changed == 2
    assert directory.values("uid=b,cn=known,o=before", "oldHostServer") == ["A"]
    with directory.local.core.store.snapshot() as snapshot:
        assert len(list(snapshot.all_placements())) == 2


def test_what_comes_later_is_later(directory: EphemeralDirectory) -> None:
    """Even than a change that another server dates in our future."""
    take_in(directory, SLAPCAT)
    before = directory.values(DOMAIN, "entryCSN")
    assert before > directory.values(ALICE, "entryCSN")
    directory.local.bulk(directory.local.core.administrator, Rehost("be1", "be2")).result()
    assert directory.values(ALICE, "entryCSN") > before
    directory.modify(DOMAIN, replace={"description": "x"})
    assert directory.values(DOMAIN, "entryCSN") > directory.values(ALICE, "entryCSN")


def test_into_a_store_that_has_entries(directory: EphemeralDirectory) -> None:
    take_in(directory, START)
    directory.add("cn=two,o=before", {"objectClass": "CommuniGateDomain"})
    take_in(directory, "dn: uid=x,cn=TWO,O=Before\nobjectClass: CommuniGateGroup\n\n" + SLAPCAT)
    assert len(directory.search()) == 6
    assert directory.values("cn=two,o=before", "numSubordinates") == ["1"]


def test_the_change_table_has_what_was_added(directory: EphemeralDirectory) -> None:
    take_in(directory, START)
    with directory.local.core.store.snapshot() as snapshot:
        (change,) = snapshot.changes()
        assert (change.kind, len(change.subjects)) == (Kind.ADD, 2)


def test_an_empty_file(directory: EphemeralDirectory) -> None:
    assert take_in(directory, "") == take_in(directory, "# nothing\n") == ImportReport(0, 0)


def test_progress_is_told_in_octets(directory: EphemeralDirectory) -> None:
    accounts = [
        f"dn: cn={number}\nobjectClass: CommuniGateDomain\ndescription: {'x' * 500}\n"
        for number in range(1500)
    ]
    ldif = "\n".join(accounts).encode()
    told: list[int] = []
    take_in(directory, ldif, told.append)
    assert len(told) >= 3
    assert told == sorted(told)
    assert told[-1] == len(ldif)


# --- what is refused -------------------------------------------------------------------

GROUP = "objectClass: CommuniGateGroup\n"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("dn: uid=x,cn=missing\n" + GROUP, "there is no entry cn=missing"),
        ("dn: uid=x,cn=after\n" + GROUP + "\ndn: cn=after\nobjectClass: CommuniGateDomain\n", "comes after"),
        ("dn: cn=KNOWN,o=before\nobjectClass: CommuniGateDomain\n", "is there already"),
        ("dn: cn=Subschema\nobjectClass: CommuniGateDomain\n", "the server's own"),
        ("dn: uid=x\n" + GROUP + "nonsense: y\n", "nonsense: attribute type undefined"),
        ("dn: uid=x\n" + GROUP + "title: y\n", "title is not allowed"),
        ("dn: uid=x\nuid: x\n", "no object class"),
        ("dn: uid=x\nobjectClass: nonsense\n", "nonsense"),
        ("dn: uid=x\nobjectClass: CommuniGateAccount\ncn: x\n", "requires sn"),
        ("dn: uid=x\n" + GROUP + "mail:: w6k=\n", "mail: b'\\xc3\\xa9' is not of syntax"),
        ("dn: uid=x\n" + GROUP + "mail: a\nmail: A\n", "twice"),
        ("dn: uid=x\n" + GROUP + "hostServer: a\nhostServer: b\n", "only one value"),
        ("dn: uid=x\n" + GROUP + "hostServer;x-a: a\n", "hostServer takes no options"),
        (f"dn: uid=x\n{GROUP}hostServer: {'a' * 256}\n", "is not a host's name"),
        ("dn: hostServer=a\nobjectClass: CommuniGateDomain\ncn: a\n", "can't name an entry"),
        ("dn: objectClass=CommuniGateGroup\nuid: x\n", "can't name an entry"),
        ("dn: uid=\n" + GROUP, "uid"),
        ("dn: uid=x,,o=before\n" + GROUP, ",o=before: an attribute type was expected"),
        ("dn: nonsense=x\n" + GROUP, "nonsense"),
        ("dn: dc=x\nobjectClass: domain\ndc: y\n", "only one value"),
        ("dn: uid=x\n" + GROUP + "entryUUID: 1-2\n", "entryUUID: not what a server sets"),
        ("dn: uid=x\n" + GROUP + "createTimestamp: yesterday\n", "createTimestamp: not what"),
        ("dn: uid=x\n" + GROUP + "createTimestamp: 19691231235959Z\n", "is before 1970"),
        ("dn: uid=x\n" + GROUP + "entryCSN: 1\n", "entryCSN: not what"),
        ("dn: uid=x\n" + GROUP + "creatorsName: nobody\n", "creatorsName: not what"),
        (
            "dn: uid=x\n" + GROUP + "modifyTimestamp: 20240101000000Z\nmodifyTimestamp: 20250101000000Z\n",
            "modifyTimestamp: not what",
        ),
        ("dn: uid=x\ncontrol: 1.2.3 true\nchangetype: add\n" + GROUP, "can't obey the control 1.2.3"),
        ("dn: uid=x\nchangetype: delete\n", "NO_SUCH_OBJECT"),
        ("dn: o=before\nchangetype: delete\n", "NOT_ALLOWED_ON_NON_LEAF"),
        ("dn: o=before\nchangetype: modify\ndelete: o\n", "NOT_ALLOWED_ON_RDN"),
        ("dn: o=before\nchangetype: nonsense\n", ""),
        ("uid: x\n" + GROUP, ""),
        ("dn: uid=x\n" + GROUP + "nonsense\n", ""),
    ],
)
def test_one_bad_record_and_nothing_is_there(directory: EphemeralDirectory, record: str, reason: str) -> None:
    take_in(directory, START)
    before = everything(directory)
    good = "dn: uid=good,o=before\nobjectClass: CommuniGateGroup\nuid;x-new: good\n"
    change = "dn: o=before\nchangetype: modify\nreplace: description\ndescription: new\n"
    with pytest.raises(LdifError) as caught:
        take_in(directory, "\n".join((good, change, record, good)))
    assert reason in caught.value.reason
    assert caught.value.file == "some.ldif"
    assert 10 <= caught.value.line <= 13
    assert everything(directory) == before
    take_in(directory, good)  # which shows that nothing is held back


def test_the_last_line_counts_too(directory: EphemeralDirectory) -> None:
    comments = "# one\n# two\n\n"
    with pytest.raises(LdifError) as caught:
        take_in(directory, comments + SLAPCAT + "# three\ndn: uid=x,cn=missing\n" + GROUP)
    assert caught.value.line == 3 + SLAPCAT.count("\n") + 2


def test_a_reader_that_fails_leaves_nothing(directory: EphemeralDirectory) -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100:
                raise OSError("the disk is gone")
            return super().read(100)

    source: BinaryIO = Failing(SLAPCAT.encode())
    with pytest.raises(OSError, match="gone"):
        import_ldif(directory.local, source, "x")
    assert directory.search() == []


def test_a_control_that_matters_to_no_import(directory: EphemeralDirectory) -> None:
    record = "control: 2.16.840.1.113730.3.4.2 true\ncontrol: 1.2.3 false\nchangetype: add\n"
    take_in(directory, "dn: uid=x\n" + record + GROUP)
    assert len(directory.search()) == 1


# --- out, and in again ------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(nodes, min_size=3, max_size=14), st.sampled_from(INDEXES))
def test_what_comes_out_goes_in(tree: list[Node], indexes: dict[str, Sequence[str]]) -> None:
    with directory_of(tree, indexes) as original, directory_of([], indexes) as copy:
        original.local.bulk(original.local.core.administrator, Rehost("be1", "be7")).result()
        copy.delete("o=Example")
        take_in(copy, dump(original))
        assert everything(copy) == everything(original)
        assert dump(copy) == dump(original)


def test_part_of_a_tree(directory: EphemeralDirectory) -> None:
    take_in(directory, START + "\n" + SLAPCAT)
    found = dump(directory, "CN=Example.COM").decode()
    assert [text for text in found.splitlines() if text.startswith("dn: ")] == [
        f"dn: {DOMAIN}",
        f"dn: {ALICE}",
    ]
    with refused(ResultCode.NO_SUCH_OBJECT):
        dump(directory, "cn=missing")


def test_export_tells_its_progress(directory: EphemeralDirectory) -> None:
    take_in(directory, SLAPCAT)
    told: list[int] = []
    assert export_ldif(directory.local, BytesIO(), "", told.append) == 2
    assert told == [2]


def test_an_export_that_is_cut_short_is_an_error(directory: EphemeralDirectory) -> None:
    """Whatever limit strikes: a file of half the accounts must not look like a backup."""
    take_in(directory, SLAPCAT)
    core = directory.local.core
    core.limits = evolve(core.limits, size_limit=1)
    core.administrator = Identity("cn=someone", (b"cn=someone",))
    with pytest.raises(LDAPError) as caught:
        dump(directory)
    assert caught.value.code is ResultCode.SIZE_LIMIT_EXCEEDED


# --- blocks of records that are alike ------------------------------------------------------


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """Many records of the same lines, below each other and below the first."""
    attributes = draw(
        st.lists(
            st.sampled_from(["description", "description", "cn", "cn", "mail", "hostServer", "title"]),
            max_size=5,
        )
    )
    values = st.sampled_from(["a", "A", "b c", "x" * 100, "b"])
    count = draw(st.integers(32, 40))
    odd_at, odd = draw(st.integers(0, 3 * count)), draw(st.sampled_from(["n\\2C", "n ", "é", "N0"]))
    records = []
    dns = ["o=before"]
    for number in range(count):
        above = dns[draw(st.integers(0, len(dns) - 1)) if draw(st.integers(0, 3)) == 0 else 0]
        name = f"{odd if number == odd_at else 'n'}{number}"
        dn = f"ou={name},{above}" if draw(st.booleans()) else f"ou={name},{above.upper()}"
        value = name.replace("\\2C", ",")
        lines = [f"{attribute}: {draw(values)}{place}" for place, attribute in enumerate(attributes)]
        records.append("\n".join((f"dn: {dn}", "objectClass: organizationalUnit", f"ou: {value}", *lines)))
        dns.append(dn)
    return "\n\n".join(records) + "\n"


@settings(max_examples=30)
@given(blocks())
def test_a_block_of_alike_records_is_as_any_other(block: str) -> None:
    """Also in what is wrong with it."""

    def outcome(directory: EphemeralDirectory) -> object:
        take_in(directory, START)
        classes = block.replace("organizationalUnit\n", "organizationalUnit\nobjectClass: extensibleObject\n")
        try:
            take_in(directory, classes)
        except LdifError as error:
            return error.args
        return [
            evolve(entry, attributes=tuple(item for item in entry.attributes if item.type != "entryUUID"))
            for entry in everything(directory)
        ]

    with empty() as one, empty() as other, patch.object(columns, "prepare", return_value=None):
        expected = outcome(other)
        with patch.object(columns, "prepare", side_effect=prepare_columns):
            assert outcome(one) == expected


def test_a_chain_of_alike_records(directory: EphemeralDirectory) -> None:
    take_in(directory, START)
    dn, records = "o=before", []
    for number in range(100):
        dn = f"ou=u{number},{dn}"
        records.append(f"dn: {dn}\nobjectClass: organizationalUnit\nou: u{number}\n")
    take_in(directory, "\n".join(records))
    assert directory.values(dn, "ou") == ["u99"]
    broken = [
        record.replace("ou=u50,", "ou=u50,ou=x,").replace("o=before", "cn=known,o=before")
        for record in records
    ]
    with pytest.raises(LdifError) as caught:
        take_in(directory, "\n".join(broken))
    assert caught.value.line == 50 * 4 + 1
