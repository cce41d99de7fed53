"""What followers are told: stages, phases, cookies, and whose business it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from ldapserver.controls import PAGED_RESULTS, PagedResults, encode_paged_results
from ldapserver.messages import Control, Deref, Rehost, Restore, Scope, SearchHead, SearchRequest
from ldapserver.results import LDAPError, ResultCode
from ldapserver.sync.codec import (
    PLACEMENTS,
    EntryState,
    Mode,
    NewCookie,
    PlacementInfo,
    RefreshDelete,
    RefreshPresent,
    SyncDone,
    SyncIdSet,
)
from ldapserver.testing import EphemeralDirectory
from storage import txn as storage_txn
from tests.ldapserver.sync.following import Listener, control, request

DOMAIN = "cn=a.example,o=site"

SITE = f"""\
dn: o=site
objectClass: organization
o: site

dn: {DOMAIN}
objectClass: CommuniGateDomain
cn: a.example

dn: uid=alice,{DOMAIN}
objectClass: CommuniGateAccount
uid: alice
cn: Alice
sn: Alice
hostServer: be1
userPassword: {{SSHA}}secret

dn: uid=bob,{DOMAIN}
objectClass: CommuniGateAccount
uid: bob
cn: Bob
sn: Bob
hostServer: be2

"""

ADD, MODIFY, DELETE = EntryState.ADD, EntryState.MODIFY, EntryState.DELETE


@pytest.fixture
def directory() -> Iterator[EphemeralDirectory]:
    with EphemeralDirectory(SITE) as directory:
        yield directory


def names(listener: Listener) -> set[str]:
    return {entry.dn for entry in listener.entries.values()}


def entries(heard: Sequence[object]) -> list[tuple[EntryState, str]]:
    return [item for item in heard if isinstance(item, tuple)]


def bulk(directory: EphemeralDirectory, wanted: Rehost | Restore) -> None:
    directory.local.bulk(directory.local.core.administrator, wanted).result()


def trimmed(monkeypatch: pytest.MonkeyPatch, directory: EphemeralDirectory) -> None:
    """Have the history forgotten, but for its end."""
    monkeypatch.setattr(storage_txn, "CHANGES_KEPT", 3)
    monkeypatch.setattr(storage_txn, "_TRIM_EVERY", 1)
    for i in range(10):
        directory.modify("o=site", replace={"description": str(i)})


# --- the refresh stage ------------------------------------------------------------------


def test_everything_at_first(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request(base=DOMAIN), control(Mode.REFRESH_ONLY))
    assert entries(listener.first) == [
        (ADD, DOMAIN),
        (ADD, f"uid=alice,{DOMAIN}"),
        (ADD, f"uid=bob,{DOMAIN}"),
    ]
    done = listener.first[-1]
    assert isinstance(done, SyncDone)
    assert not done.refresh_deletes
    assert done.cookie is not None
    assert done.cookie.startswith(b"rid=000,csn=")
    assert listener.result is not None
    assert listener.result.code is ResultCode.SUCCESS


def test_then_what_has_changed(directory: EphemeralDirectory) -> None:
    first = Listener(directory, request(), control(Mode.REFRESH_ONLY))
    again = Listener(directory, request(), control(Mode.REFRESH_ONLY, first.cookie))
    assert again.first == [SyncDone(first.cookie, refresh_deletes=True)]
    directory.add(f"uid=carol,{DOMAIN}", {"objectClass": "CommuniGateAccount", "cn": "C", "sn": "C"})
    directory.modify(f"uid=carol,{DOMAIN}", replace={"sn": "D"})
    directory.delete(f"uid=alice,{DOMAIN}")
    again = Listener(directory, request(), control(Mode.REFRESH_ONLY, first.cookie))
    assert [state for state, _ in entries(again.first)] == [ADD, DELETE]
    done = again.first[-1]
    assert isinstance(done, SyncDone)
    assert done.refresh_deletes
    assert done.cookie != first.cookie


def test_the_end_of_the_stage(directory: EphemeralDirectory) -> None:
    first = Listener(directory, request())
    assert first.first[-1] == RefreshPresent(first.cookie)
    second = Listener(directory, request(), control(cookie=first.cookie))
    assert second.first == [RefreshDelete(first.cookie)]
    assert first.standing is not None
    assert second.standing is not None


def test_the_mark_of_a_client_comes_back(directory: EphemeralDirectory) -> None:
    first = Listener(directory, request(), control(cookie=b"rid=042"))
    assert first.cookie is not None
    assert first.cookie.startswith(b"rid=042,csn=")
    assert first.first[-1] == RefreshPresent(first.cookie)


def test_a_name_used_again(directory: EphemeralDirectory) -> None:
    """What is gone is told before what took its name."""
    listener = Listener(directory, request())
    directory.delete(f"uid=alice,{DOMAIN}")
    directory.add(f"uid=alice,{DOMAIN}", {"objectClass": "CommuniGateAccount", "cn": "C", "sn": "C"})
    assert [state for state, _ in entries(listener.more())] == [DELETE, ADD]
    assert len(listener.entries) == 4


def test_parents_first(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request())
    directory.modify(f"uid=alice,{DOMAIN}", replace={"sn": "A"})
    directory.add("cn=b.example,o=site", {"objectClass": "CommuniGateDomain"})
    directory.rename(f"uid=alice,{DOMAIN}", "uid=alice", "cn=b.example,o=site")
    told = entries(listener.more())
    assert told == [(ADD, "cn=b.example,o=site"), (MODIFY, "uid=alice,cn=b.example,o=site")]


# --- cookies of no use ------------------------------------------------------------------


@pytest.mark.parametrize("cookie", [b"rid=001,csn=20990101000000.000000Z#000000#000#000000", b"?", b"csn=x"])
def test_a_cookie_that_is_not_ours(directory: EphemeralDirectory, cookie: bytes) -> None:
    refused = Listener(directory, request(), control(cookie=cookie))
    assert refused.first == []
    assert refused.result is not None
    assert refused.result.code is ResultCode.SYNC_REFRESH_REQUIRED
    told = Listener(directory, request(), control(cookie=cookie, reload=True))
    assert len(entries(told.first)) == 4
    assert isinstance(told.first[-1], RefreshPresent)


def test_a_history_that_is_gone(directory: EphemeralDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Listener(directory, request(), control(Mode.REFRESH_ONLY))
    standing = Listener(directory, request())
    trimmed(monkeypatch, directory)
    refused = Listener(directory, request(), control(cookie=first.cookie))
    assert refused.result is not None
    assert refused.result.code is ResultCode.SYNC_REFRESH_REQUIRED
    reloaded = Listener(directory, request(), control(Mode.REFRESH_ONLY, first.cookie, reload=True))
    assert len(entries(reloaded.first)) == 4
    assert standing.more() == []
    assert standing.result is not None
    assert standing.result.code is ResultCode.SYNC_REFRESH_REQUIRED


# --- the persist stage ------------------------------------------------------------------


def test_nothing_is_told_of_nothing(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request())
    assert listener.more() == []


def test_scope_and_filter(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request("(hostServer=be1)", DOMAIN, "uid"))
    assert names(listener) == {f"uid=alice,{DOMAIN}"}
    # Not the client's before or after: no word of it.
    directory.modify(f"uid=bob,{DOMAIN}", replace={"sn": "B"})
    directory.modify("o=site", replace={"description": "x"})
    assert listener.more() == []
    steps: list[tuple[Callable[[], None], EntryState, set[str]]] = [
        (
            lambda: directory.modify(f"uid=bob,{DOMAIN}", replace={"hostServer": "be1"}),
            ADD,
            {"alice", "bob"},
        ),
        (lambda: directory.modify(f"uid=bob,{DOMAIN}", replace={"sn": "C"}), MODIFY, {"alice", "bob"}),
        (lambda: directory.modify(f"uid=bob,{DOMAIN}", replace={"hostServer": "be2"}), DELETE, {"alice"}),
        (lambda: bulk(directory, Rehost("be1", "be3")), DELETE, set()),
        (lambda: bulk(directory, Restore("be1")), ADD, {"alice"}),
        (lambda: directory.rename(f"uid=alice,{DOMAIN}", "uid=alice", "o=site"), DELETE, set()),
        (lambda: directory.rename("uid=alice,o=site", "uid=al", DOMAIN), ADD, {"al"}),
        (lambda: directory.delete(f"uid=al,{DOMAIN}"), DELETE, set()),
    ]
    for change, state, left in steps:
        change()
        heard = listener.more()
        assert [told for told, _ in entries(heard)] == [state]
        assert isinstance(heard[-1], NewCookie)
        assert names(listener) == {f"uid={uid},{DOMAIN}" for uid in left}


def test_a_cookie_moves_on_without_news(
    directory: EphemeralDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ldapserver.sync.provider._ROWS", 5)
    listener = Listener(directory, request("(uid=bob)"))
    heard = []
    for i in range(7):
        directory.modify(f"uid=alice,{DOMAIN}", replace={"sn": str(i)})
        heard += listener.more()
    assert heard == [NewCookie(listener.cookie or b"")]


def test_a_renamed_tree(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request())
    directory.rename(DOMAIN, "cn=b.example")
    assert len(entries(listener.more())) == 3
    assert names(listener) == {entry.dn for entry in directory.search()}
    below = Listener(directory, request(base="cn=b.example,o=site"))
    directory.rename("cn=b.example,o=site", "cn=c.example")
    assert [state for state, _ in entries(below.more())] == [DELETE] * 3
    directory.rename("cn=c.example,o=site", "cn=b.example")
    assert [state for state, _ in entries(below.more())] == [ADD] * 3


def test_a_move_is_told_of_each_entry_or_of_its_placement(directory: EphemeralDirectory) -> None:
    plain = Listener(directory, request())
    ours = Listener(directory, request(), control(), Control(PLACEMENTS, False, None))
    numbers = [item.number for item in ours.first if isinstance(item, PlacementInfo)]
    assert len(set(numbers)) == 2
    bulk(directory, Rehost("be1", "be7"))
    assert entries(plain.more()) == [(MODIFY, f"uid=alice,{DOMAIN}")]
    told, cookie = ours.more()
    assert isinstance(told, PlacementInfo)
    assert (told.host, told.old_host) == ("be7", "be1")
    assert told.modifier == "cn=admin"
    assert isinstance(cookie, NewCookie)


def test_placements_are_not_for_parts(directory: EphemeralDirectory) -> None:
    """A filter may be about hosts: what is in it must then be told by entries."""
    wanted = request("(hostServer=be1)")
    listener = Listener(directory, wanted, control(), Control(PLACEMENTS, False, None))
    assert not any(isinstance(item, PlacementInfo) for item in listener.first)
    bulk(directory, Rehost("be1", "be7"))
    assert [state for state, _ in entries(listener.more())] == [DELETE]


def test_many_deletions_are_one_message_to_our_own(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request(), control(), Control(PLACEMENTS, False, None))
    for name in ("alice", "bob"):
        directory.delete(f"uid={name},{DOMAIN}")
    told, _ = listener.more()
    assert isinstance(told, SyncIdSet)
    assert told.deletes
    assert len(told.uuids) == 2


# --- rights, and what is refused ----------------------------------------------------------


def test_only_what_the_client_may_read(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request(), control(Mode.REFRESH_ONLY), identity=directory.bind("", ""))
    alice = next(entry for entry in listener.entries.values() if entry.dn.startswith("uid=alice"))
    assert "userPassword" not in {attribute.type for attribute in alice.attributes}
    hidden = Listener(
        directory, request("(userPassword=*)"), control(Mode.REFRESH_ONLY), identity=directory.bind("", "")
    )
    assert names(hidden) == set()
    secret = Listener(directory, request("(userPassword=*)"))
    assert names(secret) == {f"uid=alice,{DOMAIN}"}


def test_plus_is_what_entries_have_of_their_own(directory: EphemeralDirectory) -> None:
    listener = Listener(directory, request("(uid=bob)", "", "*", "+"))
    (entry,) = listener.entries.values()
    kinds = {attribute.type for attribute in entry.attributes}
    assert {"sn", "entryUUID", "entryCSN", "structuralObjectClass"} <= kinds
    assert not kinds & {"entryDN", "numSubordinates", "hasSubordinates", "subschemaSubentry"}


def refusal(directory: EphemeralDirectory, wanted: SearchRequest, *controls: Control) -> ResultCode:
    with pytest.raises(LDAPError) as caught:
        Listener(directory, wanted, *controls)
    return caught.value.code


def test_what_is_refused(directory: EphemeralDirectory) -> None:
    assert refusal(directory, request(base="o=none")) is ResultCode.NO_SUCH_OBJECT
    head = SearchHead("", Scope.SUBTREE, Deref.ALWAYS, 0, 0, False)
    assert refusal(directory, SearchRequest(head, request().filter, ())) is ResultCode.PROTOCOL_ERROR
    paged = Control(PAGED_RESULTS, False, encode_paged_results(PagedResults(10, b"")))
    assert refusal(directory, request(), control(), paged) is ResultCode.UNWILLING_TO_PERFORM
    assert refusal(directory, request(), Control(control().oid, True, b"?")) is ResultCode.PROTOCOL_ERROR
    with pytest.raises(LDAPError) as caught:
        Listener(directory, request(), identity=directory.bind("", ""))
    assert caught.value.code is ResultCode.STRONGER_AUTH_REQUIRED
    with pytest.raises(LDAPError) as caught:
        next(directory.local.search(directory.local.core.administrator, request(), (control(),)))
    assert caught.value.code is ResultCode.PROTOCOL_ERROR
