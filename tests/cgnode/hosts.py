"""A cluster's backends for tests of what watches them: their table, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred

from cgnode import servers
from cgnode.lookup import Site
from cgnode.members import Endpoint, Member, State, parse_endpoint


class Followed:
    """``following.Following`` over a directory of this process; ``changed`` tells of changes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._subscribers: list[Callable[[], None]] = []

    def usable(self) -> str | None:
        return None

    def in_step(self) -> bool:
        return True

    def status(self) -> Mapping[str, object]:
        return {}

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    def changed(self) -> None:
        for each in self._subscribers:
            each()


class Backends:
    """Stands for ``net.probe``, and for an operator.  A host's ``answers`` is "" for a
    greeting, a reason for a failure, None for silence."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._by_endpoint: dict[Endpoint, str] = {}
        self.answers: dict[str, str | None] = {}
        self.asked: list[str] = []
        self.waiting: list[Deferred[None]] = []

    def probe(self, protocol: str, endpoint: Endpoint) -> Deferred[None]:
        name = self._by_endpoint[endpoint]
        self.asked.append(f"{name} {protocol}")
        answer = self.answers[name]
        result: Deferred[None] = Deferred(self.waiting.remove)
        if answer is None:
            self.waiting.append(result)
        elif answer:
            result.errback(ConnectionError(answer))
        else:
            result.callback(None)
        return result

    def add(self, name: str, *protocols: str, answer: str | None = "", port: int = 0) -> None:
        where = {each: parse_endpoint(f"10.0.0.1:{port or len(self._by_endpoint) + 1}") for each in protocols}
        self._known(name, where)
        self.answers[name] = answer
        servers.add_server(self._followed.site, Member(name, ("backend",), where))
        self._followed.changed()

    def move(self, name: str, protocol: str, endpoint: str) -> None:
        where = {protocol: parse_endpoint(endpoint)}
        self._known(name, where)
        servers.change_server(self._followed.site, name, addresses=where)
        self._followed.changed()

    def set_state(self, name: str, state: State) -> None:
        servers.set_state(self._followed.site, name, state)
        self._followed.changed()

    def remove(self, name: str) -> None:
        servers.remove_server(self._followed.site, name)
        self._followed.changed()

    def _known(self, name: str, where: Mapping[str, Endpoint]) -> None:
        self._by_endpoint.update(dict.fromkeys(where.values(), name))
