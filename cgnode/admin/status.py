"""``cgctl status``: the site at a glance.

Servers, their states and loads are as the directory has them; whether they are up, queues
and sessions as the running nodes say that can be asked.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from cgnode.admin.command import Command, count
from cgnode.admin.nested import arguments_for, table
from cgnode.admin.nodes import ask, node_of, own_facts, site_facts

SECONDS: Final = 2.0
"""For each node to answer, and from one look to the next."""

_CLEAR: Final = "\x1b[H\x1b[2J"

_Facts = Mapping[str, Any]


@frozen
class Glance:
    """``site`` is ``overview``'s; ``nodes`` what each that was asked says of itself, or in
    ``silent`` why it says nothing."""

    site: _Facts
    nodes: Mapping[str, _Facts]
    silent: Mapping[str, str]

    @property
    def hosts(self) -> Mapping[str, _Facts]:
        """Whether each backend is up.  Where nodes differ, one can't reach it, and that is
        what an operator should know."""
        found: dict[str, _Facts] = {}
        for facts in self.nodes.values():
            for name, seen in facts.get("hosts", {}).items():
                if found.setdefault(name, seen)["up"]:
                    found[name] = seen
        return found

    @property
    def waiting(self) -> Mapping[str, int]:
        """Messages for each backend, in all queues."""
        found: dict[str, int] = {}
        for facts in self.nodes.values():
            for each in facts.get("queue", {}).get("destinations", ()):
                kind, _, name = each["destination"].partition(":")
                if kind == "backend":
                    number = each["active"] + each["ready"] + each["delayed"]
                    found[name] = found.get(name, 0) + number
        return found


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_interval,
        const=SECONDS,
        help=f"again and again, every {SECONDS:g} s unless told",
    )


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 on")
    return seconds


def _status(arguments: Namespace) -> int:
    if arguments.watch is None:
        _say(arguments, look(arguments))
        return 0
    try:
        while True:
            # What is remembered of a node is for one look.
            _say(arguments, look(Namespace(**vars(arguments))))
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        return 0


def _say(arguments: Namespace, glance: Glance) -> None:
    """Watched by a person, each look takes the place of the one before; by a script, each is
    a line."""
    if arguments.json:
        text = json.dumps(facts_of(glance))
    else:
        text = "\n".join(lines_of(glance))
        if arguments.watch is not None:
            clear = _CLEAR if sys.stdout.isatty() else ""
            text = f"{clear}{datetime.now():%Y-%m-%d %H:%M:%S}\n{text}"
    print(text, flush=True)


def look(arguments: Namespace) -> Glance:
    """A server that is marked down may answer, but need not."""
    site, here = site_facts(arguments), own_facts(arguments)
    nodes: dict[str, _Facts] = {} if here is None else {here["name"]: here}
    others = [
        node_of(arguments, each)
        for each in site["servers"]
        if "http" in each["addresses"] and each["name"] not in nodes
    ]
    answers = ask(others, lambda client: client.get("status"), SECONDS)
    nodes |= {each.node: each.facts for each in answers if each.error is None}
    down = {each["name"] for each in site["servers"] if each["state"] == "down"}
    silent = {each.node: each.error for each in answers if each.error is not None and each.node not in down}
    return Glance(site, nodes, silent)


# --- for scripts ------------------------------------------------------------------------


def facts_of(glance: Glance) -> dict[str, Any]:
    hosts, waiting, nodes = glance.hosts, glance.waiting, dict(glance.nodes)
    servers = []
    for server in glance.site["servers"]:
        facts, name = dict(server), server["name"]
        if name in hosts:
            facts["up"], facts["why"] = hosts[name]["up"], hosts[name]["why"]
        if name in waiting:
            facts["waiting"] = waiting[name]
        if name in nodes:
            facts["node"] = nodes.pop(name)
        if name in glance.silent:
            facts["error"] = glance.silent[name]
        servers.append(facts)
    return {**glance.site, "servers": servers, "nodes": nodes}


# --- for people -------------------------------------------------------------------------


def lines_of(glance: Glance) -> list[str]:
    site, servers = glance.site, glance.site["servers"]
    hosts = sum("backend" in each["roles"] for each in servers)
    line = f"{count(site['accounts'], 'account', 'accounts')} on {count(hosts, 'backend', 'backends')}"
    line += f", {site['covered']:,} of them covered for another" if site["covered"] else ""
    return [*([_table(glance)] if servers else []), line, *_elsewhere(glance), *_complaints(glance)]


def _table(glance: Glance) -> str:
    """Columns of what the nodes say are left out where none says it."""
    hosts, waiting = glance.hosts, glance.waiting
    columns: list[tuple[str, list[str], bool]] = [
        ("SERVER", [], True),
        ("STATE", [], True),
        ("SEEN", [], False),
        ("ROLES", [], True),
        ("ACCOUNTS", [], True),
        ("WAITING", [], False),
        ("QUEUED", [], False),
        ("SESSIONS", [], False),
        ("OF THESE COVERED FOR OTHERS", [], True),
    ]
    for server in glance.site["servers"]:
        name = server["name"]
        node = glance.nodes.get(name, {})
        row = (
            name,
            server["state"],
            _seen(glance, hosts, name),
            ",".join(server["roles"]),
            f"{server['accounts']:,}",
            _number(waiting.get(name)),
            _number(node.get("queue", {}).get("messages")),
            _number(node.get("sessions")),
            ", ".join(f"{number:,} of {host}" for host, number in server["covered"].items()),
        )
        for (_, cells, _), cell in zip(columns, row, strict=True):
            cells.append(cell)
    kept = [
        (head, cells if always else [cell or "-" for cell in cells])
        for head, cells, always in columns
        if always or any(cells)
    ]
    heads = [head for head, _ in kept]
    return table([heads, *zip(*(cells for _, cells in kept), strict=True)])


def _seen(glance: Glance, hosts: Mapping[str, _Facts], name: str) -> str:
    if name in hosts:
        return "up" if hosts[name]["up"] else "down"
    if name in glance.silent:
        return "silent"
    return "up" if name in glance.nodes else ""


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _elsewhere(glance: Glance) -> list[str]:
    """Of nodes that answer but are not in the servers' table, what there is to tell."""
    known = {each["name"] for each in glance.site["servers"]}
    lines = []
    for name, facts in glance.nodes.items():
        if name not in known and ("queue" in facts or "sessions" in facts):
            queued = count(facts.get("queue", {}).get("messages", 0), "message", "messages")
            sessions = count(facts.get("sessions", 0), "session", "sessions")
            lines.append(f"{name}, which is not among the servers, has {queued} queued and {sessions}")
    return lines


def _complaints(glance: Glance) -> list[str]:
    servers = glance.site["servers"]
    lines = [f"! {each['name']}: {fault}" for each in servers for fault in each.get("faults", ())]
    lines += [
        f"! {count(entries, 'account', 'accounts')} on {host}, which is no server here: "
        f"unavailable until there is one (cgctl server add {host}) or they move (cgctl rehost {host} OTHER)"
        for host, entries in glance.site["unknown_servers"].items()
    ]
    said_down = {each["name"] for each in servers if each["state"] == "down"}
    lines += [
        f"! {name} is not reached: {seen['why']}"
        for name, seen in glance.hosts.items()
        if not seen["up"] and name not in said_down
    ]
    lines += [f"! {name} says nothing: {error}" for name, error in glance.silent.items()]
    for name, facts in glance.nodes.items():
        lines += [f"! {name} does not serve: {ailment}" for ailment in facts["ailments"]]
        lines += [
            f"! {name} is without the storage in {each['path']}: {each['away']}"
            for each in facts.get("storages", ())
            if each.get("away")
        ]
    return lines


COMMANDS = (
    Command(
        "status",
        "the site at a glance: servers, states, accounts, queues",
        arguments_for(more=_arguments),
        _status,
    ),
)
