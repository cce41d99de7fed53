"""The command ``cgnode``: its options, and which end a start comes to.

Exit status: 0 after a clean stop, 2 for a start that the operator must mend (options,
configuration, a port or folder in use), 1 for a failure of the running node,
130 for a start that was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from cgnode import __version__
from cgnode.config import ROLES, Config, check_roles, load, role
from cgnode.listeners import Listener, TcpListener, parse_address
from cgnode.tables import ConfigError, Wrong

EXAMPLE = """\
examples:
  cgnode --role=directory,backend,frontend
      a whole small site in ./cgnode-data, on ports of 127.0.0.1
  cgnode --role=directory
      a directory in ./cgnode-data, on 127.0.0.1:1389 and on a Unix socket in that folder
  cgnode --role=directory --config /etc/cgnode.toml
"""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="cgnode",
        description="A node of a static mail cluster.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--role", metavar="ROLES", help=f"what this node does, with commas between: {', '.join(ROLES)}"
    )
    options.add_argument("--config", metavar="FILE", type=Path, help="a TOML file")
    options.add_argument(
        "--data", metavar="DIR", type=Path, help="where the node keeps its data (./cgnode-data)"
    )
    options.add_argument(
        "--ldap",
        metavar="HOST:PORT",
        help="listen for LDAP there, not where the configuration says (127.0.0.1:1389)",
    )
    options.add_argument("--version", action="version", version=f"cgnode {__version__}")
    return options


def configure(arguments: argparse.Namespace) -> Config:
    """The configuration file, and over it the options; raises ConfigError."""
    config = load(arguments.config) if arguments.config else Config()
    if arguments.role is not None:
        config = evolve(config, roles=_roles(arguments.role))
    if not config.roles:
        raise ConfigError("cgnode: --role: say what this node does, as in --role=directory,backend,frontend")
    check_roles(config)
    if arguments.data is not None:
        config = evolve(config, data=arguments.data, data_key="--data")
    if arguments.ldap is not None:
        config = evolve(config, ldap=evolve(config.ldap, listen=_listen(config, arguments.ldap)))
    return config


def main(argv: Sequence[str] | None = None) -> int:
    try:
        config = configure(parser().parse_args(argv))
        # Only now: Twisted and the schema take longer to load than a refusal should.
        from cgnode.node import run

        return run(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _roles(option: str) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(role(name.strip()) for name in option.split(",")))
    except Wrong as wrong:
        raise ConfigError(f"cgnode: --role: {wrong}") from None


def _listen(config: Config, option: str) -> tuple[Listener, ...]:
    """``--ldap`` stands for every plain TCP listener; other listeners stay."""
    try:
        listener = parse_address(option)
    except Wrong as wrong:
        raise ConfigError(f"cgnode: --ldap: {wrong}") from None
    others = (old for old in config.ldap.listen if not isinstance(old, TcpListener) or old.tls)
    return (listener, *others)


if __name__ == "__main__":
    sys.exit(main())
