"""Steady mail in, and people who read: what was accepted and what went wrong is kept."""

from __future__ import annotations

import imaplib
import random
import re
import smtplib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Final

from attrs import define, field, frozen

from tests.demo.cluster import PASSWORD, Address, Cluster, Node

_TIMEOUT: Final = 20.0


@frozen
class Sent:
    """A message that a frontend has taken: 250 was said.  ``at`` is monotonic."""

    id: str
    to: Address
    at: float


@frozen
class Trouble:
    """What a client was told, or met; ``at`` is monotonic."""

    what: str
    account: Address
    at: float


@define
class Traffic:
    """``rate``: messages a second, and log-ins a second, over all threads."""

    cluster: Cluster
    accounts: Sequence[Address]
    rate: float = 40.0
    sent: list[Sent] = field(factory=list)
    """Appended to by several threads, which is safe."""
    cut: list[str] = field(factory=list)
    """Ids of messages whose answer was never heard: they may arrive, or not."""
    logins: list[tuple[Address, float]] = field(factory=list)
    troubles: list[Trouble] = field(factory=list)
    _threads: list[threading.Thread] = field(factory=list)
    _stop: threading.Event = field(factory=threading.Event)

    def start(self) -> None:
        for number in range(2):
            for work in (self._send, self._read):
                thread = threading.Thread(target=self._run, args=(work, number), daemon=True)
                thread.start()
                self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_TIMEOUT * 2)

    def _run(self, work: Callable[[random.Random, int], None], number: int) -> None:
        chance = random.Random(number)
        count = number
        while not self._stop.is_set():
            start = time.monotonic()
            work(chance, count)
            count += 2
            self._stop.wait(max(0.0, 2 / self.rate - (time.monotonic() - start)))

    # --- sending ------------------------------------------------------------------------

    def _send(self, chance: random.Random, count: int) -> None:
        account = chance.choice(self.accounts)
        message_id = f"<{count}.{threading.get_ident()}@demo.test>"
        message = EmailMessage()
        message["From"] = "sender@elsewhere.test"
        message["To"] = account.name
        message["Subject"] = f"message {count}"
        message["Message-ID"] = message_id
        message.set_content("All is well.\n" * 20)
        for node in self._frontends(chance):
            try:
                with smtplib.SMTP("127.0.0.1", node.ports["smtp"], timeout=_TIMEOUT) as client:
                    client.send_message(message, "sender@elsewhere.test", [account.name])
            except (smtplib.SMTPServerDisconnected, ConnectionResetError):
                # Whether it was taken is not known: as any client does, it is sent again.
                self.cut.append(message_id)
            except (OSError, smtplib.SMTPException) as error:
                self._note(f"{node.name} smtp: {error}", account, node)
            else:
                self.sent.append(Sent(message_id, account, time.monotonic()))
                return

    # --- reading ------------------------------------------------------------------------

    def _read(self, chance: random.Random, count: int) -> None:
        account = chance.choice(self.accounts)
        node = self._frontends(chance)[0]
        try:
            with session(node, account):
                pass
        except (OSError, imaplib.IMAP4.error) as error:
            self._note(f"{node.name} imap: {error}", account, node)
        else:
            self.logins.append((account, time.monotonic()))

    def _frontends(self, chance: random.Random) -> list[Node]:
        nodes = [node for node in self.cluster.of_role("frontend") if node.runs]
        chance.shuffle(nodes)
        return nodes

    def _note(self, what: str, account: Address, node: Node) -> None:
        # One that was just killed is no trouble: clients take the other.
        if node.runs:
            self.troubles.append(Trouble(what, account, time.monotonic()))


@contextmanager
def session(node: Node, account: Address) -> Iterator[imaplib.IMAP4]:
    """Logged in, with INBOX selected, and logged out in the end; raises IMAP4.error with what
    the server says, or OSError."""
    client = imaplib.IMAP4("127.0.0.1", node.ports["imap"], timeout=_TIMEOUT)
    try:
        client.login(account.name, PASSWORD)
        client.select()
        yield client
        client.logout()
    finally:
        # Closed already where it ended well.
        with suppress(OSError):
            client.shutdown()


def ids_in(node: Node, account: Address) -> list[str]:
    """The Message-IDs in an account's INBOX."""
    with session(node, account) as client:
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
    headers = [part[1].decode() for part in found if isinstance(part, tuple)]
    return [match[0] for match in (re.search(r"<[^>]+>", header) for header in headers) if match]
