"""cgctl's commands on accounts, as an operator gives them, with a node running and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cgnode.admin import accounts
from tests.node.running import cgctl, cgctl_process, running_node


@pytest.fixture(params=["a running node", "no node"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A data folder with two servers and a domain; checked at the end."""
    folder = tmp_path / "data"
    with running_node(folder) if request.param == "a running node" else nullcontext():
        cgctl("--data", folder, "server", "add", "be1", "--lmtp", "10.0.0.1:24", "--imap", "10.0.0.1:143")
        cgctl("server", "add", "BE2", "--role", "backend,frontend", "--lmtp", "10.0.0.2:24", "--data", folder)
        cgctl("--data", folder, "domain", "add", "example.com")
        yield folder
        assert cgctl("--data", folder, "check") == "the store is sound\n"


def facts(folder: Path, *arguments: str) -> Any:
    return json.loads(cgctl("--data", folder, *arguments, "--json"))


def test_a_site_from_nothing(folder: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wonderland\n")
    said = cgctl("--data", folder, "account", "add", "alice@example.com", "--password-file", password)
    assert said == "account alice@example.com added on be1\n"
    made = facts(folder, "account", "add", "bob@example.com")
    assert (made["host"], len(made["password"])) == ("be2", 24)
    cgctl("--data", folder, "domain", "alias", "old.example", "example.com")
    cgctl("--data", folder, "alias", "add", "al@example.com", "alice@example.com")
    cgctl("--data", folder, "group", "add", "team@example.com", "al@old.example", "bob@example.com")
    cgctl("--data", folder, "group", "member", "team@example.com", "--add", "x@far.example")
    cgctl("--data", folder, "forwarder", "add", "out@example.com", "me@far.example")
    assert cgctl("--data", folder, "account", "list") == "alice@example.com  be1\nbob@example.com  be2\n"
    assert cgctl("--data", folder, "account", "list", "--host", "be2") == "bob@example.com  be2\n"
    assert cgctl("--data", folder, "route", "al@old.example") == (
        "al@old.example: domain alias: al@example.com\n"
        "al@example.com: alias: alice@example.com\n"
        "alice@example.com: account: account uid=alice,cn=example.com on be1\n"
        "=> account uid=alice,cn=example.com on be1, active, lmtp 10.0.0.1:24\n"
    )
    team = facts(folder, "route", "team@example.com")["outcome"]
    assert [each["kind"] for each in team["recipients"]] == ["account", "account", "remote"]
    assert facts(folder, "route", "me%far.example@example.com")["outcome"]["forwarded"] is False
    assert facts(folder, "group", "list")["groups"][0]["members"][2] == "x@far.example"
    assert facts(folder, "domain", "show", "old.example")["forwarders"] == 1


def test_forms_of_a_password(tmp_path: Path) -> None:
    """Keys for SCRAM-SHA-256 besides, unless they are not wanted."""
    cgctl("--data", tmp_path, "server", "add", "be1")
    cgctl("--data", tmp_path, "domain", "add", "example.com")
    cgctl("--data", tmp_path, "account", "add", "alice@example.com", "--generate")
    assert cgctl("--data", tmp_path, "export").count("\nuserPassword:") == 2
    cgctl("--data", tmp_path, "account", "passwd", "alice@example.com", "--generate", "--no-scram")
    assert cgctl("--data", tmp_path, "export").count("\nuserPassword:") == 1


def test_a_route_by_the_nodes_own_name(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text('hostname = "MX.example.com"\n')
    words = ("--config", str(config), "--data", folder, "route", "x%far.example@mx.example.com")
    assert cgctl(*words).splitlines()[-1] == "=> x@far.example, elsewhere"


def test_what_follows_a_name(folder: Path) -> None:
    cgctl("--data", folder, "account", "add", "alice@example.com")
    cgctl("--data", folder, "alias", "add", "al@example.com", "alice@example.com")
    said = cgctl("--data", folder, "account", "rename", "alice@example.com", "liddell@example.com", "--keep")
    assert said == "alice@example.com is liddell@example.com now, and 1 alias with it\n"
    cgctl("--data", folder, "domain", "rename", "example.com", "new.example", "--keep")
    shown = facts(folder, "account", "show", "alice@example.com")
    assert shown["address"] == "liddell@new.example"
    assert shown["aliases"] == ["al@new.example", "alice@new.example"]
    said = cgctl("--data", folder, "account", "remove", "liddell@example.com")
    assert said == "account liddell@example.com removed with 2 aliases\n"
    assert cgctl("--data", folder, "domain", "remove", "new.example") == "removed: new.example example.com\n"
    assert facts(folder, "domain", "list") == {"domains": []}


def test_other_names(folder: Path) -> None:
    cgctl("--data", folder, "account", "add", "alice@example.com")
    cgctl("--data", folder, "alias", "add", "al@example.com", "alice@example.com")
    cgctl("--data", folder, "group", "add", "team@example.com", "al@example.com")
    cgctl("--data", folder, "forwarder", "add", "out@example.com", "team@example.com")
    for kind, old, new, also in [
        ("alias", "al", "lew", ", and 1 group or forwarder with it"),
        ("group", "team", "crew", ", and 1 group or forwarder with it"),
        ("forwarder", "out", "outer", ""),
    ]:
        words = (f"{old}@example.com", f"{new}@example.com")
        assert cgctl("--data", folder, kind, "rename", *words) == "{} is {} now{}\n".format(*words, also)
    assert cgctl("--data", folder, "alias", "show", "lew@example.com") == (
        "lew@example.com -> alice@example.com\n"
    )
    assert facts(folder, "group", "show", "crew@example.com")["members"] == ["lew@example.com"]
    assert facts(folder, "forwarder", "show", "outer@example.com")["target"] == "crew@example.com"


def test_servers_and_status(folder: Path) -> None:
    for i in range(4):
        cgctl("--data", folder, "account", "add", f"u{i}@example.com")
    assert cgctl("--data", folder, "server", "drain", "be1") == "server be1 is draining\n"
    assert cgctl("--data", folder, "server", "drain", "be1") == "server be1 is draining already\n"
    assert facts(folder, "account", "add", "v@example.com")["host"] == "be2"
    cgctl("--data", folder, "server", "down", "be1")
    cgctl("--data", folder, "rehost", "be1", "be2")
    cgctl("--data", folder, "rehost", "be2", "be7", "--filter", "(uid=v)")
    status = cgctl("--data", folder, "status")
    assert status.splitlines() == [
        "SERVER  STATE   ROLES             ACCOUNTS  OF THESE COVERED FOR OTHERS",
        "be1     down    backend           0",
        "be2     active  backend,frontend  4         2 of be1",
        "5 accounts on 2 backends, 3 of them covered for another",
        "! 1 account on be7, which is no server here: unavailable until there is one "
        "(cgctl server add be7) or they move (cgctl rehost be7 OTHER)",
    ]
    found = facts(folder, "status")
    assert found["unknown_servers"] == {"be7": 1}
    assert found["servers"][1]["covered"] == {"be1": 2}
    assert facts(folder, "route", "v@example.com")["outcome"]["kind"] == "no host"
    cgctl("--data", folder, "restore", "be1")
    cgctl("--data", folder, "server", "up", "be1")
    assert facts(folder, "route", "u0@example.com")["outcome"]["state"] == "active"
    cgctl("--data", folder, "server", "change", "be2", "--imap", "[::1]:143")
    listed = cgctl("--data", folder, "server", "list")
    assert listed.splitlines()[2] == "be2     active  backend,frontend  lmtp://10.0.0.2:24 imap://[::1]:143"


ERRORS: list[tuple[list[str], int, str]] = [
    (["account", "add", "alice"], 2, "'alice' is no address: write it as in alice@example.com"),
    (
        ["account", "add", "a@b.example"],
        1,
        "there is no domain b.example; cgctl domain add b.example makes it",
    ),
    (["account", "add", "a@example.com", "--host", "x"], 1, "there is no backend x; known are: be1, be2"),
    (["account", "show", "a@example.com"], 1, "there is no a@example.com"),
    (
        ["account", "passwd", "a@example.com", "--password-file", "/none"],
        2,
        "--password-file: cannot read /none: No such file or directory",
    ),
    (["domain", "add", "EXAMPLE.com"], 1, "example.com is there already"),
    (["domain", "list", "--base", "x"], 2, "--base: a type without '='"),
    (["group", "member", "a@example.com"], 2, "say which members: --add ADDRESS, --remove ADDRESS"),
    (["server", "add", "be1"], 1, "be1 is there already; cgctl server change be1 changes it"),
    (["server", "add", "b e"], 2, "'b e' is no server name; write it as in be3 or be3.example.com"),
    (["server", "add", "be3", "--role", "cook"], 2, "--role: 'cook' is none of directory, backend, frontend"),
    (
        ["server", "add", "be3", "--imap", "143"],
        2,
        "--imap: '143' is no address of a server: write it as in 10.0.0.3:143 or [::1]:143",
    ),
    (["server", "remove", "be3"], 1, "there is no server be3; known are: be1, be2"),
    (["server", "change", "be1"], 2, "say what changes: --role, or an address such as --imap HOST:PORT"),
]


def test_errors_are_one_line(tmp_path: Path) -> None:
    for words in (["server", "add", "be1"], ["server", "add", "be2"], ["domain", "add", "example.com"]):
        cgctl("--data", tmp_path, *words)
    for arguments, status, error in ERRORS:
        assert cgctl("--data", tmp_path, *arguments, status=status) == f"cgctl: {error}\n"
    # Where to an unknown address leads is shown, and said by the exit status too.
    assert cgctl("--data", tmp_path, "route", "a@example.com", status=1) == ""
    no_folder = f"there is no directory in {tmp_path}/none; name a node's folder with --data"
    assert cgctl("--data", tmp_path / "none", "status", status=1) == f"cgctl: {no_folder}\n"


def test_at_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["server", "add", "be1"], ["domain", "add", "example.com"]):
        cgctl("--data", tmp_path, *words)
    answers: list[str] = []
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return answers.pop(0)

    monkeypatch.setattr(accounts, "getpass", ask)
    monkeypatch.setattr(accounts, "is_interactive", lambda: True)
    answers[:] = ["one", "two"]
    said = cgctl("--data", tmp_path, "account", "add", "a@example.com", status=1)
    assert said == "cgctl: these were two different passwords\n"
    answers[:] = ["one", "one"]
    assert (
        cgctl("--data", tmp_path, "account", "add", "a@example.com") == "account a@example.com added on be1\n"
    )
    answers[:] = [""]
    assert "\npassword: " in cgctl("--data", tmp_path, "account", "passwd", "a@example.com")
    assert asked[0] == "Password of a@example.com (empty: make one): "


def test_a_running_node_and_cgctl_in_processes_of_their_own(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        for words in ("server add be1", "domain add example.com"):
            cgctl_process("--data", tmp_path, *words.split())
        said = cgctl_process("--data", tmp_path, "account", "add", "alice@example.com", "--generate")
        password = said.split()[-1]
        with node.connection("uid=alice,cn=example.com", password) as connection:
            connection.search("cn=example.com", "(uid=alice)", attributes=["hostServer", "mail"])
            (entry,) = connection.entries
            assert (entry.hostServer.value, entry.mail.value) == ("be1", "alice@example.com")
        with node.connection() as connection:
            # By LDAP, too, the host is the least loaded one unless it is said.
            names = {"cn": "Bob", "sn": "Bob"}
            assert connection.add("uid=bob,cn=example.com", "CommuniGateAccount", names)  # type: ignore[no-untyped-call]
        assert facts(tmp_path, "account", "show", "bob@example.com")["host"] == "be1"
        assert cgctl_process(
            "route", "alice", "--login", "--default-domain", "example.com", "--data", tmp_path
        )
        error = cgctl_process("--uri", node.url, "account", "list", status=2)
        assert error == "cgctl: this works on a folder: name it with --data, not --uri\n"
