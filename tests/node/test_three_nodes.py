"""Directory, backends and a frontend, each a process of its own, with TLS between them by the
cluster's certificates; and what happens when one of them is away."""

from __future__ import annotations

import imaplib
import poplib
import signal
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import ldap3
import pytest
from attrs import frozen

from tests.node.relay import Relay, relay
from tests.node.running import cgctl
from tests.node.site import PASSWORD, PATIENCE, SENDER, SiteNode, is_ended, running, until

ALICE, BOB = "alice@example.com", "bob@example.com"
HEARD = ("lmtp", "backend_imap", "backend_pop3")

# This machine by an address that does not say so: nodes that are told of 127.0.0.1 may do
# without TLS.
HERE = "0.0.0.0"


@frozen
class Cluster:
    """alice is on be1, which is reached through ``relays``, and bob on be2."""

    folder: Path
    d1: SiteNode
    be1: SiteNode
    be2: SiteNode
    fe1: SiteNode
    relays: dict[str, Relay]

    def sees_up(self, name: str) -> bool:
        """Whether the frontend does."""
        return bool(self.fe1.own_facts()["hosts"].get(name, {}).get("up"))

    def knows(self, address: str) -> bool:
        with self.fe1.smtp() as client:
            client.mail(SENDER)
            return client.rcpt(address)[0] == 250


def certified(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    """The section [cluster]."""
    ca = folder / "ca"
    return {
        "ca": str(ca / "ca.pem"),
        "certificate": str(ca / f"{name}.pem"),
        "key": str(ca / f"{name}.key"),
        **more,
    }


def follower(folder: Path, name: str, role: str, d1: SiteNode, **more: Any) -> SiteNode:
    """A node that follows the directory ``d1``."""
    secret = str(d1.folder / "cluster.secret")
    directory = {
        "urls": [f"ldap://localhost:{d1.ports['ldap']}"],
        "password_file": str(d1.folder / "admin.secret"),
        "ca": str(folder / "ca" / "ca.pem"),
        "start_tls": True,
    }
    settings = {"cluster": certified(folder, name, secret_file=secret, directory=directory), **more}
    return SiteNode(folder / name, name, (role,), settings)


def add_server(d1: SiteNode, node: SiteNode, role: str, ports: dict[str, int]) -> None:
    places = [word for name, port in ports.items() for word in (f"--{name}", f"{HERE}:{port}")]
    http = ("--http", f"127.0.0.1:{node.ports['http']}")
    d1.cgctl("server", "add", node.name, "--role", role, *places, *http)


def backend_ports(node: SiteNode) -> dict[str, int]:
    return {name.removeprefix("backend_"): node.ports[name] for name in HEARD}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    ca = ("--folder", str(folder / "ca"))
    cgctl("ca", "init", *ca)
    for name in ("localhost", "be1", "be2", "fe1"):
        cgctl("ca", "issue", name, *ca)
    own = {"certificate": str(folder / "ca" / "localhost.pem"), "key": str(folder / "ca" / "localhost.key")}
    secure = {"ldap": {"tls": own}, "cluster": certified(folder, "localhost")}
    d1 = SiteNode(folder / "d1", "d1", ("directory",), secure)
    be1, be2 = (follower(folder, name, "backend", d1) for name in ("be1", "be2"))
    fe1 = follower(folder, "fe1", "frontend", d1, frontend={"login": {"failure_delay": "100 ms"}})
    with ExitStack() as stack:
        relays = {name: stack.enter_context(relay(be1.ports[name])) for name in HEARD}
        stack.enter_context(running(d1))
        heard = {name.removeprefix("backend_"): each.port for name, each in relays.items()}
        add_server(d1, be1, "backend", heard)
        add_server(d1, be2, "backend", backend_ports(be2))
        add_server(d1, fe1, "frontend", {"smtp": fe1.ports["smtp"], "submission": fe1.ports["submission"]})
        d1.cgctl("domain", "add", "example.com")
        for address, host in ((ALICE, "be1"), (BOB, "be2")):
            d1.add_account(address, "--host", host)
        stack.enter_context(running(be1, be2, fe1))
        for node in (be1, be2, fe1):
            until(lambda node=node: serves(node))  # type: ignore[misc]
        yield Cluster(folder, d1, be1, be2, fe1, relays)


def serves(node: SiteNode) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.ports['http']}/health", timeout=PATIENCE):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False


# --- all is well ---------------------------------------------------------------------------


def test_who_listens_in_between_nodes_learns_nothing(cluster: Cluster) -> None:
    body = "a word between us"
    sent = cluster.fe1.deliver(ALICE, body=body)
    assert body.encode() in cluster.fe1.received(ALICE, sent)
    with cluster.fe1.pop3(ALICE) as client:
        assert client.stat()[0] == 1
    secret = (cluster.d1.folder / "cluster.secret").read_bytes().strip()
    for name, each in cluster.relays.items():
        assert (b"STLS" if name == "backend_pop3" else b"STARTTLS") in each.heard
        for word in (body.encode(), secret, PASSWORD.encode(), ALICE.encode()):
            assert word not in each.heard


def test_backends_want_certificates(cluster: Cluster) -> None:
    anybody = ssl.create_default_context(cafile=str(cluster.folder / "ca" / "ca.pem"))
    anybody.check_hostname = False
    with smtplib.LMTP("127.0.0.1", cluster.be1.ports["lmtp"]) as client:
        with pytest.raises((OSError, smtplib.SMTPException)):
            # With TLS 1.3 a client hears of it when it goes on.
            client.starttls(context=anybody) and client.ehlo()


def test_the_site_at_a_glance(cluster: Cluster) -> None:
    with cluster.fe1.imap(ALICE):
        status = cluster.d1.facts("status")
        servers = {each["name"]: each for each in status["servers"]}
        assert [(name, each["up"]) for name, each in servers.items() if "up" in each] == [
            ("be1", True),
            ("be2", True),
        ]
        assert servers["fe1"]["node"]["sessions"] == 1
        assert "error" not in str(status)
        (session,) = cluster.d1.facts("who")["sessions"]
        assert (session["account"], session["node"]) == (ALICE, "fe1")
        # The session's name goes through all logs.
        until(lambda: f"{session['session']} " in cluster.be1.log)
        assert f"{session['session']} " in cluster.fe1.log
        assert cluster.d1.cgctl("kick", "--host", "be1") == "1 session ended\n"


def test_accounts_come_and_go(cluster: Cluster) -> None:
    """As they do in the directory, within a moment."""
    dan = "dan@example.com"
    cluster.d1.add_account(dan, "--host", "be2")

    until(lambda: cluster.knows(dan), 2)
    cluster.fe1.received(dan, cluster.fe1.deliver(dan))
    cluster.d1.cgctl("account", "remove", dan)
    until(lambda: not cluster.knows(dan), 2)


# --- who is who ----------------------------------------------------------------------------


@pytest.mark.parametrize("certificate", ["another's", "none"])
def test_a_backend_that_is_not_who_it_says(cluster: Cluster, certificate: str) -> None:
    """Neither mail nor a log-in for it."""
    name = "be3" if certificate == "none" else "be4"
    be3 = follower(cluster.folder, name, "backend", cluster.d1)
    settings = be3.settings["cluster"]
    if certificate == "none":
        for key in ("ca", "certificate", "key"):
            del settings[key]
    else:
        settings |= {key: certified(cluster.folder, "be2")[key] for key in ("certificate", "key")}
    user = f"user@{name}.example"
    with running(be3):
        add_server(cluster.d1, be3, "backend", backend_ports(be3))
        cluster.d1.cgctl("domain", "add", f"{name}.example")
        cluster.d1.add_account(user, "--host", name)
        until(lambda: cluster.knows(user) and cluster.sees_up(name))
        with pytest.raises(imaplib.IMAP4.error, match=r"\[UNAVAILABLE\]"), cluster.fe1.imap(user):
            pass
        cluster.fe1.deliver(user)
        (waiting,) = until(lambda: [each for each in cluster.fe1.queued() if reason(cluster.fe1, each["id"])])
        wanted = "STARTTLS" if certificate == "none" else f"the certificate is not that of {name}"
        assert wanted in reason(cluster.fe1, waiting["id"])
        cluster.fe1.cgctl("queue", "remove", waiting["id"])
        said = [line for line in cluster.fe1.log.splitlines() if "frontend.login" in line and user in line]
        assert any(wanted.lower() in line.lower() for line in said)
    assert "user" not in [path.name for path in be3.folder.rglob("*")]
    cluster.d1.cgctl("account", "remove", user)
    cluster.d1.cgctl("server", "remove", name)


def reason(node: SiteNode, id: str) -> str:
    (to,) = node.facts("queue", "show", id)["to"]
    return str(to.get("reason", ""))


# --- a backend is away -----------------------------------------------------------------------


def refused_at_once(fe1: SiteNode, user: str) -> None:
    start = time.monotonic()
    with pytest.raises(imaplib.IMAP4.error, match=r"\[UNAVAILABLE\]"), fe1.imap(user):
        pass
    with pytest.raises(poplib.error_proto, match=r"-ERR \[SYS/TEMP\]"), fe1.pop3(user):
        pass
    assert time.monotonic() - start < 1


def test_a_backend_is_down(cluster: Cluster) -> None:
    fe1, be2 = cluster.fe1, cluster.be2
    with fe1.imap(BOB) as client, fe1.imap(ALICE) as other:
        be2.kill()
        try:
            until(lambda: is_ended(client))
            assert other.noop()[0] == "OK"
            until(lambda: not cluster.sees_up("be2"), 5)
            refused_at_once(fe1, BOB)
            sent = fe1.deliver(BOB)
            (waiting,) = fe1.queued()
            assert waiting["state"] == "delayed"
            assert "! be2 is not reached" in cluster.d1.cgctl("status")
            fe1.received(ALICE, fe1.deliver(ALICE))
        finally:
            be2.start()
    started = time.monotonic()
    until(lambda: not fe1.queued())
    assert time.monotonic() - started < 3
    fe1.received(BOB, sent)


def test_a_backend_hangs(cluster: Cluster) -> None:
    """It takes connections, and says nothing."""
    fe1 = cluster.fe1
    cluster.be2.send_signal(signal.SIGSTOP)
    try:
        until(lambda: not cluster.sees_up("be2"), 6)
        refused_at_once(fe1, BOB)
        assert "! be2 is not reached: no greeting within" in fe1.cgctl("status")
        sent = fe1.deliver(BOB)
        fe1.received(ALICE, fe1.deliver(ALICE))
        assert len(fe1.queued()) == 1
    finally:
        cluster.be2.send_signal(signal.SIGCONT)
    until(lambda: cluster.sees_up("be2"), 5)
    fe1.received(BOB, sent)


# --- the directory is away -------------------------------------------------------------------


def follows(node: SiteNode) -> bool:
    return bool(node.own_facts()["following"]["following"])


def test_the_directory_is_away(cluster: Cluster) -> None:
    fe1 = cluster.fe1
    cluster.d1.kill()
    try:
        until(lambda: not follows(fe1))
        for user in (ALICE, BOB):
            fe1.received(user, fe1.deliver(user))
        with fe1.smtp() as client:
            client.mail(SENDER)
            assert client.rcpt("nobody@example.com")[0] in (450, 451)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"), fe1.imap(ALICE, "wrong"):
            pass
    finally:
        cluster.d1.start()
    for node in (cluster.be1, cluster.be2, fe1):
        until(lambda node=node: follows(node), 15)  # type: ignore[misc]
    cluster.d1.add_account("erin@example.com", "--host", "be1")
    until(lambda: cluster.knows("erin@example.com"), 2)
    fe1.received("erin@example.com", fe1.deliver("erin@example.com"))


# --- an account is elsewhere -----------------------------------------------------------------


def test_the_wrong_backend_leads_to_the_right_one(cluster: Cluster) -> None:
    sent = cluster.fe1.deliver(BOB)
    cluster.fe1.received(BOB, sent)
    wrong = imaplib.IMAP4("127.0.0.1", cluster.be1.ports["backend_imap"], timeout=PATIENCE)
    wrong.login(BOB, PASSWORD)
    wrong.select()
    assert wrong.search(None, "HEADER", "Message-ID", sent)[1] != [b""]
    wrong.logout()
    assert not (cluster.be1.folder / "storage" / "example.com" / "bob").exists()


def test_a_moved_account_connects_again(cluster: Cluster) -> None:
    with cluster.fe1.imap(ALICE) as client, cluster.fe1.imap(BOB) as other:
        server = ldap3.Server(f"ldap://127.0.0.1:{cluster.d1.ports['ldap']}")
        secret = (cluster.d1.folder / "admin.secret").read_text()
        connection = ldap3.Connection(server, "cn=admin", secret, auto_bind=True)
        change = {"hostServer": [(ldap3.MODIFY_REPLACE, ["be2"])]}
        assert connection.modify("uid=alice,cn=example.com", change)  # type: ignore[no-untyped-call]
        connection.unbind()
        until(lambda: is_ended(client), 3)
        assert other.noop()[0] == "OK"

    def is_there() -> bool:
        # be1 may have heard of it, and ended the session, before the frontend has.
        with suppress(imaplib.IMAP4.error), cluster.fe1.imap(ALICE):
            return [each["host"] for each in cluster.fe1.who()] == ["be2"]
        return False

    until(is_there, 3)
    sent = cluster.fe1.deliver(ALICE)
    cluster.fe1.received(ALICE, sent)
    assert list((cluster.be2.folder / "storage" / "example.com" / "alice").rglob("*:2,*"))
