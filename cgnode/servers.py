"""The servers' table in the directory: added, changed, removed.  Each change is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from cgnode.editing import Edit, Refused, editing
from cgnode.lookup import SERVER, SERVER_TABLE, SERVERS, Site
from cgnode.members import Endpoint, Member, Members, State
from cgnode.names import server_name


def list_servers(site: Site) -> Members:
    with site.reading() as lookup:
        return lookup.members()


def add_server(site: Site, member: Member) -> Member:
    """The table itself is made with the first."""
    new = evolve(member, name=server_name(member.name))
    with editing(site) as edit:
        if edit.lookup.domain_entry(SERVERS) is None:
            edit.add(site.dn_of_domain(SERVERS), {"objectClass": SERVER_TABLE, "cn": SERVERS})
        if _stored(edit, new.name) is not None:
            raise Refused(f"{new.name} is there already; cgctl server change {new.name} changes it")
        values = {
            "objectClass": SERVER,
            "cn": new.name,
            "serverRole": new.roles,
            "serverState": new.state.value,
            "serverAddress": new.urls,
        }
        edit.add(site.dn_of_server(new.name), values)
    return new


def change_server(
    site: Site, name: str, roles: Iterable[str] = (), addresses: Mapping[str, Endpoint] | None = None
) -> Member:
    """Other roles if there are any, and these addresses besides or instead of its own."""
    with editing(site) as edit:
        member = _own(edit, name)
        new = evolve(
            member, roles=tuple(roles) or member.roles, addresses={**member.addresses, **(addresses or {})}
        )
        values = {"serverRole": new.roles, "serverAddress": new.urls}
        edit.replace(site.dn_of_server(new.name), values)
    return new


def set_state(site: Site, name: str, state: State) -> tuple[Member, bool]:
    """The server as it is now, and whether that is a change."""
    with editing(site) as edit:
        member = _own(edit, name)
        if member.state is state and not member.faults:
            return member, False
        edit.replace(site.dn_of_server(member.name), {"serverState": state.value})
    return evolve(member, state=state), True


def remove_server(site: Site, name: str) -> Member:
    """Refused while it serves anything, or while what is its own is served elsewhere."""
    with editing(site) as edit:
        member = _own(edit, name)
        loads = edit.lookup.loads()
        own = loads[member.name].entries if member.name in loads else 0
        if own:
            raise Refused(
                f"{member.name} serves {_entries(own)}; "
                f"cgctl failover {member.name} --to OTHER has another serve them from its storage"
            )
        away = sum(load.covered.get(member.name, 0) for load in loads.values())
        if away:
            raise Refused(
                f"{_entries(away)} of {member.name}'s are served elsewhere, from its storage, which goes by "
                f"its name; it may stay known as down, or take them back by cgctl restore {member.name}"
            )
        edit.delete(site.dn_of_server(member.name))
    return member


def _stored(edit: Edit, name: str) -> Member | None:
    """As the directory has it: what a configuration says besides is not for storing."""
    return edit.lookup.stored_member(name)


def _own(edit: Edit, name: str) -> Member:
    wanted = server_name(name)
    member = _stored(edit, wanted)
    if member is None:
        known = ", ".join(each.name for each in edit.lookup.members()) or "none"
        raise Refused(f"there is no server {wanted}; known are: {known}")
    return member


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
