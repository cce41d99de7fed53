"""cgctl failover and restore, on a data folder and at a distance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.node.running import RunningNode, cgctl, cgctl_process, running_node


def site(folder: Path) -> None:
    """Three backends; be3 serves two accounts in one domain and one in another."""
    for name in ("be1", "be3", "be5"):
        cgctl("--data", folder, "server", "add", name)
    for domain in ("one.example", "two.example"):
        cgctl("--data", folder, "domain", "add", domain)
    for address in ("a@one.example", "b@one.example", "c@two.example"):
        cgctl("--data", folder, "account", "add", address, "--host", "be3")


@pytest.fixture(params=["a running node", "no node"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    with running_node(folder) if request.param == "a running node" else nullcontext():
        site(folder)
        yield folder
        assert cgctl("--data", folder, "check") == "the store is sound\n"


def loads(folder: Path) -> dict[str, tuple[str, int]]:
    found = json.loads(cgctl("--data", folder, "server", "list", "--json"))["servers"]
    listed = cgctl("--data", folder, "account", "list").splitlines()
    hosts = [line.split()[1] for line in listed]
    return {each["name"]: (each["state"], hosts.count(each["name"])) for each in found}


def test_in_a_folder(folder: Path) -> None:
    said = cgctl("--data", folder, "failover", "be3", "--to", "be5", "--dry-run")
    assert said == "3 entries would be moved from be3 to be5; be3 would be marked down\n"
    said = cgctl("--data", folder, "failover", "be3", "--to", "be5")
    assert said.startswith("3 entries moved from be3 to be5, in ")
    assert said.endswith(" s; be3 is down\n")
    assert loads(folder) == {"be1": ("active", 0), "be3": ("down", 0), "be5": ("active", 3)}
    again = "be3 is down already; nothing to move: no entry is served by be3\n"
    assert cgctl("--data", folder, "failover", "be3", "--to", "be5") == again
    said = cgctl("--data", folder, "restore", "be3")
    assert said.startswith("3 entries moved back to be3, in ")
    assert said.endswith(" s; be3 is active again\n")
    assert loads(folder)["be3"] == ("active", 3)


def test_a_domain_of_it(folder: Path) -> None:
    found = json.loads(
        cgctl("--data", folder, "failover", "be3", "--to", "be5", "--domain", "one.example", "--json")
    )
    assert (found["moved"], found["state"], found["marked"]) == (2, "active", False)
    said = cgctl("--data", folder, "failover", "be3", "--to", "be1", "--domain", "two.example")
    assert said.endswith("; be3 is down\n")


def test_refusals_are_one_line(folder: Path) -> None:
    cgctl("--data", folder, "server", "down", "be1")
    for sibling, reason in [
        ("be3", "be3 can't cover for itself; --to names another server"),
        ("be4", "there is no server be4; known are: be1, be3, be5"),
        ("be1", "be1 is down; cgctl server up be1 says that it is not"),
    ]:
        assert cgctl("--data", folder, "failover", "be3", "--to", sibling, status=1) == f"cgctl: {reason}\n"
    assert loads(folder)["be3"] == ("active", 3)


def test_the_base_and_members_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(
        'data = "data"\nroles = ["directory"]\n[ldap]\nlisten = ["ldap://127.0.0.1:0"]\n'
        '[cluster]\nbase = "o=site"\ndefault_domain = "one.example"\n[cluster.members.be5]\nstate = "down"\n'
    )
    data = tmp_path / "data"
    organization = "dn: o=site\nobjectClass: organization\no: site\n"
    with running_node(data, "--config", str(config)):
        cgctl("--data", data, "import", "-", stdin=organization)
        site(data)
        assert "uid=a,cn=one.example,o=site" in cgctl("--data", data, "account", "show", "a@one.example")
        assert cgctl("--data", data, "route", "a", "--login").startswith("a: ")
        error = cgctl("--data", data, "failover", "be3", "--to", "be5", status=1)
        assert error == "cgctl: be5 is down; cgctl server up be5 says that it is not\n"
        cgctl("--data", data, "failover", "be3", "--to", "be1")
        said = cgctl("--data", data, "restore", "be3", "--domain", "one.example")
        assert said.startswith("2 entries moved back to be3")
    # Without the node, too; and what is said on the command line is what holds.
    assert "be3     active" in cgctl("--data", data, "server", "list")
    assert "there is no domain" in cgctl("--data", data, "domain", "list", "--base", "o=other")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    with running_node(tmp_path / "data") as node:
        site(node.folder)
        yield node


def at_a_distance(node: RunningNode) -> Callable[..., Any]:
    def run(*arguments: str) -> Any:
        login = ["-D", "cn=admin", "-y", str(node.folder / "admin.secret")]
        return json.loads(cgctl_process("--uri", node.url, *login, *arguments, "--json"))

    return run


def test_at_a_distance(node: RunningNode) -> None:
    run = at_a_distance(node)
    done = run("failover", "be3", "--to", "be5")
    assert (done["moved"], done["state"], done["marked"]) == (3, "down", True)
    assert done["csn"]
    assert loads(node.folder) == {"be1": ("active", 0), "be3": ("down", 0), "be5": ("active", 3)}
    again = run("failover", "be3", "--to", "be5")
    assert (again["moved"], again["state"], again["marked"]) == (0, "down", False)
    back = run("restore", "be3")
    assert (back["changed"], back["state"], back["marked"]) == (3, "active", True)
    assert loads(node.folder)["be3"] == ("active", 3)


def test_a_domain_at_a_distance(node: RunningNode) -> None:
    run = at_a_distance(node)
    first = run("failover", "be3", "--to", "be5", "--domain", "one.example")
    assert (first["moved"], first["state"], first["marked"]) == (2, "active", False)
    last = run("failover", "be3", "--to", "be1", "--domain", "two.example")
    assert (last["moved"], last["state"], last["marked"]) == (1, "down", True)
    back = run("restore", "be3", "--domain", "one.example")
    assert (back["changed"], back["state"]) == (2, "active")


def test_refusals_at_a_distance(node: RunningNode) -> None:
    login = ["--uri", node.url, "-D", "cn=admin", "-y", str(node.folder / "admin.secret")]
    error = cgctl_process(*login, "failover", "be3", "--to", "be4", status=1)
    assert error == "cgctl: there is no server be4; known are: be1, be3, be5\n"
    error = cgctl_process("--uri", node.url, "failover", "be3", "--to", "be5", status=1)
    assert error.endswith("; nothing was changed\n")
    assert loads(node.folder)["be3"] == ("active", 3)


def test_from_a_node_that_follows_a_directory(node: RunningNode, tmp_path: Path) -> None:
    """It has no store of its own, and asks where its configuration says."""
    config = tmp_path / "fe1.toml"
    config.write_text(
        'data = "fe1"\nroles = ["frontend"]\n[cluster.directory]\n'
        f'urls = ["ldap://127.0.0.1:1", "{node.url}"]\npassword_file = "{node.folder}/admin.secret"\n'
    )
    said = cgctl_process("--config", config, "failover", "be3", "--to", "be5")
    assert said.startswith("3 entries moved from be3 to be5, in ")
    assert cgctl_process("--config", config, "restore", "be3").endswith("; be3 is active again\n")
    assert loads(node.folder)["be3"] == ("active", 3)
