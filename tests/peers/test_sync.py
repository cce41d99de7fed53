"""Content synchronisation with others: OpenLDAP's slapd, on either side, its ldapsearch, and
python-ldap's consumer."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ldap3
import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ldapserver.core import Settings
from ldapserver.local import LocalDirectory
from ldapserver.messages import Rehost, Restore
from ldapserver.net.follower import Access, Follower, Patience
from ldapserver.net.listen import parse_url
from ldapserver.sync.copy import Copy
from ldapserver.testing import EphemeralDirectory
from storage import txn as storage_txn
from tests.cgnode.test_replica import until
from tests.peers.python_ldap import ldap, require_ldap
from tests.peers.slapd import Slapd, require, running_slapd

reactor: Any = global_reactor

DOMAIN = "cn=a.example,o=site"

SITE = (
    f"dn: o=site\nobjectClass: organization\no: site\n\ndn: {DOMAIN}\nobjectClass: CommuniGateDomain\n"
    "cn: a.example\n\n"
    + "".join(
        f"dn: uid=u{i},{DOMAIN}\nobjectClass: CommuniGateAccount\nuid: u{i}\ncn: U\nsn: U\n"
        f"mail: u{i}@a.example\nhostServer: be{i % 2}\n\n"
        for i in range(12)
    )
)

SYNCREPL = """
index entryUUID,entryCSN eq
syncrepl rid=007 provider={url} type=refreshAndPersist searchbase="o=site" bindmethod=simple
  binddn="cn=admin" credentials=secret retry="1 +"
"""

SYNCPROV = """
index entryUUID,entryCSN eq
overlay syncprov
"""


@pytest.fixture
def provider() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(SITE) as directory:
        yield directory.serve()


def rehost(directory: EphemeralDirectory, request: Rehost | Restore) -> None:
    local = directory.local
    assert local.bulk(local.core.administrator, request).result().changed


def entries(url: str, administrator: str) -> list[list[str]]:
    """What a server holds, each entry's lines in an order of their own."""
    command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, "-b", "o=site"]
    credentials = ["-D", administrator, "-w", "secret"]
    wanted = ["*", "entryUUID", "entryCSN", "createTimestamp", "modifyTimestamp"]
    out = subprocess.run([*command, *credentials, "(objectClass=*)", *wanted], capture_output=True, text=True)
    return sorted(sorted(entry.splitlines()) for entry in out.stdout.split("\n\n") if entry.strip())


def wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# --- slapd follows ----------------------------------------------------------------------


def assert_equal(provider: EphemeralDirectory, slapd: Slapd) -> None:
    def ours() -> list[list[str]]:
        return entries(provider.url, "cn=admin")

    def theirs() -> list[list[str]]:
        return entries(slapd.url, slapd.administrator)

    if not wait_for(lambda: ours() == theirs()):
        told, held = ours(), theirs()
        assert [row for row in told if row not in held] == [row for row in held if row not in told]


def test_slapd_as_a_consumer(
    provider: EphemeralDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("ldapsearch")
    more = SYNCREPL.format(url=provider.url)
    with running_slapd(tmp_path, "", more) as slapd:
        assert_equal(provider, slapd)
        provider.modify(f"uid=u1,{DOMAIN}", replace={"sn": "Other"})
        rehost(provider, Rehost("be1", "be3"))
        assert_equal(provider, slapd)
        provider.rename(f"uid=u1,{DOMAIN}", "uid=x1")
        provider.rename(DOMAIN, "cn=b.example")
        provider.delete("uid=u2,cn=b.example,o=site")
        assert_equal(provider, slapd)
    provider.rename("cn=b.example,o=site", DOMAIN.split(",")[0])
    provider.delete(f"uid=u3,{DOMAIN}")
    provider.delete(f"uid=u7,{DOMAIN}")
    provider.rename(DOMAIN, "cn=b.example")
    rehost(provider, Restore("be1"))
    with running_slapd(tmp_path, "", more) as slapd:
        assert_equal(provider, slapd)
    monkeypatch.setattr(storage_txn, "CHANGES_KEPT", 5)
    monkeypatch.setattr(storage_txn, "_TRIM_EVERY", 1)
    provider.delete("uid=u5,cn=b.example,o=site")
    for i in range(20):
        provider.modify("uid=u6,cn=b.example,o=site", replace={"sn": f"S{i}"})
    with running_slapd(tmp_path, "", more) as slapd:
        assert_equal(provider, slapd)


# --- slapd is followed ------------------------------------------------------------------


class SlapdAsProvider(TestCase):
    def setUp(self) -> None:
        require("slapd")
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "slapd").mkdir()
        settings = Settings(map_size=64 << 20, sync=False)
        self.replica = LocalDirectory.open(self.folder / "replica", settings)
        self.addCleanup(self.replica.close)
        self.contacts = 0

    def follow(self, slapd: Slapd) -> Follower:
        access = Access((parse_url(slapd.url),), slapd.administrator, slapd.password.encode())
        patience = Patience(settle=0.1, first_wait=0.05, longest_wait=0.1)

        def contact() -> None:
            self.contacts += 1

        follower = Follower(reactor, Copy(self.replica, "o=site"), access, contact, patience)
        follower.start()
        return follower

    def server(self) -> Any:
        return running_slapd(self.folder / "slapd", "" if self.contacts else SITE, SYNCPROV)

    async def equal(self, slapd: Slapd) -> None:
        def rows() -> list[tuple[str, list[str]]]:
            local = EphemeralView(self.replica)
            return local.rows()

        for _ in range(100):
            wanted = await deferToThread(rows_of, slapd)
            if rows() == wanted:
                return
            await until_soon()
        assert rows() == wanted, f"{rows()} is not {wanted}"

    async def test_everything_and_what_changes(self) -> None:
        with self.server() as slapd:
            follower = self.follow(slapd)
            await self.equal(slapd)
            await deferToThread(self.change, slapd, "sn", "Other")
            await self.equal(slapd)
            await deferToThread(self.rename, slapd)
            await self.equal(slapd)
            await follower.stop()
            await deferToThread(self.change, slapd, "description", "while away")
            await deferToThread(self.delete, slapd)
            follower = self.follow(slapd)
            await self.equal(slapd)
            await until(lambda: follower.persisting)
            await follower.stop()
        assert list(self.replica.check()) == []

    def connection(self, slapd: Slapd) -> ldap3.Connection:
        server = ldap3.Server(slapd.url)
        return ldap3.Connection(
            server, slapd.administrator, slapd.password, auto_bind=True, raise_exceptions=True
        )

    def change(self, slapd: Slapd, attribute: str, value: str) -> None:
        connection = self.connection(slapd)
        for i in range(4):
            name = f"uid=u{i},cn=a.example,o=site" if attribute == "sn" else f"uid=u{i},cn=b.example,o=site"
            connection.modify(name, {attribute: [(ldap3.MODIFY_REPLACE, [value])]})
        connection.unbind()

    def rename(self, slapd: Slapd) -> None:
        connection = self.connection(slapd)
        connection.modify_dn(DOMAIN, "cn=b.example")
        connection.unbind()

    def delete(self, slapd: Slapd) -> None:
        connection = self.connection(slapd)
        connection.delete("uid=u5,cn=b.example,o=site")
        connection.unbind()


class EphemeralView:
    """What a copy holds, as the rows that ``rows_of`` makes of a server's answers."""

    def __init__(self, directory: LocalDirectory) -> None:
        self._directory = directory

    def rows(self) -> list[tuple[str, list[str]]]:
        from io import BytesIO

        from ldapserver.results import LDAPError
        from ldapserver.transfer import export_ldif

        out = BytesIO()
        try:
            export_ldif(self._directory, out, "o=site")
        except LDAPError:
            return []
        return _rows(out.getvalue().decode())


def rows_of(slapd: Slapd) -> list[tuple[str, list[str]]]:
    command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", slapd.url, "-b", "o=site"]
    credentials = ["-D", slapd.administrator, "-w", slapd.password]
    wanted = ["*", "entryUUID", "creatorsName", "createTimestamp"]
    past = ["entryCSN", "modifiersName", "modifyTimestamp"]
    return _rows(
        subprocess.check_output([*command, *credentials, "(objectClass=*)", *wanted, *past], text=True)
    )


def _rows(ldif: str) -> list[tuple[str, list[str]]]:
    found = [entry.splitlines() for entry in ldif.split("\n\n") if entry.startswith("dn: ")]
    return sorted((lines[0], sorted(lines[1:])) for lines in found)


async def until_soon() -> None:
    from tests.cgnode.test_replica import sleep

    await sleep(0.1)


# --- ldapsearch, python-ldap --------------------------------------------------------------


def test_ldapsearch(provider: EphemeralDirectory) -> None:
    require("ldapsearch")
    command = ["ldapsearch", "-x", "-H", provider.url, "-D", "cn=admin", "-w", "secret"]
    search = [*command, "-b", "o=site", "-E", "!sync=rp", "(hostServer=be1)", "hostServer"]
    with subprocess.Popen(search, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        try:
            head = _read_until(lines, "# refresh done")
            assert sum(line.startswith("dn: ") for line in head) == 6
            provider.modify(f"uid=u0,{DOMAIN}", replace={"hostServer": "be1"})
            assert "dn: uid=u0,cn=a.example,o=site\n" in _read_until(lines, "# cookie")
            provider.modify(f"uid=u1,{DOMAIN}", replace={"hostServer": "be0"})
            assert any("deleted" in line for line in _read_until(lines, "# cookie"))
        finally:
            process.kill()


def _read_until(lines: Iterator[str], beginning: str) -> list[str]:
    found = []
    for line in lines:
        found.append(line)
        if line.startswith(beginning):
            return found
    raise AssertionError(f"ended before {beginning!r}: {found}")


def consumer(provider: EphemeralDirectory) -> Any:
    """A consumer that keeps entries in a dictionary by UUID."""
    require_ldap()

    class Consumer(ldap.ldapobject.SimpleLDAPObject, ldap.syncrepl.SyncreplConsumer):  # type: ignore[misc]
        def __init__(self, url: str) -> None:
            super().__init__(url)
            self.cookie: str | None = None
            self.known: dict[str, tuple[str, dict[str, list[bytes]]]] = {}
            self.present: set[str] = set()
            self.refreshed = False

        def syncrepl_set_cookie(self, cookie: str) -> None:
            self.cookie = cookie

        def syncrepl_get_cookie(self) -> str | None:
            return self.cookie

        def syncrepl_present(self, uuids: list[str] | None, refreshDeletes: bool = False) -> None:
            if uuids is not None:
                self.present.update(uuids)
                return
            if not refreshDeletes:
                self.known = {uuid: known for uuid, known in self.known.items() if uuid in self.present}
            self.present = set()

        def syncrepl_delete(self, uuids: list[str]) -> None:
            for uuid in uuids:
                self.known.pop(uuid, None)

        def syncrepl_entry(self, dn: str, attributes: dict[str, list[bytes]], uuid: str) -> None:
            self.known[uuid] = (dn, attributes)

        def syncrepl_refreshdone(self) -> None:
            self.refreshed = True

    made = Consumer(provider.url)
    made.simple_bind_s("cn=admin", "secret")
    return made


def known(made: Any) -> dict[str, list[bytes]]:
    return {dn: attributes.get("hostServer", []) for dn, attributes in made.known.values()}


def wanted(provider: EphemeralDirectory, filter: str) -> dict[str, list[bytes]]:
    found = provider.search(filter, "o=site", attributes=("hostServer",))
    return {entry.dn: list(entry.attributes[0].values) if entry.attributes else [] for entry in found}


def test_python_ldap_polls(provider: EphemeralDirectory) -> None:
    made = consumer(provider)
    for change in (
        lambda: None,
        lambda: None,
        lambda: rehost(provider, Rehost("be1", "be4")),
        lambda: provider.delete(f"uid=u4,{DOMAIN}"),
        lambda: provider.rename(DOMAIN, "cn=c.example"),
    ):
        change()
        message = made.syncrepl_search("o=site", ldap.SCOPE_SUBTREE, mode="refreshOnly")
        while made.syncrepl_poll(message, timeout=10):
            pass
        assert known(made) == wanted(provider, "(objectClass=*)")
        assert made.cookie


def test_python_ldap_listens(provider: EphemeralDirectory) -> None:
    made = consumer(provider)
    filter = "(hostServer=be1)"
    message = made.syncrepl_search("o=site", ldap.SCOPE_SUBTREE, mode="refreshAndPersist", filterstr=filter)

    def catch_up() -> None:
        end = time.monotonic() + 10
        while not made.refreshed or known(made) != wanted(provider, filter):
            assert time.monotonic() < end, (known(made), wanted(provider, filter))
            with contextlib.suppress(ldap.TIMEOUT):
                made.syncrepl_poll(message, timeout=0.1)

    catch_up()
    provider.modify(f"uid=u0,{DOMAIN}", replace={"hostServer": "be1"})
    catch_up()
    rehost(provider, Rehost("be1", "be2"))
    catch_up()
    rehost(provider, Restore("be1"))
    catch_up()
    provider.rename(DOMAIN, "cn=c.example")
    provider.delete("uid=u1,cn=c.example,o=site")
    catch_up()
    made.cancel_s(message)
