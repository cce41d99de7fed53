"""``cgctl alias``, ``cgctl group`` and ``cgctl forwarder``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from cgnode import accounts
from cgnode.admin.command import Command, UsageError, count, say
from cgnode.admin.nested import arguments_for, followed, nested, open_site
from cgnode.lookup import Site
from cgnode.router import GroupRecord

_ADDRESS = ("ADDRESS", "as in team@example.com")
_TARGET = ("TARGET", "the address that it leads to")


def _domain_argument(parser: ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", nargs="?", help="only this domain's")


def _renaming(rename: Callable[[Site, str, str], accounts.Follow]) -> Callable[[Namespace], int]:
    def run(arguments: Namespace) -> int:
        with open_site(arguments) as site:
            done = rename(site, arguments.old, arguments.new)
        text = f"{arguments.old} is {arguments.new} now{followed(done.aliases, done.references)}"
        say(arguments, text, {"aliases": done.aliases, "references": done.references})
        return 0

    return run


# --- aliases ----------------------------------------------------------------------------


def _add_alias(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        dn = accounts.add_alias(site, arguments.address, arguments.target)
    say(arguments, f"alias {arguments.address} added for {arguments.target}", {"dn": dn})
    return 0


def _list_aliases(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        found = list(accounts.list_aliases(site, arguments.domain))
    lines = [f"{alias} -> {target or 'nowhere'}" for alias, target in found]
    facts = [{"address": str(alias), "target": target and str(target)} for alias, target in found]
    say(arguments, "\n".join(lines) or "there is no alias", {"aliases": facts})
    return 0


def _show_alias(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        address, target = accounts.show_alias(site, arguments.address)
    facts = {"address": str(address), "target": target and str(target)}
    say(arguments, f"{address} -> {target or 'nowhere'}", facts)
    return 0


def _remove_alias(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        done = accounts.remove_alias(site, arguments.address)
    say(arguments, f"alias {arguments.address} removed", {"aliases": done.aliases})
    return 0


# --- groups -----------------------------------------------------------------------------


def _members_argument(parser: ArgumentParser) -> None:
    parser.add_argument("members", metavar="MEMBER", nargs="*", help="addresses, here or elsewhere")


def _add_group(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        group = accounts.add_group(site, arguments.address, arguments.members)
    say(arguments, f"group {group.address} added with {_members(group)}", _group_facts(group))
    return 0


def _list_groups(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        found = list(accounts.list_groups(site, arguments.domain))
    lines = [f"{group.address}  {_members(group)}" for group in found]
    facts = [_group_facts(group) for group in found]
    say(arguments, "\n".join(lines) or "there is no group", {"groups": facts})
    return 0


def _show_group(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        group = accounts.show_group(site, arguments.address)
    lines = [f"{group.address}  {_members(group)}", *(f"  {member}" for member in group.members)]
    say(arguments, "\n".join(lines), _group_facts(group))
    return 0


def _remove_group(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        done = accounts.remove_group(site, arguments.address)
    facts = {"aliases": done.aliases, "references": done.references}
    say(arguments, f"group {arguments.address} removed", facts)
    return 0


def _member_arguments(parser: ArgumentParser) -> None:
    for word, text in (("add", "a new member"), ("remove", "one that is to be none")):
        parser.add_argument(f"--{word}", metavar="ADDRESS", action="append", default=[], help=text)


def _change_members(arguments: Namespace) -> int:
    if not (arguments.add or arguments.remove):
        raise UsageError("say which members: --add ADDRESS, --remove ADDRESS")
    with open_site(arguments) as site:
        group = accounts.change_group(site, arguments.address, arguments.add, arguments.remove)
    say(arguments, f"group {group.address} has {_members(group)} now", _group_facts(group))
    return 0


def _members(group: GroupRecord) -> str:
    return count(len(group.members), "member", "members")


def _group_facts(group: GroupRecord) -> dict[str, object]:
    return {"address": str(group.address), "dn": group.dn, "members": group.members}


# --- forwarders -------------------------------------------------------------------------


def _add_forwarder(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        record = accounts.add_forwarder(site, arguments.address, arguments.target)
    text = f"forwarder {arguments.address} added, to {record.target}"
    say(arguments, text, {"dn": record.dn, "target": record.target})
    return 0


def _list_forwarders(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        found = list(accounts.list_forwarders(site, arguments.domain))
    lines = [f"{address} -> {target}" for address, target in found]
    facts = [{"address": str(address), "target": target} for address, target in found]
    say(arguments, "\n".join(lines) or "there is no forwarder", {"forwarders": facts})
    return 0


def _show_forwarder(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        address, target = accounts.show_forwarder(site, arguments.address)
    say(arguments, f"{address} -> {target}", {"address": str(address), "target": target})
    return 0


def _remove_forwarder(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        done = accounts.remove_forwarder(site, arguments.address)
    facts = {"aliases": done.aliases, "references": done.references}
    say(arguments, f"forwarder {arguments.address} removed", facts)
    return 0


_REMOVE = arguments_for(_ADDRESS)
_RENAME = arguments_for(("OLD", "its address"), ("NEW", "its new address"))
_LIST = arguments_for(more=_domain_argument)

COMMANDS = (
    nested(
        "alias",
        "other names of accounts and groups",
        (
            Command("add", "let another address stand for one", arguments_for(_ADDRESS, _TARGET), _add_alias),
            Command("list", "list the aliases", _LIST, _list_aliases),
            Command("show", "show what an alias stands for", _REMOVE, _show_alias),
            Command("rename", "give an alias another address", _RENAME, _renaming(accounts.rename_alias)),
            Command("remove", "remove an alias", _REMOVE, _remove_alias),
        ),
    ),
    nested(
        "group",
        "addresses that stand for several",
        (
            Command("add", "make a group", arguments_for(_ADDRESS, more=_members_argument), _add_group),
            Command("list", "list the groups", _LIST, _list_groups),
            Command("show", "show a group's members", _REMOVE, _show_group),
            Command("rename", "give a group another address", _RENAME, _renaming(accounts.rename_group)),
            Command("remove", "remove a group and its aliases", _REMOVE, _remove_group),
            Command(
                "member",
                "add members and remove members",
                arguments_for(_ADDRESS, more=_member_arguments),
                _change_members,
            ),
        ),
    ),
    nested(
        "forwarder",
        "addresses that stand for others, here or elsewhere",
        (
            Command("add", "make a forwarder", arguments_for(_ADDRESS, _TARGET), _add_forwarder),
            Command("list", "list the forwarders", _LIST, _list_forwarders),
            Command("show", "show where a forwarder leads", _REMOVE, _show_forwarder),
            Command(
                "rename", "give a forwarder another address", _RENAME, _renaming(accounts.rename_forwarder)
            ),
            Command("remove", "remove a forwarder", _REMOVE, _remove_forwarder),
        ),
    ),
)
