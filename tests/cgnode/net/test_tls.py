from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from cgnode.config import ClusterConfig, Config, LdapConfig, Tls
from cgnode.net.tls import (
    clear_text_allowed,
    cluster_client,
    cluster_server_context,
    ldap_context,
    public_context,
)
from cgnode.tables import ConfigError
from tests.cgnode.net.certificates import Authority, cluster_config


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def config(tls: Tls | None) -> Config:
    return Config(source="site.toml", tls=tls)


def subject(context: object) -> str:
    """Of the certificate that a server's next connection shows."""
    connection = context.serverConnectionForTLS(None)  # type: ignore[attr-defined]
    [name] = connection.get_certificate(as_cryptography=True).subject
    return str(name.value)


def test_without_a_certificate_there_is_none() -> None:
    assert public_context(config(None)) is None
    assert ldap_context(config(None)) is None
    assert cluster_server_context(config(None)) is None
    assert cluster_client(config(None), "be3") is None


def test_with_its_chain(tmp_path: Path, authority: Authority) -> None:
    tls = authority.issue("leaf")
    tls.certificate.write_bytes(tls.certificate.read_bytes() + authority.path.read_bytes())
    context = public_context(config(tls))
    assert context is not None
    assert subject(context) == "leaf"


def test_ldap_has_its_own_certificate_or_the_public_one(authority: Authority) -> None:
    public, own = authority.issue("public"), authority.issue("own")
    assert subject(ldap_context(config(public))) == "public"
    both = Config(source="site.toml", tls=public, ldap=LdapConfig(tls=own))
    assert subject(ldap_context(both)) == "own"


def test_a_key_that_is_not_the_certificates(authority: Authority) -> None:
    tls = Tls(authority.issue("a").certificate, authority.issue("b").key)
    with pytest.raises(ConfigError) as caught:
        public_context(config(tls))
    assert str(caught.value) == f"site.toml: tls.key: {tls.key} is not the key of {tls.certificate}"
    with pytest.raises(ConfigError, match=r"site.toml: ldap\.tls\.key: "):
        ldap_context(Config(source="site.toml", ldap=LdapConfig(tls=tls)))


def test_files_that_hold_something_else(tmp_path: Path, authority: Authority) -> None:
    tls = authority.issue("a")
    with pytest.raises(ConfigError, match=r"tls\.key: .* holds no PEM key"):
        public_context(config(Tls(tls.certificate, tls.certificate)))
    with pytest.raises(ConfigError, match=r"tls\.certificate: .* holds no PEM certificate"):
        public_context(config(Tls(tls.key, tls.key)))
    with pytest.raises(ConfigError, match=r"cluster\.ca: .* holds no PEM certificate"):
        cluster_server_context(cluster_config(tls.key, tls))


def test_files_that_are_not_there(tmp_path: Path, authority: Authority) -> None:
    tls = authority.issue("a")
    away = tmp_path / "away"
    with pytest.raises(ConfigError, match=r"site.toml: tls\.key: cannot read .*away: No such file"):
        public_context(config(Tls(tls.certificate, away)))
    with pytest.raises(ConfigError, match=r"site.toml: cluster\.ca: cannot read .*away: No such file"):
        cluster_server_context(cluster_config(away, tls))
    with pytest.raises(ConfigError, match=r"site.toml: cluster\.ca: cannot read .*away: No such file"):
        cluster_client(cluster_config(away, tls), "be3")


def test_half_of_the_clusters_files(authority: Authority) -> None:
    half = Config(source="site.toml", cluster=ClusterConfig(ca=authority.path))
    with pytest.raises(ConfigError, match=r"cluster\.certificate: is missing"):
        cluster_server_context(half)


def test_a_client_is_made_once_for_a_name(authority: Authority) -> None:
    node = cluster_config(authority.path, authority.issue("fe1"))
    assert cluster_client(node, "be3") is cluster_client(node, "be3")
    assert cluster_client(node, "be3") is not cluster_client(node, "be5")


def test_a_name_that_no_certificate_can_have(authority: Authority) -> None:
    node = cluster_config(authority.path, authority.issue("fe1"))
    with pytest.raises(ConfigError, match=r"cluster\.ca: no certificate can be that of 'be_3'"):
        cluster_client(node, "be_3")


def test_renewed_files_are_taken_up(authority: Authority) -> None:
    tls = authority.issue("old", "file")
    node = cluster_config(authority.path, tls)
    server, client = cluster_server_context(node), cluster_client(node, "be3")
    assert subject(server) == "old"
    assert authority.issue("renewed", "file") == tls
    assert subject(server) == "renewed"
    assert cluster_client(node, "be3") is not client


def test_new_files_that_are_no_good_leave_the_old(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.issue("old", "file")
    server = public_context(config(tls))
    with caplog.at_level(logging.ERROR):
        tls.certificate.write_bytes(b"half")
        assert subject(server) == "old"
        assert subject(server) == "old"
    [record] = caplog.records
    reason = f"site.toml: tls.certificate: {tls.certificate} holds no PEM certificate"
    assert record.getMessage() == f"the certificate in use stays: {reason}"
    authority.issue("renewed", "file")
    assert subject(server) == "renewed"


def test_where_clear_text_is_allowed() -> None:
    allowed, strict = Config(cluster=ClusterConfig(clear_text=True)), Config()
    assert clear_text_allowed(strict, "127.0.0.1")
    assert clear_text_allowed(strict, "::1")
    assert clear_text_allowed(strict, "localhost")
    assert not clear_text_allowed(strict, "127.be3.example.com")
    assert not clear_text_allowed(strict, "10.0.0.3")
    assert not clear_text_allowed(strict, "be3.example.com")
    assert clear_text_allowed(allowed, "10.0.0.3")


def test_openssl_is_not_loaded_without_need() -> None:
    code = "import sys, cgnode.net.tls; print('OpenSSL' in sys.modules, 'cryptography.x509' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.stdout == "False False\n"
