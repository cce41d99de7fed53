"""Aliases: followed to find the base, in searching, both, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from ldapserver import aliases
from ldapserver.aliases import Aliases
from ldapserver.messages import Deref, Scope
from ldapserver.names import find, key_of
from ldapserver.results import ResultCode
from ldapserver.testing import EphemeralDirectory
from tests.ldapserver.asking import ask, pages, request
from tests.ldapserver.ops.site import refused

ENTRIES = """\
dn: o=one
objectClass: organization

dn: cn=x.example,o=one
objectClass: CommuniGateDomain

dn: uid=alice,cn=x.example,o=one
objectClass: CommuniGateGroup
description: found

dn: uid=al,cn=x.example,o=one
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: UID=Alice, CN=x.example, O=one

dn: uid=ali,cn=x.example,o=one
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: uid=al,cn=x.example,o=one

dn: cn=y.example,o=one
objectClass: CommuniGateDomain

dn: uid=friend,cn=y.example,o=one
objectClass: alias
objectClass: uidObject
uid: friend
aliasedObjectName: uid=alice,cn=x.example,o=one

dn: uid=bob,cn=y.example,o=one
objectClass: CommuniGateGroup
description: found

dn: o=two
objectClass: organization

dn: cn=all,o=two
objectClass: alias
objectClass: extensibleObject
cn: all
aliasedObjectName: cn=y.example,o=one
"""

X, Y = "cn=x.example,o=one", "cn=y.example,o=one"
ALICE, BOB = f"uid=alice,{X}", f"uid=bob,{Y}"
LOOP = """\
dn: cn=a,{0}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: cn=b,{0}

dn: cn=b,{0}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: cn=a,{0}

dn: cn=self,{0}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: cn=self,{0}

dn: cn=below,{0}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: cn=nothing,cn=below,{0}

dn: cn=dangling,{0}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: cn=nowhere

dn: cn=root,{0}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName:
"""


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(ENTRIES) as made:
        yield made


def found(
    directory: EphemeralDirectory,
    filter: str = "(objectClass=*)",
    base: str = "",
    scope: Scope = Scope.SUBTREE,
    deref: Deref = Deref.SEARCHING,
) -> list[str]:
    """Always the same, whether an index is used, none, and in pages."""
    asked = request(filter, base, scope, deref=deref)
    dns = ask(directory.local, asked).dns
    assert len(set(dns)) == len(dns)
    unindexed = request(f"(&(!(cn=zz)){filter})", base, scope, deref=deref)
    assert sorted(ask(directory.local, unindexed).dns) == sorted(dns)
    for wanted in (asked, unindexed):
        in_pages = [dn for page in pages(directory.local, wanted, [1] * 50) for dn in page.dns]
        assert sorted(in_pages) == sorted(dns)
    return sorted(dns)


def test_never(directory: EphemeralDirectory) -> None:
    assert len(found(directory, deref=Deref.NEVER)) == 10
    assert found(directory, base=f"uid=al,{X}", deref=Deref.NEVER) == [f"uid=al,{X}"]
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn="cn=all,o=two"):
        found(directory, base="uid=bob,cn=all,o=two", deref=Deref.NEVER)
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn="cn=all,o=two"):
        found(directory, base="uid=bob,cn=all,o=two", deref=Deref.SEARCHING)


def test_finding_the_base(directory: EphemeralDirectory) -> None:
    for base in (f"uid=al,{X}", f"uid=ali,{X}", f"uid=friend,{Y}", "uid=friend,cn=all,o=two"):
        assert found(directory, base=base, scope=Scope.BASE, deref=Deref.FINDING) == [ALICE]
    assert found(directory, base="cn=all,o=two", deref=Deref.FINDING) == [Y, BOB, f"uid=friend,{Y}"]
    with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=Y):
        found(directory, base="uid=nobody,cn=all,o=two", deref=Deref.FINDING)


def test_in_searching_a_subtree(directory: EphemeralDirectory) -> None:
    assert found(directory, "(description=found)") == [ALICE, BOB]
    assert found(directory, "(description=found)", Y) == [ALICE, BOB]
    assert found(directory, "(description=found)", X) == [ALICE]
    assert found(directory, "(description=found)", "o=two") == [ALICE, BOB]
    assert found(directory, base="o=two") == [Y, "o=two", ALICE, BOB]
    assert found(directory, "(uid=alice)", Y) == [ALICE]
    assert found(directory, "(uid=friend)", Y) == []
    assert found(directory, base="o=two", scope=Scope.SUBORDINATE) == [Y, ALICE, BOB]


def test_in_searching_one_level(directory: EphemeralDirectory) -> None:
    assert found(directory, base=Y, scope=Scope.ONE) == [ALICE, BOB]
    assert found(directory, base=X, scope=Scope.ONE) == [ALICE]
    assert found(directory, base="o=two", scope=Scope.ONE) == [Y]
    assert found(directory, "(uid=bob)", base="o=two", scope=Scope.ONE) == []


def test_a_base_is_not_followed_in_searching(directory: EphemeralDirectory) -> None:
    assert found(directory, base=f"uid=al,{X}") == [f"uid=al,{X}"]
    assert found(directory, base=f"uid=al,{X}", scope=Scope.BASE) == [f"uid=al,{X}"]
    assert found(directory, base=f"uid=al,{X}", deref=Deref.ALWAYS) == [ALICE]


def test_always(directory: EphemeralDirectory) -> None:
    assert found(directory, "(description=found)", "cn=all,o=two", deref=Deref.ALWAYS) == [ALICE, BOB]


def test_circles_and_dangling_ends(directory: EphemeralDirectory) -> None:
    """They stop whoever asks for them, and nobody else."""
    directory.load(LOOP.format(Y))
    before = [Y, ALICE, BOB]
    assert found(directory, base=Y) == before
    assert found(directory, "(description=found)", "o=two", deref=Deref.ALWAYS) == [ALICE, BOB]
    for name in ("a", "b", "self"):
        with refused(ResultCode.LOOP_DETECT, matched_dn=f"cn={name},{Y}"):
            found(directory, base=f"cn={name},{Y}", deref=Deref.FINDING)
    for name in ("below", "dangling", "root"):
        with refused(ResultCode.ALIAS_PROBLEM, matched_dn=f"cn={name},{Y}"):
            found(directory, base=f"cn={name},{Y}", deref=Deref.ALWAYS)


def test_a_long_chain() -> None:
    with EphemeralDirectory({"cn=0": {"objectClass": "CommuniGateDomain"}}) as other:
        for number in range(1, 22):
            other.add(
                f"cn={number}",
                {"objectClass": ("alias", "extensibleObject"), "aliasedObjectName": f"cn={number - 1}"},
            )
        assert found(other, base="cn=20", deref=Deref.ALWAYS) == ["cn=0"]
        with refused(ResultCode.LOOP_DETECT, matched_dn="cn=21"):
            found(other, base="cn=21", deref=Deref.ALWAYS)


def test_both_directions_agree(directory: EphemeralDirectory) -> None:
    core = directory.local.core
    with core.store.snapshot() as snapshot:
        state = core.state(snapshot)
        known = Aliases(core, snapshot, state.names)

        def entry(dn: str) -> bytes:
            found = find(snapshot, key_of(dn, core.schema))
            assert found is not None
            return found

        leading = {entry(f"uid=al,{X}"), entry(f"uid=ali,{X}"), entry(f"uid=friend,{Y}")}
        assert known.leading_to(entry(ALICE)) == leading
        assert {known.target(alias) for alias in leading} == {entry(ALICE)}
        assert known.leading_to(entry(BOB)) == frozenset()
        assert set(known.all()) == leading | {entry("cn=all,o=two")}


def test_aliases_that_come_and_go(directory: EphemeralDirectory) -> None:
    directory.delete(f"uid=friend,{Y}")
    assert found(directory, "(description=found)", Y) == [BOB]
    directory.rename(ALICE, "uid=alison")
    assert found(directory, base=X, scope=Scope.ONE) == [f"uid=alison,{X}"]
    directory.modify("cn=all,o=two", replace={"aliasedObjectName": X})
    assert found(directory, "(description=found)", "o=two") == [f"uid=alison,{X}"]


def test_where_there_are_none_nothing_is_asked() -> None:
    with EphemeralDirectory({"cn=0": {"objectClass": "CommuniGateDomain"}}) as directory:
        with patch.object(aliases.Aliases, "is_alias") as asked:
            assert ask(directory.local, request(deref=Deref.ALWAYS)).dns == ["cn=0"]
            asked.assert_not_called()


def test_many_aliases_cost_a_search_by_index_nothing(directory: EphemeralDirectory) -> None:
    """A site has as many aliases as it likes; clients of Java follow them always."""
    directory.load(
        "\n".join(
            f"dn: uid=a{number},{Y}\nobjectClass: alias\nobjectClass: extensibleObject\n"
            f"aliasedObjectName: {BOB}\n"
            for number in range(500)
        )
    )
    with patch.object(aliases.Aliases, "target", side_effect=AssertionError("looked at every alias")):
        asked = request("(uid=bob)", Y, deref=Deref.SEARCHING)
        assert ask(directory.local, asked).dns == [BOB]
        asked = request("(uid=alice)", Y, deref=Deref.SEARCHING)
        assert ask(directory.local, asked).dns == [ALICE]
