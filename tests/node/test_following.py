"""Nodes that follow a directory, each a process: servers that come and go while the others run,
and a directory that is away for longer than its copies are good for."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.node.site import PASSWORD, PATIENCE, SENDER, Settings, SiteNode, running, until

ALICE, BOB = "alice@example.com", "bob@example.com"
SECRET = "what the nodes of a cluster know"


@frozen
class Cluster:
    """``settings`` are those of all that follow ``d1``."""

    folder: Path
    d1: SiteNode
    be1: SiteNode
    fe1: SiteNode
    settings: Settings

    def node(self, name: str, role: str) -> SiteNode:
        return SiteNode(self.folder / name, name, (role,), self.settings)

    def add_backend(self, node: SiteNode) -> None:
        ports = (("lmtp", "lmtp"), ("imap", "backend_imap"), ("pop3", "backend_pop3"))
        places = [word for name, port in ports for word in (f"--{name}", f"127.0.0.1:{node.ports[port]}")]
        self.d1.cgctl("server", "add", node.name, *places)

    def hosts(self) -> dict[str, bool]:
        """As the frontend sees them: which are up."""
        return {name: each["up"] for name, each in self.fe1.own_facts()["hosts"].items()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    d1 = SiteNode(folder / "d1", "d1", ("directory",))
    access = {
        "urls": [f"ldap://127.0.0.1:{d1.ports['ldap']}"],
        "password_file": str(d1.folder / "admin.secret"),
        "max_age": "4 s",
    }
    secret = folder / "cluster.secret"
    secret.write_text(f"{SECRET}\n")
    settings: Settings = {"cluster": {"secret_file": str(secret), "directory": access}}
    be1, fe1 = (
        SiteNode(folder / name, name, (role,), settings)
        for name, role in (("be1", "backend"), ("fe1", "frontend"))
    )
    cluster = Cluster(folder, d1, be1, fe1, settings)
    with running(d1):
        cluster.add_backend(be1)
        d1.cgctl("domain", "add", "example.com")
        d1.add_account(ALICE)
        with running(be1, fe1):
            until(lambda: taken(fe1) == 250 and cluster.hosts().get("be1"))
            yield cluster


def taken(node: SiteNode, address: str = ALICE) -> int:
    with node.smtp() as client:
        client.mail(SENDER)
        return client.rcpt(address)[0]


def brought(backend: SiteNode) -> int:
    """What a backend says to a frontend that has mail for alice."""
    with smtplib.LMTP("127.0.0.1", backend.ports["lmtp"]) as client:
        client.ehlo("fe1")
        client.login("cluster", SECRET)
        client.mail(SENDER)
        return client.rcpt(ALICE)[0]


def test_servers_come_and_go(cluster: Cluster) -> None:
    d1, fe1 = cluster.d1, cluster.fe1
    be2, fe2 = cluster.node("be2", "backend"), cluster.node("fe2", "frontend")
    with fe1.imap(ALICE) as client, running(be2, fe2):
        cluster.add_backend(be2)
        until(lambda: cluster.hosts().get("be2"))
        d1.add_account(BOB)
        assert d1.facts("account", "show", BOB)["host"] == "be2"
        for node in (fe1, fe2):
            until(lambda node=node: taken(node, BOB) == 250)  # type: ignore[misc]
            for address in (ALICE, BOB):
                node.received(address, node.deliver(address))
        assert d1.cgctl("server", "remove", "be2", status=1).startswith("cgctl: be2 serves 1 entry")
        d1.cgctl("account", "remove", BOB)
        d1.cgctl("server", "remove", "be2")
        until(lambda: cluster.hosts() == {"be1": True})
        assert taken(fe1, BOB) == 550
        assert client.noop()[0] == "OK"


def test_the_copies_are_too_old(cluster: Cluster) -> None:
    """Temporary errors everywhere until the directory is back; sessions go on."""
    d1, be1, fe1 = cluster.d1, cluster.be1, cluster.fe1
    assert brought(be1) == 250
    with fe1.imap(ALICE) as client:
        d1.kill()
        assert taken(fe1) == 250
        until(lambda: taken(fe1) == 451)
        until(lambda: brought(be1) == 451)
        with fe1.smtp("submission") as submission, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            submission.login(ALICE, PASSWORD)
        assert refused.value.smtp_code == 454
        for node, prefix in ((fe1, ""), (be1, "backend_")):
            with pytest.raises(imaplib.IMAP4.error, match=r"\[UNAVAILABLE\]"):
                with node.imap(ALICE, port=f"{prefix}imap"):
                    pass
            pop3 = poplib.POP3("127.0.0.1", node.ports[f"{prefix}pop3"], timeout=PATIENCE)
            pop3.user(ALICE)
            with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
                pop3.pass_(PASSWORD)
            pop3.close()
            assert not node.own_facts()["serves"]
        assert client.noop()[0] == "OK"
    d1.start()
    until(lambda: taken(fe1) == brought(be1) == 250, 30)
    fe1.received(ALICE, fe1.deliver(ALICE))
