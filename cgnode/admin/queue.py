"""``cgctl queue``: mail that waits at frontends."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cgnode.admin.command import Command, add_json, count, say
from cgnode.admin.nested import nested, table
from cgnode.admin.nodes import Answer, Node, ask, ask_one, chosen, complain, node_arguments
from cgnode.control.client import ControlClient

_PAGE: Final = 1000
_STATES: Final = ("active", "ready", "delayed", "held")
_ID: Final = "a message's id, as cgctl queue list shows it"


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--state", choices=_STATES, help="only messages of this state")
    parser.add_argument("--destination", metavar="DEST", help="only for it: backend:be3, remote:example.com")
    parser.add_argument("--limit", metavar="N", type=int, default=_PAGE, help=f"no more than N ({_PAGE})")
    node_arguments(parser)
    add_json(parser)


def _list(arguments: Namespace) -> int:
    def read(client: ControlClient) -> Mapping[str, Any]:
        return _read(client, arguments.limit, arguments.state, arguments.destination)

    nodes = chosen(arguments)
    answers = ask(nodes, read)
    found = [
        {**message, "node": each.node} if each.node else message
        for each in answers
        for message in each.facts.get("messages", ())
    ]
    more = any(each.facts.get("more") for each in answers)
    if not all(each.error for each in answers):
        say(arguments, _listed(found, more=more), {"messages": found, "more": more})
    return complain(answers)


def _read(client: ControlClient, limit: int, state: str | None, destination: str | None) -> Mapping[str, Any]:
    """Page by page, until there are enough."""
    found: list[Mapping[str, Any]] = []
    after = None
    while limit > len(found):
        page = client.get(
            "queue",
            after=after,
            limit=min(_PAGE, limit - len(found)),
            state=state,
            destination=destination,
        )
        found += page["messages"]
        after = page.get("next")
        if after is None:
            break
    return {"messages": found, "more": after is not None}


def _listed(found: Sequence[Mapping[str, Any]], *, more: bool) -> str:
    if not found:
        return "no message is queued"
    several = any("node" in each for each in found)
    heads = (("NODE",) if several else ()) + ("ID", "STATE", "SIZE", "TO", "ARRIVED", "NEXT TRY", "SENDER")
    rows = [heads]
    rows += [((each["node"],) if several else ()) + _row(each) for each in found]
    more_text = "; there are more: --limit" if more else ""
    return f"{table(rows)}\n{count(len(found), 'message', 'messages')}{more_text}"


def _row(message: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        message["id"],
        message["state"],
        f"{message['size']:,}",
        f"{message['pending']:,}",
        _date(message["arrival"]),
        _date(message.get("till")) or "-",
        message["sender"] or "<>",
    )


def _date(text: str | None) -> str:
    """To the second."""
    return text[:19].replace("T", " ") if text else ""


def _one_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help=_ID)
    node_arguments(parser)
    add_json(parser)


def _show(arguments: Namespace) -> int:
    facts = _of_one(chosen(arguments), lambda client: client.get("queue/message", id=arguments.id))
    lines = [f"{facts['id']}  {facts['state']}"]
    lines += [
        f"  {name:<11} {value}"
        for name, value in (
            ("from", facts["sender"] or "<>"),
            ("size", f"{facts['size']:,}"),
            ("arrived", _date(facts["arrival"])),
            ("client", facts.get("client") or "-"),
            ("session", facts.get("session") or "-"),
        )
    ]
    for each in facts["to"]:
        lines.append(f"  to {each['address']}: {_fate(each)}")
    say(arguments, "\n".join(lines), facts)
    return 0


def _fate(recipient: Mapping[str, Any]) -> str:
    words = [recipient["state"]]
    if "destination" in recipient:
        words.append(f"at {recipient['destination']}")
    if recipient.get("attempts"):
        words.append(f"after {count(recipient['attempts'], 'attempt', 'attempts')}")
    if recipient.get("till"):
        words.append(f"till {_date(recipient['till'])}")
    reason = f": {recipient['reason']}" if "reason" in recipient else ""
    return " ".join(words) + reason


def _of_one(nodes: Sequence[Node], call: Callable[[ControlClient], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of the one that has it; the first one's refusal where none has."""
    for answer in ask(nodes, call):
        if answer.error is None:
            return answer.facts
    return ask_one(nodes[0], call)


def _flush_arguments(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("id", metavar="ID", nargs="?", help=_ID)
    what.add_argument("--destination", metavar="DEST", help="what waits for it, as in backend:be3")
    node_arguments(parser)
    add_json(parser)


def _flush(arguments: Namespace) -> int:
    def flush(client: ControlClient) -> Mapping[str, Any]:
        return client.post("queue/flush", id=arguments.id, destination=arguments.destination)

    answers = ask(chosen(arguments), flush)
    if arguments.id is not None and any(each.error is None for each in answers):
        # Only one of several can have it.
        answers = [each for each in answers if each.error is None]
    number = sum(each.facts.get("messages", 0) for each in answers)
    if not all(each.error for each in answers):
        text = f"{count(number, 'message is', 'messages are')} tried now"
        say(arguments, text, {"messages": number})
    return complain(answers)


def _many_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="+", help=_ID)
    node_arguments(parser)
    add_json(parser)


def _change(word: str, done: str) -> Callable[[Namespace], int]:
    def run(arguments: Namespace) -> int:
        nodes = chosen(arguments)
        changed: list[str] = []
        failed: list[Answer] = []
        for number in arguments.ids:
            answers = ask(nodes, _post(f"queue/{word}", number))
            if any(each.error is None for each in answers):
                changed.append(number)
            else:
                failed += answers
        if changed:
            say(arguments, f"{count(len(changed), 'message', 'messages')} {done}", {"ids": changed})
        return complain(failed)

    return run


def _post(path: str, number: str) -> Callable[[ControlClient], Mapping[str, Any]]:
    return lambda client: client.post(path, id=number)


COMMANDS = (
    nested(
        "queue",
        "mail that waits at frontends",
        (
            Command("list", "list what waits", _list_arguments, _list),
            Command("show", "show a message and what became of each recipient", _one_arguments, _show),
            Command("flush", "try now what waits: all, a message, a destination's", _flush_arguments, _flush),
            Command(
                "hold",
                "try messages no more until they are released",
                _many_arguments,
                _change("hold", "held"),
            ),
            Command(
                "release",
                "go on with messages that are held",
                _many_arguments,
                _change("release", "released"),
            ),
            Command(
                "remove",
                "forget messages; nobody is told",
                _many_arguments,
                _change("remove", "removed"),
            ),
        ),
    ),
)
