"""The same requests to a real slapd and to our directory: the same result codes and
matched DNs, but for what ``DIFFERENT`` says and why.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import TypeAlias

import pytest

from ldapserver.controls import ASSERTION, encode_assertion
from ldapserver.core import Settings
from ldapserver.extended import PASSWORD_MODIFY, WHO_AM_I, PasswordModify, encode_password_modify
from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS, Identity, Peer
from ldapserver.local import LocalDirectory
from ldapserver.messages import (
    AddRequest,
    Attribute,
    BindRequest,
    Change,
    CompareRequest,
    Control,
    DeleteRequest,
    ExtendedRequest,
    Message,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Result,
    SaslCredentials,
    SimpleCredentials,
)
from ldapserver.names import key_of
from ldapserver.results import LDAPError, ResultCode
from ldapserver.transfer import import_ldif
from ldapserver.wire.client import decode_response, encode_message
from ldapserver.wire.framing import Framer
from tests.peers.slapd import Slapd, running_slapd

Asked: TypeAlias = (
    AddRequest
    | BindRequest
    | CompareRequest
    | DeleteRequest
    | ExtendedRequest
    | ModifyDNRequest
    | ModifyRequest
)
Said: TypeAlias = tuple[ResultCode, str]
"""The code and the matched DN."""

SITE = """\
dn: o=site
objectClass: organization
o: site

dn: cn=example.com,o=site
objectClass: CommuniGateDomain
cn: example.com

dn: uid=alice,cn=example.com,o=site
objectClass: CommuniGateAccount
uid: alice
cn: Alice
sn: Example
mail: alice@example.com
description: one
hostServer: be1
preferredLanguage: de
userPassword: {SSHA}9AoFZ2cd2mP+bzf4x+Lz9nQl1O4xMlJAQGWtzxs=

dn: uid=bob,cn=example.com,o=site
objectClass: CommuniGateAccount
uid: bob
cn: Bob
sn: Example

dn: cn=pointer,o=site
objectClass: alias
objectClass: extensibleObject
cn: pointer
aliasedObjectName: uid=alice,cn=example.com,o=site

dn: cn=role,o=site
objectClass: organizationalRole
objectClass: extensibleObject
cn: role
uidNumber: 7
"""

DOMAIN = "cn=example.com,o=site"
ALICE = f"uid=alice,{DOMAIN}"
BOB = f"uid=bob,{DOMAIN}"
NEW = f"uid=new,{DOMAIN}"
ROLE = "cn=role,o=site"
NOBODY = f"uid=nobody,{DOMAIN}"


def new(dn: str = NEW, **more: str | tuple[str, ...] | None) -> AddRequest:
    given = {"objectClass": "CommuniGateAccount", "uid": "new", "cn": "New", "sn": "New", **more}
    attributes = []
    for name, found in given.items():
        values = (found,) if isinstance(found, str) else found
        if values is not None:
            attributes.append(Attribute(name, tuple(value.encode() for value in values)))
    return AddRequest(dn, tuple(attributes))


def modify(dn: str, *changes: tuple[ModifyOp, str, *tuple[str, ...]]) -> ModifyRequest:
    return ModifyRequest(
        dn, tuple(Change(op, name, tuple(v.encode() for v in values)) for op, name, *values in changes)
    )


ADD, DELETE, REPLACE, INCREMENT = ModifyOp


def rename(dn: str, rdn: str, superior: str | None = None, delete_old: bool = True) -> ModifyDNRequest:
    return ModifyDNRequest(dn, rdn, delete_old, superior)


def bind(name: str, password: str) -> BindRequest:
    return BindRequest(3, name, SimpleCredentials(password.encode()))


def compare(dn: str, name: str, value: str) -> CompareRequest:
    return CompareRequest(dn, name, value.encode())


def password(user: str | None, old: str | None, fresh: str | None) -> ExtendedRequest:
    old_value, new_value = (None if text is None else text.encode() for text in (old, fresh))
    value = PasswordModify(user, old_value, new_value)
    return ExtendedRequest(PASSWORD_MODIFY, encode_password_modify(value))


ASKED: dict[str, Asked] = {
    "add below nothing": new("uid=new,cn=nowhere,o=site"),
    "add outside": new("uid=new,cn=nowhere,o=elsewhere"),
    "add what is there": new(ALICE, uid="alice"),
    "add below an alias": new("uid=new,cn=pointer,o=site"),
    "add the root": new(""),
    "add the subschema": new("cn=Subschema", cn="Subschema"),
    "add a bad name": new("new"),
    "add an undefined name": new(f"nothing=new,{DOMAIN}"),
    "add a type twice in a name": new(f"uid=new+uid=newer,{DOMAIN}"),
    "add without its name's value": new(uid=None),
    "add with another value": new(uid="other"),
    "add an undefined type": new(nothing="x"),
    "add a bad option": new(**{"cn;nothing": "x"}),
    "add an operational attribute": new(createTimestamp="20200101000000Z"),
    "add a value twice": new(description=("x", "X ")),
    "add two single values": new(preferredLanguage=("de", "fr")),
    "add bad syntax": new(mail="caf\u00e9"),
    "add a bad member": new(manager="nobody"),
    "add what is not allowed": new(dc="x"),
    "add without what is required": new(sn=None),
    "add without a class": new(objectClass=None),
    "add an undefined class": new(objectClass="nothing"),
    "add without a structural class": new(objectClass="top"),
    "add an auxiliary class only": new(objectClass="dcObject", dc="new"),
    "add two structural classes": new(objectClass=("person", "organizationalUnit"), ou="x"),
    "add without values": new(description=()),
    "add without attributes": AddRequest(NEW, ()),
    "add an attribute twice": AddRequest(NEW, (*new().attributes, Attribute("cn", (b"x",)))),
    "add one's own uuid": new(entryUUID="00000000-0000-0000-0000-000000000000"),
    "delete nothing": DeleteRequest(NOBODY),
    "delete below nothing": DeleteRequest("uid=x,cn=nowhere,o=site"),
    "delete a parent": DeleteRequest(DOMAIN),
    "delete a bad name": DeleteRequest("x"),
    "delete the root": DeleteRequest(""),
    "delete the subschema": DeleteRequest("cn=Subschema"),
    "modify nothing": modify(NOBODY, (REPLACE, "cn", "x")),
    "modify without changes": modify(ALICE),
    "modify the root": modify("", (REPLACE, "cn", "x")),
    "modify the subschema": modify("cn=Subschema", (REPLACE, "description", "x")),
    "add a value that is there": modify(ALICE, (ADD, "description", "ONE")),
    "add no value": modify(ALICE, (ADD, "description")),
    "add the same value twice": modify(ALICE, (ADD, "description", "x", "X")),
    "add a second single value": modify(ALICE, (ADD, "preferredLanguage", "fr")),
    "replace a single value by two": modify(ALICE, (REPLACE, "preferredLanguage", "fr", "it")),
    "swap a single value": modify(
        ALICE, (ADD, "preferredLanguage", "fr"), (DELETE, "preferredLanguage", "fr")
    ),
    "delete a value that is not there": modify(ALICE, (DELETE, "description", "x")),
    "delete a value twice": modify(ALICE, (DELETE, "description", "one", "one")),
    "delete an attribute that is not there": modify(ALICE, (DELETE, "title")),
    "replace by nothing what is not there": modify(ALICE, (REPLACE, "title")),
    "delete the name": modify(ALICE, (DELETE, "uid", "alice")),
    "replace the name": modify(ALICE, (REPLACE, "uid", "x")),
    "delete what is required": modify(ALICE, (DELETE, "sn")),
    "add what no class allows": modify(ALICE, (ADD, "dc", "x")),
    "add an undefined attribute": modify(ALICE, (ADD, "nothing", "x")),
    "modify bad syntax": modify(ALICE, (REPLACE, "mail", "caf\u00e9")),
    "modify operational": modify(ALICE, (REPLACE, "modifyTimestamp", "20200101000000Z")),
    "delete all classes": modify(ALICE, (DELETE, "objectClass")),
    "change the structural class": modify(ALICE, (REPLACE, "objectClass", "inetOrgPerson")),
    "add a structural class": modify(ALICE, (ADD, "objectClass", "organizationalUnit")),
    "add an undefined class to it": modify(ALICE, (ADD, "objectClass", "nothing")),
    "add a class without what it requires": modify(ALICE, (ADD, "objectClass", "dcObject")),
    "delete a photo of several": modify(
        ALICE, (ADD, "jpegPhoto", "a", "b"), (DELETE, "jpegPhoto", "a"), (DELETE, "jpegPhoto")
    ),
    "increment": modify(ROLE, (INCREMENT, "uidNumber", "1"), (INCREMENT, "uidNumber", "-1")),
    "increment by nothing": modify(ROLE, (INCREMENT, "uidNumber")),
    "increment by two values": modify(ROLE, (INCREMENT, "uidNumber", "1", "2")),
    "increment what is not there": modify(ROLE, (INCREMENT, "gidNumber", "1")),
    "increment a text": modify(ALICE, (INCREMENT, "description", "1")),
    "increment by a text": modify(ROLE, (INCREMENT, "uidNumber", "x")),
    "rename nothing": rename(NOBODY, "uid=x"),
    "rename to what is there": rename(ALICE, "uid=bob"),
    "rename to itself": rename(ALICE, "UID=alice"),
    "rename to nonsense": rename(ALICE, "x"),
    "rename to two names": rename(ALICE, "uid=a,uid=b"),
    "rename to what is undefined": rename(ALICE, "nothing=x"),
    "rename to what is not allowed": rename(ALICE, "dc=x", None, False),
    "rename away what is required": rename(ALICE, "cn=Alice"),
    "rename to a second single value": rename(ALICE, "preferredLanguage=fr", None, False),
    "move below nothing": rename(ALICE, "uid=alice", "cn=nowhere,o=site"),
    "move below itself": rename(DOMAIN, "cn=example.com", ALICE),
    "move onto itself": rename(DOMAIN, "cn=example.com", DOMAIN),
    "move below an alias": rename(BOB, "uid=bob", "cn=pointer,o=site"),
    "move where it is": rename(ALICE, "uid=alice", DOMAIN),
    "rename the root": rename("", "o=x"),
    "compare true": compare(ALICE, "CN", "ALICE"),
    "compare false": compare(ALICE, "cn", "bob"),
    "compare a supertype": compare(ALICE, "name", "alice"),
    "compare a superclass": compare(ALICE, "objectClass", "person"),
    "compare what is not there": compare(ALICE, "title", "x"),
    "compare undefined": compare(ALICE, "nothing", "x"),
    "compare without a rule": compare(ALICE, "jpegPhoto", "x"),
    "compare bad syntax": compare(ALICE, "manager", "x"),
    "compare operational": compare(ALICE, "entryDN", ALICE.upper()),
    "compare nothing": compare(NOBODY, "cn", "x"),
    "compare the root": compare("", "supportedFeatures", "1.3.6.1.1.14"),
    "bind": bind(ALICE, "wonderland"),
    "bind with a wrong password": bind(ALICE, "x"),
    "bind without a password": bind(ALICE, ""),
    "bind without a name": bind("", "x"),
    "bind anonymously": bind("", ""),
    "bind as nobody": bind(NOBODY, "x"),
    "bind below nothing": bind("uid=x,cn=nowhere,o=site", "x"),
    "bind as what has no password": bind(BOB, "x"),
    "bind as nonsense": bind("x", "x"),
    "bind as the root entry": bind("o=site", "x"),
    "bind by an unknown mechanism": BindRequest(3, "", SaslCredentials("NOTHING", b"")),
    "bind externally over TCP": BindRequest(3, "", SaslCredentials("EXTERNAL", b"")),
    "who am I": ExtendedRequest(WHO_AM_I, None),
    "who am I with a value": ExtendedRequest(WHO_AM_I, b"x"),
    "unknown extended operation": ExtendedRequest("1.2.3.4", None),
    "another's password": password(BOB, None, "secret"),
    "nobody's password": password(NOBODY, None, "secret"),
    "a wrong old password": password(ALICE, "x", "wonderland"),
    "an empty password": password(BOB, None, ""),
    "malformed password request": ExtendedRequest(PASSWORD_MODIFY, b"x"),
}

ASSERTING = Control(ASSERTION, True, encode_assertion(parse_filter("(description=two)")))
UNKNOWN = Control("1.2.3.4", True, None)

WITH_CONTROLS: dict[str, tuple[Asked, Control]] = {
    "modify with a failing assertion": (modify(ALICE, (REPLACE, "title", "x")), ASSERTING),
    "delete with a failing assertion": (DeleteRequest(ALICE), ASSERTING),
    "rename with a failing assertion": (rename(ALICE, "uid=x"), ASSERTING),
    "add with a failing assertion": (new(), ASSERTING),
    "compare with a failing assertion": (compare(ALICE, "cn", "alice"), ASSERTING),
    "a critical control that nobody knows": (DeleteRequest(ALICE), UNKNOWN),
}

TRIED_BY_OTHERS: dict[str, Asked] = {
    "add": new(),
    "delete": DeleteRequest(BOB),
    "modify": modify(BOB, (REPLACE, "title", "x")),
    "modify one's own": modify(ALICE, (REPLACE, "title", "x")),
    "rename": rename(BOB, "uid=x"),
    "compare": compare(BOB, "cn", "bob"),
    "another's password": password(BOB, None, "x"),
    "who am I": ExtendedRequest(WHO_AM_I, None),
}

Codes: TypeAlias = tuple[ResultCode | Said, ResultCode | Said]

# What we say, and what slapd says.
DIFFERENT: dict[str, Codes] = {
    # Any entry can be added at the top here; slapd has the suffixes of its configuration.
    "add outside": (ResultCode.NO_SUCH_OBJECT, ResultCode.UNWILLING_TO_PERFORM),
    # RFC 4511 section 4.1.9: these codes come with a matched DN.
    "add below an alias": ((ResultCode.ALIAS_PROBLEM, "cn=pointer,o=site"), ResultCode.ALIAS_PROBLEM),
    "move below an alias": ((ResultCode.ALIAS_PROBLEM, "cn=pointer,o=site"), ResultCode.ALIAS_PROBLEM),
    "move below nothing": ((ResultCode.NO_SUCH_OBJECT, "o=site"), ResultCode.NO_SUCH_OBJECT),
    # The name's values could be all that an entry has; what is missing then is a class.
    "add without attributes": (ResultCode.OBJECT_CLASS_VIOLATION, ResultCode.PROTOCOL_ERROR),
    # RFC 4511 section 4.1.7: no two values are equivalent.
    "delete a value twice": (ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, ResultCode.SUCCESS),
    # RFC 4511 section 4.6 and appendix A name the code for this.
    "delete the name": (ResultCode.NOT_ALLOWED_ON_RDN, ResultCode.NAMING_VIOLATION),
    "replace the name": (ResultCode.NOT_ALLOWED_ON_RDN, ResultCode.NAMING_VIOLATION),
    # Computed attributes are compared like others.
    "compare operational": (ResultCode.COMPARE_TRUE, ResultCode.UNWILLING_TO_PERFORM),
    # RFC 3062 names no codes; these say what is wrong.
    "a wrong old password": (ResultCode.INVALID_CREDENTIALS, ResultCode.UNWILLING_TO_PERFORM),
    "an empty password": (ResultCode.CONSTRAINT_VIOLATION, ResultCode.UNWILLING_TO_PERFORM),
}


# --- the two sides ------------------------------------------------------------------------


class Connection:
    """To a slapd; bound as somebody, or nobody."""

    def __init__(self, slapd: Slapd, name: str, password: str) -> None:
        host, _, port = slapd.url.removeprefix("ldap://").partition(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        self._framer = Framer(1 << 20)
        self._id = 0
        if name:
            assert self.ask(bind(name, password))[0] is ResultCode.SUCCESS

    def ask(self, request: Asked, *controls: Control) -> Said:
        self._id += 1
        self._socket.sendall(encode_message(Message(self._id, request, controls)))
        messages: list[bytes] = []
        while not messages:
            data = self._socket.recv(65536)
            assert data, "slapd has closed the connection"
            messages = self._framer.feed(data)
        result = decode_response(messages[0]).answer
        assert isinstance(result, Result)
        return result.code, result.matched_dn

    def close(self) -> None:
        self._socket.close()


def ask_ours(directory: LocalDirectory, identity: Identity, request: Asked, *controls: Control) -> Said:
    peer = Peer("127.0.0.1")
    try:
        match request:
            case BindRequest():
                outcome = directory.bind(request, peer)
                result = (outcome.result() if isinstance(outcome, Future) else outcome).result
            case CompareRequest():
                result = directory.compare(identity, request, controls)
            case ExtendedRequest():
                answer = directory.extended(identity, request, controls, peer)
                result = answer.result(10) if isinstance(answer, Future) else answer
            case _:
                result = directory.write(identity, request, controls).result(10)
    except LDAPError as error:
        return error.code, error.matched_dn
    return result.code, result.matched_dn


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with running_slapd(tmp_path_factory.mktemp("slapd"), SITE) as found:
        yield found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDirectory]:
    settings = Settings(administrator_dn="cn=admin,o=site", sync=False, map_size=1 << 26)
    found = LocalDirectory.open(tmp_path_factory.mktemp("ours"), settings)
    import_ldif(found, io.BytesIO(SITE.encode()), "site.ldif")
    yield found
    assert list(found.check()) == []
    found.close()


def both(slapd: Slapd, directory: LocalDirectory, request: Asked, *controls: Control) -> tuple[Said, Said]:
    """Our answer and slapd's to the administrator; then all is as it was."""
    administrator = directory.core.administrator
    with closing(Connection(slapd, slapd.administrator, slapd.password)) as connection:
        theirs = connection.ask(request, *controls)
    ours = ask_ours(directory, administrator, request, *controls)
    with closing(Connection(slapd, slapd.administrator, slapd.password)) as connection:
        connection.ask(DeleteRequest(NEW))
    ask_ours(directory, administrator, DeleteRequest(NEW))
    return ours, theirs


def said(expected: ResultCode | Said) -> Said:
    return expected if isinstance(expected, tuple) else (expected, "")


@pytest.mark.parametrize("name", ASKED)
def test_the_administrator_is_told(slapd: Slapd, directory: LocalDirectory, name: str) -> None:
    ours, theirs = both(slapd, directory, ASKED[name])
    if name in DIFFERENT:
        assert (ours, theirs) == tuple(map(said, DIFFERENT[name]))
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", WITH_CONTROLS)
def test_controls(slapd: Slapd, directory: LocalDirectory, name: str) -> None:
    request, control = WITH_CONTROLS[name]
    ours, theirs = both(slapd, directory, request, control)
    assert ours == theirs


@pytest.mark.parametrize("name", TRIED_BY_OTHERS)
@pytest.mark.parametrize("who", ["", ALICE])
def test_others_are_told(slapd: Slapd, directory: LocalDirectory, who: str, name: str) -> None:
    request = TRIED_BY_OTHERS[name]
    identity = Identity(who, key_of(who, directory.core.schema)) if who else ANONYMOUS
    with closing(Connection(slapd, who, "wonderland")) as connection:
        assert ask_ours(directory, identity, request) == connection.ask(request)
