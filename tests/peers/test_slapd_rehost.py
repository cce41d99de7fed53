"""cgctl's bulk changes against OpenLDAP's slapd, by ordinary LDAP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.slapd import Slapd, require, running_slapd

DOMAIN = """\
dn: cn={domain},o=site
objectClass: CommuniGateDomain
cn: {domain}

"""

ACCOUNT = """\
dn: uid={uid},cn={domain},o=site
objectClass: CommuniGateAccount
uid: {uid}
cn: Name of {uid}
sn: Name
mail: {uid}@{domain}
title: Clerk
hostServer: {host}

"""


def site(accounts: int) -> str:
    """Two domains; in each, two accounts in three on be3, the others on be5."""
    parts = ["dn: o=site\nobjectClass: organization\no: site\n\n"]
    for domain in ("a.example", "b.example"):
        parts.append(DOMAIN.format(domain=domain))
        for i in range(accounts):
            host = "be5" if i % 3 == 0 else "be3"
            parts.append(ACCOUNT.format(uid=f"u{i}", domain=domain, host=host))
    return "".join(parts)


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    (tmp_path / "slapd").mkdir()
    with running_slapd(tmp_path / "slapd", site(60)) as server:
        yield server


def cgctl(slapd: Slapd, *arguments: str, status: int = 0) -> str:
    """What cgctl prints; on stderr where it fails."""
    command = [sys.executable, "-m", "cgnode.admin.main", "--uri", slapd.url]
    credentials = ["-D", slapd.administrator, "-w", slapd.password]
    done = subprocess.run([*command, *credentials, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def changed(slapd: Slapd, *arguments: str) -> int:
    facts = json.loads(cgctl(slapd, *arguments, "--json"))
    assert facts["changed"] <= facts["matched"]
    return int(facts["changed"])


def search(slapd: Slapd, filter: str, *attributes: str) -> str:
    require("ldapsearch")
    command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", slapd.url, "-b", "o=site"]
    credentials = ["-D", slapd.administrator, "-w", slapd.password]
    return subprocess.check_output([*command, *credentials, filter, *attributes], text=True)


def count(slapd: Slapd, filter: str) -> int:
    return search(slapd, filter, "1.1").count("dn: ")


@pytest.mark.parametrize("mode", [[], ["--no-transaction"]], ids=["transaction", "one by one"])
def test_failover_and_back(slapd: Slapd, mode: list[str]) -> None:
    before = search(slapd, "(objectClass=*)")
    assert changed(slapd, "rehost", "be3", "be5", *mode) == 80
    assert count(slapd, "(hostServer=be3)") == 0
    assert count(slapd, "(&(hostServer=be5)(oldHostServer=be3))") == 80
    assert changed(slapd, "rehost", "be3", "be5", *mode) == 0

    # The second host fails too: the first one stays recorded.
    assert changed(slapd, "rehost", "be5", "be7", *mode) == 120
    assert count(slapd, "(&(hostServer=be7)(oldHostServer=be3))") == 80
    assert count(slapd, "(&(hostServer=be7)(oldHostServer=be5))") == 40

    assert changed(slapd, "restore", "be5", *mode) == 40
    assert changed(slapd, "restore", "be3", *mode) == 80
    assert changed(slapd, "restore", "be3", *mode) == 0
    assert sorted(search(slapd, "(objectClass=*)").splitlines()) == sorted(before.splitlines())


def test_parts_of_a_host(slapd: Slapd, tmp_path: Path) -> None:
    assert changed(slapd, "rehost", "be3", "be4", "--base", "o=site", "--filter", "(uid=u1)") == 2
    accounts = tmp_path / "accounts"
    accounts.write_text(
        "# two that be3 serves, one that it does not\n"
        "u2@a.example\nuid=u4, cn=B.example, o=site\nu3@a.example\n\n"
    )
    assert changed(slapd, "rehost", "be3", "be6", "--accounts", str(accounts), "--base", "o=site") == 2
    assert changed(slapd, "rehost", "be3", "be7", "--domain", "A.example", "--base", "o=site") == 38
    assert count(slapd, "(hostServer=be3)") == 80 - 2 - 2 - 38


def test_an_account_that_is_not_there_stops_it_all(slapd: Slapd, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text("u1@a.example\nnobody@a.example\n")
    options = ["--accounts", str(accounts), "--base", "o=site"]
    error = cgctl(slapd, "rehost", "be3", "be4", *options, status=1)
    assert error == (
        "cgctl: no such object: there is no account nobody@a.example below o=site; nothing was changed\n"
    )
    assert count(slapd, "(hostServer=be3)") == 80


def test_dry_run(slapd: Slapd) -> None:
    assert changed(slapd, "rehost", "be3", "be5", "--dry-run") == 80
    assert count(slapd, "(hostServer=be3)") == 80
    text = cgctl(slapd, "rehost", "be3", "be5", "--dry-run")
    assert text == "80 entries would be moved from be3 to be5\n"


def test_bulk_modify(slapd: Slapd, tmp_path: Path) -> None:
    ldif = tmp_path / "changes.ldif"
    ldif.write_text("replace: title\ntitle: Postmaster\n-\nadd: description\ndescription: one\n-\n")
    options = ["--base", "o=site", "--filter", "(uid=u1*)", str(ldif)]
    assert changed(slapd, "bulk-modify", *options) == 22
    assert count(slapd, "(&(title=Postmaster)(description=one))") == 22
    assert cgctl(slapd, "bulk-modify", *options) == "nothing to change: all entries are so already\n"


def test_a_transaction_is_all_or_nothing(slapd: Slapd, tmp_path: Path) -> None:
    # The domains' own entries may not have a title, and the accounts may.
    ldif = tmp_path / "changes.ldif"
    ldif.write_text("replace: title\ntitle: Postmaster\n")
    options = ["--base", "cn=a.example,o=site", str(ldif)]
    error = cgctl(slapd, "bulk-modify", *options, status=1)
    assert error == (
        "cgctl: object class violation: the server refuses the transaction; nothing was changed\n"
    )
    assert count(slapd, "(title=Clerk)") == 120


def test_an_interrupted_run_goes_on(slapd: Slapd, tmp_path: Path) -> None:
    ldif = tmp_path / "changes.ldif"
    ldif.write_text("replace: title\ntitle: Postmaster\n")
    options = ["--base", "cn=a.example,o=site", "--no-transaction", str(ldif)]
    error = cgctl(slapd, "bulk-modify", *options, status=1)
    assert error.startswith("cgctl: object class violation: cn=a.example,o=site: ")
    done = count(slapd, "(title=Postmaster)")
    assert (f"; {done} of 61 were changed: " in error) if done else ("; nothing was changed" in error)
    accounts = ["--filter", "(objectClass=CommuniGateAccount)"]
    assert changed(slapd, "bulk-modify", *options, *accounts) == 60 - done


def test_what_cannot_be_read_whole_is_not_begun(slapd: Slapd) -> None:
    # The server gives others than its administrator 50 entries at most.
    everyone = Slapd(slapd.url, "", "")
    error = cgctl(everyone, "rehost", "be3", "be5", "--no-transaction", status=1)
    assert error == "cgctl: size limit exceeded; nothing was changed\n"


def test_wrong_password(slapd: Slapd) -> None:
    error = cgctl(Slapd(slapd.url, password="wrong"), "rehost", "be3", "be5", status=1)
    assert error == "cgctl: invalid credentials; nothing was changed\n"
