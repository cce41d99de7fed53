"""What each syntax accepts (RFC 4517 section 3.3)."""

from __future__ import annotations

import time

import pytest

from ldapserver.schema import standard_schema
from ldapserver.schema.syntaxes import TESTS

SCHEMA = standard_schema()
SYNTAXES = {syntax.desc: syntax for syntax in SCHEMA.syntaxes}

CASES: dict[str, tuple[list[bytes], list[bytes]]] = {
    "Attribute Type Description": ([b"( 1.2 NAME 'a' SYNTAX 1.3 )"], [b"", b"( x )", b"( 1.2", b"\xff"]),
    "Audio": ([b"", b"\xff"], []),
    "Binary": ([b"", b"\xff"], []),
    "Bit String": ([b"''B", b"'0101'B"], [b"", b"0101", b"'2'B"]),
    "Boolean": ([b"TRUE", b"FALSE"], [b"", b"1", b"YES"]),
    "Certificate": ([b"\x30\x00", b"\x30\x03\x02\x01\x01"],
     [b"", b"x", b"\x30\x01", b"\x30\x00x", b"\x31\x00"]),
    "Country String": ([b"DE", b"us"], [b"", b"D", b"DEU", b"\xc3\xa9"]),
    "DN": ([b"", b"cn=a,o=b", b"nosuch=a"], [b"cn", b"cn=a,", b"\xff"]),
    "Delivery Method": ([b"any", b"mhs $ telephone", b"ia5$g3fax"], [b"", b"post", b"any $"]),
    "Directory String": ([b"a", b" ", "é".encode()], [b"", b"\xff", b"\xed\xa0\x80"]),
    "DIT Content Rule Description": ([b"( 2.5.6.4 DESC 'x' NOT ( a $ b ) )"], [b"( NOT x )"]),
    "DIT Structure Rule Description": ([b"( 2 NAME 'x' FORM f SUP 1 )", b"( 0 FORM f )"],
     [b"( 1.2 FORM f )"]),
    "Enhanced Guide": ([b"person#(sn$EQ)#oneLevel"], [b""]),
    "Facsimile Telephone Number": ([b"+1 234", b"+1$fineResolution$b4Width"],
     [b"", b"+1$", b"$b4Width", b"+1$x"]),
    "Fax": ([b"\x00"], []),
    "Generalized Time": ([b"199412161032Z", b"1994121610.5+01"], [b"", b"19941216103200", b"1994121632Z"]),
    "Guide": ([b"person#sn$EQ"], [b""]),
    "IA5 String": ([b"", b"a", b"\x00\x7f"], [b"\x80", "é".encode()]),
    "INTEGER": ([b"0", b"-1", b"12345678901234567890"], [b"", b"1.0", b"00", b"a"]),
    "JPEG": ([b"\xff\xd8"], []),
    "Matching Rule Description": ([b"( 2.5.13.2 NAME 'x' SYNTAX 1.2 )"], [b"x"]),
    "Matching Rule Use Description": ([b"( 2.5.13.16 APPLIES ( givenName $ surname ) )"],
     [b"( 2.5.13.16 MAY a )"]),
    "Name And Optional UID": ([b"cn=a", b"cn=a#'01'B", b""], [b"cn#'01'B", b"#x", b"cn"]),
    "Name Form Description": ([b"( 2.5.15.3 NAME 'orgNameForm' OC organization MUST o )"], [b"( OC x )"]),
    "Numeric String": ([b"1 2", b" "], [b"", b"1a", b"1-2"]),
    "Object Class Description": ([b"( 2.5.6.2 NAME 'country' SUP top STRUCTURAL MUST c )"], [b"( )"]),
    "OID": ([b"1.2.3", b"cn", b"x-a_b"], [b"", b"1", b"1.2.", b"-a", b"a b", b"1.02"]),
    "Octet String": ([b"", b"\xff"], []),
    "Other Mailbox": ([b"smtp$a@b.c"], [b"", b"smtp", b"$a"]),
    "Postal Address": ([b"1 Main St.$City", b"a$$b", b"\\24\\5c\\5C"], [b"", b"a\\b", b"\xff", b"\\2"]),
    "Printable String": ([b"A b'()+,-./:=?1"], [b"", b"a@b", b"a*", b"\xc3\xa9"]),
    "Subtree Specification": ([b"{ }", b"{ minimum 1 }"], [b"", b"x"]),
    "Telephone Number": ([b"+49 (89) 12-34", b"1"], [b"", b"#1", b"\xff"]),
    "Teletex Terminal Identifier": ([b"a", b"a$graphic:x$misc:\\24"], [b"", b"a$x:y"]),
    "Telex Number": ([b"1$de$x"], [b"", b"1$de", b"1$$x"]),
    "UTC Time": ([b"9412161032Z", b"941216103200+0100"], [b"", b"94"]),
    "LDAP Syntax Description": ([b"( 1.2.3 DESC 'x' X-A 'b' )"], [b"( 1.2.3 NAME 'x' )"]),
    "Substring Assertion": ([b"a*", b"*a*b*", b"a*b"], [b"a", b""]),
    "UUID": ([b"597ae2f6-16a6-1027-98f4-d28b5365dc14"], [b"", b"597ae2f6-16a6-1027-98f4-d28b5365dc1"]),
    "NIS netgroup triple": ([b"(host,user,domain)", b"(,,)"], [b"", b"(a,b)", b"(a,b,c,d)"]),
    "Boot parameter": ([b"root=fs:/nfs"], [b"", b"root", b"=a:b"]),
    "CSN": ([b"20240102030405.123456Z#000000#001#000000"], [b"", b"20240102"]),
    "X.509 Certificate Exact Assertion": ([b'{ serialNumber 1, issuer rdnSequence:"cn=a" }'], [b""]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_syntax(name: str) -> None:
    good, bad = CASES[name]
    validate = SYNTAXES[name].validate
    assert [value for value in good if not validate(value)] == []
    assert [value for value in bad if validate(value)] == []


def test_every_syntax_is_defined_and_tested() -> None:
    assert {syntax.oid for syntax in SCHEMA.syntaxes} == set(TESTS)
    assert set(CASES) >= set(SYNTAXES) - {"Certificate List", "Certificate Pair", "Supported Algorithm"}


def test_hostile_values_take_linear_time() -> None:
    """Most tests see each value for milliseconds; quadratic work would take minutes."""
    hostile = [
        *(unit * (200_000 // len(unit)) for unit in (b"a", b" ", b"$", b"\\", b"(", b"'", b"1", b".", b"a=",
         b",", b"*")),
        b"(" + b"," * 200_000, b"a$" * 100_000, b"1.2" * 60_000, b"any$" * 50_000 + b"x",
        b"( 1.2 " + b"( " * 90_000,
        b"( 1.2 NAME '" + b"a" * 200_000, b"=:" * 100_000, b"a$graphic:" + b"\\24" * 60_000 + b"\\",
    ]  # fmt: skip
    start = time.process_time()
    for syntax in SCHEMA.syntaxes:
        for value in hostile:
            syntax.validate(value)
    assert time.process_time() - start < 5
