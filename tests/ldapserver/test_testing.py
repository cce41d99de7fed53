"""The public testing module, used as other people would."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from ldapserver.ldif import LdifError
from ldapserver.messages import Attribute, Entry, Result
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import DirectoryTestCase, EphemeralDirectory
from tests.ldapserver.net.fake import Client, search
from tests.peers.python_ldap import ldap, require_ldap

LDIF = """\
dn: o=example
objectClass: organization
o: example

dn: uid=alice,o=example
objectClass: inetOrgPerson
uid: alice
cn: Alice Liddell
sn: Liddell
mail: alice@example.com
mail: liddell@example.com
userPassword: wonderland
"""

ALICE = "uid=alice,o=example"

Factory = Callable[..., EphemeralDirectory]


@pytest.fixture
def directory(ldap_directory_factory: Factory) -> EphemeralDirectory:
    return ldap_directory_factory(LDIF)


# --- sources ------------------------------------------------------------------------------


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data.ldif"
    path.write_text(LDIF)
    with EphemeralDirectory(path) as directory:
        directory.assert_entry_exists(ALICE)


def test_from_dictionaries_and_entries(directory: EphemeralDirectory) -> None:
    given: dict[str, Any] = {
        "o=example": {"objectClass": "organization", "o": "example"},
        "cn=Bob,o=example": {"objectClass": ["person"], "cn": ["Bob", b"Robert"], "sn": "B"},
    }
    with EphemeralDirectory(given) as other:
        assert other.values("cn=Bob,o=example", "cn") == ["Bob", "Robert"]
    entries = directory.search(attributes=("*",))
    with EphemeralDirectory(entries) as other:
        assert [entry.dn for entry in other.search()] == [entry.dn for entry in entries]


def test_several_sources_and_load(directory: EphemeralDirectory) -> None:
    directory.load("dn: uid=alice,o=example\nchangetype: modify\nreplace: sn\nsn: L.\n-\n")
    assert directory.values(ALICE, "sn") == ["L."]
    with EphemeralDirectory(LDIF, {"cn=x,o=example": {"objectClass": "device", "cn": "x"}}) as other:
        assert len(other.search()) == 3


def test_a_source_that_is_wrong_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldapserver.testing.ephemeral.MEMORY", tmp_path)
    with pytest.raises(LdifError, match="o=missing"):
        EphemeralDirectory("dn: cn=x,o=missing\nobjectClass: device\ncn: x\n")
    assert not list(tmp_path.iterdir())


def test_own_schema() -> None:
    schema = "attributetype ( 1.3.6.1.4.1.99999.1 NAME 'shoeSize' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )\n"
    schema += "objectclass ( 1.3.6.1.4.1.99999.2 NAME 'shod' AUXILIARY MAY shoeSize )\n"
    with EphemeralDirectory(LDIF, schema=schema) as directory:
        directory.modify(ALICE, add={"objectClass": "shod", "shoeSize": 38})
        assert directory.values(ALICE, "shoeSize") == ["38"]


# --- without a listener ---------------------------------------------------------------------


def test_reading(directory: EphemeralDirectory) -> None:
    (entry,) = directory.search("(mail=LIDDELL@example.com)", attributes=("cn",))
    assert entry.dn == ALICE
    assert [(item.type, item.values) for item in entry.attributes] == [("cn", (b"Alice Liddell",))]
    assert directory.get(ALICE, "sn") == Entry(ALICE, (Attribute("sn", (b"Liddell",)),))
    assert directory.get("cn=nobody") is None
    assert directory.values("cn=nobody", "cn") == []
    assert "dn: uid=alice,o=example\n" in directory.dump()


def test_writing(directory: EphemeralDirectory) -> None:
    directory.add("ou=people,o=example", {"objectClass": "organizationalUnit", "ou": "people"})
    directory.rename(ALICE, "uid=al", "ou=people,o=example")
    moved = "uid=al,ou=people,o=example"
    directory.modify(moved, add={"mail": "al@example.com"}, delete={"mail": "alice@example.com"})
    assert directory.values(moved, "mail") == ["liddell@example.com", "al@example.com"]
    directory.modify(moved, replace={"description": ["a", "b"], "mail": ()})
    directory.assert_no_attribute(moved, "mail")
    directory.delete(moved)
    directory.assert_missing(moved)
    with pytest.raises(LDAPError) as caught:
        directory.delete(moved)
    assert caught.value.code is ResultCode.NO_SUCH_OBJECT


def test_identities(directory: EphemeralDirectory) -> None:
    alice = directory.bind(ALICE, "wonderland")
    with pytest.raises(LDAPError):
        directory.delete("o=example", identity=alice)
    assert directory.bind(directory.administrator_dn, directory.administrator_password).administrator
    with pytest.raises(LDAPError) as caught:
        directory.bind(ALICE, "wrong")
    assert caught.value.code is ResultCode.INVALID_CREDENTIALS


def test_claims_that_hold(directory: EphemeralDirectory) -> None:
    assert directory.assert_entry_exists(ALICE, "(sn=liddell)").dn == ALICE
    directory.assert_missing("uid=bob,o=example")
    directory.assert_attribute(ALICE, "mail")
    directory.assert_attribute(ALICE, "name")
    directory.assert_no_attribute(ALICE, "description")
    directory.assert_value(ALICE, "mail", "ALICE@EXAMPLE.COM", b"liddell@example.com")
    directory.assert_no_value(ALICE, "mail", "bob@example.com")


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (lambda d: d.assert_entry_exists("uid=bob,o=example"), "no entry uid=bob"),
        (lambda d: d.assert_entry_exists(ALICE, "(sn=x)"), r"does not match \(sn=x\)"),
        (lambda d: d.assert_missing(ALICE), "there is an entry"),
        (lambda d: d.assert_attribute(ALICE, "description"), "has no description"),
        (lambda d: d.assert_no_attribute(ALICE, "sn"), "has sn"),
        (lambda d: d.assert_value(ALICE, "sn", "x"), "not .*x"),
        (lambda d: d.assert_value("uid=bob,o=example", "sn", "x"), "no entry"),
        (lambda d: d.assert_no_value(ALICE, "sn", "LIDDELL"), "has sn"),
    ],
)
def test_claims_that_do_not_hold(directory: EphemeralDirectory, claim: Any, text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        claim(directory)


def test_snapshot_and_restore(directory: EphemeralDirectory) -> None:
    before = directory.dump()
    image = directory.snapshot()
    for _ in range(2):
        directory.delete(ALICE)
        directory.assert_missing(ALICE)
        directory.restore(image)
        assert directory.dump() == before


# --- with a listener in a thread --------------------------------------------------------------


def bound(directory: EphemeralDirectory, url: str) -> Any:
    require_ldap()
    connection = ldap.initialize(url)
    connection.simple_bind_s(directory.administrator_dn, directory.administrator_password)
    return connection


def test_serving(directory: EphemeralDirectory) -> None:
    directory.serve()
    for url in (directory.url, directory.ldapi_url):
        connection = bound(directory, url)
        ((dn, _),) = connection.search_s("", ldap.SCOPE_SUBTREE, "(mail=alice@example.com)", ["cn"])
        assert dn == ALICE
        connection.unbind_s()
    assert directory.url == f"ldap://127.0.0.1:{directory.port}"


def test_several_at_once(ldap_directory_factory: Factory) -> None:
    directories = [ldap_directory_factory(LDIF).serve() for _ in range(3)]
    assert len({directory.port for directory in directories}) == 3
    directories[0].delete(ALICE)
    for directory, count in zip(directories, (1, 2, 2), strict=True):
        connection = bound(directory, directory.url)
        assert len(connection.search_s("o=example", ldap.SCOPE_SUBTREE)) == count
        connection.unbind_s()


def test_restore_while_serving(directory: EphemeralDirectory) -> None:
    connection = bound(directory.serve(), directory.url)
    image = directory.snapshot()
    connection.delete_s(ALICE)
    directory.restore(image)
    assert len(connection.search_s(ALICE, ldap.SCOPE_BASE)) == 1
    connection.delete_s(ALICE)
    directory.assert_missing(ALICE)
    connection.unbind_s()


def test_interception(directory: EphemeralDirectory) -> None:
    heard: list[object] = []

    def refuse(identity: object, request: object) -> None:
        heard.append(request)
        raise LDAPError(ResultCode.BUSY, "later")

    connection = bound(directory.serve(), directory.url)
    directory.intercept = refuse
    with pytest.raises(ldap.BUSY):
        connection.search_s(ALICE, ldap.SCOPE_BASE)
    directory.assert_entry_exists(ALICE)
    assert len(heard) == 1
    connection.unbind_s()


def test_a_listener_is_asked_for_first(directory: EphemeralDirectory) -> None:
    with pytest.raises(AssertionError, match="serve"):
        _ = directory.url


def test_closing_twice_and_with_clients(directory: EphemeralDirectory) -> None:
    connection = bound(directory.serve(), directory.url)
    directory.close()
    directory.close()
    with pytest.raises((ldap.UNAVAILABLE, ldap.SERVER_DOWN)):
        connection.search_s(ALICE, ldap.SCOPE_BASE)


# --- fixtures ---------------------------------------------------------------------------------


@pytest.mark.ldap_directory(LDIF)
def test_the_fixture_and_its_marker(ldap_directory: EphemeralDirectory) -> None:
    ldap_directory.assert_entry_exists(ALICE)


def test_the_fixture_is_empty_without(ldap_directory: EphemeralDirectory) -> None:
    assert ldap_directory.search() == []


def test_a_store_that_is_not_sound_fails_the_test(directory: EphemeralDirectory, monkeypatch: Any) -> None:
    other = EphemeralDirectory(LDIF)
    monkeypatch.setattr(type(other.local), "check", lambda self: iter(["a fault"]))
    with pytest.raises(AssertionError, match="a fault"):
        other.close()
    monkeypatch.undo()


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    code = "import sys, ldapserver.pytest_plugin; print({'twisted', 'lmdb', 'attrs'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_twisted_is_for_those_who_listen() -> None:
    code = (
        "import sys, ldapserver.testing as t; print('twisted' in sys.modules, t.DirectoryTestCase.__name__)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("False ")


def test_ready_at_once() -> None:
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        with EphemeralDirectory(LDIF).serve() as directory:
            best = min(best, time.perf_counter() - started)
            assert directory.port
    assert best < 0.05


# --- trial ------------------------------------------------------------------------------------


class UnderTrial(DirectoryTestCase):
    sources = (LDIF,)

    async def test_it_listens(self) -> None:
        endpoint = TCP4ClientEndpoint(global_reactor, "127.0.0.1", self.directory.port)
        client: Client = await connectProtocol(endpoint, Client())  # type: ignore[no-untyped-call]
        answer = await client.ask(1, search("o=missing"))
        assert answer.code is ResultCode.NO_SUCH_OBJECT
        client.send(2, search(ALICE))
        assert (await client.answers(2))[1].answer == Result()
        client.transport.loseConnection()
        await client.lost

    def test_its_methods(self) -> None:
        self.directory.delete(ALICE)
        self.directory.assert_missing(ALICE)
