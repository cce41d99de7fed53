"""A site of several nodes on the loopback, each a process of its own with its own folder."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from tests.ports import free_ports

NODE: Final = (sys.executable, "-P", "-m", "cgnode.main")
CGCTL: Final = (sys.executable, "-P", "-m", "cgnode.admin.main")
PASSWORD: Final = "secret"
_PROTOCOLS: Final = {
    "directory": ("ldap",),
    "backend": ("lmtp", "imap", "pop3"),
    "frontend": ("smtp", "imap", "pop3", "submission"),
}


class Failed(Exception):
    """A command or a node did not do what it should."""


@define
class Node:
    """One process.  ``ports`` by protocol, ``http`` among them."""

    name: str
    role: str
    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[str] | None = None
    started: int = 0

    @property
    def config(self) -> Path:
        return self.folder.with_suffix(".toml")

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@frozen
class Address:
    """An account, and where it was created."""

    name: str
    host: str


@define
class Cluster:
    """``folder`` holds everything; ``stop`` ends every process that this has started."""

    folder: Path
    nodes: dict[str, Node] = field(factory=dict)

    def add(self, name: str, role: str) -> Node:
        protocols = (*_PROTOCOLS[role], "http")
        ports = free_ports(len(protocols))
        node = Node(name, role, self.folder / name, dict(zip(protocols, ports, strict=True)))
        self.nodes[name] = node
        return node

    # --- beginning ----------------------------------------------------------------------

    def write_configs(self) -> None:
        (self.folder / "cluster.secret").write_text(secrets.token_urlsafe(24))
        for node in self.nodes.values():
            node.config.write_text("\n".join(self._config(node)))

    def _config(self, node: Node) -> Sequence[str]:
        listeners = ", ".join(
            f'"{protocol}://127.0.0.1:{node.ports[protocol]}"' for protocol in _PROTOCOLS[node.role]
        )
        section = {"directory": "ldap"}.get(node.role, node.role)
        lines = [
            f'name = "{node.name}"',
            f'roles = ["{node.role}"]',
            f'hostname = "{node.name}.cluster.test"',
            f'data = "{node.folder}"',
            f"[{section}]",
            f"listen = [{listeners}]",
            "[http]",
            f'listen = "127.0.0.1:{node.ports["http"]}"',
            "[cluster]",
            f'secret_file = "{self.folder / "cluster.secret"}"',
            "[cluster.health]",
            'interval = "500 ms"',
            'timeout = "1 s"',
        ]
        if node.role != "directory":
            directory = self.directory
            lines += [
                "[cluster.directory]",
                f'urls = ["ldap://127.0.0.1:{directory.ports["ldap"]}"]',
                f'password_file = "{directory.folder / "admin.secret"}"',
            ]
        if node.role == "frontend":
            lines += ["[frontend.queue]", "minimum_delay = 2", "maximum_delay = 10"]
            lines += ["[frontend.login]", "per_user_and_address = 1000", "per_address = 10000"]
            lines += ["[frontend.smtp]", "per_address = 10000"]
        return lines

    @property
    def directory(self) -> Node:
        return next(node for node in self.nodes.values() if node.role == "directory")

    def of_role(self, role: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.role == role]

    def start(self, name: str) -> None:
        """Returns once the node says that it serves."""
        node = self.nodes[name]
        with node.log.open("a") as log:
            node.process = subprocess.Popen(
                [*NODE, "--config", str(node.config)], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert node.process.stdout is not None
        line = node.process.stdout.readline()
        if not line:
            raise Failed(f"{name} did not start: {node.log.read_text()[-2000:]}")
        node.started += 1

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.nodes[name].process
        assert process is not None
        process.send_signal(number)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()

    def stop(self) -> None:
        """Everybody, politely; then not."""
        running = [node.process for node in self.nodes.values() if node.process is not None and node.runs]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    # --- administering ------------------------------------------------------------------

    def cgctl(self, node: str, *words: str) -> Any:
        """What a command says as JSON; raises Failed with its error."""
        command = [*CGCTL, "--data", str(self.nodes[node].folder), *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Failed(f"cgctl {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def make_site(self, domains: int, accounts: int) -> list[Address]:
        """Servers, domains, and accounts spread over the backends; before the directory starts."""
        for node in self.nodes.values():
            options = [
                word
                for protocol, port in node.ports.items()
                for word in (f"--{protocol}", f"127.0.0.1:{port}")
            ]
            create = ["--role", node.role]
            self.cgctl(self.directory.name, "server", "add", node.name, *create, *options)
        backends = [node.name for node in self.of_role("backend")]
        names = [f"example{i}.test" for i in range(domains)]
        addresses = [
            Address(f"user{i}@{names[i % domains]}", backends[(i // domains) % len(backends)])
            for i in range(accounts)
        ]
        ldif = self.folder / "accounts.ldif"
        ldif.write_text("\n".join([*map(_domain, names), *map(_account, addresses)]))
        # What import says is for people.
        command = [*CGCTL, "--data", str(self.directory.folder), "import", str(ldif)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return addresses


def wait_until(what: Callable[[], object], seconds: float, text: str) -> float:
    """How long it took; raises Failed."""
    start = time.monotonic()
    while not what():
        if time.monotonic() - start > seconds:
            raise Failed(f"not within {seconds:g} s: {text}")
        time.sleep(0.05)
    return time.monotonic() - start


def _domain(name: str) -> str:
    return f"dn: cn={name}\nobjectClass: CommuniGateDomain\ncn: {name}\n"


def _account(address: Address) -> str:
    local, _, domain = address.name.partition("@")
    salt = os.urandom(8)
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode() + salt).digest() + salt).decode()
    return (
        f"dn: uid={local},cn={domain}\nobjectClass: CommuniGateAccount\n"
        f"uid: {local}\ncn: {local}\nsn: {local}\n"
        f"hostServer: {address.host}\nuserPassword: {{SSHA}}{digest}\n"
    )
