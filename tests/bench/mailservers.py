"""The mail servers that are measured: our frontend, Postfix, and Dovecot as a login proxy in
its high-performance mode.  Each has a folder and a loopback port of its own."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.bench.machine import ROOT, Server, free_port, listens
from tests.bench.mailload import DOMAIN, PASSWORD, USERS


@frozen
class Running:
    """Process and ports; ``sink`` is where it delivers by LMTP."""

    pid: int
    port: int
    sink: int = 0


def _tool(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise RuntimeError(f"{name} is missing; install the Debian package {package}")
    return found


# --- ours --------------------------------------------------------------------------------

_CONFIG = """
name = "fe1"
hostname = "frontend.bench.test"
log_level = "warning"
roles = ["directory", "frontend"]

[ldap]
listen = ["ldap://127.0.0.1:0"]

[http]
listen = false

[cluster.members.be1]
roles = ["backend"]
lmtp = "127.0.0.1:{lmtp}"
imap = "127.0.0.1:{imap}"
login = "master"
login_user = "cluster"
login_password_file = "master"

[cluster.health]
interval = "1 h"

[frontend]
listen = ["imap://127.0.0.1:{port_imap}", "smtp://127.0.0.1:{port_smtp}"]

[frontend.login]
per_user_and_address = 100000
per_address = 100000

[frontend.smtp]
per_address = 100000
"""


class Ours:
    """Directory and frontend in one node; the backend is the load client's."""

    name = "cgnode"

    def __init__(self, work: Path) -> None:
        self._work = work

    @contextmanager
    def running(self, backend: int) -> Iterator[tuple[Running, Running]]:
        """For IMAP (to a backend on that port) and for SMTP."""
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        imap, smtp, sink = free_port(), free_port(), free_port()
        config = self._work / "site.toml"
        (self._work / "master").write_text("secret")
        config.write_text(_CONFIG.format(lmtp=sink, imap=backend, port_imap=imap, port_smtp=smtp))
        self._load()
        command = [str(ROOT / "bin" / "cgnode"), "--config", str(config), "--data", str(self._work / "data")]
        server = Server(command, imap, self._work / "log", cpu=None)
        try:
            server.wait_until(lambda: listens(imap) and listens(smtp))
            yield Running(server.pid, imap), Running(server.pid, smtp, sink)
        finally:
            server.stop()

    def _load(self) -> None:
        ldif = self._work / "accounts.ldif"
        # A cheap hash: what is measured is the proxy, and the peer's takes any password.
        salt = b"salt"
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode() + salt).digest() + salt).decode()
        with ldif.open("w") as out:
            out.write(f"dn: cn={DOMAIN}\nobjectClass: CommuniGateDomain\ncn: {DOMAIN}\n\n")
            for i in range(USERS):
                name = f"user{i}"
                out.write(
                    f"dn: uid={name},cn={DOMAIN}\nobjectClass: CommuniGateAccount\nuid: {name}\n"
                    f"cn: {name}\nsn: {name}\nhostServer: be1\nuserPassword: {{SSHA}}{digest}\n\n"
                )
        cgctl = [str(ROOT / "bin" / "cgctl"), "--data", str(self._work / "data")]
        subprocess.run([*cgctl, "import", str(ldif)], check=True, stdout=subprocess.DEVNULL)


# --- Postfix -----------------------------------------------------------------------------

_MAIN = """
compatibility_level = 3.6
queue_directory = {work}/queue
data_directory = {work}/data
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {work}/mail.log
maillog_file_prefixes = {work}
myhostname = frontend.bench.test
mydomain = bench.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
relay_domains = bench.test
relay_transport = lmtp:inet:127.0.0.1:{sink}
relay_recipient_maps =
disable_dns_lookups = yes
alias_maps =
alias_database =
smtputf8_enable = no
"""

_SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """An instance with its own configuration and queue; needs root, as Postfix does."""

    name = "Postfix"

    def __init__(self, work: Path) -> None:
        self._work = work

    @contextmanager
    def running(self) -> Iterator[Running]:
        shutil.rmtree(self._work, ignore_errors=True)
        for folder in ("etc", "queue", "data"):
            (self._work / folder).mkdir(parents=True)
        shutil.chown(self._work / "data", "postfix")
        for public in (self._work, self._work / "queue"):
            public.chmod(0o755)
        port, sink = free_port(), free_port()
        daemons = subprocess.run(
            [_tool("postconf", "postfix"), "-d", "-h", "daemon_directory"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        (self._work / "etc" / "main.cf").write_text(_MAIN.format(work=self._work, daemons=daemons, sink=sink))
        (self._work / "etc" / "master.cf").write_text(_SERVICES.format(port=port))
        self._command("start")
        try:
            _wait(port)
            pid = int((self._work / "queue" / "pid" / "master.pid").read_text())
            yield Running(pid, port, sink)
        finally:
            self._command("stop")

    def _command(self, word: str) -> None:
        command = [_tool("postfix", "postfix"), "-c", str(self._work / "etc"), word]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"postfix {word}: {result.stderr.strip()}")


# --- Dovecot -----------------------------------------------------------------------------

_DOVECOT = """
base_dir = {work}/run
state_dir = {work}/state
instance_name = bench
log_path = {work}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{work}/none
passdb {{
  driver = static
  args = proxy=y host=127.0.0.1 port={backend} nopassword=y
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={work}/none
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
  service_count = 0
  process_min_avail = 2
  process_limit = 2
  client_limit = 8000
  vsz_limit = 2G
}}
service auth {{
  client_limit = 9000
}}
service anvil {{
  client_limit = 9000
}}
service ipc {{
  client_limit = 9000
}}
service stats {{
  client_limit = 9000
}}
"""


class Dovecot:
    """The login proxy with processes that serve many (its documented high-performance mode)."""

    name = "Dovecot"

    def __init__(self, work: Path) -> None:
        self._work = work

    @contextmanager
    def running(self, backend: int) -> Iterator[Running]:
        shutil.rmtree(self._work, ignore_errors=True)
        for folder in ("run", "state"):
            (self._work / folder).mkdir(parents=True)
        for public in (self._work, self._work / "run"):
            public.chmod(0o755)
        port = free_port()
        config = self._work / "dovecot.conf"
        config.write_text(_DOVECOT.format(work=self._work, backend=backend, port=port))
        command = [_tool("dovecot", "dovecot-imapd"), "-F", "-c", str(config)]
        server = Server(command, port, self._work / "log", cpu=None)
        try:
            server.wait_until(lambda: listens(port))
            time.sleep(0.5)
            yield Running(server.pid, port)
        finally:
            server.stop()


def _wait(port: int) -> None:
    end = time.monotonic() + 10
    while not listens(port):
        if time.monotonic() > end:
            raise RuntimeError(f"nothing listens on port {port}")
        time.sleep(0.05)
