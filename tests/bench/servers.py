"""The servers that are measured: ours and OpenLDAP's slapd (back-mdb), set up alike."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from tests.bench.data import BASE
from tests.bench.machine import ROOT, Server, free_port, timed

_SCHEMA = Path("/etc/ldap/schema")

# What our schema has built in, for slapd; OIDs in OpenLDAP's experimental arc.
_SLAPD_SCHEMA = """
attributetype ( 1.3.6.1.4.1.4203.666.99.1.1 NAME 'hostServer' EQUALITY caseIgnoreIA5Match
    SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.99.1.2 NAME 'oldHostServer' EQUALITY caseIgnoreIA5Match
    SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.99.2.1 NAME 'CommuniGateAccount' SUP inetOrgPerson STRUCTURAL
    MUST uid MAY ( hostServer $ oldHostServer ) )
objectclass ( 1.3.6.1.4.1.4203.666.99.2.2 NAME 'CommuniGateDomain' SUP top STRUCTURAL
    MUST cn MAY ( description $ hostServer $ oldHostServer ) )
"""

_SLAPD_CONF = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
include {work}/accounts.schema
moduleload back_mdb
pidfile {work}/slapd.pid
loglevel 0
sizelimit unlimited
timelimit unlimited
database mdb
suffix "{base}"
rootdn "{administrator}"
rootpw {password}
directory {work}/db
maxsize 8589934592
index objectClass,uid,mail,hostServer eq
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""


class Subject(Protocol):
    """A server with its own folder; ``load`` fills it while it does not run."""

    @property
    def name(self) -> str: ...

    @property
    def administrator(self) -> str: ...

    @property
    def password(self) -> str: ...

    def load(self, ldif: Path) -> float: ...

    def start(self, *, cpu: int | None = 0) -> Server: ...


class Slapd:
    name = "slapd"
    administrator = f"cn=admin,{BASE}"
    password = "secret"

    def __init__(self, work: Path) -> None:
        self._work = work
        self._config = work / "slapd.conf"
        work.mkdir(parents=True, exist_ok=True)
        (work / "accounts.schema").write_text(_SLAPD_SCHEMA)
        self._config.write_text(
            _SLAPD_CONF.format(
                schema=_SCHEMA,
                work=work,
                base=BASE,
                administrator=self.administrator,
                password=self.password,
            )
        )

    def load(self, ldif: Path) -> float:
        shutil.rmtree(self._work / "db", ignore_errors=True)
        (self._work / "db").mkdir()
        return timed([_tool("slapadd"), "-q", "-f", str(self._config), "-l", str(ldif)])

    def modify_offline(self, ldif: Path) -> float:
        return timed([_tool("slapmodify"), "-q", "-f", str(self._config), "-l", str(ldif)])

    def start(self, *, cpu: int | None = 0) -> Server:
        port = free_port()
        command = [_tool("slapd"), "-f", str(self._config), "-h", f"ldap://127.0.0.1:{port}/", "-d", "0"]
        return Server(command, port, self._work / "log", cpu=cpu)


class Ours:
    name = "cgnode"
    administrator = "cn=admin"

    def __init__(self, work: Path) -> None:
        self.data = work / "data"
        self._log = work / "log"
        work.mkdir(parents=True, exist_ok=True)

    @property
    def password(self) -> str:
        return (self.data / "admin.secret").read_text().strip()

    def load(self, ldif: Path) -> float:
        shutil.rmtree(self.data, ignore_errors=True)
        return timed([str(ROOT / "bin" / "cgctl"), "--data", str(self.data), "import", str(ldif)])

    def start(self, *, cpu: int | None = 0) -> Server:
        port = free_port()
        command = [str(ROOT / "bin" / "cgnode"), "--role=directory", "--data", str(self.data)]
        return Server([*command, "--ldap", f"127.0.0.1:{port}"], port, self._log, cpu=cpu)


def _tool(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise RuntimeError(f"{name} is missing; install the Debian packages slapd and ldap-utils")
    return found


def modify(subject: Subject, port: int, ldif: Path) -> float:
    """Seconds for ldapmodify to make the changes of a file over the wire."""
    command = [_tool("ldapmodify"), "-x", "-H", f"ldap://127.0.0.1:{port}", "-D", subject.administrator]
    return timed([*command, "-w", subject.password, "-f", str(ldif)])


def version() -> str:
    result = subprocess.run([_tool("slapd"), "-VV"], capture_output=True, text=True, check=False)
    return (result.stderr or result.stdout).splitlines()[0].split("(")[0].strip(" @$")
