"""Who may see and change what: a declarative policy, from which views are made.

A policy is a set of rules; each gives a kind of client rights on attributes, or on
entries as such.  Rules only ever give: what no rule gives is refused, and the secrets
are read by the administrator alone, whatever the rules say.

An operation asks the policy once for the client's ``View`` and the view for each
attribute type.  There are few views, made when the policy is, and the same kind of
client always gets the same object: plans and caches may have views in their keys.

What must not live here: operations, entries, schema look-ups.  The root DSE and the
schema are readable by all (RFC 4513 section 5.1 needs it); that is for those who serve them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, Flag
from typing import Protocol, TypeAlias

from attrs import evolve, field, frozen

from ldapserver.identity import Identity


class AttributeLike(Protocol):
    """What is asked of a schema's attribute type, which is hashable."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def oid(self) -> str: ...

    @property
    def sup(self) -> AttributeLike | None: ...


# --- rules ------------------------------------------------------------------------------


class Who(Enum):
    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    SELF = "self"
    """An authenticated client, on its own entry."""


Key: TypeAlias = tuple[bytes, ...]
"""One client's DN, as ``Identity.key`` has it."""


class Right(Flag):
    """READ and WRITE are of attributes: to read, search for and compare values; to
    change them.  The others are of entries as such.  An added entry's attributes need
    WRITE besides; a renamed one's naming attributes don't."""

    READ = 1
    WRITE = 2
    ADD = 4
    DELETE = 8
    RENAME = 16


@frozen
class Attributes:
    """A set of attribute types: those ``listed``, or with ``all_but`` those that aren't.

    ``listed`` has names in lower case, and OIDs.  A type is meant by any of its names,
    and so are its subtypes: who hides a type hides what is derived from it.
    """

    listed: frozenset[str]
    all_but: bool = False

    def covers(self, type: AttributeLike) -> bool:
        return self._lists(type) is not self.all_but

    def _lists(self, type: AttributeLike) -> bool:
        current: AttributeLike | None = type
        while current is not None:
            if current.oid in self.listed or any(name.lower() in self.listed for name in current.names):
                return True
            current = current.sup
        return False


def only(*names: str) -> Attributes:
    return Attributes(frozenset(map(str.lower, names)))


def all_but(*names: str) -> Attributes:
    return Attributes(frozenset(map(str.lower, names)), all_but=True)


ALL = all_but()
NONE = only()


@frozen
class Rule:
    """``who`` has ``rights``: READ and WRITE on ``attributes``."""

    who: Who | Key
    rights: Right
    attributes: Attributes = NONE


# --- what the default says ----------------------------------------------------------

SECRETS = only(
    "userPassword",
    "2.5.4.35",
    "userPKCS12",
    "2.16.840.1.113730.3.1.216",
    "authPassword",
    "1.3.6.1.4.1.4203.1.3.4",
    # What other directories and their overlays keep, and an import brings along.
    "pwdHistory",
    "passwordHistory",
    "clearPassword",
    "unicodePwd",
    "dBCSPwd",
    "ntPwdHistory",
    "lmPwdHistory",
    "supplementalCredentials",
    "sambaNTPassword",
    "sambaLMPassword",
    "sambaPasswordHistory",
    "sambaClearTextPassword",
    "sambaPreviousClearTextPassword",
    "ipaNTHash",
    "krbPrincipalKey",
    "krbMKey",
    "krbExtraData",
    "krbPwdHistory",
    "krb5Key",
    "nsds5ReplicaCredentials",
    "olcRootPW",
    "oathSecret",
    "oathEncPIN",
    "radiusTunnelPassword",
)

# What address books show and mail routing asks for.  Not what is private (homePhone,
# homePostalAddress, carLicense), of the employment (employeeNumber, employeeType), or
# names an administrator (creatorsName, modifiersName).
PUBLIC = (
    "objectClass",
    *("cn", "sn", "givenName", "displayName", "initials", "generationQualifier", "personalTitle"),
    *("uid", "mail", "mailAlternateAddress", "mailLocalAddress", "rfc822MailMember"),
    *("mailHost", "mailRoutingAddress", "hostServer", "oldHostServer", "associatedDomain"),
    *("o", "ou", "dc", "c", "co", "l", "st", "street", "postalCode", "postalAddress", "postOfficeBox"),
    *("registeredAddress", "physicalDeliveryOfficeName", "roomNumber", "houseIdentifier"),
    *("title", "businessCategory", "departmentNumber", "description", "preferredLanguage"),
    *("telephoneNumber", "mobile", "facsimileTelephoneNumber", "pager", "internationaliSDNNumber"),
    *("jpegPhoto", "labeledURI"),
    *("userCertificate", "userSMIMECertificate", "cACertificate", "crossCertificatePair"),
    *("certificateRevocationList", "authorityRevocationList", "deltaRevocationList"),
    *("member", "uniqueMember", "owner", "roleOccupant", "seeAlso", "manager", "secretary"),
    *("aliasedObjectName", "ref"),
    *("structuralObjectClass", "subschemaSubentry", "hasSubordinates", "numSubordinates"),
    *("entryDN", "entryUUID", "entryCSN", "createTimestamp", "modifyTimestamp"),
)

DEFAULT_RULES = (
    Rule(Who.ANYONE, Right.READ, only(*PUBLIC)),
    Rule(Who.AUTHENTICATED, Right.READ, ALL),
    # Written, not read: the new one goes in, the old one's hash doesn't come out.
    Rule(Who.SELF, Right.WRITE, only("userPassword")),
)


# --- views ------------------------------------------------------------------------------


@frozen(eq=False)
class View:
    """What one kind of client may do; compared by identity.

    ``everything`` is the administrator's: all questions are answered with yes.
    ``add``, ``delete``, ``rename`` are of entries as such, the methods of attributes.
    """

    everything: bool = False
    add: bool = False
    delete: bool = False
    rename: bool = False
    _readable: tuple[Attributes, ...] = ()
    _writable: tuple[Attributes, ...] = ()
    _secrets: Attributes = NONE
    # Answers given before: at most one for each type that a schema has.
    _known: dict[AttributeLike, bool] = field(init=False, factory=dict, repr=False)

    def readable(self, type: AttributeLike) -> bool:
        """Values may be returned, searched for and compared."""
        known = self._known.get(type)
        if known is None:
            known = self._known[type] = self._may_read(type)
        return known

    def _may_read(self, type: AttributeLike) -> bool:
        if self.everything:
            return True
        return not self._secrets.covers(type) and any(found.covers(type) for found in self._readable)

    def writable(self, type: AttributeLike) -> bool:
        """Values may be added, replaced and deleted."""
        return self.everything or any(found.covers(type) for found in self._writable)


_ADMINISTRATOR = View(everything=True, add=True, delete=True, rename=True)


def _view(rules: Sequence[Rule], secrets: Attributes, who: set[Who | Key]) -> View:
    mine = [rule for rule in rules if rule.who in who]
    rights = Right(0)
    for rule in mine:
        rights |= rule.rights
    return View(
        add=Right.ADD in rights,
        delete=Right.DELETE in rights,
        rename=Right.RENAME in rights,
        readable=tuple(rule.attributes for rule in mine if Right.READ in rule.rights),
        writable=tuple(rule.attributes for rule in mine if Right.WRITE in rule.rights),
        secrets=secrets,
    )


@frozen
class _Pair:
    """One client's views: of others' entries, and of its own."""

    others: View
    own: View


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*|[0-9]+(?:\.[0-9]+)+")


@frozen
class Policy:
    """``rules`` give rights; ``secrets`` no rule gives to read."""

    rules: tuple[Rule, ...] = DEFAULT_RULES
    secrets: Attributes = SECRETS
    _anonymous: View = field(init=False, eq=False, repr=False)
    _authenticated: _Pair = field(init=False, eq=False, repr=False)
    _named: dict[Key, _Pair] = field(init=False, eq=False, repr=False)

    @_anonymous.default
    def _make_anonymous(self) -> View:
        return _view(self.rules, self.secrets, {Who.ANYONE})

    @_authenticated.default
    def _make_authenticated(self) -> _Pair:
        return self._pair({Who.ANYONE, Who.AUTHENTICATED})

    @_named.default
    def _make_named(self) -> dict[Key, _Pair]:
        keys = {rule.who for rule in self.rules if not isinstance(rule.who, Who)}
        return {key: self._pair({Who.ANYONE, Who.AUTHENTICATED, key}) for key in keys}

    def _pair(self, who: set[Who | Key]) -> _Pair:
        return _Pair(_view(self.rules, self.secrets, who), _view(self.rules, self.secrets, {*who, Who.SELF}))

    def view(self, identity: Identity, own: bool = False) -> View:
        """What ``identity`` may do, on its ``own`` entry or any other."""
        if identity.administrator:
            return _ADMINISTRATOR
        if not identity.key:
            return self._anonymous
        pair = self._named.get(identity.key, self._authenticated)
        return pair.own if own else pair.others

    def with_anonymous(self, read: Sequence[str]) -> Policy:
        """The same policy but for what anyone reads: the attributes named, ``*`` for all
        but the secrets, nothing for none.

        objectClass comes along with any, since tools search for ``(objectClass=*)``.
        Raises ValueError for what is no name, or a secret.
        """
        for name in read:
            if name != "*" and not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no attribute name")
            if name.lower() in self.secrets.listed:
                raise ValueError(f"{name} is a secret")
        rules = tuple(rule for rule in map(_without_anonymous_read, self.rules) if rule.rights)
        if read:
            attributes = ALL if "*" in read else only("objectClass", *read)
            rules = (Rule(Who.ANYONE, Right.READ, attributes), *rules)
        return Policy(rules, self.secrets)


def _without_anonymous_read(rule: Rule) -> Rule:
    return evolve(rule, rights=rule.rights & ~Right.READ) if rule.who is Who.ANYONE else rule
