"""What a directory tells a follower (RFC 4533 section 3): a search's content, then what
becomes of it.

A follower with a cookie is told what has changed since, as far as the change table goes
back; without one, or with one that is of no use here, everything (a present phase, whose
end says that what was not mentioned is gone).  Each refresh, and each round of changes in
the persist stage, is of one snapshot and ends with a cookie: what is told between two
cookies leads from one state of the directory to another.

An entry is told as it is at the end of a round, at the place of its first change and after
the entries above it.  Deletions are told by UUID, whether or not the client has had the
entry, which nobody knows after a while.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from ldapserver.access import View
from ldapserver.aliases import find_base
from ldapserver.controls import PAGED_RESULTS
from ldapserver.core import Core
from ldapserver.identity import Identity
from ldapserver.messages import Control, Deref, Result, Scope, SearchRequest
from ldapserver.ops.budget import Budget
from ldapserver.ops.controls import extras
from ldapserver.results import LDAPError, ResultCode
from ldapserver.sync.codec import (
    PLACEMENT_INFO,
    PLACEMENTS,
    SYNC_DONE,
    SYNC_INFO,
    SYNC_REQUEST,
    SYNC_STATE,
    EntryState,
    Mode,
    NewCookie,
    PlacementInfo,
    RefreshDelete,
    RefreshPresent,
    SyncDone,
    SyncIdSet,
    SyncInfo,
    SyncRequest,
    SyncState,
    decode_sync_request,
    encode_placement,
    encode_sync_done,
    encode_sync_info,
    encode_sync_state,
)
from ldapserver.sync.content import Content
from ldapserver.sync.cookie import Cookie, parse_cookie
from ldapserver.sync.entries import EntrySet
from ldapserver.walk import walk
from ldapserver.wire.encode import encode_controls, encode_intermediate_tail, entry_tail
from storage import csn as csns
from storage import keys, records
from storage.changes import Change, Kind
from storage.csn import NO_CSN, Csn
from storage.keys import NO_PLACEMENT, ROOT, EntryId, PlacementId
from storage.snapshot import Snapshot

# UUIDs in one message.
_IDS: Final = 500
# Rows of changes that are not the client's after which it is given a newer cookie all the same.
_ROWS: Final = 1_000

Answers: TypeAlias = "Generator[bytes, None, Result | Synchronisation]"


class Synchronisation:
    """One client's search with a sync request control.

    ``refresh`` and then, as long as this very object comes back, ``changes`` after each
    commit: they yield like ``Directory.search`` and end with a Result when it is over.
    ``number`` is the transaction up to which the client was told.
    """

    def __init__(
        self, core: Core, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> None:
        """Raises LDAPError."""
        self._core = core
        self._identity = identity
        self._request = request
        self._wanted = _sync_request(controls)
        self._cookie = parse_cookie(self._wanted.cookie)
        self._csn = NO_CSN
        self.number = 0
        # What the client does not have, as far as that is known.
        self._absent = EntrySet(full=True)
        self._untold = 0
        self._placements: set[PlacementId] | None = None
        if any(control.oid == PLACEMENTS for control in controls) and self._may_know_placements():
            self._placements = set()
        extras(core, SearchRequest, controls)
        if self._wanted.mode is Mode.REFRESH_AND_PERSIST and identity.anonymous:
            # It costs something for as long as it lasts.
            raise LDAPError(ResultCode.STRONGER_AUTH_REQUIRED, "bind first to be told of changes")
        if request.head.deref in (Deref.SEARCHING, Deref.ALWAYS):
            raise LDAPError(ResultCode.PROTOCOL_ERROR, "aliases can't be followed while content is")
        if any(control.oid == PAGED_RESULTS for control in controls):
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "content can't be followed page by page")

    def _may_know_placements(self) -> bool:
        core, head = self._core, self._request.head
        view: View = core.view(self._identity)
        kinds = map(core.schema.description, ("hostServer", "oldHostServer"))
        return head.scope is Scope.SUBTREE and all(view.readable(kind.type) for kind in kinds)

    # --- the two stages -----------------------------------------------------------------

    def refresh(self) -> Answers:
        with self._core.store.snapshot() as snapshot:
            core = self._core
            find_base(core, snapshot, core.state(snapshot).names, self._request.head.base, follow=False)
            content = Content(core, snapshot, self._identity, self._request)
            if self._placements is not None and not content.is_all:
                self._placements = None
            whole = not self._goes_on(snapshot)
            if whole and self._cookie_is_useless() and not self._wanted.reload_hint:
                return _REFRESH_REQUIRED
            if whole:
                yield from self._everything(content)
            else:
                assert self._cookie.csn is not None
                self._csn = self._cookie.csn
                self._absent = EntrySet(full=True, clear=snapshot.last_entry())
                yield from _Round(self, content, refreshing=True).run()
            self._reached(snapshot)
        cookie = bytes(self._new_cookie())
        if self._wanted.mode is Mode.REFRESH_ONLY:
            done = encode_sync_done(SyncDone(cookie, refresh_deletes=not whole))
            return Result(controls=(Control(SYNC_DONE, False, done),))
        yield _info(RefreshPresent(cookie) if whole else RefreshDelete(cookie))
        return self

    def changes(self) -> Answers:
        """What has changed since the last time."""
        with self._core.store.snapshot() as snapshot:
            if snapshot.last_change() == self._csn:
                self.number = snapshot.number
                return self
            if not snapshot.knows_change(self._csn):
                return _REFRESH_REQUIRED
            content = Content(self._core, snapshot, self._identity, self._request)
            round = _Round(self, content, refreshing=False)
            yield from round.run()
            self._reached(snapshot)
        self._untold += round.rows
        if not round.told and self._untold < _ROWS:
            return self
        self._untold = 0
        yield _info(NewCookie(bytes(self._new_cookie())))
        return self

    def _goes_on(self, snapshot: Snapshot) -> bool:
        csn = self._cookie.csn
        return csn is not None and csn != NO_CSN and snapshot.knows_change(csn)

    def _cookie_is_useless(self) -> bool:
        return self._cookie.foreign or self._cookie.csn not in (None, NO_CSN)

    def _reached(self, snapshot: Snapshot) -> None:
        self._csn, self.number = snapshot.last_change(), snapshot.number

    def _new_cookie(self) -> Cookie:
        return Cookie(self._csn, self._cookie.rid)

    # --- what is told ---------------------------------------------------------------------

    def _everything(self, content: Content) -> Generator[bytes, None, None]:
        snapshot = content.snapshot
        budget = content.budget()
        for entry in content.candidates():
            record = snapshot.entry(entry)
            assert record is not None
            matched = content.has(entry, record)
            if matched:
                yield from self.entry(content, entry, record, EntryState.ADD)
            if budget.spend(matched):
                yield b""

    def entry(
        self, content: Content, entry: EntryId, record: bytes, state: EntryState
    ) -> Generator[bytes, None, None]:
        """An entry of the content, and before it the placement that it is in."""
        value = encode_sync_state(SyncState(state, records.uuid_of(record)))
        controls: tuple[Control, ...] = (Control(SYNC_STATE, False, value),)
        number = records.placement_of(record)
        if self._placements is not None and number != NO_PLACEMENT:
            if number not in self._placements:
                yield self.placement(content, number)
            controls = (*controls, Control(PLACEMENTS, False, number))
        self._absent.discard(entry)
        yield content.tail(entry, record, controls)

    def deletion(self, uuid: bytes) -> bytes:
        """Of an entry whose DN is not known any more; one is wanted, so it gets another."""
        base = self._request.head.base
        dn = f"entryUUID={UUID(bytes=uuid)}" + (f",{base}" if base else "")
        value = encode_sync_state(SyncState(EntryState.DELETE, uuid))
        return entry_tail(dn.encode(), b"") + encode_controls((Control(SYNC_STATE, False, value),))

    def placement(self, content: Content, number: PlacementId) -> bytes:
        assert self._placements is not None
        self._placements.add(number)
        placement = content.snapshot.placement(number)
        container = content.snapshot.entry(placement.container)
        info = PlacementInfo(
            number,
            b"" if container is None else records.uuid_of(container),
            "" if placement.csn == NO_CSN else csns.text(placement.csn),
            placement.modifier.decode(),
            placement.host.name.decode() if placement.host else None,
            placement.old.name.decode() if placement.old else None,
        )
        return encode_intermediate_tail(PLACEMENT_INFO, encode_placement(info))

    @property
    def csn(self) -> Csn:
        return self._csn

    @property
    def knows_placements(self) -> bool:
        return self._placements is not None

    def lacks(self, entry: EntryId) -> bool:
        """Whether the client certainly does not have an entry."""
        return entry in self._absent

    def lost(self, entry: EntryId) -> None:
        self._absent.add(entry)


class _Round:
    """The changes between two states of the directory.  ``rows`` and ``told`` tell how much
    there was of them, and whether any of it was the client's."""

    def __init__(self, following: Synchronisation, content: Content, *, refreshing: bool) -> None:
        self._following = following
        self._content = content
        self._snapshot = content.snapshot
        self._refreshing = refreshing
        self._done = EntrySet()
        self._gone: list[bytes] = []
        self._budget = Budget(time_left=lambda: 1.0, look_through=0)
        self.rows = 0
        self.told = False

    def run(self) -> Generator[bytes, None, None]:
        for change in self._snapshot.changes(self._following.csn):
            self.rows += 1
            yield from self._change(change)
        yield from self._tell_gone()

    def _change(self, change: Change) -> Generator[bytes, None, None]:
        match change.kind:
            case Kind.ADD | Kind.MODIFY:
                yield from self._touch(change.subjects)
            case Kind.RENAME:
                for entry in change.subjects:
                    yield from self._touch(self._renamed(entry))
            case Kind.DELETE:
                for uuid in change.subjects:
                    yield from self._lose(uuid)
            case Kind.MOVE:
                for number in change.subjects:
                    yield from self._move(number)
            case _:
                assert_never(change.kind)

    def _renamed(self, entry: EntryId) -> Iterable[EntryId]:
        """What has another name now.  Who keeps the tree need not be told of what is below,
        unless it may have come from elsewhere or have left."""
        whole = self._following.knows_placements and self._content.base == ROOT
        return (entry,) if whole else walk(self._snapshot, entry)

    def _move(self, number: PlacementId) -> Generator[bytes, None, None]:
        following = self._following
        if not following.knows_placements:
            yield from self._touch(self._snapshot.each_id(keys.members(number)))
        elif self._content.is_below_base(self._snapshot.placement(number).container):
            self.told = True
            yield from self._tell_gone()
            yield following.placement(self._content, number)

    def _touch(self, entries: Iterable[EntryId]) -> Generator[bytes, None, None]:
        for entry in entries:
            if self._budget.go_on():
                yield b""
            if entry in self._done:
                continue
            record = self._snapshot.entry(entry)
            if record is None:
                continue  # its deletion is told in its turn
            self._done.add(entry)
            if self._content.has(entry, record):
                yield from self._tell(entry, record)
            elif not self._following.lacks(entry):
                self._following.lost(entry)
                yield from self._lose(records.uuid_of(record))

    def _tell(self, entry: EntryId, record: bytes) -> Generator[bytes, None, None]:
        """An entry as it is, under names that the client knows: those of changed entries
        above it are told first."""
        for above, its_record in (*self._changed_above(record), (entry, record)):
            yield from self._tell_gone()
            self.told = True
            new = self._refreshing or self._following.lacks(above)
            state = EntryState.ADD if new else EntryState.MODIFY
            yield from self._following.entry(self._content, above, its_record, state)

    def _changed_above(self, record: bytes) -> list[tuple[EntryId, bytes]]:
        """The topmost first."""
        found: list[tuple[EntryId, bytes]] = []
        parent = records.parent_of(record)
        while parent != ROOT:
            above = self._snapshot.entry(parent)
            assert above is not None
            changed = records.csn_of(above) > self._following.csn and parent not in self._done
            if changed and self._content.has(parent, above):
                self._done.add(parent)
                found.append((parent, above))
            parent = records.parent_of(above)
        return found[::-1]

    def _lose(self, uuid: bytes) -> Generator[bytes, None, None]:
        self._gone.append(uuid)
        if len(self._gone) >= _IDS:
            yield from self._tell_gone()

    def _tell_gone(self) -> Generator[bytes, None, None]:
        if self._gone:
            self.told = True
            gone, self._gone = self._gone, []
            if self._following.knows_placements:
                yield _info(SyncIdSet(tuple(gone), deletes=True))
                return
            # One by one: OpenLDAP's consumer may overlook members of a set below an entry
            # that was renamed just before.
            for uuid in gone:
                yield self._following.deletion(uuid)


_REFRESH_REQUIRED: Final = Result(
    ResultCode.SYNC_REFRESH_REQUIRED, message="what has changed since is not known; begin anew"
)


def _info(info: SyncInfo) -> bytes:
    return encode_intermediate_tail(SYNC_INFO, encode_sync_info(info))


def _sync_request(controls: tuple[Control, ...]) -> SyncRequest:
    for control in controls:
        if control.oid == SYNC_REQUEST:
            return decode_sync_request(control.value)
    raise LDAPError(ResultCode.PROTOCOL_ERROR, "no sync request")
