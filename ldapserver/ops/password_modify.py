"""Password Modify (RFC 3062), in two halves: what takes time, and the write.

The password takes the place of all that the account had.
"""

from __future__ import annotations

from attrs import field, frozen

from ldapserver import extended, passwords
from ldapserver.core import Core
from ldapserver.dn import Key
from ldapserver.extended import PasswordModify
from ldapserver.identity import Identity
from ldapserver.messages import Change, ModifyOp, Result
from ldapserver.names import find
from ldapserver.ops.bind import Account, find_by_name, matching, stored_passwords
from ldapserver.ops.modify import modified
from ldapserver.ops.target import denied, not_found
from ldapserver.results import LDAPError, ResultCode
from storage.changes import Kind
from storage.txn import WriteTransaction


@frozen
class NewPassword:
    """``proven`` are the stored passwords among which the old one was found; None when it
    was not asked for.  ``generated`` is the new one, when the server made it up."""

    key: Key
    hashed: bytes = field(repr=False)
    proven: tuple[bytes, ...] | None = field(repr=False)
    generated: bytes | None = field(repr=False)


def prepare_password(core: Core, identity: Identity, request: PasswordModify) -> NewPassword:
    """Takes time, for a thread.  Raises LDAPError."""
    account = _account(core, identity, request.user)
    key = account.identity.key
    own = key == identity.key
    if not core.view(identity, own=own).writable(core.schema.description("userPassword").type):
        raise denied(identity, "change this password")
    if account.identity.administrator:
        raise LDAPError(
            ResultCode.UNWILLING_TO_PERFORM, "the administrator's password is in the configuration"
        )
    proven = None
    if request.old is not None:
        proven = account.stored
        if matching(proven, request.old) is None:
            raise LDAPError(ResultCode.INVALID_CREDENTIALS, "the old password is wrong")
    if request.new is not None and not request.new:
        raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, "an empty password")
    generated = passwords.generate_password(core.settings.random).encode() if request.new is None else None
    hashed = passwords.hash_password(generated or request.new or b"", core.settings.random)
    return NewPassword(key, hashed, proven, generated)


def _account(core: Core, identity: Identity, user: str | None) -> Account:
    if identity.anonymous:
        raise LDAPError(ResultCode.STRONGER_AUTH_REQUIRED, "bind first")
    with core.store.snapshot() as snapshot:
        found = find_by_name(core, snapshot, user if user else identity.dn)
    if found is None:
        raise LDAPError(ResultCode.NO_SUCH_OBJECT, "no such account")
    return found


def password_modify(core: Core, txn: WriteTransaction, identity: Identity, new: NewPassword) -> Result:
    """The write.  The response has a value when the password was made up."""
    entry = find(txn, new.key)
    data = txn.entry(entry) if entry is not None else None
    if entry is None or data is None:
        raise not_found(txn, new.key)
    if new.proven is not None and stored_passwords(core, data) != new.proven:
        raise LDAPError(ResultCode.BUSY, "the password was changed meanwhile")
    change = Change(ModifyOp.REPLACE, "userPassword", (new.hashed,))
    edited = modified(core, txn, core.state_in(txn), entry, data, (change,))
    if edited is not None:
        csn = txn.next_csn()
        edited.store(txn, csn, identity.dn.encode())
        txn.log(Kind.MODIFY, csn, [entry])
    value = extended.encode_generated_password(new.generated) if new.generated is not None else None
    return Result(value=value)
