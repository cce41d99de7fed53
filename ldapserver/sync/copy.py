"""A copy of a provider's content (RFC 4533) in a directory of this machine.

What was told between two cookies is one transaction, with the later cookie in it: readers
see states that the provider was in, and a copy that was cut off goes on from its cookie.  A
refresh is one transaction, however long: until its end readers see the copy as it was.

One thread at a time may call; from ``begin`` to ``end`` it must be the same one.  What must
not live here: connections.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Final

from ldapserver.dn import parse_dn
from ldapserver.local import LocalDirectory
from ldapserver.messages import Control, Deref, Entry, Present, Result, Scope, SearchHead, SearchRequest
from ldapserver.names import key_of
from ldapserver.results import LDAPError, ResultCode
from ldapserver.sync.codec import (
    PLACEMENT_INFO,
    PLACEMENTS,
    SYNC_INFO,
    SYNC_REQUEST,
    SYNC_STATE,
    EntryState,
    Mode,
    NewCookie,
    PlacementInfo,
    RefreshDelete,
    RefreshPresent,
    SyncIdSet,
    SyncRequest,
    SyncState,
    decode_placement,
    decode_placement_number,
    decode_sync_info,
    decode_sync_state,
    encode_sync_request,
)
from ldapserver.sync.recording import Recorder
from ldapserver.sync.writing import CopyError, ToldEntry, Writing
from ldapserver.wire.client import Intermediate, Response, decode_response

log = logging.getLogger(__name__)

_COOKIE: Final = b"sync-cookie"
_BASE: Final = b"sync-base"

# Messages of one transaction in the persist stage; more of one change are several.
_MOST: Final = 20_000

ATTRIBUTES: Final = (
    "*",
    "creatorsName",
    "createTimestamp",
    "entryCSN",
    "modifiersName",
    "modifyTimestamp",
)


class Copy:
    """Of all below ``base``, with it.  ``persisting``: the copy is what the provider has, but
    for what is on its way."""

    def __init__(self, directory: LocalDirectory, base: str = "") -> None:
        self._core = directory.core
        self._base = str(parse_dn(base))
        self._recorder = Recorder(self._core, _told_once())
        self._scope = ExitStack()
        self._writing: Writing | None = None
        self._messages = 0
        self._placements: dict[bytes, PlacementInfo] = {}
        self.persisting = False

    # --- before a connection ------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether there is a whole copy, of whatever time."""
        return self._meta(_COOKIE) is not None and self._is_of_base()

    def begin(self) -> tuple[SearchRequest, tuple[Control, ...]]:
        """What to ask a provider."""
        self.end()
        self._placements = {}
        cookie = (self._meta(_COOKIE) if self._is_of_base() else None) or None
        head = SearchHead(self._base, Scope.SUBTREE, Deref.NEVER, 0, 0, False)
        wanted = SyncRequest(Mode.REFRESH_AND_PERSIST, cookie)
        controls = (
            Control(SYNC_REQUEST, True, encode_sync_request(wanted)),
            Control(PLACEMENTS, False, None),
        )
        return SearchRequest(head, Present("objectClass"), ATTRIBUTES), controls

    def end(self) -> None:
        """Undo what is not whole."""
        self.persisting = False
        self._writing = None
        self._messages = 0
        scope, self._scope = self._scope, ExitStack()
        scope.__exit__(_Undone, _Undone(), None)

    def forget(self) -> None:
        """Ask for everything next time; readers keep what there is."""
        self.end()
        if self._meta(_COOKIE):
            with self._core.store.write() as txn:
                txn.set_meta(_COOKIE, b"")

    # --- what is told -------------------------------------------------------------------

    def take(self, messages: Iterable[bytes]) -> None:
        """What the provider has answered to ``begin``'s request.

        Raises CopyError where only a copy made anew will help, LDAPError for a refusal,
        ProtocolViolation, and the store's errors.
        """
        for message in messages:
            response = decode_response(message)
            match response.answer:
                case Entry():
                    self._take_entry(response, response.answer)
                case Intermediate(oid, value):
                    if oid == SYNC_INFO:
                        self._take_info(value)
                    elif oid == PLACEMENT_INFO:
                        self._write().place(decode_placement(value))
                case Result(code, _, text):
                    self._ended(code, text)
                case _:  # a referral to another server's part, which is not this copy's
                    pass

    @property
    def pending(self) -> bool:
        """Whether something was told in the persist stage that readers do not see yet."""
        return self.persisting and self._writing is not None

    def settle(self) -> None:
        """Show what is pending, whose provider gives no cookie for it."""
        if self.pending:
            self._commit(None)

    def _take_entry(self, response: Response, entry: Entry) -> None:
        controls = {control.oid: control.value for control in response.controls}
        if SYNC_STATE not in controls:
            raise CopyError("an entry without its state; the server does not know RFC 4533")
        told = decode_sync_state(controls[SYNC_STATE])
        number = decode_placement_number(controls[PLACEMENTS]) if PLACEMENTS in controls else None
        writing = self._write()
        match told.state:
            case EntryState.ADD | EntryState.MODIFY:
                self._put(writing, told, entry, number)
            case EntryState.DELETE:
                writing.gone((told.uuid,))
            case EntryState.PRESENT:
                writing.present((told.uuid,))
        self._messages += 1
        if self.persisting and (told.cookie is not None or self._messages >= _MOST):
            self._commit(told.cookie)

    def _put(self, writing: Writing, told: SyncState, entry: Entry, number: bytes | None) -> None:
        try:
            writing.put(ToldEntry(entry.dn, told.uuid, entry.attributes, number))
        except (LDAPError, OverflowError) as error:
            # A name that this schema can't compare.
            log.warning("%s of the directory is left out: %s", entry.dn, error)

    def _take_info(self, value: bytes | None) -> None:
        info = decode_sync_info(value)
        match info:
            case NewCookie(cookie):
                if self.persisting:
                    self._commit(cookie)
            case RefreshPresent(cookie, done):
                self._write().all_else_is_gone()
                self._refreshed(cookie, done)
            case RefreshDelete(cookie, done):
                self._refreshed(cookie, done)
            case SyncIdSet(uuids, deletes, cookie):
                if deletes:
                    self._write().gone(uuids)
                else:
                    self._write().present(uuids)
                if cookie is not None and self.persisting:
                    self._commit(cookie)

    def _refreshed(self, cookie: bytes | None, done: bool) -> None:
        if done:
            self._commit(cookie)
            self.persisting = True

    def _ended(self, code: ResultCode, text: str) -> None:
        if code is ResultCode.SYNC_REFRESH_REQUIRED:
            raise CopyError("the directory does not know any more what has changed since")
        if code is not ResultCode.SUCCESS:
            raise LDAPError(code, text)
        raise CopyError("the server has ended the search; it does not know RFC 4533")

    # --- transactions -------------------------------------------------------------------

    def _write(self) -> Writing:
        if self._writing is None:
            txn = self._scope.enter_context(self._core.store.write())
            self._txn = txn
            self._writing = Writing(self._core, txn, self._recorder, self._placements)
        return self._writing

    def _commit(self, cookie: bytes | None) -> None:
        """``cookie`` None leaves the last one, from which all this would be told again."""
        nothing = self._writing is None and (self.persisting or self.loaded)
        if nothing and (cookie is None or cookie == self._meta(_COOKIE)):
            return
        self._write().finish()
        if not self.persisting:
            self._txn.set_meta(_BASE, self._base.encode())
        if cookie is not None or not self.persisting:
            self._txn.set_meta(_COOKIE, cookie or b"")
        self._writing = None
        self._messages = 0
        self._scope.close()

    def _meta(self, name: bytes) -> bytes | None:
        with self._core.store.snapshot() as snapshot:
            return snapshot.meta(name)

    def _is_of_base(self) -> bool:
        found = self._meta(_BASE)
        if found is None:
            return False
        schema = self._core.schema
        return key_of(found.decode(), schema) == key_of(self._base, schema)


class _Undone(Exception):
    """What leaves a transaction's scope without a commit."""


def _told_once() -> Callable[[str], None]:
    told: set[str] = set()

    def notice(text: str) -> None:
        if text not in told and len(told) < 1000:
            told.add(text)
            log.warning("%s", text)

    return notice
