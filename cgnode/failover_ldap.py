"""Failover and restore in a directory elsewhere, over LDAP: ours, or one of another make.

What is to be changed is worked out from the servers' table there and becomes one bulk
request, with the change of the server's state beside it.  Each of these modifications
names the value that it takes away, so that nothing happens where somebody was faster.
What must not live here: carrying the request out (``admin.remote``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from cgnode.editing import Refused
from cgnode.failover import pair
from cgnode.lookup import SERVER, SERVERS
from cgnode.members import Member, Members, Override, State, read_member
from cgnode.names import domain_name, server_name
from ldapserver.dn import DN, escape_value, key_is_within, normalise_dn, parse_dn
from ldapserver.messages import (
    Change,
    Entry,
    Equality,
    ModifyOp,
    ModifyRequest,
    Rehost,
    Restore,
    Scope,
    Selection,
)
from ldapserver.net.remote import ANY, RemoteDirectory
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import standard_schema

_SERVER: Final = Equality("objectClass", SERVER.encode())
_ATTRIBUTES: Final = ("serverRole", "serverState", "serverAddress")
_NONE: Final = ("1.1",)


@frozen
class Stored:
    """A server's entry: ``state`` is the value as it stands there."""

    dn: str
    member: Member
    state: bytes | None

    @property
    def base(self) -> str:
        """What its site is below."""
        return str(DN(parse_dn(self.dn).rdns[2:]))

    def becomes(self, state: State) -> ModifyRequest:
        """A modification to ``state`` that fails where it is not as we know it."""
        gone = (Change(ModifyOp.DELETE, "serverState", (self.state,)),) if self.state is not None else ()
        return ModifyRequest(self.dn, (*gone, Change(ModifyOp.ADD, "serverState", (state.value.encode(),))))

    def stays(self) -> tuple[ModifyRequest, ...]:
        if self.state is None:
            return ()
        changes = (
            Change(ModifyOp.DELETE, "serverState", (self.state,)),
            Change(ModifyOp.ADD, "serverState", (self.state,)),
        )
        return (ModifyRequest(self.dn, changes),)


@frozen
class Plan:
    """What is to be asked for, and what the host's state is afterwards; None for a host
    that is no server there."""

    request: Rehost | Restore
    state: State | None
    marked: bool


async def plan_failover(
    directory: RemoteDirectory,
    base: str,
    overrides: Iterable[Override],
    host: str,
    sibling: str,
    domain: str | None,
    *,
    dry_run: bool = False,
) -> Plan:
    """Raises Refused, BadName, LDAPError, RemoteError.  ``base`` is the site's, "" where it is
    to be found."""
    servers = _by_name(await _servers(directory, base))
    name = server_name(host)
    stored = servers.get(name)
    members = Members.of((each.member for each in servers.values()), overrides)
    found = pair(members, stored.member if stored else None, host, sibling)
    assert stored is not None
    selection = Selection(stored.base)
    down = True
    if domain is not None:
        own = await _domain(directory, domain_name(domain), stored.base)
        selection = Selection(own)
        down = not await _serves_besides(directory, stored.base, name, own)
    marked = down and found.host.state is not State.DOWN
    taker = servers.get(found.sibling.name)
    besides = (*(taker.stays() if taker else ()), *((stored.becomes(State.DOWN),) if marked else ()))
    request = Rehost(name, found.sibling.name, selection, dry_run, besides)
    return Plan(request, State.DOWN if down else found.host.state, marked)


async def plan_restore(directory: RemoteDirectory, base: str, request: Restore) -> Plan:
    """The request with the server's return beside it, if there is such a server."""
    name = request.source.lower()
    near = [
        each
        for each in await _servers(directory, base)
        if each.member.name == name and _touch(each.base, request.selection.base)
    ]
    stored = _by_name(near).get(name)
    if stored is None:
        return Plan(request, None, marked=False)
    if stored.member.state is not State.DOWN:
        return Plan(request, stored.member.state, marked=False)
    besides = (stored.becomes(State.ACTIVE),)
    with_it = Restore(request.source, request.selection, request.dry_run, besides)
    return Plan(with_it, State.ACTIVE, marked=True)


async def _servers(directory: RemoteDirectory, base: str) -> list[Stored]:
    """Every server in the table of a site, or in all tables that there are."""
    found: list[Stored] = []
    for context in (f"cn={SERVERS},{base}",) if base else await contexts(directory):
        try:
            async for entry in directory.search(context, Scope.SUBTREE, _SERVER, _ATTRIBUTES):
                found.append(_stored(entry))
        except LDAPError as error:
            # No table there.
            if error.code is not ResultCode.NO_SUCH_OBJECT:
                raise
    return found


async def contexts(directory: RemoteDirectory) -> tuple[str, ...]:
    """What the directory holds (RFC 4512 section 5.1)."""
    root = await directory.read("", ("namingContexts",))
    values = root.attributes[0].values if root and root.attributes else (b"",)
    return tuple(value.decode() for value in values)


def _stored(entry: Entry) -> Stored:
    texts = {
        each.type.lower(): [value.decode("utf-8", "replace") for value in each.values]
        for each in entry.attributes
    }
    states = texts.get("serverstate", [])
    name = parse_dn(entry.dn).rdns[0][0].value.decode("utf-8", "replace")
    roles = texts.get("serverrole", [])
    if not (roles or states):
        # Who may not read this may not change it either: the directory will say so.
        roles = ["backend"]
    member = read_member(
        name,
        roles,
        states[0] if states else None,
        texts.get("serveraddress", []),
    )
    return Stored(entry.dn, member, states[0].encode() if states else None)


def _by_name(servers: Sequence[Stored]) -> Mapping[str, Stored]:
    """Raises Refused where a name is not one server's."""
    found: dict[str, Stored] = {}
    for each in servers:
        other = found.setdefault(each.member.name, each)
        if other is not each:
            raise Refused(
                f"there are two servers {each.member.name}, {other.dn} and {each.dn}; "
                "say with --base which site is meant"
            )
    return found


async def _domain(directory: RemoteDirectory, name: str, base: str) -> str:
    """The DN of a domain, whose name may be an alias."""
    rdn = f"cn={escape_value(name.encode())}"
    dn = f"{rdn},{base}" if base else rdn
    entry = await directory.read(dn, ("aliasedObjectName",))
    targets = [value for each in entry.attributes for value in each.values] if entry else []
    return targets[0].decode() if targets else dn


async def _serves_besides(directory: RemoteDirectory, base: str, host: str, domain: str) -> bool:
    """Whether a host serves anything outside of a domain; looks at no more than it must."""
    served = Equality("hostServer", host.encode())
    async for top in directory.search(base, Scope.ONE, ANY, _NONE):
        if not _within(top.dn, domain):
            async for _ in directory.search(top.dn, Scope.SUBTREE, served, _NONE):
                return True
    return False


def _touch(one: str, other: str) -> bool:
    return _within(one, other) or _within(other, one)


def _within(dn: str, base: str) -> bool:
    schema = standard_schema()
    # A directory of another make may know attribute types that we do not.
    keys = [normalise_dn(parse_dn(each), schema, undefined=True) for each in (dn, base)]
    return key_is_within(keys[0], keys[1])
