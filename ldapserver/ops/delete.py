"""Delete (RFC 4511 section 4.8)."""

from __future__ import annotations

from ldapserver.core import Core
from ldapserver.identity import Identity
from ldapserver.messages import Control, DeleteRequest, Result
from ldapserver.ops.controls import before, extras
from ldapserver.ops.target import denied, find_target, rights_on
from ldapserver.results import LDAPError, ResultCode
from storage import records
from storage.changes import Kind
from storage.txn import WriteTransaction


def delete(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    request: DeleteRequest,
    controls: tuple[Control, ...] = (),
) -> Result:
    wanted = extras(core, DeleteRequest, controls)
    key, view = rights_on(core, identity, request.dn)
    if not view.delete:
        raise denied(identity, "delete")
    target = find_target(txn, key)
    read = before(core, txn, view, wanted, target.entry, target.data)
    if txn.children_count(target.entry):
        raise LDAPError(ResultCode.NOT_ALLOWED_ON_NON_LEAF, "there are entries below this one")
    record = records.unpack(target.data)
    terms = core.state_in(txn).indexes.terms_of(record, txn)
    txn.delete(target.entry, key[0], terms)
    txn.log(Kind.DELETE, txn.next_csn(), [record.uuid])
    return Result(controls=read)
