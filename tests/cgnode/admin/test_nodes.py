"""cgctl's commands that ask running nodes: control interfaces on real sockets, the nodes
behind them made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from cgnode.admin.main import main
from cgnode.backend.store import Removed
from tests.cgnode.control.serving import SECRET, Calls, endpoint, parts, served

OLD = Removed("bob@example.com", "bob.20200102T030405Z", 1577934245, "be1")
NEW = Removed("bob@example.com", "bob.20260102T030405Z", 1767323045, "be1")
ALICE = Removed("alice@example.com", "alice.20260102T030405Z", 1767323045, "be3")

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """What cgctl prints, on stderr where it fails; of the data folder below."""

    def run(*arguments: str | Path, status: int = 0) -> str:
        capsys.readouterr()
        found = main(["--data", str(tmp_path / "data"), *map(str, arguments)])
        out, err = capsys.readouterr()
        assert found == status, err
        return err if status else out

    return run


def facts(run: Run, *arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@frozen
class Two:
    """Nodes fe1, of the data folder, and fe2, elsewhere."""

    here: Calls
    there: Calls


@pytest.fixture
def two(run: Run, tmp_path: Path) -> Iterator[Two]:
    here, there = Calls(), Calls()
    for name, role in (("fe1", "frontend,directory"), ("fe2", "frontend"), ("be1", "backend")):
        run("server", "add", name, "--role", role)
    data = tmp_path / "data"
    (data / "cluster.secret").write_bytes(SECRET)
    first = parts(
        "fe1",
        ("directory", "frontend"),
        queue=here.queue("q1", "q2"),
        sessions=here.sessions("alice@example.com", "bob@example.com"),
        hosts=lambda: {"be1": {"up": True, "why": "", "seconds": 9.0}},
    )
    second = parts("fe2", queue=there.queue("q3"), sessions=there.sessions("alice@example.com"))
    with ExitStack() as stack:
        stack.enter_context(served(first, data, tcp=False))
        other = stack.enter_context(served(second, tmp_path / "other"))
        run("server", "change", "fe2", "--http", str(endpoint(other)))
        yield Two(here, there)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Calls]:
    calls = Calls()
    node = parts("be1", ("backend",), storages=calls.storages(OLD, NEW, ALICE))
    with served(node, tmp_path / "data", tcp=False):
        yield calls


# --- the queue --------------------------------------------------------------------------


def test_the_queue_of_this_node(run: Run, two: Two) -> None:
    assert run("queue", "list").splitlines() == [
        "ID  STATE    SIZE   TO  ARRIVED              NEXT TRY             SENDER",
        "q1  delayed  1,234  1   2026-01-02 03:04:05  2026-01-02 03:09:05  a@here.example",
        "q2  delayed  1,234  1   2026-01-02 03:04:05  2026-01-02 03:09:05  a@here.example",
        "2 messages",
    ]
    assert run("queue", "list", "--limit", "1").endswith("1 message; there are more: --limit\n")
    listed = facts(run, "queue", "list", "--destination", "backend:be1", "--state", "delayed")
    assert ([each["id"] for each in listed["messages"]], listed["more"]) == (["q1", "q2"], False)
    assert run("queue", "show", "q1").startswith("q1  delayed\n  from        a@here.example\n")
    assert facts(run, "queue", "show", "q2")["session"] == "s1"
    assert run("queue", "flush") == "2 messages are tried now\n"
    assert facts(run, "queue", "flush", "--destination", "backend:be1") == {"messages": 2}
    assert run("queue", "hold", "q1", "q2") == "2 messages held\n"
    assert run("queue", "release", "q1") == "1 message released\n"
    assert facts(run, "queue", "remove", "q1") == {"ids": ["q1"]}
    assert two.here.made[-4:] == ["release q1", "changed", "remove q1", "changed"]
    assert not two.there.made


def test_the_queues_of_all_frontends(run: Run, two: Two) -> None:
    listed = facts(run, "queue", "list", "--all")["messages"]
    assert [(each["node"], each["id"]) for each in listed] == [("fe1", "q1"), ("fe1", "q2"), ("fe2", "q3")]
    assert run("queue", "list", "--all").startswith("NODE  ID  STATE")
    assert run("queue", "flush", "--all") == "3 messages are tried now\n"
    assert facts(run, "queue", "show", "q3", "--all")["id"] == "q3"
    assert run("queue", "hold", "q3", "--all") == "1 message held\n"
    assert run("queue", "remove", "q3", "--node", "FE2") == "1 message removed\n"
    assert [each for each in two.there.made if each != "changed"][-3:] == [
        "flush all",
        "hold q3",
        "remove q3",
    ]


def test_what_the_queue_refuses(run: Run, two: Two) -> None:
    assert run("queue", "show", "q9", status=1) == "cgctl: q9: no such message is queued\n"
    assert run("queue", "hold", "q9", "--node", "fe2", status=1) == (
        "cgctl: fe2: q9: no such message is queued\n"
    )
    assert run("queue", "list", "--destination", "be1", status=1) == (
        "cgctl: 'be1' is no destination: write it as in backend:be3 or remote:example.com\n"
    )
    assert run("queue", "list", "--node", "fe3", status=1) == (
        "cgctl: there is no server fe3; known are: be1, fe1, fe2\n"
    )
    assert run("queue", "list", "--node", "be1", status=1) == (
        "cgctl: be1: its http address is not known; cgctl server change be1 --http HOST:PORT makes it so\n"
    )
    assert run("storage", "list", status=1) == "cgctl: this node has no mail storage: it is no backend\n"


# --- sessions ---------------------------------------------------------------------------


def test_who_and_kick(run: Run, two: Two) -> None:
    found = facts(run, "who")["sessions"]
    assert [(each["node"], each["account"]) for each in found] == [
        ("fe1", "alice@example.com"),
        ("fe1", "bob@example.com"),
        ("fe2", "alice@example.com"),
    ]
    lines = run("who", "ALICE@example.com").splitlines()
    assert lines[0].split() == ["ACCOUNT", "PROTOCOL", "CLIENT", "SERVER", "SINCE", "NODE", "SESSION"]
    assert lines[-1] == "2 sessions"
    assert facts(run, "who", "--node", "fe2", "--host", "be2") == {"sessions": []}
    assert run("who", "--host", "be2") == "nobody is logged in\n"
    assert run("kick", "alice@example.com") == "2 sessions ended\n"
    assert facts(run, "kick", "--host", "be1") == {"kicked": 3}
    assert two.there.made == ["kick user=alice@example.com host=None", "kick user=None host=be1"]
    assert run("kick", status=2) == "cgctl: say whose sessions are to end: USER, or --host HOST\n"


def test_a_frontend_that_does_not_answer(run: Run, two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are told; and that one was not, too."""
    run("server", "change", "fe2", "--http", "127.0.0.1:1")
    assert run("kick", "alice@example.com", status=1) == "cgctl: fe2: 127.0.0.1:1: Connection refused\n"
    assert two.here.made == ["kick user=alice@example.com host=None"]
    run("server", "change", "fe2", "--http", "10.255.255.1:1880")
    assert run("queue", "list", "--all", status=1) == (
        "cgctl: fe2: 10.255.255.1 is another machine, and no cluster.ca is configured to be sure of it\n"
    )


def test_another_cluster(run: Run, two: Two, tmp_path: Path) -> None:
    (tmp_path / "data" / "cluster.secret").write_bytes(b"the secret of another cluster")
    said = "cgctl: fe2: the control interface wants the cluster's token\n"
    assert run("queue", "list", "--node", "fe2", status=1) == said
    (tmp_path / "data" / "cluster.secret").unlink()
    assert "so other nodes can't be asked from here" in run("queue", "list", "--node", "fe2", status=1)
    assert not (tmp_path / "data" / "cluster.secret").exists()


def test_no_node_runs(run: Run, tmp_path: Path) -> None:
    said = (
        f"cgctl: no node runs on {tmp_path}/data: No such file or directory; "
        "start it, or name its folder with --data\n"
    )
    assert run("queue", "list", status=1) == said
    assert run("storage", "list", status=1) == said
    run("server", "add", "be1")
    assert run("who", status=1) == (
        "cgctl: there is no frontend; cgctl server add NAME --role frontend makes one known\n"
    )
    assert main(["--uri", "ldap://127.0.0.1:1", "queue", "list"]) == 2


# --- storages ---------------------------------------------------------------------------


def test_storages(run: Run, backend: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("storage", "list").splitlines() == [
        "SERVER  PATH       IS        STATE",
        "be1     /srv/mail  attached  served",
    ]
    monkeypatch.chdir(tmp_path)
    assert run("storage", "attach", "be3-mail") == f"the storage of be3 is served from {tmp_path}/be3-mail\n"
    assert facts(run, "storage", "detach", "be3") == {"host": "be3"}
    assert run("storage", "detach", "/mnt/x") == "the storage of be3 is detached\n"
    assert backend.made == [f"attach {tmp_path}/be3-mail", "detach be3", "detach /mnt/x"]
    said = "cgctl: mail is on another machine: give its absolute path\n"
    assert run("storage", "attach", "mail", "--node", "be2", status=2) == said


def test_mailboxes_that_are_set_aside(run: Run, backend: Calls) -> None:
    lines = run("mailbox", "removed").splitlines()
    assert len(lines) == 4
    assert lines[3].split()[:2] == [ALICE.address, ALICE.name]
    assert run("mailbox", "purge", "bob@example.com", status=1) == (
        f"cgctl: 2 mailboxes of bob@example.com are set aside, say which: {OLD.name}, {NEW.name}\n"
    )
    assert run("mailbox", "purge", "bob@example.com", OLD.name) == "1 mailbox destroyed\n"
    purged = facts(run, "mailbox", "purge", "--older-than", "1000")["purged"]
    assert [each["name"] for each in purged] == [OLD.name]
    assert run("mailbox", "restore", "Alice@example.com") == "the mailbox of alice@example.com is back\n"
    assert backend.made == [
        f"purge bob@example.com {OLD.name} be1",
        f"purge bob@example.com {OLD.name} be1",
        f"put back alice@example.com {ALICE.name}",
    ]
    assert run("mailbox", "purge", "eve@example.com", status=1) == (
        "cgctl: no mailbox of eve@example.com is set aside; see cgctl mailbox removed\n"
    )
    said = "cgctl: say which mailboxes: ADDRESS [NAME], or --older-than DAYS\n"
    assert run("mailbox", "purge", status=2) == said


# --- the site ---------------------------------------------------------------------------


def test_status_of_running_nodes(run: Run, two: Two) -> None:
    run("server", "add", "be2", "--http", "127.0.0.1:1")
    run("server", "add", "be3", "--http", "127.0.0.1:1")
    run("server", "down", "be3")
    assert run("status").splitlines() == [
        "SERVER  STATE   SEEN    ROLES               ACCOUNTS  QUEUED  SESSIONS  OF THESE COVERED FOR OTHERS",
        "be1     active  up      backend             0         -       -",
        "be2     active  silent  backend             0         -       -",
        "be3     down    -       backend             0         -       -",
        "fe1     active  up      directory,frontend  0         2       2",
        "fe2     active  up      frontend            0         1       1",
        "0 accounts on 3 backends",
        "! be2 says nothing: 127.0.0.1:1: Connection refused",
    ]
    found = facts(run, "status")
    servers = {each["name"]: each for each in found["servers"]}
    assert servers["be1"]["up"] is True
    assert servers["be2"]["error"] == "127.0.0.1:1: Connection refused"
    assert servers["fe2"]["node"]["queue"]["messages"] == 1
    assert found["nodes"] == {}


def test_status_of_what_is_not_well(run: Run, tmp_path: Path) -> None:
    calls = Calls()
    run("server", "add", "be1")
    queue = calls.queue("q1")
    waiting = [
        {"destination": "backend:be1", "condition": "down", "active": 0, "ready": 1, "delayed": 2},
        {"destination": "remote:far.example", "condition": "up", "active": 0, "ready": 1, "delayed": 0},
    ]
    node = parts(
        "lone",
        ("directory", "frontend"),
        queue=type(queue)(**{**_fields(queue), "counts": lambda: {"messages": 4, "destinations": waiting}}),
        ailments=lambda: ["the directory was never reached"],
        hosts=lambda: {"be1": {"up": False, "why": "connection refused", "seconds": 3.0}},
    )
    with served(node, tmp_path / "data", tcp=False):
        assert run("status").splitlines() == [
            "SERVER  STATE   SEEN  ROLES    ACCOUNTS  WAITING  OF THESE COVERED FOR OTHERS",
            "be1     active  down  backend  0         3",
            "0 accounts on 1 backend",
            "lone, which is not among the servers, has 4 messages queued and 0 sessions",
            "! be1 is not reached: connection refused",
            "! lone does not serve: the directory was never reached",
        ]


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__ if not name.startswith("_")}


def test_status_from_a_node_without_a_directory(run: Run, tmp_path: Path) -> None:
    """As it knows the site."""
    server = {
        "name": "be7",
        "state": "active",
        "roles": ["backend"],
        "addresses": {},
        "accounts": 5,
        "covered": {"be3": 2},
    }
    site = {"servers": [server], "unknown_servers": {}, "accounts": 5, "covered": 2}
    with served(parts(site=lambda: site), tmp_path / "data", tcp=False):
        lines = run("status").splitlines()
    assert lines[1:] == [
        "be7     active  backend  5         2 of be3",
        "5 accounts on 1 backend, 2 of them covered for another",
    ]


def test_watch(run: Run, two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("cgnode.admin.status.time.sleep", wait)
    looks = run("status", "--watch", "--json").splitlines()
    assert [json.loads(look)["accounts"] for look in looks] == [0, 0, 0]
    assert waits == [2.0] * 3
    waits.clear()
    assert run("status", "--watch", "0.5").count("SERVER") == 3
    assert waits == [0.5] * 3


def test_mailboxes_and_accounts_that_do_not_fit(run: Run, backend: Calls) -> None:
    assert run("mailbox", "sweep") == "2 mailboxes of 7 set aside\n"
    assert run("mailbox", "adopt") == "3 mailboxes given to accounts\n"
