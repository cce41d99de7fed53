"""The command ``cgctl``: its command line, and errors as one line each.

Exit status: 0 done (also when there was nothing to do), 1 not done, 2 a command line or
configuration to be mended.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cgnode import __version__
from cgnode.admin import (
    accounts,
    addresses,
    bulk,
    ca,
    domains,
    failover,
    queue,
    route,
    servers,
    sessions,
    status,
    storages,
    transfer,
    upkeep,
)
from cgnode.admin.command import AdminError, Command, UsageError, told
from cgnode.admin.target import add_options
from cgnode.editing import Refused
from cgnode.names import BadName
from cgnode.tables import ConfigError
from ldapserver.ldif import LdifError
from ldapserver.results import LDAPError
from storage.errors import StoreError

COMMANDS: tuple[Command, ...] = (
    *domains.COMMANDS,
    *accounts.COMMANDS,
    *addresses.COMMANDS,
    *servers.COMMANDS,
    *status.COMMANDS,
    *failover.COMMANDS,
    *queue.COMMANDS,
    *sessions.COMMANDS,
    *storages.COMMANDS,
    *route.COMMANDS,
    *transfer.COMMANDS,
    *upkeep.COMMANDS,
    *ca.COMMANDS,
    *bulk.COMMANDS,
)

EXAMPLE = """\
examples:
  cgctl domain add example.com
  cgctl account add alice@example.com
  cgctl route alice@example.com
  cgctl --data cgnode-data import accounts.ldif
  cgctl status --watch
  cgctl failover be3 --to be5
  cgctl --uri ldap://ldap.example.com -D cn=admin -y secret rehost be3 be5 --domain example.com
"""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="cgctl",
        description="Administers a cgnode site, or a directory of another make over LDAP.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--version", action="version", version=f"cgctl {__version__}")
    add_options(options, shown=True)
    commands = options.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.help, description=f"{command.help}.")
        command.add_arguments(own)
        add_options(own, shown=False)
        own.set_defaults(command=command)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        command: Command = arguments.command
        return command.run(arguments)
    except (ConfigError, UsageError, BadName) as error:
        return _fail(str(error), 2)
    except LDAPError as error:
        return _fail(told(error), 1)
    except (AdminError, Refused, LdifError, StoreError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has gone; Python's own flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _fail(reason: str, status: int) -> int:
    print(f"cgctl: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
