"""Random moves of hosts among other writes, against a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import define, evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapserver.filters import parse_filter
from ldapserver.messages import Rehost, Restore, Selection
from ldapserver.testing import EphemeralDirectory
from ldapserver.testing.ephemeral import SETTINGS
from tests.ldapserver.ops.site import Clock

DOMAINS = ("cn=one", "cn=two", "cn=three,cn=two")
NAMES = ("x", "y", "z")
HOSTS = ("a", "b", "c", "B")
DNS = (*DOMAINS, *(f"uid={name},{domain}" for domain in DOMAINS for name in NAMES))


@define
class Hosted:
    """An entry of the model; ``mark`` is what filters choose by."""

    host: str = ""
    old: str = ""
    mark: str = ""


Model: TypeAlias = dict[str, Hosted]
"""Entries by DN."""

Chosen: TypeAlias = Callable[[Model], Selection]


def below(dn: str, base: str) -> bool:
    return not base or dn == base or dn.endswith("," + base)


def is_chosen(selection: Selection, dn: str, hosted: Hosted) -> bool:
    accounts = selection.accounts
    return (
        below(dn, selection.base)
        and (selection.filter is None or hosted.mark == "1")
        and (accounts is None or dn in accounts)
    )


def rehosted(model: Model, source: str, target: str, selection: Selection) -> int:
    count = 0
    for dn, hosted in model.items():
        if hosted.host.lower() == source.lower() and is_chosen(selection, dn, hosted):
            original = hosted.old or hosted.host
            hosted.host = target
            hosted.old = "" if original.lower() == target.lower() else original
            count += 1
    return count


def restored(model: Model, source: str, selection: Selection) -> int:
    count = 0
    for dn, hosted in model.items():
        if hosted.old.lower() == source.lower() and is_chosen(selection, dn, hosted):
            hosted.host, hosted.old = hosted.old, ""
            count += 1
    return count


# --- steps: what the directory is told, and the model ---------------------------------

Step: TypeAlias = Callable[[EphemeralDirectory, Model], None]


def add(dn: str, host: str, old: str, mark: str) -> Step:
    def step(directory: EphemeralDirectory, model: Model) -> None:
        if dn in model or not (dn.count(",") == 0 or dn.partition(",")[2] in model):
            return
        given: dict[str, str] = {"hostServer": host, "oldHostServer": old, "description": mark}
        kind = "CommuniGateGroup" if dn.startswith("uid") else "CommuniGateDomain"
        directory.add(dn, {"objectClass": kind, **{name: value for name, value in given.items() if value}})
        model[dn] = Hosted(host, old, mark)

    return step


def delete(dn: str) -> Step:
    def step(directory: EphemeralDirectory, model: Model) -> None:
        if dn in model and not any(other.endswith("," + dn) for other in model):
            directory.delete(dn)
            del model[dn]

    return step


def modify(dn: str, name: str, value: str) -> Step:
    def step(directory: EphemeralDirectory, model: Model) -> None:
        if dn in model:
            attribute = {"host": "hostServer", "old": "oldHostServer", "mark": "description"}[name]
            directory.modify(dn, replace={attribute: value or []})
            setattr(model[dn], name, value)

    return step


def rename(dn: str, name: str, superior: str) -> Step:
    """Accounts go anywhere; domains keep their place."""

    def step(directory: EphemeralDirectory, model: Model) -> None:
        new = f"uid={name},{superior}"
        if dn.startswith("uid") and dn in model and superior in model and (new == dn or new not in model):
            directory.rename(dn, f"uid={name}", superior)
            model[new] = model.pop(dn)

    return step


def move(source: str, target: str, choose: Chosen) -> Step:
    def step(directory: EphemeralDirectory, model: Model) -> None:
        selection = choose(model)
        if source.lower() == target.lower() or (selection.base and selection.base not in model):
            return
        bulk = Rehost(source, target, selection)
        dry = directory.local.bulk(directory.local.core.administrator, evolve(bulk, dry_run=True)).result()
        report = directory.local.bulk(directory.local.core.administrator, bulk).result()
        assert dry.changed == report.changed == rehosted(model, source, target, selection)

    return step


def give_back(source: str, choose: Chosen) -> Step:
    def step(directory: EphemeralDirectory, model: Model) -> None:
        selection = choose(model)
        if selection.base and selection.base not in model:
            return
        report = directory.local.bulk(directory.local.core.administrator, Restore(source, selection)).result()
        assert report.changed == restored(model, source, selection)

    return step


def select(base: str, by_filter: bool, accounts: Sequence[str] | None) -> Chosen:
    def choose(model: Model) -> Selection:
        chosen = None if accounts is None else tuple(dn for dn in accounts if dn in model)
        return Selection(base, parse_filter("(description=1)") if by_filter else None, chosen)

    return choose


dns = st.sampled_from(DNS)
hosts = st.sampled_from(HOSTS)
marks = st.sampled_from(["", "1", "2"])
whole = st.just(select("", False, None))
selections = st.one_of(
    whole,
    whole,
    st.builds(
        select,
        st.just("") | dns,
        st.booleans(),
        st.none() | st.none() | st.lists(dns, max_size=4, unique=True),
    ),
)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(add, dns, st.just("") | hosts, st.sampled_from(["", "", "a", "b"]), marks),
    st.builds(delete, dns),
    st.builds(modify, dns, st.sampled_from(["host", "old"]), st.just("") | hosts),
    st.builds(modify, dns, st.just("mark"), marks),
    st.builds(rename, dns, st.sampled_from(NAMES), st.sampled_from(DOMAINS)),
    st.builds(move, hosts, hosts, selections),
    st.builds(move, hosts, hosts, selections),
    st.builds(give_back, hosts, selections),
)
BEGINNING = (
    *(add(dn, "", "", "") for dn in DOMAINS),
    *(
        add(f"uid={name},{domain}", host, "", "1")
        for domain in DOMAINS
        for name, host in zip(NAMES, "abc", strict=True)
    ),
)


def seen(directory: EphemeralDirectory) -> Model:
    found = {}
    for entry in directory.search():
        values = {item.type: item.values[0].decode() for item in entry.attributes}
        found[entry.dn] = Hosted(
            values.get("hostServer", ""), values.get("oldHostServer", ""), values.get("description", "")
        )
    return found


@settings(max_examples=60)
@given(st.lists(steps, min_size=1, max_size=25))
def test_moves_do_what_a_dictionary_does(script: list[Step]) -> None:
    with EphemeralDirectory(settings=evolve(SETTINGS, clock=Clock())) as directory:
        model: Model = {}
        for step in (*BEGINNING, *script):
            step(directory, model)
        assert seen(directory) == model
        for host in {hosted.host for hosted in model.values() if hosted.host}:
            found = {entry.dn for entry in directory.search(f"(hostServer={host})")}
            assert found == {dn for dn, hosted in model.items() if hosted.host.lower() == host.lower()}
        covered = {entry.dn for entry in directory.search("(oldHostServer=*)")}
        assert covered == {dn for dn, hosted in model.items() if hosted.old}
