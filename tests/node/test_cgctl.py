"""cgctl on a data folder, while a node runs on it and while none does."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import termios
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import ldap3
import pytest

from tests.cgnode.net.certificates import Authority
from tests.node.running import CGCTL, RunningNode, cgctl, cgctl_process, running_node

ACCOUNT = """\
dn: uid={uid},cn=example.com
objectClass: CommuniGateAccount
uid: {uid}
cn: {uid}
sn: Name
mail: {uid}@example.com
hostServer: {host}

"""

LDIF = (
    "dn: cn=example.com\nobjectClass: CommuniGateDomain\ncn: example.com\n\n"
    + "".join(ACCOUNT.format(uid=f"a{i}", host="be3") for i in range(8))
    + "".join(ACCOUNT.format(uid=f"b{i}", host="be5") for i in range(4))
)


@pytest.fixture(params=["a running node", "no node"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A data folder with the accounts in it; checked at the end."""
    folder = tmp_path / "data"
    with running_node(folder) if request.param == "a running node" else nullcontext():
        facts = json.loads(cgctl("--data", folder, "import", "-", "--json", stdin=LDIF))
        assert facts == {"added": 13, "changed": 0}
        yield folder
        assert cgctl("--data", folder, "check") == "the store is sound\n"


def facts(folder: Path, *arguments: str) -> dict[str, object]:
    found = json.loads(cgctl("--data", folder, *arguments, "--json"))
    assert isinstance(found, dict)
    return found


def exported(folder: Path, *arguments: str) -> str:
    return cgctl("--data", folder, "export", *arguments)


def test_a_bad_import_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    ldif = tmp_path / "bad.ldif"
    ldif.write_text(ACCOUNT.format(uid="new", host="be3") + "dn: uid=x,cn=example.com\nobjectClass: person\n")
    before = exported(folder)
    error = cgctl("--data", folder, "import", ldif, status=1)
    assert error.startswith(f"cgctl: {ldif}:9: ")
    assert error.count("\n") == 1
    assert exported(folder) == before


def test_an_export_is_what_an_import_takes(folder: Path, tmp_path: Path) -> None:
    ldif = tmp_path / "all.ldif"
    said = cgctl("--data", folder, "export", ldif)
    assert said == f"13 entries exported to {ldif}\n"
    assert stat.S_IMODE(ldif.stat().st_mode) == 0o600
    copy = tmp_path / "copy"
    cgctl("--data", copy, "import", ldif)
    assert exported(copy) == exported(folder) == ldif.read_text()
    assert exported(folder, "--base", "uid=a1,cn=example.com").count("dn: ") == 1


def test_a_backup_is_a_data_folder(folder: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    cgctl("--data", folder, "backup", backup)
    cgctl("--data", folder, "rehost", "be3", "be5")
    assert exported(backup).count("hostServer: be3") == 8
    assert "not empty" in cgctl("--data", folder, "backup", backup, status=1)
    with running_node(backup) as node, node.connection() as connection:
        connection.search("", "(hostServer=be3)", attributes=["uid"])
        assert len(connection.entries) == 8


def test_reindex(folder: Path) -> None:
    assert facts(folder, "reindex") == {"indexed": 13}


def test_failover_and_back(folder: Path) -> None:
    def hosts() -> list[str]:
        return [line for line in exported(folder).splitlines() if "ostServer: " in line]

    before = hosts()
    assert before.count("hostServer: be3") == 8
    assert facts(folder, "rehost", "be3", "be5", "--dry-run")["changed"] == 8
    assert hosts() == before
    assert facts(folder, "rehost", "be3", "be5")["changed"] == 8
    assert cgctl("--data", folder, "rehost", "be3", "be5") == "nothing to change: no entry is served by be3\n"
    assert hosts().count("oldHostServer: be3") == 8
    again = facts(folder, "restore", "be3")
    assert again["changed"] == again["matched"] == 8
    assert again["csn"]
    assert hosts() == before
    said = cgctl("--data", folder, "restore", "be3")
    assert said == "nothing to change: no entry of be3's is served elsewhere\n"


def test_parts_of_a_host(folder: Path, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text(
        "# by address and by name\na1@example.com\n\nUID=A2, CN=example.com\nb1@example.com\n"
    )
    assert facts(folder, "rehost", "be3", "be4", "--accounts", str(accounts))["changed"] == 2
    assert facts(folder, "rehost", "be3", "be4", "--filter", "(uid=a3)")["changed"] == 1
    assert "no such object" in cgctl(
        "--data", folder, "rehost", "be3", "be4", "--domain", "none.example", status=1
    )
    assert facts(folder, "rehost", "be3", "be4", "--domain", "EXAMPLE.com")["changed"] == 5


def test_bulk_modify(folder: Path) -> None:
    command = ["--data", str(folder), "bulk-modify", "--filter", "(uid=b*)", "-"]
    changes = "replace: description\ndescription: one\n-\nadd: title\ntitle: Clerk\n-\n"
    assert cgctl(*command, stdin=changes).startswith("4 entries modified, in ")
    assert exported(folder).count("title: Clerk") == 4


def test_a_running_node_shows_it_at_once(tmp_path: Path) -> None:
    def served(connection: ldap3.Connection) -> int:
        connection.search("", "(hostServer=be9)", attributes=["oldHostServer"])
        return len(connection.entries)

    with running_node(tmp_path) as node, node.connection() as connection:
        cgctl("--data", tmp_path, "import", "-", stdin=LDIF)
        assert served(connection) == 0
        cgctl("--data", tmp_path, "rehost", "be3", "be9")
        assert served(connection) == 8


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    with running_node(tmp_path) as node:
        cgctl("--data", tmp_path, "import", "-", stdin=LDIF)
        yield node


@pytest.mark.parametrize("where", ["ldap", "ldapi"])
def test_at_a_distance_by_the_extended_operation(node: RunningNode, where: str) -> None:
    secret = str(node.folder / "admin.secret")
    target = ["--uri", node.url, "-D", "cn=admin", "-y", secret]
    if where == "ldapi":
        target = ["--uri", f"ldapi://{node.folder}/ldapi"]
    found = json.loads(cgctl_process(*target, "rehost", "be3", "be5", "--json"))
    assert found["changed"] == 8
    # Only our own operation tells the change's number.
    assert found["csn"]
    assert cgctl_process(*target, "rehost", "be3", "be5") == "nothing to change: no entry is served by be3\n"
    assert json.loads(cgctl_process(*target, "restore", "be3", "--json"))["changed"] == 8


def test_nobody_may_rehost(node: RunningNode) -> None:
    error = cgctl_process("--uri", node.url, "rehost", "be3", "be5", status=1)
    assert error.startswith("cgctl: insufficient access rights")
    assert error.endswith("; nothing was changed\n")


def test_at_a_distance_under_tls(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    tls = authority.issue("localhost")
    config = tmp_path / "site.toml"
    config.write_text(
        f'data = "data"\n[ldap]\nlisten = ["ldaps://127.0.0.1:0", "ldap://127.0.0.1:0"]\n'
        f'[ldap.tls]\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
    )
    with running_node(tmp_path / "data", "--config", str(config)) as node:
        cgctl("--data", tmp_path / "data", "import", "-", stdin=LDIF)
        secure, plain = (url.replace("127.0.0.1", "localhost") for url in node.greeting[1].split()[1:3])
        login = ["-D", "cn=admin", "-y", str(tmp_path / "data" / "admin.secret")]
        rehost = [*login, "rehost", "be3", "be5", "--dry-run"]
        for target in (["--uri", secure], ["--uri", plain, "-Z"]):
            trusted = cgctl_process(*target, "--ca", authority.path, *rehost)
            assert trusted == "8 entries would be moved from be3 to be5\n"
            for options in ([], ["--ca", str(other.path)]):
                error = cgctl_process(*target, *options, *rehost, status=1)
                assert error == f"cgctl: {target[1]}: TLS: certificate verify failed; nothing was changed\n"


def test_it_finds_the_nodes_configuration(tmp_path: Path) -> None:
    (tmp_path / "site.schema").write_text(
        "attributetype ( 1.3.6.1.4.1.4203.666.99.7.1 NAME 'shoeSize' EQUALITY integerMatch\n"
        "  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )\n"
        "objectclass ( 1.3.6.1.4.1.4203.666.99.7.2 NAME 'walker' SUP top AUXILIARY MAY shoeSize )\n"
    )
    config = tmp_path / "site.toml"
    config.write_text(
        'data = "data"\n[ldap]\nlisten = ["ldap://127.0.0.1:0"]\nschema = ["site.schema"]\n'
        '[ldap.index]\nshoeSize = ["eq"]\n'
    )
    walker = LDIF + "dn: o=site\nobjectClass: organization\nobjectClass: walker\no: site\nshoeSize: 43\n"
    with running_node(tmp_path / "data", "--config", str(config)) as node:
        cgctl("--data", tmp_path / "data", "import", "-", stdin=walker)
        with node.connection() as connection:
            connection.search("", "(shoeSize=043)", attributes=["shoeSize"])
            assert len(connection.entries) == 1
    assert cgctl("--config", config, "check") == "the store is sound\n"


def test_no_directory_in_the_folder(tmp_path: Path) -> None:
    error = cgctl("--data", tmp_path / "none", "export", status=1)
    assert error == f"cgctl: there is no directory in {tmp_path}/none; name a node's folder with --data\n"
    assert not (tmp_path / "none").exists()


def test_long_work_shows_how_far_it_is_on_a_terminal(tmp_path: Path) -> None:
    ldif = tmp_path / "site.ldif"
    ldif.write_text(LDIF)
    ours, theirs = os.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, 80))
        os.set_blocking(ours, False)
        command = [*CGCTL, "--data", str(tmp_path / "data"), "import", str(ldif)]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True).stdout
        assert said == b"13 entries added, 0 changes made\n"
        assert b"import:" in os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)
