"""cgctl failover and restore against OpenLDAP's slapd, by ordinary LDAP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.slapd import Slapd, running_slapd
from tests.peers.test_slapd_rehost import cgctl, count, search, site

SERVER = """\
dn: cn={name},cn=servers,o=site
objectClass: cgnodeServer
cn: {name}
serverRole: backend
serverState: {state}

"""

TABLE = "dn: cn=servers,o=site\nobjectClass: cgnodeServers\ncn: servers\n\n" + "".join(
    SERVER.format(name=name, state=state)
    for name, state in (("be3", "active"), ("be5", "Active"), ("be7", "down"))
)


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    (tmp_path / "slapd").mkdir()
    with running_slapd(tmp_path / "slapd", site(30) + TABLE) as server:
        yield server


@pytest.fixture(params=[[], ["--no-transaction"]], ids=["transaction", "one by one"])
def mode(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param
    return found


def facts(slapd: Slapd, *arguments: str) -> Any:
    return json.loads(cgctl(slapd, *arguments, "--json"))


def down(slapd: Slapd) -> bool:
    return count(slapd, "(&(cn=be3)(serverState=down))") == 1


def test_there_and_back(slapd: Slapd, mode: list[str]) -> None:
    before = search(slapd, "(objectClass=*)")
    tried = facts(slapd, "failover", "be3", "--to", "be5", "--dry-run", *mode)
    assert (tried["moved"], tried["marked"], down(slapd)) == (40, True, False)
    done = facts(slapd, "failover", "be3", "--to", "be5", *mode)
    assert (done["moved"], done["state"], done["marked"]) == (40, "down", True)
    assert (down(slapd), count(slapd, "(hostServer=be3)")) == (True, 0)
    again = facts(slapd, "failover", "be3", "--to", "be5", *mode)
    assert (again["moved"], again["state"], again["marked"]) == (0, "down", False)
    back = facts(slapd, "restore", "be3", *mode)
    assert (back["changed"], back["state"], back["marked"]) == (40, "active", True)
    assert sorted(search(slapd, "(objectClass=*)").splitlines()) == sorted(before.splitlines())


def test_a_domain_at_a_time(slapd: Slapd, mode: list[str]) -> None:
    first = facts(slapd, "failover", "be3", "--to", "be5", "--domain", "a.example", *mode)
    assert (first["moved"], first["state"], down(slapd)) == (20, "active", False)
    last = facts(slapd, "failover", "be3", "--to", "be5", "--domain", "B.example", *mode)
    assert (last["moved"], last["state"], down(slapd)) == (20, "down", True)


def test_refused(slapd: Slapd) -> None:
    for sibling, reason in [
        ("be7", "be7 is down; cgctl server up be7 says that it is not"),
        ("be8", "there is no server be8; known are: be3, be5, be7"),
        ("be3", "be3 can't cover for itself; --to names another server"),
    ]:
        assert cgctl(slapd, "failover", "be3", "--to", sibling, status=1) == f"cgctl: {reason}\n"
    error = cgctl(slapd, "failover", "be3", "--to", "be5", "--domain", "c.example", status=1)
    assert error == "cgctl: no such object (the nearest entry is o=site); nothing was changed\n"
    nobody = Slapd(slapd.url, "", "")
    error = cgctl(nobody, "failover", "be3", "--to", "be5", "--no-transaction", status=1)
    assert error.endswith("; nothing was changed\n")
    assert (down(slapd), count(slapd, "(hostServer=be3)")) == (False, 40)
