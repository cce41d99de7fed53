"""``cgctl account``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from contextlib import closing
from getpass import getpass

from cgnode import accounts
from cgnode.admin.command import AdminError, Command, UsageError, count, say
from cgnode.admin.nested import arguments_for, followed, nested, open_site
from cgnode.router import AccountRecord
from ldapserver.passwords import generate_password

_ADDRESS = ("ADDRESS", "as in alice@example.com")


def _password_arguments(parser: ArgumentParser) -> None:
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--password-file", metavar="FILE", help="a file with the password; - is stdin")
    ways.add_argument("--generate", action="store_true", help="make a password, and print it this once")
    parser.add_argument(
        "--no-scram",
        dest="scram",
        action="store_false",
        help="keep no keys for SCRAM-SHA-256, by which clients prove a password without sending it",
    )


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", metavar="NAME", help="its server (by default the least loaded backend)")
    parser.add_argument("--name", metavar="TEXT", default="", help="the real name, as in 'Alice Liddell'")
    parser.add_argument("--surname", metavar="TEXT", default="", help="by default the name's last word")
    _password_arguments(parser)


def _add(arguments: Namespace) -> int:
    password, made = _password(arguments)
    with open_site(arguments) as site:
        record = accounts.add_account(
            site,
            arguments.address,
            host=arguments.host,
            password=password,
            scram=arguments.scram,
            real_name=arguments.name,
            surname=arguments.surname,
        )
    text = f"account {record.address} added on {record.host}"
    _say_with_password(arguments, text, record, password if made else None)
    return 0


def _passwd(arguments: Namespace) -> int:
    password, made = _password(arguments)
    with open_site(arguments) as site:
        record = accounts.set_password(site, arguments.address, password, scram=arguments.scram)
    text = f"password of {record.address} changed"
    _say_with_password(arguments, text, record, password if made else None)
    return 0


def _say_with_password(arguments: Namespace, text: str, record: AccountRecord, made: bytes | None) -> None:
    facts = _facts(record)
    if made is not None:
        text += f"\npassword: {made.decode()}"
        facts["password"] = made.decode()
    say(arguments, text, facts)


def _password(arguments: Namespace) -> tuple[bytes, bool]:
    """The password, and whether it was made here: where nobody is there to be asked, too."""
    if arguments.password_file is not None:
        return _from_file(arguments.password_file), False
    if arguments.generate or not is_interactive():
        return generate_password().encode(), True
    password = getpass(f"Password of {arguments.address} (empty: make one): ")
    if not password:
        return generate_password().encode(), True
    if getpass("The same again: ") != password:
        raise AdminError("these were two different passwords")
    return password.encode(), False


def is_interactive() -> bool:
    return sys.stdin.isatty()


def _from_file(file: str) -> bytes:
    try:
        if file == "-":
            password = sys.stdin.buffer.read()
        else:
            with open(file, "rb") as source:
                password = source.read()
    except OSError as error:
        raise UsageError(f"--password-file: cannot read {file}: {error.strerror}") from None
    password = password.rstrip(b"\r\n")
    if not password or b"\n" in password:
        raise UsageError(f"--password-file: {file} does not hold one line, the password")
    return password


def _facts(record: AccountRecord) -> dict[str, object]:
    return {
        "address": str(record.address),
        "dn": record.dn,
        "host": record.host,
        "old_host": record.old_host,
    }


def _list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", nargs="?", help="only this domain's")
    parser.add_argument("--host", metavar="NAME", help="only those that this server serves")


def _list(arguments: Namespace) -> int:
    with (
        open_site(arguments) as site,
        closing(accounts.list_accounts(site, arguments.domain, arguments.host)) as found,
    ):
        if arguments.json:
            say(arguments, "", {"accounts": [_facts(record) for record in found]})
            return 0
        # As they come: there may be very many.
        for record in found:
            print(_line(record))
    return 0


def _line(record: AccountRecord) -> str:
    covering = f" (of {record.old_host})" if record.old_host else ""
    return f"{record.address}  {record.host or 'on no server'}{covering}"


def _show(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        found = accounts.show_account(site, arguments.address)
    record = found.record
    lines = [
        str(record.address),
        f"  DN          {record.dn}",
        f"  name        {found.real_name}",
        f"  server      {record.host or 'none'}"
        + (f", covering {record.old_host}" if record.old_host else ""),
        f"  password    {'set' if found.has_password else 'none: nobody can log in'}",
    ]
    if found.aliases:
        lines.append(f"  aliases     {' '.join(found.aliases)}")
    facts = {**_facts(record), "name": found.real_name, "aliases": found.aliases}
    say(arguments, "\n".join(lines), {**facts, "has_password": found.has_password})
    return 0


def _rename_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="the old name stays, as an alias")


def _rename(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        done = accounts.rename_account(site, arguments.old, arguments.new, keep=arguments.keep)
    text = f"{arguments.old} is {arguments.new} now{followed(done.aliases, done.references)}"
    say(arguments, text, {"aliases": done.aliases, "references": done.references})
    return 0


def _remove(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        done = accounts.remove_account(site, arguments.address)
    aliases = f" with {count(done.aliases, 'alias', 'aliases')}" if done.aliases else ""
    groups = f", and taken out of {count(done.references, 'group', 'groups')}" if done.references else ""
    text = f"account {arguments.address} removed{aliases}{groups}"
    say(arguments, text, {"aliases": done.aliases, "references": done.references})
    return 0


COMMANDS = (
    nested(
        "account",
        "mail accounts",
        (
            Command("add", "make an account", arguments_for(_ADDRESS, more=_add_arguments), _add),
            Command("list", "list accounts and their servers", arguments_for(more=_list_arguments), _list),
            Command("show", "show an account, by its address or an alias", arguments_for(_ADDRESS), _show),
            Command(
                "rename",
                "give an account another address",
                arguments_for(("OLD", "its address"), ("NEW", "its new address"), more=_rename_arguments),
                _rename,
            ),
            Command("remove", "remove an account and its aliases", arguments_for(_ADDRESS), _remove),
            Command(
                "passwd",
                "give an account another password",
                arguments_for(_ADDRESS, more=_password_arguments),
                _passwd,
            ),
        ),
    ),
)
