"""The same accounts for every server, made from a fixed seed.

``load.ldif`` is the whole directory; the ``.tsv`` files have a row per account: mail, DN,
password, host.  ``moves-be3.ldif`` and ``modify-all.ldif`` are changes for peers' tools.
"""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path

BASE = "o=example"
DOMAINS = 50
HOSTS = 8

_FIRST = (
    "Anna",
    "Bela",
    "Carl",
    "Dora",
    "Emil",
    "Fred",
    "Gabi",
    "Hugo",
    "Ines",
    "Jana",
    "Karl",
    "Lena",
    "Mara",
)
_LAST = (
    "Adler",
    "Bauer",
    "Curtis",
    "Decker",
    "Ebert",
    "Fischer",
    "Graf",
    "Huber",
    "Jansen",
    "Keller",
    "Lorenz",
)


def make(folder: Path, accounts: int) -> None:
    """Write the files unless they are there already."""
    done = folder / f"made-{accounts}"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(20240601)
    hosts = [f"be{1 + number % HOSTS}" for number in range(accounts)]
    source.shuffle(hosts)
    rows = []
    with (folder / "load.ldif").open("w") as out:
        out.write(f"dn: {BASE}\nobjectClass: organization\no: example\n\n")
        for number in range(DOMAINS):
            name = f"d{number:02d}.example"
            out.write(f"dn: cn={name},{BASE}\nobjectClass: CommuniGateDomain\ncn: {name}\n\n")
        for number, host in enumerate(hosts):
            text, row = _account(number, f"d{number * DOMAINS // accounts:02d}.example", host, source)
            out.write(text)
            rows.append(row)
    _write_changes(folder, rows)
    source.shuffle(rows)
    _write_rows(folder / "accounts.tsv", rows)
    _write_rows(folder / "one.tsv", rows[:1])
    done.touch()


def _account(
    number: int, domain: str, host: str, source: random.Random
) -> tuple[str, tuple[str, str, str, str]]:
    first, last = source.choice(_FIRST), source.choice(_LAST)
    uid = f"u{number:07d}"
    dn = f"uid={uid},cn={domain},{BASE}"
    mail = f"{first.lower()}.{last.lower()}.{number}@{domain}"
    password, salt = f"pw-{number:07d}", source.randbytes(8)
    digest = base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()
    text = (
        f"dn: {dn}\nobjectClass: inetOrgPerson\nobjectClass: CommuniGateAccount\n"
        f"uid: {uid}\ncn: {first} {last}\nsn: {last}\nmail: {mail}\n"
        f"userPassword: {{SSHA}}{digest}\nhostServer: {host}\n\n"
    )
    return text, (mail, dn, password, host)


def _write_rows(path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def _write_changes(folder: Path, rows: list[tuple[str, str, str, str]]) -> None:
    with (folder / "moves-be3.ldif").open("w") as out:
        for _, dn, _, host in rows:
            if host == "be3":
                out.write(
                    f"dn: {dn}\nchangetype: modify\nreplace: hostServer\nhostServer: be5\n-\n"
                    f"add: oldHostServer\noldHostServer: {host}\n-\n\n"
                )
    with (folder / "modify-all.ldif").open("w") as out:
        for _, dn, _, _ in rows:
            out.write(f"dn: {dn}\nchangetype: modify\nreplace: description\ndescription: moved\n-\n\n")
