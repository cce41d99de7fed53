"""The backend's ports inside TLS, as between nodes.  Twisted's TLS takes the time from the global
reactor, which is trial's."""

# mypy: disallow-untyped-calls=False
# Trial is not annotated.

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cgnode.net.tls import cluster_server_context
from tests.cgnode.backend.mailing import open_store, text
from tests.cgnode.backend.serving_mail import as_node, log_in_pop3, ok, serving
from tests.cgnode.net.certificates import Authority, cluster_config

reactor = cast(Any, installed)


class MailTLS(TestCase):
    def test_between_nodes(self) -> Deferred[None]:
        return deferToThread(self._between_nodes)

    def _between_nodes(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        authority = Authority(folder)
        context = cluster_server_context(cluster_config(authority.path, authority.issue("be1")))
        with serving(open_store(folder / "storage"), reactor=reactor) as (served,):
            served.imap_backend = evolve(served.imap_backend, tls=context)
            served.pop3_backend = evolve(served.pop3_backend, tls=context)
            with served.connect() as client:
                assert "STARTTLS" in client.capabilities
                ok(client.starttls(_frontend(authority)))
                as_node(client, "alice@example.com")
                message = text(1) + b"0123456789\r\n" * 300_000
                ok(client.append("INBOX", "", "", message))
                assert ok(client.select()) == [b"1"]
                assert ok(client.fetch("1", "(BODY.PEEK[])"))[0][1] == message
            pop3 = served.connect_pop3()
            pop3.stls(_frontend(authority))
            log_in_pop3(pop3, "alice@example.com")
            assert pop3.retr(1)[1] == message.splitlines()
            pop3.quit()


def _frontend(authority: Authority) -> ssl.SSLContext:
    """A node's, with its own certificate."""
    pair = authority.issue("fe1")
    context = ssl.create_default_context(cafile=str(authority.path))
    context.check_hostname = False
    context.load_cert_chain(pair.certificate, pair.key)
    return context
