"""Names as text and as normal forms (RFC 4514)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ldapserver.dn import (
    AVA,
    DN,
    decode_oid,
    escape_value,
    key_is_within,
    normalise_dn,
    normalise_rdn,
    normalise_text,
    parse_dn,
    parse_rdn,
    read_der,
    split_first,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import standard_schema
from tests.peers.python_ldap import require_ldap

SCHEMA = standard_schema()


def key(text: str) -> tuple[bytes, ...]:
    return normalise_dn(parse_dn(text), SCHEMA)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(LDAPError) as caught:
        call()
    assert caught.value.code is ResultCode.INVALID_DN_SYNTAX
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("uid=u1,cn=d.example,o=example", [[("uid", b"u1")], [("cn", b"d.example")], [("o", b"example")]]),
        ("UID=jsmith,DC=example,DC=net", [[("UID", b"jsmith")], [("DC", b"example")], [("DC", b"net")]]),
        ("OU=Sales+CN=J.  Smith,DC=x", [[("OU", b"Sales"), ("CN", b"J.  Smith")], [("DC", b"x")]]),
        (r"CN=James \"Jim\" Smith\, III,DC=x", [[("CN", b'James "Jim" Smith, III')], [("DC", b"x")]]),
        (r"CN=Before\0dAfter", [[("CN", b"Before\rAfter")]]),
        ("1.3.6.1.4.1.1466.0=#04024869", [[("1.3.6.1.4.1.1466.0", b"Hi")]]),
        (r"CN=Lu\C4\8Di\C4\87", [[("CN", "Lučić".encode())]]),
        ("cn=Lučić", [[("cn", "Lučić".encode())]]),
        ("cn=", [[("cn", b"")]]),
        ("cn=,o=", [[("cn", b"")], [("o", b"")]]),
        ("cn= a , o = b ", [[("cn", b"a")], [("o", b"b")]]),
        ("cn = a + sn = b , o = c", [[("cn", b"a"), ("sn", b"b")], [("o", b"c")]]),
        (r"cn=\ a\ ", [[("cn", b" a ")]]),
        (r"cn=a\  ,o=b", [[("cn", b"a ")], [("o", b"b")]]),
        (r"cn=a\\ ,o=b", [[("cn", b"a\\")], [("o", b"b")]]),
        (r"cn=\20a\20", [[("cn", b" a ")]]),
        ("cn=a=b", [[("cn", b"a=b")]]),
        ("cn==", [[("cn", b"=")]]),
        ("cn=a#b", [[("cn", b"a#b")]]),
        (r"cn=\#a", [[("cn", b"#a")]]),
        (r"cn=\C3", [[("cn", b"\xc3")]]),
        (r"cn=\00", [[("cn", b"\0")]]),
        ("2.5.4.3=a", [[("2.5.4.3", b"a")]]),
        ("OID.2.5.4.3=a,oid.2.5.4.10=b+cn=c", [[("2.5.4.3", b"a")], [("2.5.4.10", b"b"), ("cn", b"c")]]),
        ("oid.2.5.4.3=a", [[("2.5.4.3", b"a")]]),
        ("oid=a", [[("oid", b"a")]]),
        ("x-my-type1=a", [[("x-my-type1", b"a")]]),
        # RFC 2253 section 4: quotes, semicolons
        ('cn="a, b",o=c', [[("cn", b"a, b")], [("o", b"c")]]),
        ('cn=" a " ,o=c', [[("cn", b" a ")], [("o", b"c")]]),
        (r'cn="a \"b\" \\",o="+"', [[("cn", b'a "b" \\')], [("o", b"+")]]),
        ("cn=a;o=b", [[("cn", b"a")], [("o", b"b")]]),
        # values in BER: UTF8String, PrintableString, BMPString, UniversalString, INTEGER, BOOLEAN
        ("cn=#0C02C3A9", [[("cn", "é".encode())]]),
        ("cn=#130161 ,o=#1603612b62", [[("cn", b"a")], [("o", b"a+b")]]),
        ("cn=#1E0400E90061", [[("cn", "éa".encode())]]),
        ("cn=#1C04000000E9", [[("cn", "é".encode())]]),
        ("uidNumber=#020200ff+cn=#0101ff", [[("uidNumber", b"255"), ("cn", b"TRUE")]]),
        ("cn=#04820003616263", [[("cn", b"abc")]]),
    ],
)
def test_parse(text: str, pairs: list[list[tuple[str, bytes]]]) -> None:
    dn = parse_dn(text)
    assert [[tuple(pair) for pair in rdn] for rdn in dn.rdns] == pairs
    assert parse_dn(str(dn)) == dn


@pytest.mark.parametrize(
    "text",
    [
        " ", ",", "cn", "cn,o=a", "=a", "cn=a,", ",cn=a", "cn=a,,o=b", "cn=a, ", "cn=a+", "+cn=a",
        "cn=a++sn=b",
        "cn=a\\", "cn=a\\\\,", "cn=\\", "cn=\\4", "cn=\\zz", "cn=\\a", "cn=a\0b", "cn=a<b", "cn=a>b",
        'cn=a"b',
        'cn="a', 'cn="a"b', 'cn="a\\"', "cn=#", "cn=#0", "cn=#zz", "cn=#04", "cn=#0402aa", "cn=#0401aabb",
        "cn=#0480",
        "cn=#1e0161", "cn=#3000", "cn=#0200", "cn=#040261", "cn=#04024869x", "cn;lang-de=a", "c n=a",
        "-cn=a", "2=a",
        "2.5.=a", "02.5=a", "2.05=a", ".2=a", "oid.cn=a", "oid.=a", "ćn=a", "cn=a;", "cn\n=a", "cn=\ud800",
        "cn=\ud800\\,", "(cn)=a", "cn=a,o",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    refused(lambda: parse_dn(text))
    refused(lambda: parse_rdn(text))
    refused(lambda: normalise_text(text, SCHEMA))


def test_one_rdn() -> None:
    assert parse_rdn("uid=u1") == (AVA("uid", b"u1"),)
    assert parse_rdn(r"cn=a\,b+sn=c") == (AVA("cn", b"a,b"), AVA("sn", b"c"))
    for text in ("", "cn=a,o=b", r"cn=a\+b,o=c"):
        refused(lambda text=text: parse_rdn(text))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", ""),
        (b"a b", "a b"),
        (b" ", "\\ "),
        (b"  ", "\\ \\ "),
        (b" a ", "\\ a\\ "),
        (b"\\ ", "\\\\\\ "),
        (b"#a#", "\\#a#"),
        (b'"+,;<>\\=', '\\"\\+\\,\\;\\<\\>\\\\='),
        (b"a\0b\r\n", "a\\00b\\0D\\0A"),
        ("č".encode(), "č"),
        (b"\xc3(", "\\C3("),
    ],
)
def test_format(value: bytes, text: str) -> None:
    assert escape_value(value) == text
    assert parse_rdn(f"cn={text}") == (AVA("cn", value),)


def test_dn_as_value() -> None:
    dn = parse_dn(r"cn=a\,b+sn=c,o=d")
    assert str(dn) == r"cn=a\,b+sn=c,o=d"
    assert dn.parent == parse_dn("o=d")
    assert dn.parent.parent == DN(())
    assert str(DN(())) == ""
    assert dn.is_within(parse_dn("O=D"), SCHEMA)
    assert dn.is_within(dn, SCHEMA)
    assert dn.is_within(DN(()), SCHEMA)
    assert not dn.is_within(parse_dn("o=e"), SCHEMA)
    assert not dn.parent.is_within(dn, SCHEMA)
    assert not key_is_within((b"o=a",), (b"cn=b", b"o=a"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uid=u1,cn=d,o=e", ("uid=u1", "cn=d,o=e")),
        ("uid=u1, cn=d", ("uid=u1", "cn=d")),
        ("uid=u1", ("uid=u1", "")),
        ("", ("", "")),
        (r"cn=a\,b,o=c", (r"cn=a\,b", "o=c")),
        (r"cn=a\\,o=c", (r"cn=a\\", "o=c")),
        (r"cn=a\\\,b,o=c", (r"cn=a\\\,b", "o=c")),
        (r"cn=a,o=c\,d", ("cn=a", r"o=c\,d")),
        ('cn="a,b";o=c', ('cn="a,b"', "o=c")),
        ('cn="a\\",b",o=c', ('cn="a\\",b"', "o=c")),
    ],
)
def test_split_first(text: str, expected: tuple[str, str]) -> None:
    assert split_first(text) == expected


@pytest.mark.parametrize("text", ["cn=a,", 'cn="a,o=b', "cn=a\\\\,", "cn=a\\"])
def test_split_first_refuses(text: str) -> None:
    refused(lambda: split_first(text))


def test_normal_forms() -> None:
    assert key("UID=Alice,CN=D.Example,o=Example") == (b"uid=alice", b"cn=d.example", b"o=example")
    assert key("2.5.4.3=A  B") == key("commonName= a b ") == (b"cn=a b",)
    assert key("userid=a") == (b"uid=a",)
    assert key("cn=a+sn=b") == key("SN=B + CN=A") == (b"cn=a+sn=b",)
    assert key("uidNumber=1+gidNumber=2") == key("gidNumber=2+uidNumber=1")
    assert key("cn=M\u00fcller") == key("cn=M\u0075\u0308LLER") == key(r"cn=m\C3\BCller")
    assert key(r"cn=a\2Bsn=b") != key("cn=a+sn=b")
    assert key(r"cn=a\5C\2Bb") != key(r"cn=a\2Bb")
    assert key(r"cn=x\,y") == (b"cn=x,y",)
    assert key("") == ()


def test_a_fullwidth_plus_is_a_plus_only_inside_its_value() -> None:
    assert key("cn=a\uff0bsn=b") == normalise_text("cn=a\uff0bsn=b", SCHEMA) == (b"cn=a\\+sn=b",)
    assert normalise_text("cn=\uff3c", SCHEMA) == (b"cn=\\\\",)


def test_normal_forms_of_binary_values_are_unambiguous() -> None:
    """A UUID's normal form is octets, any of which may be a plus or a backslash."""
    text = "entryUUID=2b5c2b5c-0000-0000-0000-000000000000"
    assert normalise_text(text, SCHEMA) == key(text) == (b"entryuuid=\\+\\\\\\+\\\\" + bytes(12),)


@pytest.mark.parametrize(
    "text",
    [
        "nosuch=a", "1.2.3.4=a", "cn=a+CN=b", "cn=a+2.5.4.3=a", "cn=", r"cn=\C3", "uidNumber=x", "c;x=a",
        "cn=\ufffd", "dc=\u00e9", "\u212a=a",
    ],
)  # fmt: skip
def test_without_normal_form(text: str) -> None:
    refused(lambda: normalise_text(text, SCHEMA))
    refused(lambda: key(text))


def test_undefined_types_on_demand() -> None:
    dn = parse_dn("NoSuch=A+cn=B,1.2.3=x")
    assert normalise_dn(dn, SCHEMA, undefined=True) == (b"cn=b+nosuch=A", b"1.2.3=x")
    refused(lambda: normalise_rdn(parse_rdn("cn=a+cn=b"), SCHEMA, undefined=True))
    refused(lambda: normalise_rdn((), SCHEMA))


def test_types_without_equality_compare_by_octets() -> None:
    assert key("jpegPhoto=#0402FFD8") == (b"jpegphoto=\xff\xd8",)


HOSTILE = {
    "long value": "cn=" + "a" * 500_000,
    "many RDNs": ",".join(["cn=a"] * 20_000),
    "many pairs": "+".join(["cn=a"] * 20_000),
    "escapes": "cn=" + "\\41" * 100_000,
    "escaped commas": "cn=" + "\\," * 100_000,
    "spaces": "cn=" + " " * 500_000 + "a" + " " * 500_000,
    "escaped spaces": "cn=" + "\\ " * 100_000,
    "backslashes": "cn=" + "\\\\" * 100_000 + " ",
    "hex": "cn=#0483" + f"{400_000:06x}" + "61" * 400_000,
    "quoted": 'cn="' + "a," * 100_000 + '"',
    "open quote": 'cn="' + "\\\\" * 100_000,
    "quotes": 'cn="a"' * 100_000,
    "equals": "=" * 500_000,
    "commas": "," * 500_000,
    "semicolons": "cn=a;" * 20_000 + "cn=b",
    "pluses": "cn=a+b" * 20_000,
    "long oid": "1" + ".1" * 500_000 + "=a",
    "digits": "1" * 500_000 + "=a",
    "half escapes": "cn=" + "\\4" * 100_000,
    "type of spaces": " " * 500_000 + "=a",
    "umlauts": "cn=" + "\u00fc" * 500_000,
    "marks": "cn=a" + "\u0301\u0316" * 20_000,
    "spaced marks": "cn=a" + " \u0301" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_take_linear_time(name: str) -> None:
    """Each is parsed, split and normalised, or refused; quadratic work would take minutes."""
    text = HOSTILE[name]
    start = time.process_time()
    errors = []
    for work in (parse_dn, parse_rdn, split_first, lambda text: normalise_text(text, SCHEMA)):
        try:
            work(text)
        except LDAPError as error:
            errors.append(error)
    assert {error.code for error in errors} <= {ResultCode.INVALID_DN_SYNTAX}
    assert [error for error in errors if len(error.message) > 200] == []
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    "data", [b"", b"\x04", b"\x1f\x01\x00", b"\x04\x80", b"\x04\x85\0\0\0\0\0", b"\x04\x82\x01", b"\x04\x02a"]
)
def test_der_that_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="element"):
        read_der(data, 0)


def test_oids_in_der() -> None:
    assert decode_oid(bytes.fromhex("550403")) == "2.5.4.3"
    assert decode_oid(bytes.fromhex("2a864886f70d010901")) == "1.2.840.113549.1.9.1"
    assert decode_oid(bytes.fromhex("8837")) == "2.999"
    assert decode_oid(b"\x00") == "0.0"
    for wrong in (b"", b"\x80", b"\x55\x84"):
        with pytest.raises(ValueError, match="OBJECT IDENTIFIER"):
            decode_oid(wrong)


# OpenLDAP's parser agrees on these; on what it takes beyond RFC 4514 it need not.
COMMON = [
    "uid=u1,cn=d.example,o=example", "cn=a+sn=b,o=c", r"cn=a\,b\+c\"d\\e\<f\>g\;h,o=i", r"cn=\ a\ ,o=b",
    "cn= a , o = b ",
    r"cn=\41\C3\A9", "cn=a=b", "cn=a#b", r"cn=\#a", "cn=", 'cn="a, b",o=c', "cn=a;o=b", "2.5.4.3=a",
    "cn=Lučić",
    "cn=a\\", "cn=a,", ",cn=a", " ", "cn=a<b", 'cn=a"b', "cn=\\zz", "cn=#", "cn=#zz", "cn", "cn=a,,o=b",
    "cn=a\\ ",
]  # fmt: skip


@pytest.mark.parametrize("text", COMMON)
def test_as_openldap(text: str) -> None:
    ldap = require_ldap()
    try:
        theirs = [[(type_, value) for type_, value, _ in rdn] for rdn in ldap.dn.str2dn(text)]
    except ldap.DECODING_ERROR:
        refused(lambda: parse_dn(text))
        return
    assert [[(pair.type, pair.value.decode()) for pair in rdn] for rdn in parse_dn(text).rdns] == theirs
    again = ldap.dn.str2dn(str(parse_dn(text)))
    assert [[(type_, value) for type_, value, _ in rdn] for rdn in again] == theirs
