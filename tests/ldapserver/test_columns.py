"""Blocks prepared by columns come to what they come to record by record."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest

from ldapserver import columns
from ldapserver.ldif import LdifError
from ldapserver.local import LocalDirectory
from ldapserver.testing import EphemeralDirectory
from ldapserver.transfer import export_ldif, import_ldif

TREE = b"dn: o=example\nobjectClass: organization\no: example\n\n"
COUNT = 100


def account(number: int, **other: str) -> str:
    values = {
        "dn": f"uid=u{number},o=example",
        "uid": f"u{number}",
        "cn": f"Name {number % 7}",
        "sn": "Adler",
        "mail": f"U{number}@Example.com",
        "userPassword": "{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr",
        "hostServer": f"be{number % 3}",
        **other,
    }
    dn = values.pop("dn")
    lines = [f"{name}: {value}" for name, value in values.items()]
    return "\n".join((f"dn: {dn}", "objectClass: inetOrgPerson", "objectClass: CommuniGateAccount", *lines))


def block(*odd: str) -> bytes:
    """A hundred accounts alike, and odd ones among them."""
    records = [account(number) for number in range(COUNT)]
    records[50:50] = odd
    return ("\n\n".join(records) + "\n").encode()


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory() as found:
        yield found


def load(directory: LocalDirectory, data: bytes) -> bytes:
    """What an export gives after an import, less what differs from one to the next."""
    import_ldif(directory, io.BytesIO(data), "file.ldif")
    out = io.BytesIO()
    export_ldif(directory, out)
    return re.sub(rb"\n(entryUUID|entryCSN|createTimestamp|modifyTimestamp): .*", b"", out.getvalue())


def taken_by_columns(directory: LocalDirectory, data: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """Import, and count the blocks that went by columns."""
    taken = []
    original = columns.prepare

    def counted(*arguments: object) -> object:
        found = original(*arguments)  # type: ignore[arg-type]
        taken.append(found is not None)
        return found

    monkeypatch.setattr(columns, "prepare", counted)
    import_ldif(directory, io.BytesIO(data), "file.ldif")
    monkeypatch.undo()
    return sum(taken)


def test_alike_is_taken(directory: EphemeralDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    load(directory.local, TREE)
    assert taken_by_columns(directory.local, block(), monkeypatch) == 1
    directory.assert_value("uid=u7,o=example", "mail", "U7@Example.com")


def test_the_same_comes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with EphemeralDirectory() as one, EphemeralDirectory() as other:
        load(one.local, TREE)
        by_columns = load(one.local, block())
        monkeypatch.setattr(columns, "prepare", lambda *_: None)
        load(other.local, TREE)
        assert load(other.local, block()) == by_columns
        with one.local.core.store.snapshot() as mine, other.local.core.store.snapshot() as theirs:
            assert mine.row_counts() == theirs.row_counts()


ODD = [
    account(500, cn="folded\n  on"),
    account(500, cn=" spaced"),
    account(500, title="More"),
    account(500, dn="uid=U500,o=example"),
    account(500, dn="UID=u500,o=example"),
    account(500, dn=r"uid=u500+cn=Name 3,o=example"),
    account(500, dn='uid=u500,o="example"'),
    account(500, uid="ü", dn="uid=ü,o=example"),
    "\n\n".join(account(number, hostServer="be1", oldHostServer="be2") for number in range(500, 600)),
    account(500, userPassword="clear"),
    "# a comment\n" + account(500),
    "dn: ou=x,o=example\nobjectClass: organizationalUnit\nou: x",
    "dn: o=example\nchangetype: modify\nreplace: description\ndescription: x\n-",
]


def test_without_hosts(directory: EphemeralDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    load(directory.local, TREE)
    data = re.sub(rb"\nhostServer: .*", b"", block())
    assert taken_by_columns(directory.local, data, monkeypatch) == 1
    assert len(directory.search("(&(uid=*)(!(hostServer=*)))")) == COUNT


@pytest.mark.parametrize("odd", ODD)
def test_odd_ones_among_them(directory: EphemeralDirectory, odd: str) -> None:
    """Whichever way they go, all are there."""
    load(directory.local, TREE)
    load(directory.local, block(odd))
    assert len(directory.search("(objectClass=CommuniGateAccount)")) >= COUNT


WRONG = [
    (account(7), "is there already"),
    (account(500, mail="ä@example.com"), "mail"),
    (account(500, nosuch="x"), "nosuch"),
    (account(500, hostServer=""), "not a host's name"),
    (account(500, dn="uid=u500,o=elsewhere"), "elsewhere"),
    (account(500, dn="uid=,o=example", uid=""), "uid"),
    (account(500).replace("sn: Adler\n", "l: Here\n"), "sn"),
    (account(500).replace("inetOrgPerson", "nosuchclass"), "objectClass"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
def test_the_line_that_is_wrong(directory: EphemeralDirectory, wrong: str, reason: str) -> None:
    load(directory.local, TREE)
    data = block(wrong)
    with pytest.raises(LdifError, match=reason) as caught:
        import_ldif(directory.local, io.BytesIO(data), "file.ldif")
    line = data[: data.index(wrong.encode(), data.index(account(49).encode()))].count(b"\n") + 1
    assert line <= caught.value.line <= line + wrong.count("\n")
    assert not directory.search("(uid=u1)")


def test_a_name_twice_in_one_block(directory: EphemeralDirectory) -> None:
    load(directory.local, TREE)
    data = block() + b"\n" + account(99).encode() + b"\n"
    with pytest.raises(LdifError, match="uid=u99,o=example is there already") as caught:
        import_ldif(directory.local, io.BytesIO(data), "file.ldif")
    assert data.split(b"\n")[caught.value.line - 1] == b"dn: uid=u99,o=example"


def test_base64(directory: EphemeralDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    load(directory.local, TREE)
    data = block().replace(b"sn: Adler", b"sn:: QWRsZXI=")
    assert taken_by_columns(directory.local, data, monkeypatch) == 1
    directory.assert_value("uid=u7,o=example", "sn", "Adler")


def test_more_than_a_chunk_of_the_gram_index(directory: EphemeralDirectory) -> None:
    load(directory.local, TREE)
    records = "\n\n".join(account(number) for number in range(5000))
    load(directory.local, records.encode())
    assert len(directory.search("(mail=*u4321@*)")) == 1
    assert len(directory.search("(sn=*dle*)")) == 5000
