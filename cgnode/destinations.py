"""Which server a session belongs on, and how one logs in there for an account.

What lives here: the members' table as it is now, credentials, what a server is told of the
client, and what kinds of failure there are.  What must not: connections (``joining``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, assert_never

from attrs import field, frozen

from cgnode.following import Following
from cgnode.listeners import is_loopback
from cgnode.members import Endpoint, Member, Members, State
from cgnode.net.connection import Origin
from cgnode.proto.imap import client as imap
from cgnode.proto.pop3 import client as pop3
from cgnode.proto.preamble import Account
from cgnode.router import AccountRecord
from storage.errors import StoreError

log = logging.getLogger(__name__)

CLUSTER: Final = "cluster"
"""Who a node is to a backend; its password is the cluster's secret."""
HOPS: Final = 5
"""Proxies that a session may go through: the frontend, a wrong backend, and some more while
accounts move."""

Preamble: TypeAlias = imap.Preamble | pop3.Preamble


class Health(Protocol):
    """What is known of hosts: ``health.HostHealth``."""

    def is_up(self, host: str) -> bool: ...
    def why(self, host: str) -> str: ...
    def failed(self, host: str, reason: str) -> None: ...
    def succeeded(self, host: str) -> None: ...


class Proto(Enum):
    """The values are the members' table's."""

    IMAP = "imap"
    POP3 = "pop3"


class Why(Enum):
    """Why there is no session; the values are labels in logs and metrics."""

    NO_HOST = "no_host"
    DOWN = "proxy_dest_down"
    CONNECT_FAILED = "proxy_dest_connect_failed"
    TIMED_OUT = "proxy_dest_timed_out"
    TEMPORARY = "proxy_dest_auth_temp_failed"
    REFUSED = "proxy_dest_auth_failed"
    PASSWORD_REFUSED = "proxy_dest_password_refused"
    """What was refused is the client's own."""
    IN_USE = "proxy_dest_in_use"
    PROTOCOL = "proxy_dest_protocol_failure"


@frozen
class Unreached:
    """``reason`` is for the log."""

    why: Why
    host: str
    reason: str


@frozen
class Wanted:
    """Whose mailbox, and for which client.

    ``password`` is the client's own, where it has sent one: some servers of other makes
    want it.  ``hops``: how many proxies may follow.
    """

    protocol: Proto
    account: AccountRecord
    origin: Origin
    password: bytes = field(default=b"", repr=False)
    hops: int = HOPS


@frozen
class Target:
    """``own``: it is the client's own password that is given there.  ``tls`` is the context
    to begin TLS with; None where there is to be none."""

    host: str
    endpoint: Endpoint
    account: Account
    own: bool = False
    tls: Any = None


class Destinations:
    """``secret`` is the cluster's.  ``tls`` gives a client context for a server's name, or
    None where the node has none; on the loopback, and with ``clear_text`` anywhere, it is
    then done without."""

    def __init__(
        self,
        following: Following,
        health: Health,
        *,
        secret: bytes,
        tls: Callable[[str], Any],
        clear_text: bool = False,
    ) -> None:
        self.health = health
        self._following = following
        self._secret = secret
        self._tls = tls
        self._clear_text = clear_text
        self._members = Members({})
        self._state: tuple[object, int] = (None, -1)
        self._passwords: dict[Path, tuple[tuple[int, ...], bytes]] = {}

    def host_of(self, account: AccountRecord) -> str | None:
        """As the directory has it at this moment; None for an account that is gone, too."""
        try:
            with self._following.site.reading() as lookup:
                found = lookup.record(account.address.local.lower(), account.address.domain)
        except StoreError as error:
            log.error("the copy of the directory: %s", error)
            return account.host
        return found.host if isinstance(found, AccountRecord) else None

    def target(self, wanted: Wanted, host: str | None) -> Target | Unreached:
        """Where to log in, and how."""
        address = wanted.account.address
        if not host:
            return _alarm(Why.NO_HOST, "", f"{address} has no server (hostServer)")
        if wanted.hops <= 0:
            return _alarm(Why.TEMPORARY, host, f"{address} went through too many servers")
        try:
            member = self._member(host)
        except StoreError as error:
            return _alarm(Why.TEMPORARY, host, f"the copy of the directory: {error}")
        if member is None:
            return _alarm(Why.NO_HOST, host, f"{address} is on {host}, which is not a member")
        if member.state is State.DOWN:
            return Unreached(Why.DOWN, host, f"{host} is marked down")
        if not self.health.is_up(host):
            return Unreached(Why.DOWN, host, f"{host} is down: {self.health.why(host)}")
        endpoint = member.addresses.get(wanted.protocol.value)
        if endpoint is None:
            return _alarm(Why.NO_HOST, host, f"{host} has no address for {wanted.protocol.value}")
        account = self._credential(wanted, member)
        if isinstance(account, str):
            return _alarm(Why.PROTOCOL, host, account)
        own = member.login.kind == "password"
        near = is_loopback(endpoint.host)
        # Servers of other makes on this machine have no certificate of the cluster's.
        if near and member.login.kind != "cluster":
            return Target(host, endpoint, account, own)
        tls = self._tls(host)
        if tls is None and not near and not self._clear_text:
            reason = f"{host} is not on this machine, and there is no certificate of the cluster's"
            return _alarm(Why.PROTOCOL, host, reason)
        return Target(host, endpoint, account, own, tls)

    def _member(self, host: str) -> Member | None:
        """From a table that is read once for each state of the directory."""
        site = self._following.site
        state = (site, site.core.store.last_transaction())
        if state != self._state:
            with site.reading() as lookup:
                self._members, self._state = lookup.members(), (site, lookup.snapshot.number)
        return self._members.get(host)

    def _credential(self, wanted: Wanted, member: Member) -> Account | str:
        """Who logs in there; or why that can't be."""
        login, name = member.login, str(wanted.account.address)
        match login.kind:
            case "master" if login.password_file is not None:
                try:
                    password = self._password(login.password_file)
                except OSError as error:
                    return f"{member.name}: cannot read {login.password_file}: {error.strerror}"
                return Account(login.user, password, name)
            case "password":
                if wanted.password:
                    return Account(name, wanted.password)
                return f"{member.name} wants the client's password, and the client has not sent it"
            case _:
                return Account(CLUSTER, self._secret, name)

    def _password(self, path: Path) -> bytes:
        """What the file holds, read again when it is another.  Raises OSError."""
        found = os.stat(path)
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        known = self._passwords.get(path)
        if known is None or known[0] != stamp:
            known = self._passwords[path] = (stamp, path.read_bytes().rstrip(b"\r\n"))
        return known[1]


def _alarm(why: Why, host: str, reason: str) -> Unreached:
    """What an operator has to see to."""
    log.error("%s", reason)
    return Unreached(why, host, reason)


def preamble(wanted: Wanted, target: Target) -> Preamble:
    """The log-in's dialogue, and in it where the client comes from."""
    start_tls = target.tls is not None
    match wanted.protocol:
        case Proto.IMAP:
            return imap.Preamble(imap.Plan(target.account, start_tls, identity=_identity(wanted)))
        case Proto.POP3:
            return pop3.Preamble(pop3.Plan(target.account, start_tls, forwarded=_forwarded(wanted)))
        case _:
            assert_never(wanted.protocol)


def _identity(wanted: Wanted) -> tuple[tuple[str, str], ...]:
    """For IMAP's ID, by the names that Dovecot's proxies gave it."""
    origin = wanted.origin
    return (
        ("x-session-id", origin.session),
        ("x-originating-ip", origin.client),
        ("x-originating-port", str(origin.client_port)),
        ("x-connected-ip", origin.server),
        ("x-connected-port", str(origin.server_port)),
        ("x-proxy-ttl", str(wanted.hops - 1)),
    )


def _forwarded(wanted: Wanted) -> tuple[tuple[str, str], ...]:
    """For XCLIENT, by the names that Dovecot has for it."""
    origin = wanted.origin
    return (
        ("ADDR", origin.client),
        ("PORT", str(origin.client_port)),
        ("SESSION", origin.session),
        ("TTL", str(wanted.hops - 1)),
    )
