"""Other people's programs with a whole site: curl, swaks, msmtp, mbsync, fetchmail, smtp-source;
HAProxy in front of it, and Dovecot as one of its backends."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.node.site import (
    PASSWORD,
    PATIENCE,
    SENDER,
    SiteNode,
    message,
    one_node,
    texts,
    until,
)
from tests.peers.dovecot import MASTER, Dovecot, running_dovecot
from tests.peers.slapd import require

ALICE, BOB = "alice@example.com", "bob@example.com"
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
# HAProxy's address, from which connections begin with a PROXY header; and its client's.
BALANCER, CLIENT = "127.0.0.3", "127.0.0.2"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteNode]:
    settings = {"frontend": {"proxy_networks": [f"{BALANCER}/32"]}}
    with one_node(tmp_path_factory.mktemp("site"), tls=True, **settings) as node:
        for address in (ALICE, BOB):
            node.add_account(address)
        yield node


def done(*command: str, given: str = "") -> str:
    """What a program says that succeeds."""
    require(command[0])
    ran = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": PATH},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def authority(site: SiteNode) -> str:
    assert site.tls is not None
    return str(site.tls.certificate.with_name("ca.pem"))


def private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def new_account(site: SiteNode, name: str, letters: int = 0) -> str:
    address = f"{name}@example.com"
    site.add_account(address)
    for number in range(letters):
        site.received(address, site.deliver(address, subject=f"letter {number}"))
    return address


# --- curl ------------------------------------------------------------------------------------


def curl(site: SiteNode, url: str, *options: str, user: str = ALICE, given: str = "") -> str:
    credentials = ("--user", f"{user}:{PASSWORD}")
    common = ("-sS", "--max-time", "20", "--cacert", authority(site), *credentials)
    return done("curl", *common, url, *options, given=given)


def test_curl(site: SiteNode, tmp_path: Path) -> None:
    text = str(message(ALICE, BOB, "by curl", "from a pipe\n"))
    addresses = ("--mail-from", ALICE, "--mail-rcpt", BOB, "--crlf", "-T", "-")
    curl(site, f"smtps://localhost:{site.ports['submissions']}/client.test", *addresses, given=text)
    until(lambda: any(b"by curl" in each for each in site.messages(BOB)))
    for url, options in (
        (f"imaps://localhost:{site.ports['imaps']}/INBOX;MAILINDEX=1", ()),
        (f"imap://localhost:{site.ports['imap']}/INBOX;MAILINDEX=1", ("--ssl-reqd",)),
        (f"pop3s://localhost:{site.ports['pop3s']}/1", ()),
        (f"pop3://localhost:{site.ports['pop3']}/1", ("--ssl-reqd",)),
    ):
        assert "from a pipe" in curl(site, url, *options, user=BOB), url
    folders = curl(site, f"imaps://localhost:{site.ports['imaps']}/", user=BOB)
    assert "Sent" in folders
    (tmp_path / "draft").write_text(text.replace("\n", "\r\n"))
    append = (f"imaps://localhost:{site.ports['imaps']}/Drafts", "-T", str(tmp_path / "draft"))
    curl(site, *append, user=BOB)
    found = curl(site, f"imaps://localhost:{site.ports['imaps']}/Drafts", "-X", "SEARCH ALL", user=BOB)
    assert "* SEARCH 1" in found


# --- senders -----------------------------------------------------------------------------------


def test_swaks(site: SiteNode) -> None:
    user = new_account(site, "swaks")
    server = ("--server", f"127.0.0.1:{site.ports['smtp']}", "--timeout", "20")
    done("swaks", *server, "--from", SENDER, "--to", user, "-tls", "--pipeline", "--body", "by swaks")
    (text,) = until(lambda: site.messages(user))
    assert b"by swaks" in text
    assert b"with ESMTPS\r\n" in text


def test_msmtp(site: SiteNode, tmp_path: Path) -> None:
    user = new_account(site, "msmtp")
    config = private(
        tmp_path / "msmtprc",
        f"account default\nhost localhost\nport {site.ports['submission']}\nfrom {BOB}\n"
        f"auth on\nuser {BOB}\npassword {PASSWORD}\ntls on\ntls_trust_file {authority(site)}\n",
    )
    done("msmtp", "-C", config, user, given=str(message(BOB, user, "by msmtp")))
    (text,) = until(lambda: site.messages(user))
    assert b"Subject: by msmtp" in text


def test_smtp_source(site: SiteNode) -> None:
    user = new_account(site, "source")
    endpoint = f"127.0.0.1:{site.ports['smtp']}"
    done("smtp-source", "-s", "5", "-m", "50", "-l", "5000", "-f", SENDER, "-t", user, endpoint)
    until(lambda: len(site.messages(user)) == 50)
    assert site.queued() == []


# --- readers -----------------------------------------------------------------------------------


def test_mbsync(site: SiteNode, tmp_path: Path) -> None:
    user = new_account(site, "mbsync", letters=3)
    near = tmp_path / "mail"
    near.mkdir()
    config = private(
        tmp_path / "mbsyncrc",
        f"IMAPAccount site\nHost localhost\nPort {site.ports['imaps']}\nUser {user}\nPass {PASSWORD}\n"
        f"SSLType IMAPS\nCertificateFile {authority(site)}\n\n"
        "IMAPStore far\nAccount site\n\n"
        f"MaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\n"
        f"Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\n"
        f"SyncState {tmp_path}/\n",
    )
    done("mbsync", "-c", config, "-a")
    letters = sorted(
        path for path in (near / "INBOX").rglob("*") if path.is_file() and path.parent.name in ("new", "cur")
    )
    assert len(letters) == 3
    assert (near / "Sent" / "cur").is_dir()
    # Changes on either side go to the other: one is read here, one deleted, one is new there.
    letters[0].rename(near / "INBOX" / "cur" / f"{letters[0].name.partition(':')[0]}:2,S")
    letters[1].unlink()
    (near / "Drafts" / "cur" / "1.draft.here:2,D").write_bytes(b"Subject: a draft\n\nof mine\n")
    site.received(user, site.deliver(user, subject="letter 3"))
    done("mbsync", "-c", config, "-a")
    with site.imap(user) as client:
        assert len(client.search(None, "SEEN")[1][0].split()) == 1
        assert len(client.search(None, "ALL")[1][0].split()) == 3
        client.select("Drafts")
        assert client.search(None, "DRAFT")[1] == [b"1"]
        assert b"of mine" in texts(client)[0]
    inbox = [path for path in (near / "INBOX").rglob("*") if path.parent.name in ("new", "cur")]
    assert len(inbox) == 3
    assert any(b"letter 3" in path.read_bytes() for path in inbox)


@pytest.mark.parametrize("protocol", ["POP3", "IMAP"])
def test_fetchmail(site: SiteNode, tmp_path: Path, protocol: str) -> None:
    user = new_account(site, f"fetchmail-{protocol.lower()}", letters=2)
    found = tmp_path / "found"
    config = private(
        tmp_path / "fetchmailrc",
        f"set no bouncemail\nset idfile {tmp_path}/ids\nset pidfile {tmp_path}/pid\n"
        f"poll localhost protocol {protocol} port {site.ports[protocol.lower()]}\n"
        f'  user "{user}" password "{PASSWORD}"\n'
        f'  sslproto "TLS1.2+" sslcertck sslcertfile "{authority(site)}"\n'
        f'  mda "cat >> {found}" no keep\n',
    )
    done("fetchmail", "-f", config, "--nosyslog")
    assert [f"letter {number}" in found.read_text() for number in range(3)] == [True, True, False]
    assert site.messages(user) == []


# --- a balancer in front -------------------------------------------------------------------------


@contextmanager
def haproxy(folder: Path, targets: dict[str, int]) -> Iterator[dict[str, int]]:
    """Its ports: each leads to one of the targets."""
    require("haproxy")
    program = shutil.which("haproxy", path=PATH)
    assert program is not None
    from tests.ports import free_ports

    ports = dict(zip(targets, free_ports(len(targets)), strict=True))
    lines = ["global", "  maxconn 100", "defaults", "  mode tcp"]
    lines += [f"  timeout {name} 20s" for name in ("connect", "client", "server")]
    for name, port in ports.items():
        lines += [f"listen {name}", f"  bind 127.0.0.1:{port}"]
        lines += [f"  server site 127.0.0.1:{targets[name]} send-proxy-v2 source {BALANCER}"]
    config = private(folder / "haproxy.cfg", "\n".join(lines) + "\n")
    process = subprocess.Popen([program, "-db", "-f", config], stderr=subprocess.DEVNULL)
    try:
        for port in ports.values():
            until(lambda port=port: _listens(port))  # type: ignore[misc]
        yield ports
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def say(peer: socket.socket, words: bytes = b"") -> bytes:
    """An answer, in one piece."""
    if words:
        peer.sendall(words + b"\r\n")
    return peer.recv(10000)


def test_the_client_behind_haproxy(site: SiteNode, tmp_path: Path) -> None:
    def connect(port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), PATIENCE, (CLIENT, 0))

    targets = {name: site.ports[name] for name in ("imap", "pop3", "smtp")}
    with haproxy(tmp_path, targets) as ports, connect(ports["imap"]) as imap, connect(ports["pop3"]) as pop3:
        assert say(imap).startswith(b"* OK")
        assert say(imap, f"a LOGIN {ALICE} {PASSWORD}".encode()).startswith(b"a OK")
        assert say(pop3).startswith(b"+OK")
        say(pop3, f"USER {BOB}".encode())
        assert say(pop3, f"PASS {PASSWORD}".encode()).startswith(b"+OK")
        found = {(each["protocol"], each["client"], each["client_port"]) for each in site.who()}
        assert found == {(name, *peer.getsockname()) for name, peer in (("imap", imap), ("pop3", pop3))}
        # The backend is told, too.
        told = [
            line for line in site.log.splitlines() if "cgnode.backend.sessions" in line and CLIENT in line
        ]
        assert any(ALICE in line for line in told)
        with connect(ports["smtp"]) as smtp:
            assert say(smtp).startswith(b"220 ")
            assert CLIENT.encode() in say(smtp, b"EHLO client.test") or f"smtp from {CLIENT}" in site.log
    with socket.create_connection(("127.0.0.1", site.ports["imap"]), PATIENCE, (BALANCER, 0)) as bare:
        bare.sendall(b"a NOOP\r\n")
        # What is not read before it is closed resets it.
        with suppress(ConnectionResetError):
            assert bare.recv(100) == b""


# --- a backend of another make ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer() -> Iterator[Dovecot]:
    with running_dovecot() as running:
        yield running


def test_dovecot_as_a_backend(peer: Dovecot, tmp_path: Path) -> None:
    override = {name: f"127.0.0.1:{port}" for name, port in peer.ports.items()}
    override |= {"login": "master", "login_user": MASTER, "login_password_file": str(peer.password_file)}
    members = {"old": {"roles": ["backend"], **override}}
    with one_node(tmp_path, cluster={"members": members}) as site:
        site.add_account(ALICE, "--host", "old")
        site.add_account(BOB)
        sent = site.deliver(ALICE, BOB)
        text = site.received(ALICE, sent)
        assert b"with LMTP" in text
        site.received(BOB, sent)
        with site.imap(ALICE) as client:
            assert "IMAP4REV1" in client.capability()[1][0].decode().upper()
            assert client.append("INBOX", "", "", b"Subject: mine\r\n\r\nOwn.\r\n")[0] == "OK"
            (session,) = site.who()
            assert session["host"] == "old"
        with site.pop3(ALICE) as pop3:
            assert pop3.stat()[0] == 2
        assert f"user=<{ALICE}>" in peer.log
        assert "Error" not in peer.log
        status = {each["name"]: each for each in site.facts("status")["servers"]}
        assert status["old"]["up"]
        with pytest.raises(Exception, match="AUTHENTICATIONFAILED"), site.imap(ALICE, "wrong"):
            pass
