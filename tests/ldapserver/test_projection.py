"""What a search returns of an entry: attributes, options, order, rights (RFC 4511 section
4.5.1.8)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from ldapserver.identity import ANONYMOUS, Identity
from ldapserver.messages import Attribute, Entry, Rehost, Scope
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from ldapserver.views import OPERATIONAL
from tests.ldapserver.asking import ACCOUNT, ask, request
from tests.ldapserver.ops.site import Clock
from tests.ldapserver.reference import SCHEMA

DOMAIN = "cn=example.com"
ALICE = f"uid=alice,{DOMAIN}"


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    made = evolve(SETTINGS, schema=SCHEMA, clock=Clock())
    with EphemeralDirectory(settings=made) as directory:
        directory.add(DOMAIN, {"objectClass": "CommuniGateDomain"})
        directory.add(
            ALICE,
            {
                "objectClass": (*ACCOUNT, "extensibleObject"),
                "sn": "Example",
                "cn": ["Alice", "A. Example"],
                "cn;lang-de": "Alice Beispiel",
                "hostServer": "be1",
                "mail": "alice@example.com",
                "userPassword": "{SSHA}9AoFZ2cd2mP+bzf4x+Lz9nQl1O4xMlJAQGWtzxs=",
                "homePhone": "+1 555",
                "nickName": "al",
            },
        )
        yield directory


USER = ["objectClass", "sn", "cn", "cn;lang-de", "mail", "userPassword", "homePhone", "nickName", "uid"]


def read(
    directory: EphemeralDirectory,
    *attributes: str,
    dn: str = ALICE,
    types_only: bool = False,
    identity: Identity | None = None,
) -> Entry:
    """The same by a read of the entry and by a look-up, which take different ways."""
    asked = request(base=dn, scope=Scope.BASE, attributes=attributes, types_only=types_only)
    (entry,) = ask(directory.local, asked, identity=identity).entries
    if dn == ALICE:
        asked = request("(mail=alice@example.com)", attributes=attributes, types_only=types_only)
        assert ask(directory.local, asked, identity=identity).entries == (entry,)
    return entry


def names(entry: Entry) -> list[str]:
    return [attribute.type for attribute in entry.attributes]


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ((), [*USER, "hostServer"]),
        (("*",), [*USER, "hostServer"]),
        (("1.1",), []),
        (("1.1", "sn"), ["sn"]),
        (("sn",), ["sn"]),
        (("SURNAME", "sn", "2.5.4.4"), ["sn"]),
        (("nonsense", "sn", "cn;nonsense", "dn", ""), ["sn"]),
        (("mail", "sn"), ["sn", "mail"]),
        (("cn",), ["cn", "cn;lang-de"]),
        (("cn;lang-de",), ["cn;lang-de"]),
        (("cn;lang-fr",), []),
        (("name",), ["sn", "cn", "cn;lang-de", "nickName"]),
        (("name;lang-de",), ["cn;lang-de"]),
        (("hostServer",), ["hostServer"]),
        (("hostServer;x-a",), []),
        (("oldHostServer",), []),
        (("entryUUID",), ["entryUUID"]),
        (("entryUUID;x-a",), []),
        (("+",), list(OPERATIONAL)),
        (("*", "+"), [*USER, "hostServer", *OPERATIONAL]),
        (("entrydn", "hasSubordinates", "uid"), ["uid", "entryDN", "hasSubordinates"]),
        (("@person",), ["objectClass", "sn", "cn", "cn;lang-de", "userPassword"]),
        (("@CommuniGateGroup", "+"), [*USER[:1], *USER[2:5], "uid", "hostServer", *OPERATIONAL]),
        (("@nonsense",), []),
        (tuple(f"x{number}" for number in range(100)), []),
    ],
)
def test_selection(directory: EphemeralDirectory, requested: tuple[str, ...], expected: list[str]) -> None:
    found = read(directory, *requested)
    assert names(found) == expected
    assert names(read(directory, *requested, types_only=True)) == expected


def test_order_and_spelling_are_the_clients(directory: EphemeralDirectory) -> None:
    assert read(directory, "cn").attributes == (
        Attribute("cn", (b"Alice", b"A. Example")),
        Attribute("cn;lang-de", (b"Alice Beispiel",)),
    )
    directory.modify(ALICE, add={"CN;LANG-de": "zweiter", "TITLE": "Dr"})
    assert names(read(directory, "title", "cn;lang-de")) == ["cn;lang-de", "title"]


def test_types_only(directory: EphemeralDirectory) -> None:
    found = read(directory, "cn", "entryUUID", "hostServer", types_only=True)
    assert found.attributes == tuple(
        Attribute(name, ()) for name in ("cn", "cn;lang-de", "hostServer", "entryUUID")
    )


def test_rights(directory: EphemeralDirectory) -> None:
    public = [*USER[:5], "uid", "hostServer"]
    assert names(read(directory, identity=ANONYMOUS)) == public
    assert names(read(directory, "userPassword", "homePhone", "creatorsName", identity=ANONYMOUS)) == []
    assert "creatorsName" not in names(read(directory, "+", identity=ANONYMOUS))
    alice = directory.bind("alice@example.com", "wonderland")
    assert names(read(directory, identity=alice)) == [
        name for name in [*USER, "hostServer"] if name != "userPassword"
    ]


def test_a_placement_is_seen_as_it_is_now(directory: EphemeralDirectory) -> None:
    directory.add(f"uid=bob,{DOMAIN}", {"objectClass": "CommuniGateGroup", "hostServer": "be1"})
    for source, target in (("be1", "be2"), ("be2", "be3")):
        read(directory)
        directory.local.bulk(directory.local.core.administrator, Rehost(source, target)).result()
        wanted = (Attribute("hostServer", (target.encode(),)), Attribute("oldHostServer", (b"be1",)))
        assert read(directory, "oldHostServer", "hostServer").attributes == wanted
        assert read(directory, "hostServer", dn=f"uid=bob,{DOMAIN}").attributes == wanted[:1]


def test_options_that_the_store_meets_later(directory: EphemeralDirectory) -> None:
    """A projection and a plan that are remembered know them, too."""
    assert names(read(directory, "mail")) == ["mail"]
    assert directory.search("(mail;lang-zz=*)") == []
    assert directory.search("(!(mail=x@example.com))", ALICE)
    directory.modify(ALICE, add={"mail;lang-zz": "x@example.com"})
    assert names(read(directory, "mail")) == ["mail", "mail;lang-zz"]
    assert len(directory.search("(mail;lang-zz=*)")) == 1
    assert len(directory.search("(mail;lang-zz=x@example.com)")) == 1
    assert directory.search("(!(mail=x@example.com))", ALICE) == []
    assert names(directory.search("(mail=x@example.com)", attributes=("mail",))[0]) == [
        "mail",
        "mail;lang-zz",
    ]


def test_options_that_another_process_brought(directory: EphemeralDirectory) -> None:
    """As with those, nobody tells this process's catalogue."""
    core = directory.local.core
    unknown = core.schema.description("cn;lang-yy")
    assert core.catalogue.known_number(unknown) is None
    directory.modify(ALICE, add={"cn;lang-yy": "Alix"})
    assert len(directory.search("(&(cn;lang-yy=alix)(!(cn;lang-yy=bob)))")) == 1
    assert core.catalogue.known_number(unknown) is not None


def test_an_entry_without_attributes_to_show(directory: EphemeralDirectory) -> None:
    assert read(directory, "title").attributes == ()
    assert read(directory, "title").dn == ALICE


def test_operational_attributes_tell_the_truth(directory: EphemeralDirectory) -> None:
    found = {item.type: item.values for item in read(directory, "+", dn=DOMAIN).attributes}
    assert found["entryDN"] == (DOMAIN.encode(),)
    assert found["hasSubordinates"] == (b"TRUE",)
    assert found["numSubordinates"] == (b"1",)
    assert found["structuralObjectClass"] == (b"CommuniGateDomain",)
    assert found["subschemaSubentry"] == (b"cn=Subschema",)
    assert found["creatorsName"] == found["modifiersName"] == (b"cn=admin",)
    assert found["createTimestamp"] == found["modifyTimestamp"]
