"""What a node says when it serves: where everything is, and how to go on.  Plain text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cgnode import __version__
from cgnode.config import Config
from cgnode.secret import Secret


def of_node(config: Config, folder: Path) -> str:
    return f"cgnode {__version__}: {', '.join(config.roles)}; data in {folder}"


def of_directory(config: Config, urls: Sequence[str], secret: Secret) -> Iterator[str]:
    administrator = config.ldap.administrator.dn
    login = ["-x", "-D", administrator, *(["-y", str(secret.path)] if secret.path else ["-W"])]
    if urls[0].startswith("ldapi:"):
        login = ["-Y", "EXTERNAL"]
    yield f"  LDAP           {'  '.join(urls)}"
    yield f"  administrator  {administrator}, password in {secret.place}"
    yield f"  try            {shlex.join(['ldapsearch', '-LLL', '-H', urls[0], *login, '-b', ''])}"


def of_member(config: Config, places: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """``places``: what is served where, by the role's name."""
    yield f"  server name    {config.name}"
    for role, urls in places.items():
        if urls:
            yield f"  {role:<13}  {'  '.join(urls)}"
    if {"directory", "backend", "frontend"} <= set(config.roles):
        yield "  go on          cgctl domain add example.com"
        yield "                 cgctl account add alice@example.com"
