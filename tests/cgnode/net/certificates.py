"""Certificates in files, and configurations that name them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cgnode.ca import Pair, issue, new_authority
from cgnode.config import ClusterConfig, Config, Tls


class Authority:
    """One that issues into a folder; ``path`` is its own certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.pair = new_authority(name, datetime.now(UTC))
        self.path = self._write(name, self.pair).certificate

    def issue(self, server: str, file: str = "") -> Tls:
        return self._write(file or server, issue(self.pair, server, datetime.now(UTC)))

    def _write(self, name: str, pair: Pair) -> Tls:
        tls = Tls(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        tls.key.write_bytes(pair.key)
        tls.certificate.write_bytes(pair.certificate)
        return tls


def cluster_config(ca: Path, tls: Tls) -> Config:
    return Config(source="site.toml", cluster=ClusterConfig(ca=ca, certificate=tls.certificate, key=tls.key))
