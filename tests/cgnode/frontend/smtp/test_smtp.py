"""Mail from other servers, over sockets: whom it is taken for, and what is kept of it."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import evolve

from cgnode import accounts
from cgnode.config import FrontendConfig, SmtpConfig
from cgnode.frontend.smtp.terms import Kind
from tests.cgnode.frontend.smtp.office import HOST, TEXT, Office, office

SENDER = "carol@elsewhere.example"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path) as opened:
        yield opened


def refused(client: smtplib.SMTP, recipient: str) -> tuple[int, bytes]:
    client.ehlo_or_helo_if_needed()
    client.mail(SENDER)
    code, text = client.rcpt(recipient)
    client.rset()
    return code, text


def test_a_message_is_kept_with_its_envelope(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(SENDER, ["alice@example.com", "bob@example.net"], TEXT)
    (id,) = plain.ids()
    shown = plain.queue.show(id)
    assert shown["sender"] == SENDER
    assert [one["address"] for one in shown["to"]] == ["alice@example.com", "bob@example.net"]
    assert plain.text().endswith(TEXT.encode())
    assert plain.arrivals == 1


def test_received_says_where_it_came_from(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(SENDER, "alice@example.com", TEXT)
    (field,) = message_from_bytes(plain.text()).get_all("Received", [])
    text = " ".join(field.split())
    (id,) = plain.ids()
    assert re.fullmatch(
        r"from client\.example\.org \(\[127\.0\.0\.1\]\) by mx\.example\.com \(cgnode\) with ESMTP "
        rf"id {id} \(session [0-9a-f]+\) for <alice@example\.com>; .* \+0000",
        text,
    )
    assert parsedate_to_datetime(text.rpartition("; ")[2]).tzinfo is not None
    assert len(plain.text().split(b"\r\n\r\n")[0].split(b"\r\nFrom:")) == 2


def test_other_recipients_are_not_told(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(SENDER, ["alice@example.com", "bob@example.com"], TEXT)
    assert b"for <" not in plain.text()


def test_a_message_from_a_server_is_not_completed(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(SENDER, "alice@example.com", "Subject: bare\r\n\r\nx\r\n")
    header = message_from_bytes(plain.text())
    assert header["Date"] is None
    assert header["Message-ID"] is None


@pytest.mark.parametrize(
    "address",
    [
        "alice@example.com",
        "ALICE@Example.COM",
        "al@example.com",
        "alice@example.net",
        "alice%example.net@example.com",
        f"alice%example.com@{HOST}",
        "all@example.com",
        "away@example.com",
        "home@example.com",
    ],
)
def test_recipients_that_are_taken(plain: Office, address: str) -> None:
    with plain.smtp() as client:
        assert refused(client, address) == (250, b"2.1.5 recipient ok")


@pytest.mark.parametrize(
    ("address", "code", "enhanced"),
    [
        ("nobody@example.com", 550, b"5.1.1"),
        ('"al ice"@example.com', 550, b"5.1.1"),
        ("alice@elsewhere.example", 550, b"5.7.1"),
        ("alice%elsewhere.example@example.com", 550, b"5.7.1"),
        (f"alice%elsewhere.example@{HOST}", 550, b"5.7.1"),
        ("Postmaster", 550, b"5.1.1"),
        ("alice@[127.0.0.1]", 550, b"5.7.1"),
    ],
)
def test_recipients_that_are_not(plain: Office, address: str, code: int, enhanced: bytes) -> None:
    with plain.smtp() as client:
        found, text = refused(client, address)
    assert (found, text[:5]) == (code, enhanced)
    assert plain.ids() == []


def test_the_postmaster_needs_no_domain(plain: Office) -> None:
    accounts.add_alias(plain.following.site, "postmaster@example.com", "bob@example.com")
    with plain.smtp() as client:
        client.sendmail(SENDER, "Postmaster", TEXT)
    shown = plain.queue.show(plain.ids()[0])
    assert [one["address"] for one in shown["to"]] == ["Postmaster@example.com"]


@pytest.mark.parametrize("host", [None, "be9"])
def test_without_a_usable_host_it_is_a_temporary_failure(plain: Office, host: str | None) -> None:
    plain.directory.modify("uid=alice,cn=example.com", replace={"hostServer": [] if host is None else [host]})
    with plain.smtp() as client:
        assert refused(client, "alice@example.com")[0] == 451
        assert refused(client, "bob@example.com")[0] == 250


def test_without_the_directory_it_is_a_temporary_failure(plain: Office) -> None:
    plain.following.reason = "older than a day"
    with plain.smtp() as client:
        for address in ("alice@example.com", "nobody@example.com", "x@elsewhere.example"):
            code, text = refused(client, address)
            assert (code, text[:5]) == (451, b"4.4.3")
        plain.following.reason = None
        assert refused(client, "alice@example.com")[0] == 250


def test_what_is_not_known_may_only_not_be_known_yet(plain: Office) -> None:
    plain.in_step = False
    with plain.smtp() as client:
        assert refused(client, "alice@example.com")[0] == 250
        for address in ("nobody@example.com", "nobody@newly-added.example"):
            assert refused(client, address)[0] == 451


def test_a_change_of_the_directory_is_seen(plain: Office) -> None:
    site = plain.following.site
    with plain.smtp() as client:
        assert refused(client, "dave@example.com")[0] == 550
        accounts.add_account(site, "dave@example.com")
        assert refused(client, "dave@example.com")[0] == 250
        accounts.remove_account(site, "dave@example.com")
        for _ in range(100):
            plain.call(lambda: None)
            if refused(client, "dave@example.com")[0] == 550:
                break
        else:
            pytest.fail("it is still taken")


def test_a_recipient_given_twice_is_one(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(SENDER, ["alice@example.com", "alice@example.com"], TEXT)
    assert len(plain.queue.show(plain.ids()[0])["to"]) == 1


def test_one_bad_recipient_of_two_does_not_fail_both(plain: Office) -> None:
    with plain.smtp() as client:
        bad = client.sendmail(SENDER, ["nobody@example.com", "alice@example.com"], TEXT)
    assert list(bad) == ["nobody@example.com"]
    assert len(plain.ids()) == 1


def test_helo_and_the_null_sender(plain: Office) -> None:
    with plain.plain() as wire:
        wire.reply()
        for line, code in [
            ("HELO [127.0.0.1]", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@example.com>", "250"),
            ("DATA", "354"),
            ("Subject: bounce\r\n\r\n.", "250"),
            ("QUIT", "221"),
        ]:
            assert wire.say(line).startswith(code)
    assert plain.queue.show(plain.ids()[0])["sender"] == ""
    assert (
        b"Received: from [127.0.0.1] ([127.0.0.1])\r\n\tby mx.example.com (cgnode) with SMTP\r\n"
        in plain.text()
    )


def test_chunks(plain: Office) -> None:
    with plain.plain() as wire:
        wire.hello()
        wire.say("MAIL FROM:<carol@elsewhere.example>")
        wire.say("RCPT TO:<alice@example.com>")
        wire.send(b"BDAT 12\r\nSubject: a\r\n")
        assert wire.reply().startswith("250")
        wire.send(b"BDAT 8 LAST\r\n\r\n.\r\nx\r\n")
        assert wire.reply().startswith("250 2.0.0 queued as ")
    assert plain.text().endswith(b"Subject: a\r\n\r\n.\r\nx\r\n")


def test_utf8(plain: Office) -> None:
    with plain.smtp() as client:
        client.ehlo()
        client.mail("jos\u00e9@elsewhere.example", ["SMTPUTF8"])
        client.rcpt("alice@example.com")
        code, _ = client.data("Subject: gr\u00fc\u00dfe\r\n\r\nx\r\n".encode())
        assert code == 250
        client.mail("jos\u00e9@elsewhere.example", ["SMTPUTF8"])
        assert client.docmd("RCPT", "TO:<jos\u00e9@example.com>".encode().decode("latin-1"))[0] != 250
    assert b"with UTF8SMTP\r\n" in plain.text()


def test_dsn_parameters_are_kept(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(
            SENDER,
            "alice@example.com",
            TEXT,
            mail_options=["RET=HDRS", "ENVID=42"],
            rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;a@b.example"],
        )
    shown = plain.queue.show(plain.ids()[0])
    assert (shown["ret"], shown["envid"]) == ("HDRS", "42")
    (to,) = shown["to"]
    assert (to["notify"], to["orcpt"]) == (["DELAY", "SUCCESS"], "rfc822;a@b.example")


# --- limits ------------------------------------------------------------------------------


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Office]:
    config = FrontendConfig(smtp=SmtpConfig(max_size=1000, max_recipients=2, max_errors=3, rate=2))
    with office(tmp_path, config) as opened:
        yield opened


def test_size(narrow: Office) -> None:
    with narrow.smtp() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "1000"
        assert client.mail(SENDER, ["SIZE=1001"])[0] == 552
        client.mail(SENDER)
        client.rcpt("alice@example.com")
        assert client.data("x" * 1001)[0] == 552
    assert narrow.ids() == []
    assert narrow.counters(Kind.SMTP).aborted == 1


def test_recipients(narrow: Office) -> None:
    with narrow.smtp() as client:
        refusals = client.sendmail(SENDER, ["alice@example.com", "bob@example.com", "al@example.com"], TEXT)
    assert {address: code for address, (code, _) in refusals.items()} == {"al@example.com": 452}
    assert len(narrow.queue.show(narrow.ids()[0])["to"]) == 2


def test_errors(narrow: Office) -> None:
    with narrow.plain() as wire:
        wire.hello()
        wire.say("MAIL FROM:<>")
        for _ in range(3):
            assert wire.say("RCPT TO:<nobody@example.com>").startswith("550")
        assert wire.say("RCPT TO:<nobody@example.com>").startswith("550")
        assert wire.reply().startswith("421")
        assert wire.reply() == ""


def test_rate(narrow: Office) -> None:
    with narrow.smtp() as client:
        for _ in range(2):
            client.sendmail(SENDER, "alice@example.com", TEXT)
        with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
            client.sendmail(SENDER, "alice@example.com", TEXT)
    assert refusal.value.smtp_code == 450
    assert narrow.counters(Kind.SMTP).rate_limited == 1


def test_time(tmp_path: Path) -> None:
    with office(tmp_path, FrontendConfig(smtp=SmtpConfig(timeout=0.2))) as opened, opened.plain() as wire:
        wire.hello()
        assert wire.reply().startswith("421 4.4.2")
        assert wire.reply() == ""
        assert opened.counters(Kind.SMTP).timeouts == 1


def test_hops(plain: Office) -> None:
    hop = "Received: from a by b; date\r\n"
    with plain.smtp() as client:
        client.sendmail(SENDER, "alice@example.com", hop * 50 + TEXT)
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail(SENDER, "alice@example.com", hop * 51 + TEXT)
    assert refusal.value.smtp_code == 554
    assert len(plain.ids()) == 1


# --- trusted proxies ---------------------------------------------------------------------


def test_a_trusted_proxy_speaks_for_another(tmp_path: Path) -> None:
    config = FrontendConfig(xclient_networks=(ip_network("127.0.0.0/8"),))
    with office(tmp_path, config) as opened, opened.plain() as wire:
        wire.hello()
        assert wire.say("XCLIENT ADDR=192.0.2.7 NAME=far.example.org").startswith("220 ")
        wire.say("EHLO far.example.org")
        wire.say("MAIL FROM:<carol@elsewhere.example>")
        assert wire.say("RCPT TO:<x@elsewhere.example>").startswith("550 5.7.1")
        wire.say("RCPT TO:<alice@example.com>")
        wire.say("DATA")
        assert wire.say("Subject: x\r\n\r\n.").startswith("250")
        assert opened.text().startswith(
            b"Received: from far.example.org (far.example.org [192.0.2.7])\r\n\tby mx.example.com"
        )
        assert opened.queue.show(opened.ids()[0])["client"] == "192.0.2.7"
        assert wire.say("XCLIENT LOGIN=alice@example.com").startswith("220 ")
        wire.say("EHLO far.example.org")
        wire.say("MAIL FROM:<alice@example.com>")
        assert wire.say("RCPT TO:<x@elsewhere.example>").startswith("250")


def test_nobody_else_does(plain: Office) -> None:
    with plain.plain() as wire:
        wire.hello()
        assert wire.say("XCLIENT ADDR=192.0.2.7").startswith("550")


def test_the_end_of_a_node_waits_for_nobody(tmp_path: Path) -> None:
    with office(tmp_path) as opened:
        with opened.plain() as wire:
            wire.hello()
            opened.call(opened.intake.stop)
            assert wire.reply().startswith("421 4.3.2")
            assert wire.reply() == ""


def test_numbers(plain: Office) -> None:
    with plain.smtp() as client:
        client.sendmail(SENDER, ["nobody@example.com", "alice@example.com"], TEXT)
    found = plain.counters(Kind.SMTP)
    assert evolve(found, octets=0, open=0) == evolve(
        found, octets=0, open=0, connections=1, messages=1, recipients=1, refused=1
    )
    assert found.octets == len(plain.text())
