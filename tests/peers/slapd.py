"""A real slapd (OpenLDAP, back-mdb) on a Unix socket and a loopback port, in a folder of
its own; skips the test where it is not installed, fails it under CI."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from tests.ports import free_ports

SCHEMA = """\
attributetype ( 1.3.6.1.4.1.4203.666.99.1.1 NAME 'hostServer' EQUALITY caseIgnoreIA5Match
  SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.99.1.2 NAME 'oldHostServer' EQUALITY caseIgnoreIA5Match
  SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.99.1.3 NAME 'serverRole' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.4203.666.99.1.4 NAME 'serverState' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.99.1.5 NAME 'serverAddress' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
objectclass ( 1.3.6.1.4.1.4203.666.99.2.1 NAME 'CommuniGateAccount' SUP inetOrgPerson STRUCTURAL
  MUST uid MAY ( hostServer $ oldHostServer ) )
objectclass ( 1.3.6.1.4.1.4203.666.99.2.2 NAME 'CommuniGateDomain' SUP top STRUCTURAL
  MUST cn MAY ( description $ hostServer $ oldHostServer ) )
objectclass ( 1.3.6.1.4.1.4203.666.99.2.3 NAME 'cgnodeServers' SUP top STRUCTURAL MUST cn )
objectclass ( 1.3.6.1.4.1.4203.666.99.2.4 NAME 'cgnodeServer' SUP top STRUCTURAL
  MUST ( cn $ serverState ) MAY ( serverAddress $ serverRole ) )
"""

CONFIG = """\
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
include {folder}/site.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
pidfile {folder}/slapd.pid
sizelimit 50
database mdb
suffix "o=site"
rootdn "cn=admin,o=site"
rootpw secret
directory {folder}/db
maxsize 268435456
index objectClass,uid,mail,hostServer,oldHostServer eq
dbnosync
"""


@frozen
class Slapd:
    """A running server; its suffix is ``o=site``."""

    url: str
    administrator: str = "cn=admin,o=site"
    password: str = "secret"


def require(*programs: str) -> None:
    """Skip without a peer's program; under CI its absence is a failure."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/openldap"])
    missing = [name for name in programs if shutil.which(name, path=search) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must have {', '.join(missing)}")
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")


@contextmanager
def running_slapd(folder: Path, ldif: str, more: str = "") -> Iterator[Slapd]:
    """A slapd that holds ``ldif``'s entries; ``more`` is configuration of its database."""
    require("slapd", "slapadd")
    (folder / "db").mkdir(exist_ok=True)
    (folder / "site.schema").write_text(SCHEMA)
    config = folder / "slapd.conf"
    config.write_text(CONFIG.format(folder=folder, schema="/etc/ldap/schema") + more)
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
    if ldif:
        # No -q: what a test loads is to be checked.
        subprocess.run(["slapadd", "-f", config], input=ldif, text=True, check=True, env=environ)
    url = f"ldap://127.0.0.1:{free_ports(1)[0]}"
    with (folder / "slapd.log").open("wb") as log:
        process = subprocess.Popen(["slapd", "-f", config, "-h", url, "-d", "0"], stderr=log, env=environ)
        try:
            _wait(process, url)
            yield Slapd(url)
        finally:
            process.terminate()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    host, _, port = url.removeprefix("ldap://").partition(":")
    for _ in range(500):
        if process.poll() is not None:
            pytest.fail(f"slapd ended with status {process.returncode}")
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    pytest.fail("slapd does not answer")
