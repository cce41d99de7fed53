"""``cgctl ca``: the cluster's certificate authority, kept as files in a folder.

The folder is ``ca`` in the data folder, or what --folder names.  Only who issues needs it:
``ca.key`` may be taken away from the nodes.

ca.pem, ca.key      the authority; every node has ca.pem
NAME.pem, NAME.key  what was issued for a server; it has both
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cgnode.admin.command import AdminError, Command, UsageError, add_json, say
from cgnode.admin.nested import nested, table
from cgnode.admin.target import config_of
from cgnode.folder import make_folder
from cgnode.names import server_name
from cgnode.secret import cluster_secret, write_private

# cgnode.ca itself only in what runs: most of cgctl's commands need no cryptography.
if TYPE_CHECKING:
    from cgnode.ca import Facts, Pair

FOLDER: Final = "ca"
AUTHORITY: Final = "ca"

_SOON: Final = timedelta(days=30)


def _folder_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--folder", metavar="DIR", type=Path, help="where the authority is (DATA/ca)")
    add_json(parser)


def _init_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--name", metavar="TEXT", default="cgnode cluster", help="what people see it called")
    parser.add_argument("--days", metavar="N", type=int, help="how long it lasts (ten years)")
    _folder_arguments(parser)


def _issue_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the server's name, as in cgctl server list")
    parser.add_argument(
        "--also",
        metavar="HOST",
        action="append",
        help="another name or address it is known by, as in a directory's URL (those that it has)",
    )
    parser.add_argument("--days", metavar="N", type=int, help="how long it lasts (two years)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the two files go (beside ca.pem)")
    _folder_arguments(parser)


def _init(arguments: Namespace) -> int:
    from cgnode.ca import AUTHORITY_DAYS, new_authority, read_facts

    folder = _folder(arguments)
    if (folder / f"{AUTHORITY}.key").exists() or (folder / f"{AUTHORITY}.pem").exists():
        raise AdminError(f"there is an authority in {folder} already; cgctl ca issue NAME goes on with it")
    if arguments.folder is None:
        # With the data folder goes what nodes show each other besides.
        config = config_of(arguments)
        cluster_secret(config, make_folder(config))
    pair = new_authority(arguments.name, datetime.now(UTC), _days(arguments, AUTHORITY_DAYS))
    written = _write(folder, AUTHORITY, pair)
    facts = read_facts(pair.certificate)
    text = f"the authority is in {folder}, until {facts.ends:%Y-%m-%d}; cgctl ca issue NAME goes on"
    say(arguments, text, {**_values(facts), **written})
    return 0


def _issue(arguments: Namespace) -> int:
    from cgnode.ca import SERVER_DAYS, CaError, Pair, issue, read_facts

    name, folder = server_name(arguments.name), _folder(arguments)
    if name == AUTHORITY:
        raise UsageError(f"a server can't be called {name}: its files would be the authority's")
    authority = Pair(_read(folder, "pem"), _read(folder, "key"))
    out = folder if arguments.out is None else arguments.out.absolute()
    before = out / f"{name}.pem"
    renewed = before.exists()
    try:
        also = read_facts(before.read_bytes()).names if renewed and arguments.also is None else arguments.also
        pair = issue(authority, name, datetime.now(UTC), _days(arguments, SERVER_DAYS), also or ())
    except CaError as error:
        raise AdminError(str(error)) from None
    written = _write(out, name, pair)
    facts = read_facts(pair.certificate)
    lines = [
        f"{name}'s certificate {'is renewed' if renewed else 'is there'}, until {facts.ends:%Y-%m-%d}"
        + ("; a node that runs takes it up by itself" if renewed else ""),
        f"  {written['certificate']}",
        f"  {written['key']}",
    ]
    if not renewed:
        lines += [
            f"Copy both and {folder / f'{AUTHORITY}.pem'} to {name}, and have in its configuration:",
            "  [cluster]",
            f'  ca = "{AUTHORITY}.pem"',
            f'  certificate = "{name}.pem"',
            f'  key = "{name}.key"',
        ]
    say(arguments, "\n".join(lines), {**_values(facts), **written, "renewed": renewed})
    return 0


def _show(arguments: Namespace) -> int:
    from cgnode.ca import CaError, is_issued_by, read_facts

    folder = _folder(arguments)
    authority = _read(folder, "pem")
    rows = [("CERTIFICATE", "NAME", "ENDS", "SHA-256")]
    listed: list[dict[str, object]] = []
    remarks: list[str] = []
    for path in sorted(folder.glob("*.pem"), key=lambda path: (path.stem != AUTHORITY, path.name)):
        try:
            facts = read_facts(path.read_bytes())
        except (CaError, OSError) as error:
            remarks.append(f"! {path.name}: {error}")
            continue
        rows.append((path.name, facts.subject, f"{facts.ends:%Y-%m-%d}", facts.fingerprint[:16]))
        remark = _remark(facts, ours=is_issued_by(path.read_bytes(), authority))
        listed.append({"file": str(path), **_values(facts), "remark": remark})
        remarks += [f"! {path.name}: {remark}"] if remark else []
    say(arguments, "\n".join([table(rows), *remarks]), {"folder": str(folder), "certificates": listed})
    return 0


def _remark(facts: Facts, *, ours: bool) -> str:
    left = facts.ends - datetime.now(UTC)
    if not ours:
        return "not issued by this authority"
    if left <= timedelta(0):
        return "it has ended"
    if left > _SOON:
        return ""
    return f"ends in {left.days} days" + ("" if facts.authority else "; cgctl ca issue makes another")


def _folder(arguments: Namespace) -> Path:
    given: Path | None = arguments.folder
    return config_of(arguments).data.absolute() / FOLDER if given is None else given.absolute()


def _days(arguments: Namespace, usual: int) -> int:
    days: int | None = arguments.days
    if days is None:
        return usual
    if not 0 < days <= 36500:
        raise UsageError(f"--days: {days} is not from 1 to 36500")
    return days


def _read(folder: Path, kind: str) -> bytes:
    path = folder / f"{AUTHORITY}.{kind}"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise AdminError(f"there is no {path}; cgctl ca init makes an authority") from None
    except OSError as error:
        raise AdminError(f"cannot read {path}: {error.strerror}") from None


def _write(folder: Path, name: str, pair: Pair) -> dict[str, str]:
    """The key first: who finds the certificate finds what goes with it."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(key, pair.key)
        write_private(certificate, pair.certificate)
    except OSError as error:
        raise AdminError(f"cannot write to {folder}: {error.strerror}") from None
    return {"certificate": str(certificate), "key": str(key)}


def _values(facts: Facts) -> dict[str, object]:
    return {
        "subject": facts.subject,
        "names": list(facts.names),
        "begins": facts.begins.isoformat(),
        "ends": facts.ends.isoformat(),
        "sha256": facts.fingerprint,
    }


COMMANDS = (
    nested(
        "ca",
        "the certificates that nodes show each other",
        (
            Command("init", "make an authority", _init_arguments, _init),
            Command("issue", "make or renew a server's certificate and key", _issue_arguments, _issue),
            Command("show", "what there is, and how long it lasts", _folder_arguments, _show),
        ),
    ),
)
