"""Bulk modify: what modify does to each entry, in one transaction, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unittest.mock import patch

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapserver.core import Settings
from ldapserver.extended import decode_bulk_report, encode_bulk_request
from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS, Peer
from ldapserver.messages import (
    BulkModify,
    BulkReport,
    Change,
    Entry,
    ModifyOp,
    ModifyRequest,
    Result,
    Selection,
)
from ldapserver.ops import bulk as bulk_module
from ldapserver.passwords import is_hashed
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from storage.changes import Kind
from tests.ldapserver.asking import ACCOUNT
from tests.ldapserver.ops.site import Clock, adding, change, deleting, incrementing, refused, replacing

DOMAIN = "cn=example.com"
ACCOUNTS = Selection(filter=parse_filter("(objectClass=CommuniGateAccount)"))


def fill(directory: EphemeralDirectory) -> None:
    """Accounts of several shapes; one is named by its description, one by two attributes."""
    directory.add(DOMAIN, {"objectClass": "CommuniGateDomain", "description": "the domain"})
    directory.add(f"uid=a,{DOMAIN}", person("a", description="first", hostServer="be1"))
    directory.add(f"uid=b,{DOMAIN}", person("b", description=["first", "second"], title="Dr"))
    directory.add(f"uid=c,{DOMAIN}", person("c", title="Dr", mail="c@example.com", hostServer="be2"))
    directory.add(f"uid=d,{DOMAIN}", {**person("d", description="new"), "title;lang-de": "Doktor"})
    directory.add(f"description=first,{DOMAIN}", person("e"))
    directory.add(f"uid=f+title=Dr,{DOMAIN}", person("f"))


def person(name: str, **more: str | list[str]) -> dict[str, str | list[str]]:
    return {"objectClass": list(ACCOUNT), "uid": name, "cn": name.title(), "sn": "Example", **more}


def made(settings: Settings = SETTINGS) -> EphemeralDirectory:
    directory = EphemeralDirectory(settings=evolve(settings, clock=Clock()))
    fill(directory)
    return directory


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with made() as directory:
        yield directory


def run(
    directory: EphemeralDirectory, *changes: Change, selection: Selection = ACCOUNTS, dry_run: bool = False
) -> BulkReport:
    wanted = BulkModify(selection, changes, dry_run)
    return directory.local.bulk(directory.local.core.administrator, wanted).result()


def everything(directory: EphemeralDirectory) -> list[Entry]:
    return directory.search(attributes=("*", "+"))


def contents(directory: EphemeralDirectory) -> list[Entry]:
    return directory.search()


def kept(directory: EphemeralDirectory, *changes: Change, selection: Selection = ACCOUNTS) -> LDAPError:
    """What refuses the changes, which leaves all as it was."""
    before = everything(directory)
    with pytest.raises(LDAPError) as caught:
        run(directory, *changes, selection=selection)
    assert everything(directory) == before
    return caught.value


# --- what it does ----------------------------------------------------------------------


def test_all_that_is_selected_changes_at_once(directory: EphemeralDirectory) -> None:
    report = run(directory, replacing("employeeType", "staff"))
    assert (report.matched, report.changed, report.dry_run) == (6, 6, False)
    for entry in directory.search("(objectClass=CommuniGateAccount)", attributes=("*", "+")):
        values = {item.type: item.values for item in entry.attributes}
        assert values["employeeType"] == (b"staff",)
        assert values["entryCSN"] == (report.csn.encode(),)
        assert values["modifiersName"] == (b"cn=admin",)
    assert directory.values(DOMAIN, "employeeType") == []


def test_a_repeat_changes_nothing_and_says_so(directory: EphemeralDirectory) -> None:
    run(directory, replacing("employeeType", "staff"))
    before = everything(directory)
    assert run(directory, replacing("employeeType", "staff")) == BulkReport(6, 0, "", False)
    assert everything(directory) == before


def test_only_what_differs_is_changed(directory: EphemeralDirectory) -> None:
    assert run(directory, replacing("title", "Dr")).changed == 3
    assert run(directory, replacing("title;lang-de")).changed == 1


@pytest.mark.parametrize("value", ["staff", "new"])
def test_a_dry_run_counts_and_leaves_no_trace(directory: EphemeralDirectory, value: str) -> None:
    before = everything(directory)
    with directory.local.core.store.snapshot() as snapshot:
        number, rows = snapshot.number, list(snapshot.description_rows())
    report = run(directory, replacing("description;x-unheard-of", value), dry_run=True)
    assert report == BulkReport(6, 6, "", True)
    assert everything(directory) == before
    with directory.local.core.store.snapshot() as snapshot:
        assert list(snapshot.description_rows()) == rows
        assert snapshot.number - number <= 1


def test_nothing_selected(directory: EphemeralDirectory) -> None:
    nobody = Selection(filter=parse_filter("(uid=nobody)"))
    assert run(directory, replacing("title", "x"), selection=nobody) == BulkReport(0, 0, "", False)


def test_by_base_and_by_accounts(directory: EphemeralDirectory) -> None:
    one = Selection(base=f"uid=a,{DOMAIN}")
    assert run(directory, replacing("title", "x"), selection=one).changed == 1
    some = Selection(accounts=("a@example.com", "c@example.com", f"uid=b,{DOMAIN}"))
    assert run(directory, replacing("title", "x"), selection=some).changed == 2
    both = Selection(base=DOMAIN, filter=parse_filter("(title=x)"), accounts=(f"uid=b,{DOMAIN}",))
    assert run(directory, replacing("title", "y"), selection=both).changed == 1
    assert directory.values(f"uid=b,{DOMAIN}", "title") == ["y"]


def test_long_lists_of_accounts_are_taken_as_a_set(directory: EphemeralDirectory) -> None:
    directory.load(
        "\n".join(f"dn: uid=n{number},{DOMAIN}\nobjectClass: CommuniGateGroup\n" for number in range(1100))
    )
    accounts = tuple(f"uid=n{number},{DOMAIN}" for number in range(1050))
    selection = Selection(filter=parse_filter("(!(uid=n7))"), accounts=accounts)
    assert run(directory, replacing("description", "x"), selection=selection).changed == 1049


def test_every_kind_of_change(directory: EphemeralDirectory) -> None:
    selection = Selection(filter=parse_filter("(uid=b)"))
    dn = f"uid=b,{DOMAIN}"
    run(directory, adding("mail", "b@example.com"), deleting("description", "FIRST"), selection=selection)
    assert directory.values(dn, "mail") == ["b@example.com"]
    assert directory.values(dn, "description") == ["second"]
    run(directory, replacing("hostServer", "be9"), replacing("title"), selection=selection)
    assert directory.values(dn, "hostServer") == ["be9"]
    assert directory.values(dn, "title") == []
    run(
        directory, adding("objectClass", "extensibleObject"), replacing("uidNumber", "7"), selection=selection
    )
    run(directory, incrementing("uidNumber", "35"), selection=selection)
    assert directory.values(dn, "uidNumber") == ["42"]


def test_indexes_follow(directory: EphemeralDirectory) -> None:
    run(directory, replacing("sn", "Sample"))
    assert len(directory.search("(sn=sample)")) == len(directory.search("(sn=*ampl*)")) == 6
    assert directory.search("(sn=example)") == []


def test_an_attribute_that_an_entry_is_named_by(directory: EphemeralDirectory) -> None:
    """It may be replaced by what the name says, in any spelling."""
    error = kept(directory, replacing("description", "second"))
    assert error.code is ResultCode.NOT_ALLOWED_ON_RDN
    assert "description=first" in error.message
    assert run(directory, replacing("description", "FIRST")).changed == 6
    error = kept(directory, replacing("title"))
    assert (error.code, "uid=f+title=Dr" in error.message) == (ResultCode.NOT_ALLOWED_ON_RDN, True)


def test_the_change_table_has_one_change(directory: EphemeralDirectory) -> None:
    report = run(directory, replacing("l", "x"), selection=Selection(filter=parse_filter("(title=*)")))
    with directory.local.core.store.snapshot() as snapshot:
        last = list(snapshot.changes())[-1]
    assert (last.kind, len(last.subjects)) == (Kind.MODIFY, report.changed)


def test_passwords_are_hashed(directory: EphemeralDirectory) -> None:
    selection = Selection(accounts=("a@example.com", "b@example.com"))
    assert run(directory, replacing("userPassword", "changeme"), selection=selection).changed == 2
    (stored,) = directory.values(f"uid=a,{DOMAIN}", "userPassword")
    assert is_hashed(stored.encode())
    assert directory.bind("a@example.com", "changeme").dn == f"uid=a,{DOMAIN}"


def test_it_is_an_extended_operation_too(directory: EphemeralDirectory) -> None:
    core = directory.local.core
    wanted = encode_bulk_request(BulkModify(ACCOUNTS, (replacing("l", "x"),)))
    answer = directory.local.extended(core.administrator, wanted, (), Peer("test"))
    assert not isinstance(answer, Result)
    result = answer.result()
    assert result.code is ResultCode.SUCCESS
    report = decode_bulk_report(result.value)
    assert (report.matched, report.changed) == (6, 6)


# --- what it refuses -------------------------------------------------------------------


def test_it_is_the_administrators(directory: EphemeralDirectory) -> None:
    for wanted in (replacing("title", "x"), replacing("userPassword", "x")):
        with refused(ResultCode.INSUFFICIENT_ACCESS_RIGHTS):
            directory.local.bulk(ANONYMOUS, BulkModify(ACCOUNTS, (wanted,))).result()


@pytest.mark.parametrize(
    ("change", "code", "entry"),
    [
        (replacing("nonsense", "x"), ResultCode.UNDEFINED_ATTRIBUTE_TYPE, ""),
        (replacing("title", ""), ResultCode.INVALID_ATTRIBUTE_SYNTAX, ""),
        (replacing("employeeNumber", "1", "2"), ResultCode.CONSTRAINT_VIOLATION, ""),
        (replacing("title", "x", "X"), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, ""),
        (replacing("entryUUID", "x"), ResultCode.CONSTRAINT_VIOLATION, "uid=a"),
        (replacing("userPassword;lang-de", "x"), ResultCode.CONSTRAINT_VIOLATION, "uid=a"),
        (replacing("associatedDomain", "x"), ResultCode.OBJECT_CLASS_VIOLATION, "uid=a"),
        (replacing("sn"), ResultCode.OBJECT_CLASS_VIOLATION, "uid=a"),
        (adding("title", "dr"), ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, "uid=b"),
        (deleting("title"), ResultCode.NO_SUCH_ATTRIBUTE, "uid=a"),
        (replacing("objectClass", "CommuniGateGroup"), ResultCode.OBJECT_CLASS_MODS_PROHIBITED, "uid=a"),
        (replacing("uid", "x"), ResultCode.NOT_ALLOWED_ON_RDN, "uid=a"),
    ],
)
def test_errors_name_the_entry_and_leave_all_as_it_was(
    directory: EphemeralDirectory, change: Change, code: ResultCode, entry: str
) -> None:
    error = kept(directory, replacing("employeeType", "x"), change)
    assert error.code is code
    assert error.message.startswith(f"{entry},{DOMAIN}: " if entry else change.type)


def test_a_late_error_undoes_what_went_before(directory: EphemeralDirectory) -> None:
    """Only the domain, which is looked at last, can't have it."""
    everyone = Selection(filter=parse_filter("(|(uid=*)(description=the domain))"))
    error = kept(directory, replacing("employeeType", "x"), selection=everyone)
    assert error.code is ResultCode.OBJECT_CLASS_VIOLATION
    assert DOMAIN in error.message


def test_others_writes_survive_it(directory: EphemeralDirectory) -> None:
    """They share the writer's transaction when they come at the same time."""
    administrator = directory.local.core.administrator
    good = ModifyRequest(f"uid=a,{DOMAIN}", (replacing("title", "kept"),))
    first = directory.local.write(administrator, good, ())
    bad = directory.local.bulk(administrator, BulkModify(ACCOUNTS, (deleting("title", "kept"),)))
    last = directory.local.write(administrator, evolve(good, dn=f"uid=d,{DOMAIN}"), ())
    with refused(ResultCode.NO_SUCH_ATTRIBUTE):
        bad.result()
    assert first.result().code is last.result().code is ResultCode.SUCCESS
    assert directory.values(f"uid=a,{DOMAIN}", "title") == ["kept"]


# --- the quick way and the ordinary one ------------------------------------------------

names = st.sampled_from(["description", "title", "title;lang-de", "employeeType", "l", "sn"])
values = st.lists(
    st.sampled_from(["first", "FIRST", "second", "Dr", "x" * 200, "ü"]), max_size=2, unique_by=str.lower
)
changes = st.lists(
    st.builds(lambda name, found: change(ModifyOp.REPLACE, name, *found), names, values),
    min_size=1,
    max_size=3,
)
filters = st.sampled_from(
    ["(objectClass=CommuniGateAccount)", "(uid=*)", "(description=*)", "(&(uid=*)(title=*))", "(uid=d)"]
)


def outcome(
    directory: EphemeralDirectory, script: Sequence[tuple[list[Change], str]]
) -> tuple[list[object], list[Entry]]:
    reports: list[object] = []
    for wanted, filter in script:
        try:
            selection = Selection(filter=parse_filter(filter))
            reports.append(run(directory, *wanted, selection=selection))
        except LDAPError as error:
            reports.append(error.code)
    return reports, [
        evolve(entry, attributes=tuple(item for item in entry.attributes if item.type != "entryUUID"))
        for entry in everything(directory)
    ]


@settings(max_examples=40)
@given(st.lists(st.tuples(changes, filters), min_size=1, max_size=4))
def test_the_quick_way_is_the_ordinary_one(script: list[tuple[list[Change], str]]) -> None:
    with made() as quick, made() as ordinary:
        quickly = outcome(quick, script)
        with patch.object(bulk_module, "_splices", return_value=None):
            assert outcome(ordinary, script) == quickly
