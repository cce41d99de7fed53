"""The queue as a shell has it: what is on the disk and who is tried when, together.

What lives here: which of the parts does what, in which order, under which lock.  What
must not: what they do; Twisted.

Every method may be called in any thread.  Those that wait for the disk say so: a shell
calls them in a thread of its own, and gets the futures' results there as well.

    reception = queue.receive()           what comes in
    reception.write(chunk) ...
    queue.commit(reception, envelope)     the future's result: it is durable, say 250

    for due in queue.due(): queue.routed(due, routes)       what goes out
    while attempt := queue.next_attempt():
        queue.content(attempt.id) ...
        queue.report(attempt, results)    or queue.unreachable(attempt, reason)
    while queue.notices: queue.notify()
    queue.next_event()                    when to look again

What is reported is written to the log before the call returns, so that a killed process
knows it when it comes back; it is synced soon afterwards.  When that is not possible, as
on a full disk, it is kept in memory and written as soon as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Lock
from typing import TypeVar

from cgnode.frontend import bounce
from cgnode.frontend.bounce import Report, Reporter
from cgnode.frontend.queue import entries
from cgnode.frontend.queue.committer import Callback
from cgnode.frontend.queue.errors import QueueError, QueueFull, UnknownMessage
from cgnode.frontend.queue.listing import Json, Listing
from cgnode.frontend.queue.message import Message, new_message, number_of
from cgnode.frontend.queue.policy import Limits, Policy
from cgnode.frontend.queue.schedule import Schedule
from cgnode.frontend.queue.spool import Content, Reception, Spool
from cgnode.frontend.queue.telling import News, news
from cgnode.frontend.queue.values import (
    Attempt,
    Clock,
    Destination,
    Due,
    Envelope,
    Reason,
    Reported,
    Result,
    Route,
)
from cgnode.proto.smtp.address import Address

T = TypeVar("T")

# After a report that could not be written.
_TELL_AGAIN = 60.0


class MailQueue:
    """``problems``: what was found damaged at the start, for an operator."""

    def __init__(
        self, folder: Path, reporter: Reporter, clock: Clock, random: Random, policy: Policy, limits: Limits
    ) -> None:
        self._clock = clock
        self._random = random
        self._policy = policy
        self._limits = limits
        self._reporter = reporter
        self._lock = Lock()
        self._schedule = Schedule(policy, random)
        self._table = self._schedule.table
        self._recipients = 0
        self._moving: Iterator[None] | None = None
        self._moved: int | None = None
        self._work: Callable[[], object] = lambda: None
        self._large = ThreadPoolExecutor(4, "queue-large")
        self._spool = Spool.open(folder, limits, random, self._upkeep)
        self.problems = self._spool.problems

    @classmethod
    def open(
        cls,
        folder: Path,
        reporter: Reporter,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        policy: Policy | None = None,
        limits: Limits | None = None,
    ) -> MailQueue:
        """Read what there is; all of it is resubmitted.  Waits for the disk.  Raises
        QueueBusy, QueueUnusable, QueueError."""
        clock, random = clock or Clock(), random or Random()
        queue = cls(folder, reporter, clock, random, policy or Policy(), limits or Limits())
        try:
            messages = queue._spool.load(clock)
        except BaseException:
            queue.close()
            raise
        with queue._lock:
            for message in messages.values():
                queue._admit(message, waking=True)
            queue._save()
        return queue

    def on_work(self, call: Callable[[], object]) -> None:
        """``call()``, in any thread, when ``due`` may have something that it had not before,
        and ``next_event`` could not tell."""
        self._work = call

    def close(self) -> None:
        """Finish what is being committed.  Waits for the disk."""
        self._large.shutdown()
        self._spool.close()

    # --- coming in ---------------------------------------------------------------------

    def receive(self, size: int = 0) -> Reception:
        """Begin to receive a message, of ``size`` octets if that is known.  Raises
        QueueFull."""
        with self._lock:
            messages, recipients = len(self._table.messages), self._recipients
            number = self._spool.number(self._clock.wall())
        if messages >= self._limits.messages:
            raise QueueFull(f"{messages} messages are queued")
        if recipients >= self._limits.recipients:
            raise QueueFull(f"{recipients} recipients are queued")
        if not self._spool.room(size):
            raise QueueFull("the disk is nearly full")
        return self._spool.receive(number)

    def commit(self, reception: Reception, envelope: Envelope) -> Future[str]:
        """Accept what was received.  The result is the message's id, and comes when the
        message is durable and queued; or QueueFull, QueueError, and nothing is kept."""
        future: Future[str] = Future()
        if reception.large:
            self._large.submit(self._commit, reception, envelope, future)
        else:
            self._commit(reception, envelope, future)
        return future

    def _commit(self, reception: Reception, envelope: Envelope, future: Future[str]) -> None:
        try:
            content = reception.finish()
        except QueueError as error:
            future.set_exception(error)
            return
        large = content is None
        message = new_message(reception.number, reception.size, large, envelope, self._clock)
        try:
            self._spool.keep(((message, content),), reserve=True)
        except QueueError as error:
            reception.discard()
            future.set_exception(error)
            return
        self._spool.after(self._when_durable((message,), message.id, future))

    def _admit(self, message: Message, waking: bool = False) -> None:
        self._recipients += len(message.addressees)
        self._schedule.add(message, waking)

    # --- going out ---------------------------------------------------------------------

    def due(self, limit: int = 100) -> list[Due]:
        """Messages whose time has come, to be routed now; each is answered by ``routed``."""
        with self._lock:
            listed = [due for _, due in self._schedule.due(self._clock.monotonic(), limit)]
            self._save()
        return listed

    def routed(self, due: Due, routes: Mapping[int, Route]) -> None:
        """Where each recipient goes, by index."""
        with self._lock:
            message = self._table.messages.get(number_of(due.id))
            if message is not None:
                before = len(message.addressees)
                self._schedule.routed(message, due, routes, self._clock.monotonic())
                self._recipients += len(message.addressees) - before
            self._save()

    def next_attempt(self, destination: Destination | None = None) -> Attempt | None:
        """A transaction to be made now: the next in turn, or one for a channel to
        ``destination`` that is open.  It ends by ``report`` or ``unreachable``.  While results
        can't be kept, none is made."""
        with self._lock:
            if self._spool.failure is not None or not self._save():
                return None
            return self._schedule.next_attempt(destination)

    def content(self, message_id: str) -> Content:
        """Raises UnknownMessage, QueueError."""
        with self._lock:
            return self._spool.content(self._find(message_id))

    def report(self, attempt: Attempt, results: Mapping[int, Result]) -> None:
        """What became of an attempt's recipients, by index.  One that is missing has
        failed for now."""
        with self._lock:
            self._schedule.report(attempt.token, results, self._clock.monotonic())
            self._save()

    def unreachable(self, attempt: Attempt, reason: Reason) -> None:
        """The attempt's destination could not be reached, or did not go on."""
        with self._lock:
            self._schedule.unreachable(attempt.token, reason, self._clock.monotonic())
            self._save()

    def next_event(self) -> float | None:
        """In how many seconds ``due`` should be asked again; None: not before something
        else happens."""
        with self._lock:
            now = self._clock.monotonic()
            when = self._schedule.next_event(now)
            return None if when is None else max(0.0, when - now)

    # --- destinations ------------------------------------------------------------------

    def down(self, destination: Destination, reason: Reason | None = None) -> None:
        """It is known to be down: its mail waits, without attempts, until ``wake``."""
        with self._lock:
            if reason is None:
                self._schedule.down(destination)
            else:
                self._schedule.down(destination, reason)
            self._save()

    def wake(self, destination: Destination) -> int:
        """It is up again, or accounts have moved from it: what waits for it is routed
        again at once, at a pace.  Returns how many messages that are."""
        with self._lock:
            woken = self._schedule.wake(destination)
        self._work()
        return woken

    def wake_where(self, match: Callable[[Address], bool]) -> int:
        """Likewise what waits for certain recipients; looks at every message."""
        with self._lock:
            woken = self._schedule.wake_where(match)
        self._work()
        return woken

    def waited_for(self) -> tuple[Destination, ...]:
        """The destinations that something waits for."""
        with self._lock:
            return tuple(lane.destination for lane in self._table.lanes if lane.waiting)

    def waiting(self, destination: Destination) -> tuple[int, ...]:
        """What waits for it, in numbers for ``wake_moved``."""
        with self._lock:
            lane = self._table.lanes.find(destination)
            return () if lane is None else tuple(lane.waiting)

    def wake_moved(
        self, destination: Destination, numbers: Iterable[int], moved: Callable[[Address], bool]
    ) -> int:
        """Likewise those of these messages' recipients that wait for the destination and have
        ``moved``."""
        with self._lock:
            woken = self._schedule.wake_moved(destination, numbers, moved)
        if woken:
            self._work()
        return woken

    # --- telling senders ---------------------------------------------------------------

    @property
    def notices(self) -> int:
        """How many messages there are whose senders are to be told something."""
        return len(self._table.notices)

    def notify(self) -> Future[Reported] | None:
        """Tell the sender of one of these messages, by mail, if it wants to know.  The
        result comes when that is durable.  Waits for the disk."""
        with self._lock:
            if not self._table.notices:
                return None
            told = news(self._table.notices.popitem(last=False)[1], self._policy.lifetime)
            told.message.telling = True
        future: Future[Reported] = Future()
        try:
            self._tell(told, self._compose(told), future)
        except Exception as error:  # whatever it is, this message must not wait for ever
            with self._lock:
                told.message.telling = False
                self._table.look_at(told.message, self._clock.monotonic() + _TELL_AGAIN)
            future.set_exception(error)
        return future

    def _compose(self, news: News) -> list[Report]:
        def read(octets: int) -> bytes:
            with self.content(news.message.id) as content:
                return content.read(octets)

        return list(bounce.reports(news.original, read, self._reporter, self._clock.wall(), self._random))

    def _tell(self, news: News, reports: list[Report], future: Future[Reported]) -> None:
        """What is told, and that it was, in one frame: it happens once, or not at all."""
        told: list[tuple[Message, bytes]] = []
        message = news.message
        with self._lock:
            if self._table.here(message):  # no operator has removed it meanwhile
                for report in reports:
                    number = self._spool.number(self._clock.wall())
                    envelope = Envelope(report.mail, (report.recipient,), session=message.session)
                    child = new_message(number, len(report.content), False, envelope, self._clock)
                    told.append((child, report.content))
                self._spool.keep(told, (entries.told(message, news.owed, news.warned),))
                self._schedule.reported(message, news.owed, news.warned)
                self._save()
        children = [child for child, _ in told]
        ids = tuple(child.id for child in children)
        result = Reported(message.id, message.mail.sender, ids, news.failed)
        self._spool.after(self._when_durable(children, result, future))

    def _when_durable(self, messages: Sequence[Message], result: T, future: Future[T]) -> Callback:
        """Queue the messages then; those who wait for the future find them queued."""

        def durable(failure: QueueError | None) -> None:
            if failure is not None:
                future.set_exception(failure)
                return
            with self._lock:
                for message in messages:
                    self._admit(message)
            # First who waits for it, then the work that it makes.
            future.set_result(result)
            self._work()

        return durable

    # --- operators ---------------------------------------------------------------------

    @property
    def failure(self) -> QueueError | None:
        """Why the queue takes and gives nothing, if so: it has to be opened again."""
        return self._spool.failure

    def list(
        self, *, after: str = "", limit: int = 1000, state: str = "", destination: Destination | None = None
    ) -> Json:
        """``messages`` in the order of their ids, those behind ``after``; of one state
        (active, ready, delayed, held), of one destination.  If there may be more, ``next``
        is what they are behind; so much is looked at in one call, and no more."""
        with self._lock:
            return self._listing().messages(after, limit, state, destination)

    def show(self, message_id: str) -> Json:
        """All about one, with its recipients.  Raises UnknownMessage."""
        with self._lock:
            return self._listing().details(self._find(message_id))

    def counts(self) -> Json:
        """How many there are, and for each destination, in which state."""
        with self._lock:
            listing = self._listing()
            unsaved = len(self._table.touched) + len(self._table.ended)
            return listing.counts() | {
                "recipients": self._recipients,
                "log_octets": self._spool.octets,
                "room": self._spool.room(0),
                "unsaved": unsaved,
            }

    def _listing(self) -> Listing:
        return Listing(self._table, self._clock.wall() - self._clock.monotonic())

    def flush(self, target: Destination | str | None = None) -> int:
        """Try now what waits: of a destination, one message, or all.  What is known to be
        down stays as it is.  Returns the number of messages.  Raises UnknownMessage."""
        with self._lock:
            match target:
                case None:
                    lanes = list(self._table.lanes)
                    flushed = sum(self._schedule.flush(lane.destination) for lane in lanes)
                case Destination():
                    flushed = self._schedule.flush(target)
                case _:
                    self._schedule.flush_message(self._find(target))
                    flushed = 1
        self._work()
        return flushed

    def hold(self, message_id: str) -> None:
        """Try it no more until it is released.  Raises UnknownMessage."""
        with self._lock:
            self._schedule.hold(self._find(message_id))
            self._save()

    def release(self, message_id: str) -> None:
        """Raises UnknownMessage."""
        with self._lock:
            self._schedule.release(self._find(message_id))
            self._save()
        self._work()

    def remove(self, message_id: str) -> None:
        """Forget it; nobody is told.  Raises UnknownMessage."""
        with self._lock:
            self._schedule.remove(self._find(message_id))
            self._save()

    def _find(self, message_id: str) -> Message:
        message = self._table.messages.get(number_of(message_id))
        if message is None:
            raise UnknownMessage(f"{message_id}: no such message is queued")
        return message

    # --- the log -----------------------------------------------------------------------

    def _save(self) -> bool:
        """Append what has changed.  What can't be appended now stays for the next time;
        then False."""
        touched, ended = self._table.touched, self._table.ended
        if not touched and not ended:
            return True
        messages = self._table.messages
        listed = [(number, entries.change(messages[number], indexes)) for number, indexes in touched.items()]
        listed += [(number, entries.end(number)) for number in ended]
        position = 0
        try:
            for appended in self._spool.note([entry for _, entry in listed]):
                for number, _ in listed[position : position + appended]:
                    self._saved(number)
                position += appended
        except QueueError:
            return False
        return True

    def _saved(self, number: int) -> None:
        if self._table.touched.pop(number, None) is not None:
            kept = self._table.messages[number]
            kept.kept = len(kept.addressees)
        message = self._table.ended.pop(number, None)
        if message is not None:
            self._recipients -= len(message.addressees)
            self._spool.forget(message)

    def _upkeep(self) -> bool:
        """In the spool's thread, after a sync: move what keeps much room from being given
        back.  True while there is more to move."""
        if self._moving is None:
            segment = self._spool.wasteful()
            if segment is None or segment == self._moved:
                # If it was just done, what is left in it can't be moved yet.
                self._moved = None
                return False
            self._moved = segment
            self._moving = self._move_all(segment)
        try:
            next(self._moving)
        except StopIteration:
            self._moving = None
        except QueueError:  # no room now
            self._moving = None
            return False
        return True

    def _move_all(self, segment: int) -> Iterator[None]:
        for numbers in self._spool.inhabitants(segment):
            with self._lock:
                for number in numbers:
                    message = self._table.messages.get(number) or self._table.ended.get(number)
                    if message is not None and message.place.segment == segment:
                        self._spool.move(message)
            yield
