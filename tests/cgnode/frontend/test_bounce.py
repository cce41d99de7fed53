from __future__ import annotations

import email.policy
from email import message_from_bytes
from email.message import EmailMessage
from random import Random
from typing import Any

import pytest
from attrs import evolve

from cgnode.frontend.bounce import Action, Fate, Original, Report, Reporter, reports, wanted
from cgnode.frontend.queue.values import Reason
from cgnode.proto.smtp.address import Address, parse_address
from cgnode.proto.smtp.envelope import (
    Body,
    Mail,
    MailParameters,
    Notify,
    OriginalRecipient,
    Recipient,
    RecipientParameters,
    Return,
)
from cgnode.proto.smtp.reply import Reply
from tests.cgnode.frontend.world import BUSY, GONE, REFUSED, recipient

TEXT = b"Received: by x\r\nFrom: a@here.example\r\nSubject: hello\r\n\r\nThe body.\r\n"
REPORTER = Reporter("fe1.example", full=2000)
NEVER, SUCCESS, FAILURE, DELAY = (
    RecipientParameters(frozenset({one}))
    for one in (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
)


def original(
    *fates: Fate, sender: str = "a@here.example", size: int = len(TEXT), **parameters: Any
) -> Original:
    mail = Mail(parse_address(sender) if sender else None, evolve(MailParameters(), **parameters))
    return Original("1f00", mail, 1_700_000_000.0, size, fates)


def failed(address: str = "u@be1.example", parameters: RecipientParameters | None = None) -> Fate:
    return Fate(recipient(address, parameters), Action.FAILED, GONE)


def told(subject: Original, text: bytes = TEXT) -> list[Report]:
    return list(reports(subject, lambda octets: text[:octets], REPORTER, 1_700_000_100.0, Random(1)))


def parsed(report: Report) -> EmailMessage:
    assert b"\n" not in report.content.replace(b"\r\n", b"")
    message = message_from_bytes(report.content, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
    return message


def parts(report: Report) -> list[EmailMessage]:
    message = parsed(report)
    assert message.get_content_type() == "multipart/report"
    return [part for part in message.iter_parts() if isinstance(part, EmailMessage)]


def blocks(report: Report) -> list[EmailMessage]:
    """The fields about the message, then those about each recipient."""
    return [block for block in parts(report)[1].get_payload() if isinstance(block, EmailMessage)]


# --- form ------------------------------------------------------------------------------


def test_a_failure() -> None:
    [report] = told(original(failed()))
    assert report.mail == Mail(None, MailParameters())
    assert report.recipient == Recipient(parse_address("a@here.example"), NEVER)
    message = parsed(report)
    assert message["To"] == "a@here.example"
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@fe1.example>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["MIME-Version"] == "1.0"
    assert message["Date"] == "Tue, 14 Nov 2023 22:15:00 -0000"
    assert message["Message-ID"].startswith("<1f00.")
    assert message.get_param("report-type") == "delivery-status"
    words, status, returned = parts(report)
    assert "u@be1.example" in words.get_content()
    assert "be1 said: 550 5.1.1 no such user" in words.get_content()
    about, about_recipient = blocks(report)
    assert dict(about.items()) == {
        "Reporting-MTA": "dns; fe1.example",
        "X-Queue-Id": "1f00",
        "Arrival-Date": "Tue, 14 Nov 2023 22:13:20 -0000",
    }
    assert dict(about_recipient.items()) == {
        "Final-Recipient": "rfc822; u@be1.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; be1",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
    }
    assert status.get_content_type() == "message/delivery-status"
    assert returned.get_content_type() == "message/rfc822"
    assert TEXT in report.content


def test_our_own_reasons_are_not_put_into_others_mouths() -> None:
    [report] = told(
        original(Fate(recipient("u@be1.example"), Action.FAILED, Reason(Reply(550, "5.1.1", "unknown"))))
    )
    fields = blocks(report)[1]
    assert "Remote-MTA" not in fields
    assert fields["Diagnostic-Code"] == "x-cgnode; 550 5.1.1 unknown"


def test_one_report_for_many() -> None:
    [report] = told(original(*(failed(f"u{n}@be1.example") for n in range(50))))
    assert len(blocks(report)) == 51


def test_each_kind_of_news_is_a_report_of_its_own() -> None:
    fates = (
        failed(),
        Fate(recipient("d@be1.example"), Action.DELAYED, BUSY, until=1_700_400_000.0),
        Fate(recipient("s@be1.example", SUCCESS), Action.DELIVERED),
        Fate(recipient("r@be1.example", SUCCESS), Action.RELAYED),
    )
    failure, delay, success = told(original(*fates))
    assert [block["Action"] for block in blocks(failure)[1:]] == ["failed"]
    [fields] = blocks(delay)[1:]
    assert (fields["Action"], fields["Status"]) == ("delayed", "4.2.1")
    assert fields["Will-Retry-Until"] == "Sun, 19 Nov 2023 13:20:00 -0000"
    assert "still being tried" in parts(delay)[0].get_content()
    assert [block["Action"] for block in blocks(success)[1:]] == ["delivered", "relayed"]
    assert {block["Status"] for block in blocks(success)[1:]} == {"2.0.0"}
    tokens = {parsed(report)["Message-ID"] for report in (failure, delay, success)}
    assert len(tokens) == 3


def test_who_gave_up_says_so() -> None:
    [report] = told(original(Fate(recipient("u@be1.example"), Action.FAILED, BUSY)))
    fields = blocks(report)[1]
    assert (fields["Action"], fields["Status"]) == ("failed", "4.4.7")
    assert fields["Diagnostic-Code"] == "smtp; 450 4.2.1 mailbox busy"
    assert "tried for as long as" in parts(report)[0].get_content()


@pytest.mark.parametrize(
    ("enhanced", "status"), [("", "5.0.0"), ("4.1.1", "5.0.0"), ("5.7.1", "5.7.1"), ("5.x", "5.0.0")]
)
def test_status(enhanced: str, status: str) -> None:
    [report] = told(
        original(Fate(recipient("u@be1.example"), Action.FAILED, Reason(Reply(550, enhanced, "no"), "be1")))
    )
    assert blocks(report)[1]["Status"] == status


# --- RFC 3461 --------------------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("parameters", [RecipientParameters(), NEVER, SUCCESS, FAILURE, DELAY])
def test_notify(action: Action, parameters: RecipientParameters) -> None:
    expected = {
        Action.FAILED: (RecipientParameters(), FAILURE),
        Action.DELAYED: (RecipientParameters(), DELAY),
        Action.DELIVERED: (SUCCESS,),
        Action.RELAYED: (SUCCESS,),
        Action.EXPANDED: (SUCCESS,),
    }
    fate = Fate(recipient("u@be1.example", parameters), action, BUSY)
    assert wanted(parse_address("a@here.example"), fate) == (parameters in expected[action])
    assert bool(told(original(fate))) == (parameters in expected[action])
    assert not wanted(None, fate)


def test_nothing_is_told_to_nobody() -> None:
    assert not told(original(failed(), sender=""))


def test_a_report_leads_to_no_other() -> None:
    [report] = told(original(failed()))
    fate = Fate(report.recipient, Action.FAILED, GONE)
    assert not told(Original("1f01", report.mail, 0, len(report.content), (fate,)), report.content)


def test_envid_and_orcpt_come_back() -> None:
    parameters = RecipientParameters(orcpt=OriginalRecipient("rfc822", "first@here.example"))
    [report] = told(original(failed(parameters=parameters), envid="QQ314159"))
    about, fields = blocks(report)
    assert about["Original-Envelope-Id"] == "QQ314159"
    assert fields["Original-Recipient"] == "rfc822; first@here.example"
    assert "(sent to <first@here.example>)" in parts(report)[0].get_content()


@pytest.mark.parametrize(
    ("ret", "size", "kind"),
    [
        (None, 500, "message/rfc822"),
        (None, 5000, "text/rfc822-headers"),
        (Return.FULL, 500, "message/rfc822"),
        (Return.FULL, 5000, "text/rfc822-headers"),
        (Return.HEADERS, 500, "text/rfc822-headers"),
    ],
)
def test_how_much_comes_back(ret: Return | None, size: int, kind: str) -> None:
    text = TEXT + b"x" * (size - len(TEXT) - 2) + b"\r\n"
    [report] = told(original(failed(), size=size, ret=ret), text)
    returned = parts(report)[2]
    assert returned.get_content_type() == kind
    assert b"Subject: hello\r\n" in report.content
    assert (b"The body." in report.content) == (kind == "message/rfc822")


@pytest.mark.parametrize("action", [Action.DELAYED, Action.DELIVERED])
def test_only_failures_bring_a_body_back(action: Action) -> None:
    everything = RecipientParameters(frozenset({Notify.DELAY, Notify.SUCCESS}))
    [report] = told(original(Fate(recipient("u@be1.example", everything), action), ret=Return.FULL))
    assert parts(report)[2].get_content_type() == "text/rfc822-headers"


def test_a_header_without_end_is_cut_at_a_line() -> None:
    text = b"X-Long: yes\r\n" * 10_000
    [report] = told(original(failed(), size=len(text)), text)
    lines = report.content.split(b"\r\n")
    assert lines.count(b"X-Long: yes") > 5000
    assert {line for line in lines if line.startswith(b"X")} == {b"X-Long: yes", b"X-Queue-Id: 1f00"}


# --- what others have said -------------------------------------------------------------


def test_nobody_writes_fields_of_ours() -> None:
    evil = "x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; evil@example\n"
    parameters = RecipientParameters(orcpt=OriginalRecipient("rfc822", evil))
    fate = Fate(
        Recipient(Address(evil, "be1.example"), parameters),
        Action.FAILED,
        Reason(Reply(550, "5.1.1", evil), evil),
    )
    [report] = told(original(fate, envid=evil))
    listed = blocks(report)
    assert len(listed) == 2
    assert [fields.get_all("Action") for fields in listed] == [None, ["failed"]]


def test_what_comes_back_is_as_it_was() -> None:
    """However broken: it is not taken apart."""
    for text in (
        b"\r\n\r\n",
        b"no header at all",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b--\r\n--b\r\n",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff\xfe\r\n",
        b"Subject: \xff\xfe \xe2\x82\xac\r\n\r\n8 bit \xe4\r\n",
        b"From x\r\n\r\nFrom y\r\n.\r\n",
        bytes(range(256)),
    ):
        [report] = told(original(failed(), size=len(text)), text)
        assert text in report.content
        eight_bit = not text.isascii()
        assert (report.mail.parameters.body is Body.EIGHT_BIT) == eight_bit
        message = message_from_bytes(report.content, policy=email.policy.SMTP)
        assert (message["Content-Transfer-Encoding"] == "8bit") == eight_bit


def test_long_words_are_cut() -> None:
    [report] = told(
        original(Fate(recipient("u@be1.example"), Action.FAILED, Reason(Reply(550, "", "x" * 9999), "be1")))
    )
    assert max(map(len, report.content.split(b"\r\n"))) < 998


def test_beyond_ascii_with_a_sender_who_knows_it() -> None:
    text = "Subject: Grüße\r\n\r\nhallo\r\n".encode()
    fate = Fate(
        recipient("jörg@bücher.example"),
        Action.FAILED,
        Reason(Reply(550, "5.1.1", "kennt keiner: jörg"), "be1"),
    )
    [report] = told(original(fate, sender="änne@here.example", utf8=True, size=len(text)), text)
    assert report.mail.parameters == MailParameters(body=Body.EIGHT_BIT, utf8=True)
    message = parsed(report)
    assert message["To"] == "änne@here.example"
    assert message.get_param("report-type") == "global-delivery-status"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/global-delivery-status", "message/global"]
    content = report.content.decode()
    assert "Final-Recipient: utf-8; jörg@bücher.example\r\n" in content
    assert "Diagnostic-Code: smtp; 550 5.1.1 kennt keiner: jörg\r\n" in content
    assert "jörg" in parts(report)[0].get_content()


def test_beyond_ascii_with_one_who_may_not() -> None:
    [report] = told(
        original(Fate(recipient("u@be1.example"), Action.FAILED, Reason(Reply(550, "", "jörg"), "be1")))
    )
    assert report.content.isascii()
    assert blocks(report)[1]["Diagnostic-Code"] == "smtp; 550 j?rg"


def test_a_fate_may_have_no_reason() -> None:
    [report] = told(original(Fate(recipient("u@be1.example"), Action.DELAYED, None, 1.7e9)))
    assert "not known why" in parts(report)[0].get_content()
    [report] = told(original(Fate(recipient("u@be1.example"), Action.FAILED, REFUSED)))
    assert blocks(report)[1]["Status"] == "4.4.7"
