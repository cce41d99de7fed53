"""The LDAP messages of RFC 4511 as values.

What lives here: one frozen class per protocol operation, the filter's syntax
tree, controls and results.  What must not: bytes of the wire (``wire/``),
text forms (``dn``, ``filters``), behaviour.

Names (DNs, attribute descriptions, OIDs) are ``str``: they were UTF-8 checked at
the wire.  Attribute and assertion values are ``bytes``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

from attrs import field, frozen

from ldapserver.results import ResultCode


class Scope(IntEnum):
    """RFC 4511 section 4.5.1.2; SUBORDINATE is draft-sermersheim-ldap-subordinate-scope."""

    BASE = 0
    ONE = 1
    SUBTREE = 2
    SUBORDINATE = 3


class Deref(IntEnum):
    """RFC 4511 section 4.5.1.3."""

    NEVER = 0
    SEARCHING = 1
    FINDING = 2
    ALWAYS = 3


class ModifyOp(IntEnum):
    """RFC 4511 section 4.6; INCREMENT is RFC 4525."""

    ADD = 0
    DELETE = 1
    REPLACE = 2
    INCREMENT = 3


# --- filters (RFC 4511 section 4.5.1.7) ------------------------------------------


@frozen
class And:
    """Empty is the absolute True filter of RFC 4526."""

    filters: tuple[Filter, ...]


@frozen
class Or:
    """Empty is the absolute False filter of RFC 4526."""

    filters: tuple[Filter, ...]


@frozen
class Not:
    filter: Filter


@frozen
class Equality:
    attribute: str
    value: bytes


@frozen
class Substrings:
    """At least one of the three parts is there; none is empty."""

    attribute: str
    initial: bytes | None
    any: tuple[bytes, ...]
    final: bytes | None


@frozen
class GreaterOrEqual:
    attribute: str
    value: bytes


@frozen
class LessOrEqual:
    attribute: str
    value: bytes


@frozen
class Present:
    attribute: str


@frozen
class Approx:
    attribute: str
    value: bytes


@frozen
class Extensible:
    """``attribute:dn:=value`` with an optional rule; rule or attribute is there."""

    rule: str | None
    attribute: str | None
    value: bytes
    dn_attributes: bool


Filter: TypeAlias = (
    And | Or | Not | Equality | Substrings | GreaterOrEqual | LessOrEqual | Present | Approx | Extensible
)


# --- requests -----------------------------------------------------------------------


@frozen
class Control:
    """RFC 4511 section 4.1.11."""

    oid: str
    critical: bool
    value: bytes | None


@frozen
class SimpleCredentials:
    password: bytes = field(repr=False)


@frozen
class SaslCredentials:
    mechanism: str
    credentials: bytes | None = field(repr=False)


@frozen
class BindRequest:
    version: int
    name: str
    credentials: SimpleCredentials | SaslCredentials


@frozen
class UnbindRequest:
    pass


@frozen(eq=False)
class SearchHead:
    """What stands before a search's filter: interned by the decoder, so equal heads
    of a client's repeated searches are one object, compared by identity.

    ``size_limit`` counts entries and ``time_limit`` seconds; 0 is none.
    """

    base: str
    scope: Scope
    deref: Deref
    size_limit: int
    time_limit: int
    types_only: bool


@frozen
class SearchRequest:
    """``attributes`` is interned like ``head``; empty asks for all user attributes."""

    head: SearchHead
    filter: Filter
    attributes: tuple[str, ...]


@frozen
class Attribute:
    """One attribute description with its values, in the order in which they came."""

    type: str
    values: tuple[bytes, ...]


@frozen
class AddRequest:
    dn: str
    attributes: tuple[Attribute, ...]


@frozen
class DeleteRequest:
    dn: str


@frozen
class Change:
    op: ModifyOp
    type: str
    values: tuple[bytes, ...]


@frozen
class ModifyRequest:
    dn: str
    changes: tuple[Change, ...]


@frozen
class ModifyDNRequest:
    dn: str
    new_rdn: str
    delete_old_rdn: bool
    new_superior: str | None


@frozen
class CompareRequest:
    dn: str
    attribute: str
    value: bytes


@frozen
class AbandonRequest:
    message_id: int


@frozen
class ExtendedRequest:
    oid: str
    value: bytes | None = field(repr=False)


Request: TypeAlias = (
    BindRequest
    | UnbindRequest
    | SearchRequest
    | AddRequest
    | DeleteRequest
    | ModifyRequest
    | ModifyDNRequest
    | CompareRequest
    | AbandonRequest
    | ExtendedRequest
)

WriteRequest: TypeAlias = AddRequest | DeleteRequest | ModifyRequest | ModifyDNRequest


@frozen
class Message:
    """An LDAPMessage from a client; ``id`` is 1 to 2**31-1 (RFC 4511 section 4.1.1.1)."""

    id: int
    request: Request
    controls: tuple[Control, ...]


# --- responses -----------------------------------------------------------------------


@frozen
class Result:
    """An LDAPResult and what rides on it (RFC 4511 section 4.1.9).

    ``sasl`` is a bind's serverSaslCreds; ``oid`` and ``value`` an extended
    response's; ``controls`` go into the response's envelope.
    """

    code: ResultCode = ResultCode.SUCCESS
    matched_dn: str = ""
    message: str = ""
    referrals: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()
    sasl: bytes | None = field(default=None, repr=False)
    oid: str | None = None
    value: bytes | None = field(default=None, repr=False)


@frozen
class Entry:
    """An entry as a reader sees it, decoded (tests, tools, LDIF; not the hot path)."""

    dn: str
    attributes: tuple[Attribute, ...]


# --- bulk changes: our extended operations (docs in ``ldapserver/extended.py``) ------


@frozen
class Selection:
    """Which entries a bulk change is about; all parts given must hold.

    ``base`` is a DN ("" is the whole directory); its entry and all below it count.
    ``accounts`` are DNs or account addresses (``alice@example.com``).
    """

    base: str = ""
    filter: Filter | None = None
    accounts: tuple[str, ...] | None = None


@frozen
class Rehost:
    """Move what host ``source`` serves to ``target``: ``hostServer`` becomes ``target``,
    ``oldHostServer`` the original host unless one is recorded already.

    ``besides`` are modifications that go with it: they are made first, in the same
    transaction, and where one is refused nothing is changed.
    """

    source: str
    target: str
    selection: Selection = Selection()
    dry_run: bool = False
    besides: tuple[ModifyRequest, ...] = ()


@frozen
class Restore:
    """Give back to ``source`` what was its own: ``hostServer`` := ``oldHostServer``.
    ``besides`` as with ``Rehost``."""

    source: str
    selection: Selection = Selection()
    dry_run: bool = False
    besides: tuple[ModifyRequest, ...] = ()


@frozen
class BulkModify:
    """The same changes on every entry that is selected, in one transaction."""

    selection: Selection
    changes: tuple[Change, ...]
    dry_run: bool = False


BulkRequest: TypeAlias = Rehost | Restore | BulkModify


@frozen
class BulkReport:
    """``matched`` entries were selected; ``changed`` of them are different now
    (or would be: ``dry_run``).  ``csn`` is the change's, "" when nothing changed."""

    matched: int
    changed: int
    csn: str
    dry_run: bool
