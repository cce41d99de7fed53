"""Modify (RFC 4511 section 4.6, RFC 4525): changes in their order, all or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias, assert_never

from ldapserver.access import View
from ldapserver.core import Core, State
from ldapserver.dn import parse_rdn
from ldapserver.identity import Identity
from ldapserver.messages import Change, Control, ModifyOp, ModifyRequest, Result
from ldapserver.ops.controls import after, before, extras
from ldapserver.ops.edit import Draft, Edited
from ldapserver.ops.target import check_settable, denied, find_target, rights_on
from ldapserver.ops.values import added, deleted, holds, incremented, replaced
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription
from ldapserver.schema.check import check_same_structural, check_shape
from storage import records
from storage.changes import Kind
from storage.keys import EntryId
from storage.txn import NO_TERMS, WriteTransaction

Naming: TypeAlias = Sequence[tuple[AttributeDescription, bytes]]


def modify(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    request: ModifyRequest,
    controls: tuple[Control, ...] = (),
) -> Result:
    """Changes that come to nothing are a modification all the same: the entry's
    modifyTimestamp says that it was touched, as in other directories."""
    wanted = extras(core, ModifyRequest, controls)
    key, view = rights_on(core, identity, request.dn)
    _check_rights(core, identity, view, request.changes)
    target = find_target(txn, key)
    read = before(core, txn, view, wanted, target.entry, target.data)
    edited = modified(core, txn, core.state_in(txn), target.entry, target.data, request.changes)
    csn, modifier = txn.next_csn(), identity.dn.encode()
    if edited is not None:
        edited.store(txn, csn, modifier)
    else:
        placement = records.placement_of(target.data)
        data = records.restamped(target.data, placement, csn, modifier)
        txn.replace(target.entry, data, NO_TERMS, NO_TERMS)
    txn.log(Kind.MODIFY, csn, [target.entry])
    return Result(controls=read + after(core, txn, view, wanted, target.entry))


def _check_rights(core: Core, identity: Identity, view: View, changes: tuple[Change, ...]) -> None:
    if view.everything:
        return
    if not changes:
        raise denied(identity, "modify")
    for change in changes:
        kind = core.schema.description(change.type).type
        if not view.writable(kind):
            raise denied(identity, f"modify {kind.name}")


def modified(
    core: Core,
    txn: WriteTransaction,
    state: State,
    entry: EntryId,
    data: bytes,
    changes: Iterable[Change],
) -> Edited | None:
    """What the changes make of an entry, rights aside; None when that is what it is.

    Raises LDAPError; nothing is written yet.
    """
    draft = Draft(core, txn, state.indexes, entry, data)
    for change in changes:
        _apply(core, draft, change)
    check_entry(core, draft)
    return draft.finish()


def _apply(core: Core, draft: Draft, change: Change) -> None:
    description = core.schema.description(change.type)
    check_settable(description)
    match change.op:
        case ModifyOp.ADD:
            current = draft.values(description)
            draft.put(
                description,
                added(description, current, change.values, lambda value: draft.may_hold(description, value)),
            )
        case ModifyOp.DELETE:
            draft.put(description, deleted(description, draft.values(description), change.values))
        case ModifyOp.REPLACE:
            draft.put(description, replaced(description, change.values))
        case ModifyOp.INCREMENT:
            draft.put(description, incremented(description, draft.values(description), change.values))
        case _:
            assert_never(change.op)


def check_entry(core: Core, draft: Draft, name: Naming | None = None) -> None:
    """Whether what has become of the entry keeps to the schema and to its name, which is
    the stored one unless another is given."""
    touched = draft.work
    for description, values in touched.items():
        if len(values) > 1 and description.type.single_value:
            raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, f"{description.text}: only one value is allowed")
    if name is None:
        name = name_values(core, draft.data)
    _check_name(touched, name)
    classes = core.schema.description("objectClass")
    if classes in touched:
        check_same_structural(core.schema, draft.stored(classes), touched[classes])
    elif not draft.reshaped():
        return
    check_shape(core.schema, tuple(draft.values(classes)), draft.descriptions())


def name_values(core: Core, data: bytes) -> Naming:
    """The values in a stored entry's RDN."""
    rdn = parse_rdn(records.rdn_of(data).decode())
    return [(core.schema.description(pair.type), pair.value) for pair in rdn]


def _check_name(touched: dict[AttributeDescription, list[bytes]], name: Naming) -> None:
    """The values of the RDN stay (RFC 4511 section 4.6)."""
    for description, value in name:
        if description in touched and not holds(description, touched[description], value):
            raise LDAPError(
                ResultCode.NOT_ALLOWED_ON_RDN, f"{description.text}: the entry's name has this value"
            )
