"""Other people's programs send mail in: swaks, curl, msmtp, Postfix's smtp-source."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from cgnode import accounts
from cgnode.frontend.smtp.terms import Kind
from tests.cgnode.frontend.smtp.office import PASSWORD, Office, office
from tests.peers.slapd import require

FAR = "carol@elsewhere.example"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path, tls=True) as opened:
        yield opened


def run(*command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    require(command[0])
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    return subprocess.run(
        command, input=given, capture_output=True, timeout=60, check=False, env={**os.environ, "PATH": path}
    )


def done(*command: str, given: bytes = b"") -> str:
    ran = run(*command, given=given)
    said = (ran.stdout + ran.stderr).decode("utf-8", "replace")
    assert ran.returncode == 0, said
    return said


# --- swaks -------------------------------------------------------------------------------


def swaks(front: Office, scheme: str, *options: str) -> tuple[str, ...]:
    return ("swaks", "--server", f"127.0.0.1:{front.ports[scheme]}", "--timeout", "10", *options)


def test_swaks_as_a_server(front: Office) -> None:
    said = done(*swaks(front, "smtp", "--from", FAR, "--to", "alice@example.com", "-tls", "--pipeline"))
    assert "queued as" in said
    assert b"with ESMTPS\r\n" in front.text()


def test_swaks_is_refused(front: Office) -> None:
    for recipient, reply in [(FAR, "550 5.7.1"), ("nobody@example.com", "550 5.1.1")]:
        ran = run(*swaks(front, "smtp", "--from", FAR, "--to", recipient))
        assert ran.returncode == 24
        assert reply in ran.stdout.decode()
    assert front.ids() == []


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", [("submission", "-tls"), ("submissions", "--tls-on-connect")])
def test_swaks_as_an_author(front: Office, mechanism: str, tls: tuple[str, str]) -> None:
    login = ("--auth", mechanism, "--auth-user", "alice@example.com", "--auth-password", PASSWORD)
    scheme, option = tls
    said = done(*swaks(front, scheme, option, *login, "--from", "alice@example.com", "--to", FAR))
    assert "235 2.7.0" in said
    assert "with ESMTPSA" in message_from_bytes(front.text())["Received"]


def test_swaks_with_a_wrong_password(front: Office) -> None:
    login = ("--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wrong")
    ran = run(*swaks(front, "submission", *login, "--from", "alice@example.com", "--to", FAR))
    assert ran.returncode == 28
    assert front.counters(Kind.SUBMISSION).login_failures == 1


# --- curl --------------------------------------------------------------------------------


def curl(front: Office, url: str, *options: str) -> tuple[str, ...]:
    return ("curl", "-sS", "--max-time", "20", "--cacert", str(front.authority.path), "-k", url, *options)


TEXT = b"From: alice@example.com\nSubject: by curl\n\n.one dot\n..two dots\n.\nthe end\n"


@pytest.mark.parametrize("scheme", ["submission", "submissions"])
def test_curl_as_an_author(front: Office, scheme: str) -> None:
    protocol = "smtps" if scheme == "submissions" else "smtp"
    url = f"{protocol}://127.0.0.1:{front.ports[scheme]}/client.example.org"
    tls = () if scheme == "submissions" else ("--ssl-reqd",)
    addresses = ("--mail-from", "alice@example.com", "--mail-rcpt", FAR, "--mail-rcpt", "bob@example.com")
    done(*curl(front, url, *tls, *addresses, "--user", f"alice:{PASSWORD}", "--crlf", "-T", "-"), given=TEXT)
    assert front.text().endswith(b"\r\n\r\n" + TEXT.partition(b"\n\n")[2].replace(b"\n", b"\r\n"))
    (id,) = front.ids()
    assert [to["address"] for to in front.queue.show(id)["to"]] == [FAR, "bob@example.com"]


def test_curl_is_refused(front: Office) -> None:
    url = f"smtp://127.0.0.1:{front.ports['smtp']}"
    ran = run(*curl(front, url, "--mail-from", FAR, "--mail-rcpt", FAR, "-T", "-"), given=TEXT)
    assert ran.returncode == 55
    assert front.ids() == []


# --- msmtp -------------------------------------------------------------------------------


def msmtp(front: Office, scheme: str, method: str, user: str = "bob", password: str = "builder") -> list[str]:
    return [
        "msmtp",
        "--file=/dev/null",
        "--host=127.0.0.1",
        f"--port={front.ports[scheme]}",
        "--tls=on",
        f"--tls-starttls={'off' if scheme == 'submissions' else 'on'}",
        "--tls-trust-file=",
        "--tls-certcheck=off",
        f"--auth={method}",
        f"--user={user}",
        f"--passwordeval=echo {password}",
        "--from=bob@example.com",
        FAR,
    ]


@pytest.mark.parametrize("method", ["plain", "login", "scram-sha-256"])
@pytest.mark.parametrize("scheme", ["submission", "submissions"])
def test_msmtp(front: Office, scheme: str, method: str) -> None:
    done(*msmtp(front, scheme, method), given=b"Subject: by msmtp\n\n.\nHello.\n")
    message = message_from_bytes(front.text())
    assert message["Subject"] == "by msmtp"
    assert message["Date"]
    assert message["Message-ID"]
    assert front.text().endswith(b"\r\n\r\n.\r\nHello.\r\n")


@pytest.mark.parametrize("method", ["plain", "scram-sha-256"])
def test_msmtp_with_a_wrong_password(front: Office, method: str) -> None:
    ran = run(*msmtp(front, "submission", method, password="wrong"), given=b"Subject: x\n\nx\n")
    assert ran.returncode == 77
    assert front.ids() == []


# --- Postfix's ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("-s", "5"), ("-s", "2", "-d", "-r", "3")])
def test_smtp_source(front: Office, options: tuple[str, ...]) -> None:
    """``-d``: many messages in a connection; ``-r``: recipients, with numbers in front."""
    several = "-r" in options
    if several:
        for number in range(1, 4):
            accounts.add_account(front.following.site, f"{number}alice@example.com")
    endpoint = f"127.0.0.1:{front.ports['smtp']}"
    done("smtp-source", *options, "-m", "20", "-l", "5000", "-f", FAR, "-t", "alice@example.com", endpoint)
    assert len(front.ids()) == 20
    assert {len(front.queue.show(id)["to"]) for id in front.ids()} == {3 if several else 1}
