"""A whole site in one process: mail comes in by SMTP and is read by IMAP and POP3, by the clients
of the standard library and IMAPClient, and looked after with cgctl."""

from __future__ import annotations

import imaplib
import json
import poplib
import signal
import smtplib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path

import pytest
from imapclient import IMAPClient

from tests.node.site import (
    PASSWORD,
    PATIENCE,
    SENDER,
    SiteNode,
    is_ended,
    message,
    one_node,
    texts,
    trusting,
    until,
)

ALICE, BOB = "alice@example.com", "bob@example.com"
QUOTA = 200_000
UNREACHED = "carol@far.test"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteNode]:
    settings = {
        "backend": {"quota": QUOTA},
        # What goes elsewhere waits, since nobody listens there.
        "frontend": {
            "queue": {"minimum_delay": "100 ms", "maximum_delay": "1 s"},
            "smtp": {"smart_host": "127.0.0.1:9"},
            "login": {"failure_delay": "100 ms"},
        },
    }
    with one_node(tmp_path_factory.mktemp("site"), tls=True, **settings) as node:
        for address in (ALICE, BOB):
            node.add_account(address)
        node.cgctl("alias", "add", "al@example.com", ALICE)
        node.cgctl("forwarder", "add", "home@example.com", BOB)
        node.cgctl("group", "add", "all@example.com", ALICE, BOB)
        yield node


def authority(site: SiteNode) -> Path:
    assert site.tls is not None
    return site.tls.certificate.with_name("ca.pem")


# --- mail comes in -------------------------------------------------------------------------


def test_by_smtp_to_imap_and_pop3(site: SiteNode) -> None:
    sent = site.deliver(ALICE, subject="by smtp")
    text = site.received(ALICE, sent)
    assert b"Subject: by smtp\r\n" in text
    assert text.startswith(b"Return-Path: <sender@elsewhere.test>\r\n")
    with site.pop3(ALICE) as client:
        numbers = range(1, client.stat()[0] + 1)
        assert any(sent.encode() in b"\r\n".join(client.retr(number)[1]) for number in numbers)
        assert len(client.uidl()[1]) == len(numbers)


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_by_submission(site: SiteNode, port: str) -> None:
    trust = trusting(authority(site))
    text = message(BOB, ALICE)
    client: smtplib.SMTP
    if port == "submissions":
        client = smtplib.SMTP_SSL("localhost", site.ports[port], timeout=PATIENCE, context=trust)
    else:
        client = smtplib.SMTP("localhost", site.ports[port], timeout=PATIENCE)
    with client:
        if port == "submission":
            client.starttls(context=trust)
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail(BOB, [ALICE], b"Subject: no\r\n\r\n")
        assert refused.value.smtp_code == 530
        client.login(BOB, PASSWORD)
        with pytest.raises(smtplib.SMTPException):
            client.sendmail(ALICE, [ALICE], b"Subject: of another\r\n\r\n")
        client.send_message(text)
    received = site.received(ALICE, str(text["Message-ID"]))
    assert b"with ESMTPSA" in received


def test_submission_with_a_wrong_password(site: SiteNode) -> None:
    with site.smtp("submission") as client, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.login(BOB, "wrong")
    assert refused.value.smtp_code == 535


@pytest.mark.parametrize(
    ("recipient", "code"), [("nobody@example.com", 550), (UNREACHED, 550), ("all@example.net", 550)]
)
def test_unknown_recipients(site: SiteNode, recipient: str, code: int) -> None:
    with site.smtp() as client:
        client.mail(SENDER)
        assert client.rcpt(recipient)[0] == code
        assert client.rcpt(ALICE)[0] == 250


def test_alias_forwarder_group(site: SiteNode) -> None:
    to_alias = site.deliver("al@example.com")
    to_forwarder = site.deliver("home@example.com")
    to_group = site.deliver("ALL@example.com")
    for user, id in [(ALICE, to_alias), (BOB, to_forwarder), (ALICE, to_group), (BOB, to_group)]:
        site.received(user, id)
    assert not any(to_forwarder.encode() in text for text in site.messages(ALICE))


# --- mail is read ----------------------------------------------------------------------------


def test_imap_over_tls(site: SiteNode) -> None:
    trust = trusting(authority(site))
    sent = site.deliver(ALICE)
    site.received(ALICE, sent)
    with imaplib.IMAP4_SSL("localhost", site.ports["imaps"], ssl_context=trust, timeout=PATIENCE) as client:
        client.login("al@example.com", PASSWORD)
        client.select(readonly=True)
        assert any(sent.encode() in text for text in texts(client))
    with imaplib.IMAP4("localhost", site.ports["imap"], timeout=PATIENCE) as plain:
        plain.starttls(trust)
        plain.login(ALICE, PASSWORD)
        plain.select(readonly=True)
        assert any(sent.encode() in text for text in texts(plain))


def test_pop3_over_tls(site: SiteNode) -> None:
    trust = trusting(authority(site))
    sent = site.deliver(BOB)
    site.received(BOB, sent)
    secure = poplib.POP3_SSL("localhost", site.ports["pop3s"], context=trust, timeout=PATIENCE)
    plain = poplib.POP3("localhost", site.ports["pop3"], timeout=PATIENCE)
    plain.stls(trust)
    for client in (secure, plain):
        client.user(BOB)
        client.pass_(PASSWORD)
        newest = client.stat()[0]
        assert sent.encode() in b"\r\n".join(client.retr(newest)[1])
        client.quit()


@pytest.mark.parametrize("user", [ALICE, "nobody@example.com", "alice@example.net"])
def test_wrong_passwords_are_all_the_same(site: SiteNode, user: str) -> None:
    with pytest.raises(imaplib.IMAP4.error, match=r"AUTHENTICATIONFAILED.* wrong name or password"):
        with site.imap(user, "wrong"):
            pass
    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\] wrong name or password"):
        with site.pop3(user, "wrong"):
            pass


def test_imapclient(site: SiteNode) -> None:
    with IMAPClient("127.0.0.1", site.ports["imap"], ssl=False, timeout=PATIENCE) as client:
        client.login(BOB, PASSWORD)
        folders = {name: flags for flags, _, name in client.list_folders()}
        assert {"INBOX", "Sent", "Drafts", "Trash", "Junk"} <= set(folders)
        assert b"\\Sent" in folders["Sent"]
        client.create_folder("Plans für 2027")
        client.select_folder("Plans für 2027")
        [uid] = (
            client.append("Plans für 2027", b"Subject: plan\r\n\r\nGo.\r\n", [b"\\Flagged"])
            and client.search()
        )
        assert client.get_flags([uid])[uid] == (b"\\Flagged",) or b"\\Flagged" in client.get_flags([uid])[uid]
        fetched = client.fetch([uid], ["ENVELOPE", "RFC822.SIZE", "BODY[TEXT]"])[uid]
        assert (fetched[b"ENVELOPE"].subject, fetched[b"BODY[TEXT]"]) == (b"plan", b"Go.\r\n")
        client.move([uid], "Trash")
        assert client.search() == []
        client.select_folder("Trash")
        [uid] = client.search(["SUBJECT", "plan"])
        client.delete_messages([uid])
        client.expunge()
        assert client.search() == []
        client.delete_folder("Plans für 2027")
        assert client.get_quota()[0].limit * 1024 == pytest.approx(QUOTA, abs=1024)


def test_idle_sees_a_delivery(site: SiteNode) -> None:
    with IMAPClient("127.0.0.1", site.ports["imap"], ssl=False, timeout=PATIENCE) as client:
        client.login(ALICE, PASSWORD)
        there = client.select_folder("INBOX")[b"EXISTS"]
        client.idle()
        sent = site.deliver(ALICE)
        assert (there + 1, b"EXISTS") in until(lambda: client.idle_check(PATIENCE))
        client.idle_done()
        newest = client.search()[-1]
        assert sent.encode() in client.fetch([newest], ["RFC822"])[newest][b"RFC822"]


# --- mail that can't be delivered --------------------------------------------------------------


def test_bounce_of_what_is_larger_than_a_mailbox(site: SiteNode) -> None:
    body = ("x" * 70 + "\n") * (QUOTA // 60)
    sent = site.deliver(ALICE, sender=BOB, body=body)
    bounce = site.received(BOB, sent)
    parsed = message_from_bytes(bounce)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert b"Status: 5.2.2" in bounce
    assert b"Return-Path: <>" in bounce


def test_full_mailbox_waits_for_room(site: SiteNode) -> None:
    site.add_account("full@example.com")
    with site.imap("full@example.com") as client:
        filling = b"Subject: filling\r\n\r\n" + b"x" * (QUOTA - 1000)
        assert client.append("INBOX", "", None, filling)[0] == "OK"
        sent = site.deliver("full@example.com", sender=BOB, body="x\n" * 1000)
        waiting = until(lambda: [each for each in site.queued() if each["sender"] == BOB])
        shown = until(lambda: reason_of(site, waiting[0]["id"]))
        assert "4.2.2" in shown
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
    site.received("full@example.com", sent)


def reason_of(site: SiteNode, id: str) -> str:
    (to,) = site.facts("queue", "show", id)["to"]
    return str(to.get("reason", ""))


def test_bounce_of_what_becomes_unknown(site: SiteNode) -> None:
    site.add_account("brief@example.com")
    with down(site):
        sent = site.deliver("brief@example.com", sender=BOB)
        (waiting,) = site.queued()
        site.cgctl("account", "remove", "brief@example.com")
    bounce = site.received(BOB, sent)
    assert b"Status: 5.1.1" in bounce
    assert site.queued() == []
    assert waiting["sender"] == BOB


@contextmanager
def down(site: SiteNode) -> Iterator[None]:
    """Nothing is delivered meanwhile."""

    def up() -> bool:
        return bool(site.own_facts()["hosts"]["be1"]["up"])

    site.cgctl("server", "down", "be1")
    until(lambda: not up())
    try:
        yield
    finally:
        site.cgctl("server", "up", "be1")
        until(up)


def test_the_mailbox_of_a_removed_account(site: SiteNode) -> None:
    gone = "gone@example.com"
    site.add_account(gone)
    site.received(gone, site.deliver(gone, body="a secret"))
    with site.imap(gone) as client:
        site.cgctl("account", "remove", gone)
        until(lambda: is_ended(client))
    with site.smtp() as smtp:
        smtp.mail(SENDER)
        assert smtp.rcpt(gone)[0] == 550
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), site.imap(gone):
        pass
    # An account of the same name is another one.
    site.add_account(gone, password="another")
    with site.imap(gone, "another") as client:
        assert texts(client) == []
    assert set_aside(site) == [gone]
    assert "1 mailbox destroyed" in site.cgctl("mailbox", "purge", gone)
    assert set_aside(site) == []
    left = [path for path in (site.folder / "storage").rglob("*") if path.is_file()]
    assert not any(b"a secret" in path.read_bytes() for path in left)


def set_aside(site: SiteNode) -> list[str]:
    return [each["address"] for each in site.facts("mailbox", "removed")["removed"]]


# --- looking after it -----------------------------------------------------------------------------


def test_queue(site: SiteNode) -> None:
    with site.smtp("submission") as client:
        client.login(BOB, PASSWORD)
        client.send_message(message(BOB, UNREACHED, "first"), BOB, [UNREACHED])
        client.send_message(message(BOB, UNREACHED, "second"), BOB, [UNREACHED])
    first, second = (each["id"] for each in site.queued())
    assert "far.test" in site.cgctl("queue", "show", first)
    assert site.cgctl("queue", "hold", first) == "1 message held\n"
    assert [each["id"] for each in site.queued("--state", "held")] == [first]
    site.cgctl("queue", "flush")
    site.cgctl("queue", "flush", second)
    site.cgctl("queue", "flush", "--destination", "remote:127.0.0.1:9")
    assert [each["id"] for each in site.queued("--destination", "remote:127.0.0.1:9")] == [first, second]
    assert site.cgctl("queue", "release", first) == "1 message released\n"
    assert site.queued("--state", "held") == []
    assert site.cgctl("queue", "remove", first, second) == "2 messages removed\n"
    assert site.cgctl("queue", "list") == "no message is queued\n"
    assert "cgctl:" in site.cgctl("queue", "show", first, status=1)


def test_who_and_kick(site: SiteNode) -> None:
    with site.imap(ALICE) as alice, site.pop3(BOB):
        found = {each["account"]: each for each in site.who()}
        assert found.keys() == {ALICE, BOB}
        assert (found[ALICE]["protocol"], found[ALICE]["client"]) == ("imap", "127.0.0.1")
        assert f"{found[ALICE]['session']} " in site.log
        assert "2 sessions" in site.cgctl("who")
        assert [each["account"] for each in site.facts("who", BOB)["sessions"]] == [BOB]
        assert site.cgctl("kick", ALICE) == "1 session ended\n"
        with pytest.raises(imaplib.IMAP4.abort):
            alice.noop()
        assert [each["account"] for each in site.who()] == [BOB]
    until(lambda: not site.who())


def test_status_health_metrics(site: SiteNode) -> None:
    status = site.facts("status")
    (server,) = status["servers"]
    assert (server["name"], server["state"], server["up"]) == ("be1", "active", True)
    assert server["node"]["serves"]
    assert server["accounts"] == status["accounts"]
    assert "be1" in site.cgctl("status")
    assert json.loads(page(site, "health"))["serves"]
    numbers = dict(line.rsplit(" ", 1) for line in page(site, "metrics").splitlines() if line[:1] != "#")
    assert numbers['cgnode_host_up{host="be1"}'] == "1.0"
    assert float(numbers['cgnode_smtp_messages_accepted_total{service="smtp"}']) > 0
    assert float(numbers["cgnode_lmtp_messages_total"]) > 0
    assert float(numbers['cgnode_logins_total{protocol="imap",result="ok"}']) > 0


def page(site: SiteNode, name: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.ports['http']}/{name}", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def test_control_wants_the_token(site: SiteNode) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        page(site, "control/sessions")
    assert refused.value.code == 401
    refused.value.close()


def test_internal_ports_give_nothing(site: SiteNode) -> None:
    with smtplib.LMTP("127.0.0.1", site.ports["lmtp"]) as lmtp:
        lmtp.ehlo("x")
        assert lmtp.mail(SENDER)[0] == 530
    with pytest.raises(imaplib.IMAP4.error):
        with site.imap("cluster", "", port="backend_imap"):
            pass


# --- what is accepted is delivered ---------------------------------------------------------------


def test_killed_after_250(tmp_path: Path) -> None:
    with one_node(tmp_path) as site:
        site.add_account(ALICE)
        # So that they are in the queue when it dies.
        with down(site):
            sent = [site.deliver(ALICE) for _ in range(5)]
            site.kill()
            site.start()
            assert len(site.queued()) == 5
        for each in sent:
            site.received(ALICE, each)
        # And as they come.
        sent += [site.deliver(ALICE) for _ in range(5)]
        site.kill()
        site.start()
        for each in sent:
            site.received(ALICE, each)
        assert "Traceback" not in site.log
        assert site.kill(signal.SIGTERM) == 0


def test_a_damaged_queue(tmp_path: Path) -> None:
    """An operator is told of it, and what is sound of it is delivered."""
    with one_node(tmp_path) as site:
        site.add_account(ALICE)
        with down(site):
            sent = [site.deliver(ALICE) for _ in range(3)]
            site.kill()
            (log,) = (path for path in (site.folder / "queue" / "log").glob("*.log") if _has(path, sent[0]))
            data = log.read_bytes()
            at = data.index(sent[0].encode())
            log.write_bytes(data[:at] + b"#" + data[at + 1 :])
            site.start()
        site.received(ALICE, sent[2])
        assert "the mail queue: " in site.log
        assert list(log.parent.glob("*.damaged"))


def _has(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()
