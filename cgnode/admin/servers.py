"""``cgctl server``: the servers' table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from cgnode import servers
from cgnode.admin.command import Command, UsageError, say
from cgnode.admin.nested import arguments_for, nested, open_site, table
from cgnode.control.overview import server_facts
from cgnode.members import PROTOCOLS, ROLES, Endpoint, Member, Members, State, parse_endpoint
from cgnode.names import BadName

_NAME = ("NAME", "the server's name, as in be3: what hostServer says")


def _server_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--role", metavar="ROLES", help=f"with commas between, of {', '.join(ROLES)} (backend)"
    )
    for protocol in PROTOCOLS:
        parser.add_argument(f"--{protocol}", metavar="HOST:PORT", help=f"where it serves {protocol}")


def _add(arguments: Namespace) -> int:
    member = Member(arguments.name, _roles(arguments) or ("backend",), _addresses(arguments))
    with open_site(arguments, create=True) as site:
        member = servers.add_server(site, member)
    say(arguments, f"server {member.name} added: {', '.join(member.roles)}, active", server_facts(member))
    return 0


def _change(arguments: Namespace) -> int:
    roles, addresses = _roles(arguments), _addresses(arguments)
    if not (roles or addresses):
        raise UsageError("say what changes: --role, or an address such as --imap HOST:PORT")
    with open_site(arguments) as site:
        member = servers.change_server(site, arguments.name, roles, addresses)
    say(arguments, f"server {member.name} changed", server_facts(member))
    return 0


def _roles(arguments: Namespace) -> tuple[str, ...]:
    roles = tuple(role.strip() for role in arguments.role.split(",")) if arguments.role else ()
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"--role: {role!r} is none of {', '.join(ROLES)}")
    return roles


def _addresses(arguments: Namespace) -> dict[str, Endpoint]:
    found = {}
    for protocol in PROTOCOLS:
        given = vars(arguments)[protocol]
        if given is not None:
            try:
                found[protocol] = parse_endpoint(given)
            except BadName as error:
                raise UsageError(f"--{protocol}: {error}") from None
    return found


def _set(state: State) -> Callable[[Namespace], int]:
    def run(arguments: Namespace) -> int:
        with open_site(arguments) as site:
            member, changed = servers.set_state(site, arguments.name, state)
        text = f"server {member.name} is {state.value}" + ("" if changed else " already")
        say(arguments, text, {"name": member.name, "state": state.value, "changed": changed})
        return 0

    return run


def _remove(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        member = servers.remove_server(site, arguments.name)
    say(arguments, f"server {member.name} removed", {"name": member.name})
    return 0


def _list(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        members = servers.list_servers(site)
    rows = [("SERVER", "STATE", "ROLES", "ADDRESSES")]
    rows += [(each.name, each.state.value, ",".join(each.roles), " ".join(each.urls)) for each in members]
    text = table(rows) if len(rows) > 1 else "there is no server; cgctl server add NAME makes one known"
    lines = [text, *_faults(members)]
    say(arguments, "\n".join(lines), {"servers": [server_facts(each) for each in members]})
    return 0


def _faults(members: Members) -> list[str]:
    return [f"! {member.name}: {fault}" for member in members for fault in member.faults]


_ONE = arguments_for(_NAME)

COMMANDS = (
    nested(
        "server",
        "the servers of the cluster",
        (
            Command("list", "list the servers", arguments_for(), _list),
            Command("add", "make a server known", arguments_for(_NAME, more=_server_arguments), _add),
            Command(
                "change",
                "give a server other roles or addresses",
                arguments_for(_NAME, more=_server_arguments),
                _change,
            ),
            Command(
                "drain", "no new accounts on a server; it serves what it has", _ONE, _set(State.DRAINING)
            ),
            Command("up", "a server is in service", _ONE, _set(State.ACTIVE)),
            Command("down", "a server is not to be asked", _ONE, _set(State.DOWN)),
            Command("remove", "forget a server that serves nothing", _ONE, _remove),
        ),
    ),
)
