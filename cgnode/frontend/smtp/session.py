"""One connection: what its dialogue asks is answered by those who know.

What lives here: which question goes to whom, and a message on its way from the dialogue
into the queue.  What must not: the dialogue's own rules (``proto.smtp.server``), what is
taken from whom (``addresses``), the disk (``queue``).

A message is answered for once the queue has it on the disk.  When the connection is lost
before, nothing is kept of it; or it is kept, and its sender, not knowing, sends it again.
"""

from __future__ import annotations

import logging
from typing import Final, assert_never

from attrs import evolve

from cgnode.frontend.authentication import Denied, Unavailable
from cgnode.frontend.queue.errors import QueueError, QueueFull
from cgnode.frontend.queue.spool import Reception
from cgnode.frontend.queue.values import Envelope
from cgnode.frontend.smtp import trace
from cgnode.frontend.smtp.addresses import DIRECTORY_AWAY, NO_RELAYING
from cgnode.frontend.smtp.desk import Desk
from cgnode.frontend.smtp.login import Login
from cgnode.frontend.smtp.terms import Kind
from cgnode.net.connection import Connection
from cgnode.proto.sasl import Credentials, KeysWanted, Proven
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
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.server import Server
from cgnode.router import AccountRecord

log = logging.getLogger(__name__)

FULL: Final = Reply(452, "4.3.1", "no room for the message; try again later")
FAILED: Final = Reply(451, "4.3.0", "the message could not be kept; try again later")
TOO_FAST: Final = Reply(450, "4.7.1", "too many messages; try again later")
LOOPING: Final = Reply(554, "5.4.6", "too many hops: the message goes in circles")
TIMED_OUT: Final = Reply(421, "4.4.2", "nothing came for too long")
GOING_DOWN: Final = Reply(421, "4.3.2", "the server is going down")
NO_ACCOUNT: Final = Reply(550, "5.7.8", "no such account")
LOGIN_TIME: Final = Reply(421, "4.7.0", "no log-in for too long")


class Session:
    """The handler of a connection."""

    def __init__(self, desk: Desk, kind: Kind, connection: Connection) -> None:
        origin, terms = connection.origin, desk.terms
        self._desk = desk
        self._kind = kind
        self._counters = desk.counters[kind]
        self._connection = connection
        self._id = origin.session
        self._client = origin.client
        service = evolve(
            desk.services[kind],
            clear_auth=terms.clear_text or origin.loopback,
            xclient=terms.trusts(origin.client),
        )
        self.core = Server(service, desk.limits, secure=origin.secure)
        self._login = Login(desk, self.core, connection, self._counters, self._logged_in)
        self._account: AccountRecord | None = None
        """The client's own, once that is granted."""
        self._received_from = ""
        self._mail = Mail(None)
        self._recipients: tuple[Recipient, ...] = ()
        self._reception: Reception | None = None
        self._header = trace.Header()
        self._failure: Reply | None = None
        """What is said of the message, which has failed already, when it has come."""
        self._settling = self._ending = False

    # --- the connection's calls --------------------------------------------------------

    def begin(self) -> bytes:
        self._counters.connections += 1
        self._counters.open += 1
        self._desk.sessions.add(self)
        log.info("%s %s from %s", self._id, self._kind.value, self._client)
        self._connection.idle(self._desk.terms.timeout)
        if self._kind is Kind.SUBMISSION:
            self._login.expect(self._desk.terms.login_time, lambda: self.end(LOGIN_TIME))
        return self.core.begin()

    def secured(self) -> None:
        self.core.starttls_done()
        self._forget_client()

    def timed_out(self) -> None:
        if self._settling:
            # It is we who are slow.
            self._connection.idle(self._desk.terms.timeout)
            return
        self._counters.timeouts += 1
        self.end(TIMED_OUT)

    def lost(self, reason: str) -> None:
        self._counters.open -= 1
        self._desk.sessions.discard(self)
        self._login.stop()
        self.core.close()
        self._drop()
        log.info("%s closed: %s", self._id, reason)
        self._desk.session_ended()

    def end(self, reply: Reply) -> None:
        """End the connection; but a message that is being written to the disk is answered
        for first."""
        if self._settling:
            self._ending = True
            return
        closed = self.core.disconnect(reply)
        self._drop()
        self._connection.close(closed.last_words, closed.reason)

    def handle(self, event: Event) -> None:
        match event:
            case Recipient():
                self._connection.answer(self._take_recipient(event))
            case Mail():
                self._connection.answer(self._take_sender(event))
            case Chunk(data):
                self._write(data)
            case MessageBegin():
                self._connection.answer(self._begin_message(event))
            case MessageEnd():
                self._end_message()
            case MessageAbort(reason):
                self._counters.aborted += 1
                log.info("%s message dropped: %s", self._id, reason)
                self._drop()
            case Hello():
                self._connection.answer(self.core.accept())
            case XClient():
                self._connection.answer(self._speak_for(event))
            case Credentials() | KeysWanted() | Proven():
                self._login.take(event, self._client)
            case StartTLS(answer):
                self._connection.start_tls(self._desk.tls, answer)
            case Closed(last_words, reason):
                self._connection.close(last_words, reason)
            case bytes():
                self._connection.answer(event)
            case _:
                assert_never(event)

    # --- who the client is -------------------------------------------------------------

    @property
    def _known(self) -> AccountRecord | None:
        """Whom the client has shown to be, with all that the mechanism asks for."""
        return self._account if self.core.client.identity else None

    def _logged_in(self, account: AccountRecord) -> None:
        self._account = account
        log.info("%s %s logged in from %s", self._id, account.address, self._client)

    def _speak_for(self, event: XClient) -> bytes:
        """A trusted proxy tells who its client is, and may have authenticated it."""
        account = self._desk.authenticator.find(event.login) if event.login else None
        if isinstance(account, Denied):
            return self.core.refuse(NO_ACCOUNT)
        if isinstance(account, Unavailable):
            return self.core.refuse(DIRECTORY_AWAY)
        answer = self.core.accept()
        self._forget_client()
        if event.address is not None:
            self._client = str(event.address)
        log.info("%s from %s, a proxy says", self._id, self._client)
        if account is not None:
            self.core.client.identity = str(account.account.address)
            self._login.stop()
            self._logged_in(account.account)
        return answer

    def _forget_client(self) -> None:
        self._account = None
        self._received_from = ""
        self._client = self._connection.origin.client

    # --- envelope ----------------------------------------------------------------------

    def _take_sender(self, mail: Mail) -> bytes:
        desk, account = self._desk, self._known
        refusal: Reply | None = None
        if account is not None and desk.terms.sender_check and mail.sender is not None:
            refusal = desk.addresses.sender(mail.sender, account.dn)
            self._counters.senders_refused += refusal is not None
        who = self._client if account is None else account.dn
        if refusal is None and not desk.rates.take(who, desk.reactor.seconds()):
            refusal = TOO_FAST
            self._counters.rate_limited += 1
        if refusal is None:
            return self.core.accept()
        log.info("%s from=<%s> refused: %s", self._id, mail.sender or "", refusal)
        return self.core.refuse(refusal)

    def _take_recipient(self, recipient: Recipient) -> bytes:
        address = self._desk.addresses.complete(recipient.address)
        refusal = self._desk.addresses.recipient(address, relay=self._known is not None)
        if refusal is None:
            return self.core.accept()
        if refusal.temporary:
            self._counters.deferred += 1
        else:
            self._counters.refused += 1
            self._counters.relaying += refusal is NO_RELAYING
        log.info("%s from=%s to=<%s> refused: %s", self._id, self._client, address, refusal)
        return self.core.refuse(refusal)

    # --- message -----------------------------------------------------------------------

    def _begin_message(self, event: MessageBegin) -> bytes:
        mail = event.mail
        try:
            reception = self._desk.queue.receive(mail.parameters.size or 0)
        except QueueError as error:
            return self.core.refuse(self._not_kept(error))
        self._mail = mail
        self._recipients = self._distinct(event.recipients)
        self._failure = None
        self._reception = reception
        second = int(self._desk.wall())
        self._header = trace.Header(self._fields(reception.id, second))
        self._write_to(reception, self._received(reception.id, second))
        return self.core.accept()

    def _distinct(self, recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
        """Each once, and with a domain."""
        if len(recipients) > 1:
            recipients = tuple(dict.fromkeys(recipients))
        if all(recipient.address.domain for recipient in recipients):
            return recipients
        complete = self._desk.addresses.complete
        return tuple(evolve(recipient, address=complete(recipient.address)) for recipient in recipients)

    def _received(self, id: str, second: int) -> bytes:
        client = self.core.client
        if not self._received_from:
            proxied = client.proxied
            source = trace.Source(proxied.helo or client.hello, self._client, proxied.name)
            self._received_from = trace.received_from(source, self._desk.terms.hostname)
        utf8 = self._mail.parameters.utf8
        protocol = trace.protocol(client.extended, utf8, client.secure, self._known is not None)
        only = self._recipients[0].address if len(self._recipients) == 1 else None
        return trace.received(self._received_from, protocol, id, self._id, only, second)

    def _fields(self, id: str, second: int) -> tuple[bytes, bytes] | None:
        """What a message of an author's has to have."""
        if self._kind is not Kind.SUBMISSION:
            return None
        message_id = f"Message-ID: <{id}.{self._id}@{self._desk.terms.hostname}>\r\n"
        return f"Date: {trace.date(second)}\r\n".encode(), message_id.encode()

    def _write(self, data: bytes) -> None:
        if self._reception is not None:
            self._write_to(self._reception, self._header.feed(data))

    def _write_to(self, reception: Reception, data: bytes) -> None:
        try:
            reception.write(data)
        except QueueError as error:
            self._failure = self._not_kept(error)
            self._drop()

    def _end_message(self) -> None:
        reception = self._reception
        if reception is not None:
            self._write_to(reception, self._header.finish())
        if self._failure is None and self._header.hops > self._desk.terms.hops:
            self._counters.rejected += 1
            self._failure = LOOPING
        if reception is None or self._failure is not None:
            self._drop()
            self._finish(self._failure or FAILED)
            return
        self._reception = None
        self._settling = True
        envelope = Envelope(self._mail, self._recipients, self._client, self._id)
        future = self._desk.queue.commit(reception, envelope)
        self._desk.settling.wait(future, lambda error: self._settled(reception, error))

    def _settled(self, reception: Reception, error: QueueError | None) -> None:
        """It is on the disk, or why it is not."""
        self._settling = False
        if error is not None:
            self._finish(self._not_kept(error))
            return
        counters, count = self._counters, len(self._recipients)
        counters.messages += 1
        counters.octets += reception.size
        counters.recipients += count
        sender = self._mail.sender or ""
        log.info(
            "%s accepted %s from=<%s> to=%d size=%d", self._id, reception.id, sender, count, reception.size
        )
        self._finish(Reply(250, "2.0.0", f"queued as {reception.id}"))

    def _finish(self, reply: Reply) -> None:
        self._connection.answer(self.core.finish(reply))
        if self._ending:
            self.end(GOING_DOWN)

    def _not_kept(self, error: QueueError) -> Reply:
        self._counters.failed += 1
        log.error("%s message not kept: %s", self._id, error)
        return FULL if isinstance(error, QueueFull) else FAILED

    def _drop(self) -> None:
        """Keep nothing of a message that is on its way."""
        reception, self._reception = self._reception, None
        if reception is not None:
            reception.abort()
