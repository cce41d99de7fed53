"""Shells without sockets: what a server asks is answered from tables, a client's events
are carried out at once; and the two of them, back to back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

from attrs import define, field, frozen

from cgnode.proto import sasl
from cgnode.proto.sasl import Credentials, KeysWanted, Proven, ScramKeys
from cgnode.proto.smtp import client as client_events
from cgnode.proto.smtp.answers import WRONG_CREDENTIALS
from cgnode.proto.smtp.client import Client
from cgnode.proto.smtp.delivery import Result
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.events import (
    Chunk,
    Closed,
    Event,
    Hello,
    MessageAbort,
    MessageBegin,
    MessageEnd,
    StartTLS,
    XClient,
)
from cgnode.proto.smtp.opening import Step
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.proto.smtp.states import Limits, Role, Service

NO_LIMITS: Final = Limits()
NO_SUCH_USER: Final = Reply(550, "5.1.1", "no such user")
STORED: Final = Reply(250, "2.0.0", "stored")

SMTP: Final = Service(Role.SMTP, "mx.example.com", start_tls=True)
SUBMISSION: Final = Service(
    Role.SUBMISSION, "mail.example.com", start_tls=True, mechanisms=sasl.MECHANISMS, clear_auth=True
)
LMTP: Final = Service(Role.LMTP, "be1.example.com")

KEYS: Final = {"alice": sasl.scram_keys("secret", b"salt" * 4, 4096)}


@frozen
class Message:
    """What a server's shell has taken."""

    mail: Mail
    recipients: tuple[Recipient, ...]
    text: bytes


@define
class Answers:
    """What a server's shell says.  Addresses and names as text."""

    passwords: Mapping[str, bytes] = {"alice": b"secret"}
    keys: Mapping[str, ScramKeys] = KEYS
    senders: Mapping[str, Reply] = {}
    recipients: Mapping[str, Reply] = {"nobody@example.com": NO_SUCH_USER}
    begin: Reply | None = None
    stored: Mapping[str, Reply] = {}
    """By recipient; in SMTP, by the first recipient."""
    hello: Reply | None = None
    tls: bool = True


@define
class ServerShell:
    """Drives a server: what it says is in ``said``, the messages in ``messages``."""

    server: Server
    answers: Answers = field(factory=Answers)
    said: bytes = b""
    messages: list[Message] = field(factory=list)
    events: list[Event] = field(factory=list)
    """All but bytes and chunks."""
    closed: Closed | None = None
    text: bytes | None = None

    def begin(self) -> ServerShell:
        self.said += self.server.begin()
        return self

    def feed(self, data: bytes) -> None:
        self.server.receive(data)
        while (event := self.server.next_event()) is not None:
            self.handle(event)

    def handle(self, event: Event) -> None:
        assert self.closed is None, "nothing comes after the end"
        if not isinstance(event, bytes | Chunk):
            self.events.append(event)
        self.said += self.answer(event)

    def answer(self, event: Event) -> bytes:
        server, answers = self.server, self.answers
        match event:
            case bytes():
                return event
            case Hello():
                return server.accept() if answers.hello is None else server.refuse(answers.hello)
            case XClient():
                return server.accept()
            case Credentials(authcid, password):
                good = answers.passwords.get(authcid) == password
                return server.authenticated(authcid) if good else server.refuse(WRONG_CREDENTIALS)
            case KeysWanted(authcid):
                return server.keys(answers.keys.get(authcid) or sasl.decoy_keys(b"decoy", authcid, 4096))
            case Proven(authcid):
                return server.authenticated(authcid)
            case Mail(sender):
                return self.grant(answers.senders.get(str(sender or "")))
            case Recipient(address):
                return self.grant(answers.recipients.get(str(address)))
            case MessageBegin():
                assert self.text is None
                if answers.begin is None:
                    self.text = b""
                return self.grant(answers.begin)
            case Chunk(data):
                assert self.text is not None
                assert data
                self.text += data
                return b""
            case MessageAbort():
                assert self.text is not None
                self.text = None
                return b""
            case MessageEnd(size):
                return self.end(size)
            case StartTLS(answer):
                if answers.tls:
                    server.starttls_done()
                return answer
            case Closed():
                self.closed = event
                return event.last_words
            case _:
                assert_never(event)

    def grant(self, refusal: Reply | None) -> bytes:
        return self.server.accept() if refusal is None else self.server.refuse(refusal)

    def end(self, size: int) -> bytes:
        begun = next(event for event in reversed(self.events) if isinstance(event, MessageBegin))
        assert self.text is not None
        assert len(self.text) == size
        self.messages.append(Message(begun.mail, begun.recipients, self.text))
        self.text = None
        names = [str(recipient.address) for recipient in begun.recipients]
        if self.server.service.role is not Role.LMTP:
            names = names[:1]
        return self.server.finish(*(self.answers.stored.get(name, STORED) for name in names))

    @property
    def replies(self) -> list[str]:
        """What was said, a line each."""
        return self.said.decode("ascii").split("\r\n")[:-1]

    @property
    def codes(self) -> list[int]:
        """The last line's code, of each reply."""
        return [int(line[:3]) for line in self.replies if line[3:4] == " "]


def serve(
    service: Service,
    pieces: Sequence[bytes],
    limits: Limits = NO_LIMITS,
    answers: Answers | None = None,
    prepare: Callable[[Server], object] = lambda server: None,
) -> ServerShell:
    """A dialogue's end."""
    server = Server(service, limits, randomness=lambda size: b"r" * size)
    prepare(server)
    shell = ServerShell(server, answers or Answers()).begin()
    for piece in pieces:
        shell.feed(piece)
    return shell


# --- the client's ------------------------------------------------------------------------


@frozen
class Job:
    """A message to send."""

    mail: Mail
    recipients: tuple[Recipient, ...]
    text: bytes = b""


@define
class ClientShell:
    """Drives a client: sends the jobs one after the other, then quits."""

    client: Client
    jobs: list[Job] = field(factory=list)
    chunk: int = 7
    """Octets of text that are given at a time."""
    results: list[tuple[Result, ...]] = field(factory=list)
    closed: client_events.Closed | None = None
    ready: client_events.Ready | None = None
    current: Job | None = None
    steps: list[Step] = field(factory=list)

    def feed(self, data: bytes) -> bytes:
        """What is to be sent after ``data`` has come."""
        self.client.receive(data)
        return self.pump()

    def disconnect(self) -> None:
        self.client.disconnected()
        self.pump()

    def pump(self) -> bytes:
        said = b""
        while (event := self.client.next_event()) is not None:
            assert self.closed is None
            self.steps.append(self.client.step)
            said += self.carry_out(event)
        return said

    def carry_out(self, event: client_events.Event) -> bytes:
        match event:
            case bytes():
                return event
            case client_events.StartTLS():
                return self.client.starttls_done()
            case client_events.Ready():
                self.ready = event
                return self.next_job()
            case client_events.TextWanted():
                assert self.current is not None
                text = self.current.text
                pieces = [text[place : place + self.chunk] for place in range(0, len(text), self.chunk)]
                return b"".join(map(self.client.text, pieces)) + self.client.end_of_text()
            case client_events.Done(results):
                self.results.append(results)
                self.current = None
                return self.next_job() if self.client.step is Step.READY else b""
            case client_events.Closed():
                self.closed = event
                return b""
            case _:
                assert_never(event)

    def next_job(self) -> bytes:
        if not self.jobs:
            return self.client.quit()
        self.current = self.jobs.pop(0)
        return self.client.send(self.current.mail, self.current.recipients)


def back_to_back(client: ClientShell, server: ServerShell, size: int = 1000) -> None:
    """Both talk until neither has anything to say; ``size`` octets at a time."""
    to_server, to_client = client.pump(), server.begin().said
    while to_server or to_client:
        piece, to_client = to_client[:size], to_client[size:]
        to_server += client.feed(piece)
        piece, to_server = to_server[:size], to_server[size:]
        before = len(server.said)
        server.feed(piece)
        to_client += server.said[before:]
    if server.closed:
        client.disconnect()
