"""``cgctl who`` and ``cgctl kick``: clients that are logged in at frontends."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cgnode.admin.command import Command, UsageError, add_json, count, say
from cgnode.admin.nested import table
from cgnode.admin.nodes import Node, ask, complain, frontends, named, node_arguments


def _who_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", nargs="?", help="only this account's")
    parser.add_argument("--host", metavar="HOST", help="only those that this backend serves")
    node_arguments(parser, several=False)
    add_json(parser)


def _who(arguments: Namespace) -> int:
    answers = ask(_nodes(arguments), lambda client: client.get("sessions"))
    found = [
        {**each, "node": answer.node}
        for answer in answers
        for each in answer.facts.get("sessions", ())
        if (arguments.user is None or each["account"] == arguments.user.lower())
        and (arguments.host is None or each["host"] == arguments.host.lower())
    ]
    if not all(each.error for each in answers):
        say(arguments, _listed(found), {"sessions": found})
    return complain(answers)


def _listed(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "nobody is logged in"
    rows = [("ACCOUNT", "PROTOCOL", "CLIENT", "SERVER", "SINCE", "NODE", "SESSION")]
    rows += [
        (
            each["account"],
            each["protocol"],
            each["client"],
            each["host"] or "-",
            f"{datetime.fromtimestamp(each['since']):%Y-%m-%d %H:%M:%S}",
            each["node"],
            each["session"],
        )
        for each in found
    ]
    return f"{table(rows)}\n{count(len(found), 'session', 'sessions')}"


def _kick_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", nargs="?", help="an account, as in alice@example.com")
    parser.add_argument("--host", metavar="HOST", help="all that this backend serves")
    node_arguments(parser, several=False)
    add_json(parser)


def _kick(arguments: Namespace) -> int:
    if (arguments.user is None) is (arguments.host is None):
        raise UsageError("say whose sessions are to end: USER, or --host HOST")
    answers = ask(
        _nodes(arguments),
        lambda client: client.post("sessions/kick", user=arguments.user, host=arguments.host),
    )
    number = sum(each.facts.get("kicked", 0) for each in answers)
    if not all(each.error for each in answers):
        say(arguments, f"{count(number, 'session', 'sessions')} ended", {"kicked": number})
    return complain(answers)


def _nodes(arguments: Namespace) -> list[Node]:
    return [named(arguments, arguments.node)] if arguments.node else frontends(arguments)


COMMANDS = (
    Command("who", "list who is logged in, at all frontends", _who_arguments, _who),
    Command("kick", "end a user's sessions, or all that a backend serves", _kick_arguments, _kick),
)
