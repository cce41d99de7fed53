"""Imports by several processes, and imports that are killed."""

from __future__ import annotations

import random
import signal
from io import BytesIO
from pathlib import Path

import pytest

from ldapserver.local import LocalDirectory
from ldapserver.transfer import export_ldif, import_ldif
from tests.node.importing import BLOCK, SETTINGS
from tests.storage.processes import line, running

DOMAINS = 3
ACCOUNTS = 400


def accounts() -> bytes:
    """With attributes that the store meets for the first time, and hosts."""
    parts = []
    for domain in range(DOMAINS):
        name = f"cn=d{domain}.example"
        parts.append(f"dn: {name}\nobjectClass: CommuniGateDomain\ncn;lang-x{domain}: Domain\n")
        for number in range(ACCOUNTS // DOMAINS):
            parts.append(
                f"dn: uid=u{number},{name}\nobjectClass: CommuniGateAccount\ncn: User {number}\n"
                f"cn;lang-x{number % 7}: User {number}\nsn: User\nmail: u{number}@d{domain}.example\n"
                f"hostServer: be{number % 4}\n"
            )
        parts.append(f"dn: uid=u0,{name}\nchangetype: modify\nreplace: description\ndescription: first\n")
    return "\n".join(parts).encode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "accounts.ldif"
    found.write_bytes(accounts())
    assert found.stat().st_size > 6 * BLOCK
    return found


def exported(folder: Path) -> list[str]:
    """Its entries, but for what is made up anew in each import; the store is sound."""
    directory = LocalDirectory.open(folder, SETTINGS)
    try:
        assert list(directory.check()) == []
        out = BytesIO()
        export_ldif(directory, out)
    finally:
        directory.close()
    return [text for text in out.getvalue().decode().splitlines() if not text.startswith("entryUUID")]


def start(folder: Path) -> None:
    """A store with something in it."""
    directory = LocalDirectory.open(folder, SETTINGS)
    import_ldif(directory, BytesIO(b"dn: o=before\nobjectClass: organization\n"), "before")
    directory.close()


def test_workers_make_the_same_store(tmp_path: Path, file: Path) -> None:
    found = []
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        with running("tests.node.importing", folder, file, workers) as child:
            said: list[str] = []
            while not said or said[-1] not in ("done", ""):
                said.append(line(child))
        assert said[-1] == "done"
        positions = list(map(int, said[:-1]))
        assert positions == sorted(positions)
        assert positions[-1] == file.stat().st_size
        found.append(exported(folder))
    assert found[0] == found[1]
    assert sum(text.startswith("dn: ") for text in found[0]) > ACCOUNTS


def test_workers_give_uuids_once(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "store"
    with running("tests.node.importing", folder, file, 2) as child:
        while (said := line(child)) != "done":
            assert said
    directory = LocalDirectory.open(folder, SETTINGS)
    out = BytesIO()
    export_ldif(directory, out)
    directory.close()
    uuids = [text for text in out.getvalue().splitlines() if text.startswith(b"entryUUID")]
    assert len(set(uuids)) == len(uuids) > ACCOUNTS


def test_an_error_of_a_worker_has_its_line(tmp_path: Path) -> None:
    good, bad = accounts(), b"\ndn: uid=bad,cn=d0.example\nobjectClass: CommuniGateAccount\nsn: no name\n"
    file = tmp_path / "bad.ldif"
    file.write_bytes(good + bad)
    start(tmp_path / "store")
    before = exported(tmp_path / "store")
    with running("tests.node.importing", tmp_path / "store", file, 2) as child:
        while line(child):
            pass
        assert child.wait(20) == 1
    assert exported(tmp_path / "store") == before


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_import_leaves_what_was_there(tmp_path: Path, file: Path, workers: int) -> None:
    folder = tmp_path / "store"
    start(folder)
    before = exported(folder)
    for _ in range(3):
        with running("tests.node.importing", folder, file, workers) as child:
            for _ in range(random.randrange(1, 6)):
                assert line(child).isdigit()
            child.send_signal(signal.SIGKILL)
            child.wait(20)
        assert exported(folder) == before


def test_an_import_that_has_returned_stays(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "store"
    start(folder)
    with running("tests.node.importing", folder, file, 0) as child:
        while (said := line(child)) != "done":
            assert said
        child.send_signal(signal.SIGKILL)
        child.wait(20)
    assert len(exported(folder)) > ACCOUNTS
