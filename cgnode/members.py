"""The servers of the cluster: who they are, where each protocol is served, and their state.

The table is kept once, in the directory (``lookup`` reads it); a configuration may
override it, which is the original's Static Clustering table.  Plain values and functions:
what must not live here is where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

from cgnode.names import BadName, server_name
from cgnode.tables import Table, Wrong, one_of, text

ROLES: Final = ("directory", "backend", "frontend")
PROTOCOLS: Final = ("smtp", "submission", "lmtp", "imap", "pop3", "ldap", "http")

_ENDPOINT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


class State(Enum):
    """ACTIVE takes new accounts; DRAINING serves those that it has; DOWN is not to be asked."""

    ACTIVE = "active"
    DRAINING = "draining"
    DOWN = "down"


@frozen
class Endpoint:
    """Where a protocol is served."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """``HOST:PORT`` or ``[IPv6]:PORT``; raises BadName."""
    found = _ENDPOINT.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise BadName(f"{text[:80]!r} is no address of a server: write it as in 10.0.0.3:143 or [::1]:143")
    return Endpoint((found[1] or found[2]).lower(), int(found[3]))


@frozen
class BackendLogin:
    """How a frontend logs in at a backend for an account.  ``cluster``: by the cluster's own
    secret; ``master``: as ``user``, with the password in the file, authorized as the account;
    ``password``: by what the client gave.  The last two are for servers of other makes."""

    kind: str = "cluster"
    user: str = ""
    password_file: Path | None = None


LOGIN_KINDS: Final = ("cluster", "master", "password")


@frozen
class Member:
    """A server.  ``faults`` tells what of its record could not be understood."""

    name: str
    roles: tuple[str, ...] = ()
    addresses: Mapping[str, Endpoint] = field(factory=dict)
    state: State = State.ACTIVE
    faults: tuple[str, ...] = ()
    login: BackendLogin = BackendLogin()

    @property
    def takes_accounts(self) -> bool:
        return self.state is State.ACTIVE and "backend" in self.roles

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses as the directory keeps them."""
        return tuple(f"{protocol}://{endpoint}" for protocol, endpoint in self.addresses.items())


def read_member(name: str, roles: Iterable[str], state: str | None, urls: Iterable[str]) -> Member:
    """A member as its record says.  What is wrong there costs no more than itself: an unknown
    state is draining, so that the server's accounts are served and no new ones come."""
    faults: list[str] = []
    addresses: dict[str, Endpoint] = {}
    for url in urls:
        protocol, _, rest = url.partition("://")
        try:
            endpoint = parse_endpoint(rest.rstrip("/"))
        except BadName:
            faults.append(f"serverAddress {url!r} is not as in imap://10.0.0.3:143")
            continue
        if protocol.lower() in PROTOCOLS:
            addresses[protocol.lower()] = endpoint
        else:
            faults.append(f"serverAddress {url!r}: known protocols are {', '.join(PROTOCOLS)}")
    known = {each.value: each for each in State}
    found = known.get((state or State.ACTIVE.value).lower())
    if found is None:
        faults.append(f"serverState {state!r} is none of {', '.join(known)}")
    lower = [role.lower() for role in roles]
    faults += [f"serverRole {role!r} is none of {', '.join(ROLES)}" for role in lower if role not in ROLES]
    ordered: dict[str, Endpoint] = {
        protocol: addresses[protocol] for protocol in PROTOCOLS if protocol in addresses
    }
    return Member(
        name.lower(),
        tuple(role for role in ROLES if role in lower),
        ordered,
        found or State.DRAINING,
        tuple(faults),
    )


@frozen
class Override:
    """What a configuration says of a server; None leaves what the directory says."""

    name: str
    roles: tuple[str, ...] | None = None
    addresses: Mapping[str, Endpoint] = field(factory=dict)
    state: State | None = None
    login: BackendLogin | None = None

    def over(self, member: Member | None) -> Member:
        """The member with this said of it; one that is only here is an active backend."""
        base = member or Member(self.name, ("backend",))
        return evolve(
            base,
            roles=base.roles if self.roles is None else self.roles,
            addresses={**base.addresses, **self.addresses},
            state=self.state or base.state,
            login=self.login or base.login,
        )


def read_overrides(table: Table, folder: Path = Path()) -> tuple[Override, ...]:
    """A configuration's ``[members.NAME]`` tables, paths under ``folder``; raises ConfigError."""
    return tuple(_override(table, name, folder) for name in table.values)


def _override(table: Table, key: str, folder: Path) -> Override:
    own = table.take_table(key)
    try:
        name = server_name(key)
    except BadName as error:
        raise table.error(key, str(error)) from None
    endpoints = {protocol: own.take(protocol, _endpoint, None) for protocol in PROTOCOLS}
    read_state: Callable[[object], str] = one_of(tuple(state.value for state in State))
    state = own.take("state", read_state, None)
    override = Override(
        name,
        own.take_list("roles", one_of(ROLES), ()) if own.has("roles") else None,
        {protocol: endpoint for protocol, endpoint in endpoints.items() if endpoint is not None},
        None if state is None else State(state),
        _login(own, folder),
    )
    own.done()
    return override


def _login(table: Table, folder: Path) -> BackendLogin | None:
    kind = table.take("login", one_of(LOGIN_KINDS), None)
    user = table.take("login_user", text, "")
    file = table.take("login_password_file", lambda value: folder / text(value), None)
    if kind == "master" and not (user and file):
        raise table.error("login", 'is "master", which needs login_user and login_password_file')
    if kind != "master" and (user or file):
        raise table.error("login_user", 'goes with login = "master"')
    return None if kind is None else BackendLogin(kind, user, file)


def _endpoint(value: object) -> Endpoint:
    try:
        return parse_endpoint(text(value))
    except BadName as error:
        raise Wrong(str(error)) from None


@frozen
class Members:
    """The table; names compare without case."""

    by_name: Mapping[str, Member]

    @classmethod
    def of(cls, members: Iterable[Member], overrides: Iterable[Override] = ()) -> Members:
        by_name = {member.name: member for member in members}
        for override in overrides:
            by_name[override.name] = override.over(by_name.get(override.name))
        return cls(dict(sorted(by_name.items())))

    def __iter__(self) -> Iterator[Member]:
        return iter(self.by_name.values())

    def get(self, name: str) -> Member | None:
        return self.by_name.get(name.lower())

    def address_of(self, host: str, protocol: str) -> Endpoint | None:
        """Where a host serves a protocol, whatever its state; None when that isn't known."""
        member = self.get(host)
        return None if member is None else member.addresses.get(protocol)

    def least_loaded(self, loads: Mapping[str, int]) -> Member | None:
        """The backend for a new account: active, with the fewest; the first name among equals.
        One that has no address yet comes last, since mail would wait for it."""
        fit = [member for member in self if member.takes_accounts]
        return min(
            fit,
            key=lambda member: ("lmtp" not in member.addresses, loads.get(member.name, 0), member.name),
            default=None,
        )
