"""LMTP over sockets: who may bring mail, what is taken, and that it is in the mailbox then."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event
from typing import Any, TypeVar

import pytest
from attrs import evolve
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from cgnode import accounts
from cgnode.backend.lmtp.service import LmtpService, Terms
from cgnode.backend.mailboxes import Mailboxes
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.sessions.hosting import Here
from cgnode.backend.store import Account, Quota, StorageFailed, StorageFull
from cgnode.net.connection import Origin
from cgnode.net.listeners import MailListeners, Opening
from cgnode.net.tls import cluster_server_context
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.backend.hosted import HOST, SECRET, StillFollowing, hosting, make_site, rehost
from tests.cgnode.backend.mailing import ALICE, BOB, faults, open_store
from tests.cgnode.net.certificates import Authority, cluster_config

reactor: Any = global_reactor
T = TypeVar("T")

TEXT = "Subject: test\r\n\r\nbody\r\n.dot\r\n"
TERMS = Terms("be1.example", patience=0.05, failure_delay=0.01, timeout=10.0)


class Lmtp(smtplib.LMTP):
    """A frontend."""

    def __init__(self, port: int, secret: bytes = SECRET) -> None:
        super().__init__("127.0.0.1", port, local_hostname="fe1.example", timeout=10)
        self.ehlo()
        if secret:
            self.login("cluster", secret.decode())

    def envelope(self, *recipients: str, size: int = 0) -> list[int]:
        self.mail("s@x.example", [f"SIZE={size}"] if size else [])
        return [self.rcpt(each)[0] for each in recipients]

    def text(self, count: int, text: str = TEXT) -> list[tuple[int, bytes]]:
        """DATA, and a reply for each recipient."""
        self.putcmd("data")
        assert self.getreply()[0] == 354
        self.send(smtplib._quote_periods(text.encode()) + b".\r\n")  # type: ignore[attr-defined]
        return [self.getreply() for _ in range(count)]

    def bring(self, *recipients: str, text: str = TEXT) -> list[int]:
        codes = self.envelope(*recipients)
        assert codes == [250] * len(recipients), codes
        return [code for code, _ in self.text(len(recipients), text)]


class LmtpTests(TestCase):
    terms = TERMS
    quota: Quota | None = None
    tls: Any = None

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.directory = EphemeralDirectory()
        self.addCleanup(self.directory.close)
        self.site = make_site(self.directory)
        self.following = StillFollowing(self.site)
        self.store = self.open_store()
        self.pool = ThreadPool(0, 8)
        self.pool.start()
        self.addCleanup(self.pool.stop)
        mailboxes = Mailboxes(self.following, self.store, self.quota, lambda: 0.0)
        self.opener: Callable[[Here], Account] = mailboxes.open
        self.service = LmtpService(
            reactor,
            self.pool,
            hosting(self.following),
            lambda place: self.opener(place),
            lambda: self.store.homes,
            SECRET,
            self.terms,
            tls=self.tls,
            folder=self.folder,
            deliver_all=self.store.deliver_all,
            wall=lambda: 1_700_000_000.0,
        )
        self.listeners = MailListeners(reactor, [Opening("lmtp", "127.0.0.1", 0, self.service.handler)])
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.listeners.startService()
        self.addCleanup(self.listeners.stopService)
        self.port = self.listeners.addresses["lmtp"].port

    def open_store(self) -> MaildirStore:
        return open_store(self.folder / "storage", HOST)

    def tearDown(self) -> None:
        assert faults(self.store) == []

    def client(self, work: Callable[[Lmtp], T], secret: bytes = SECRET) -> Deferred[T]:
        """What a client does, in a thread."""

        def run() -> T:
            client = Lmtp(self.port, secret)
            try:
                return work(client)
            finally:
                client.close()

        return deferToThread(run)

    def messages(self, address: str, home: str = HOST) -> list[bytes]:
        with self.store.account(address, home=home).select("INBOX", read_only=True) as view:
            found = []
            for uid in view.uids:
                with view.open(uid) as content:
                    found.append(content.read())
            return found


class ServiceTests(LmtpTests):
    async def test_delivered(self) -> None:
        assert await self.client(lambda client: client.bring(ALICE)) == [250]
        (text,) = self.messages(ALICE)
        lines = text.decode().split("\r\n")
        assert lines[:4] == [
            "Return-Path: <s@x.example>",
            f"Delivered-To: {ALICE}",
            "Received: from fe1.example ([127.0.0.1])",
            "\tby be1.example (cgnode) with LMTPA",
        ]
        assert text.endswith(b"\r\n" + TEXT.encode())
        counters = self.service.counters
        assert (counters.messages, counters.delivered, counters.deferred) == (1, 1, 0)

    async def test_to_each_a_copy_and_a_reply(self) -> None:
        accounts.add_alias(self.site, "al@example.com", ALICE)
        codes = await self.client(lambda client: client.bring(ALICE, BOB, "al@example.com"))
        assert codes == [250, 250, 250]
        assert len(self.messages(ALICE)) == 1
        assert b"Delivered-To: bob@example.com\r\n" in self.messages(BOB)[0]

    async def test_long_ones_and_several(self) -> None:
        long = "Subject: long\r\n\r\n" + "x" * 70 + "\r\n"
        long += ("y" * 70 + "\r\n") * 20_000

        def work(client: Lmtp) -> list[int]:
            return client.bring(ALICE, BOB, text=long) + client.bring(BOB)

        assert await self.client(work) == [250, 250, 250]
        assert self.messages(ALICE)[0].endswith(long.encode())
        assert len(self.messages(BOB)) == 2
        assert [path.name for path in self.folder.iterdir()] == ["storage"]

    async def test_nothing_without_the_secret(self) -> None:
        def work(client: Lmtp) -> list[int]:
            codes = [client.mail("s@x.example")[0], client.rcpt(ALICE)[0], client.docmd("DATA")[0]]
            for user, password in [("cluster", "wrong"), ("alice@example.com", SECRET.decode())]:
                try:
                    client.login(user, password)
                except smtplib.SMTPAuthenticationError as error:
                    codes.append(error.smtp_code)
            return [*codes, client.mail("s@x.example")[0]]

        assert await self.client(work, b"") == [530, 503, 503, 535, 535, 530]
        assert self.service.counters.auth_failures == 2

    async def test_no_secret_lets_nobody_in(self) -> None:
        self.service.secret = b""
        with pytest.raises(smtplib.SMTPAuthenticationError):
            await self.client(lambda client: client.login("cluster", ""), b"")

    async def test_who_is_taken(self) -> None:
        accounts.add_forwarder(self.site, "out@example.com", "x@far.example")

        def work(client: Lmtp) -> list[tuple[int, bytes]]:
            client.mail("s@x.example")
            names = ["nobody@example.com", "carol@example.com", "x@far.example", "out@example.com"]
            return [client.rcpt(each) for each in names]

        unknown, elsewhere, foreign, forwarded = await self.client(work)
        assert unknown[0] == 550
        assert unknown[1].startswith(b"5.1.1")
        for code, text in (elsewhere, foreign, forwarded):
            assert code == 450
            assert text.startswith(b"4.1.6 not mine"), text

    async def test_the_directory_away(self) -> None:
        self.following.away = "never loaded"
        assert await self.client(lambda client: client.envelope(ALICE)) == [451]

    async def test_an_account_that_is_new(self) -> None:
        """Who brings its mail may have learnt of it a moment before us."""
        self.service.terms = evolve(TERMS, patience=0.5)
        result = self.client(lambda client: client.bring("new@example.com"))
        reactor.callLater(0.2, accounts.add_account, self.site, "new@example.com", host=HOST)
        assert await result == [250]
        assert len(self.messages("new@example.com")) == 1

    async def test_covering(self) -> None:
        """A sibling's accounts are taken once they are ours, into its storage once that is here."""
        open_store(self.folder / "be2", "be2")
        carol = "carol@example.com"
        assert await self.client(lambda client: client.envelope(carol)) == [450]
        rehost(self.directory, "be2", HOST)
        assert await self.client(lambda client: client.envelope(carol)) == [451]
        self.store.attach(self.folder / "be2")
        assert await self.client(lambda client: client.bring(carol)) == [250]
        assert len(self.messages(carol, "be2")) == 1
        assert not self.store.has(carol, home=HOST)

    async def test_moved_while_it_came(self) -> None:
        """What is not ours any more when the text has come is not stored here."""

        def work(client: Lmtp) -> list[tuple[int, bytes]]:
            client.envelope(ALICE, BOB)
            rehost(self.directory, HOST, "be2")
            accounts.remove_account(self.site, BOB)
            blockingCallFromThread(reactor, self.following.change)
            return client.text(2)

        for code, text in await self.client(work):
            assert code == 450
            assert text.startswith(b"4.1.6 not mine"), text
        assert list(self.store.accounts()) == []

    async def test_removed_while_it_is_stored(self) -> None:
        """The backend's own look at the directory is the last, and the mail is routed again."""
        opener = self.opener

        def open_after_removal(place: Here) -> Account:
            blockingCallFromThread(reactor, accounts.remove_account, self.site, ALICE)
            return opener(place)

        self.opener = open_after_removal

        def work(client: Lmtp) -> list[tuple[int, bytes]]:
            client.envelope(ALICE)
            return client.text(1)

        [(code, text)] = await self.client(work)
        assert code == 450
        assert text.startswith(b"4.1.6 not mine"), text

    async def test_a_storage_that_fails(self) -> None:
        """For one recipient; the other has its mail."""
        opener, errors = self.opener, [StorageFull("full"), StorageFailed("broken"), KeyError("ours")]

        def open_some(place: Here) -> Account:
            if str(place.address) == ALICE:
                raise errors[0]
            return opener(place)

        self.opener = open_some
        for expected in (452, 451, 451):
            assert await self.client(lambda client: client.bring(ALICE, BOB)) == [expected, 250]
            errors.pop(0)
        assert len(self.messages(BOB)) == 3
        assert self.service.counters.deferred == 3

    async def test_no_room_for_a_long_text(self) -> None:
        self.service._folder = self.folder / "nowhere"
        long = ("y" * 70 + "\r\n") * 20_000

        def work(client: Lmtp) -> list[int]:
            return client.bring(ALICE, BOB, text=long) + client.bring(BOB)

        assert await self.client(work) == [452, 452, 250]

    async def test_lost_amid_a_message(self) -> None:
        def work(client: Lmtp) -> None:
            client.envelope(ALICE)
            client.putcmd("data")
            client.getreply()
            client.send(b"Subject: cut\r\n")

        await self.client(work)
        assert await self.client(lambda client: client.bring(ALICE)) == [250]
        assert len(self.messages(ALICE)) == 1

    async def test_stopping(self) -> None:
        """What is being stored is answered for, the others are told good-bye."""
        opener, begun, connected, going_on = self.opener, Event(), Event(), Event()

        def open_slowly(place: Here) -> Account:
            begun.set()
            going_on.wait(10)
            return opener(place)

        self.opener = open_slowly
        busy = self.client(lambda client: (client.bring(ALICE), client.getreply()[0]))
        idle = self.client(lambda client: (connected.set(), client.getreply()[0])[1])  # type: ignore[func-returns-value]
        await deferToThread(lambda: begun.wait(10) and connected.wait(10))
        stopped = self.service.stopService()
        assert await idle == 421
        assert not stopped.called
        going_on.set()
        assert await busy == ([250], 421)
        await stopped
        assert len(self.messages(ALICE)) == 1
        self.service.startService()

    async def test_many_at_once(self) -> None:
        def work(client: Lmtp) -> list[list[int]]:
            return [client.bring(ALICE, BOB) for _ in range(5)]

        for each in [self.client(work) for _ in range(12)]:
            assert await each == [[250, 250]] * 5
        assert len(self.messages(ALICE)) == 60
        assert len(self.messages(BOB)) == 60


class QuotaTests(LmtpTests):
    terms = evolve(TERMS, quota=True)
    quota = Quota(size=2000)

    async def test_full(self) -> None:
        def work(client: Lmtp) -> list[int]:
            codes = client.bring(ALICE, text="x" * 900 + "\r\n")
            codes += client.envelope(ALICE, size=1500)
            client.rset()
            codes += client.envelope(ALICE, BOB, size=100)
            codes += [code for code, _ in client.text(2, "x" * 1500 + "\r\n")]
            codes += client.envelope(BOB, size=3000)
            client.rset()
            client.envelope(BOB)
            return codes + [code for code, _ in client.text(1, ("x" * 70 + "\r\n") * 50)]

        assert await self.client(work) == [250, 452, 250, 250, 452, 250, 552, 552]
        assert len(self.messages(ALICE)) == 1


class TimeTests(LmtpTests):
    terms = evolve(TERMS, timeout=0.3)

    async def test_silence(self) -> None:
        assert await self.client(lambda client: client.getreply()[0]) == 421

    async def test_a_client_that_sends_on(self) -> None:
        """All of a transaction in one segment, and the next with it."""
        one = b"MAIL FROM:<s@x.example>\r\nRCPT TO:<alice@example.com>\r\n"
        one += b"RCPT TO:<nobody@example.com>\r\nDATA\r\n"

        def work(client: Lmtp) -> list[int]:
            assert isinstance(client.sock, socket.socket)
            client.sock.sendall(
                one + b"Subject: 1\r\n\r\n1\r\n.\r\n" + one + b"Subject: 2\r\n\r\n2\r\n.\r\nQUIT\r\n"
            )
            return [client.getreply()[0] for _ in range(11)]

        expected = [250, 250, 550, 354, 250] * 2 + [221]
        assert await self.client(work) == expected
        assert len(self.messages(ALICE)) == 2


class TlsTests(LmtpTests):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder)
        self.node = self.authority.issue("fe1")
        self.tls = cluster_server_context(cluster_config(self.authority.path, self.authority.issue(HOST)))
        super().setUp()

    async def test_secured(self) -> None:
        """The log-in before it counts for nothing."""
        context = ssl.create_default_context(cafile=str(self.authority.path))
        context.check_hostname = False
        context.load_cert_chain(self.node.certificate, self.node.key)

        def work(client: Lmtp) -> list[int]:
            codes = [client.starttls(context=context)[0], client.mail("s@x.example")[0]]
            client.ehlo()
            codes.append(client.mail("s@x.example")[0])
            client.login("cluster", SECRET.decode())
            return codes + client.bring(ALICE)

        assert await self.client(work) == [220, 530, 530, 250]
        assert b" with LMTPSA\r\n" in self.messages(ALICE)[0]

    def test_what_is_offered_where(self) -> None:
        near = Origin("127.0.0.1", 1, "127.0.0.1", 24, "s")
        far = evolve(near, client="192.0.2.1", server="192.0.2.2")
        assert self.service.offer(near).clear_auth
        assert self.service.offer(far).tls_required
        assert not self.service.offer(far).clear_auth
        self.service.terms = evolve(TERMS, clear_text=True)
        assert self.service.offer(far).clear_auth
        assert self.service.offer(far).auth_required
