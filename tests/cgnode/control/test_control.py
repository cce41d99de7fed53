"""The control interface over real sockets, with the standard library's client."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from cgnode.backend.store import Removed
from cgnode.control.client import ControlClient, ControlError, Tcp, Unix, tls_context
from cgnode.control.parts import QueueCalls
from cgnode.control.resource import LONGEST_BODY, Admission
from cgnode.control.service import CannotListen, ControlService
from cgnode.control.token import admits, token_of
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.members import Endpoint
from cgnode.net.tls import cluster_server_context
from ldapserver.testing.background import background_reactor, run_in
from tests.cgnode.control.serving import SECRET, TOKEN, Calls, endpoint, parts, served, tcp, unix
from tests.cgnode.frontend.world import REPORTER
from tests.cgnode.net.certificates import Authority, cluster_config

BOB = Removed("bob@example.com", "bob.20260102T030405Z", 1767323045, "be1")


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def service(calls: Calls, tmp_path: Path) -> Iterator[ControlService]:
    node = parts(
        roles=("backend", "frontend"),
        metrics=lambda: "cgnode_up 1\n",
        queue=calls.queue("q1", "q2"),
        sessions=calls.sessions("alice@example.com", "bob@example.com"),
        storages=calls.storages(BOB),
    )
    with served(node, tmp_path) as service:
        yield service


def asked(
    service: ControlService, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Any, HTTPResponse]:
    """Over TCP, as any client would."""
    where = endpoint(service)
    connection = HTTPConnection(where.host, where.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content.startswith(b"{") else content, response
    finally:
        connection.close()


def refused(client: ControlClient, method: str, path: str, /, **values: Any) -> tuple[int | None, str]:
    with pytest.raises(ControlError) as caught:
        client.get(path, **values) if method == "GET" else client.post(path, **values)
    return caught.value.status, str(caught.value)


# --- who may ----------------------------------------------------------------------------


def test_the_socket_is_its_owners(service: ControlService) -> None:
    assert stat.S_IMODE(service.path.stat().st_mode) == 0o600
    assert unix(service).get("status")["name"] == "fe1"


def test_a_socket_left_behind_is_no_hindrance(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control"))
    with served(parts(), tmp_path, tcp=False) as service:
        assert unix(service).get("status")["roles"] == ["frontend"]
    assert not service.path.exists()


def test_over_tcp_the_token_is_asked_for(service: ControlService) -> None:
    assert tcp(service).get("status")["name"] == "fe1"
    for token in ("", "x", TOKEN[:-1], TOKEN + "0", token_of(b"another"), SECRET.decode()):
        status, reason = refused(tcp(service, token), "GET", "status")
        assert (status, reason) == (401, "the control interface wants the cluster's token")
    status, facts, response = asked(service, "POST", "/control/queue/remove", b'{"id": "q1"}')
    assert (status, list(facts), response.getheader("WWW-Authenticate")) == (401, ["error"], "Bearer")
    # What there is, is nobody's business either.
    assert asked(service, "GET", "/control/none")[0] == 401


def test_the_token() -> None:
    assert admits(TOKEN, f"Bearer {TOKEN}")
    assert admits(TOKEN, f"bearer  {TOKEN} ")
    assert not admits(TOKEN, None)
    assert not admits(TOKEN, TOKEN)
    assert not admits(TOKEN, f"Basic {TOKEN}")
    assert not admits(TOKEN, "Bearer \udcff")
    assert SECRET.decode() not in TOKEN


class _Request:
    """As much of a request as admission looks at."""

    def __init__(self, client: object, *, secure: bool = False) -> None:
        self._client = client
        self._secure = secure

    def isSecure(self) -> bool:
        return self._secure

    def getHeader(self, _: str) -> str:
        return f"Bearer {TOKEN}"

    def getClientAddress(self) -> object:
        class Address:
            host = self._client

        return Address()


@pytest.mark.parametrize(
    ("client", "secure", "clear_text", "admitted"),
    [
        ("127.0.0.1", False, False, True),
        ("::1", False, False, True),
        ("10.0.0.9", False, False, False),
        ("fe80::1%eth0", False, False, False),
        ("10.0.0.9", True, False, True),
        ("10.0.0.9", False, True, True),
        (None, False, False, False),
    ],
)
def test_from_elsewhere_only_under_tls(
    client: object, secure: bool, clear_text: bool, admitted: bool
) -> None:
    admission = Admission(TOKEN, clear_text)
    request: Any = _Request(client, secure=secure)
    if admitted:
        admission.check(request)
    else:
        with pytest.raises(Exception, match="wants TLS from other machines"):
            admission.check(request)


def test_tls_on_the_same_port(tmp_path: Path) -> None:
    """Of the cluster, so both sides show who they are."""
    ours = Authority(tmp_path)
    here, there = ours.issue("fe1"), ours.issue("be1")
    tls = cluster_server_context(cluster_config(ours.path, here))
    with served(parts(), tmp_path / "data", tls=tls) as service:
        trusting = tls_context(ours.path, there.certificate, there.key)
        assert tcp(service, tls=trusting).get("status")["name"] == "fe1"
        assert tcp(service).get("status")["name"] == "fe1"
        assert refused(tcp(service, "x", tls=trusting), "GET", "status")[0] == 401
        other = ControlClient(Tcp(endpoint(service), "fe2", TOKEN, trusting))
        assert refused(other, "GET", "status")[1].startswith("TLS: hostname mismatch")
        strangers = tls_context(Authority(tmp_path, "others").path, there.certificate, there.key)
        reason = "TLS: self-signed certificate in certificate chain"
        assert refused(tcp(service, tls=strangers), "GET", "status")[1] == reason
        nobody = tls_context(ours.path, None, None)
        assert refused(tcp(service, tls=nobody), "GET", "status")[0] is None


# --- for balancers and monitors ---------------------------------------------------------


def test_health(tmp_path: Path) -> None:
    ailments: list[str] = []
    with served(parts(ailments=lambda: ailments), tmp_path) as service:
        status, facts, response = asked(service, "GET", "/health")
        assert (status, response.getheader("Content-Type")) == (200, "application/json")
        assert facts == {"name": "fe1", "roles": ["frontend"], "serves": True, "ailments": []}
        assert asked(service, "HEAD", "/health")[:2] == (200, b"")
        ailments.append("the directory was never reached")
        status, facts, _ = asked(service, "GET", "/health")
        assert (status, facts["ailments"]) == (503, ailments)
        assert asked(service, "GET", "/metrics")[0] == 404


def test_metrics(service: ControlService) -> None:
    status, content, response = asked(service, "GET", "/metrics")
    assert (status, content) == (200, b"cgnode_up 1\n")
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert asked(service, "POST", "/metrics", b"")[0] == 405
    status, facts, _ = asked(service, "GET", "/")
    assert (status, facts) == (404, {"error": "there is no /; see /health, /metrics"})


# --- calls ------------------------------------------------------------------------------


def test_the_queue(service: ControlService, calls: Calls) -> None:
    client = unix(service)
    listed = client.get("queue", limit=1, state="delayed", destination="backend:BE1")
    assert [each["id"] for each in listed["messages"]] == ["q1"]
    assert client.get("queue", after=listed["next"])["messages"][0]["id"] == "q2"
    assert client.get("queue/message", id="q2")["client"] == "10.0.0.9"
    assert client.get("queue/counts")["messages"] == 2
    assert client.post("queue/flush") == {"messages": 2}
    assert client.post("queue/flush", id="q1") == {"messages": 2}
    for word in ("hold", "release", "remove"):
        assert client.post(f"queue/{word}", id="q1") == {"id": "q1"}
    assert calls.made == [
        "list - 1 delayed backend:be1",
        "list q1 1000 - -",
        *("flush all", "changed", "flush q1", "changed"),
        *("hold q1", "changed", "release q1", "changed", "remove q1", "changed"),
    ]
    assert refused(client, "POST", "queue/hold", id="q9") == (404, "q9: no such message is queued")
    assert calls.made[-1] == "changed"


def test_a_real_queue(tmp_path: Path) -> None:
    queue = MailQueue.open(tmp_path / "queue", REPORTER)
    try:
        with served(parts(queue=QueueCalls.of(queue, lambda: None)), tmp_path) as service:
            assert unix(service).get("queue") == {"messages": []}
            assert unix(service).get("queue/counts")["destinations"] == []
            assert unix(service).post("queue/flush", destination="backend:be1") == {"messages": 0}
            assert refused(unix(service), "GET", "queue/message", id="x")[0] == 404
    finally:
        queue.close()


def test_sessions(service: ControlService, calls: Calls) -> None:
    client = tcp(service)
    assert [each["account"] for each in client.get("sessions")["sessions"]] == [
        "alice@example.com",
        "bob@example.com",
    ]
    assert client.post("sessions/kick", user="bob@example.com") == {"kicked": 1}
    assert client.post("sessions/kick", host="be1") == {"kicked": 2}
    assert calls.made == ["kick user=bob@example.com host=None", "kick user=None host=be1"]


def test_storages(service: ControlService, calls: Calls) -> None:
    client = unix(service)
    assert client.get("storages") == {"storages": [{"host": "be1", "path": "/srv/mail"}]}
    assert client.post("storages/attach", path="/mnt/be3") == {"host": "be3", "path": "/mnt/be3"}
    assert client.post("storages/detach", storage="be3") == {"host": "be3"}
    (found,) = client.get("removed")["removed"]
    assert found.pop("date") == BOB.date
    assert client.post("removed/purge", **found) == found
    assert client.post("removed/restore", **found) == found
    assert refused(client, "POST", "removed/purge", **{**found, "name": "x"}) == (
        409,
        "bob@example.com was not set aside as x",
    )
    assert calls.made[:2] == ["attach /mnt/be3", "detach be3"]
    assert client.post("mailboxes/sweep")["set_aside"] == 2
    assert client.post("mailboxes/adopt") == {"adopted": 3}


def test_the_node_itself(service: ControlService) -> None:
    facts = unix(service).get("status")
    assert (facts["serves"], facts["queue"]["messages"], facts["sessions"]) == (True, 2, 2)
    assert unix(service).get("site")["servers"] == []


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    with served(parts(), tmp_path) as service:
        for path, reason in [
            ("queue", "this node has no queue: it is no frontend"),
            ("sessions", "this node has no clients' sessions: it is no frontend"),
            ("storages", "this node has no mail storage: it is no backend"),
        ]:
            assert refused(unix(service), "GET", path) == (404, reason)
        status, reason = refused(unix(service), "POST", "failover", host="be3", to="be5")
        assert (status, reason) == (404, "this node has no directory to change; ask the node that has it")


# --- errors -----------------------------------------------------------------------------

BAD: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "none", {}, 404, "there is no /control/none"),
    ("POST", "status", {}, 405, "status takes GET"),
    ("GET", "status", {"x": "1"}, 400, "x: not asked for here"),
    ("GET", "queue", {"limit": "0"}, 400, "limit is not a number from 1 to 10000"),
    ("GET", "queue", {"limit": "x"}, 400, "limit is not a number from 1 to 10000"),
    (
        "GET",
        "queue",
        {"destination": "be1"},
        400,
        "'be1' is no destination: write it as in backend:be3 or remote:example.com",
    ),
    ("GET", "queue", {"state": "x"}, 400, "state 'x' is none of active, ready, delayed, held"),
    ("GET", "queue/message", {}, 400, "id is missing"),
    ("POST", "queue/hold", {"id": 1}, 400, "id is not a text"),
    ("POST", "queue/flush", {"id": "q1", "destination": "nowhere"}, 400, "give id or destination, not both"),
    ("POST", "sessions/kick", {}, 400, "give one of user, host"),
    ("POST", "sessions/kick", {"user": "a", "host": "b"}, 400, "give one of user, host"),
    ("POST", "storages/attach", {"path": "mail"}, 400, "mail is not an absolute path"),
]


@pytest.mark.parametrize(("method", "path", "values", "status", "reason"), BAD)
def test_bad_calls(
    service: ControlService, method: str, path: str, values: dict[str, Any], status: int, reason: str
) -> None:
    assert refused(unix(service), method, path, **values) == (status, reason)


@pytest.mark.parametrize("body", [b"[1]", b"{", b'"x"', b"\xff", b"[" * 60_000])
def test_what_is_no_json_object(service: ControlService, body: bytes) -> None:
    answer = asked(service, "POST", "/control/queue/flush", body, Authorization=f"Bearer {TOKEN}")
    assert answer[0] == 400
    assert answer[1]["error"].startswith("what was posted is not ")


def test_a_body_beyond_bounds(service: ControlService) -> None:
    authorization = f"Bearer {TOKEN}"
    with socket.create_connection(service.addresses[0], 10) as client:
        head = f"POST /control/queue/flush HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
        client.sendall(f"{head}Content-Length: 100000000\r\n\r\n".encode())
        client.sendall(b" " * (LONGEST_BODY + 1))
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
        assert client.recv(1000) == b""


def test_what_is_no_http(service: ControlService) -> None:
    with socket.create_connection(service.addresses[0], 10) as client:
        # TLS, which this node has none of.
        client.sendall(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert tcp(service).get("status")["name"] == "fe1"


def test_connections_are_bounded(service: ControlService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of TCP; an operator on the machine still gets in."""
    monkeypatch.setattr("cgnode.control.service.MOST_CONNECTIONS", 2)
    where = endpoint(service)
    opened = [socket.create_connection((where.host, where.port), 10) for _ in range(3)]
    try:
        assert opened[2].recv(1) == b""
        assert unix(service).get("status")["name"] == "fe1"
        for each in opened[:2]:
            each.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 200")
            while each.recv(1000):
                pass
    finally:
        for each in opened:
            each.close()
    until(lambda: is_served(service))


def is_served(service: ControlService) -> bool:
    try:
        return asked(service, "GET", "/health")[0] == 200
    except OSError:
        return False


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_our_own_errors_tell_nothing(tmp_path: Path) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError("secret")

    with served(parts(following=broken), tmp_path) as service:
        said = "an error of the node's own; its log says more"
        assert refused(unix(service), "GET", "status") == (500, said)


def test_what_the_client_says_of_no_node(tmp_path: Path) -> None:
    assert refused(ControlClient(Unix(tmp_path / "control")), "GET", "status") == (
        None,
        "No such file or directory",
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Endpoint("127.0.0.1", silent.getsockname()[1])
        client = ControlClient(Tcp(where, "x", TOKEN), seconds=0.2)
        assert refused(client, "GET", "status") == (None, "no answer within 0.2 s")
    assert refused(ControlClient(Tcp(where, "x", TOKEN)), "GET", "status") == (None, "Connection refused")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        reactor = background_reactor()
        service = ControlService(reactor, tmp_path, parts(), listen=("127.0.0.1", port), token=TOKEN)
        with pytest.raises(CannotListen) as caught:
            run_in(reactor, service.startService)
        assert str(caught.value) == f"cannot listen at 127.0.0.1:{port}: Address already in use"


def test_a_folder_too_deep_for_a_socket(tmp_path: Path) -> None:
    service = ControlService(background_reactor(), tmp_path / ("x" * 100), parts())
    with pytest.raises(CannotListen, match="longer than a Unix socket's path can be"):
        run_in(background_reactor(), service.startService)
