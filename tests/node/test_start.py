"""A node's start, its end, and the starts that are refused."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import stat
import subprocess
from pathlib import Path

import ldap3
import pytest

from tests.node.running import failed_start, running_node
from tests.node.site import SiteNode, running
from tests.peers.slapd import require


def test_a_first_start_makes_all_it_needs(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running_node(folder) as node:
        secret = folder / "admin.secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert len(node.secret.splitlines()) == 1
        assert len(node.secret) >= 20
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert node.greeting[0] == f"cgnode 0.1.0: directory; data in {folder}"
        assert f"cn=admin, password in {secret}" in node.greeting[2]
        with node.connection() as connection:
            assert connection.extend.standard.who_am_i() == "dn:cn=admin"


def test_the_line_to_try_works(tmp_path: Path) -> None:
    require("ldapsearch")
    with running_node(tmp_path / "da ta") as node:
        assert node.greeting[3].split()[0] == "try"
        command = shlex.split(node.greeting[3])[1:]
        # An empty directory has nothing to find, which is no error.
        subprocess.run(command, check=True, capture_output=True)


def test_on_the_unix_socket_the_own_user_is_the_administrator(tmp_path: Path) -> None:
    require("ldapwhoami")
    with running_node(tmp_path) as node:
        url = node.greeting[1].split()[2]
        assert url.startswith("ldapi://")
        command = ["ldapwhoami", "-Q", "-Y", "EXTERNAL", "-H", url]
        assert subprocess.check_output(command, text=True) == "dn:cn=admin\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    with running_node(tmp_path) as node, socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(tmp_path / "ldapi"))
        assert node.stop(number) == 0
        assert not (tmp_path / "ldapi").exists()


def test_what_is_written_and_the_password_outlive_it(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        secret = node.secret
        with node.connection() as connection:
            assert connection.add("o=example", "organization")  # type: ignore[no-untyped-call]
        assert node.stop() == 0
    with running_node(tmp_path) as node:
        assert node.secret == secret
        with node.connection() as connection:
            assert connection.search("o=example", "(objectClass=*)", ldap3.BASE)


def test_a_killed_node_starts_again(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.stop(signal.SIGKILL)
    assert (tmp_path / "ldapi").exists()
    with running_node(tmp_path) as node, node.connection() as connection:
        assert connection.bound


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert failed_start("--data", str(tmp_path), "--ldap=127.0.0.1:0", cwd=tmp_path) == (
            2,
            f"cgnode: {tmp_path} is in use by the node with process id {node.process.pid}; "
            "stop that one, or name another folder with --data\n",
        )
        with node.connection() as connection:
            assert connection.bound


def test_without_the_entry_that_all_is_to_be_below(tmp_path: Path) -> None:
    node = SiteNode(tmp_path / "site", settings={"cluster": {"base": "o=site"}})
    with running(node):
        assert "there is no entry o=site; add it" in node.log
        node.cgctl("import", "-", stdin="dn: o=site\nobjectClass: organization\n")
    with running(node):
        assert node.cgctl("server", "list").splitlines()[1].split()[:2] == ["be1", "active"]


@pytest.fixture
def taken_port() -> object:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_refused(tmp_path: Path, taken_port: int) -> None:
    url = f"ldap://127.0.0.1:{taken_port}"
    reason = (
        f"cannot listen at {url}: Address already in use; stop what listens there, or choose another port\n"
    )
    assert failed_start(f"--ldap=127.0.0.1:{taken_port}", cwd=tmp_path) == (2, f"cgnode: --ldap: {reason}")

    config = tmp_path / "site.toml"
    config.write_text(f'ldap.listen = ["ldapi://{tmp_path}/socket", "{url}"]\n')
    expected = (2, f"site.toml: ldap.listen[1]: {reason}")
    assert failed_start("--config", str(config), cwd=tmp_path) == expected
    # The folder is free again.
    with running_node(tmp_path / "cgnode-data"):
        pass


def test_a_socket_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(f'ldap.listen = ["ldapi://{tmp_path}/run/ldapi"]\n')
    status, error = failed_start("--config", str(config), cwd=tmp_path)
    assert status == 2
    assert error.endswith("No such file or directory; make its folder, or listen at another address\n")


def test_a_data_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, error = failed_start("--data", "file", cwd=tmp_path)
    assert (status, error) == (2, f"cgnode: --data: cannot make {tmp_path}/file: File exists\n")
    status, error = failed_start("--data", "file/below", cwd=tmp_path)
    assert (status, error) == (2, f"cgnode: --data: cannot make {tmp_path}/file/below: Not a directory\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    status, error = failed_start("--data", str(tmp_path), cwd=tmp_path)
    assert (status, error) == (2, f"cgnode: --data: cannot write to {tmp_path}; run the node as its owner\n")


def test_a_data_folder_that_is_too_deep_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    status, error = failed_start("--data", str(folder), "--ldap=127.0.0.1:0", cwd=tmp_path)
    assert status == 2
    assert error.endswith("(107 octets); choose a folder nearer to the root\n")
    assert error.count("\n") == 1


def test_passwords_from_elsewhere(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text(
        'data = "data"\n[ldap]\nlisten = ["ldap://127.0.0.1:0"]\n'
        '[ldap.administrator]\ndn = "cn=root,o=site"\npassword_env = "SITE_PASSWORD"\n'
    )
    options = ("--config", str(config))
    assert failed_start(*options, cwd=tmp_path) == (
        2,
        "site.toml: ldap.administrator.password_env: the environment has no SITE_PASSWORD; "
        "set it, or use ldap.administrator.password_file\n",
    )
    with running_node(tmp_path / "data", *options, SITE_PASSWORD="from outside") as node:
        with node.connection("cn=root,o=site", "from outside") as connection:
            assert connection.bound
        assert not (tmp_path / "data" / "admin.secret").exists()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "ldap.schema = ['no.schema']",
            "ldap.schema[0]: cannot read {folder}/no.schema: No such file or directory",
        ),
        ("ldap.index.mial = ['eq']", "ldap.index.mial: no such attribute type; did you mean mail?"),
        (
            "ldap.administrator.password_file = 'none'",
            "ldap.administrator.password_file: cannot read the password in {folder}/none: "
            "No such file or directory",
        ),
        (
            "ldap.anonymous_read = ['cn', 'userPassword']",
            "ldap.anonymous_read: userPassword is a secret; leave it out",
        ),
        (
            "ldap.tls = {{certificate = 'site.toml', key = 'site.toml'}}",
            "ldap.tls.certificate: {folder}/site.toml holds no PEM certificate",
        ),
    ],
)
def test_what_a_config_names_must_be_there(tmp_path: Path, line: str, error: str) -> None:
    config = tmp_path / "site.toml"
    config.write_text(line.format())
    status, said = failed_start("--config", str(config), cwd=tmp_path)
    assert (status, said) == (2, f"site.toml: {error.format(folder=tmp_path)}\n")
