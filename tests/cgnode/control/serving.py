"""Control interfaces on real sockets, of nodes that are made up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, define

from cgnode.backend.store import NoSuchAccount, Removed
from cgnode.backend.upkeep import Report
from cgnode.control.client import ControlClient, Tcp, Unix
from cgnode.control.parts import Json, Parts, QueueCalls, SessionCalls, StorageCalls
from cgnode.control.service import ControlService
from cgnode.control.token import token_of
from cgnode.frontend.queue.errors import UnknownMessage
from cgnode.frontend.queue.values import Destination
from cgnode.members import Endpoint
from ldapserver.testing.background import background_reactor, run_in

SECRET = b"the cluster's secret, long enough"
TOKEN = token_of(SECRET)


@define
class Calls:
    """What was asked of the parts, in words."""

    made: list[str] = Factory(list)

    def queue(self, *ids: str) -> QueueCalls:
        messages = dict.fromkeys(ids)

        def find(number: str) -> str:
            if number not in messages:
                raise UnknownMessage(f"{number}: no such message is queued")
            return number

        def listed(after: str, limit: int, state: str, destination: Destination | None) -> Json:
            self.made.append(f"list {after or '-'} {limit} {state or '-'} {destination or '-'}")
            there = sorted(number for number in messages if number > after)
            facts: dict[str, Any] = {"messages": [summary(number) for number in there[:limit]]}
            if len(there) > limit:
                facts["next"] = there[limit - 1]
            return facts

        def flush(target: Destination | str | None) -> int:
            self.made.append(f"flush {target or 'all'}")
            if isinstance(target, str):
                find(target)
            return len(messages)

        def change(word: str) -> Any:
            return lambda number: self.made.append(f"{word} {find(number)}")

        return QueueCalls(
            list=listed,
            show=lambda number: {**summary(find(number)), "to": [], "client": "10.0.0.9", "session": "s1"},
            counts=lambda: {"messages": len(messages), "held": 0, "destinations": []},
            flush=flush,
            hold=change("hold"),
            release=change("release"),
            remove=change("remove"),
            changed=lambda: self.made.append("changed"),
        )

    def sessions(self, *users: str) -> SessionCalls:
        def kick(user: str | None, host: str | None) -> int:
            self.made.append(f"kick user={user} host={host}")
            return len([each for each in users if user in (None, each)])

        def who() -> list[Json]:
            return [session(user) for user in users]

        return SessionCalls(who, lambda: len(users), kick)

    def storages(self, *removed: Removed) -> StorageCalls:
        def purge(given: Removed) -> None:
            self.made.append(f"purge {given.address} {given.name} {given.home}")
            if given.name not in [each.name for each in removed]:
                raise NoSuchAccount(f"{given.address} was not set aside as {given.name}")

        def attach(path: str) -> str:
            self.made.append(f"attach {path}")
            return "be3"

        def detach(which: str) -> str:
            self.made.append(f"detach {which}")
            return "be3"

        return StorageCalls(
            list=lambda: [{"host": "be1", "path": "/srv/mail"}],
            attach=attach,
            detach=detach,
            removed=lambda: removed,
            put_back=lambda each: self.made.append(f"put back {each.address} {each.name}"),
            purge=purge,
            sweep=lambda: Report(mailboxes=7, set_aside=2),
            adopt=lambda: 3,
        )


def summary(number: str) -> dict[str, Any]:
    return {
        "id": number,
        "state": "delayed",
        "sender": "a@here.example",
        "recipients": 1,
        "pending": 1,
        "size": 1234,
        "arrival": "2026-01-02T03:04:05+00:00",
        "till": "2026-01-02T03:09:05+00:00",
    }


def session(user: str) -> dict[str, Any]:
    return {
        "account": user,
        "protocol": "imap",
        "client": "10.0.0.9",
        "host": "be1",
        "since": 1_700_000_000.0,
        "session": f"s-{user}",
    }


def no_site() -> Json:
    return {"servers": [], "unknown_servers": {}, "accounts": 0, "covered": 0}


def parts(name: str = "fe1", roles: tuple[str, ...] = ("frontend",), **more: Any) -> Parts:
    return Parts(name, roles, **{"site": no_site, **more})


@contextmanager
def served(
    given: Parts, folder: Path, *, tcp: bool = True, tls: Any = None, clear_text: bool = False
) -> Iterator[ControlService]:
    folder.mkdir(exist_ok=True)
    reactor = background_reactor()
    listen = ("127.0.0.1", 0) if tcp else None
    service = ControlService(
        reactor, folder, given, listen=listen, token=TOKEN, tls=tls, clear_text=clear_text
    )
    run_in(reactor, service.startService)
    try:
        yield service
    finally:
        run_in(reactor, service.stopService)


def unix(service: ControlService) -> ControlClient:
    return ControlClient(Unix(service.path))


def endpoint(service: ControlService) -> Endpoint:
    return Endpoint(*service.addresses[0])


def tcp(service: ControlService, token: str = TOKEN, **more: Any) -> ControlClient:
    return ControlClient(Tcp(endpoint(service), "fe1", token, **more))
