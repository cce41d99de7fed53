"""Bind (RFC 4511 section 4.2, RFC 4513 section 5): who a name and a password stand for.

A name is a DN, or an account's address (``alice@example.com``).  Whatever is wrong with
either of them, the answer is the same, and takes the time that a check takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from attrs import field, frozen

from ldapserver import passwords
from ldapserver.attributes import values_of
from ldapserver.core import Core
from ldapserver.directory import BindOutcome
from ldapserver.dn import AVA, normalise_rdn, normalise_text
from ldapserver.identity import ANONYMOUS, Identity, Peer
from ldapserver.matching import subclass_names
from ldapserver.messages import BindRequest, Result, SaslCredentials, SimpleCredentials
from ldapserver.names import find, key_of
from ldapserver.ops import sasl
from ldapserver.results import LDAPError, ResultCode
from storage import keys, records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

# Of one account, since each costs time and the account's owner writes them.
MOST_PASSWORDS: Final = 16

Outcome: TypeAlias = BindOutcome | Callable[[], BindOutcome]
"""At once, or by a call that takes long and needs no store: for a thread."""

_REFUSED: Final = BindOutcome(
    Result(ResultCode.INVALID_CREDENTIALS, message="wrong name or password"), ANONYMOUS
)


@frozen
class Account:
    """Who a name stands for, and what proves it: ``userPassword`` values."""

    identity: Identity
    stored: tuple[bytes, ...] = field(repr=False)


def bind(core: Core, snapshot: Snapshot, request: BindRequest, peer: Peer) -> Outcome:
    """Never raises for what a client sent."""
    try:
        match request.credentials:
            case SimpleCredentials(password):
                return _simple(core, snapshot, request.name, password)
            case SaslCredentials() as credentials:
                return _sasl(core, snapshot, credentials, peer)
    except LDAPError as error:
        return BindOutcome(Result(error.code, message=error.message), ANONYMOUS)


# --- methods ---------------------------------------------------------------------------


def _simple(core: Core, snapshot: Snapshot, name: str, password: bytes) -> Outcome:
    if not password:
        if not name:
            return BindOutcome(Result(), ANONYMOUS)
        # RFC 4513 section 5.1.2: too often a client that forgot to check its input.
        raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "a name without a password")
    return _check(find_by_name(core, snapshot, name), password)


def _sasl(core: Core, snapshot: Snapshot, credentials: SaslCredentials, peer: Peer) -> Outcome:
    mechanism = credentials.mechanism.upper()
    if mechanism == sasl.EXTERNAL and peer.uid is not None:
        return _external(core, credentials.credentials or b"", peer.uid)
    if mechanism == sasl.PLAIN:
        message = sasl.decode_plain(credentials.credentials)
        account = _by_authcid(core, snapshot, message.authcid)
        if account is not None and not _may_act_as(core, snapshot, account, message):
            account = None
        return _check(account, message.password)
    raise LDAPError(ResultCode.AUTH_METHOD_NOT_SUPPORTED, "this SASL mechanism is not offered here")


def _external(core: Core, authzid: bytes, uid: int) -> BindOutcome:
    """RFC 4422 appendix A, over a Unix socket: root, and the user that this process runs
    as, could read and write the store's files anyway."""
    if uid not in (0, os.geteuid()):
        raise LDAPError(ResultCode.INAPPROPRIATE_AUTHENTICATION, "this user has no identity here")
    text = sasl.decode_text(authzid)
    if text and not _is_dn_of(core, text, core.administrator):
        return _REFUSED
    return BindOutcome(Result(), core.administrator)


def _by_authcid(core: Core, snapshot: Snapshot, authcid: str) -> Account | None:
    try:
        return find_by_name(core, snapshot, authcid)
    except LDAPError:
        return None


def _may_act_as(core: Core, snapshot: Snapshot, account: Account, message: sasl.Plain) -> bool:
    """Nobody acts as another: the authorization identity is that of the password."""
    authzid = message.authzid
    if authzid in ("", message.authcid) or _is_dn_of(core, authzid, account.identity):
        return True
    other = _by_authcid(core, snapshot, authzid) if authzid.startswith("u:") else None
    return other is not None and other.identity == account.identity


def _is_dn_of(core: Core, authzid: str, identity: Identity) -> bool:
    if not authzid.startswith("dn:"):
        return False
    try:
        return normalise_text(authzid[3:], core.schema) == identity.key
    except LDAPError:
        return False


# --- passwords -------------------------------------------------------------------------


def _check(account: Account | None, password: bytes) -> Outcome:
    stored = account.stored if account is not None else ()
    accepted = _REFUSED if account is None else BindOutcome(Result(), account.identity)

    def decide() -> BindOutcome:
        return accepted if matching(stored or (passwords.DUMMY,), password) is not None else _REFUSED

    if stored and all(map(passwords.is_fast, stored)):
        return decide()
    return decide


def matching(stored: Iterable[bytes], password: bytes) -> bytes | None:
    """The stored value that a password belongs to; takes time."""
    if not password:
        return None
    return next((value for value in stored if passwords.verify(value, password)), None)


# --- names -----------------------------------------------------------------------------


def find_by_name(core: Core, snapshot: Snapshot, name: str) -> Account | None:
    """The account of a DN, an address, or either in the form of RFC 4513 section 5.2.1.8
    (``dn:...``, ``u:...``); raises LDAPError INVALID_DN_SYNTAX for what is neither."""
    if name.startswith("dn:"):
        name = name[3:]
    elif name.startswith("u:"):
        return _account(core, snapshot, find_account(core, snapshot, name[2:]))
    if "@" in name and "=" not in name:
        return _account(core, snapshot, find_account(core, snapshot, name))
    try:
        key = normalise_text(name, core.schema)
    except LDAPError:
        if "@" not in name:
            raise
        return _account(core, snapshot, find_account(core, snapshot, name))
    if key == core.administrator.key:
        password = core.settings.administrator_password
        return Account(core.administrator, (password,) if password else ())
    return _account(core, snapshot, find(snapshot, key))


def _account(core: Core, snapshot: Snapshot, entry: EntryId | None) -> Account | None:
    data = snapshot.entry(entry) if entry is not None and entry != ROOT else None
    if data is None:
        return None
    dn = core.state(snapshot).names.dn(snapshot, data).decode()
    key = key_of(dn, core.schema)
    if key == core.administrator.key:  # an entry of that name gives nobody these rights
        return None
    return Account(Identity(dn, key), stored_passwords(core, data))


def stored_passwords(core: Core, data: bytes) -> tuple[bytes, ...]:
    encoded = records.attribute_of(data, core.catalogue.number_of_type("userPassword"))
    return () if encoded is None else tuple(values_of(encoded)[:MOST_PASSWORDS])


def find_account(core: Core, snapshot: Snapshot, address: str) -> EntryId | None:
    """The entry of an account's address: the one that has it as ``mail``; else the entry
    ``uid=alice`` below the domain's, for ``alice@example.com``.  None when there is none,
    or more than one."""
    found = _of_mail(core, snapshot, address)
    if found:
        return found[0] if len(found) == 1 else None
    local, at, domain = address.rpartition("@")
    if not at or not local:
        return None
    domains = _domains(core, snapshot, domain)
    key = _rdn_key(core, "uid", local)
    if len(domains) != 1 or key is None:
        return None
    return snapshot.child(domains[0], key)


def _of_mail(core: Core, snapshot: Snapshot, address: str) -> Sequence[EntryId]:
    term = _term(core, snapshot, "mail", address)
    return [] if term is None else tuple(snapshot.few_ids(term))


def _domains(core: Core, snapshot: Snapshot, name: str) -> list[EntryId]:
    """The entries of a domain: more than one where subtrees disagree."""
    term = _term(core, snapshot, "cn", name)
    key = _rdn_key(core, "cn", name)
    found: Iterable[EntryId] = ()
    if term is not None:
        found = snapshot.ids(term)
    elif key is not None and (entry := snapshot.child(ROOT, key)) is not None:
        found = (entry,)
    return [entry for entry in found if _is_domain(core, snapshot, entry)]


def _is_domain(core: Core, snapshot: Snapshot, entry: EntryId) -> bool:
    data = snapshot.entry(entry)
    classes = subclass_names(core.schema, b"CommuniGateDomain") or frozenset()
    number = core.catalogue.number_of_type("objectClass")
    encoded = None if data is None else records.attribute_of(data, number)
    return encoded is not None and any(value.lower() in classes for value in values_of(encoded))


def _term(core: Core, snapshot: Snapshot, name: str, value: str) -> bytes | None:
    """None where there is no index, or no such value can be."""
    kind = core.schema.description(name).type
    number = core.state_in(snapshot).indexes.equality.get(kind)
    if number is None or kind.equality is None:
        return None
    try:
        return keys.equality(number, kind.equality.normalise(value.encode()))
    except ValueError:
        return None


def _rdn_key(core: Core, name: str, value: str) -> bytes | None:
    try:
        return normalise_rdn((AVA(name, value.encode()),), core.schema)
    except (LDAPError, ValueError):
        return None
