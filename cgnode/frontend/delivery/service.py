"""The delivery of queued mail: what is due is routed, attempts are made, senders are told.

What lives here: the queue's round (``queue.values``) with channels.  What must not: when
something is tried again (``queue``), where to (``routing``), how (``callers``,
``channel``), whether a host is there (``hosts``).

All of it is in the reactor's thread, but for what waits for the disk.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from cgnode.config import FrontendConfig
from cgnode.following import Following
from cgnode.frontend.delivery.callers import Callers, Ourselves
from cgnode.frontend.delivery.channel import Channel, Unopened
from cgnode.frontend.delivery.counters import Counters
from cgnode.frontend.delivery.exchangers import NoMail, Resolver
from cgnode.frontend.delivery.hosts import Health, Hosts
from cgnode.frontend.delivery.idle import Idle
from cgnode.frontend.delivery.jobs import Job, all_of, job_of
from cgnode.frontend.delivery.moves import Moves
from cgnode.frontend.delivery.outcomes import CUT, reason_of, result_of, was_cut, was_sent
from cgnode.frontend.delivery.routing import Routing
from cgnode.frontend.delivery.strays import Strays, words_of
from cgnode.frontend.delivery.telling import Telling
from cgnode.frontend.queue.errors import QueueError, UnknownMessage
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.queue.message import number_of
from cgnode.frontend.queue.values import (
    Attempt,
    Defer,
    Deliver,
    Delivered,
    Destination,
    Due,
    Expand,
    Kind,
    Permanent,
    Reason,
    Refuse,
    Result,
    Route,
    Temporary,
)
from cgnode.proto.smtp import delivery
from cgnode.proto.smtp.reply import Reply
from ldapserver.net.reactor import DelayedCall

log = logging.getLogger(__name__)

HEARTBEAT: Final = 5.0
"""Seconds between two looks that nothing has asked for: the disk may have room again, the
directory's copy may have become usable."""
_AT_ONCE: Final = 100
_MOST_IDLE: Final = 200
_FAREWELL: Final = 5.0
"""Seconds that messages under way have when the service stops."""

_UNREADABLE: Final = Reason(Reply(451, "4.3.0", "the message can't be read"))
_BAD_ADDRESS: Final = Reason(Reply(550, "5.1.3", "an address that no command can carry"))


class Delivery(Service):
    """``secret`` is the cluster's; ``tls`` gives the client context for a member's name, or
    None where the node has none; ``clear_text``: members beyond this machine may be spoken
    to without TLS.  Start it when the queue is open, and close the queue when what
    ``stopService`` returns has fired."""

    def __init__(
        self,
        reactor: Any,
        queue: MailQueue,
        following: Following,
        health: Health,
        config: FrontendConfig,
        *,
        secret: bytes,
        tls: Callable[[str], Any],
        hostname: str,
        resolver: Resolver,
        default_domain: str = "",
        clear_text: bool = False,
        random: Random | None = None,
        mx_port: int = 25,
    ) -> None:
        random = random or Random()
        own_names = frozenset((hostname.lower(),))
        smart_host = config.smtp.smart_host
        relay = None if smart_host is None else Destination(Kind.REMOTE, str(smart_host))
        ourselves = Ourselves(hostname, secret, tls, clear_text, own_names, config.smtp, mx_port)
        self.counters = Counters()
        self._reactor = reactor
        self._queue = queue
        self._following = following
        self._routing = Routing(following, default_domain, own_names, relay)
        self._callers = Callers(reactor, following, ourselves, resolver, random, self, self._in_pool)
        self._idle = Idle(_MOST_IDLE)
        self._hosts = Hosts(reactor, random, queue, health, self._call_again, self._idle.drop)
        self._moves = Moves(reactor, following, queue, self._routing)
        self._strays = Strays(reactor, queue)
        self._telling = Telling(reactor, queue, self.counters, self._in_pool, self._ended_one)
        self._channels: set[Channel] = set()
        self._calls: set[Deferred[Channel]] = set()
        self._active = 0
        # From so many attempts on, the end of one may let another begin elsewhere.
        self._plenty = config.queue_policy.all_attempts // 2
        self._woken = False
        self._timer: DelayedCall | None = None
        self._heart: DelayedCall | None = None
        self._away: str | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._stopped: Deferred[None] | None = None

    # --- the service -------------------------------------------------------------------

    def startService(self) -> None:
        super().startService()
        self._unsubscribe = self._following.subscribe(self._directory_changed)
        self._away = self._following.usable()
        self._hosts.start()
        self._moves.start()
        self._queue.on_work(self._has_work)
        self._beat()

    def stopService(self) -> Deferred[None]:
        """Begin nothing more, and end what is under way, cutting it off when that takes long."""
        super().stopService()
        self._queue.on_work(lambda: None)
        self._unsubscribe()
        for timer in (self._timer, self._heart):
            if timer is not None and timer.active():
                timer.cancel()
        self._hosts.stop()
        self._moves.stop()
        self._strays.stop()
        self._idle.drop()
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        cut = self._reactor.callLater(_FAREWELL, self._cut_off)
        stopped.addBoth(lambda _: cut.cancel() if cut.active() else None)
        self._end()
        return stopped

    def _end(self) -> None:
        """Once nothing is under way any more."""
        under_way = self._active or self._telling.active or self._channels or self._calls
        if self._stopped is not None and not under_way:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)

    def _cut_off(self) -> None:
        for call in list(self._calls):
            call.cancel()
        for channel in list(self._channels):
            channel.abort("the service stops")

    @property
    def idle(self) -> int:
        """Channels that are kept for the next message."""
        return len(self._idle)

    # --- the round ---------------------------------------------------------------------

    def _has_work(self) -> None:
        """In any thread.  One call to the reactor, however many there are until it comes."""
        if not self._woken:
            self._woken = True
            self._reactor.callFromThread(self.look)

    def look(self) -> None:
        """Go on with whatever is due."""
        self._woken = False
        if not self.running:
            return
        for due in self._queue.due(_AT_ONCE):
            self._queue.routed(due, self._routes(due))
        while (attempt := self._queue.next_attempt()) is not None:
            self._begin(attempt, self._idle.take(attempt.destination))
        self._telling.go_on()
        seconds = self._queue.next_event()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None else self._reactor.callLater(seconds, self.look)

    def _beat(self) -> None:
        self._heart = self._reactor.callLater(HEARTBEAT, self._beat)
        self.look_around()

    def look_around(self) -> None:
        """Has something changed that nobody tells of?"""
        away = self._following.usable()
        if self._away is not None and away is None:
            for destination in self._queue.waited_for():
                if destination.kind is Kind.NOWHERE:
                    self._queue.wake(destination)
        self._away = away
        self._hosts.look_again()
        self.look()

    def _ended_one(self) -> None:
        """The end of something may have made room for more, or owe a sender a word."""
        if self.running and not self._woken:
            self._woken = True
            self._reactor.callLater(0, self.look)
        elif self._stopped is not None:
            self._end()

    def _directory_changed(self) -> None:
        self._routing.forget()
        self._callers.forget()
        self._moves.changed()

    def _routes(self, due: Due) -> Mapping[int, Route]:
        routes = self._routing.routes(due)
        for index, address in due.recipients:
            match routes[index]:
                case Deliver(destination):
                    if destination.kind is Kind.BACKEND:
                        self._hosts.check(destination)
                case Expand(recipients):
                    self.counters.expanded += 1
                    log.info("%s to=<%s> expanded to %d recipients", due.id, address, len(recipients))
                case Refuse(reason):
                    self.counters.failed += 1
                    log.info("%s to=<%s> failed: %s", due.id, address, reason)
                case Defer(reason):
                    self.counters.deferred += 1
                    log.info("%s to=<%s> deferred: %s", due.id, address, reason)
        return routes

    # --- an attempt --------------------------------------------------------------------

    def _begin(self, attempt: Attempt, channel: Channel | None) -> None:
        """On a channel that is open, or on a new one."""
        self._active += 1
        self.counters.attempts += 1
        if channel is None:
            self._call(attempt)
        else:
            self.counters.reused += 1
            self._send(channel, attempt)

    def _call(self, attempt: Attempt) -> None:
        self._calling(attempt.destination).addCallbacks(
            self._opened, self._not_opened, callbackArgs=(attempt,), errbackArgs=(attempt,)
        ).addErrback(_log_fault)

    def _calling(self, destination: Destination) -> Deferred[Channel]:
        calling = Deferred.fromCoroutine(self._callers.call(destination))
        self._calls.add(calling)

        def over(result: Any) -> Any:
            self._calls.discard(calling)
            return result

        return calling.addBoth(over)

    def _opened(self, channel: Channel, attempt: Attempt) -> None:
        self.counters.channels += 1
        self._hosts.reached(channel.destination)
        if channel.ready:
            self._send(channel, attempt)
        else:
            self._unreachable(attempt, Reason(CUT))

    def _send(self, channel: Channel, attempt: Attempt) -> None:
        job = job_of(attempt)
        try:
            content = self._queue.content(attempt.id)
        except QueueError as error:
            if not isinstance(error, UnknownMessage):  # as when an operator has removed it
                log.error("%s %s can't be read: %s", attempt.session, attempt.id, error)
            self._in_vain(channel, attempt, Temporary(_UNREADABLE))
            return
        try:
            channel.send(job, job.mail, job.recipients, content)
        except ValueError:
            content.close()
            self._in_vain(channel, attempt, Permanent(_BAD_ADDRESS))

    def _in_vain(self, channel: Channel, attempt: Attempt, result: Result) -> None:
        """There was nothing to be sent."""
        self._over(attempt, all_of(attempt, result))
        self._keep(channel)
        self._ended_one()

    def _next(self, channel: Channel) -> bool:
        """Another message on the same channel; False if there is none for now."""
        attempt = None
        if channel.ready and self.running:
            attempt = self._queue.next_attempt(channel.destination)
        if attempt is None:
            self._keep(channel)
        else:
            self._begin(attempt, channel)
        return attempt is not None

    def _keep(self, channel: Channel) -> None:
        if not channel.ready:
            return
        if self.running:
            self._idle.keep(channel)
        else:
            channel.quit()

    # --- the channels' calls -----------------------------------------------------------

    def made(self, channel: Channel) -> None:
        self.counters.open += 1
        self._channels.add(channel)

    def gone(self, channel: Channel) -> None:
        self.counters.open -= 1
        self._idle.remove(channel)
        self._channels.discard(channel)
        self._end()

    def sent(self, channel: Channel, job: Job, results: Sequence[delivery.Result], reason: str) -> None:
        attempt = job.attempt
        if was_cut(results):
            self._cut(channel, attempt, results, reason)
            return
        host, dsn = channel.terms.host, "DSN" in channel.extensions
        found: dict[int, Result] = {}
        for result, indexes in zip(results, job.indexes, strict=True):
            taken = result_of(result, attempt.destination, host, dsn)
            for index in indexes:
                found[index] = taken
            self._log(attempt, result, taken, host)
        self._hosts.works(attempt.destination)
        self._over(attempt, found)
        if attempt.destination.kind is Kind.BACKEND:
            self._look_for_strays(attempt, results)
        more = self._next(channel)
        busy = self._active >= self._plenty or bool(self._queue.notices)
        all_well = all(type(result) is Delivered for result in found.values())
        # To look after each of many would take longer than to deliver them.
        if more or busy or not (all_well and channel.ready):
            self._ended_one()

    def _cut(
        self, channel: Channel, attempt: Attempt, results: Sequence[delivery.Result], reason: str
    ) -> None:
        """The connection ended without a word on the message.  It is tried again when the
        host is there again; that is how one is stopped and started without mail waiting."""
        if channel.messages > 1 and not was_sent(results) and self.running:
            # It was kept for longer than the other side wants to.
            self._call(attempt)
            return
        host = channel.terms.host
        self._hosts.failed(attempt.destination, f"{host}: {reason or 'it closes'}")
        self._unreachable(attempt, reason_of(results[0], host))

    # --- what became of it -------------------------------------------------------------

    def _over(self, attempt: Attempt, results: Mapping[int, Result]) -> None:
        self._active -= 1
        self._queue.report(attempt, results)

    def _unreachable(self, attempt: Attempt, reason: Reason) -> None:
        self._active -= 1
        self.counters.unreachable += 1
        self.counters.deferred += len(attempt.targets)
        log.info("%s %s deferred: %s: %s", attempt.session, attempt.id, attempt.destination, reason)
        self._queue.unreachable(attempt, reason)
        self._ended_one()

    def _not_opened(self, failure: Failure, attempt: Attempt) -> None:
        error = failure.value
        if isinstance(error, NoMail):
            log.info("%s %s failed: %s: %s", attempt.session, attempt.id, attempt.destination, error.reply)
            self.counters.failed += len(attempt.targets)
            self._over(attempt, all_of(attempt, Permanent(Reason(error.reply))))
            self._ended_one()
            return
        _log_fault(failure)
        self._hosts.failed(attempt.destination, _told(failure))
        self._unreachable(attempt, _reason(error, attempt.destination))

    def _look_for_strays(self, attempt: Attempt, results: Sequence[delivery.Result]) -> None:
        """A backend says that an account is another's, or the like: ask the directory once
        more.  If it does not know better, one of the two will soon."""
        words = words_of(results)
        if words:
            number = number_of(attempt.id)
            self.counters.strays += 1
            self._routing.forget()
            if not self._moves.compare(attempt.destination, (number,)):
                self._strays.refused(attempt.destination, number, words)
        elif self._strays:
            self._strays.settled(number_of(attempt.id))

    def _log(self, attempt: Attempt, result: delivery.Result, taken: Result, host: str) -> None:
        counters, reply = self.counters, result.reply
        match taken:
            case Delivered() if attempt.destination.kind is Kind.BACKEND:
                counters.delivered += 1
                word = "delivered"
            case Delivered():
                counters.relayed += 1
                word = "relayed"
            case Temporary(reason):
                counters.deferred += 1
                word, reply = "deferred", reason.reply
            case Permanent(reason):
                counters.failed += 1
                word, reply = "failed", reason.reply
        address = result.recipient.address
        log.info("%s %s to=<%s> %s by %s: %s", attempt.session, attempt.id, address, word, host, reply)

    # --- a backend that could not be reached -------------------------------------------

    def _call_again(self, destination: Destination) -> None:
        self._calling(destination).addCallbacks(
            self._is_back, self._is_away, errbackArgs=(destination,)
        ).addErrback(_log_fault)

    def _is_back(self, channel: Channel) -> None:
        self.counters.channels += 1
        self._hosts.reached(channel.destination)
        self._keep(channel)
        self._hosts.is_back(channel.destination)

    def _is_away(self, failure: Failure, destination: Destination) -> None:
        _log_fault(failure)
        self._hosts.failed(destination, _told(failure))
        self._end()

    # --- threads -----------------------------------------------------------------------

    def _in_pool(self, call: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)


def _reason(error: BaseException | None, destination: Destination) -> Reason:
    reply = error.reply if isinstance(error, Unopened) else None
    if reply is not None and reply.temporary:
        return Reason(reply, destination.name)
    return Reason(Reply(451, "4.4.1", str(error)))


def _told(failure: Failure) -> str:
    return str(failure.value) or type(failure.value).__name__


def _log_fault(failure: Failure) -> None:
    """What is no word of a host's is a mistake of ours."""
    if not failure.check(Unopened, CancelledError):
        log.error("an attempt went wrong: %s", failure.getTraceback())
