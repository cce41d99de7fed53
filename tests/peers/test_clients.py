"""Other people's clients against our directory: OpenLDAP's tools, python-ldap, ldap3 and
ldaptor."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any, cast

import ldap3
import pytest
from ldap3.core.exceptions import LDAPNoSuchObjectResult
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap import ldaperrors
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater

from ldapserver.testing import DirectoryTestCase, EphemeralDirectory
from tests.peers.python_ldap import ldap, require_ldap
from tests.peers.slapd import require

PEOPLE = "ou=people,o=example"
ALICE = f"uid=alice,{PEOPLE}"

LDIF = f"""\
dn: o=example
objectClass: organization
o: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {ALICE}
objectClass: inetOrgPerson
uid: alice
cn: Alice Liddell
sn: Liddell
mail: alice@example.com
userPassword: wonderland

dn: uid=bob,{PEOPLE}
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Builder
mail: bob@example.com
userPassword: can we fix it
"""


@pytest.fixture(scope="module")
def served() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(LDIF).serve() as directory:
        yield directory


@pytest.fixture
def directory(served: EphemeralDirectory) -> Iterator[EphemeralDirectory]:
    """One for all, and as it was for each."""
    image = served.snapshot()
    yield served
    served.restore(image)


# --- OpenLDAP ---------------------------------------------------------------------------------


class Tools:
    def __init__(self, directory: EphemeralDirectory) -> None:
        self.directory = directory

    def run(self, name: str, *arguments: str, input: str = "", status: int = 0, who: str = "") -> str:
        """A tool's output, as the administrator or ``who``."""
        require(name)
        passwords = {ALICE: "wonderland"}
        dn = who or self.directory.administrator_dn
        password = passwords.get(who, self.directory.administrator_password)
        command = [name, "-x", "-H", self.directory.url, "-D", dn, "-w", password, *arguments]
        return self._run(command, input, status)

    def anonymously(self, name: str, *arguments: str, status: int = 0) -> str:
        require(name)
        return self._run([name, "-x", "-H", self.directory.url, *arguments], "", status)

    def locally(self, name: str, *arguments: str, status: int = 0) -> str:
        """Through the Unix socket, by peer credentials."""
        require(name)
        return self._run(
            [name, "-Q", "-Y", "EXTERNAL", "-H", self.directory.ldapi_url, *arguments], "", status
        )

    def _run(self, command: list[str], input: str, status: int) -> str:
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=20)
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def tools(directory: EphemeralDirectory) -> Tools:
    return Tools(directory)


def test_ldapsearch(tools: Tools) -> None:
    out = tools.run("ldapsearch", "-LLL", "-b", "o=example", "(mail=alice@*)", "cn")
    assert out == f"dn: {ALICE}\ncn: Alice Liddell\n\n"


def test_ldapsearch_root_dse_and_subschema(tools: Tools) -> None:
    root = tools.anonymously("ldapsearch", "-LLL", "-b", "", "-s", "base", "+")
    assert "supportedLDAPVersion: 3" in root
    subschema = next(line for line in root.splitlines() if line.startswith("subschemaSubentry: "))
    base = subschema.partition(": ")[2]
    schema = tools.anonymously(
        "ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", base, "-s", "base", "(objectClass=subschema)", "+"
    )
    assert "NAME 'hostServer'" in schema


def test_ldapsearch_paged(tools: Tools) -> None:
    out = tools.run("ldapsearch", "-LLL", "-b", "o=example", "-E", "pr=1/noprompt", "dn")
    assert out.count("dn: ") == 4


def test_ldapsearch_no_such_object(tools: Tools) -> None:
    out = tools.run("ldapsearch", "-b", "uid=eve,ou=people,o=example", status=32)
    assert f"matchedDN: {PEOPLE}" in out


def test_ldapsearch_unknown_critical_control(tools: Tools) -> None:
    tools.run("ldapsearch", "-b", "o=example", "-e", "!1.2.3.4", status=12)
    tools.run("ldapsearch", "-b", "o=example", "-e", "1.2.3.4")


def test_ldapsearch_size_limit(tools: Tools) -> None:
    assert tools.run("ldapsearch", "-LLL", "-z", "2", "-b", "o=example", "dn", status=4).count("dn: ") == 2


def test_ldapadd_ldapmodify_ldapdelete(tools: Tools) -> None:
    eve = f"uid=eve,{PEOPLE}"
    tools.run("ldapadd", input=f"dn: {eve}\nobjectClass: inetOrgPerson\nuid: eve\ncn: Eve\nsn: E\n")
    tools.run(
        "ldapadd", input=f"dn: {eve}\nobjectClass: inetOrgPerson\nuid: eve\ncn: Eve\nsn: E\n", status=68
    )
    tools.run("ldapmodify", input=f"dn: {eve}\nchangetype: modify\nadd: mail\nmail: eve@example.com\n-\n")
    tools.directory.assert_value(eve, "mail", "eve@example.com")
    tools.run("ldapdelete", PEOPLE, status=66)
    tools.run("ldapdelete", eve)
    tools.directory.assert_missing(eve)


def test_ldapmodify_is_all_or_nothing(tools: Tools) -> None:
    change = f"dn: {ALICE}\nchangetype: modify\nreplace: sn\nsn: X\n-\nadd: nonsense\nnonsense: x\n-\n"
    tools.run("ldapmodify", input=change, status=17)
    tools.directory.assert_value(ALICE, "sn", "Liddell")


def test_ldapmodrdn(tools: Tools) -> None:
    tools.run("ldapmodrdn", "-r", PEOPLE, "ou=persons")
    tools.directory.assert_entry_exists("uid=alice,ou=persons,o=example")
    tools.directory.assert_missing(ALICE)


def test_ldapcompare(tools: Tools) -> None:
    assert "TRUE" in tools.run("ldapcompare", ALICE, "sn:LIDDELL", status=6)
    assert "FALSE" in tools.run("ldapcompare", ALICE, "sn:x", status=5)


def test_ldapwhoami(tools: Tools) -> None:
    assert tools.anonymously("ldapwhoami").strip() == "anonymous"
    assert tools.run("ldapwhoami", who=ALICE).strip() == f"dn:{ALICE}"
    assert tools.run("ldapwhoami").strip() == f"dn:{tools.directory.administrator_dn}"
    tools.anonymously("ldapwhoami", "-D", ALICE, "-w", "wrong", status=49)
    tools.anonymously("ldapwhoami", "-D", "alice@example.com", "-w", "wonderland")
    tools.anonymously("ldapsearch", "-P", "2", "-D", ALICE, "-w", "wonderland", status=2)


def test_ldapwhoami_by_peer_credentials(tools: Tools) -> None:
    if os.getuid() == 0:
        assert tools.locally("ldapwhoami").strip() == f"dn:{tools.directory.administrator_dn}"


def test_ldappasswd(tools: Tools) -> None:
    tools.run("ldappasswd", "-a", "wonderland", "-s", "looking glass", who=ALICE)
    assert tools.directory.bind(ALICE, "looking glass").dn == ALICE
    assert "New password: " in tools.run("ldappasswd", ALICE)


def test_controls_on_writes(tools: Tools) -> None:
    change = f"dn: {ALICE}\nchangetype: modify\nreplace: sn\nsn: X\n-\n"
    tools.run("ldapmodify", "-e", "!assert=(sn=nobody)", input=change, status=122)
    out = tools.run("ldapmodify", "-v", "-e", "preread=sn", "-e", "postread=sn", input=change)
    assert "sn: Liddell" in out
    assert "sn: X" in out


def test_start_tls_is_refused_where_there_is_none(tools: Tools) -> None:
    assert "Protocol error" in tools.anonymously("ldapwhoami", "-ZZ", status=1)


# --- python-ldap --------------------------------------------------------------------------------


@pytest.fixture
def connection(directory: EphemeralDirectory) -> Iterator[Any]:
    require_ldap()
    connection = ldap.initialize(directory.url)
    connection.simple_bind_s(directory.administrator_dn, directory.administrator_password)
    yield connection
    connection.unbind_s()


def test_python_ldap_round(connection: Any, directory: EphemeralDirectory) -> None:
    eve = f"uid=eve,{PEOPLE}"
    entry = {"objectClass": [b"inetOrgPerson"], "uid": [b"eve"], "cn": ["Éve".encode()], "sn": [b"E"]}
    connection.add_s(eve, ldap.modlist.addModlist(entry))
    ((dn, found),) = connection.search_s("o=example", ldap.SCOPE_SUBTREE, "(cn=éVE)")
    assert (dn, found) == (eve, entry)
    assert connection.compare_s(eve, "sn", b"e") is True
    connection.rename_s(eve, "uid=eva", "o=example")
    connection.delete_s("uid=eva,o=example")
    with pytest.raises(ldap.NO_SUCH_OBJECT) as caught:
        connection.delete_s("uid=eva,o=example")
    assert caught.value.args[0]["matched"] == "o=example"


def test_python_ldap_paged(connection: Any) -> None:
    control = ldap.controls.SimplePagedResultsControl(True, size=3, cookie="")
    pages = []
    while True:
        sent = connection.search_ext("o=example", ldap.SCOPE_SUBTREE, serverctrls=[control])
        _, entries, _, (answer,) = connection.result3(sent)
        pages.append(len(entries))
        if not answer.cookie:
            break
        control.cookie = answer.cookie
    assert pages == [3, 1]


def test_python_ldap_read_entry_controls(connection: Any) -> None:
    sent = connection.modify_ext(
        ALICE,
        [(ldap.MOD_REPLACE, "sn", [b"X"])],
        serverctrls=[
            ldap.controls.readentry.PreReadControl(True, ["sn"]),
            ldap.controls.readentry.PostReadControl(True, ["sn"]),
        ],
    )
    _, _, _, (before, after) = connection.result3(sent)
    assert (before.entry["sn"], after.entry["sn"]) == ([b"Liddell"], [b"X"])


def test_python_ldap_asks_much_at_once_and_abandons(connection: Any) -> None:
    sent = [connection.search("o=example", ldap.SCOPE_SUBTREE, f"(uid=*{n})") for n in range(300)]
    for message_id in sent[::3]:
        connection.abandon(message_id)
    assert connection.result(sent[1])[0] == ldap.RES_SEARCH_RESULT
    assert connection.result(sent[-1])[0] == ldap.RES_SEARCH_RESULT
    assert len(connection.search_s("o=example", ldap.SCOPE_SUBTREE)) == 4


def test_python_ldap_binds_again(connection: Any) -> None:
    with pytest.raises(ldap.INVALID_CREDENTIALS):
        connection.simple_bind_s(ALICE, "wrong")
    assert connection.whoami_s() == ""
    connection.simple_bind_s(ALICE, "wonderland")
    assert connection.whoami_s() == f"dn:{ALICE}"
    with pytest.raises(ldap.INSUFFICIENT_ACCESS):
        connection.delete_s(f"uid=bob,{PEOPLE}")
    with pytest.raises(ldap.UNWILLING_TO_PERFORM):
        connection.simple_bind_s(ALICE, "")


# --- ldap3 ----------------------------------------------------------------------------------------


def test_ldap3(directory: EphemeralDirectory) -> None:
    server = ldap3.Server(directory.url, get_info=ldap3.ALL)
    connection = ldap3.Connection(
        server,
        directory.administrator_dn,
        directory.administrator_password,
        auto_bind=True,
        raise_exceptions=True,
    )
    assert "hostServer" in server.schema.attribute_types
    assert connection.search("o=example", "(&(objectClass=person)(!(uid=bob)))", attributes=["mail"])
    (entry,) = connection.entries
    assert entry.entry_dn == ALICE
    assert entry.mail.value == "alice@example.com"
    connection.modify(ALICE, {"mail": [(ldap3.MODIFY_ADD, ["al@example.com"])]})
    directory.assert_value(ALICE, "mail", "al@example.com")
    found = connection.extend.standard.paged_search(
        "o=example", "(objectClass=*)", paged_size=2, generator=False
    )
    assert len(found) == 4
    assert connection.extend.standard.who_am_i() == f"dn:{directory.administrator_dn}"
    with pytest.raises(LDAPNoSuchObjectResult):
        connection.delete("cn=nobody")
    connection.unbind()


# --- ldaptor --------------------------------------------------------------------------------------


class Ldaptor(DirectoryTestCase):
    sources = (LDIF,)

    async def connect(self) -> Any:
        endpoint = TCP4ClientEndpoint(global_reactor, "127.0.0.1", self.directory.port)
        client = await connectProtocol(endpoint, LDAPClient())
        await client.bind(self.directory.administrator_dn, self.directory.administrator_password)
        return client

    async def leave(self, client: Any) -> None:
        client.unbind()
        while client.connected:
            await deferLater(cast(Any, global_reactor), 0.002)

    async def test_search_and_write(self) -> None:
        client = await self.connect()
        found: list[Any] = []

        done: Deferred[None] = Deferred()

        def collect(response: Any) -> bool:
            found.append(response)
            last = isinstance(response, pureldap.LDAPSearchResultDone)
            if last:
                done.callback(None)
            return last

        client.queue = client.send_multiResponse
        request = pureldap.LDAPSearchRequest(
            baseObject="o=example", filter=pureldap.LDAPFilter_present("mail")
        )
        client.send_multiResponse(request, collect)
        await done
        assert [entry.objectName.decode() for entry in found[:-1]] == [ALICE, f"uid=bob,{PEOPLE}"]
        answer = await client.send(pureldap.LDAPDelRequest(entry=ALICE))
        assert answer.resultCode == ldaperrors.Success.resultCode
        self.directory.assert_missing(ALICE)
        await self.leave(client)

    async def test_a_wrong_password(self) -> None:
        client = await self.connect()
        with pytest.raises(ldaperrors.LDAPInvalidCredentials):
            await client.bind(ALICE, "wrong")
        await self.leave(client)
