"""The calls of the control interface: a path and what it asks of which part.

    GET  status                       this node: health, what it follows, sizes
    GET  site                         the whole site at a glance
    GET  queue [after limit state destination], queue/message id, queue/counts
    POST queue/flush [id|destination], queue/hold id, queue/release id, queue/remove id
    GET  sessions;  POST sessions/kick user|host
    GET  storages;  POST storages/attach path, storages/detach storage
    POST mailboxes/sweep, mailboxes/adopt
    GET  removed;   POST removed/purge address name home, removed/restore (the same)
    POST failover host to [domain];  POST restore host [domain]

Arguments are a query's fields with GET and a JSON object's with POST; an answer is a JSON
object.  What must not live here: HTTP, and what a part does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from attrs import asdict, define, field, frozen

from cgnode import __version__
from cgnode.backend.store import Removed
from cgnode.control.parts import (
    FailoverCalls,
    Json,
    Parts,
    QueueCalls,
    SessionCalls,
    StorageCalls,
)
from cgnode.failover import FailedOver, Restored
from cgnode.frontend.queue.values import Destination, Kind

T = TypeVar("T")

_STATES: Final = ("", "active", "ready", "delayed", "held")
_LONGEST_LIST: Final = 10_000


class BadCall(Exception):
    """What was asked can't be meant; one line."""


class NoPart(Exception):
    """The node has no such part; one line."""


@define
class Arguments:
    """Read by name, then ``done`` refuses what nobody asked for."""

    values: Mapping[str, object]
    _read: set[str] = field(factory=set)

    def text(self, name: str) -> str:
        found = self.optional(name)
        if found is None:
            raise BadCall(f"{name} is missing")
        return found

    def optional(self, name: str) -> str | None:
        self._read.add(name)
        found = self.values.get(name)
        if found is not None and (not isinstance(found, str) or not found):
            raise BadCall(f"{name} is not a text")
        return found

    def one_of(self, *names: str) -> tuple[str | None, ...]:
        """Exactly one of them."""
        found = tuple(self.optional(name) for name in names)
        if sum(value is not None for value in found) != 1:
            raise BadCall(f"give one of {', '.join(names)}")
        return found

    def number(self, name: str, default: int, most: int) -> int:
        self._read.add(name)
        found = self.values.get(name, default)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 10:
            found = int(found)
        if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= most:
            raise BadCall(f"{name} is not a number from 1 to {most}")
        return found

    def done(self) -> None:
        unknown = sorted(set(self.values) - self._read)
        if unknown:
            raise BadCall(f"{', '.join(unknown)}: not asked for here")


@frozen
class Call:
    """``prepare`` takes the arguments and returns what is to be run, in a thread where it is
    ``slow``; ``after`` runs in the reactor's thread when that has succeeded."""

    prepare: Callable[[Parts, Arguments], Callable[[], Any]]
    slow: bool = False
    after: Callable[[Parts], None] = lambda _: None


# --- the node and the site --------------------------------------------------------------


def _status(parts: Parts, _: Arguments) -> Callable[[], Json]:
    def run() -> Json:
        ailments = list(parts.ailments())
        facts: dict[str, Any] = {
            "name": parts.name,
            "version": __version__,
            "roles": list(parts.roles),
            "serves": not ailments,
            "ailments": ailments,
            "following": dict(parts.following()),
            "hosts": dict(parts.hosts()),
        }
        if parts.queue is not None:
            facts["queue"] = parts.queue.counts()
        if parts.sessions is not None:
            facts["sessions"] = parts.sessions.count()
        if parts.storages is not None:
            facts["storages"] = list(parts.storages.list())
        return facts

    return run


def _site(parts: Parts, _: Arguments) -> Callable[[], Json]:
    return parts.site


# --- the queue --------------------------------------------------------------------------


def _queue(parts: Parts) -> QueueCalls:
    return _there(parts.queue, "queue: it is no frontend")


def _changed(parts: Parts) -> None:
    _queue(parts).changed()


def _list(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    queue = _queue(parts)
    after = arguments.optional("after") or ""
    limit = arguments.number("limit", 1000, _LONGEST_LIST)
    state = arguments.optional("state") or ""
    if state not in _STATES:
        raise BadCall(f"state {state!r} is none of {', '.join(_STATES[1:])}")
    destination = _destination(arguments.optional("destination"))
    return lambda: queue.list(after, limit, state, destination)


def _show(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    queue, number = _queue(parts), arguments.text("id")
    return lambda: queue.show(number)


def _counts(parts: Parts, _: Arguments) -> Callable[[], Json]:
    return _queue(parts).counts


def _flush(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    queue = _queue(parts)
    number = arguments.optional("id")
    destination = _destination(arguments.optional("destination"))
    if number is not None and destination is not None:
        raise BadCall("give id or destination, not both")
    return lambda: {"messages": queue.flush(destination if number is None else number)}


def _on_message(choose: Callable[[QueueCalls], Callable[[str], None]]) -> Call:
    def prepare(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
        change, number = choose(_queue(parts)), arguments.text("id")

        def run() -> Json:
            change(number)
            return {"id": number}

        return run

    return Call(prepare, slow=True, after=_changed)


def _destination(text: str | None) -> Destination | None:
    """As the queue writes it: ``backend:be3``, ``remote:example.com``, ``nowhere``."""
    if text is None:
        return None
    kind, _, name = text.partition(":")
    known = {each.value: each for each in Kind}
    if kind not in known:
        raise BadCall(f"{text[:80]!r} is no destination: write it as in backend:be3 or remote:example.com")
    return Destination(known[kind], name.lower())


# --- sessions ---------------------------------------------------------------------------


def _sessions(parts: Parts) -> SessionCalls:
    return _there(parts.sessions, "clients' sessions: it is no frontend")


def _who(parts: Parts, _: Arguments) -> Callable[[], Json]:
    sessions = _sessions(parts)
    return lambda: {"sessions": [dict(each) for each in sessions.who()]}


def _kick(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    sessions = _sessions(parts)
    user, host = arguments.one_of("user", "host")
    return lambda: {"kicked": sessions.kick(user, host)}


# --- storages ---------------------------------------------------------------------------


def _storages(parts: Parts) -> StorageCalls:
    return _there(parts.storages, "mail storage: it is no backend")


def _list_storages(parts: Parts, _: Arguments) -> Callable[[], Json]:
    storages = _storages(parts)
    return lambda: {"storages": [dict(each) for each in storages.list()]}


def _attach(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    storages, path = _storages(parts), arguments.text("path")
    if not path.startswith("/"):
        raise BadCall(f"{path} is not an absolute path")
    return lambda: {"host": storages.attach(path), "path": path}


def _detach(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    storages, which = _storages(parts), arguments.text("storage")
    return lambda: {"host": storages.detach(which)}


def _list_removed(parts: Parts, _: Arguments) -> Callable[[], Json]:
    storages = _storages(parts)
    return lambda: {"removed": [asdict(each) for each in storages.removed()]}


def _sweep(parts: Parts, _: Arguments) -> Callable[[], Json]:
    storages = _storages(parts)
    return lambda: asdict(storages.sweep())


def _adopt(parts: Parts, _: Arguments) -> Callable[[], Json]:
    storages = _storages(parts)
    return lambda: {"adopted": storages.adopt()}


def _on_removed(choose: Callable[[StorageCalls], Callable[[Removed], None]]) -> Call:
    def prepare(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
        change = choose(_storages(parts))
        address, name, home = (arguments.text(each) for each in ("address", "name", "home"))

        def run() -> Json:
            change(Removed(address, name, 0, home))
            return {"address": address, "name": name, "home": home}

        return run

    return Call(prepare, slow=True)


# --- failover ---------------------------------------------------------------------------


def _failover(parts: Parts) -> FailoverCalls:
    return _there(parts.failover, "directory to change; ask the node that has it")


def _fail_over(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    calls = _failover(parts)
    host, sibling, domain = arguments.text("host"), arguments.text("to"), arguments.optional("domain")
    return lambda: failed_over_facts(calls.fail_over(host, sibling, domain))


def _restore(parts: Parts, arguments: Arguments) -> Callable[[], Json]:
    calls = _failover(parts)
    host, domain = arguments.text("host"), arguments.optional("domain")
    return lambda: restored_facts(calls.restore(host, domain))


def failed_over_facts(done: FailedOver) -> Json:
    return {**asdict(done), "state": done.state.value}


def restored_facts(done: Restored) -> Json:
    return {**asdict(done), "state": done.state.value if done.state else None}


def _there(part: T | None, what: str) -> T:
    if part is None:
        raise NoPart(f"this node has no {what}")
    return part


CALLS: Final[Mapping[tuple[str, str], Call]] = {
    ("GET", "status"): Call(_status),
    ("GET", "site"): Call(_site),
    ("GET", "queue"): Call(_list, slow=True),
    ("GET", "queue/message"): Call(_show, slow=True),
    ("GET", "queue/counts"): Call(_counts, slow=True),
    ("POST", "queue/flush"): Call(_flush, slow=True, after=_changed),
    ("POST", "queue/hold"): _on_message(lambda queue: queue.hold),
    ("POST", "queue/release"): _on_message(lambda queue: queue.release),
    ("POST", "queue/remove"): _on_message(lambda queue: queue.remove),
    ("GET", "sessions"): Call(_who),
    ("POST", "sessions/kick"): Call(_kick),
    ("GET", "storages"): Call(_list_storages, slow=True),
    ("POST", "storages/attach"): Call(_attach, slow=True),
    ("POST", "storages/detach"): Call(_detach, slow=True),
    ("POST", "mailboxes/sweep"): Call(_sweep, slow=True),
    ("POST", "mailboxes/adopt"): Call(_adopt, slow=True),
    ("GET", "removed"): Call(_list_removed, slow=True),
    ("POST", "removed/purge"): _on_removed(lambda storages: storages.purge),
    ("POST", "removed/restore"): _on_removed(lambda storages: storages.put_back),
    ("POST", "failover"): Call(_fail_over, slow=True),
    ("POST", "restore"): Call(_restore, slow=True),
}


def methods_of(path: str) -> Iterator[str]:
    """What may be done with a path; nothing for one that is not there."""
    return (method for method, known in CALLS if known == path)
