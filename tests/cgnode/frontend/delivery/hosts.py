"""Hosts that take mail, or not: servers on free ports, made of the server's core."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol

from cgnode.members import Endpoint
from cgnode.net.connection import Connection
from cgnode.proto.sasl import Credentials
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.events import Chunk, Closed, Hello, MessageAbort, MessageBegin, MessageEnd, StartTLS
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.proto.smtp.states import Role, Service

reactor: Any = global_reactor

SECRET: Final = b"of the cluster"
STORED: Final = Reply(250, "2.0.0", "stored")

LMTP: Final = Service(Role.LMTP, "be1.example", mechanisms=("PLAIN",), clear_auth=True, auth_required=True)
SMTP: Final = Service(Role.SMTP, "mx.example")


@frozen
class Letter:
    """One recipient's copy of what came."""

    to: str
    sender: str
    text: bytes
    mail: Mail
    recipient: Recipient


@define(eq=False)
class Host:
    """What it has taken, and how it behaves: ``refusals`` to RCPT and ``results`` of messages,
    by address; ``silent`` says nothing at all, ``cut`` ends the connection instead of the
    answer to a message, ``delay`` is before that answer; without ``tls`` STARTTLS, if it is
    offered, fails."""

    service: Service = LMTP
    refusals: dict[str, Reply] = field(factory=dict)
    results: dict[str, Reply] = field(factory=dict)
    greeting: bytes = b""
    silent: bool = False
    cut: bool = False
    delay: float = 0.0
    tls: Any = None
    letters: list[Letter] = field(factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    logins: int = 0
    secure: int = 0
    _port: Any = None
    _number: int = 0
    _all: set[Any] = field(factory=set)
    _waiting: list[tuple[int, Deferred[None]]] = field(factory=list)

    def start(self) -> Endpoint:
        """Again where it was before."""
        self._port = reactor.listenTCP(self._number, _Factory(self), interface="127.0.0.1")
        self._number = self._port.getHost().port
        return Endpoint("127.0.0.1", self._number)

    async def stop(self) -> None:
        """As if killed."""
        if self._port is not None:
            port, self._port = self._port, None
            await maybeDeferred(port.stopListening)
        for transport in list(self._all):
            transport.abortConnection()

    @property
    def number(self) -> int:
        return self._number

    def to(self) -> list[str]:
        return sorted(letter.to for letter in self.letters)

    def took(self, letters: list[Letter]) -> None:
        self.letters += letters
        for entry in list(self._waiting):
            if len(self.letters) >= entry[0]:
                self._waiting.remove(entry)
                entry[1].callback(None)

    def has(self, number: int, timeout: float = 10.0) -> Deferred[None]:
        """Fires when so many letters have come."""
        found: Deferred[None] = Deferred()
        if len(self.letters) >= number:
            found.callback(None)
        else:
            self._waiting.append((number, found))
            found.addTimeout(timeout, reactor)
        return found


class _Factory(Factory):
    noisy = False

    def __init__(self, host: Host) -> None:
        self._host = host

    def buildProtocol(self, addr: object) -> Any:
        host = self._host
        host.connections += 1
        if host.silent or host.greeting:
            return _Mute(host)
        return _Counted(reactor, lambda connection: _Session(host, connection), host)


class _Mute(TwistedProtocol):
    def __init__(self, host: Host) -> None:
        self._host = host

    def connectionMade(self) -> None:
        self._host._all.add(self.transport)
        if self._host.greeting:
            transport: Any = self.transport
            transport.write(self._host.greeting)

    def connectionLost(self, reason: object = None) -> None:
        self._host._all.discard(self.transport)


class _Counted(Connection):
    def __init__(self, reactor: Any, make: Callable[[Connection], Any], host: Host) -> None:
        super().__init__(reactor, make)
        self._host = host

    def connectionMade(self) -> None:
        self._host._all.add(self.transport)
        self._host.open += 1
        self._host.most_open = max(self._host.most_open, self._host.open)
        super().connectionMade()

    def connectionLost(self, reason: Any = None) -> None:
        self._host._all.discard(self.transport)
        self._host.open -= 1
        super().connectionLost(reason)


class _Session:
    def __init__(self, host: Host, connection: Connection) -> None:
        self.core = Server(host.service)
        self._host = host
        self._connection = connection
        self._begun: MessageBegin | None = None
        self._text = b""

    def begin(self) -> bytes:
        return self.core.begin()

    def secured(self) -> None:
        self._host.secure += 1
        self.core.starttls_done()

    def lost(self, reason: str) -> None:
        self.core.close()

    def timed_out(self) -> None:
        self._connection.abort()

    def handle(self, event: Any) -> None:
        core, host = self.core, self._host
        match event:
            case Credentials(authcid, password):
                good = (authcid, password) == ("cluster", SECRET)
                host.logins += good
                self._connection.answer(core.authenticated(authcid) if good else core.refuse(Reply(535)))
            case Recipient(address) if str(address) in host.refusals:
                self._connection.answer(core.refuse(host.refusals[str(address)]))
            case Hello() | Mail() | Recipient():
                self._connection.answer(core.accept())
            case MessageBegin():
                self._begun, self._text = event, b""
                self._connection.answer(core.accept())
            case Chunk(data):
                self._text += data
            case MessageEnd():
                self._end()
            case MessageAbort():
                self._text = b""
            case StartTLS(answer):
                if host.tls is None:
                    self._connection.close(answer)
                else:
                    self._connection.start_tls(host.tls, answer)
            case Closed(last_words, reason):
                self._connection.close(last_words, reason)

    def _end(self) -> None:
        host = self._host
        if host.cut:
            self._connection.abort()
        elif host.delay:
            reactor.callLater(host.delay, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        host, begun = self._host, self._begun
        assert begun is not None
        if not self._connection.open:
            return
        names = [str(recipient.address) for recipient in begun.recipients]
        replies = [host.results.get(name, STORED) for name in names]
        sender = str(begun.mail.sender or "")
        taken = [
            Letter(name, sender, self._text, begun.mail, recipient)
            for name, reply, recipient in zip(names, replies, begun.recipients, strict=True)
            if reply.positive
        ]
        if host.service.role is not Role.LMTP:
            replies = replies[:1]
        self._connection.answer(self.core.finish(*replies))
        host.took(taken)
