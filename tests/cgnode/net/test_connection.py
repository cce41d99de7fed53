"""Connections over real sockets: listeners, dialogues, TLS, PROXY, joining, dialling."""

# mypy: disallow-untyped-calls=False
# Trial's test cases are not annotated throughout.

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import pytest
from attrs import evolve
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cgnode.config import Config
from cgnode.members import Endpoint
from cgnode.net.connection import Connection, Handler
from cgnode.net.dial import dial
from cgnode.net.join import Joined, join
from cgnode.net.listeners import Admission, CannotListen, MailListeners, Opening
from cgnode.net.tls import public_context
from tests.cgnode.net.certificates import Authority
from tests.cgnode.net.echo import Echo, Silent

reactor = cast(Any, installed)
T = TypeVar("T")


class Client:
    """A blocking client; its methods run in threads."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.reset = False

    def say(self, data: bytes) -> Client:
        self.socket.sendall(data)
        return self

    def hear(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            try:
                more = self.socket.recv(min(size - len(got), 1 << 16))
            except ConnectionResetError:
                self.reset = True
                break
            if not more:
                break
            got += more
        return bytes(got)

    def all(self) -> bytes:
        return self.hear(1 << 30)

    def secure(self) -> Client:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        return self


class Case(TestCase):
    def setUp(self) -> None:
        self.handlers: list[Echo] = []
        self.clients: list[Client] = []

    def listen(
        self,
        make: Callable[[Connection], Handler] | None = None,
        tls: Any = None,
        admission: Admission | None = None,
    ) -> int:
        opening = Opening(
            "x", "127.0.0.1", 0, make or self.echo, tls, admission or Admission(), busy=b"busy\n"
        )
        self.listeners = MailListeners(reactor, [opening])
        self.listeners.startService()
        self.addCleanup(self.listeners.stopService)
        return self.listeners.addresses["x"].port

    def echo(self, connection: Connection) -> Echo:
        self.handlers.append(Echo(connection, getattr(self, "context", None)))
        return self.handlers[-1]

    def talk(self, port: int, what: Callable[[Client], T]) -> Deferred[T]:
        """In a thread: with a client that is closed in the end."""

        def run() -> T:
            client = Client(port)
            self.clients.append(client)
            try:
                return what(client)
            finally:
                client.socket.close()

        found: Deferred[T] = deferToThread(run)
        return found

    def settle(self) -> Deferred[None]:
        """Connections that were closed are seen to be."""
        return deferLater(reactor, 0.05)

    def certificates(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.context = public_context(Config(tls=Authority(Path(folder.name)).issue("localhost")))


class Dialogues(Case):
    @inlineCallbacks
    def test_events_are_answered_in_turn(self) -> Any:
        port = self.listen()
        heard = yield self.talk(port, lambda client: client.say(b"one\ntwo\nQUIT\nthree\n").all())
        assert heard == b"hello\none\ntwo\nbye\n"
        yield self.settle()
        assert len(self.handlers[0].lost_because) == 1
        assert self.listeners.open == 0

    @inlineCallbacks
    def test_a_late_answer_holds_back_what_is_behind(self) -> Any:
        port = self.listen()
        told = self.talk(port, lambda client: client.say(b"LATER 1\nnext\nQUIT\n").all())
        yield deferLater(reactor, 0.1)
        handler = self.handlers[0]
        assert handler.core.asked
        handler.connection.answer(handler.core.answered())
        assert (yield told) == b"hello\ndone\nnext\nbye\n"
        assert not handler.connection.open
        handler.connection.answer(b"nobody hears it")

    @inlineCallbacks
    def test_a_bug_ends_one_connection_only(self) -> Any:
        port = self.listen()
        with self.assertLogs("cgnode.net.connection", "ERROR"):
            heard = yield self.talk(port, lambda client: client.say(b"FAIL\n").all())
        assert heard == b"hello\n"
        assert (yield self.talk(port, lambda c: c.say(b"QUIT\n").all())) == b"hello\nbye\n"

    @inlineCallbacks
    def test_silence_is_ended(self) -> Any:
        def impatient(connection: Connection) -> Handler:
            handler = self.echo(connection)
            connection.idle(0.2)
            return handler

        heard = yield self.talk(self.listen(impatient), lambda client: client.say(b"one\n").all())
        assert heard == b"hello\none\ntoo slow\n"
        yield self.settle()
        assert self.handlers[0].lost_because == ["timed out"]

    @inlineCallbacks
    def test_a_peer_that_does_not_read_stops_the_events(self) -> Any:
        port = self.listen()
        client = Client(port)
        self.addCleanup(client.socket.close)
        client.say(b"MANY 50000\nQUIT\n")
        yield deferLater(reactor, 0.5)
        waiting = self.handlers[0].core.waiting
        assert len(waiting) > 25000
        heard = yield deferToThread(client.all)
        assert len(heard) == len(b"hello\nbye\n") + 50000 * 1024


class Tls(Case):
    @inlineCallbacks
    def test_starttls_drops_what_was_behind_it(self) -> Any:
        self.certificates()
        port = self.listen()

        def dialogue(client: Client) -> bytes:
            client.say(b"STARTTLS\nsmuggled\n").hear(len(b"hello\ngo\n"))
            return client.secure().say(b"one\nQUIT\n").all()

        assert (yield self.talk(port, dialogue)) == b"one\nbye\n"
        assert self.handlers[0].secure

    @inlineCallbacks
    def test_tls_from_the_start(self) -> Any:
        self.certificates()
        port = self.listen(tls=self.context)
        heard = yield self.talk(port, lambda client: client.secure().say(b"one\nQUIT\n").all())
        assert heard == b"hello\none\nbye\n"
        assert self.handlers[0].connection.origin.secure

    @inlineCallbacks
    def test_a_handshake_that_is_none(self) -> Any:
        self.certificates()
        port = self.listen(tls=self.context)
        yield self.talk(port, lambda client: client.say(b"EHLO there\r\n" * 20).all())
        yield self.settle()
        assert self.handlers == []
        assert self.listeners.open == 0


class Listening(Case):
    trusted = Admission(proxies=(ip_network("127.0.0.0/8"),))

    @inlineCallbacks
    def test_a_trusted_balancer_tells_who_is_there(self) -> Any:
        port = self.listen(admission=self.trusted)
        header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 143\r\n"
        yield self.talk(port, lambda client: client.say(header + b"one\nQUIT\n").all())
        origin = self.handlers[0].connection.origin
        assert (origin.client, origin.client_port) == ("192.0.2.7", 4000)
        assert (origin.server, origin.server_port) == ("192.0.2.1", 143)
        assert not origin.loopback

    @inlineCallbacks
    def test_the_header_comes_before_tls(self) -> Any:
        self.certificates()
        port = self.listen(tls=self.context, admission=self.trusted)
        header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 993\r\n"

        def dialogue(client: Client) -> bytes:
            return client.say(header).secure().say(b"one\nQUIT\n").all()

        assert (yield self.talk(port, dialogue)) == b"hello\none\nbye\n"
        assert self.handlers[0].connection.origin.client == "192.0.2.7"

    @inlineCallbacks
    def test_a_balancer_without_a_header_is_cut_off(self) -> Any:
        port = self.listen(admission=self.trusted)
        assert (yield self.talk(port, lambda client: client.say(b"one\n").all())) == b""
        assert self.clients[0].reset
        assert self.handlers == []

    @inlineCallbacks
    def test_one_address_has_a_bounded_number(self) -> Any:
        port = self.listen(admission=Admission(per_address=2))
        held = [Client(port), Client(port)]
        for client in held:
            yield deferToThread(client.hear, 6)
        with self.assertLogs("cgnode.net.listeners", "WARNING"):
            assert (yield self.talk(port, lambda client: client.all())) == b"busy\n"
        for client in held:
            client.socket.close()
        yield self.settle()
        assert (yield self.talk(port, lambda c: c.say(b"QUIT\n").all())) == b"hello\nbye\n"
        assert (self.listeners.counters.accepted, self.listeners.counters.refused) == (3, 1)

    @inlineCallbacks
    def test_behind_a_balancer_each_client_is_bounded(self) -> Any:
        port = self.listen(admission=evolve(self.trusted, per_address=1))
        header = b"PROXY TCP4 192.0.2.%d 192.0.2.1 4000 143\r\n"
        held = Client(port)
        self.addCleanup(held.socket.close)
        held.say(header % 7)
        yield deferToThread(held.hear, 6)
        with self.assertLogs("cgnode.net.listeners", "WARNING"):
            assert (yield self.talk(port, lambda c: c.say(header % 7).all())) == b"busy\n"
        other = yield self.talk(port, lambda c: c.say(header % 8 + b"QUIT\n").all())
        assert other == b"hello\nbye\n"
        held.socket.close()
        yield self.settle()
        assert self.listeners.open == 0
        again = yield self.talk(port, lambda c: c.say(header % 7 + b"QUIT\n").all())
        assert again == b"hello\nbye\n"

    def test_a_port_that_is_taken(self) -> None:
        port = self.listen()
        taken = MailListeners(reactor, [Opening("frontend.listen[0]", "127.0.0.1", port, self.echo)])
        with pytest.raises(CannotListen) as caught:
            taken.startService()
        assert caught.value.key == "frontend.listen[0]"
        assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in str(caught.value)


class Dialling(Case):
    @inlineCallbacks
    def test_a_refusal_is_told_at_once(self) -> Any:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            endpoint = Endpoint("127.0.0.1", unused.getsockname()[1])
            with pytest.raises(ConnectError):
                yield dial(reactor, endpoint, self.echo)
        assert self.handlers == []

    @inlineCallbacks
    def test_a_name_is_looked_up(self) -> Any:
        port = self.listen()
        connection = yield dial(reactor, Endpoint("localhost", port), self.echo, session="s1")
        assert connection.origin.session == "s1"
        connection.close()
        yield self.settle()

    @inlineCallbacks
    def test_a_handshake_that_fails_is_a_failure_to_connect(self) -> Any:
        from twisted.internet.ssl import optionsForClientTLS

        port = self.listen()
        with pytest.raises(ConnectError) as caught:
            yield dial(reactor, Endpoint("127.0.0.1", port), self.echo, tls=optionsForClientTLS("localhost"))
        assert "in the TLS handshake" in str(caught.value)
        yield self.settle()


class Joining(Case):
    """A client, joined to an echo as soon as it is connected."""

    def setUp(self) -> None:
        super().setUp()
        self.joined: list[Joined] = []
        self.ended = 0

    def front(self, context: Any = None) -> int:
        back = self.listen()
        backend = self.listeners

        def make(connection: Connection) -> Handler:
            front, behind = Silent(), Silent()

            def connected(other: Connection) -> None:
                reactor.callLater(0.2, self.join, connection, other, front, behind)

            dial(reactor, Endpoint("127.0.0.1", back), lambda _: behind).addCallback(connected)
            return front

        port = self.listen(make, tls=context)
        self.front_listeners, self.listeners = self.listeners, backend
        return port

    def join(self, client: Connection, server: Connection, front: Silent, behind: Silent) -> None:
        def ended() -> None:
            self.ended += 1

        self.joined.append(join(client, server, ended, front.heard, behind.heard))

    @inlineCallbacks
    def test_what_was_unread_comes_first(self) -> Any:
        port = self.front()

        def dialogue(client: Client) -> bytes:
            start = client.say(b"early\n").hear(len(b"hello\nearly\n"))
            return start + client.say(b"one\nQUIT\n").all()

        heard = yield self.talk(port, dialogue)
        assert heard == b"hello\nearly\none\nbye\n"
        yield self.settle()
        assert self.ended == 1
        (joined,) = self.joined
        assert joined.from_client == len(b"early\none\nQUIT\n")
        assert (self.front_listeners.open, self.listeners.open) == (0, 0)

    @inlineCallbacks
    def test_much_goes_through_and_a_slow_client_makes_the_server_wait(self) -> Any:
        port = self.front()
        client = Client(port)
        self.addCleanup(client.socket.close)
        yield deferToThread(client.hear, len(b"hello\n"))
        client.say(b"MANY 50000\nQUIT\n")
        yield deferLater(reactor, 0.5)
        assert self.joined[0].from_server < 30 << 20
        heard = yield deferToThread(client.all)
        assert len(heard) == 50000 * 1024 + len(b"bye\n")

    @inlineCallbacks
    def test_through_tls(self) -> Any:
        self.certificates()
        port = self.front(self.context)

        def dialogue(client: Client) -> bytes:
            client.secure().hear(len(b"hello\n"))
            client.say(b"MANY 5000\nQUIT\n")
            return client.all()

        heard = yield self.talk(port, dialogue)
        assert len(heard) == 5000 * 1024 + len(b"bye\n")
        yield self.settle()
        assert self.ended == 1

    @inlineCallbacks
    def test_close_ends_both_with_last_words(self) -> Any:
        port = self.front()
        told = self.talk(port, lambda client: client.all())
        yield deferLater(reactor, 0.5)
        self.joined[0].close(b"* BYE moved\r\n")
        assert (yield told) == b"hello\n* BYE moved\r\n"
        yield self.settle()
        assert self.ended == 1
        assert self.listeners.open == 0
