"""A provider and what follows it, without a connection between them."""

from __future__ import annotations

from collections.abc import Generator
from io import BytesIO

from ldapserver.directory import Standing
from ldapserver.filters import parse_filter
from ldapserver.identity import Identity
from ldapserver.local import LocalDirectory
from ldapserver.messages import Control, Deref, Entry, Result, Scope, SearchHead, SearchRequest
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
    decode_placement,
    decode_sync_done,
    decode_sync_info,
    decode_sync_state,
    encode_sync_request,
)
from ldapserver.sync.copy import Copy
from ldapserver.testing import EphemeralDirectory
from ldapserver.transfer import export_ldif
from ldapserver.wire.client import Intermediate, decode_tail
from ldapserver.wire.encode import encode_result_tail, envelope
from ldapserver.wire.tags import SEARCH_DONE

Told = tuple[EntryState, str] | SyncInfo | PlacementInfo | SyncDone


def request(filter: str = "(objectClass=*)", base: str = "", *attributes: str) -> SearchRequest:
    head = SearchHead(base, Scope.SUBTREE, Deref.NEVER, 0, 0, False)
    return SearchRequest(head, parse_filter(filter), attributes)


def control(
    mode: Mode = Mode.REFRESH_AND_PERSIST, cookie: bytes | None = None, *, reload: bool = False
) -> Control:
    return Control(SYNC_REQUEST, True, encode_sync_request(SyncRequest(mode, cookie, reload)))


class Listener:
    """Asks a directory and tells what it hears, decoded; ``entries`` is what a simple client
    makes of it, by UUID."""

    def __init__(
        self,
        directory: EphemeralDirectory,
        wanted: SearchRequest,
        *controls: Control,
        identity: Identity | None = None,
    ) -> None:
        self._directory = directory.local
        self._identity = identity or directory.local.core.administrator
        self._wanted = wanted
        self.standing: Standing | None = None
        self.result: Result | None = None
        self.cookie: bytes | None = None
        self.entries: dict[bytes, Entry] = {}
        self._present: set[bytes] = set()
        self.first = self._run(self._directory.synchronise(self._identity, wanted, controls or (control(),)))

    def more(self) -> list[Told]:
        assert self.standing is not None
        return self._run(self.standing.changes())

    def _run(self, answers: Generator[bytes, None, Result | Standing]) -> list[Told]:
        tails, outcome = run(answers)
        heard = [self._hear(tail) for tail in tails]
        self.standing, self.result = (None, outcome) if isinstance(outcome, Result) else (outcome, None)
        for each in outcome.controls if isinstance(outcome, Result) else ():
            if each.oid == SYNC_DONE:
                done = decode_sync_done(each.value)
                self.cookie = done.cookie or self.cookie
                if not done.refresh_deletes:
                    self._forget_absent()
                heard.append(done)
        return heard

    def _hear(self, tail: bytes) -> Told:
        response = decode_tail(tail)
        answer = response.answer
        if isinstance(answer, Entry):
            (state,) = (each for each in response.controls if each.oid == SYNC_STATE)
            told = decode_sync_state(state.value)
            if told.state is EntryState.DELETE:
                self.entries.pop(told.uuid, None)
            elif told.state is not EntryState.PRESENT:
                self.entries[told.uuid] = answer
            self._present.add(told.uuid)
            return (told.state, answer.dn)
        assert isinstance(answer, Intermediate)
        if answer.oid == PLACEMENT_INFO:
            return decode_placement(answer.value)
        assert answer.oid == SYNC_INFO
        return self._hear_info(decode_sync_info(answer.value))

    def _hear_info(self, info: SyncInfo) -> SyncInfo:
        self.cookie = info.cookie or self.cookie
        match info:
            case SyncIdSet(uuids, True):
                for uuid in uuids:
                    self.entries.pop(uuid, None)
            case SyncIdSet(uuids):
                self._present.update(uuids)
            case RefreshPresent():
                self._forget_absent()
            case RefreshDelete() | NewCookie():
                pass
        return info

    def _forget_absent(self) -> None:
        self.entries = {uuid: entry for uuid, entry in self.entries.items() if uuid in self._present}


def run(
    answers: Generator[bytes, None, Result | Standing],
) -> tuple[list[bytes], Result | Standing]:
    tails: list[bytes] = []
    while True:
        try:
            tail = next(answers)
        except StopIteration as stop:
            outcome: Result | Standing = stop.value
            return tails, outcome
        if tail:
            tails.append(tail)


class Line:
    """A provider and a copy of it.  ``plain`` hides that the copy knows placements;
    ``sent`` counts the messages."""

    def __init__(self, provider: LocalDirectory, copy: Copy, *, plain: bool = False) -> None:
        self._provider = provider
        self._copy = copy
        self._plain = plain
        self._standing: Standing | None = None
        self.sent = 0

    def connect(self) -> None:
        """Raises what ``Copy.take`` does."""
        wanted, controls = self._copy.begin()
        if self._plain:
            controls = tuple(each for each in controls if each.oid != PLACEMENTS)
        core = self._provider.core
        self._carry(self._provider.synchronise(core.administrator, wanted, controls))

    def carry(self, cut: int | None = None) -> None:
        """Bring what has changed; with ``cut``, only so many messages of it."""
        assert self._standing is not None
        self._carry(self._standing.changes(), cut)

    def cut(self) -> None:
        """Lose the connection."""
        self._standing = None
        self._copy.end()

    def _carry(self, answers: Generator[bytes, None, Result | Standing], cut: int | None = None) -> None:
        tails, outcome = run(answers)
        self.sent += len(tails)
        frames = [envelope(7, tail) for tail in tails]
        if isinstance(outcome, Result):
            frames.append(envelope(7, encode_result_tail(SEARCH_DONE, outcome)))
        else:
            self._standing = outcome
        self._copy.take(frames[:cut])


def dump(directory: LocalDirectory, base: str = "") -> list[str]:
    """All entries with their past, in an order of their own."""
    out = BytesIO()
    try:
        export_ldif(directory, out, base)
    except LDAPError as error:
        if error.code is not ResultCode.NO_SUCH_OBJECT:
            raise
    return sorted(out.getvalue().decode().split("\n\n"))


def differences(first: list[str], second: list[str]) -> list[str]:
    return sorted(set(first) ^ set(second))
