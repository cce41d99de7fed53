"""Passwords in requests made ready for the store: hashed, before the writer has them.

Clients send new passwords in clear, and the store has none such.  Hashing takes long on
purpose, so it is done in a thread, ahead of the write transaction, and only for those
who may write passwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from ldapserver import passwords
from ldapserver.core import Core
from ldapserver.dn import Key, normalise_text
from ldapserver.identity import Identity
from ldapserver.messages import (
    AddRequest,
    Attribute,
    BulkModify,
    Change,
    ModifyOp,
    ModifyRequest,
    WriteRequest,
)
from ldapserver.names import find
from ldapserver.ops.bind import MOST_PASSWORDS, stored_passwords
from ldapserver.ops.target import denied
from ldapserver.results import LDAPError, ResultCode
from storage.keys import ROOT
from storage.snapshot import Snapshot

_NAMES: Final = ("userpassword", "2.5.4.35")


def needs_preparing(request: WriteRequest | BulkModify) -> bool:
    """Whether there is a password in clear; quickly said."""
    match request:
        case AddRequest():
            return any(_in_clear(part.type, part.values) for part in request.attributes)
        case ModifyRequest() | BulkModify():
            return any(_in_clear(part.type, part.values) for part in request.changes)
        case _:
            return False


def _in_clear(name: str, values: Sequence[bytes]) -> bool:
    return name.lower() in _NAMES and not all(map(passwords.is_hashed, values))


def hashed_changes(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Changes of many entries with new passwords hashed; takes time.  A password in clear
    that is to be deleted stays as it is: it belongs to another stored value in each entry."""
    return tuple(_change(part, ()) for part in changes)


def prepare(
    core: Core, identity: Identity, request: WriteRequest, snapshot: Snapshot | None = None
) -> WriteRequest:
    """The request with passwords hashed; takes time.  A password in clear that is to be
    deleted becomes the stored values that it belongs to.

    Raises LDAPError.  ``snapshot`` is the state to go by, unless it is the newest.
    """
    match request:
        case AddRequest():
            if not core.view(identity).add:
                raise denied(identity, "add")
            return evolve(request, attributes=tuple(map(_attribute, request.attributes)))
        case ModifyRequest():
            key = normalise_text(request.dn, core.schema)
            kind = core.schema.description("userPassword").type
            if not core.view(identity, own=key == identity.key).writable(kind):
                raise denied(identity, f"modify {kind.name}")
            stored = _stored(core, key, snapshot)
            return evolve(request, changes=tuple(_change(part, stored) for part in request.changes))
        case _:
            return request


def _attribute(attribute: Attribute) -> Attribute:
    if not _in_clear(attribute.type, attribute.values):
        return attribute
    return evolve(attribute, values=_hashed(attribute.values))


def _change(change: Change, stored: Sequence[bytes]) -> Change:
    if not _in_clear(change.type, change.values):
        return change
    if change.op is ModifyOp.DELETE:
        _check_number(change.values)
        forms = (form for value in change.values for form in _stored_forms(value, stored))
        return evolve(change, values=tuple(dict.fromkeys(forms)))
    return evolve(change, values=_hashed(change.values))


def _stored_forms(value: bytes, stored: Sequence[bytes]) -> tuple[bytes, ...]:
    """All that the password could still be proven with: a hash, and SCRAM's keys beside it.
    As it is where there is none: nothing will be found to delete."""
    clear = passwords.plain_text(value)
    if not clear:
        return (value,)
    return tuple(form for form in stored if form == value or passwords.verify(form, clear)) or (value,)


def _hashed(values: Sequence[bytes]) -> tuple[bytes, ...]:
    _check_number(values)
    if len(set(values)) != len(values):
        raise LDAPError(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, "userPassword: a value is given twice")
    return tuple(map(_hash, values))


def _hash(value: bytes) -> bytes:
    clear = passwords.plain_text(value)
    if clear is None:
        return value
    if not clear:
        raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, "userPassword: an empty password")
    return passwords.hash_password(clear)


def _check_number(values: Sequence[bytes]) -> None:
    if len(values) > MOST_PASSWORDS:
        raise LDAPError(
            ResultCode.CONSTRAINT_VIOLATION, f"userPassword: at most {MOST_PASSWORDS} values are of use"
        )


def _stored(core: Core, key: Key, snapshot: Snapshot | None) -> tuple[bytes, ...]:
    """The passwords of an entry; none where it is missing, which the write will tell."""
    if snapshot is None:
        with core.store.snapshot() as newest:
            return _stored(core, key, newest)
    entry = find(snapshot, key)
    data = snapshot.entry(entry) if entry is not None and entry != ROOT else None
    return () if data is None else stored_passwords(core, data)
