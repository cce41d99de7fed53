"""What every write begins with: the entry that it names, and whether the client may.

Rights are looked at first: who may not write is not told what is there.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ldapserver.access import View
from ldapserver.aliases import no_such_object
from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.dn import Key, normalise_text
from ldapserver.identity import Identity
from ldapserver.matching import subclass_names
from ldapserver.names import Names, find, find_nearest
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription, Usage
from ldapserver.views import PLACED
from storage import records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

SUBSCHEMA_KEY: Final[Key] = (b"cn=subschema",)

_NO_OPTIONS: Final = {"objectClass", "userPassword", *PLACED}


def rights_on(core: Core, identity: Identity, dn: str) -> tuple[Key, View]:
    """The normalised name, and what the client may do with its entry, there or not."""
    key = normalise_text(dn, core.schema)
    return key, core.view(identity, own=key == identity.key)


@frozen
class Target:
    """An entry that is to be changed."""

    entry: EntryId
    key: Key
    data: bytes


def find_target(snapshot: Snapshot, key: Key) -> Target:
    """Raises LDAPError NO_SUCH_OBJECT with the matched DN, UNWILLING_TO_PERFORM for what
    the server itself provides."""
    entry = find(snapshot, key)
    data = None if entry is None or entry == ROOT else snapshot.entry(entry)
    if entry is None or data is None:
        if not key or key == SUBSCHEMA_KEY:
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "this entry is the server's own")
        raise not_found(snapshot, key)
    return Target(entry, key, data)


def not_found(snapshot: Snapshot, key: Key) -> LDAPError:
    """NO_SUCH_OBJECT, with the DN of the nearest ancestor that is there."""
    return no_such_object(snapshot, Names(snapshot.tree_number()), find_nearest(snapshot, key))


def find_parent(core: Core, snapshot: Snapshot, key: Key) -> EntryId:
    """The entry below which another is to stand; raises LDAPError NO_SUCH_OBJECT,
    ALIAS_PROBLEM, UNWILLING_TO_PERFORM."""
    parent = find(snapshot, key)
    if parent is None:
        if key == SUBSCHEMA_KEY:
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "nothing can stand below the subschema")
        raise not_found(snapshot, key)
    if parent != ROOT:
        data = snapshot.entry(parent)
        assert data is not None
        if _is_alias(core, data):
            matched = Names(snapshot.tree_number()).dn(snapshot, data).decode()
            raise LDAPError(ResultCode.ALIAS_PROBLEM, "nothing can stand below an alias", matched)
    return parent


def _is_alias(core: Core, data: bytes) -> bool:
    aliases = subclass_names(core.schema, b"alias") or frozenset()
    encoded = records.attribute_of(data, core.catalogue.number_of_type("objectClass"))
    return encoded is not None and any(value.lower() in aliases for value in values_of(encoded))


def denied(identity: Identity, what: str) -> LDAPError:
    if identity.anonymous:
        return LDAPError(ResultCode.STRONGER_AUTH_REQUIRED, f"{what}: bind first")
    return LDAPError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, f"{what}: no right to")


def check_settable(description: AttributeDescription) -> None:
    """Raises CONSTRAINT_VIOLATION for what only the server sets (RFC 4512 section 3.4), and
    for options where they would mean nothing."""
    kind = description.type
    if kind.no_user_modification or kind.usage is Usage.DSA:
        raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, f"{description.text}: no user modification allowed")
    if description.options and kind.name in _NO_OPTIONS:
        raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, f"{kind.name} takes no options")
