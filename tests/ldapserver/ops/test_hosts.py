"""Rehost and restore: the table at the end of the facts on CommuniGate Pro, as readers see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS
from ldapserver.messages import BulkReport, BulkRequest, CompareRequest, Entry, Rehost, Restore, Selection
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from storage import csn
from storage.changes import Kind
from tests.ldapserver.asking import ACCOUNT, ask, request
from tests.ldapserver.ops.site import Clock, refused

ONE, TWO = "cn=one.example", "cn=two.example"


def account(name: str, host: str | None = None, **more: str) -> dict[str, str | list[str]]:
    given: dict[str, str | list[str]] = {
        "objectClass": list(ACCOUNT),
        "uid": name,
        "cn": name,
        "sn": name,
        **more,
    }
    return {**given, "hostServer": host} if host else given


class Site(EphemeralDirectory):
    """Two domains; the first character of an account's name says which host it began on."""

    def __init__(self) -> None:
        super().__init__(settings=evolve(SETTINGS, clock=Clock()))
        self.add(ONE, {"objectClass": "CommuniGateDomain", "hostServer": "a"})
        self.add(TWO, {"objectClass": "CommuniGateDomain"})
        for domain in (ONE, TWO):
            for name in ("a1", "a2", "b1", "c1"):
                self.add(f"uid={name},{domain}", account(name, name[0]))
        self.add(f"uid=ag,{ONE}", {"objectClass": "CommuniGateGroup", "uid": "ag", "hostServer": "a"})
        self.add(f"uid=nowhere,{ONE}", account("nowhere"))

    def run(self, bulk: BulkRequest) -> BulkReport:
        return self.local.bulk(self.local.core.administrator, bulk).result()

    def rehost(self, source: str, target: str, dry_run: bool = False, **selection: object) -> int:
        made = Selection(**selection)  # type: ignore[arg-type]
        report = self.run(Rehost(source, target, made, dry_run))
        assert report.matched == report.changed
        assert bool(report.csn) == bool(report.changed and not dry_run)
        return report.changed

    def give_back(self, source: str, dry_run: bool = False, **selection: object) -> int:
        made = Selection(**selection)  # type: ignore[arg-type]
        return self.run(Restore(source, made, dry_run)).changed

    def hosts(self) -> dict[str, tuple[str, str]]:
        """hostServer and oldHostServer of all entries that have one, by their first RDN and domain."""
        return {
            entry.dn.replace("uid=", "").replace("cn=", "").replace(".example", ""): (
                value(entry, "hostServer"),
                value(entry, "oldHostServer"),
            )
            for entry in self.search("(|(hostServer=*)(oldHostServer=*))")
        }

    def found(self, filter: str) -> set[str]:
        return set(ask(self.local, request(filter)).dns)


def value(entry: Entry, name: str) -> str:
    return "".join(found.decode() for item in entry.attributes if item.type == name for found in item.values)


def user_attributes(directory: EphemeralDirectory) -> list[Entry]:
    return directory.search(
        "(objectClass=*)", attributes=("*", "entryUUID", "createTimestamp", "creatorsName")
    )


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


BEFORE = {
    "one": ("a", ""),
    **{f"{name},{domain}": (name[0], "") for domain in ("one", "two") for name in ("a1", "a2", "b1", "c1")},
    "ag,one": ("a", ""),
}


def moved(**changed: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """``BEFORE``, with the accounts of an original host elsewhere."""
    return {name: changed.get("a" if name == "one" else name[0], hosts) for name, hosts in BEFORE.items()}


# --- whole hosts -----------------------------------------------------------------------


def test_failover_moves_everything_of_a_host_and_remembers_it(site: Site) -> None:
    assert site.hosts() == BEFORE
    assert site.rehost("a", "b") == 6
    assert site.hosts() == moved(a=("b", "a"))


def test_restore_gives_back_what_was_there(site: Site) -> None:
    before = user_attributes(site)
    site.rehost("a", "b")
    assert user_attributes(site) != before
    assert site.give_back("a") == 6
    assert user_attributes(site) == before
    assert site.hosts() == BEFORE


def test_a_second_failure_keeps_the_original_host(site: Site) -> None:
    site.rehost("a", "b")
    assert site.rehost("b", "c") == 8
    assert site.hosts() == moved(a=("c", "a"), b=("c", "b"))


def test_restoring_the_second_host_leaves_the_first_ones_accounts(site: Site) -> None:
    site.rehost("a", "b")
    site.rehost("b", "c")
    assert site.give_back("b") == 2
    assert site.hosts() == moved(a=("c", "a"))
    assert site.give_back("a") == 6
    assert site.hosts() == BEFORE


def test_a_failover_back_to_the_original_forgets_it(site: Site) -> None:
    """Whoever rehosts to the original host has restored."""
    site.rehost("a", "b", base=ONE)
    assert site.rehost("b", "a", filter=parse_filter("(oldHostServer=a)")) == 4
    assert site.hosts() == BEFORE


def test_accounts_made_meanwhile_stay_on_the_covering_host(site: Site) -> None:
    site.rehost("a", "b")
    site.add(f"uid=b9,{ONE}", account("b9", "b"))
    site.give_back("a")
    assert site.hosts() == {**BEFORE, "b9,one": ("b", "")}


def test_accounts_made_on_a_host_that_is_down_move_with_its_next_failover(site: Site) -> None:
    site.rehost("a", "b")
    site.add(f"uid=a9,{ONE}", account("a9", "a"))
    assert site.rehost("a", "c") == 1
    assert site.hosts() == {**moved(a=("b", "a")), "a9,one": ("c", "a")}
    assert site.give_back("a") == 7
    assert site.hosts() == {**BEFORE, "a9,one": ("a", "")}


def test_host_names_compare_as_the_schema_says_and_keep_their_spelling(site: Site) -> None:
    site.add(f"uid=x,{ONE}", account("x", "A"))
    assert site.rehost("a", "B") == 7
    assert site.hosts()["x,one"] == ("B", "A")
    assert site.hosts()["a1,one"] == ("B", "a")
    assert site.give_back("A") == 7
    assert site.hosts() == {**BEFORE, "x,one": ("A", "")}


# --- parts of a host ---------------------------------------------------------------------


def test_a_host_is_spread_over_siblings_by_domain(site: Site) -> None:
    assert site.rehost("a", "b", base=ONE) == 4
    assert site.rehost("a", "c", base=TWO) == 2
    hosts = site.hosts()
    assert {hosts["a1,one"], hosts["ag,one"], hosts["one"]} == {("b", "a")}
    assert {hosts["a1,two"], hosts["a2,two"]} == {("c", "a")}
    assert site.give_back("a") == 6
    assert site.hosts() == BEFORE


def test_one_account_is_a_base_too(site: Site) -> None:
    assert site.rehost("a", "b", base=f"uid=a1,{ONE}") == 1
    assert site.hosts() == {**BEFORE, "a1,one": ("b", "a")}
    assert site.give_back("a", base=f"uid=a2,{ONE}") == 0
    assert site.give_back("a", base=f"uid=a1,{ONE}") == 1
    assert site.hosts() == BEFORE


def test_by_filter(site: Site) -> None:
    assert site.rehost("a", "c", filter=parse_filter("(uid=a1)")) == 2
    hosts = site.hosts()
    assert hosts["a1,one"] == hosts["a1,two"] == ("c", "a")
    assert hosts["a2,one"] == ("a", "")


def test_by_filter_and_base(site: Site) -> None:
    assert site.rehost("a", "c", base=TWO, filter=parse_filter("(uid=a1)")) == 1
    assert site.hosts() == {**BEFORE, "a1,two": ("c", "a")}


def test_by_a_list_of_accounts(site: Site) -> None:
    accounts = (f"UID=A1,{ONE}", "a2@two.example", "b1@one.example", f"uid=a1,{ONE}")
    assert site.rehost("a", "c", accounts=accounts) == 2
    assert site.hosts() == {**BEFORE, "a1,one": ("c", "a"), "a2,two": ("c", "a")}
    assert site.give_back("a", accounts=("a1@one.example",)) == 1
    assert site.hosts() == {**BEFORE, "a2,two": ("c", "a")}


def test_an_account_that_is_not_there_stops_it_all(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT):
        site.rehost("a", "c", accounts=("a1@one.example", "nobody@one.example"))
    assert site.hosts() == BEFORE


def test_no_accounts_are_no_accounts(site: Site) -> None:
    assert site.rehost("a", "c", accounts=()) == 0
    assert site.hosts() == BEFORE


def test_a_part_joins_the_rest_when_the_host_fails(site: Site) -> None:
    site.rehost("a", "b", filter=parse_filter("(uid=a1)"))
    assert site.rehost("a", "b") == 4
    assert site.hosts() == moved(a=("b", "a"))
    assert site.rehost("b", "c") == 8
    assert site.give_back("a") == 6
    assert site.hosts() == moved(b=("c", "b"))
    assert site.give_back("b") == 2
    assert site.hosts() == BEFORE


# --- again, dry, refused -----------------------------------------------------------------


def test_a_repeat_changes_nothing_and_says_so(site: Site) -> None:
    site.rehost("a", "b")
    before = site.search(attributes=("*", "+"))
    assert site.run(Rehost("a", "b")) == BulkReport(0, 0, "", False)
    assert site.run(Restore("c")) == BulkReport(0, 0, "", False)
    assert site.search(attributes=("*", "+")) == before


def test_a_dry_run_counts(site: Site) -> None:
    before = site.search(attributes=("*", "+"))
    assert site.rehost("a", "b", dry_run=True) == 6
    assert site.rehost("a", "b", dry_run=True, filter=parse_filter("(uid=a1)")) == 2
    assert site.give_back("a", dry_run=True) == 0
    assert site.search(attributes=("*", "+")) == before


@pytest.mark.parametrize(
    ("bulk", "code"),
    [
        (Rehost("a", "A"), ResultCode.UNWILLING_TO_PERFORM),
        (Rehost("a", ""), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (Rehost("a", "bé"), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (Rehost("a", "x" * 256), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (Restore(""), ResultCode.INVALID_ATTRIBUTE_SYNTAX),
        (Rehost("a", "b", Selection("nonsense")), ResultCode.INVALID_DN_SYNTAX),
    ],
)
def test_what_makes_no_sense_is_refused(site: Site, bulk: BulkRequest, code: ResultCode) -> None:
    with refused(code):
        site.run(bulk)
    assert site.hosts() == BEFORE


def test_a_base_that_is_not_there_is_refused(site: Site) -> None:
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=ONE):
        site.rehost("a", "b", base=f"uid=nobody,{ONE}")


def test_moves_are_the_administrators(site: Site) -> None:
    for bulk in (Rehost("a", "b"), Restore("a")):
        with pytest.raises(LDAPError) as caught:
            site.local.bulk(ANONYMOUS, bulk).result()
        assert caught.value.code is ResultCode.INSUFFICIENT_ACCESS_RIGHTS


# --- as readers see it --------------------------------------------------------------------


def test_filters_see_placements(site: Site) -> None:
    site.rehost("a", "b", base=ONE)
    covered = {ONE, f"uid=a1,{ONE}", f"uid=a2,{ONE}", f"uid=ag,{ONE}"}
    own = {f"uid=b1,{ONE}", f"uid=b1,{TWO}"}
    assert site.found("(hostServer=b)") == site.found("(hostServer=B)") == covered | own
    assert site.found("(oldHostServer=*)") == site.found("(oldHostServer=A)") == covered
    assert site.found("(&(hostServer=b)(!(oldHostServer=*)))") == own
    assert site.found("(hostServer=b*)") == covered | own
    assert site.found("(hostServer=*x*)") == set()
    assert site.found("(hostServer:=b)") == covered | own
    assert site.found("(&(objectClass=CommuniGateGroup)(hostServer=b))") == {f"uid=ag,{ONE}"}
    assert site.found("(!(hostServer=*))") == {TWO, f"uid=nowhere,{ONE}"}


def test_compare_sees_placements(site: Site) -> None:
    site.rehost("a", "b")

    def compare(dn: str, name: str, wanted: str) -> ResultCode:
        asked = CompareRequest(dn, name, wanted.encode())
        return site.local.compare(site.local.core.administrator, asked, ()).code

    for dn in (ONE, f"uid=a1,{TWO}"):
        assert compare(dn, "hostServer", "B") is ResultCode.COMPARE_TRUE
        assert compare(dn, "oldHostServer", "a") is ResultCode.COMPARE_TRUE
        assert compare(dn, "hostServer", "a") is ResultCode.COMPARE_FALSE
    with refused(ResultCode.NO_SUCH_ATTRIBUTE):
        compare(f"uid=b1,{TWO}", "oldHostServer", "a")


@pytest.mark.parametrize("selection", [Selection(), Selection(filter=parse_filter("(uid=a1)"))])
def test_a_move_is_a_modification_of_what_moved(site: Site, selection: Selection) -> None:
    """Whole placements and single entries alike."""

    def stamps(dn: str) -> list[str]:
        return [
            *site.values(dn, "entryCSN"),
            *site.values(dn, "modifyTimestamp"),
            *site.values(dn, "modifiersName"),
        ]

    directory = site.local
    site.modify(f"uid=a1,{ONE}", replace={"description": "by someone"})
    before, others = stamps(f"uid=a1,{ONE}"), stamps(f"uid=b1,{ONE}")
    created = site.values(f"uid=a1,{ONE}", "createTimestamp")
    report = directory.bulk(evolve(directory.core.administrator, dn="cn=mover"), Rehost("a", "b", selection))
    csn_text = report.result().csn
    after = stamps(f"uid=a1,{ONE}")
    assert all(new > old for new, old in zip(after[:2], before[:2], strict=True))
    assert after[0] == csn_text
    assert after[2] == "cn=mover"
    assert site.values(f"uid=a1,{ONE}", "createTimestamp") == created
    assert stamps(f"uid=b1,{ONE}") == others
    site.modify(f"uid=a1,{ONE}", replace={"description": "by someone else"})
    latest = stamps(f"uid=a1,{ONE}")
    assert latest[0] > after[0]
    assert latest[2] == "cn=admin"


def test_the_change_table_tells_of_a_move(site: Site) -> None:
    report = site.run(Rehost("a", "b"))
    with site.local.core.store.snapshot() as snapshot:
        last = list(snapshot.changes())[-1]
    assert last.kind is Kind.MOVE
    assert csn.text(last.csn) == report.csn
    assert len(last.subjects) == 3  # the domain itself, and what is in each of the two
    report = site.run(Restore("a", Selection(filter=parse_filter("(uid=a1)"))))
    with site.local.core.store.snapshot() as snapshot:
        last = list(snapshot.changes())[-1]
    assert last.kind is Kind.MODIFY
    assert len(last.subjects) == 2


def test_a_reader_sees_all_of_a_move_or_nothing(site: Site) -> None:
    asked = request("(hostServer=*)", attributes=("hostServer",))
    answers = site.local.search(site.local.core.administrator, asked, ())
    next(answers)
    site.rehost("a", "b")
    rest = [answer for answer in answers if answer]
    assert sum(b"\x04\x01a" in answer for answer in rest) + 1 == 6


def test_an_ordinary_modification_moves_one_entry(site: Site) -> None:
    site.modify(f"uid=a1,{ONE}", replace={"hostServer": "c"})
    assert site.hosts() == {**BEFORE, "a1,one": ("c", "")}
    site.modify(f"uid=a1,{ONE}", replace={"hostServer": [], "oldHostServer": "b"})
    assert site.hosts()["a1,one"] == ("", "b")
    assert site.give_back("b") == 1
    assert site.hosts()["a1,one"] == ("b", "")


def test_an_entry_that_moves_to_another_domain_moves_with_it(site: Site) -> None:
    """Its placement is one of its new siblings'."""
    site.rename(f"uid=a1,{ONE}", "uid=a3", TWO)
    assert site.rehost("a", "b", base=ONE) == 3
    assert site.hosts()["a3,two"] == ("a", "")
    assert site.rehost("a", "c", base=TWO) == 3
    assert site.hosts()["a3,two"] == ("c", "a")


def test_a_domain_that_moves_takes_its_accounts_along(site: Site) -> None:
    site.add("o=new", {"objectClass": "organization"})
    site.rename(ONE, "cn=first.example", "o=new")
    assert site.rehost("a", "b", base="o=new") == 4
    assert site.give_back("a", base="cn=first.example,o=new") == 4
