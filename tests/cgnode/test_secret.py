from __future__ import annotations

from pathlib import Path

import pytest

from cgnode.config import ClusterConfig, Config
from cgnode.secret import cluster_secret
from cgnode.tables import ConfigError

PLAIN = Config(source="site.toml")


def configured(path: Path) -> Config:
    return Config(source="site.toml", cluster=ClusterConfig(secret_file=path))


def test_made_once(tmp_path: Path) -> None:
    secret = cluster_secret(PLAIN, tmp_path)
    assert secret.path == tmp_path / "cluster.secret"
    assert secret.path.stat().st_mode & 0o777 == 0o600
    assert len(secret.password) >= 32
    assert cluster_secret(PLAIN, tmp_path) == secret
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.secret"]


def test_each_cluster_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ours, theirs = cluster_secret(PLAIN, tmp_path / "a"), cluster_secret(PLAIN, tmp_path / "b")
    assert ours.password != theirs.password


def test_a_copy_from_another_node(tmp_path: Path) -> None:
    path = tmp_path / "shared.secret"
    path.write_text("correct horse battery staple\n")
    secret = cluster_secret(configured(path), tmp_path)
    assert secret.password == b"correct horse battery staple"
    assert "horse" not in repr(secret)
    assert not (tmp_path / "cluster.secret").exists()


def test_a_configured_file_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"site.toml: cluster\.secret_file: there is no .*; copy it from"):
        cluster_secret(configured(tmp_path / "away"), tmp_path)
    assert not (tmp_path / "away").exists()


@pytest.mark.parametrize("content", [b"", b"short", b"two lines of text\nare not one", b"a" * 20 + b"\0"])
def test_no_secret(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"site.toml: cluster\.secret_file: .*/secret does not hold"):
        cluster_secret(configured(path), tmp_path)
