"""Our client with our server, and the standard library's clients with our server, in
memory."""

from __future__ import annotations

import io
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve

from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.client import Client, Closed
from cgnode.proto.smtp.delivery import Outcome
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
from cgnode.proto.smtp.events import XClient
from cgnode.proto.smtp.opening import Dialect, Login, Profile, Step, Tls
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.proto.smtp.states import Limits, Service
from tests.cgnode.proto.smtp.shells import (
    LMTP,
    SMTP,
    SUBMISSION,
    Answers,
    ClientShell,
    Job,
    Message,
    ServerShell,
    back_to_back,
)

ALICE, BOB, NOBODY = (Recipient(Address(name, "example.com")) for name in ("alice", "bob", "nobody"))
TEXT = b"Subject: x\r\n\r\n.\r\n..\r\n.dot\r\n" + b"long " * 200 + b"\r\n.\r\n"
JOB = Job(Mail(Address("alice", "example.com"), MailParameters(size=len(TEXT))), (BOB,), TEXT)
PROFILES = {Dialect.SMTP: Profile(Dialect.SMTP, "fe1"), Dialect.LMTP: Profile(Dialect.LMTP, "fe1")}


def both(
    client: ClientShell, service: Service, size: int = 1000, answers: Answers | None = None
) -> ServerShell:
    server = ServerShell(Server(service, Limits()), answers or Answers())
    back_to_back(client, server, size)
    return server


def outcomes(shell: ClientShell) -> list[list[Outcome]]:
    return [[result.outcome for result in results] for results in shell.results]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("dialect", "service"), [(Dialect.SMTP, SMTP), (Dialect.LMTP, LMTP)])
def test_messages(dialect: Dialect, service: Service, size: int) -> None:
    mixed = evolve(JOB, recipients=(ALICE, NOBODY, BOB))
    client = ClientShell(Client(PROFILES[dialect]), [JOB, mixed, evolve(JOB, recipients=(NOBODY,)), JOB])
    server = both(client, service, size)
    assert [message.text for message in server.messages] == [TEXT] * 3
    assert server.messages[1].recipients == (ALICE, BOB)
    delivered, permanent = Outcome.DELIVERED, Outcome.PERMANENT
    assert outcomes(client) == [[delivered], [delivered, permanent, delivered], [permanent], [delivered]]
    assert client.closed == Closed(Step.QUIT, "", Reply(221, "2.0.0", "good bye"))


def test_results_of_each_recipient_in_lmtp() -> None:
    stored = {"bob@example.com": Reply(452, "4.2.2", "mailbox full")}
    client = ClientShell(Client(PROFILES[Dialect.LMTP]), [evolve(JOB, recipients=(ALICE, BOB))])
    both(client, LMTP, answers=Answers(stored=stored))
    assert outcomes(client) == [[Outcome.DELIVERED, Outcome.TEMPORARY]]


def test_an_envelope_arrives_as_it_left() -> None:
    mail = Mail(
        Address("kä the", "exämple.com"),
        MailParameters(len(TEXT), Body.EIGHT_BIT, True, Return.FULL, "an id+="),
    )
    recipients = (
        Recipient(
            Address('q"uo\\te', "[IPv6:2001:db8::1]"),
            RecipientParameters(
                frozenset({Notify.SUCCESS, Notify.FAILURE}), OriginalRecipient("utf-8", "ü+\\=")
            ),
        ),
        Recipient(
            BOB.address, RecipientParameters(frozenset({Notify.NEVER}), OriginalRecipient("rfc822", "a b"))
        ),
    )
    client = ClientShell(Client(PROFILES[Dialect.SMTP]), [Job(mail, recipients, TEXT)])
    assert both(client, SMTP).messages == [Message(mail, recipients, TEXT)]


def test_tls_xclient_and_login() -> None:
    real = XClient("client.example.net", ip_address("2001:db8::1"), 4711, "ESMTP", "a b+c")
    profile = Profile(Dialect.SMTP, "fe1", Tls.REQUIRED, Login("alice", b"secret", "bob"), xclient=real)
    client = ClientShell(Client(profile), [JOB])
    server = both(client, evolve(SUBMISSION, xclient=True, tls_required=True, clear_auth=False))
    assert len(server.messages) == 1
    assert server.server.client.proxied == real
    assert server.server.client.identity == "alice"
    assert server.server.client.secure
    wrong = evolve(profile, login=Login("alice", b"wrong"))
    client = ClientShell(Client(wrong), [JOB])
    both(client, evolve(SUBMISSION, tls_required=True))
    assert client.closed == Closed(Step.AUTH, "refused in AUTH", Reply(535, "5.7.8", "authentication failed"))


# --- the standard library's clients ----------------------------------------------------


class Wire:
    """A socket whose other end is a server's shell."""

    def __init__(self, shell: ServerShell) -> None:
        self.shell = shell
        self.read = 0

    def sendall(self, data: bytes) -> None:
        for place in range(0, len(data), 11):
            self.shell.feed(data[place : place + 11])

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self))

    def close(self) -> None:
        pass


class _Reading(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        waiting = self.wire.shell.said[self.wire.read :][: len(buffer)]
        buffer[: len(waiting)] = waiting
        self.wire.read += len(waiting)
        return len(waiting)


@contextmanager
def connected(
    kind: type[smtplib.SMTP], service: Service, answers: Answers | None = None
) -> Iterator[tuple[smtplib.SMTP, ServerShell]]:
    shell = ServerShell(Server(service), answers or Answers()).begin()

    class Connected(kind):  # type: ignore[valid-type, misc]
        def _get_socket(self, host: str, port: int, timeout: float) -> Wire:
            return Wire(shell)

    client = Connected("mx.example.com", local_hostname="client.example.com")
    yield client, shell
    client.quit()
    assert shell.closed is not None
    assert shell.closed.reason == ""


def test_smtplib() -> None:
    with connected(smtplib.SMTP, SMTP) as (client, shell):
        refused = client.sendmail(
            "alice@example.com",
            ["bob@example.com", "nobody@example.com"],
            b"Subject: x\n\n.\n..\nend",
            mail_options=["BODY=8BITMIME"],
            rcpt_options=["NOTIFY=NEVER"],
        )
        assert refused == {"nobody@example.com": (550, b"5.1.1 no such user")}
        assert client.noop()[0] == 250
        assert client.verify("bob")[0] == 252
        assert client.has_extn("chunking")
    message = shell.messages[0]
    assert message.text == b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n"
    assert message.mail.parameters.size == 20
    assert message.recipients[0].parameters.notify == {Notify.NEVER}


def test_smtplib_logs_in() -> None:
    with connected(smtplib.SMTP, SUBMISSION) as (client, shell):
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("alice@example.com", ["bob@example.com"], "x")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("alice", "wrong")
        client.login("alice", "secret")
        client.sendmail("alice@example.com", ["bob@example.com"], "x")
    assert len(shell.messages) == 1
    for mechanism in (smtplib.SMTP.auth_plain, smtplib.SMTP.auth_login):
        for initial in (True, False):
            with connected(smtplib.SMTP, SUBMISSION) as (client, shell):
                client.user, client.password = "alice", "secret"
                client.ehlo()
                name = mechanism.__name__.removeprefix("auth_")
                client.auth(name, getattr(client, mechanism.__name__), initial_response_ok=initial)
            assert shell.server.client.identity == "alice"


def test_smtplib_speaks_lmtp() -> None:
    with connected(smtplib.LMTP, LMTP) as (client, shell):
        client.sendmail("alice@example.com", ["bob@example.com"], "x\n")
        assert client.has_extn("pipelining")
    assert [message.text for message in shell.messages] == [b"x\r\n"]


def test_smtplib_with_international_addresses() -> None:
    with connected(smtplib.SMTP, SMTP) as (client, shell):
        client.ehlo()
        client.command_encoding = "utf-8"
        client.sendmail("käthe@exämple.com", ["jürgen@exämple.com"], "x", mail_options=["SMTPUTF8"])
    assert shell.messages[0].mail.sender == Address("käthe", "exämple.com")
