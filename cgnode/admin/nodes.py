"""Running nodes, as cgctl asks them: this machine's by the socket in its data folder, others
by the addresses that the servers' table has.

What lives here: which nodes, and asking several at once.  What must not: what is asked.
"""

from __future__ import annotations

import ssl
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from attrs import evolve, field, frozen

from cgnode.admin.command import AdminError, UsageError
from cgnode.admin.nested import site_of
from cgnode.admin.target import config_of, local_directory, server_of
from cgnode.config import Config
from cgnode.control import SOCKET
from cgnode.control.client import ControlClient, ControlError, Tcp, Unix, tls_context
from cgnode.control.overview import overview
from cgnode.control.token import token_of
from cgnode.folder import STORE
from cgnode.listeners import is_loopback
from cgnode.members import parse_endpoint
from cgnode.names import BadName, server_name
from cgnode.secret import CLUSTER, cluster_secret
from cgnode.tables import ConfigError

AT_ONCE: Final = 16

_OWN: Final = "own_facts"


@frozen
class Node:
    """``name`` is "" for this machine's, where it needs none; ``error`` says why a node can't
    be asked."""

    name: str
    client: ControlClient | None
    error: str = ""


@frozen
class Answer:
    """Of one node: what it said, or why there is nothing."""

    node: str
    facts: Mapping[str, Any] = field(factory=dict)
    error: str | None = None


def node_arguments(parser: ArgumentParser, *, several: bool = True) -> None:
    which = parser.add_mutually_exclusive_group()
    if several:
        which.add_argument("--all", action="store_true", help="all frontends, not this machine's node alone")
    which.add_argument("--node", metavar="NAME", help="the node of this name, by its http address")


# --- one node ---------------------------------------------------------------------------


def chosen(arguments: Namespace) -> list[Node]:
    """The nodes that --all or --node name, or this machine's."""
    given = vars(arguments)
    if given.get("node"):
        return [named(arguments, arguments.node)]
    return frontends(arguments) if given.get("all") else [own(arguments)]


def own(arguments: Namespace, name: str = "") -> Node:
    """The node of the data folder."""
    if server_of(arguments) is not None:
        raise UsageError("this asks a node: name its folder with --data, not --uri")
    return Node(name, ControlClient(Unix(config_of(arguments).data.absolute() / SOCKET)))


def named(arguments: Namespace, text: str) -> Node:
    name = server_name(text)
    facts = site_facts(arguments)["servers"]
    for each in facts:
        if each["name"] == name:
            return node_of(arguments, each)
    known = ", ".join(each["name"] for each in facts) or "none"
    raise AdminError(f"there is no server {name}; known are: {known}")


def node_of(arguments: Namespace, server: Mapping[str, Any]) -> Node:
    """A server that ``overview`` has, by its http address."""
    name, address = server["name"], server["addresses"].get("http")
    if name == own_name(arguments):
        return own(arguments, name)
    if address is None:
        change = f"cgctl server change {name} --http HOST:PORT"
        return Node(name, None, f"its http address is not known; {change} makes it so")
    config = config_of(arguments)
    try:
        endpoint = parse_endpoint(address)
        way = Tcp(endpoint, name, _token(config), _tls(config, endpoint.host))
    except (BadName, ConfigError, AdminError) as error:
        return Node(name, None, str(error))
    return Node(name, ControlClient(way))


def _token(config: Config) -> str:
    folder = config.data.absolute()
    if config.cluster.secret_file is None and not (folder / CLUSTER).exists():
        raise AdminError(f"there is no {folder / CLUSTER}, so other nodes can't be asked from here")
    return token_of(cluster_secret(config, folder).password)


def _tls(config: Config, host: str) -> ssl.SSLContext | None:
    if is_loopback(host):
        return None
    cluster = config.cluster
    if cluster.ca is None:
        if cluster.clear_text:
            return None
        raise AdminError(f"{host} is another machine, and no cluster.ca is configured to be sure of it")
    try:
        return tls_context(cluster.ca, cluster.certificate, cluster.key)
    except (OSError, ssl.SSLError) as error:
        raise config.error("cluster.ca", f"with certificate and key it can't be used: {error}") from None


# --- several ----------------------------------------------------------------------------


def frontends(arguments: Namespace) -> list[Node]:
    """All that the servers' table has, and this machine's where it is one.  Raises AdminError
    where there is none."""
    found = [
        node_of(arguments, each) for each in site_facts(arguments)["servers"] if "frontend" in each["roles"]
    ]
    mine = own_name(arguments)
    here = own_facts(arguments)
    if here is not None and "frontend" in here["roles"] and mine not in [each.name for each in found]:
        found.append(own(arguments, mine))
    if not found:
        raise AdminError("there is no frontend; cgctl server add NAME --role frontend makes one known")
    return found


def ask(
    nodes: Sequence[Node], call: Callable[[ControlClient], Mapping[str, Any]], seconds: float | None = None
) -> list[Answer]:
    """All of them at once, in their order."""

    def one(node: Node) -> Answer:
        if node.client is None:
            return Answer(node.name, error=node.error)
        client = node.client if seconds is None else evolve(node.client, seconds=seconds)
        try:
            return Answer(node.name, call(client))
        except ControlError as error:
            return Answer(node.name, error=_told(client, error))

    if len(nodes) < 2:
        return [one(node) for node in nodes]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, nodes))


def ask_one(node: Node, call: Callable[[ControlClient], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Raises AdminError."""
    (answer,) = ask([node], call)
    if answer.error is not None:
        raise AdminError(f"{node.name}: {answer.error}" if node.name else answer.error)
    return answer.facts


def _told(client: ControlClient, error: ControlError) -> str:
    way = client.way
    if error.status is None and isinstance(way, Unix):
        return f"no node runs on {way.path.parent}: {error}; start it, or name its folder with --data"
    return f"{way}: {error}" if error.status is None else str(error)


def complain(answers: Sequence[Answer]) -> int:
    """A line on stderr for each that failed; the exit status."""
    failed = [each for each in answers if each.error is not None]
    for each in failed:
        print(f"cgctl: {each.node}: {each.error}" if each.node else f"cgctl: {each.error}", file=sys.stderr)
    return int(bool(failed))


# --- the site ---------------------------------------------------------------------------


def own_name(arguments: Namespace) -> str:
    """This machine's node's, as it says, or as its configuration does."""
    facts = own_facts(arguments)
    return config_of(arguments).name if facts is None else str(facts["name"])


def own_facts(arguments: Namespace) -> Mapping[str, Any] | None:
    """What this machine's node says of itself; None where none runs."""
    # Asked once for a command.
    if _OWN not in vars(arguments):
        (answer,) = ask([own(arguments)], lambda client: client.get("status"))
        setattr(arguments, _OWN, answer.facts if answer.error is None else None)
    facts: Mapping[str, Any] | None = vars(arguments)[_OWN]
    return facts


def site_facts(arguments: Namespace) -> Mapping[str, Any]:
    """``overview``: of the directory in the folder, or as the node there knows it."""
    folder = config_of(arguments).data.absolute()
    if server_of(arguments) is None and not (folder / STORE).is_dir() and (folder / SOCKET).exists():
        return ask_one(own(arguments), lambda client: client.get("site"))
    with local_directory(arguments) as directory:
        return overview(site_of(arguments, directory))
