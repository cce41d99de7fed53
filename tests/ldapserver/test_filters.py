"""RFC 4515: examples of its section 4, what ldapsearch takes, and what is refused."""

from __future__ import annotations

import contextlib
import time

import pytest

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

CN = Equality("cn", b"x")

SPELLED: list[tuple[str, Filter]] = [
    # RFC 4515 section 4
    ("(cn=Babs Jensen)", Equality("cn", b"Babs Jensen")),
    ("(!(cn=Tim Howes))", Not(Equality("cn", b"Tim Howes"))),
    (
        "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
        And(
            (
                Equality("objectClass", b"Person"),
                Or((Equality("sn", b"Jensen"), Substrings("cn", b"Babs J", (), None))),
            )
        ),
    ),
    ("(o=univ*of*mich*)", Substrings("o", b"univ", (b"of", b"mich"), None)),
    ("(seeAlso=)", Equality("seeAlso", b"")),
    ("(cn:caseExactMatch:=Fred Flintstone)", Extensible("caseExactMatch", "cn", b"Fred Flintstone", False)),
    ("(cn:=Betty Rubble)", Extensible(None, "cn", b"Betty Rubble", False)),
    ("(sn:dn:2.4.6.8.10:=Barney)", Extensible("2.4.6.8.10", "sn", b"Barney", True)),
    ("(o:dn:=Ace Industry)", Extensible(None, "o", b"Ace Industry", True)),
    ("(:1.2.3:=Wilma)", Extensible("1.2.3", None, b"Wilma", False)),
    ("(:DN:2.4.6.8.10:=Dino)", Extensible("2.4.6.8.10", None, b"Dino", True)),
    (
        r"(o=Parens R Us \28for all your parenthetical needs\29)",
        Equality("o", b"Parens R Us (for all your parenthetical needs)"),
    ),
    (r"(cn=*\2A*)", Substrings("cn", None, (b"*",), None)),
    (r"(filename=C:\5cMyFile)", Equality("filename", b"C:\\MyFile")),
    (r"(bin=\00\00\00\04)", Equality("bin", b"\0\0\0\4")),
    (r"(sn=Lu\c4\8di\c4\87)", Equality("sn", "Lučić".encode())),
    (r"(1.3.6.1.4.1.1466.0=\04\02\48\69)", Equality("1.3.6.1.4.1.1466.0", b"\4\2Hi")),
    # the rest of the grammar
    ("(sn=Lučić)", Equality("sn", "Lučić".encode())),
    ("(&)", And(())),
    ("(|)", Or(())),
    ("(&(&)(|))", And((And(()), Or(())))),
    ("(uidNumber>=1000)", GreaterOrEqual("uidNumber", b"1000")),
    ("(uidNumber<=1000)", LessOrEqual("uidNumber", b"1000")),
    ("(cn~=babs)", Approx("cn", b"babs")),
    ("(mail=*)", Present("mail")),
    ("(cn;lang-de=x)", Equality("cn;lang-de", b"x")),
    ("(cn=*a)", Substrings("cn", None, (), b"a")),
    ("(cn=a*b)", Substrings("cn", b"a", (), b"b")),
    ("(cn=a*b*c)", Substrings("cn", b"a", (b"b",), b"c")),
    ("(cn=a=b=c)", Equality("cn", b"a=b=c")),
    ("(cn=a:=c)", Equality("cn", b"a:=c")),
    ("(cn:=a:b)", Extensible(None, "cn", b"a:b", False)),
    ("(cn=&|!)", Equality("cn", b"&|!")),
    ("(cn= spaced )", Equality("cn", b" spaced ")),
    (r"(cn=\ff\fe)", Equality("cn", b"\xff\xfe")),
    ("(cn=\n)", Equality("cn", b"\n")),
    # doubled stars say nothing more than one
    ("(cn=**)", Present("cn")),
    ("(cn=a**b)", Substrings("cn", b"a", (), b"b")),
    # what ldapsearch takes
    ("cn=x", CN),
    ("cn=*", Present("cn")),
    ("&(cn=x)(cn=x)", And((CN, CN))),
    ("!(cn=x)", Not(CN)),
    ("  (cn=x)  ", CN),
    ("( & (cn=x) ( | (cn=x) ) )", And((CN, Or((CN,))))),
    ("(\n  &\n\t(cn=x)\n)", And((CN,))),
    ("( cn =x)", CN),
    (r"(cn=\(a\))", Equality("cn", b"(a)")),
    (r"(cn=a\*b)", Equality("cn", b"a*b")),
    (r"(cn=a\\b)", Equality("cn", b"a\\b")),
    (r"(cn=a\\*)", Substrings("cn", b"a\\", (), None)),
]


@pytest.mark.parametrize(("text", "filter"), SPELLED)
def test_parse(text: str, filter: Filter) -> None:
    assert parse_filter(text) == filter


@pytest.mark.parametrize(("text", "filter"), SPELLED)
def test_format_and_back(text: str, filter: Filter) -> None:
    assert parse_filter(format_filter(filter)) == filter


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "attribute=value' expected at character 1"),
        ("()", "expected at character 2"),
        ("(cn)", "'attribute=value' expected at character 2"),
        ("cn", "'attribute=value' expected at character 1"),
        ("((cn=x))", "'attribute=value' expected at character 2"),
        ("(", "'attribute=value' expected at character 2"),
        ("(cn=x", "')' expected at character 6"),
        ("(&(cn=x)", "'(' or ')' expected at character 9"),
        ("(cn=x))", "nothing more expected at character 7"),
        ("(cn=x)(cn=y)", "nothing more expected at character 7"),
        ("(=x)", "attribute description expected"),
        ("(c n=x)", "attribute description expected at character 2"),
        ("(cn;=x)", "attribute description expected"),
        ("(1..2=x)", "attribute description expected"),
        ("(&cn=x)", "'(' or ')' expected at character 3"),
        ("(!)", "'!' takes one filter at character 2"),
        ("(!(cn=x)(cn=y))", "'!' takes one filter at character 2"),
        ("(cn=a(b)c)", "written \\28, here at character 6"),
        ("(cn>=a*)", "written \\2a, here at character 7"),
        ("(cn~=*)", "written \\2a, here"),
        ("(cn:=*)", "written \\2a, here"),
        (r"(cn=a\zz)", "two hexadecimal digits expected after the backslash at character 6"),
        (r"(cn=*\4*)", "two hexadecimal digits expected"),
        (r"(cn=\)", "')' expected"),
        ("(cn=\\", "')' expected"),
        ("cn=\\", "')' expected"),
        ("(:=x)", "attribute description or matching rule expected"),
        ("(:dn:=x)", "attribute description or matching rule expected"),
        ("(cn:a:b:=x)", "matching rule expected"),
        ("(cn::=x)", "matching rule expected"),
        ("(cn=\udcff)", "no UTF-8 at character 5"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(LDAPError) as caught:
        parse_filter(text)
    assert caught.value.code is ResultCode.PROTOCOL_ERROR
    assert reason in caught.value.message


def test_depth() -> None:
    def nested(levels: int) -> str:
        return "(!" * levels + "(cn=x)" + ")" * levels

    parse_filter(nested(100))
    with pytest.raises(LDAPError, match="nested deeper than 100 at character 201"):
        parse_filter(nested(101))
    with pytest.raises(LDAPError, match="nested deeper than 0"):
        parse_filter("(&)", depth=0)
    assert parse_filter("(cn=x)", depth=0) == CN


def test_deep_filters_need_no_stack() -> None:
    text = "(&" * 10_000 + ")" * 10_000
    assert format_filter(parse_filter(text, depth=10_000)) == text


@pytest.mark.parametrize(
    "text",
    [
        "(|" + "(cn=x)" * 20_000 + ")",
        "(cn=" + "*a" * 50_000 + ")",
        "(cn=" + "*" * 100_000 + ")",
        "(cn=" + r"\2a" * 30_000 + ")",
        "(" * 100_000,
        "(cn=" + "\\" * 100_001,
        "(cn" + ":" * 100_000 + "=x)",
    ],
)
def test_long_filters_take_linear_time(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(LDAPError):
        parse_filter(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain text", "plain text"),
        (b"a*b(c)d\\e\0f", r"a\2ab\28c\29d\5ce\00f"),
        ("Lučić".encode(), "Lučić"),
        ("Lučić*".encode(), r"Lučić\2a"),
        (b"\xff(a)", r"\ff\28a\29"),
        ("a\nb\u2028".encode(), r"a\0ab\e2\80\a8"),
        (b"", ""),
    ],
)
def test_escape(value: bytes, text: str) -> None:
    assert escape(value) == text
    assert parse_filter(f"(cn={text})") == Equality("cn", value)


def test_format_is_fit_for_a_log_whatever_a_client_sent() -> None:
    assert format_filter(Equality("c\nn)", b"x")) == r"(c\0an\29=x)"


def test_escape_agrees_with_python_ldap() -> None:
    ldap_filter = pytest.importorskip("ldap.filter")
    for text in ("plain", "a*b(c)d\\e\0f", "Lučić"):
        assert escape(text.encode()) == ldap_filter.escape_filter_chars(text)
