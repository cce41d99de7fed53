"""``cgctl domain``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from attrs import asdict

from cgnode import domains
from cgnode.admin.command import Command, count, say
from cgnode.admin.nested import arguments_for, nested, open_site, table

KEEP = "the old name stays, as an alias"


def _add(arguments: Namespace) -> int:
    with open_site(arguments, create=True) as site:
        dn = domains.add_domain(site, arguments.domain)
    say(arguments, f"domain added: {dn}", {"dn": dn})
    return 0


def _list(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        found = domains.list_domains(site)
    rows = [("DOMAIN", "ENTRIES", "ALIASES")]
    rows += [(each.name, f"{each.entries:,}", " ".join(each.aliases)) for each in found]
    text = table(rows) if found else "there is no domain; cgctl domain add example.com makes one"
    say(arguments, text, {"domains": [asdict(each) for each in found]})
    return 0


def _show(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        domain, contents = domains.show_domain(site, arguments.domain)
    lines = [domain.name, f"  DN          {domain.dn}"]
    if domain.aliases:
        lines.append(f"  aliases     {' '.join(domain.aliases)}")
    counts = asdict(contents)
    lines.append("  contents    " + ", ".join(f"{number:,} {kind}" for kind, number in counts.items()))
    say(arguments, "\n".join(lines), {**asdict(domain), **counts, "aliases": domain.aliases})
    return 0


def _rename(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        done = domains.rename_domain(site, arguments.old, arguments.new, keep=arguments.keep)
    facts = asdict(done)
    mail = count(done.mail, "address", "addresses")
    follow = f"{mail}, {count(done.aliases, 'alias', 'aliases')}"
    follow += f" and {count(done.references, 'group or forwarder', 'groups and forwarders')} with it"
    say(arguments, f"{arguments.old} is {arguments.new} now, {follow}", facts)
    return 0


def _rename_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help=KEEP)


def _remove(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        gone = domains.remove_domain(site, arguments.domain)
    say(arguments, f"removed: {' '.join(gone)}", {"removed": gone})
    return 0


def _alias(arguments: Namespace) -> int:
    with open_site(arguments) as site:
        dn = domains.alias_domain(site, arguments.alias, arguments.domain)
    say(arguments, f"alias added: {dn}", {"dn": dn})
    return 0


_DOMAIN = ("DOMAIN", "its name, as in example.com")

COMMANDS = (
    nested(
        "domain",
        "mail domains and their aliases",
        (
            Command("add", "make a domain", arguments_for(_DOMAIN), _add),
            Command("list", "list the domains", arguments_for(), _list),
            Command("show", "show a domain and count what is in it", arguments_for(_DOMAIN), _show),
            Command(
                "rename",
                "give a domain another name, and its accounts other addresses",
                arguments_for(("OLD", "its name"), ("NEW", "its new name"), more=_rename_arguments),
                _rename,
            ),
            Command("remove", "remove an empty domain, or an alias of one", arguments_for(_DOMAIN), _remove),
            Command(
                "alias",
                "let another name stand for a domain",
                arguments_for(("ALIAS", "the other name"), _DOMAIN),
                _alias,
            ),
        ),
    ),
)
