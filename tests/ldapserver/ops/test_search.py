"""Searches: scopes and bases, limits, turns for others, what an operator is told, and that a
look-up by index finds what the ordinary way does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from unittest.mock import patch

import pytest
from attrs import Factory, define, evolve

from ldapserver.access import Policy, Right, Rule, Who, only
from ldapserver.controls import ASSERTION, encode_assertion
from ldapserver.directory import Limits
from ldapserver.filters import parse_filter
from ldapserver.identity import ANONYMOUS, Identity
from ldapserver.messages import Control, Deref, Or, Present, Scope, SearchRequest
from ldapserver.names import key_of
from ldapserver.ops.search import Search
from ldapserver.results import ResultCode
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from tests.ldapserver.asking import ask, request
from tests.ldapserver.ops.site import refused

BASE, DOMAIN, OTHER = "o=example", "cn=example.com,o=example", "cn=other.example,o=example"
MANY = 1500


@define
class Watched:
    """What the directory's settings are given, and what they were told."""

    notices: list[str] = Factory(list)
    now: float = 0.0
    ticks: float = 0.0

    def monotonic(self) -> float:
        self.now += self.ticks
        return self.now


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def directory(watched: Watched) -> Iterator[EphemeralDirectory]:
    made = evolve(
        SETTINGS,
        limits=Limits(look_through=1200, time_limit=60),
        notice=watched.notices.append,
        monotonic=watched.monotonic,
    )
    group = "objectClass: CommuniGateGroup\n"
    with EphemeralDirectory(settings=made) as directory:
        directory.load(
            f"dn: {BASE}\nobjectClass: organization\n\n"
            f"dn: {DOMAIN}\nobjectClass: CommuniGateDomain\nmail: same@example.com\n\n"
            f"dn: {OTHER}\nobjectClass: CommuniGateDomain\nmail: same@example.com\n\n"
            + "\n".join(
                f"dn: uid=u{number},{DOMAIN}\n{group}mail: u{number}@example.com\n"
                f"cn: {'many' if number < 1000 else 'few'}\n"
                for number in range(MANY)
            )
            + f"\ndn: uid=u7,{OTHER}\n{group}mail: u7@example.com\n"
        )
        yield directory


@pytest.fixture(autouse=True)
def _fresh(watched: Watched) -> None:
    watched.notices.clear()
    watched.now = watched.ticks = 0.0


def somebody(directory: EphemeralDirectory) -> Identity:
    dn = f"uid=u1,{DOMAIN}"
    return Identity(dn, key_of(dn, directory.local.core.schema))


# --- scopes and bases -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "base", "scope", "found"),
    [
        ("(mail=u7@example.com)", "", Scope.SUBTREE, [f"uid=u7,{DOMAIN}", f"uid=u7,{OTHER}"]),
        ("(mail=U7@example.com)", "O=Example", Scope.SUBTREE, [f"uid=u7,{DOMAIN}", f"uid=u7,{OTHER}"]),
        ("(mail=u7@example.com)", DOMAIN, Scope.SUBTREE, [f"uid=u7,{DOMAIN}"]),
        ("(mail=u7@example.com)", DOMAIN, Scope.ONE, [f"uid=u7,{DOMAIN}"]),
        ("(mail=u7@example.com)", DOMAIN, Scope.SUBORDINATE, [f"uid=u7,{DOMAIN}"]),
        ("(mail=u7@example.com)", BASE, Scope.ONE, []),
        ("(mail=u7@example.com)", f"uid=u7,{DOMAIN}", Scope.SUBTREE, [f"uid=u7,{DOMAIN}"]),
        ("(mail=u7@example.com)", f"uid=u7,{DOMAIN}", Scope.BASE, [f"uid=u7,{DOMAIN}"]),
        ("(mail=u7@example.com)", f"uid=u7,{DOMAIN}", Scope.SUBORDINATE, []),
        ("(mail=u7@example.com)", f"uid=u7,{DOMAIN}", Scope.ONE, []),
        ("(mail=same@example.com)", DOMAIN, Scope.SUBTREE, [DOMAIN]),
        ("(mail=same@example.com)", DOMAIN, Scope.SUBORDINATE, []),
        ("(mail=same@example.com)", BASE, Scope.ONE, [DOMAIN, OTHER]),
        ("(mail=nobody@example.com)", "", Scope.SUBTREE, []),
        ("(mail=é)", "", Scope.SUBTREE, []),
        ("(mail;lang-de=u7@example.com)", "", Scope.SUBTREE, []),
        ("(nonsense=u7@example.com)", "", Scope.SUBTREE, []),
        ("(objectClass=organization)", "", Scope.ONE, [BASE]),
        ("(o=example)", "", Scope.SUBORDINATE, [BASE]),
    ],
)
def test_scopes(
    directory: EphemeralDirectory, filter: str, base: str, scope: Scope, found: list[str]
) -> None:
    for identity in (None, ANONYMOUS, somebody(directory)):
        answer = ask(directory.local, request(filter, base, scope), identity=identity)
        assert sorted(answer.dns) == found


@pytest.mark.parametrize("filter", ["(mail=u7@example.com)", "(&(mail=u7@example.com)(uid=u7))"])
@pytest.mark.parametrize("deref", [Deref.NEVER, Deref.ALWAYS])
def test_bases_that_are_not_there(directory: EphemeralDirectory, filter: str, deref: Deref) -> None:
    for base, matched in (
        (f"uid=nobody,{DOMAIN}", DOMAIN),
        (f"cn=a,cn=b,{BASE}", BASE),
        ("o=nothing", ""),
        (f"cn=b,cn=Subschema,{BASE}", BASE),
    ):
        with refused(ResultCode.NO_SUCH_OBJECT, matched_dn=matched):
            ask(directory.local, request(filter, base, deref=deref))
    for base in ("nonsense", "o=example,", "nonsense=x"):
        with refused(ResultCode.INVALID_DN_SYNTAX):
            ask(directory.local, request(filter, base, deref=deref))


def test_the_same_search_again_and_after_changes() -> None:
    """What is prepared for look-ups does not outlive what it was made of (``ask`` looks up, too)."""
    with EphemeralDirectory({"cn=a": {"objectClass": "CommuniGateDomain", "mail": "a@x"}}) as directory:
        asked = request("(mail=a@x)", "cn=a", attributes=["mail"])
        assert ask(directory.local, asked).dns == ["cn=a"]
        directory.rename("cn=a", "cn=b")
        with refused(ResultCode.NO_SUCH_OBJECT):
            ask(directory.local, asked)
        directory.rename("cn=b", "cn=A")
        assert ask(directory.local, asked).dns == ["cn=A"]
        directory.modify("cn=a", replace={"mail": "b@x"})
        assert ask(directory.local, asked).dns == []
        core = directory.local.core
        core.settings = evolve(core.settings, indexes={})
        directory.local.reindex()
        directory.modify("cn=a", replace={"mail": "a@x"})
        assert ask(directory.local, asked).dns == ["cn=A"]


# --- limits -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filter", ["(mail=u7@example.com)", "(|(mail=u7@example.com)(uid=zz))", "(objectClass=CommuniGateGroup)"]
)
def test_size_limit(directory: EphemeralDirectory, filter: str) -> None:
    for limit, code in ((1, ResultCode.SIZE_LIMIT_EXCEEDED), (0, ResultCode.SUCCESS)):
        answer = ask(directory.local, request(filter, size_limit=limit))
        assert answer.result.code is code
        assert len(answer.entries) == 1 or not limit
    exact = len(ask(directory.local, request(filter)).entries)
    assert ask(directory.local, request(filter, size_limit=exact)).result.code is ResultCode.SUCCESS


def test_the_lower_size_limit_counts(watched: Watched) -> None:
    made = evolve(SETTINGS, limits=Limits(size_limit=2))
    with EphemeralDirectory(settings=made) as directory:
        for number in range(4):
            directory.add(f"cn={number}", {"objectClass": "CommuniGateDomain", "mail": "x@y"})
        for filter in ("(objectClass=*)", "(mail=x@y)"):
            for asked, sent in ((0, 2), (1, 1), (3, 2)):
                answer = ask(directory.local, request(filter, size_limit=asked), identity=ANONYMOUS)
                assert len(answer.entries) == sent
                assert answer.result.code is ResultCode.SIZE_LIMIT_EXCEEDED
            assert len(ask(directory.local, request(filter)).entries) == 4
            assert len(ask(directory.local, request(filter, size_limit=3)).entries) == 3


UNINDEXED = "(description=nothing)"


def test_look_through_bounds_all_but_the_administrator(
    directory: EphemeralDirectory, watched: Watched
) -> None:
    for identity in (ANONYMOUS, somebody(directory)):
        answer = ask(directory.local, request(UNINDEXED), identity=identity)
        assert answer.result.code is ResultCode.ADMIN_LIMIT_EXCEEDED
        assert "index" in answer.result.message
    assert ask(directory.local, request(UNINDEXED)).result.code is ResultCode.SUCCESS


def test_look_through_counts_what_is_looked_at_in_vain(directory: EphemeralDirectory) -> None:
    def code(filter: str, base: str = "") -> ResultCode:
        return ask(directory.local, request(filter, base), identity=ANONYMOUS).result.code

    assert code("(objectClass=*)") is ResultCode.SUCCESS
    assert code("(!(description=nothing))") is ResultCode.SUCCESS
    assert code("(cn=few)") is ResultCode.SUCCESS
    assert code(UNINDEXED, OTHER) is ResultCode.SUCCESS
    assert code("(&(cn=many)(description=nothing))") is ResultCode.SUCCESS


def test_heavy_filters_may_look_at_less(directory: EphemeralDirectory) -> None:
    heavy = Or(tuple(parse_filter(f"(description={number})") for number in range(500)))
    answer = ask(directory.local, request(heavy), identity=ANONYMOUS)
    assert answer.result.code is ResultCode.ADMIN_LIMIT_EXCEEDED
    assert "looked at 110 entries" in answer.result.message


@pytest.mark.parametrize("filter", [UNINDEXED, "(objectClass=*)", "(cn=many)", "(&(cn=many)(uid=*1*))"])
def test_time_limit(directory: EphemeralDirectory, watched: Watched, filter: str) -> None:
    watched.ticks = 1.0
    answer = ask(directory.local, request(filter, time_limit=2))
    assert answer.result.code is ResultCode.TIME_LIMIT_EXCEEDED
    assert ask(directory.local, request(filter, time_limit=100)).result.code is ResultCode.SUCCESS


@pytest.mark.parametrize(
    ("asked", "ticks", "over"), [(0, 15.0, True), (0, 5.0, False), (1000, 15.0, True), (1, 1.0, True)]
)
def test_the_servers_time_limit(
    directory: EphemeralDirectory, watched: Watched, asked: int, ticks: float, over: bool
) -> None:
    watched.ticks = ticks
    answer = ask(directory.local, request("(objectClass=*)", time_limit=asked), identity=ANONYMOUS)
    code = ResultCode.TIME_LIMIT_EXCEEDED if over else ResultCode.SUCCESS
    assert answer.result.code is code


def test_the_administrator_has_the_time_that_it_asks_for(
    directory: EphemeralDirectory, watched: Watched
) -> None:
    watched.ticks = 1000.0
    assert ask(directory.local, request()).result.code is ResultCode.SUCCESS


# --- turns of others -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "base", "least"),
    [
        (UNINDEXED, "", 7),
        ("(objectClass=*)", "", 7),
        ("(cn=many)", "", 4),
        # What the index finds is elsewhere.
        ("(cn=many)", f"uid=u7,{OTHER}", 0),
        ("(&(cn=many)(!(uid=nobody)))", OTHER, 0),
    ],
)
def test_others_get_turns(directory: EphemeralDirectory, filter: str, base: str, least: int) -> None:
    assert ask(directory.local, request(filter, base)).turns >= least


def test_others_get_turns_while_nothing_is_in_scope(directory: EphemeralDirectory) -> None:
    with patch("ldapserver.ops.extent._SMALL", 0):
        assert ask(directory.local, request("(cn=many)", OTHER)).turns >= 5


def test_others_get_turns_while_aliases_are_followed(directory: EphemeralDirectory) -> None:
    directory.add(
        f"cn=alias,{OTHER}",
        {"objectClass": ("alias", "extensibleObject"), "aliasedObjectName": DOMAIN},
    )
    try:
        answer = ask(directory.local, request(UNINDEXED, OTHER, deref=Deref.SEARCHING))
        assert answer.turns >= 2 * MANY // 200
    finally:
        directory.delete(f"cn=alias,{OTHER}")


def test_heavy_filters_give_more_turns(directory: EphemeralDirectory) -> None:
    heavy = Or(tuple(parse_filter(f"(description={number})") for number in range(500)))
    assert ask(directory.local, request(heavy)).turns >= 70


def looked_up(directory: EphemeralDirectory, filter: str) -> list[bytes] | None:
    found = directory.local.look_up(directory.local.core.administrator, request(filter))
    return None if found is None else found[0]


def test_a_look_up_that_finds_many_gives_turns_too(directory: EphemeralDirectory) -> None:
    answer = ask(directory.local, request("(cn=many)", DOMAIN))
    assert len(answer.entries) == 1000
    assert answer.turns >= 4
    assert looked_up(directory, "(cn=many)") is None
    found = looked_up(directory, "(mail=same@example.com)")
    assert found is not None
    assert len(found) == 2


# --- what an operator is told ----------------------------------------------------------------


def test_a_missing_index_is_noticed(directory: EphemeralDirectory, watched: Watched) -> None:
    ask(directory.local, request(UNINDEXED, BASE))
    (notice,) = watched.notices
    assert "no index" in notice
    assert UNINDEXED in notice
    assert f"looked at {MANY + 4} entries" in notice
    assert BASE in notice


def test_an_index_that_hardly_helps_is_noticed(directory: EphemeralDirectory, watched: Watched) -> None:
    ask(directory.local, request("(&(cn=many)(description=nothing))"))
    (notice,) = watched.notices
    assert "hardly" in notice


def test_a_search_that_is_stopped_is_noticed(directory: EphemeralDirectory, watched: Watched) -> None:
    ask(directory.local, request(UNINDEXED), identity=ANONYMOUS)
    answers = directory.local.search(directory.local.core.administrator, request(UNINDEXED), ())
    for _ in range(6):
        assert next(answers) == b""
    answers.close()
    assert len(watched.notices) == 2


@pytest.mark.parametrize("filter", ["(cn=many)", "(uid=u1*)", "(objectClass=*)", "(mail=u7@example.com)"])
def test_nothing_else_is(directory: EphemeralDirectory, watched: Watched, filter: str) -> None:
    ask(directory.local, request(filter))
    assert watched.notices == []


# --- small subtrees, own entries, assertions -------------------------------------------------


def test_a_small_subtree_is_walked_whatever_an_index_says(directory: EphemeralDirectory) -> None:
    core = directory.local.core
    with core.store.snapshot() as snapshot:
        for base, walked in ((OTHER, True), (f"uid=u7,{DOMAIN}", True), (DOMAIN, False), ("", False)):
            asked = request("(objectClass=CommuniGateGroup)", base)
            made = Search(core, snapshot, core.state(snapshot), core.administrator, asked)
            extent = made._plain_extent()
            assert made._course(extent, made.plan(extent)).walking is walked


def test_ones_own_entry_may_show_more() -> None:
    policy = Policy(
        (
            Rule(Who.ANYONE, Right.READ, only("objectClass", "uid", "mail")),
            Rule(Who.SELF, Right.READ, only("homePhone", "description")),
        )
    )
    with EphemeralDirectory(settings=evolve(SETTINGS, policy=policy)) as directory:
        for number in range(3):
            directory.add(
                f"uid=u{number}",
                {
                    "objectClass": "CommuniGateGroup",
                    "mail": "same@x",
                    "description": "private",
                },
            )
        me = Identity("uid=u1", key_of("uid=u1", directory.local.core.schema))

        def shown(filter: str, identity: Identity = me) -> dict[str, bool]:
            found = ask(directory.local, request(filter), identity=identity)
            return {
                entry.dn: any(item.type == "description" for item in entry.attributes)
                for entry in found.entries
            }

        everyone = {"uid=u0": False, "uid=u1": True, "uid=u2": False}
        for filter in ("(mail=same@x)", "(objectClass=*)", "(|(uid=*)(cn=x))"):
            assert shown(filter) == everyone
            assert not any(shown(filter, ANONYMOUS).values())
        assert shown("(description=private)") == {"uid=u1": True}
        assert shown("(description=private)", ANONYMOUS) == {}
        assert shown("(!(description=private))") == {}
        assert shown("(&(mail=same@x)(!(description=other)))") == {"uid=u1": True}
        nobody = Identity("uid=gone", key_of("uid=gone", directory.local.core.schema))
        assert shown("(mail=same@x)", nobody) == dict.fromkeys(everyone, False)


def asserting(filter: str) -> Control:
    return Control(ASSERTION, True, encode_assertion(parse_filter(filter)))


def test_assertions_are_about_the_base(directory: EphemeralDirectory) -> None:
    def asked(base: str, filter: str, scope: Scope = Scope.SUBTREE) -> SearchRequest:
        return request(filter, base, scope)

    found = ask(directory.local, asked(DOMAIN, "(uid=u7)"), asserting("(mail=same@example.com)"))
    assert found.dns == [f"uid=u7,{DOMAIN}"]
    for wrong in ("(mail=u7@example.com)", "(nonsense=x)", "(!(nonsense=x))"):
        with refused(ResultCode.ASSERTION_FAILED):
            ask(directory.local, asked(DOMAIN, "(uid=u7)"), asserting(wrong))
    with refused(ResultCode.ASSERTION_FAILED):
        ask(directory.local, asked("", "(uid=u7)"), asserting("(objectClass=*)"))
    assert ask(
        directory.local, asked("", "(objectClass=*)", Scope.BASE), asserting("(objectClass=top)")
    ).entries
    with refused(ResultCode.ASSERTION_FAILED):
        ask(directory.local, asked("", "(objectClass=*)", Scope.BASE), asserting("(objectClass=person)"))
    with refused(ResultCode.ASSERTION_FAILED):
        ask(directory.local, asked(DOMAIN, "(uid=u7)"), asserting("(creatorsName=*)"), identity=ANONYMOUS)


def test_unknown_controls(directory: EphemeralDirectory) -> None:
    assert ask(directory.local, request("(uid=u7)"), Control("1.2.3", False, None)).entries
    with refused(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION):
        ask(directory.local, request("(uid=u7)"), Control("1.2.3", True, None))


def test_a_search_that_is_given_up_lets_go_of_its_snapshot() -> None:
    with EphemeralDirectory() as directory:
        for number in range(5):
            directory.add(f"cn={number}", {"objectClass": "CommuniGateDomain"})
        store = directory.local.core.store
        searches = []
        for _, filter in zip(count(), ("(objectClass=*)", "(cn=*)", "(|(cn=1)(cn=2))"), strict=False):
            answers = directory.local.search(
                directory.local.core.administrator,
                SearchRequest(request().head, parse_filter(filter), ()),
                (),
            )
            assert next(answers)
            searches.append(answers)
        before = store.sizes()["last_transaction"]
        for answers in searches:
            answers.close()
        directory.add("cn=after", {"objectClass": "CommuniGateDomain"})
        assert store.sizes()["last_transaction"] > before
        assert Present("cn") == parse_filter("(cn=*)")
