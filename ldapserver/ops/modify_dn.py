"""Modify DN (RFC 4511 section 4.9): another name, another place, or both.

What stands below an entry goes with it and is not touched.
"""

from __future__ import annotations

from attrs import evolve

from ldapserver.core import Core
from ldapserver.dn import Key, normalise_text, parse_rdn
from ldapserver.identity import Identity
from ldapserver.messages import Control, ModifyDNRequest, Result
from ldapserver.names import Names
from ldapserver.ops.controls import after, before, extras
from ldapserver.ops.edit import Draft, Edited
from ldapserver.ops.modify import check_entry, name_values
from ldapserver.ops.naming import Name, name_of
from ldapserver.ops.target import SUBSCHEMA_KEY, Target, denied, find_parent, find_target, rights_on
from ldapserver.ops.values import deleted, holds
from ldapserver.results import LDAPError, ResultCode
from storage import records
from storage.changes import Kind
from storage.keys import ROOT, EntryId
from storage.txn import NO_TERMS, WriteTransaction


def modify_dn(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    request: ModifyDNRequest,
    controls: tuple[Control, ...] = (),
) -> Result:
    wanted = extras(core, ModifyDNRequest, controls)
    key, view = rights_on(core, identity, request.dn)
    if not view.rename:
        raise denied(identity, "rename")
    target = find_target(txn, key)
    read = before(core, txn, view, wanted, target.entry, target.data)
    name = name_of(core, parse_rdn(request.new_rdn))
    parent = _new_parent(core, txn, target, request.new_superior)
    _check_free(txn, target, parent, name)
    draft = _renamed(core, txn, target, name, delete_old=request.delete_old_rdn)
    edited = draft.finish()
    _store(txn, identity, target, parent, name, draft, edited)
    return Result(controls=read + after(core, txn, view, wanted, target.entry))


def _new_parent(core: Core, txn: WriteTransaction, target: Target, superior: str | None) -> EntryId:
    if superior is None:
        return records.parent_of(target.data)
    parent = find_parent(core, txn, normalise_text(superior, core.schema))
    data = txn.entry(parent) if parent != ROOT else None
    if parent == target.entry or (
        data is not None and target.entry in Names(txn.tree_number()).ancestors(txn, data)
    ):
        raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "an entry can't stand below itself")
    return parent


def _check_free(txn: WriteTransaction, target: Target, parent: EntryId, name: Name) -> None:
    """An entry may be given its own name in another spelling."""
    key: Key = (name.key,)
    if parent == ROOT and key == SUBSCHEMA_KEY:
        raise LDAPError(ResultCode.ENTRY_ALREADY_EXISTS, "this entry is the server's own")
    if txn.child(parent, name.key) not in (None, target.entry):
        raise LDAPError(ResultCode.ENTRY_ALREADY_EXISTS, "there is an entry of this name")


def _renamed(core: Core, txn: WriteTransaction, target: Target, name: Name, *, delete_old: bool) -> Draft:
    """The entry with the new name's values, and perhaps without the old one's."""
    draft = Draft(core, txn, core.state_in(txn).indexes, target.entry, target.data)
    if delete_old:
        kept = dict(name.values)
        for description, value in name_values(core, target.data):
            stays = description in kept and holds(description, [kept[description]], value)
            if not stays and holds(description, draft.values(description), value):
                draft.put(description, deleted(description, draft.values(description), [value]))
    for description, value in name.values:
        if not holds(description, draft.values(description), value):
            draft.put(description, [*draft.values(description), value])
    check_entry(core, draft, name.values)
    return draft


def _store(
    txn: WriteTransaction,
    identity: Identity,
    target: Target,
    parent: EntryId,
    name: Name,
    draft: Draft,
    edited: Edited | None,
) -> None:
    csn, who = txn.next_csn(), identity.dn.encode()
    if edited is not None:
        data, added, removed = edited.record(txn, csn, who), edited.added, edited.removed
    else:
        data = records.restamped(target.data, records.placement_of(target.data), csn, who)
        added = removed = NO_TERMS
    record = evolve(records.unpack(data), parent=parent, rdn=name.text)
    if parent != records.parent_of(target.data):
        # A placement belongs to the entries of one parent.
        record = evolve(record, placement=txn.placement_for(parent, *draft.hosts()))
    txn.move(target.entry, target.key[0], name.key, records.pack(record), added, removed)
    txn.log(Kind.RENAME, csn, [target.entry])
