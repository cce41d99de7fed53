"""A whole Dovecot on ports of the loopback, whose users a master user may log in for."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest
from attrs import frozen

from tests.peers.slapd import require
from tests.ports import free_ports

MASTER, MASTER_PASSWORD = "cluster", "of-the-cluster"
# Dovecot refuses mail for root.
_NOBODY = 65534

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = peer
log_path = {folder}/log
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%d/%n
login_trusted_networks = 127.0.0.0/8
postmaster_address = postmaster@peer.test
passdb {{
  driver = passwd-file
  master = yes
  args = {folder}/masters
}}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%d/%n allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""


@frozen
class Dovecot:
    """``ports`` by protocol."""

    folder: Path
    ports: Mapping[str, int]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def password_file(self) -> Path:
        return self.folder / "master.secret"


@contextmanager
def running_dovecot() -> Iterator[Dovecot]:
    """Where its users get too, which is not so beneath pytest's own folder."""
    require("dovecot", "doveadm")
    folder = Path(mkdtemp())
    folder.chmod(0o755)
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None
    try:
        peer = _written(folder)
        process = subprocess.Popen([program, "-F", "-c", str(folder / "dovecot.conf")])
        try:
            _wait(process, peer)
            yield peer
        finally:
            process.terminate()
            process.wait(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _written(folder: Path) -> Dovecot:
    own = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    root = os.geteuid() == 0
    internal, group, login = ("dovecot", "dovecot", "dovenull") if root else (*own, own[0])
    uid, gid = (_NOBODY, _NOBODY) if root else (os.getuid(), os.getgid())
    ports = dict(zip(("lmtp", "imap", "pop3"), free_ports(3), strict=True))
    for name in ("run", "state", "mail"):
        (folder / name).mkdir(mode=0o755)
    os.chown(folder / "mail", uid, gid)
    (folder / "masters").write_text(f"{MASTER}:{{PLAIN}}{MASTER_PASSWORD}\n")
    (folder / "users").write_text("")
    names = {"internal": internal, "internal_group": group, "login": login, "uid": uid, "gid": gid}
    (folder / "dovecot.conf").write_text(_CONFIG.format(folder=folder, **names, **ports))
    peer = Dovecot(folder, ports)
    peer.password_file.write_text(f"{MASTER_PASSWORD}\n")
    return peer


def _wait(process: subprocess.Popen[bytes], peer: Dovecot) -> None:
    for port in peer.ports.values():
        for _ in range(500):
            if process.poll() is not None:
                pytest.fail(f"dovecot ended with status {process.returncode}: {peer.log}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        else:
            pytest.fail("dovecot does not answer")
