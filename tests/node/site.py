"""Nodes of a mail site as processes of their own: each with a folder, a configuration and free
ports of the loopback.  One that has all roles is a whole small site."""

from __future__ import annotations

import imaplib
import json
import poplib
import select
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

from cgnode.ca import Pair, issue, new_authority
from cgnode.config import Tls
from cgnode.control import SOCKET
from cgnode.control.client import ControlClient, Unix
from tests.node.running import cgctl
from tests.ports import free_ports

NODE: Final = (sys.executable, "-P", "-m", "cgnode.main")
PASSWORD: Final = "wonderland"
SENDER: Final = "sender@elsewhere.test"
START: Final = 30.0
"""Seconds for a node to serve on a machine that has much else to do."""
PATIENCE: Final = 10.0

_PORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "directory": ("ldap",),
    "backend": ("lmtp", "backend_imap", "backend_pop3"),
    "frontend": ("smtp", "submission", "imap", "pop3"),
}
_SECURE_PORTS: Final = ("submissions", "imaps", "pop3s")
_SECTIONS: Final = {"directory": "ldap", "backend": "backend", "frontend": "frontend"}

T = TypeVar("T")

Settings = dict[str, Any]


@define
class SiteNode:
    """``settings`` go over the configuration that it has anyway, table by table; ``tls`` is for
    its clients."""

    folder: Path
    name: str = "be1"
    roles: tuple[str, ...] = ("directory", "backend", "frontend")
    settings: Settings = field(factory=dict)
    tls: Tls | None = None
    ports: dict[str, int] = field(init=False)
    process: subprocess.Popen[str] | None = None

    def __attrs_post_init__(self) -> None:
        names = [port for role in self.roles for port in _PORTS[role]]
        if self.tls is not None and "frontend" in self.roles:
            names += _SECURE_PORTS
        names.append("http")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))

    @property
    def config(self) -> Path:
        return self.folder.with_suffix(".toml")

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.folder.with_suffix(".log")

    def configuration(self) -> Settings:
        found: Settings = {
            "name": self.name,
            "hostname": f"{self.name}.site.test",
            "roles": list(self.roles),
            "data": str(self.folder),
            "http": {"listen": f"127.0.0.1:{self.ports['http']}"},
            "cluster": {"health": {"interval": "500 ms", "timeout": "1 s"}},
        }
        if self.tls is not None:
            found["tls"] = {"certificate": str(self.tls.certificate), "key": str(self.tls.key)}
        for role in self.roles:
            secure = _SECURE_PORTS if role == "frontend" and self.tls is not None else ()
            listen = [
                f"{port.removeprefix('backend_')}://127.0.0.1:{self.ports[port]}"
                for port in (*_PORTS[role], *secure)
            ]
            found[_SECTIONS[role]] = {"listen": listen}
        return _merged(found, self.settings)

    # --- its life -----------------------------------------------------------------------

    def start(self) -> None:
        """Returns once it says that it serves."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        self.config.write_text(_toml(self.configuration()))
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [*NODE, "--config", str(self.config)], stdout=subprocess.PIPE, stderr=log, text=True
            )

    def wait(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline() if ready else ""
        assert line, self.log

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Its exit status."""
        process = self.process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(20)
        finally:
            assert process.stdout is not None
            process.stdout.close()
            self.process = None

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    # --- administering ------------------------------------------------------------------

    def cgctl(self, *words: str, status: int = 0, stdin: str = "") -> str:
        return cgctl("--data", self.folder, *words, status=status, stdin=stdin)

    def facts(self, *words: str) -> Any:
        return json.loads(self.cgctl(*words, "--json"))

    def own_facts(self) -> dict[str, Any]:
        """What it says of itself."""
        return ControlClient(Unix(self.folder / SOCKET)).get("status")

    def add_account(self, address: str, *options: str, password: str = PASSWORD) -> None:
        self.cgctl("account", "add", address, "--password-file", "-", *options, stdin=password)

    def queued(self, *options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.facts("queue", "list", *options)["messages"]
        return found

    def who(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.facts("who")["sessions"]
        return found

    # --- its clients --------------------------------------------------------------------

    @contextmanager
    def smtp(self, port: str = "smtp") -> Iterator[smtplib.SMTP]:
        with smtplib.SMTP("127.0.0.1", self.ports[port], timeout=PATIENCE) as client:
            client.ehlo("client.elsewhere.test")
            yield client

    def deliver(self, *recipients: str, sender: str = SENDER, subject: str = "hello", body: str = "") -> str:
        """Send a message in; its Message-ID."""
        text = message(sender, recipients[0], subject, body)
        with self.smtp() as client:
            client.send_message(text, sender, list(recipients))
        return str(text["Message-ID"])

    @contextmanager
    def imap(self, user: str, password: str = PASSWORD, port: str = "imap") -> Iterator[imaplib.IMAP4]:
        """Logged in, with INBOX selected.  Raises IMAP4.error with what the server says."""
        client = imaplib.IMAP4("127.0.0.1", self.ports[port], timeout=PATIENCE)
        try:
            client.login(user, password)
            client.select()
            yield client
        finally:
            client.shutdown()

    @contextmanager
    def pop3(self, user: str, password: str = PASSWORD) -> Iterator[poplib.POP3]:
        client = poplib.POP3("127.0.0.1", self.ports["pop3"], timeout=PATIENCE)
        try:
            client.user(user)
            client.pass_(password)
            yield client
            client.quit()
        finally:
            client.close()

    def messages(self, user: str) -> list[bytes]:
        """All that is in a user's INBOX."""
        with self.imap(user) as client:
            return texts(client)

    def received(self, user: str, message_id: str, seconds: float = PATIENCE) -> bytes:
        """A message, once it is in a user's INBOX."""

        def look() -> bytes | None:
            return next((text for text in self.messages(user) if message_id.encode() in text), None)

        return until(look, seconds)


@contextmanager
def running(*nodes: SiteNode) -> Iterator[None]:
    """Started at once; those that still run are ended."""
    try:
        for node in nodes:
            node.begin()
        for node in nodes:
            node.wait()
        yield
    finally:
        for node in nodes:
            if node.process is not None:
                node.kill()


@contextmanager
def one_node(folder: Path, *, tls: bool = False, **settings: Any) -> Iterator[SiteNode]:
    """A whole site, with the domain example.com."""
    certificates = Certificates(folder / "ca").issue("localhost") if tls else None
    node = SiteNode(folder / "site", settings=settings, tls=certificates)
    with running(node):
        node.cgctl("domain", "add", "example.com")
        yield node


@frozen
class Certificates:
    """An authority in ``folder``, and what it issues there."""

    folder: Path
    pair: Pair = field(factory=lambda: new_authority("site test", datetime.now(UTC)))

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str) -> Tls:
        self.folder.mkdir(exist_ok=True)
        self.authority.write_bytes(self.pair.certificate)
        pair, tls = (
            issue(self.pair, name, datetime.now(UTC)),
            Tls(self.folder / f"{name}.pem", self.folder / f"{name}.key"),
        )
        tls.certificate.write_bytes(pair.certificate)
        tls.key.write_bytes(pair.key)
        return tls


def trusting(authority: Path) -> ssl.SSLContext:
    """For a client of a server called localhost."""
    return ssl.create_default_context(cafile=str(authority))


def message(sender: str, to: str, subject: str = "hello", body: str = "") -> EmailMessage:
    text = EmailMessage()
    text["From"], text["To"], text["Subject"] = sender, to, subject
    text["Message-ID"] = f"<{time.time_ns()}@site.test>"
    text.set_content(body or "All is well.\n")
    return text


def texts(client: imaplib.IMAP4) -> list[bytes]:
    """Of the messages in the mailbox that is selected."""
    client.noop()
    _, found = client.fetch("1:*", "(BODY.PEEK[])")
    return [bytes(part[1]) for part in found if isinstance(part, tuple)]


def is_ended(client: imaplib.IMAP4) -> bool:
    """Whether the server has closed the connection."""
    try:
        client.noop()
    except imaplib.IMAP4.abort:
        return True
    return False


def until(look: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """What ``look`` finds, once it is something that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s; it is {found!r}"
        time.sleep(0.05)
    return found


def _merged(below: Settings, above: Settings) -> Settings:
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def _toml(settings: Settings, path: str = "") -> str:
    """JSON's strings, numbers and lists are TOML's too."""
    lines = [f"[{path}]"] if path else []
    lines += [
        f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)
    ]
    tables = [(key, value) for key, value in settings.items() if isinstance(value, dict)]
    return "\n".join([*lines, *(_toml(value, f"{path}.{key}" if path else key) for key, value in tables)])
