from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from cgnode.config import Administrator, Config, DirectoryAccess, LdapConfig, Tls, load
from cgnode.listeners import MailListener, TcpListener, UnixListener, parse_address, parse_listener
from cgnode.main import configure, parser
from cgnode.members import BackendLogin, Endpoint
from cgnode.tables import ConfigError, Wrong
from ldapserver.directory import Limits

BAD = sorted((Path(__file__).parent / "bad_configs").glob("*.toml"))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_config_gives_the_line_it_begins_with(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert f"# {caught.value}" == path.read_text().splitlines()[0]


def test_there_are_bad_configs() -> None:
    assert BAD


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        """
        roles = ["directory"]
        data = "store"
        log_level = "debug"

        [ldap]
        listen = ["ldap://127.0.0.1:3890", "ldap://[::1]", "ldaps://:6360", "ldapi:///run/x/ldapi"]
        anonymous_read = ["cn", "mail"]
        schema = ["site.schema", "/etc/other.schema"]
        map_size = "2 GiB"

        [ldap.administrator]
        dn = "cn=root,o=example"
        password_file = "root.secret"

        [ldap.limits]
        size_limit = 500

        [ldap.index]
        employeeNumber = ["eq", "pres"]

        [ldap.tls]
        certificate = "site.pem"
        key = "site.key"
        """
    )
    assert load(tmp_path / "site.toml") == Config(
        source="site.toml",
        roles=("directory",),
        data=tmp_path / "store",
        data_key="data",
        log_level="debug",
        ldap=LdapConfig(
            listen=(
                TcpListener("127.0.0.1", 3890),
                TcpListener("::1", 389),
                TcpListener("", 6360, tls=True),
                UnixListener(Path("/run/x/ldapi")),
            ),
            administrator=Administrator("cn=root,o=example", tmp_path / "root.secret"),
            anonymous_read=("cn", "mail"),
            schema=(tmp_path / "site.schema", Path("/etc/other.schema")),
            map_size=2 * 2**30,
            limits=Limits(size_limit=500),
            index={"employeeNumber": ("eq", "pres")},
            tls=Tls(tmp_path / "site.pem", tmp_path / "site.key"),
        ),
    )


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("")
    assert load(tmp_path / "site.toml") == Config(source="site.toml")


def test_a_listener_knows_its_key(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('ldap.listen = ["ldap://h", "ldapi:///a/b"]')
    keys = [listener.key for listener in load(tmp_path / "site.toml").ldap.listen]
    assert keys == ["ldap.listen[0]", "ldap.listen[1]"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file.*--config"):
        load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("url", "listener"),
    [
        ("ldap://localhost", TcpListener("localhost", 389)),
        ("ldap://localhost/", TcpListener("localhost", 389)),
        ("ldap://:1389", TcpListener("", 1389)),
        ("ldaps://[2001:db8::1]:1", TcpListener("2001:db8::1", 1, tls=True)),
        ("ldapi:///var/run/ldapi", UnixListener(Path("/var/run/ldapi"))),
        ("ldapi://%2Fvar%2Frun%2Fldapi", UnixListener(Path("/var/run/ldapi"))),
        ("ldapi://%2Fvar%2Frun%2Fldapi/", UnixListener(Path("/var/run/ldapi"))),
    ],
)
def test_listener_urls(url: str, listener: TcpListener | UnixListener) -> None:
    assert parse_listener(url) == listener


@pytest.mark.parametrize("url", ["ldap://", "ldap://a b", "ldap://a:b", "ldap://::1:389", "ldapi:///", "x"])
def test_bad_listener_urls(url: str) -> None:
    with pytest.raises(Wrong):
        parse_listener(url)


def test_a_socket_path_has_a_bound() -> None:
    parse_listener("ldapi:///" + "p" * 106)
    with pytest.raises(Wrong, match="107 octets"):
        parse_listener("ldapi:///" + "p" * 107)


def test_a_listener_prints_as_its_url() -> None:
    for url in ("ldap://127.0.0.1:1", "ldaps://[::1]:2", "ldapi:///run/ldapi"):
        assert str(parse_listener(url)) == url


def test_addresses() -> None:
    assert parse_address("127.0.0.1:0") == TcpListener("127.0.0.1", 0)
    assert parse_address("[::1]:1389") == TcpListener("::1", 1389)
    assert parse_address("ldap.example.com") == TcpListener("ldap.example.com", 389)


def options(*argv: str) -> Config:
    return configure(parser().parse_args(argv))


def test_options_without_a_file() -> None:
    config = options("--role=directory")
    assert config.roles == ("directory",)
    assert config.data == Path("cgnode-data")
    assert [str(listener) for listener in config.ldap.listen] == [
        "ldap://127.0.0.1:1389",
        "ldapi://ldapi",
    ]


def test_options_stand_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        'data = "a"\nldap.listen = ["ldap://h", "ldaps://h", "ldapi:///s/l"]\n'
        'ldap.tls = {certificate = "c", key = "k"}\n'
    )
    config = options(
        "--role=directory", f"--config={tmp_path}/site.toml", "--data=b", "--ldap=127.0.0.1:2389"
    )
    assert config.data == Path("b")
    assert [str(listener) for listener in config.ldap.listen] == [
        "ldap://127.0.0.1:2389",
        "ldaps://h:636",
        "ldapi:///s/l",
    ]
    assert config.ldap.listen[0].key == "--ldap"


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (
            """
            [backend]
            listen = ["lmtp://10.0.0.3:24"]
            """,
            "site.toml: backend.listen[0]: lmtp://10.0.0.3:24 is beyond this machine and needs TLS: "
            "name cluster.ca, cluster.certificate and cluster.key (cgctl ca makes them), "
            "or set cluster.clear_text = true on a network you trust",
        ),
        (
            """
            [cluster.directory]
            urls = ["ldap://10.0.0.1"]
            password_env = "SECRET"
            """,
            "site.toml: cluster.directory: this node is a directory itself; remove the section, or the role",
        ),
    ],
)
def test_sections_that_contradict_the_roles(tmp_path: Path, document: str, line: str) -> None:
    (tmp_path / "site.toml").write_text(document)
    with pytest.raises(ConfigError) as caught:
        options(f"--config={tmp_path}/site.toml", "--role=directory,backend,frontend")
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("urls", "more", "line"),
    [
        (
            '["ldap://127.0.0.1", "ldap://10.0.0.1"]',
            "",
            "site.toml: cluster.directory.urls[1]: ldap://10.0.0.1 is beyond this machine and needs TLS: "
            "write ldaps://, or set start_tls = true, or cluster.clear_text = true on a network you trust",
        ),
        (
            '["ldaps://10.0.0.1"]',
            "start_tls = true",
            "site.toml: cluster.directory.start_tls: ldaps://10.0.0.1 is inside TLS already; "
            "write ldap://, or leave it out",
        ),
        ('["ldap://localhost", "ldaps://10.0.0.1", "ldapi:///run/ldapi"]', "", None),
        ('["ldap://10.0.0.1"]', "start_tls = true", None),
        ('["ldap://10.0.0.1"]', "[cluster]\nclear_text = true", None),
    ],
)
def test_the_directory_beyond_this_machine(tmp_path: Path, urls: str, more: str, line: str | None) -> None:
    document = f'[cluster.directory]\nurls = {urls}\npassword_env = "SECRET"\n{more}\n'
    (tmp_path / "site.toml").write_text(document)
    with nullcontext() if line is None else pytest.raises(ConfigError, match=f"^{re.escape(line)}$"):
        options(f"--config={tmp_path}/site.toml", "--role=frontend")


@pytest.mark.parametrize("scheme", ["imap", "pop3", "submission"])
def test_passwords_beyond_this_machine(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "site.toml"
    document = f'[frontend]\nlisten = ["smtp://", "{scheme}://:1"]\n'
    path.write_text(document)
    with pytest.raises(ConfigError) as caught:
        options(f"--config={path}", "--role=directory,frontend")
    assert str(caught.value) == (
        f"site.toml: frontend.listen[1]: {scheme}://:1 is beyond this machine, where passwords need TLS: "
        "give tls.certificate and tls.key, or set frontend.clear_text = true"
    )
    for more in ("clear_text = true", '[tls]\ncertificate = "c"\nkey = "k"'):
        path.write_text(f"{document}{more}\n")
        options(f"--config={path}", "--role=directory,frontend")


def test_few_at_once_are_few_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("frontend.queue.concurrency = 2")
    policy = load(tmp_path / "site.toml").frontend.queue_policy
    assert (policy.first_concurrency, policy.concurrency) == (2, 2)


def test_a_cluster_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        """
        name = "fe1"
        hostname = "mx1.example.com"
        log_format = "json"

        [cluster]
        base = "o=site"
        default_domain = "Example.com"
        clear_text = true

        [cluster.directory]
        urls = ["ldap://10.0.0.1", "ldaps://10.0.0.2:6360"]
        password_file = "directory.secret"
        max_age = "2 h"

        [cluster.members.be7]
        imap = "10.0.0.7:143"
        login = "master"
        login_user = "proxy"
        login_password_file = "be7.secret"

        [frontend]
        listen = ["imap://", "submission://[::1]"]
        proxy_networks = ["10.0.0.0/24"]

        [frontend.login]
        time = 30
        scram = false

        [frontend.smtp]
        max_size = "20 MiB"
        smart_host = "relay.example.net:25"

        [frontend.queue]
        minimum_delay = "1 min"

        [backend]
        quota = "1 GiB"

        [http]
        listen = false
        """
    )
    config = load(tmp_path / "site.toml")
    assert (config.name, config.hostname, config.log_format) == ("fe1", "mx1.example.com", "json")
    cluster = config.cluster
    assert (cluster.base, cluster.default_domain, cluster.clear_text) == ("o=site", "example.com", True)
    assert cluster.directory == DirectoryAccess(
        ("ldap://10.0.0.1", "ldaps://10.0.0.2:6360"),
        password_file=tmp_path / "directory.secret",
        max_age=7200,
    )
    (be7,) = cluster.overrides
    assert be7.addresses == {"imap": Endpoint("10.0.0.7", 143)}
    assert be7.login == BackendLogin("master", "proxy", tmp_path / "be7.secret")
    assert config.frontend.listen == (MailListener("imap", "", 143), MailListener("submission", "::1", 587))
    assert str(config.frontend.proxy_networks[0]) == "10.0.0.0/24"
    assert (config.frontend.login.time, config.frontend.queue_policy.minimum_delay) == (30.0, 60.0)
    assert not config.frontend.login.scram
    assert config.frontend.smtp.max_size == 20 << 20
    assert config.frontend.smtp.smart_host == Endpoint("relay.example.net", 25)
    assert config.backend.quota == 1 << 30
    assert config.http is None


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "cgnode: --role: say what this node does, as in --role=directory,backend,frontend"),
        (
            ["--role=backend"],
            "cgnode: cluster.directory.urls: "
            "a backend without a directory beside it needs the address of one",
        ),
        (["--role=directry"], "cgnode: --role: 'directry' is unknown; did you mean directory?"),
        (["--role=directory", "--ldap=a b"], "cgnode: --ldap: 'a b' is not HOST:PORT"),
    ],
)
def test_bad_options(argv: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options(*argv)
    assert str(caught.value) == line
