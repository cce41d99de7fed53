"""The entries that a bulk change is about."""

from __future__ import annotations

from collections.abc import Iterator

from ldapserver.aliases import find_base
from ldapserver.core import Core
from ldapserver.messages import (
    And,
    Deref,
    Filter,
    Present,
    Scope,
    SearchHead,
    SearchRequest,
    Selection,
)
from ldapserver.names import find, key_of
from ldapserver.ops.bind import find_account
from ldapserver.ops.search import Search
from ldapserver.results import LDAPError, ResultCode
from ldapserver.walk import walk
from storage.keys import EntryId
from storage.snapshot import Snapshot

_EVERY = Present("objectClass")


def selected(
    core: Core, snapshot: Snapshot, selection: Selection, also: Filter | None = None
) -> Iterator[EntryId]:
    """Entries for which all of the selection holds, and ``also``; each once.

    Raises LDAPError NO_SUCH_OBJECT for an account that is not there.
    """
    if selection.filter is None and selection.accounts is None and also is None:
        names = core.state_in(snapshot).names
        return walk(snapshot, find_base(core, snapshot, names, selection.base, follow=False))
    filters = tuple(part for part in (selection.filter, also) if part is not None)
    filter = filters[0] if len(filters) == 1 else And(filters) if filters else _EVERY
    head = SearchHead(selection.base, Scope.SUBTREE, Deref.NEVER, 0, 0, False)
    state = core.state_in(snapshot)
    found = Search(core, snapshot, state, core.administrator, SearchRequest(head, filter, ())).ids()
    if selection.accounts is None:
        return found
    wanted = dict.fromkeys(account_id(core, snapshot, text) for text in selection.accounts)
    if len(wanted) < 1000:
        return _each_tested(core, snapshot, wanted, selection, filter)
    matching = set(found)
    return (entry for entry in wanted if entry in matching)


def _each_tested(
    core: Core, snapshot: Snapshot, wanted: dict[EntryId, None], selection: Selection, filter: Filter
) -> Iterator[EntryId]:
    """A short list: its entries are looked at, however many the filter matches."""
    state = core.state_in(snapshot)
    head = SearchHead(selection.base, Scope.SUBTREE, Deref.NEVER, 0, 0, False)
    search = Search(core, snapshot, state, core.administrator, SearchRequest(head, filter, ()))
    return search.of(wanted)


def account_id(core: Core, snapshot: Snapshot, text: str) -> EntryId:
    """An account by its DN or its address; raises NO_SUCH_OBJECT."""
    by_name = "=" in text
    entry = find(snapshot, key_of(text, core.schema)) if by_name else find_account(core, snapshot, text)
    if entry is None:
        raise LDAPError(ResultCode.NO_SUCH_OBJECT, f"no account {text!r}")
    return entry
