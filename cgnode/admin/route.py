"""``cgctl route``: where an address leads, step by step."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import assert_never

from cgnode.admin.command import Command, say
from cgnode.admin.nested import arguments_for, open_site
from cgnode.admin.target import config_of
from cgnode.lookup import StoreLookup
from cgnode.router import Account, Group, Loop, NoHost, Outcome, Remote, Router, Unknown, told


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--login", action="store_true", help="as the user name of a client that logs in")
    parser.add_argument(
        "--default-domain", metavar="DOMAIN", help="of names without a domain (as the configuration says)"
    )


def _route(arguments: Namespace) -> int:
    domain = arguments.default_domain
    with open_site(arguments) as site, site.reading() as lookup:
        config = config_of(arguments)
        default = config.cluster.default_domain if domain is None else domain.lower()
        router = Router(lookup, default, frozenset((config.hostname.lower(), config.name)))
        routed = (router.login if arguments.login else router.route)(arguments.address)
        result = _facts(routed.outcome, lookup)
        lines = [*map(str, routed.steps), *_summary(routed.outcome, lookup)]
    steps = [{"address": step.address, "rule": step.rule, "result": step.result} for step in routed.steps]
    say(arguments, "\n".join(lines), {"steps": steps, "outcome": result})
    # 1 for what mail would not be accepted for, so that scripts may ask.
    return int(isinstance(routed.outcome, Unknown | Loop))


def _summary(outcome: Outcome, lookup: StoreLookup) -> list[str]:
    if isinstance(outcome, Group):
        return [f"=> {told(outcome)}", *(f"   {_told(each, lookup)}" for each in outcome.recipients)]
    return [f"=> {_told(outcome, lookup)}"]


def _told(outcome: Outcome, lookup: StoreLookup) -> str:
    """With the server's state, where that is not the usual one, and the address for mail."""
    if not isinstance(outcome, Account):
        return told(outcome)
    member = lookup.member(outcome.host)
    endpoint = member.addresses.get("lmtp") if member else None
    state = f", {member.state.value}" if member else ""
    return f"{told(outcome)}{state}" + (f", lmtp {endpoint}" if endpoint else "")


def _facts(outcome: Outcome, lookup: StoreLookup) -> dict[str, object]:
    match outcome:
        case Account(dn, address, host):
            member = lookup.member(host)
            state = member.state.value if member else None
            return {"kind": "account", "dn": dn, "address": str(address), "host": host, "state": state}
        case Remote(address, forwarded):
            return {"kind": "remote", "address": str(address), "forwarded": forwarded}
        case Group(dn, address, recipients):
            found = [_facts(each, lookup) for each in recipients]
            return {"kind": "group", "dn": dn, "address": str(address), "recipients": found}
        case NoHost(dn, address, host):
            return {"kind": "no host", "dn": dn, "address": str(address), "host": host}
        case Unknown(text, reason):
            return {"kind": "unknown", "address": text, "reason": reason}
        case Loop(text, reason):
            return {"kind": "loop", "address": text, "reason": reason}
        case _:
            assert_never(outcome)


COMMANDS = (
    Command(
        "route",
        "show where an address leads, step by step",
        arguments_for(("ADDRESS", "as in alice@example.com"), more=_arguments),
        _route,
    ),
)
