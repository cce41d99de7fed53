"""``cgctl storage`` and ``cgctl mailbox``: what a backend has on its disks."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cgnode.admin.command import AdminError, Command, UsageError, add_json, count, say
from cgnode.admin.nested import nested, table
from cgnode.admin.nodes import Node, ask_one, chosen, node_arguments
from cgnode.control.client import ControlClient

_DAY: Final = 86400

_Removed = Mapping[str, Any]


def _node_only(parser: ArgumentParser) -> None:
    node_arguments(parser, several=False)
    add_json(parser)


def _node(arguments: Namespace) -> Node:
    (node,) = chosen(arguments)
    return node


# --- storages ---------------------------------------------------------------------------


def _list(arguments: Namespace) -> int:
    found = ask_one(_node(arguments), lambda client: client.get("storages"))["storages"]
    rows = [("SERVER", "PATH", "IS", "STATE")]
    rows += [
        (
            each["host"] or "?",
            each["path"],
            each.get("kind", "attached"),
            f"away: {each['away']}" if each.get("away") else "served",
        )
        for each in found
    ]
    say(arguments, table(rows) if found else "no storage is attached", {"storages": found})
    return 0


def _attach_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the storage's folder, on the backend's machine")
    _node_only(parser)


def _attach(arguments: Namespace) -> int:
    path = _path(arguments, arguments.path)
    facts = ask_one(_node(arguments), lambda client: client.post("storages/attach", path=path))
    text = f"the storage of {facts['host']} is served from {path}"
    say(arguments, text, facts)
    return 0


def _detach_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("storage", metavar="PATH", help="its folder, or the server whose it is")
    _node_only(parser)


def _detach(arguments: Namespace) -> int:
    which = arguments.storage
    if "/" in which:
        which = _path(arguments, which)
    facts = ask_one(_node(arguments), lambda client: client.post("storages/detach", storage=which))
    say(arguments, f"the storage of {facts['host'] or which} is detached", facts)
    return 0


def _path(arguments: Namespace, text: str) -> str:
    """On this machine a path may be as from here."""
    if arguments.node is None:
        return str(Path(text).expanduser().absolute())
    if not text.startswith("/"):
        raise UsageError(f"{text} is on another machine: give its absolute path")
    return text


# --- mailboxes that were set aside ------------------------------------------------------


def _removed(arguments: Namespace) -> int:
    found = _set_aside(_node(arguments))
    rows = [("ADDRESS", "NAME", "REMOVED", "STORAGE")]
    rows += [(each["address"], each["name"], _date(each["date"]), each["home"]) for each in found]
    say(arguments, table(rows) if found else "no mailbox is set aside", {"removed": found})
    return 0


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def _set_aside(node: Node) -> list[_Removed]:
    found: list[_Removed] = ask_one(node, lambda client: client.get("removed"))["removed"]
    return found


def _purge_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", nargs="?", help="as in alice@example.com")
    parser.add_argument("name", metavar="NAME", nargs="?", help="which of them, where there are several")
    parser.add_argument("--older-than", metavar="DAYS", type=int, help="all that were removed longer ago")
    _node_only(parser)


def _purge(arguments: Namespace) -> int:
    if (arguments.address is None) is (arguments.older_than is None):
        raise UsageError("say which mailboxes: ADDRESS [NAME], or --older-than DAYS")
    node = _node(arguments)
    if arguments.older_than is not None:
        latest = time.time() - arguments.older_than * _DAY
        which = [each for each in _set_aside(node) if each["date"] < latest]
    else:
        which = [_find(_set_aside(node), arguments.address, arguments.name)]
    for each in which:
        ask_one(node, _on("removed/purge", each))
    text = f"{count(len(which), 'mailbox', 'mailboxes')} destroyed"
    say(arguments, text, {"purged": [{**each} for each in which]})
    return 0


def _restore_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help="as in alice@example.com")
    parser.add_argument("name", metavar="NAME", nargs="?", help="which of them, where there are several")
    _node_only(parser)


def _restore(arguments: Namespace) -> int:
    node = _node(arguments)
    which = _find(_set_aside(node), arguments.address, arguments.name)
    ask_one(node, _on("removed/restore", which))
    say(arguments, f"the mailbox of {which['address']} is back", {**which})
    return 0


def _sweep(arguments: Namespace) -> int:
    report = ask_one(_node(arguments), lambda client: client.post("mailboxes/sweep"))
    if report["suspicious"]:
        raise AdminError(report["suspicious"])
    lines = [
        f"{count(report['set_aside'], 'mailbox', 'mailboxes')} of {report['mailboxes']:,} set aside",
        *(f"! {each}" for each in report["failed"]),
    ]
    say(arguments, "\n".join(lines), report)
    return 1 if report["failed"] else 0


def _adopt(arguments: Namespace) -> int:
    facts = ask_one(_node(arguments), lambda client: client.post("mailboxes/adopt"))
    say(arguments, f"{count(facts['adopted'], 'mailbox', 'mailboxes')} given to accounts", facts)
    return 0


def _find(found: Sequence[_Removed], address: str, name: str | None) -> _Removed:
    """The one that is meant; raises AdminError."""
    own = [each for each in found if each["address"] == address.lower()]
    fit = own if name is None else [each for each in own if each["name"] == name]
    match fit:
        case [one]:
            return one
        case []:
            named = f" as {name}" if name else ""
            raise AdminError(f"no mailbox of {address} is set aside{named}; see cgctl mailbox removed")
        case _:
            names = ", ".join(each["name"] for each in fit)
            raise AdminError(f"{len(fit)} mailboxes of {address} are set aside, say which: {names}")


def _on(path: str, removed: _Removed) -> Callable[[ControlClient], Mapping[str, Any]]:
    given = {name: removed[name] for name in ("address", "name", "home")}
    return lambda client: client.post(path, **given)


COMMANDS = (
    nested(
        "storage",
        "a backend's mail storages: its own, and those it covers for others",
        (
            Command("list", "list the storages of a backend", _node_only, _list),
            Command("attach", "serve another server's storage too", _attach_arguments, _attach),
            Command("detach", "serve a storage no longer", _detach_arguments, _detach),
        ),
    ),
    nested(
        "mailbox",
        "a backend's mailboxes, and those of removed accounts, which it keeps aside",
        (
            Command("removed", "list the mailboxes that are set aside", _node_only, _removed),
            Command("purge", "destroy mailboxes that are set aside", _purge_arguments, _purge),
            Command("restore", "put a mailbox back in its place", _restore_arguments, _restore),
            Command("sweep", "set mailboxes without an account aside, however many", _node_only, _sweep),
            Command("adopt", "give mailboxes to accounts of their names, made anew", _node_only, _adopt),
        ),
    ),
)
