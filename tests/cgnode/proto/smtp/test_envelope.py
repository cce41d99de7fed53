"""Parameters of MAIL and RCPT, both ways."""

from __future__ import annotations

import pytest

from cgnode.proto.smtp.envelope import (
    BadParameter,
    Body,
    MailParameters,
    Notify,
    OriginalRecipient,
    RecipientParameters,
    Return,
    decode_unitext,
    decode_xtext,
    encode_unitext,
    encode_xtext,
    format_mail_parameters,
    format_recipient_parameters,
    parse_mail_parameters,
    parse_recipient_parameters,
)

MAIL = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"})
RCPT = frozenset({"NOTIFY", "ORCPT"})
ALL = ("SIZE", "8BITMIME", "SMTPUTF8", "DSN")


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", MailParameters()),
        (" SIZE=0", MailParameters(size=0)),
        (" SIZE=10240000 BODY=8BITMIME", MailParameters(size=10240000, body=Body.EIGHT_BIT)),
        (" BODY=7BIT SMTPUTF8", MailParameters(body=Body.SEVEN_BIT, utf8=True)),
        (" RET=FULL ENVID=QQ+2B+3D+20x", MailParameters(ret=Return.FULL, envid="QQ+= x")),
        (" RET=HDRS", MailParameters(ret=Return.HEADERS)),
    ],
)
def test_mail_both_ways(text: str, parameters: MailParameters) -> None:
    assert parse_mail_parameters(text, MAIL) == parameters
    assert format_mail_parameters(parameters, ALL) == text
    assert format_mail_parameters(parameters, ()) == ""


def test_mail_one_way() -> None:
    assert parse_mail_parameters("  size=1   body=8bitmime ret=hdrs ", MAIL) == MailParameters(
        size=1, body=Body.EIGHT_BIT, ret=Return.HEADERS
    )
    assert parse_mail_parameters(" AUTH=<>", MAIL) == MailParameters(auth="<>")
    assert parse_mail_parameters(" AUTH=a+40b", MAIL) == MailParameters(auth="a@b")
    assert format_mail_parameters(MailParameters(auth="a@b"), ("AUTH", *ALL)) == ""


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (" SIZE", False),
        (" SIZE=", False),
        (" SIZE=x", False),
        (" SIZE=-1", False),
        (" SIZE=" + "1" * 21, False),
        (" SIZE=1 SIZE=1", False),
        (" BODY=BINARYMIME", False),
        (" SMTPUTF8=1", False),
        (" RET=", False),
        (" RET=BODY", False),
        (" ENVID=" + "x" * 101, False),
        (" ENVID=+0D+0A", False),
        (" ENVID=+C3+A4", False),
        (" ENVID=+2b", False),
        (" ENVID=a=b", False),
        (" AUTH=", False),
        (" =1", False),
        (" \x00=1", False),
        (" FUTURERELEASE=1", True),
        (" NOTIFY=NEVER", True),
    ],
)
def test_bad_mail(text: str, unknown: bool) -> None:
    with pytest.raises(BadParameter) as bad:
        parse_mail_parameters(text, MAIL)
    assert bad.value.unknown is unknown


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", RecipientParameters()),
        (" NOTIFY=NEVER", RecipientParameters(frozenset({Notify.NEVER}))),
        (" NOTIFY=DELAY,FAILURE", RecipientParameters(frozenset({Notify.DELAY, Notify.FAILURE}))),
        (" ORCPT=rfc822;a+2Bb@x", RecipientParameters(orcpt=OriginalRecipient("rfc822", "a+b@x"))),
        (" ORCPT=x.400;+20", RecipientParameters(orcpt=OriginalRecipient("x.400", " "))),
        (" ORCPT=utf-8;k\\x{E4}the@x", RecipientParameters(orcpt=OriginalRecipient("utf-8", "käthe@x"))),
    ],
)
def test_recipients_both_ways(text: str, parameters: RecipientParameters) -> None:
    assert parse_recipient_parameters(text, RCPT) == parameters
    assert format_recipient_parameters(parameters, ALL) == text
    assert format_recipient_parameters(parameters, ()) == ""


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (" NOTIFY=", False),
        (" NOTIFY=ALWAYS", False),
        (" NOTIFY=NEVER,DELAY", False),
        (" NOTIFY=DELAY,DELAY", False),
        (" NOTIFY=DELAY,", False),
        (" ORCPT=a@x", False),
        (" ORCPT=;a@x", False),
        (" ORCPT=rfc822;", False),
        (" ORCPT=rfc822;+0A", False),
        (" ORCPT=rfc822;ä", False),
        (" ORCPT=utf-8;\\x{A}", False),
        (" ORCPT=utf-8;\\x{0A}", False),
        (" ORCPT=utf-8;\\x{FFFFFF}", False),
        (" ORCPT=utf-8;\\x{D800}", False),
        (" ORCPT=utf-8;a\\b", False),
        (" ORCPT=rfc822;" + "x" * 500, False),
        (" ORCPT=rf(822;x", False),
        (" SIZE=1", True),
    ],
)
def test_bad_recipients(text: str, unknown: bool) -> None:
    with pytest.raises(BadParameter) as bad:
        parse_recipient_parameters(text, RCPT)
    assert bad.value.unknown is unknown


def test_utf8_where_it_may_be() -> None:
    parameters = RecipientParameters(orcpt=OriginalRecipient("utf-8", "käthe+x@exämple"))
    assert format_recipient_parameters(parameters, ALL, utf8=True) == " ORCPT=utf-8;käthe\\x{2B}x@exämple"
    assert parse_recipient_parameters(" ORCPT=UTF-8;käthe+x@exämple", RCPT) == parameters


def test_xtext() -> None:
    assert encode_xtext("a+b=c d~ä") == "a+2Bb+3Dc+20d~+C3+A4"
    assert decode_xtext("a+2Bb+3Dc+20d~") == "a+b=c d~"
    for text in ("a b", "a=b", "+", "+2", "+2b", "ä", "+7F"):
        with pytest.raises(ValueError, match="not"):
            decode_xtext(text)


@pytest.mark.parametrize("text", ["a", "ä+=\\ \U0001f4e7", "\u0085".join("ab").replace("\u0085", "é")])
def test_unitext(text: str) -> None:
    for utf8 in (True, False):
        encoded = encode_unitext(text, utf8)
        assert utf8 or encoded.isascii()
        assert decode_unitext(encoded) == text
