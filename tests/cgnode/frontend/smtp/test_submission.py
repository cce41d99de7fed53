"""Mail from its authors, over sockets: who they are, what they may send, what is added."""

from __future__ import annotations

import base64
import hashlib
import hmac
import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic

import pytest

from cgnode.config import FrontendConfig, LoginLimits, SmtpConfig
from cgnode.frontend.smtp.terms import Kind
from tests.cgnode.frontend.smtp.office import HOST, PASSWORD, TEXT, Office, Wire, office

FAR = "carol@elsewhere.example"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path) as opened:
        yield opened


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path, tls=True) as opened:
        yield opened


def test_nobody_unknown_sends(plain: Office) -> None:
    with plain.smtp("submission") as client, pytest.raises(smtplib.SMTPSenderRefused) as refusal:
        client.sendmail("alice@example.com", FAR, TEXT)
    assert refusal.value.smtp_code == 530


@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
def test_passwords(plain: Office, mechanism: str) -> None:
    with plain.smtp("submission") as client:
        client.ehlo()
        client.user, client.password = "alice", PASSWORD
        name = mechanism.removeprefix("auth_").upper()
        assert client.auth(name, getattr(client, mechanism))[0] == 235
        client.sendmail("alice@example.com", FAR, TEXT)
    assert plain.queue.show(plain.ids()[0])["to"][0]["address"] == FAR


def test_a_wrong_password_costs_time(plain: Office) -> None:
    begun = monotonic()
    with plain.plain("submission") as wire:
        wire.hello()
        for user in ("alice", "nobody", "all@example.com"):
            message = base64.b64encode(f"\0{user}\0x".encode()).decode()
            assert wire.say(f"AUTH PLAIN {message}").startswith("535")
        assert wire.reply().startswith("421")
    assert monotonic() - begun >= 0.15
    found = plain.counters(Kind.SUBMISSION)
    assert (found.logins, found.login_failures) == (0, 3)


def test_the_directory_is_away(plain: Office) -> None:
    plain.following.reason = "never loaded"
    with plain.smtp("submission") as client, pytest.raises(smtplib.SMTPException, match="454"):
        client.login("alice", PASSWORD)


def scram(wire: Wire, user: str, password: str) -> str:
    """RFC 5802, the client's side."""
    bare = f"n={user},r=nonce"
    challenge = wire.say("AUTH SCRAM-SHA-256 " + base64.b64encode(f"n,,{bare}".encode()).decode())
    first = base64.b64decode(challenge.removeprefix("334 ")).decode()
    fields = dict(part.split("=", 1) for part in first.split(","))
    salt = base64.b64decode(fields["s"])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    unproven = f"c={base64.b64encode(b'n,,').decode()},r={fields['r']}"
    signed = f"{bare},{first},{unproven}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    final = f"{unproven},p={base64.b64encode(proof).decode()}"
    answer = wire.say(base64.b64encode(final.encode()).decode())
    return wire.say("") if answer.startswith("334") else answer


def test_scram(plain: Office) -> None:
    with plain.plain("submission") as wire:
        wire.hello()
        assert scram(wire, "bob", "wrong").startswith("535")
        assert scram(wire, "alice", PASSWORD).startswith("535")  # nothing that SCRAM could use is stored
        assert scram(wire, "bob", "builder").startswith("235")
        assert wire.say("MAIL FROM:<bob@example.com>").startswith("250")


def test_cancelled_after_the_proof_is_not_logged_in(plain: Office) -> None:
    with plain.plain("submission") as wire:
        wire.hello()
        real = wire.say
        wire.say = lambda text: real(text or "*")  # type: ignore[method-assign]
        assert scram(wire, "bob", "builder").startswith("501")
        assert wire.say("MAIL FROM:<bob@example.com>").startswith("530")


# --- senders -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ("alice@example.com", 250),
        ("Alice@EXAMPLE.com", 250),
        ("al@example.com", 250),
        ("alice@example.net", 250),
        ("", 250),
        ("bob@example.com", 553),
        ("home@example.com", 553),
        ("all@example.com", 553),
        ("alice@elsewhere.example", 553),
        ("nobody@example.com", 553),
    ],
)
def test_the_sender_is_ones_own(plain: Office, sender: str, code: int) -> None:
    with plain.submission() as client:
        assert client.mail(sender)[0] == code


def test_senders_may_be_free(tmp_path: Path) -> None:
    config = FrontendConfig(smtp=SmtpConfig(sender_check=False))
    with office(tmp_path, config) as opened, opened.submission() as client:
        assert client.mail("bob@example.com")[0] == 250


# --- what is added -----------------------------------------------------------------------


def test_date_and_message_id(plain: Office) -> None:
    with plain.submission() as client:
        client.sendmail("alice@example.com", FAR, TEXT)
    message = message_from_bytes(plain.text())
    assert parsedate_to_datetime(message["Date"]).tzinfo is not None
    assert message["Message-ID"].endswith(f"@{HOST}>")
    assert message["Subject"] == "hello"
    assert message.get_payload() == "Hello.\r\n"
    assert "with ESMTPA" in message["Received"]


def test_what_is_there_stays(plain: Office) -> None:
    text = "date: yesterday\r\nMESSAGE-ID: <1@x>\r\n" + TEXT
    with plain.submission() as client:
        client.sendmail("alice@example.com", FAR, text)
    assert plain.text().endswith(b"\r\n" + text.encode())


def test_rate_by_account(tmp_path: Path) -> None:
    with office(tmp_path, FrontendConfig(smtp=SmtpConfig(rate=1))) as opened:
        with opened.submission() as client:
            client.sendmail("alice@example.com", FAR, TEXT)
            assert client.mail("alice@example.com")[0] == 450
        with opened.submission("bob", "builder") as client:
            assert client.mail("bob@example.com")[0] == 250


def test_time_to_log_in(tmp_path: Path) -> None:
    with office(tmp_path, FrontendConfig(login=LoginLimits(time=0.3))) as opened:
        with opened.submission() as known, opened.plain("submission") as wire:
            wire.hello()
            assert wire.reply().startswith("421 4.7.0")
            assert wire.reply() == ""
            assert known.noop()[0] == 250


# --- TLS ---------------------------------------------------------------------------------


def test_starttls(secure: Office) -> None:
    with secure.smtp("submission") as client:
        client.starttls(context=secure.trust())
        client.login("alice", PASSWORD)
        client.sendmail("alice@example.com", FAR, TEXT)
    assert "with ESMTPSA" in message_from_bytes(secure.text())["Received"]


def test_tls_from_the_start(secure: Office) -> None:
    port, trust = secure.ports["submissions"], secure.trust()
    with smtplib.SMTP_SSL("127.0.0.1", port, context=trust, timeout=10) as client:
        client.login("alice", PASSWORD)
        assert not client.has_extn("starttls")
        client.sendmail("alice@example.com", FAR, TEXT)
    assert "with ESMTPSA" in message_from_bytes(secure.text())["Received"]


def test_servers_use_tls_too(secure: Office) -> None:
    with secure.smtp() as client:
        client.starttls(context=secure.trust())
        client.sendmail(FAR, "alice@example.com", TEXT)
    assert "with ESMTPS id" in " ".join(message_from_bytes(secure.text())["Received"].split())


def test_what_was_said_before_tls_is_forgotten(secure: Office) -> None:
    with secure.plain() as wire:
        wire.hello()
        wire.send(b"STARTTLS\r\nMAIL FROM:<>\r\n")
        assert wire.reply().startswith("220 ")
        with secure.trust().wrap_socket(wire.socket) as inside:
            inside.sendall(b"MAIL FROM:<carol@elsewhere.example>\r\n")
            assert inside.recv(1000).startswith(b"503 ")


def test_a_failed_handshake_ends_the_connection(secure: Office) -> None:
    with secure.plain() as wire:
        wire.hello()
        assert wire.say("STARTTLS").startswith("220 ")
        wire.send(b"MAIL FROM:<>\r\n" * 100)
        assert wire.socket.recv(1000)[:1] in (b"", b"\x15")
