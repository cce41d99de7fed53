"""Indexes made anew: other settings, the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapserver import indexing
from ldapserver.local import LocalDirectory
from ldapserver.messages import Filter, Rehost
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from tests.ldapserver.asking import ask, request
from tests.properties.trees import INDEXES, Node, directory_of, nodes
from tests.properties.wanted import filters

Indexes = dict[str, Sequence[str]]

UNINDEXED = "(description=*needle*)"


def answers(directory: LocalDirectory, asked: Sequence[Filter]) -> list[set[str]]:
    return [set(ask(directory, request(filter)).dns) for filter in asked]


def configure(directory: EphemeralDirectory, indexes: Indexes) -> None:
    """As for a process that is started with other settings."""
    core = directory.local.core
    core.settings = evolve(core.settings, indexes=indexes)


def rows(directory: EphemeralDirectory) -> int:
    with directory.local.core.store.snapshot() as snapshot:
        counts = snapshot.row_counts()
    return counts["index"] + counts["grams"]


@settings(max_examples=25)
@given(
    st.lists(nodes, min_size=3, max_size=12),
    st.lists(st.sampled_from(INDEXES), min_size=2, max_size=3),
    st.lists(filters, min_size=3, max_size=12),
)
def test_answers_stay_and_so_do_placements(
    tree: list[Node], ways: list[Indexes], asked: list[Filter]
) -> None:
    with directory_of(tree, ways[0]) as directory:
        administrator = directory.local.core.administrator
        hosted = directory.local.bulk(administrator, Rehost("be1", "be8")).result().changed
        before = answers(directory.local, asked)
        for indexes in ways[1:]:
            configure(directory, indexes)
            assert directory.local.reindex() == len(directory.search())
            assert list(directory.local.check()) == []
            assert answers(directory.local, asked) == before
        assert directory.local.bulk(administrator, Rehost("be8", "be1")).result().changed == hosted
        assert directory.search("(hostServer=be8)") == []


def filled() -> EphemeralDirectory:
    directory = EphemeralDirectory()
    directory.add("cn=example.com", {"objectClass": "CommuniGateDomain", "description": "a needle here"})
    directory.load(
        "\n".join(
            f"dn: uid=u{number},cn=example.com\nobjectClass: CommuniGateGroup\ndescription: {number}\n"
            for number in range(2500)
        )
    )
    return directory


def test_settings_take_effect_then_and_not_before() -> None:
    with filled() as directory:
        before = rows(directory)
        configure(directory, {"description": ["eq", "sub"]})
        directory.modify("uid=u1,cn=example.com", replace={"description": "another needle"})
        assert rows(directory) == before
        assert len(directory.search(UNINDEXED)) == 2
        told: list[int] = []
        assert directory.local.reindex(told.append) == 2501
        assert told == [1000, 2000, 2501]
        assert len(directory.search(UNINDEXED)) == 2
        assert len(directory.search("(description=another*)")) == 1
        directory.modify("uid=u2,cn=example.com", replace={"description": "a third needle"})
        assert len(directory.search(UNINDEXED)) == 3
        configure(directory, {})
        directory.local.reindex()
        assert rows(directory) < before
        assert len(directory.search("(uid=u7)")) == 1


def test_a_search_that_is_under_way_keeps_its_indexes() -> None:
    with filled() as directory:
        configure(directory, {"description": ["sub"]})
        core = directory.local.core
        answers = directory.local.search(core.administrator, request("(|(uid=u7)(uid=u8)(uid=u9))"), ())
        assert next(answers)
        directory.local.reindex()
        assert sum(map(bool, answers)) == 2


def test_an_operator_is_told_of_settings_that_wait(tmp_path: Path) -> None:
    told: list[str] = []
    plain = evolve(SETTINGS, notice=told.append)
    for indexes, expected in (
        ({"mail": ["eq"]}, 0),
        ({"mail": ["eq", "sub"]}, 1),
        ({"mail": ["eq"]}, 0),
        (indexing.DEFAULT, 0),
    ):
        directory = LocalDirectory.open(tmp_path / "store", evolve(plain, indexes=indexes))
        directory.close()
        assert len(told) == expected
        assert all("cgctl reindex" in text for text in told)
        told.clear()
