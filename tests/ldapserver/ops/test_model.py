"""Random writes to a site and to a dictionary: the same answers, the same entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import TypeAlias

from attrs import Factory, define, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapserver.checking import expectation
from ldapserver.messages import Change, ModifyOp
from ldapserver.results import LDAPError, ResultCode
from storage.check import check
from tests.ldapserver.ops.site import Clock, Given, Site, change, open_site

SINGLE = ("hostServer",)
ATTRIBUTES = ("cn", "mail", "description", "hostServer")
NAMES = ("a", "B", "cc d")
VALUES = ("a", "A", "b", "B", "cc  d", "Cc D", "longer than a gram", "longer than the other")

PathOf: TypeAlias = tuple[str, ...]
"""Lower-case names, leaf first."""

SUCCESS = ResultCode.SUCCESS


@frozen
class Add:
    path: PathOf
    hosts: Sequence[str]


@frozen
class Delete:
    path: PathOf


@frozen
class Modify:
    path: PathOf
    changes: Sequence[Change]


@frozen
class Rename:
    path: PathOf
    name: str
    superior: PathOf | None
    delete_old: bool


Write: TypeAlias = Add | Delete | Modify | Rename

# What a script begins with, so that there is something to change.
BEGINNING: Sequence[Write] = (
    Add(("a",), ["b"]),
    Add(("B", "a"), []),
    Add(("cc d",), []),
    Modify(("cc d",), [change(ModifyOp.ADD, "description", "a", "b")]),
)

Choice: TypeAlias = Callable[[Sequence[PathOf]], PathOf]
"""Of a path, knowing those that are there: most often one of them."""

there = st.integers(0, 1000).map(lambda number: lambda known: known[number % len(known)])
below = st.builds(lambda choose, name: lambda known: (name, *choose(known)), there, st.sampled_from(NAMES))
paths: st.SearchStrategy[Choice] = st.one_of(there, there, there, below)
changes = st.builds(
    lambda op, name, values: change(op, name, *values),
    st.sampled_from((ModifyOp.ADD, ModifyOp.DELETE, ModifyOp.REPLACE)),
    st.sampled_from(ATTRIBUTES),
    st.lists(st.sampled_from(VALUES), max_size=2, unique_by=str.lower),
)
Step: TypeAlias = Callable[[Sequence[PathOf]], Write]

steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        lambda choose, hosts: lambda known: Add(choose(known), hosts),
        below,
        st.lists(st.sampled_from(NAMES), max_size=1),
    ),
    st.builds(lambda choose: lambda known: Delete(choose(known)), paths),
    st.builds(
        lambda choose, parts: lambda known: Modify(choose(known), parts),
        paths,
        st.lists(changes, max_size=3),
    ),
    st.builds(
        lambda choose, name, above, delete_old: (
            lambda known: Rename(choose(known), name, above and above(known), delete_old)
        ),
        paths,
        st.sampled_from(NAMES),
        st.none() | paths,
        st.booleans(),
    ),
)


def normal(value: str) -> str:
    return " ".join(value.lower().split())


def find(values: Sequence[str], wanted: str) -> int | None:
    return next((at for at, value in enumerate(values) if normal(value) == normal(wanted)), None)


@define
class Model:
    """Entries by path: attributes that are there, in their order."""

    entries: dict[PathOf, dict[str, list[str]]] = Factory(dict)

    def run(self, write: Write) -> ResultCode:
        match write:
            case Add(path, hosts):
                return self.add(path, hosts)
            case Delete(path):
                return self.delete(path)
            case Modify(path, changes):
                return self.modify(path, changes)
            case Rename():
                return self.rename(write)

    def there(self, path: PathOf) -> bool:
        return not path or key(path) in self.entries

    def add(self, path: PathOf, hosts: Sequence[str]) -> ResultCode:
        if not self.there(path[1:]):
            return ResultCode.NO_SUCH_OBJECT
        if self.there(path):
            return ResultCode.ENTRY_ALREADY_EXISTS
        self.entries[key(path)] = {"cn": [path[0]], **({"hostServer": list(hosts)} if hosts else {})}
        return SUCCESS

    def delete(self, path: PathOf) -> ResultCode:
        if not self.there(path):
            return ResultCode.NO_SUCH_OBJECT
        if any(other[1:] == key(path) for other in self.entries):
            return ResultCode.NOT_ALLOWED_ON_NON_LEAF
        del self.entries[key(path)]
        return SUCCESS

    def modify(self, path: PathOf, changes: Sequence[Change]) -> ResultCode:
        if not self.there(path):
            return ResultCode.NO_SUCH_OBJECT
        entry = {name: list(values) for name, values in self.entries[key(path)].items()}
        for part in changes:
            code = self.apply(entry, part.op, part.type, [value.decode() for value in part.values])
            if code is not SUCCESS:
                return code
        if any(len(entry.get(name, ())) > 1 for name in SINGLE):
            return ResultCode.CONSTRAINT_VIOLATION
        if find(entry.get("cn", ()), key(path)[0]) is None:
            return ResultCode.NOT_ALLOWED_ON_RDN
        self.entries[key(path)] = entry
        return SUCCESS

    def apply(self, entry: dict[str, list[str]], op: ModifyOp, name: str, values: list[str]) -> ResultCode:
        current = entry.get(name, [])
        if op is ModifyOp.DELETE:
            if not current:
                return ResultCode.NO_SUCH_ATTRIBUTE
            for value in values:
                if (at := find(current, value)) is None:
                    return ResultCode.NO_SUCH_ATTRIBUTE
                current = current[:at] + current[at + 1 :]
            current = current if values else []
        else:
            if len(values) > 1 and name in SINGLE:
                return ResultCode.CONSTRAINT_VIOLATION
            if len(values) == 2 and normal(values[0]) == normal(values[1]):
                return ResultCode.ATTRIBUTE_OR_VALUE_EXISTS
            if op is ModifyOp.ADD:
                if not values:
                    return ResultCode.PROTOCOL_ERROR
                if any(find(current, value) is not None for value in values):
                    return ResultCode.ATTRIBUTE_OR_VALUE_EXISTS
                current = [*current, *values]
            else:
                current = values
        entry.pop(name, None) if not current else entry.update({name: current})
        return SUCCESS

    def rename(self, write: Rename) -> ResultCode:
        if not self.there(write.path):
            return ResultCode.NO_SUCH_OBJECT
        old = key(write.path)
        superior = old[1:] if write.superior is None else key(write.superior)
        if not self.there(superior):
            return ResultCode.NO_SUCH_OBJECT
        if superior[-len(old) :] == old:
            return ResultCode.UNWILLING_TO_PERFORM
        new = (normal(write.name), *superior)
        if new != old and self.there(new):
            return ResultCode.ENTRY_ALREADY_EXISTS
        entry = self.entries[old]
        names = entry["cn"]
        if write.delete_old and new[0] != old[0]:
            at = find(names, old[0])
            assert at is not None
            del names[at]
        if find(names, write.name) is None:
            names.append(write.name)
        moved = {path: found for path, found in self.entries.items() if path[-len(old) :] == old}
        for path in moved:
            del self.entries[path]
        for path, found in moved.items():
            self.entries[(*path[: -len(old)], *new)] = found
        return SUCCESS


def key(path: PathOf) -> PathOf:
    return tuple(map(normal, path))


def dn(path: PathOf) -> str:
    return ",".join([*(f"cn={name}" for name in path), "o=example"])


def ask(site: Site, write: Write) -> ResultCode:
    try:
        match write:
            case Add(path, hosts):
                classes = ["CommuniGateDomain", "extensibleObject"]
                given: Given = {"objectClass": classes, **({"hostServer": list(hosts)} if hosts else {})}
                site.add(dn(path), given)
            case Delete(path):
                site.delete(dn(path))
            case Modify(path, changes):
                site.modify(dn(path), *changes)
            case Rename(path, name, superior, delete_old):
                above = None if superior is None else dn(superior)
                site.rename(dn(path), f"cn={name}", above, delete_old=delete_old)
    except LDAPError as error:
        return error.code
    return SUCCESS


@settings(max_examples=40, deadline=None)
@given(script=st.lists(steps, min_size=5, max_size=40))
def test_a_dictionary_would_do_the_same(filled: Path, script: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        site = open_site(copytree(filled, Path(folder) / "store"), Clock())
        try:
            model = Model()
            for write in BEGINNING:
                assert ask(site, write) is model.run(write) is SUCCESS
            for step in script:
                write = step([*model.entries, ("nothing",)])
                assert ask(site, write) is model.run(write), write
            compare(site, model)
        finally:
            site.core.store.close()


def compare(site: Site, model: Model) -> None:
    with site.core.store.snapshot() as snapshot:
        assert list(check(snapshot, expectation(site.core, snapshot))) == []
        for path, entry in model.entries.items():
            found = site.read_in(snapshot, dn(path), *ATTRIBUTES)
            values = {a.type: [value.decode() for value in a.values] for a in found.attributes}
            assert values == entry
        # Five are the site's own.
        assert snapshot.entry_count() == len(model.entries) + 5
