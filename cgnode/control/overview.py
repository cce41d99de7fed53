"""The site at a glance: servers, their states, what each serves; in values that JSON has."""

from __future__ import annotations

from typing import Any

from cgnode.lookup import HostLoad, Site
from cgnode.members import Member


def overview(site: Site) -> dict[str, Any]:
    """At the cost of servers and domains, not of accounts."""
    with site.reading() as lookup:
        members, loads = lookup.members(), lookup.loads()
    return {
        "servers": [
            {**server_facts(each), **load_facts(loads.get(each.name, HostLoad()))} for each in members
        ],
        "unknown_servers": {host: load.entries for host, load in loads.items() if members.get(host) is None},
        "accounts": sum(load.entries for load in loads.values()),
        "covered": sum(sum(load.covered.values()) for load in loads.values()),
    }


def server_facts(member: Member) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": member.name,
        "state": member.state.value,
        "roles": list(member.roles),
        "addresses": {protocol: str(endpoint) for protocol, endpoint in member.addresses.items()},
    }
    if member.faults:
        facts["faults"] = list(member.faults)
    return facts


def load_facts(load: HostLoad) -> dict[str, Any]:
    return {"accounts": load.entries, "covered": dict(load.covered)}
