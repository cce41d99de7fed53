"""A copy is what its provider is: after random changes, cuts, and a history that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ldapserver.core import Settings
from ldapserver.local import LocalDirectory
from ldapserver.messages import BulkModify, Change, Equality, ModifyOp, Rehost, Restore, Selection
from ldapserver.results import LDAPError
from ldapserver.sync.copy import Copy
from ldapserver.sync.writing import CopyError
from ldapserver.testing import EphemeralDirectory
from ldapserver.wire.encode import envelope
from storage import txn as storage_txn
from tests.ldapserver.sync.following import Line, differences, dump

SITE = """\
dn: o=site
objectClass: organization
o: site

dn: o=elsewhere
objectClass: organization
o: elsewhere

"""

HOSTS = ("be1", "be2", "be3")


@pytest.fixture
def provider() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(SITE) as directory:
        yield directory


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[LocalDirectory]:
    directory = LocalDirectory.open(tmp_path / "replica", Settings(map_size=64 << 20, sync=False))
    yield directory
    problems = list(directory.check())
    directory.close()
    assert not problems, problems


class Operator:
    """Does at random what can be done to a directory."""

    def __init__(self, directory: EphemeralDirectory, random: Random) -> None:
        self._directory = directory
        self._random = random
        self._verbs = (
            *(self.add,) * 6,
            *(self.modify,) * 6,
            *(self.delete,) * 3,
            *(self.rename,) * 4,
            *(self.rehost,) * 3,
            self.restore,
            self.bulk,
            self.delete_tree,
        )

    def work(self, steps: int) -> None:
        for _ in range(steps):
            try:
                self._random.choice(self._verbs)()
            except LDAPError:
                """Asked for what cannot be done."""

    def names(self) -> list[str]:
        return [entry.dn for entry in self._directory.search()]

    def entry(self) -> str:
        return self._random.choice(self.names())

    def container(self) -> str:
        found = [name for name in self.names() if not name.startswith("uid=")]
        return self._random.choice(found)

    def add(self) -> None:
        parent, name = self.container(), f"n{self._random.randrange(12)}"
        if self._random.random() < 0.3:
            self._directory.add(f"cn={name},{parent}", {"objectClass": "CommuniGateDomain"})
        else:
            given = {"objectClass": "CommuniGateAccount", "cn": name, "sn": name}
            host = self._random.choice((None, *HOSTS))
            self._directory.add(f"uid={name},{parent}", {**given, "hostServer": host} if host else given)

    def modify(self) -> None:
        name, value = self.entry(), f"v{self._random.randrange(100)}"
        attribute = self._random.choice(("description", "hostServer", "userPassword"))
        if attribute == "hostServer":
            value = self._random.choice(HOSTS)
        if attribute == "userPassword":
            value = f"{{SSHA}}{value}"
        self._directory.modify(name, replace={attribute: value})

    def delete(self) -> None:
        name = self.entry()
        if not name.startswith("o="):
            self._directory.delete(name)

    def delete_tree(self) -> None:
        base = self.entry()
        if not base.startswith("o="):
            for entry in reversed(self._directory.search(base=base)):
                self._directory.delete(entry.dn)

    def rename(self) -> None:
        name = self.entry()
        if name.startswith("o="):
            return
        kind = name.partition("=")[0]
        rdn = f"{kind}=n{self._random.randrange(12)}"
        superior = self.container() if self._random.random() < 0.5 else None
        self._directory.rename(name, rdn, superior)

    def rehost(self) -> None:
        source, target = self._random.sample(HOSTS, 2)
        base = self.container() if self._random.random() < 0.3 else ""
        self._bulk(Rehost(source, target, Selection(base)))

    def restore(self) -> None:
        self._bulk(Restore(self._random.choice(HOSTS)))

    def bulk(self) -> None:
        change = Change(ModifyOp.REPLACE, "description", (b"%d" % self._random.randrange(100),))
        self._bulk(BulkModify(Selection(filter=Equality("sn", b"n1")), (change,)))

    def _bulk(self, request: Rehost | Restore | BulkModify) -> None:
        local = self._directory.local
        local.bulk(local.core.administrator, request).result()


@pytest.mark.parametrize("plain", [False, True], ids=["placements", "plain"])
@pytest.mark.parametrize("base", ["", "o=site"])
@pytest.mark.parametrize("seed", range(6))
def test_random_changes(
    provider: EphemeralDirectory, replica: LocalDirectory, base: str, plain: bool, seed: int
) -> None:
    random = Random(seed)
    operator = Operator(provider, random)
    operator.work(40)
    line = Line(provider.local, Copy(replica, base), plain=plain)
    line.connect()
    for _ in range(25):
        operator.work(random.randrange(1, 12))
        match random.randrange(6):
            case 0:
                line.cut()
                operator.work(random.randrange(10))
                line.connect()
            case 1:
                line.carry(cut=random.randrange(10))
                line.cut()
                operator.work(random.randrange(10))
                line.connect()
            case _:
                line.carry()
        assert differences(dump(replica, base), dump(provider.local, base)) == []
        assert list(replica.check()) == []


def test_a_history_that_is_gone(
    provider: EphemeralDirectory, replica: LocalDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Operator(provider, Random(1))
    operator.work(60)
    copy = Copy(replica)
    line = Line(provider.local, copy)
    line.connect()
    line.cut()
    before = dump(replica)
    monkeypatch.setattr(storage_txn, "CHANGES_KEPT", 10)
    monkeypatch.setattr(storage_txn, "_TRIM_EVERY", 1)
    operator.work(60)
    with pytest.raises(CopyError):
        line.connect()
    copy.forget()
    assert dump(replica) == before
    assert copy.loaded
    line.connect()
    assert differences(dump(replica), dump(provider.local)) == []
    operator.work(60)
    with pytest.raises(CopyError):
        line.carry()


def test_a_provider_that_is_an_older_one(provider: EphemeralDirectory, replica: LocalDirectory) -> None:
    """Restored from a backup: what is told then must not be taken for the copy's future."""
    operator = Operator(provider, Random(2))
    operator.work(40)
    image = provider.snapshot()
    copy = Copy(replica)
    line = Line(provider.local, copy)
    operator.work(20)
    line.connect()
    line.cut()
    provider.restore(image)
    line = Line(provider.local, copy)
    with pytest.raises(CopyError):
        line.connect()
    copy.forget()
    line.connect()
    assert differences(dump(replica), dump(provider.local)) == []


def test_another_base(provider: EphemeralDirectory, replica: LocalDirectory) -> None:
    Operator(provider, Random(3)).work(60)
    line = Line(provider.local, Copy(replica, "o=site"))
    line.connect()
    line.cut()
    other = Copy(replica, "o=elsewhere")
    assert not other.loaded
    line = Line(provider.local, other)
    line.connect()
    assert differences(dump(replica), dump(provider.local, "o=elsewhere")) == []


def test_a_move_is_one_message(provider: EphemeralDirectory, replica: LocalDirectory) -> None:
    account = {"objectClass": "CommuniGateAccount", "cn": "n", "sn": "n", "hostServer": "be1"}
    provider.add("cn=a.example,o=site", {"objectClass": "CommuniGateDomain"})
    for i in range(200):
        provider.add(f"uid=u{i},cn=a.example,o=site", account)
    line = Line(provider.local, Copy(replica))
    line.connect()
    line.sent = 0
    provider.local.bulk(provider.local.core.administrator, Rehost("be1", "be2")).result()
    line.carry()
    assert line.sent == 2  # the placement, the cookie
    assert differences(dump(replica), dump(provider.local)) == []


def test_readers_see_the_old_copy_until_a_refresh_ends(
    provider: EphemeralDirectory, replica: LocalDirectory
) -> None:
    operator = Operator(provider, Random(4))
    operator.work(60)
    copy = Copy(replica)
    line = Line(provider.local, copy)
    line.connect()
    line.cut()
    before = dump(replica)
    operator.work(30)
    copy.forget()
    wanted, controls = copy.begin()
    core = provider.local.core
    answers = provider.local.synchronise(core.administrator, wanted, controls)
    for tail in filter(None, answers):
        assert dump(replica) == before
        copy.take([envelope(1, tail)])
    assert differences(dump(replica), dump(provider.local)) == []
