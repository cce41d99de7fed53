"""One connection of LMTP: what its dialogue asks is answered from the directory and the store.

What lives here: which question goes to whom, and a message on its way from the dialogue to
the mailboxes.  Nothing is taken from who has not shown the cluster's secret.

A recipient's reply is given once its copy is durable.  When the connection is lost before,
what was begun is finished: the sender, not knowing, brings it again.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, assert_never

from attrs import define, field

from cgnode.backend.lmtp import delivering
from cgnode.backend.lmtp.delivering import Task
from cgnode.backend.lmtp.letter import Bringer, Letter, header
from cgnode.backend.lmtp.recipients import UNKNOWN
from cgnode.backend.sessions.entrance import CLUSTER
from cgnode.backend.sessions.hosting import Here
from cgnode.net.connection import Connection
from cgnode.proto.sasl import Credentials, KeysWanted, Proven
from cgnode.proto.smtp.answers import WRONG_CREDENTIALS
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
from ldapserver.net.reactor import DelayedCall

if TYPE_CHECKING:
    from cgnode.backend.lmtp.service import LmtpService

log = logging.getLogger(__name__)

TIMED_OUT: Final = Reply(421, "4.4.2", "nothing came for too long")
GOING_DOWN: Final = Reply(421, "4.3.2", "the server is going down")


@define
class _Delivery:
    """A message whose text has come.  ``replies`` are by account, as they come in; ``known``
    is the state of the directory that the recipients were looked up in."""

    mail: Mail
    places: tuple[Here, ...]
    letter: Letter
    known: int
    failure: Reply | None = None
    replies: dict[str, Reply] = field(factory=dict)


class Session:
    """The handler of a connection."""

    def __init__(self, service: LmtpService, connection: Connection) -> None:
        origin = connection.origin
        self._service = service
        self._connection = connection
        self._id = origin.session
        self._address = origin.client
        self.core = Server(service.offer(origin), service.limits, secure=origin.secure)
        self._places: dict[Recipient, Here] = {}
        self._size = self._known = 0
        self._delivery: _Delivery | None = None
        self._waiting: DelayedCall | None = None
        self._settling = self._ending = self._lost = False

    # --- the connection's calls -------------------------------------------------------------

    def begin(self) -> bytes:
        counters = self._service.counters
        counters.connections += 1
        counters.open += 1
        self._service.sessions.add(self)
        # The health of hosts is asked after here, again and again.
        log.debug("%s LMTP from %s", self._id, self._address)
        self._connection.idle(self._service.terms.timeout)
        return self.core.begin()

    def secured(self) -> None:
        self.core.starttls_done()

    def timed_out(self) -> None:
        if self._settling:
            # It is we who are slow.
            self._connection.idle(self._service.terms.timeout)
        else:
            self.end(TIMED_OUT)

    def lost(self, reason: str) -> None:
        self._service.counters.open -= 1
        self._service.sessions.discard(self)
        self._lost = True
        self._stop_waiting()
        self.core.close()
        if not self._settling:
            self._drop()
        log.debug("%s closed: %s", self._id, reason)
        self._service.session_ended()

    def end(self, reply: Reply = GOING_DOWN) -> None:
        """End the connection; but a message that is being stored is answered for first."""
        if self._settling:
            self._ending = True
            return
        self._stop_waiting()
        closed = self.core.disconnect(reply)
        self._drop()
        self._connection.close(closed.last_words, closed.reason)

    def handle(self, event: Event) -> None:
        match event:
            case Recipient():
                self._take_recipient(event)
            case Mail():
                self._places = {}
                self._size = event.parameters.size or 0
                self._known = self._service.state
                self._connection.answer(self.core.accept())
            case Chunk(data):
                self._write(data)
            case MessageBegin():
                self._begin_message(event)
            case MessageEnd():
                self._end_message()
            case MessageAbort(reason):
                log.info("%s message dropped: %s", self._id, reason)
                self._drop()
            case Hello():
                self._connection.answer(self.core.accept())
            case XClient(address=address):
                if address is not None:
                    self._address = str(address)
                self._connection.answer(self.core.accept())
            case Credentials():
                self._authenticate(event)
            case KeysWanted() | Proven():
                raise AssertionError("no mechanism on offer asks that")
            case StartTLS(answer):
                self._connection.start_tls(self._service.tls, answer)
            case Closed(last_words, reason):
                self._connection.close(last_words, reason)
            case bytes():
                self._connection.answer(event)
            case _:
                assert_never(event)

    # --- who the client is ------------------------------------------------------------------

    def _authenticate(self, credentials: Credentials) -> None:
        secret = self._service.secret
        right = bool(secret) and hmac.compare_digest(credentials.password, secret)
        if right and credentials.authcid == CLUSTER and credentials.authzid in ("", CLUSTER):
            self._connection.answer(self.core.authenticated(CLUSTER))
            return
        self._service.counters.auth_failures += 1
        log.warning("%s LMTP log-in from %s as %r refused", self._id, self._address, credentials.authcid)
        self._later(
            self._service.terms.failure_delay,
            lambda: self._connection.answer(self.core.refuse(WRONG_CREDENTIALS)),
        )

    # --- envelope ---------------------------------------------------------------------------

    def _take_recipient(self, recipient: Recipient, *, again: bool = False) -> None:
        found = self._service.recipients.find(recipient.address)
        if found is UNKNOWN and not again and self._service.terms.patience:
            # Who brings mail may have learnt of an account a moment before us.
            self._later(self._service.terms.patience, lambda: self._take_recipient(recipient, again=True))
        elif isinstance(found, Reply):
            self._refuse_recipient(recipient, found)
        elif self._service.quota_is_set:
            self._check_room(recipient, found)
        else:
            self._accept_recipient(recipient, found)

    def _check_room(self, recipient: Recipient, place: Here) -> None:
        size = self._size
        open_account = self._service.open_account

        def told(refusal: Reply | None) -> None:
            if refusal is None:
                self._accept_recipient(recipient, place)
            else:
                self._refuse_recipient(recipient, refusal)

        self._service.in_thread(lambda: delivering.room(open_account, place, size), told)

    def _accept_recipient(self, recipient: Recipient, place: Here) -> None:
        if not self._lost:
            self._places[recipient] = place
            self._connection.answer(self.core.accept())

    def _refuse_recipient(self, recipient: Recipient, reply: Reply) -> None:
        if not self._lost:
            self._count(reply)
            log.info("%s to=<%s> refused: %s", self._id, recipient.address, reply)
            self._connection.answer(self.core.refuse(reply))

    def _count(self, reply: Reply) -> None:
        counters = self._service.counters
        if reply.positive:
            counters.delivered += 1
        elif reply.temporary:
            counters.deferred += 1
        else:
            counters.refused += 1

    # --- message ----------------------------------------------------------------------------

    def _begin_message(self, event: MessageBegin) -> None:
        places = tuple(self._places[recipient] for recipient in event.recipients)
        self._delivery = _Delivery(event.mail, places, self._service.new_letter(), self._known)
        self._connection.answer(self.core.accept())

    def _write(self, data: bytes) -> None:
        delivery = self._delivery
        if delivery is None or delivery.failure is not None:
            return
        try:
            delivery.letter.write(data)
        except OSError as error:
            log.error("%s a message's text could not be kept: %s", self._id, error)
            delivery.failure = delivering.NO_ROOM

    def _end_message(self) -> None:
        delivery = self._delivery
        assert delivery is not None, "a message that was not begun"
        if delivery.failure is not None:
            self._finish([delivery.failure] * len(delivery.places))
            return
        moved = self._moved(delivery)
        self._settling = True
        self._service.counters.messages += 1
        self._service.counters.octets += delivery.letter.size
        places = {place.dn: place for place in delivery.places}
        delivery.replies |= moved
        for dn in [dn for dn in places if dn not in moved]:
            self._start(delivery, places[dn])
        self._settle(delivery)

    def _moved(self, delivery: _Delivery) -> dict[str, Reply]:
        """Accounts that have gone to another host, or away, since they were asked for."""
        if delivery.known == self._service.state:
            return {}
        found = {place.dn: self._service.recipients.find_account(place) for place in delivery.places}
        return {dn: reply for dn, reply in found.items() if reply is not None}

    def _start(self, delivery: _Delivery, place: Here) -> None:
        service, client = self._service, self.core.client
        protocol = "LMTP" + ("S" if client.secure else "") + ("A" if client.identity else "")
        bringer = Bringer(client.hello, self._address, self._id, protocol)
        account, second = str(place.address), int(service.wall())
        above = header(delivery.mail.sender, account, bringer, service.terms.hostname, second)

        def told(reply: Reply) -> None:
            delivery.replies[place.dn] = reply
            self._log(delivery, place, reply)
            self._settle(delivery)

        service.lanes.add(Task(place, above, delivery.letter), told)

    def _log(self, delivery: _Delivery, place: Here, reply: Reply) -> None:
        letter, mail = delivery.letter, delivery.mail
        log.info(
            "%s to=<%s> from=<%s> size=%d origin=%s: %s",
            self._id, place.address, mail.sender or "", letter.size, letter.session() or "-", reply,
        )  # fmt: skip

    def _settle(self, delivery: _Delivery) -> None:
        """Answer, once it is known what became of every copy."""
        if not self._settling or any(place.dn not in delivery.replies for place in delivery.places):
            return
        self._settling = False
        self._finish([delivery.replies[place.dn] for place in delivery.places])

    def _finish(self, replies: list[Reply]) -> None:
        self._drop()
        for reply in replies:
            self._count(reply)
        if not self._lost:
            self._connection.answer(self.core.finish(*replies))
            if self._ending:
                self.end(GOING_DOWN)

    def _drop(self) -> None:
        """Keep nothing of a message that is on its way."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.letter.close()

    # --- later ---------------------------------------------------------------

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def now() -> None:
            self._waiting = None
            call()

        self._waiting = self._service.reactor.callLater(seconds, now)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
