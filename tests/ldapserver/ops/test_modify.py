"""Modify: the changes in their order, and the refusal of each that can't be."""

from __future__ import annotations

import pytest

from ldapserver.identity import ANONYMOUS
from ldapserver.messages import Change, ModifyRequest
from ldapserver.names import find, key_of
from ldapserver.ops.modify import modified, modify
from ldapserver.results import LDAPError, ResultCode
from storage import keys
from storage.changes import Kind
from storage.snapshot import Snapshot
from tests.ldapserver.ops.site import (
    ALICE,
    BASE,
    BOB,
    DOMAIN,
    STAFF,
    Given,
    Site,
    adding,
    deleting,
    incrementing,
    refused,
    replacing,
)


def found_by(site: Site, name: str, value: bytes) -> list[str]:
    """The entries of an equality index."""
    kind = site.core.schema.description(name).type
    assert kind.equality is not None
    term = keys.equality(site.core.catalogue.number_of_type(name), kind.equality.normalise(value))
    with site.core.store.snapshot() as snapshot:
        return [dn_of(site, snapshot, entry) for entry in snapshot.ids(term)]


def dn_of(site: Site, snapshot: Snapshot, entry: bytes) -> str:
    data = snapshot.entry(entry)
    assert data is not None
    return site.core.state_in(snapshot).names.dn(snapshot, data).decode()


# --- add ---------------------------------------------------------------------------------


def test_add_a_value_and_an_attribute(site: Site) -> None:
    site.modify(BOB, adding("Description", "second"), adding("title", "chief", "cook"))
    assert site.values(BOB, "description") == ["first of all", "second"]
    assert site.values(BOB, "title") == ["chief", "cook"]
    # A new attribute comes last of what is stored.
    assert [a.type for a in site.read(BOB).attributes][-3:] == ["description", "title", "hostServer"]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (("FIRST  of all",), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        (("x", "X"), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        ((), ResultCode.PROTOCOL_ERROR),
        ((b"\xff",), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
    ],
)
def test_values_that_can_not_be_added(site: Site, values: tuple[str | bytes, ...], code: ResultCode) -> None:
    with refused(code):
        site.modify(BOB, adding("description", *values))


def test_values_without_an_equality_rule_come_and_go_together(site: Site) -> None:
    photos = (b"\xff\xd8\xff one", b"\xff\xd8\xff two")
    site.modify(BOB, adding("jpegPhoto", *photos))
    for single in (adding("jpegPhoto", b"\xff\xd8\xff three"), deleting("jpegPhoto", photos[0])):
        with refused(ResultCode.INAPPROPRIATE_MATCHING):
            site.modify(BOB, single)
    site.modify(BOB, replacing("jpegPhoto", photos[1]))
    site.modify(BOB, deleting("jpegPhoto"))


def test_a_second_value_of_a_single_one(site: Site) -> None:
    with refused(ResultCode.CONSTRAINT_VIOLATION):
        site.modify(BOB, adding("preferredLanguage", "de"), adding("preferredLanguage", "fr"))
    # Only what comes of it all counts.
    site.modify(BOB, adding("preferredLanguage", "de"))
    site.modify(BOB, adding("preferredLanguage", "fr"), deleting("preferredLanguage", "de"))
    assert site.values(BOB, "preferredLanguage") == ["fr"]


def test_members_of_a_large_group(site: Site) -> None:
    """Far more values than are compared one by one: the index tells what is there."""
    names = [f"cn=n{number},o=example" for number in range(50)]
    site.modify(STAFF, adding("member", *names))
    with refused(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS):
        site.modify(STAFF, adding("member", "CN=N7, O=example"))
    site.modify(STAFF, deleting("member", "CN=N7,o=example"), adding("member", names[7]))
    with refused(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS):
        site.modify(STAFF, deleting("member", names[3]), adding("member", names[4]))
    site.modify(STAFF, adding("member", "cn=another,o=example"))
    assert len(site.values(STAFF, "member")) == 53
    assert found_by(site, "member", names[7].encode()) == [STAFF]


# --- delete ------------------------------------------------------------------------------


def test_delete_a_value_by_its_rule(site: Site) -> None:
    site.modify(BOB, adding("description", "b", "c"))
    site.modify(BOB, deleting("description", "B", "First Of All"))
    assert site.values(BOB, "description") == ["c"]


def test_delete_all_values(site: Site) -> None:
    site.modify(BOB, adding("title", "a", "b"))
    site.modify(BOB, deleting("title", "a", "B"), deleting("description"))
    assert site.values(BOB, "title") == site.values(BOB, "description") == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (deleting("title"), ResultCode.NO_SUCH_ATTRIBUTE),
        (deleting("title", "x"), ResultCode.NO_SUCH_ATTRIBUTE),
        (deleting("description", "x"), ResultCode.NO_SUCH_ATTRIBUTE),
        (deleting("description", "First of all", "first of all"), ResultCode.NO_SUCH_ATTRIBUTE),
        (deleting("description", "x", "x"), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        (deleting("mail", "\u00e9@example.com"), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
    ],
)
def test_values_that_can_not_be_deleted(site: Site, wrong: Change, code: ResultCode) -> None:
    with refused(code):
        site.modify(BOB, wrong)


# --- replace, increment ------------------------------------------------------------------


def test_replace(site: Site) -> None:
    site.modify(BOB, replacing("description", "z", "a"), replacing("title", "new"), replacing("street"))
    assert site.values(BOB, "description") == ["z", "a"]
    assert site.values(BOB, "title") == ["new"]
    site.modify(BOB, replacing("title"))
    assert site.values(BOB, "title") == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (replacing("description", "x", "X"), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        (replacing("mail", "\u00e9"), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (replacing("preferredLanguage", "de", "fr"), ResultCode.CONSTRAINT_VIOLATION),
        (replacing("nothing", "x"), ResultCode.UNDEFINED_ATTRIBUTE_TYPE),
        (replacing("cn;nothing", "x"), ResultCode.UNDEFINED_ATTRIBUTE_TYPE),
        (replacing("modifyTimestamp", "20200101000000Z"), ResultCode.CONSTRAINT_VIOLATION),
        (deleting("entryUUID"), ResultCode.CONSTRAINT_VIOLATION),
        (replacing("hasSubordinates", "TRUE"), ResultCode.CONSTRAINT_VIOLATION),
        (replacing("supportedControl", "1.2.3"), ResultCode.CONSTRAINT_VIOLATION),
        (replacing("objectClass;lang-de", "top"), ResultCode.CONSTRAINT_VIOLATION),
    ],
)
def test_what_can_not_be_replaced(site: Site, wrong: Change, code: ResultCode) -> None:
    with refused(code):
        site.modify(BOB, wrong)


@pytest.fixture
def counted(site: Site) -> str:
    dn = "uid=counted,o=example"
    given: Given = {"objectClass": ["account", "extensibleObject"], "uid": "counted", "uidNumber": "1000"}
    site.add(dn, given)
    return dn


@pytest.mark.parametrize(("by", "result"), [("1", "1001"), ("-1001", "-1"), ("0", "1000"), ("9" * 30, None)])
def test_increment(site: Site, counted: str, by: str, result: str | None) -> None:
    site.modify(counted, incrementing("uidNumber", by))
    assert site.values(counted, "uidNumber") == [result or str(1000 + int(by))]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (incrementing("uidNumber"), ResultCode.PROTOCOL_ERROR),
        (incrementing("uidNumber", "1", "2"), ResultCode.PROTOCOL_ERROR),
        (incrementing("uidNumber", "x"), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (incrementing("uidNumber", "+1"), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (incrementing("uidNumber", "9" * 5000), ResultCode.CONSTRAINT_VIOLATION),
        (incrementing("uid", "1"), ResultCode.CONSTRAINT_VIOLATION),
    ],
)
def test_what_can_not_be_incremented(site: Site, counted: str, wrong: Change, code: ResultCode) -> None:
    with refused(code):
        site.modify(counted, wrong)


def test_increment_what_is_not_there(site: Site, counted: str) -> None:
    site.modify(counted, deleting("uidNumber"))
    with refused(ResultCode.NO_SUCH_ATTRIBUTE):
        site.modify(counted, incrementing("uidNumber", "1"))


# --- the entry as a whole ----------------------------------------------------------------


def test_all_or_nothing(site: Site) -> None:
    before = site.read(BOB, "*", "+")
    with refused(ResultCode.NO_SUCH_ATTRIBUTE):
        site.modify(BOB, replacing("description", "x"), deleting("title"))
    assert site.read(BOB, "*", "+") == before


def test_changes_see_those_before_them(site: Site) -> None:
    site.modify(BOB, adding("title", "a"), adding("title", "b"), deleting("title", "a"))
    assert site.values(BOB, "title") == ["b"]
    site.modify(BOB, deleting("title"), adding("title", "c"), replacing("title"), adding("title", "d"))
    assert site.values(BOB, "title") == ["d"]


def test_operational_attributes(site: Site) -> None:
    before = {a.type: a.values for a in site.read(BOB, "+").attributes}
    site.modify(BOB, replacing("description", "x"))
    after = {a.type: a.values for a in site.read(BOB, "+").attributes}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"modifyTimestamp", "entryCSN"}
    assert after["entryCSN"] > before["entryCSN"]


@pytest.mark.parametrize("same", [replacing("description", "first of all"), adding("title", "x"), None])
def test_what_changes_nothing_is_a_modification_too(site: Site, same: Change | None) -> None:
    before = site.values(BOB, "entryCSN")
    changes = () if same is None else (same, deleting("title", "x")) if same.type == "title" else (same,)
    site.modify(BOB, *changes)
    assert site.values(BOB, "entryCSN") > before
    assert site.log()[-1].kind is Kind.MODIFY


def test_modified_tells_whether_something_changes(site: Site) -> None:
    core = site.core
    with core.store.write() as txn:
        entry = find(txn, key_of(BOB, core.schema))
        assert entry is not None
        data = txn.entry(entry)
        assert data is not None
        state = core.state_in(txn)
        assert modified(core, txn, state, entry, data, (replacing("description", "first of all"),)) is None
        assert modified(core, txn, state, entry, data, (replacing("description", "First"),)) is not None


def test_values_in_the_name_stay(site: Site) -> None:
    for wrong in (deleting("uid"), deleting("uid", "bob"), replacing("uid", "robert")):
        with refused(ResultCode.NOT_ALLOWED_ON_RDN):
            site.modify(BOB, wrong)
    site.modify(BOB, adding("uid", "robert"))
    site.modify(BOB, replacing("uid", "rob", "BOB"))
    assert site.values(BOB, "uid") == ["rob", "BOB"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ((deleting("sn"),), ResultCode.OBJECT_CLASS_VIOLATION),
        ((adding("dc", "x"),), ResultCode.OBJECT_CLASS_VIOLATION),
        ((deleting("objectClass"),), ResultCode.OBJECT_CLASS_VIOLATION),
        ((deleting("objectClass", "CommuniGateAccount"),), ResultCode.OBJECT_CLASS_MODS_PROHIBITED),
        ((adding("objectClass", "organizationalUnit"),), ResultCode.OBJECT_CLASS_VIOLATION),
        ((adding("objectClass", "dcObject"),), ResultCode.OBJECT_CLASS_VIOLATION),
        ((adding("objectClass", "nothing"),), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        ((adding("objectClass", "dcObject"), adding("dc", "x")), None),
        ((deleting("sn"), adding("sn", "Other")), None),
        ((deleting("objectClass", "person"),), None),
        ((replacing("objectClass", "communigateaccount"),), None),
    ],
)
def test_schema(site: Site, changes: tuple[Change, ...], code: ResultCode | None) -> None:
    if code is None:
        site.modify(BOB, *changes)
        return
    with refused(code):
        site.modify(BOB, *changes)


# --- indexes -----------------------------------------------------------------------------


def test_indexes_follow(site: Site) -> None:
    site.modify(BOB, adding("mail", "robert@example.com"), replacing("cn", "Robert", "Bob"))
    assert found_by(site, "mail", b"ROBERT@example.com") == [BOB]
    assert found_by(site, "cn", b"bob") == [BOB]
    site.modify(BOB, deleting("mail"), replacing("cn", "Robert"))
    assert found_by(site, "mail", b"robert@example.com") == []
    assert found_by(site, "cn", b"bob") == []


def test_a_term_that_another_description_keeps(site: Site) -> None:
    site.modify(BOB, adding("cn;lang-de", "Robert", "Example"), adding("cn", "Robert"))
    site.modify(BOB, deleting("cn", "robert"))
    assert found_by(site, "cn", b"robert") == [BOB]
    site.modify(BOB, deleting("cn;lang-de", "robert"))
    assert found_by(site, "cn", b"robert") == []
    site.modify(BOB, deleting("cn;lang-de"))
    assert site.values(BOB, "cn;lang-de") == []


def test_a_description_that_is_new_to_the_store(site: Site) -> None:
    """Inside one transaction its number is nobody's knowledge yet."""
    core = site.core

    def twice(text: str) -> None:
        with core.store.write() as txn:
            for value in ("eins", "zwei"):
                request = ModifyRequest(BOB, (replacing(text, value), adding(text, f"{value} mehr")))
                modify(core, txn, site.administrator, request)
            assert [a.type for a in site.read_in(txn, BOB).attributes].count(text) == 1
            with pytest.raises(LDAPError):
                modify(core, txn, site.administrator, ModifyRequest(BOB, (adding(text, "ZWEI"),)))

    twice("ou;lang-de")
    twice("title;lang-de;x-b")
    assert site.values(BOB, "ou;lang-de") == ["zwei", "zwei mehr"]


# --- placements --------------------------------------------------------------------------


def test_host_is_an_ordinary_attribute(site: Site) -> None:
    site.modify(BOB, replacing("hostServer", "be1"), adding("oldHostServer", "be2"))
    assert site.values(BOB, "hostServer") == ["be1"]
    assert site.values(BOB, "oldHostServer") == ["be2"]
    site.modify(BOB, deleting("oldHostServer", "BE2"))
    assert site.values(BOB, "oldHostServer") == []
    site.modify(BOB, deleting("hostServer"))
    assert site.values(BOB, "hostServer") == []
    site.modify(BOB, adding("hostServer", "be9"))
    assert site.values(BOB, "hostServer") == ["be9"]


def test_a_host_that_another_entry_has_is_the_same_placement(site: Site) -> None:
    site.modify(BOB, replacing("hostServer", "be1"))
    with site.core.store.snapshot() as snapshot:
        (number,) = snapshot.placements_of_host(b"be1")
        assert snapshot.members_count(number) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ((adding("hostServer", "be3"),), ResultCode.CONSTRAINT_VIOLATION),
        ((adding("hostServer", "BE2"),), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS),
        ((replacing("hostServer", "a", "b"),), ResultCode.CONSTRAINT_VIOLATION),
        ((replacing("hostServer", "x" * 256),), ResultCode.CONSTRAINT_VIOLATION),
        ((replacing("hostServer", "h\u00f6st"),), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        ((deleting("hostServer", "be1"),), ResultCode.NO_SUCH_ATTRIBUTE),
        ((deleting("oldHostServer"),), ResultCode.NO_SUCH_ATTRIBUTE),
        ((deleting("hostServer"), adding("hostServer", "be3")), None),
    ],
)
def test_hosts(site: Site, changes: tuple[Change, ...], code: ResultCode | None) -> None:
    if code is None:
        site.modify(BOB, *changes)
        assert site.values(BOB, "hostServer") == ["be3"]
        return
    with refused(code):
        site.modify(BOB, *changes)


def test_hosts_where_no_class_allows_them(site: Site) -> None:
    with refused(ResultCode.OBJECT_CLASS_VIOLATION):
        site.modify(BASE, adding("hostServer", "be1"))


def test_another_spelling_of_a_host(site: Site) -> None:
    site.modify(BOB, replacing("hostServer", "BE2"))
    assert site.values(BOB, "hostServer") == ["BE2"]


# --- names and rights --------------------------------------------------------------------


def test_what_is_not_there(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=DOMAIN):
        site.modify(f"uid=nobody,{DOMAIN}", replacing("description", "x"))
    with refused(ResultCode.INVALID_DN_SYNTAX):
        site.modify("bob", replacing("description", "x"))


@pytest.mark.parametrize("dn", ["", "cn=Subschema"])
def test_the_servers_own(site: Site, dn: str) -> None:
    with refused(ResultCode.UNWILLING_TO_PERFORM):
        site.modify(dn, replacing("description", "x"))


def test_rights(site: Site) -> None:
    change = replacing("description", "x")
    with refused(ResultCode.STRONGER_AUTH_REQUIRED):
        site.modify(BOB, change, identity=ANONYMOUS)
    for dn in (ALICE, BOB, "uid=nobody,o=example"):
        with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
            site.modify(dn, change, identity=site.alice)
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        site.modify(ALICE, identity=site.alice)


def test_ones_own_password(site: Site) -> None:
    new = b"{SSHA}new"
    site.modify(ALICE, replacing("userPassword", new), identity=site.alice)
    assert site.values(ALICE, "userPassword") == [new.decode()]
    assert site.values(ALICE, "modifiersName") == [ALICE]
    site.modify(
        ALICE, deleting("userPassword", new), adding("userPassword", b"{SSHA}other"), identity=site.alice
    )
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        site.modify(BOB, replacing("userPassword", new), identity=site.alice)
    with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
        site.modify(ALICE, replacing("userPassword", new), replacing("title", "x"), identity=site.alice)
