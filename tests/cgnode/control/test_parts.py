"""The control interface over parts that are real: a directory, and what is known by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cgnode import accounts, domains, servers
from cgnode.control.client import ControlClient, ControlError
from cgnode.control.overview import overview
from cgnode.control.parts import FailoverCalls, SessionCalls
from cgnode.lookup import Site
from cgnode.members import Member
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.control.serving import parts, served, unix


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory() as directory:
        yield directory


@pytest.fixture
def site(directory: EphemeralDirectory) -> Site:
    site = Site(directory.local.core)
    for name in ("be3", "be5"):
        servers.add_server(site, Member(name, ("backend",)))
    domains.add_domain(site, "example.com")
    accounts.add_account(site, "alice@example.com", host="be3")
    accounts.add_alias(site, "al@example.com", "alice@example.com")
    return site


class _Sessions:
    """As much of the registry as is asked."""

    def __init__(self) -> None:
        self.kicked: list[tuple[str | None, str | None]] = []

    def who(self) -> list[dict[str, object]]:
        return []

    def count(self) -> int:
        return 0

    def kick(self, user: str | None, host: str | None) -> int:
        self.kicked.append((user, host))
        return 1


def states(client: ControlClient) -> list[tuple[str, str, int]]:
    return [(each["name"], each["state"], each["accounts"]) for each in client.get("site")["servers"]]


def test_failover_and_back(site: Site, directory: EphemeralDirectory, tmp_path: Path) -> None:
    node = parts(site=lambda: overview(site), failover=FailoverCalls.of(site, directory.local))
    with served(node, tmp_path, tcp=False) as service:
        client = unix(service)
        done = client.post("failover", host="be3", to="be5")
        assert (done["moved"], done["state"], done["marked"]) == (1, "down", True)
        assert states(client) == [("be3", "down", 0), ("be5", "active", 1)]
        assert client.get("site")["servers"][1]["covered"] == {"be3": 1}
        for call, reason in [
            ({"host": "be3", "to": "be3"}, "be3 can't cover for itself; --to names another server"),
            ({"host": "be5", "to": "be3"}, "be3 is down; cgctl server up be3 says that it is not"),
        ]:
            with pytest.raises(ControlError) as caught:
                client.post("failover", **call)
            assert (caught.value.status, str(caught.value)) == (409, reason)
        with pytest.raises(ControlError) as caught:
            client.post("failover", host="be3", to="b e")
        assert caught.value.status == 400
        back = client.post("restore", host="be3", domain="example.com")
        assert (back["moved"], back["state"], back["marked"]) == (1, "active", True)
        assert states(client) == [("be3", "active", 1), ("be5", "active", 0)]


def test_who_is_kicked_may_be_named_as_at_a_login(site: Site, tmp_path: Path) -> None:
    following: Any = SimpleNamespace(site=site)
    sessions: Any = _Sessions()
    calls = SessionCalls.of(sessions, following, "example.com")
    with served(parts(sessions=calls), tmp_path, tcp=False) as service:
        for name in ("alice", "AL@example.com", "gone@example.com"):
            unix(service).post("sessions/kick", user=name)
        unix(service).post("sessions/kick", host="be3")
    assert sessions.kicked == [
        ("alice@example.com", None),
        ("alice@example.com", None),
        ("gone@example.com", None),
        (None, "be3"),
    ]
